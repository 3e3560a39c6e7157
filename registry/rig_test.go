package registry

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

const churn = "telco-churn"

// rig is a server with a store, and the parts that the trainer and inference play.
type rig struct {
	t     *testing.T
	srv   *bustest.Server
	bus   *bus.Bus
	store artifact.Store
	spec  *spec.Spec
}

func newRig(t *testing.T) *rig {
	t.Helper()
	srv := bustest.Start(t)
	b := srv.Connect(t)
	store, err := objstore.Open(t.Context(), b.JetStream(), objstore.DefaultConfig())
	require.NoError(t, err)
	s := spec.Telco()
	s.Gates.Staging = []spec.Threshold{{Metric: "roc_auc", Min: 0.5}}
	return &rig{t: t, srv: srv, bus: b, store: store, spec: s}
}

// running is a registry that runs until stop.
type running struct {
	*Service
	stop func()
}

// start runs a registry on a connection of its own until stop or the end of the test.
func (r *rig) start(change ...func(*Config)) *running {
	r.t.Helper()
	c := DefaultConfig()
	c.Spec, c.Addr, c.Grace = r.spec, "127.0.0.1:0", 30*time.Millisecond
	c.Store, c.Log = r.store, slog.New(slog.DiscardHandler)
	for _, f := range change {
		f(&c)
	}
	if c.Bus == nil {
		c.Bus = r.srv.Dial(r.t, bus.Config{Name: "registry", Source: "registry/test"})
	}
	s, err := New(c)
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	r.t.Cleanup(stop)
	return &running{s, stop}
}

// put stores bytes as a named artifact.
func (r *rig) put(name string, data []byte) events.Artifact {
	r.t.Helper()
	ref, err := artifact.PutBytes(r.t.Context(), r.store, data)
	require.NoError(r.t, err)
	return events.Artifact{Name: name, Digest: string(ref.Digest), SizeBytes: ref.Size}
}

// run trains a small model, stores its artifacts and returns the event that the trainer would publish.
func (r *rig) run(o modeltest.Options) *events.RunCompleted {
	r.t.Helper()
	if o.Spec == nil {
		o.Spec = r.spec
	}
	if o.RunID == "" {
		o.RunID = fmt.Sprint("run-", o.Seed)
	}
	b := modeltest.Bundle(r.t, o)
	data, err := b.Encode()
	require.NoError(r.t, err)
	return &events.RunCompleted{
		RunID: o.RunID, Experiment: o.Spec.Experiment, Metrics: b.Manifest.Metrics, SpecDigest: b.Manifest.SpecDigest,
		DatasetFingerprint: b.Manifest.DatasetFingerprint, TargetStage: events.StageProduction,
		Params: map[string]string{"trees": "20"},
		Causes: []events.Cause{{Kind: events.CauseRequested, Detail: "test"}}, StartedAt: time.Now(),
		Artifacts: []events.Artifact{
			r.put(events.ArtifactBundle, data), r.put(events.ArtifactHoldout, modeltest.HoldoutCSV(r.t, o)),
		},
	}
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

// complete publishes a run made by run, after it was changed.
func (r *rig) complete(o modeltest.Options, change ...func(*events.RunCompleted)) *events.RunCompleted {
	r.t.Helper()
	run := r.run(o)
	for _, f := range change {
		f(run)
	}
	r.publish(run.RunID, run)
	return run
}

// junk publishes bytes that are no event.
func (r *rig) junk(t events.Type) uint64 {
	r.t.Helper()
	subject, err := events.SubjectOf(t, churn)
	require.NoError(r.t, err)
	ack, err := r.bus.JetStream().Publish(r.t.Context(), subject, []byte("{junk"))
	require.NoError(r.t, err)
	return ack.Sequence
}

func (r *rig) catalog() *Catalog {
	r.t.Helper()
	c, err := LoadCatalog(r.t.Context(), r.bus)
	require.NoError(r.t, err)
	return c
}

// wait polls the stream until cond holds of it.
func (r *rig) wait(what string, cond func(*Catalog) bool) *Catalog {
	r.t.Helper()
	var c *Catalog
	bustest.Eventually(r.t, func() bool {
		c = r.catalog()
		return cond(c)
	}, what)
	return c
}

// production waits until a version is Production.
func (r *rig) production(version int) *Catalog {
	r.t.Helper()
	return r.wait("production", func(c *Catalog) bool {
		p, ok := c.Promotion(churn)
		return ok && p.Version == version
	})
}

// judged waits until a version has its verdict and returns it.
func (r *rig) judged(version int) Version {
	r.t.Helper()
	c := r.wait("verdict", func(c *Catalog) bool {
		v, ok := c.Version(churn, version)
		return ok && v.Gate != nil
	})
	v, _ := c.Version(churn, version)
	return v
}

// deadLetters returns the dead letters by the sequence of what they hold, LIFECYCLE only.
func (r *rig) deadLetters() map[uint64]events.DeadLetter {
	r.t.Helper()
	out := map[uint64]events.DeadLetter{}
	require.NoError(r.t, r.bus.DeadLetters(r.t.Context(), func(_ uint64, d events.DeadLetter) error {
		if d.Stream == string(events.Lifecycle) {
			require.NotContains(r.t, out, d.Sequence, "two letters for one message")
			out[d.Sequence] = d
		}
		return nil
	}))
	return out
}

// counter returns the value of a metric.
func counter(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	require.NoError(t, m.Write(&out))
	return out.GetCounter().GetValue()
}
