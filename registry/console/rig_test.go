package console_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/console"
)

const churn = "telco-churn"

// rig is a server with a store, a registry with the pages, and the parts that the trainer and inference play.
type rig struct {
	t     testing.TB
	srv   *bustest.Server
	bus   *bus.Bus
	store artifact.Store
	spec  *spec.Spec
	*registry.Service
}

// newRig runs a registry until the end of the test.
func newRig(t testing.TB, change ...func(*registry.Config)) *rig {
	t.Helper()
	return newRigOn(t, bustest.Start(t), change...)
}

func newRigOn(t testing.TB, srv *bustest.Server, change ...func(*registry.Config)) *rig {
	t.Helper()
	b := srv.Connect(t)
	store, err := objstore.Open(t.Context(), b.JetStream(), objstore.DefaultConfig())
	require.NoError(t, err)
	r := &rig{t: t, srv: srv, bus: b, store: store, spec: spec.Telco()}
	r.spec.Gates.Staging = []spec.Threshold{{Metric: "roc_auc", Min: 0.5}}
	c := registry.DefaultConfig()
	c.Spec, c.Addr, c.Grace = r.spec, "127.0.0.1:0", 30*time.Millisecond
	c.Store, c.Log, c.Mounts = store, slog.New(slog.DiscardHandler), []registry.Mount{console.Mount}
	c.Bus = srv.Dial(t, bus.Config{Name: "registry", Source: "registry/test"})
	for _, f := range change {
		f(&c)
	}
	r.Service, err = registry.New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	bustest.Eventually(t, func() bool {
		select {
		case <-r.Tracking().Ready():
			return true
		default:
			return false
		}
	}, "the book is folded")
	return r
}

// get returns the answer of a page.
func (r *rig) get(path string) (int, string) {
	r.t.Helper()
	resp, err := http.Get("http://" + r.Addr() + path)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err, path)
	return resp.StatusCode, string(body)
}

// shows waits until a page holds some words.
func (r *rig) shows(path string, words ...string) string {
	r.t.Helper()
	var body string
	bustest.Eventually(r.t, func() bool {
		_, body = r.get(path)
		for _, w := range words {
			if !strings.Contains(body, w) {
				return false
			}
		}
		return true
	}, path+" shows "+strings.Join(words, ", "))
	return body
}

// post sends a form and returns the status, where it leads, and the page.
func (r *rig) post(path string, form url.Values) (int, string, string) {
	r.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.PostForm("http://"+r.Addr()+path, form)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp.StatusCode, resp.Header.Get("Location"), string(body)
}

func (r *rig) put(name string, data []byte) events.Artifact {
	r.t.Helper()
	ref, err := artifact.PutBytes(r.t.Context(), r.store, data)
	require.NoError(r.t, err)
	return events.Artifact{Name: name, Digest: string(ref.Digest), SizeBytes: ref.Size}
}

// publish stores an event as a compare-and-set on whatever is there.
func (r *rig) publish(key string, p events.Payload) uint64 {
	r.t.Helper()
	last, _, err := r.bus.Last(r.t.Context(), p.EventType(), churn)
	require.NoError(r.t, err)
	seq, err := r.bus.Append(r.t.Context(), events.New(churn, "test", key, time.Now(), p), last.Sequence)
	require.NoError(r.t, err)
	return seq
}

// complete trains a small model and says so as the trainer would.
func (r *rig) complete(o modeltest.Options, change ...func(*events.RunCompleted)) *events.RunCompleted {
	r.t.Helper()
	o.Spec = r.spec
	if o.RunID == "" {
		o.RunID = fmt.Sprint("run-", o.Seed)
	}
	b := modeltest.Bundle(r.t, o)
	data, err := b.Encode()
	require.NoError(r.t, err)
	run := &events.RunCompleted{
		RunID: o.RunID, Experiment: o.Spec.Experiment, Metrics: b.Manifest.Metrics, SpecDigest: b.Manifest.SpecDigest,
		DatasetFingerprint: b.Manifest.DatasetFingerprint, TargetStage: events.StageProduction, Params: map[string]string{"trees": "20"},
		Causes: []events.Cause{{Kind: events.CauseRequested, Detail: "test"}}, StartedAt: time.Now(),
		Artifacts: []events.Artifact{r.put(events.ArtifactBundle, data), r.put(events.ArtifactHoldout, modeltest.HoldoutCSV(r.t, o))},
	}
	for _, f := range change {
		f(run)
	}
	r.publish(run.RunID, run)
	return run
}

