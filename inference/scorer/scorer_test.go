package scorer_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/inference/batch/place"
	"telco-churn-mlops/inference/scorer"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/modeltest"
)

const modelName = "telco-churn"

// childURL and its fellows are set for the process that is killed: a scorer that stops behind its first block, with the job in hand.
const (
	childURL  = "SCORER_TEST_URL"
	childRoot = "SCORER_TEST_ROOT"
)

// ackWait is how long the server waits for a scorer that is dead.
const ackWait = time.Second

func TestMain(m *testing.M) {
	if url := os.Getenv(childURL); url != "" {
		if err := child(url, os.Getenv(childRoot)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(url, root string) error {
	ctx := context.Background()
	b, err := bus.Connect(ctx, bus.Config{URL: url, Name: "child"})
	if err != nil {
		return err
	}
	store, err := objstore.Open(ctx, b.JetStream(), objstore.DefaultConfig())
	if err != nil {
		return err
	}
	c, err := config("child", root, filepath.Join(root, "scratch-child"), b, store)
	if err != nil {
		return err
	}
	s, err := scorer.New(c)
	if err != nil {
		return err
	}
	s.Watch(func(what string) {
		fmt.Println(what)
		select {} // until killed
	})
	return s.Run(ctx)
}

func config(name, root, scratch string, b *bus.Bus, store artifact.Store) (scorer.Config, error) {
	folder, err := os.OpenRoot(root)
	c := scorer.DefaultConfig()
	c.Addr, c.Instance, c.AckWait, c.Threads = "127.0.0.1:0", name, ackWait, 1
	c.Places = place.Places{Root: folder, Store: store, Scratch: scratch}
	c.Bus, c.Store, c.Log, c.Metrics, c.Health = b, store, slog.New(slog.DiscardHandler), app.NewRegistry(), app.NewHealth()
	return c, err
}

// world is a server, a Production version and a data folder.
type world struct {
	bus    *bus.Bus
	url    string
	store  artifact.Store
	bundle *model.Bundle
	root   string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server := bustest.Start(t)
	w := &world{bus: server.Connect(t), url: server.URL(), root: t.TempDir(), bundle: modeltest.Bundle(t, modeltest.Options{Trees: 5})}
	require.NoError(t, w.bus.Provision(t.Context()))
	var err error
	w.store, err = objstore.Open(t.Context(), w.bus.JetStream(), objstore.DefaultConfig())
	require.NoError(t, err)
	raw, err := w.bundle.Encode()
	require.NoError(t, err)
	ref, err := artifact.PutBytes(t.Context(), w.store, raw)
	require.NoError(t, err)
	of := events.Artifact{Name: "bundle.tar", Digest: string(ref.Digest), SizeBytes: ref.Size}
	_, err = w.bus.Append(t.Context(), events.New(modelName, "test", "v1", time.Now(),
		&events.ModelRegistered{Version: 1, RunID: "r1", Bundle: of, TargetStage: events.StageProduction}), 0)
	require.NoError(t, err)
	_, err = w.bus.Append(t.Context(), events.New(modelName, "test", "v1@0", time.Now(),
		&events.ModelPromoted{Version: 1, RunID: "r1", Bundle: of, Cause: events.PromotedByGate}), 0)
	require.NoError(t, err)
	return w
}

// run starts a scorer in this process, and returns its metrics.
func (w *world) run(t *testing.T, name string, step func(string)) *prometheus.Registry {
	t.Helper()
	b, err := bus.Connect(t.Context(), bus.Config{URL: w.url, Name: name})
	require.NoError(t, err)
	c, err := config(name, w.root, filepath.Join(t.TempDir(), "scratch"), b, w.store)
	require.NoError(t, err)
	s, err := scorer.New(c)
	require.NoError(t, err)
	if step != nil {
		s.Watch(step)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		closing, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		require.NoError(t, b.Close(closing))
	})
	return c.Metrics
}

// ask publishes a request under an event id of its own.
func (w *world) ask(t *testing.T, id string, p *events.ScoreRequested) {
	t.Helper()
	_, err := w.bus.Publish(t.Context(), events.New(modelName, "test", id, time.Now(), p))
	require.NoError(t, err)
}

// outcomes returns what is said of a job.
func (w *world) outcomes(t *testing.T, job string) (completed []*events.ScoreCompleted, failed []*events.ScoreFailed) {
	t.Helper()
	require.NoError(t, w.bus.Read(t.Context(), bus.ReadConfig{Stream: events.Scoring}, func(m bus.Message) error {
		switch p := m.Event.Payload.(type) {
		case *events.ScoreCompleted:
			if p.JobID == job {
				completed = append(completed, p)
			}
		case *events.ScoreFailed:
			if p.JobID == job {
				failed = append(failed, p)
			}
		}
		return nil
	}))
	return completed, failed
}

func (w *world) completed(t *testing.T, job string) *events.ScoreCompleted {
	t.Helper()
	var out *events.ScoreCompleted
	bustest.Eventually(t, func() bool {
		completed, failed := w.outcomes(t, job)
		require.Empty(t, failed)
		if len(completed) > 0 {
			out = completed[0]
		}
		return len(completed) > 0
	}, "job "+job+" is completed")
	return out
}

func (w *world) rows(t *testing.T, name string, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, modeltest.Table(t, modeltest.Options{Rows: n, Seed: 5}).WriteCSV(&b, nil))
	require.NoError(t, os.WriteFile(filepath.Join(w.root, name), b.Bytes(), 0o600))
	return b.Bytes()
}

// undisturbed is what one run over a file writes.
func (w *world) undisturbed(t *testing.T, name string, f batch.Format) []byte {
	t.Helper()
	in, err := os.Open(filepath.Join(w.root, name))
	require.NoError(t, err)
	defer in.Close()
	source, err := batch.NewFile(in)
	require.NoError(t, err)
	root, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	defer root.Close()
	_, err = batch.Run(t.Context(), batch.Job{Bundle: w.bundle, Version: 1, Input: source, OutputFormat: f, Folder: root, Output: "out"})
	require.NoError(t, err)
	raw, err := root.ReadFile("out")
	require.NoError(t, err)
	return raw
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// A scorer that is killed with a job in hand is followed by another, which goes on where the first one stood.
func TestAnotherTakesOver(t *testing.T) {
	w := newWorld(t)
	w.rows(t, "in.csv", 8000)
	w.ask(t, "a", &events.ScoreRequested{JobID: "a", Input: "in.csv", Output: "out.csv"})

	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childURL+"="+w.url, childRoot+"="+w.root)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said := bufio.NewScanner(out)
	require.True(t, said.Scan(), "the child ended")
	require.Equal(t, "block", said.Text())

	metrics := w.run(t, "second", nil)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	c := w.completed(t, "a")
	require.Equal(t, "second", c.Worker)
	require.EqualValues(t, 8000, c.Rows)
	got, err := os.ReadFile(filepath.Join(w.root, "out.csv"))
	require.NoError(t, err)
	require.Equal(t, w.undisturbed(t, "in.csv", batch.CSV), got)
	require.Equal(t, digest(got), c.OutputDigest)
	bustest.Eventually(t, func() bool {
		families, err := metrics.Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == "churn_scoring_jobs_resumed_total" {
				return f.GetMetric()[0].GetCounter().GetValue() == 1
			}
		}
		return false
	}, "the job is counted as resumed")
	left, err := filepath.Glob(filepath.Join(w.root, "out.csv.*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// A job that is done is not done again, whoever asks.
func TestSecondDelivery(t *testing.T) {
	w := newWorld(t)
	w.rows(t, "in.csv", 100)
	w.run(t, "one", nil)
	req := &events.ScoreRequested{JobID: "a", Input: "in.csv", Output: "out.csv"}
	w.ask(t, "a", req)
	w.completed(t, "a")
	out := filepath.Join(w.root, "out.csv")
	require.NoError(t, os.Remove(out))
	w.ask(t, "a, asked again", req)
	w.ask(t, "b", &events.ScoreRequested{JobID: "b", Input: "in.csv", Output: "other.csv"})
	w.completed(t, "b")
	completed, _ := w.outcomes(t, "a")
	require.Len(t, completed, 1)
	_, err := os.Stat(out)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A scorer without NATS has no queue: it is not ready.
func TestHealthSeesNATS(t *testing.T) {
	w := newWorld(t)
	c, err := config("one", w.root, t.TempDir(), w.bus, w.store)
	require.NoError(t, err)
	_, err = scorer.New(c)
	require.NoError(t, err)
	require.True(t, c.Health.Checks()["nats"].OK)
	w.bus.Conn().Close()
	require.False(t, c.Health.Checks()["nats"].OK)
	require.False(t, c.Health.Ready())
}

// Two scorers share the queue: while one is busy, the other does the jobs behind it.
func TestTwoShareTheQueue(t *testing.T) {
	w := newWorld(t)
	w.rows(t, "in.csv", 200)
	busy, free := make(chan struct{}), make(chan struct{})
	w.run(t, "busy", func(what string) {
		if what == "block" {
			select {
			case busy <- struct{}{}:
			case <-free:
			}
			<-free
		}
	})
	t.Cleanup(func() {
		select {
		case <-free:
		default:
			close(free)
		}
	})
	w.ask(t, "0", &events.ScoreRequested{JobID: "0", Input: "in.csv", Output: "0.csv"})
	<-busy
	for i := 1; i <= 4; i++ {
		w.ask(t, fmt.Sprint(i), &events.ScoreRequested{JobID: fmt.Sprint(i), Input: "in.csv", Output: fmt.Sprint(i, ".csv")})
	}
	w.run(t, "idle", nil)
	for i := 1; i <= 4; i++ {
		require.Equal(t, "idle", w.completed(t, fmt.Sprint(i)).Worker)
	}
	close(free)
	require.Equal(t, "busy", w.completed(t, "0").Worker)
}

// Artifacts go in and come out by their digests.
func TestArtifacts(t *testing.T) {
	w := newWorld(t)
	raw := w.rows(t, "in.csv", 100)
	raw = append(raw, "broken\n"...)
	ref, err := artifact.PutBytes(t.Context(), w.store, raw)
	require.NoError(t, err)
	w.run(t, "one", nil)
	w.ask(t, "a", &events.ScoreRequested{JobID: "a", Input: string(ref.Digest), Output: "artifact:parquet"})
	c := w.completed(t, "a")
	require.Equal(t, c.OutputDigest, c.Output)
	require.EqualValues(t, 1, c.Faulty)
	got, err := artifact.ReadAll(t.Context(), w.store, artifact.Digest(c.Output), 1<<20)
	require.NoError(t, err)
	require.Equal(t, w.undisturbed(t, "in.csv", batch.Parquet), got)
	faults, err := artifact.ReadAll(t.Context(), w.store, artifact.Digest(c.Faults), 1<<20)
	require.NoError(t, err)
	require.Contains(t, string(faults), "101,102,,columns_count")
}

// What no retry heals is said, with the reason, and no file outside the data folder is touched.
func TestFailures(t *testing.T) {
	w := newWorld(t)
	raw := w.rows(t, "in.csv", 60)
	secret := filepath.Join(t.TempDir(), "secret.csv")
	require.NoError(t, os.WriteFile(secret, raw, 0o600))
	require.NoError(t, os.Symlink(secret, filepath.Join(w.root, "link.csv")))
	require.NoError(t, os.Symlink(filepath.Dir(secret), filepath.Join(w.root, "folder")))
	require.NoError(t, os.WriteFile(filepath.Join(w.root, "lacking.csv"), bytes.Replace(raw, []byte("tenure"), []byte("other"), 1), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(w.root, "broken.csv"), append(bytes.Clone(raw), "a,b\n"...), 0o600))
	many := w.rows(t, "many.csv", 4000) // of which the first rows are written before the fault is read
	require.NoError(t, os.WriteFile(filepath.Join(w.root, "late.csv"), append(bytes.Clone(many), "a,b\n"...), 0o600))
	none := int64(0)
	w.run(t, "one", nil)
	for i, tt := range []struct {
		name string
		req  events.ScoreRequested
		want string
	}{
		{"no file", events.ScoreRequested{Input: "nothing.csv", Output: "o.csv"}, "no such file"},
		{"a file outside", events.ScoreRequested{Input: secret, Output: "o.csv"}, "not in the data folder"},
		{"a way up", events.ScoreRequested{Input: "../x", Output: "o.csv"}, "not in the data folder"},
		{"a link outside", events.ScoreRequested{Input: "link.csv", Output: "o.csv"}, "refused"},
		{"an output outside", events.ScoreRequested{Input: "in.csv", Output: "../o.csv"}, "not in the data folder"},
		{"an output in a linked folder", events.ScoreRequested{Input: "in.csv", Output: "folder/o.csv"}, "refused"},
		{"an output on a link", events.ScoreRequested{Input: "in.csv", Output: "link.csv"}, "refused"},
		{"a name with a zero byte", events.ScoreRequested{Input: "in.csv", Output: "o\x00.csv"}, "zero byte"},
		{"a name that is too long", events.ScoreRequested{Input: "in.csv", Output: strings.Repeat("o", 250) + ".csv"}, "name too long"},
		{"the input for an output", events.ScoreRequested{Input: "in.csv", Output: "./in.csv"}, "take the place of"},
		{"a folder", events.ScoreRequested{Input: ".", Output: "o.csv"}, "regular file"},
		{"S3 that is not set up", events.ScoreRequested{Input: "s3://b/k", Output: "o.csv"}, "S3 is not set up"},
		{"an artifact that is not there", events.ScoreRequested{Input: digest([]byte("x")), Output: "o.csv"}, "not found"},
		{"a version that is not there", events.ScoreRequested{Input: "in.csv", Output: "o.csv", Version: 9}, "no version 9"},
		{"a column is missing", events.ScoreRequested{Input: "lacking.csv", Output: "o.csv"}, "tenure"},
		{"a column to copy is missing", events.ScoreRequested{Input: "in.csv", Output: "o.csv", Columns: []string{"region"}}, "region"},
		{"faults", events.ScoreRequested{Input: "broken.csv", Output: "o.csv", MaxFaults: &none}, "row 61"},
		{"a fault far behind", events.ScoreRequested{Input: "late.csv", Output: "o.csv", MaxFaults: &none}, "row 4001"},
		{"a copied column that is an output's", events.ScoreRequested{Input: "in.csv", Output: "o.csv", Columns: []string{"label"}}, "label"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.JobID = fmt.Sprint("f", i)
			w.ask(t, tt.req.JobID, &tt.req)
			bustest.Eventually(t, func() bool {
				completed, failed := w.outcomes(t, tt.req.JobID)
				require.Empty(t, completed)
				if len(failed) == 1 {
					require.Contains(t, failed[0].Reason, tt.want)
					require.Equal(t, tt.req.Input == "late.csv", failed[0].Rows > 0)
				}
				return len(failed) == 1
			}, "the job failed")
		})
	}
	require.Equal(t, raw, must(os.ReadFile(secret)))
	require.Equal(t, raw, must(os.ReadFile(filepath.Join(w.root, "in.csv"))))
	entries, err := os.ReadDir(filepath.Dir(secret))
	require.NoError(t, err)
	require.Len(t, entries, 1, "something was written outside the data folder")
	_, err = os.Stat(filepath.Join(w.root, "o.csv"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
