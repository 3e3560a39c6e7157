package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
)

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "inference")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "inference")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return binary, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if binary, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(binary)) // a temporary folder
	}
	os.Exit(code)
}

func binary(t *testing.T) string {
	t.Helper()
	b, err := build()
	require.NoError(t, err)
	return b
}

// TestNoTrainingCodeIsLinked reads the symbols: a program for many copies carries neither training nor a server.
func TestNoTrainingCodeIsLinked(t *testing.T) {
	out, err := exec.Command("go", "tool", "nm", binary(t)).Output()
	require.NoError(t, err)
	symbols := string(out)
	require.Contains(t, symbols, "telco-churn-mlops/inference.(*Service).Run", "the symbols are there to be read")
	require.Contains(t, symbols, "telco-churn-mlops/model/gbdt.(*Ensemble).Margin")
	for _, unwanted := range []string{
		`model/gbdt\.Train$`, `model/gbdt\.\(\*boosting\)`, `model/feature\.Fit$`, `nats-io/nats-server`, `model/modeltest`,
		`telco-churn-mlops/(trainer|registry|drift)\.`,
	} {
		require.NotRegexp(t, regexp.MustCompile("(?m)"+unwanted), symbols)
	}
}

// process is one run of the binary.
type process struct {
	cmd  *exec.Cmd
	addr string
}

// logReader takes the process's log, line by line.
type logReader struct {
	t    *testing.T
	rest []byte
	addr chan string
}

func (r *logReader) Write(b []byte) (int, error) {
	r.rest = append(r.rest, b...)
	for {
		line, rest, ok := bytes.Cut(r.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		r.rest = rest
		r.t.Log(string(line))
		var said struct{ Msg, Addr string }
		if err := json.Unmarshal(line, &said); err == nil && said.Msg == "serving" {
			r.addr <- said.Addr
		}
	}
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary(t), append([]string{"--addr=127.0.0.1:0", "--log-format=json", "--instance=test"}, args...)...)}
	log := &logReader{t: t, addr: make(chan string, 1)}
	p.cmd.Stderr = log
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill() // it may have ended by itself
			_ = p.cmd.Wait()
		}
	})
	select {
	case p.addr = <-log.addr:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not say where it serves")
	}
	return p
}

// answers waits for a version and returns the probability as it is written.
func (p *process) answers(t *testing.T, version int, record []byte) (probability string) {
	t.Helper()
	bustest.Eventually(t, func() bool {
		resp, err := http.Post("http://"+p.addr+"/predict", "", bytes.NewReader(record))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var a struct {
			Version     int
			Probability json.Number `json:"churn_probability"`
		}
		probability = ""
		if resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(&a) == nil && a.Version == version {
			probability = a.Probability.String()
		}
		return probability != ""
	}, "the process answers")
	return probability
}

func TestProcessServesReloadsAndOutlivesNATS(t *testing.T) {
	server := bustest.Start(t)
	b := server.Connect(t)
	store, err := objstore.Open(t.Context(), b.JetStream(), objstore.DefaultConfig())
	require.NoError(t, err)
	var last uint64
	promote := func(version int) {
		ref, err := artifact.PutBytes(t.Context(), store, modeltest.Encoded(t, modeltest.Options{Seed: uint64(version), Relation: uint64(version)}))
		require.NoError(t, err)
		last, err = b.Append(t.Context(), events.New("telco-churn", "test", strings.Repeat("v", version), time.Now(), &events.ModelPromoted{
			Version: version, RunID: "run", Bundle: events.Artifact{Name: "bundle.tar", Digest: string(ref.Digest), SizeBytes: ref.Size},
			PreviousVersion: version - 1, PreviousSequence: last, Cause: events.PromotedByGate,
		}), last)
		require.NoError(t, err)
	}
	record := modeltest.Records(t, modeltest.Options{Rows: 50})[0]
	cache := t.TempDir()
	promote(1)
	p := start(t, "--nats="+server.URL(), "--cache-dir="+cache, "--store-bytes="+fmt.Sprint(server.StoreBytes()))
	p.answers(t, 1, record)
	promote(2)
	want := p.answers(t, 2, record)
	bustest.Eventually(t, func() bool {
		note, err := os.ReadFile(filepath.Join(cache, "telco-churn", "current.json"))
		return err == nil && strings.Contains(string(note), `"version": 2`)
	}, "version 2 is kept on disk")

	require.NoError(t, p.cmd.Process.Kill())
	require.Error(t, p.cmd.Wait())
	server.Stop(t)
	q := start(t, "--nats="+server.URL(), "--cache-dir="+cache, "--store-bytes="+fmt.Sprint(server.StoreBytes()))
	require.Equal(t, want, q.answers(t, 2, record), "from disk, killed before, and without NATS")
	server.Resume(t)
	promote(3)
	q.answers(t, 3, record)
	require.NoError(t, q.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, q.cmd.Wait(), "a requested stop is no failure")
}

func TestBusyPortEndsTheProcessAtOnce(t *testing.T) {
	p := start(t, "--nats=nats://127.0.0.1:1", "--cache-dir=")
	out, err := exec.Command(binary(t), "--addr="+p.addr, "--nats=nats://127.0.0.1:1", "--cache-dir=").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "address in use (set --addr)")
}