// version waits for a version with a verdict.
func (r *rig) version(n int) registry.Version {
	r.t.Helper()
	var v registry.Version
	bustest.Eventually(r.t, func() bool {
		var ok bool
		require.NoError(r.t, r.Fresh(r.t.Context()))
		r.View(func(c *registry.Catalog, _ *registry.Fleet) { v, ok = c.Version(churn, n) })
		return ok && v.Gate != nil
	}, fmt.Sprint("verdict of version ", n))
	return v
}

// production waits until a version is Production and returns its promotion.
func (r *rig) production(n int) registry.Promotion {
	r.t.Helper()
	var p registry.Promotion
	bustest.Eventually(r.t, func() bool {
		require.NoError(r.t, r.Fresh(r.t.Context()))
		r.View(func(c *registry.Catalog, _ *registry.Fleet) { p, _ = c.Promotion(churn) })
		return p.Version == n
	}, fmt.Sprintf("version %d is Production", n))
	return p
}

// loads says that an instance serves what is Production.
func (r *rig) loads(instance string, p registry.Promotion) {
	r.t.Helper()
	serving := events.Serving{Instance: instance, Boot: "b", Version: p.Version, Digest: p.Bundle.Digest, PromotionSequence: p.Sequence}
	for key, payload := range map[string]events.Payload{
		"loaded": &events.ModelLoaded{Serving: serving, DurationMS: 12.5},
		"alive":  &events.InstanceAlive{Serving: serving, StartedAt: time.Now(), Predictions: 4711, Address: "127.0.0.1:8080"},
	} {
		_, err := r.bus.Publish(r.t.Context(), events.New(churn, "inference/test", fmt.Sprint(key, instance, p.Sequence), time.Now(), payload))
		require.NoError(r.t, err)
	}
}

// evaluations publishes a drift that grows.
func (r *rig) evaluations(promotion uint64, n int) {
	r.t.Helper()
	for i := range n {
		value := 0.04 + 0.08*float64(i%12)
		state := events.StateOK
		if value > 0.2 {
			state = events.StateFiring
		}
		at := time.Now().Add(time.Duration(i-n) * 10 * time.Minute)
		bins := []events.BinShare{{Bin: "(-inf, 29.5]", Reference: 0.2, Current: 0.08, PSI: 0.11}, {Bin: "(29.5, 55]", Reference: 0.2, Current: 0.15, PSI: 0.01},
			{Bin: "(55, 74]", Reference: 0.2, Current: 0.2}, {Bin: "(74, 90]", Reference: 0.2, Current: 0.22}, {Bin: "(90, +inf]", Reference: 0.2, Current: 0.35, PSI: 0.08}}
		e := &events.DriftEvaluated{
			Kind: events.DriftData, Evaluation: uint64(i + 1), Version: 1, PromotionSequence: promotion, Rows: 1000, WindowFrom: at.Add(-time.Hour), WindowTo: at,
			Columns: []events.ColumnEvaluation{
				{Column: "MonthlyCharges", Statistic: "psi", Value: value, Threshold: 0.2, Bound: 0.03, N: 1000, State: state, Action: events.ActionRetrain, Bins: bins},
				{Column: events.ColumnScore, Statistic: "psi", Value: value / 4, Threshold: 0.2, Bound: 0.03, N: 1000, State: events.StateOK, Action: events.ActionReport},
			},
		}
		_, err := r.bus.Publish(r.t.Context(), events.New(churn, "drift/test", fmt.Sprintf("data/%d", i+1), at, e))
		require.NoError(r.t, err)
	}
}

// policy lets one user of each role in, whose token is the role's name.
func policy(t *testing.T) *access.Policy {
	t.Helper()
	var text strings.Builder
	text.WriteString("users:\n")
	for _, role := range access.Roles() {
		fmt.Fprintf(&text, "  - name: %s-user\n    role: %s\n    token_sha256: %s\n", role, role, access.TokenDigest(string(role)))
	}
	path := filepath.Join(t.TempDir(), "users.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
	p, err := access.Load(path)
	require.NoError(t, err)
	return p
}

// damage puts other bytes of the same length in place of an artifact's.
func damage(t *testing.T, r *rig, a events.Artifact) {
	t.Helper()
	bucket, err := r.bus.JetStream().ObjectStore(t.Context(), objstore.DefaultConfig().Bucket)
	require.NoError(t, err)
	_, err = bucket.PutBytes(t.Context(), artifact.Digest(a.Digest).Hex(), bytes.Repeat([]byte("x"), int(a.SizeBytes)))
	require.NoError(t, err)
}
