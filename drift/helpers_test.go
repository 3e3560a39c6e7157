package drift

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// smallSpec is Telco's with windows that a test fills quickly.
func smallSpec() *spec.Spec {
	s := spec.Telco()
	s.Drift.Window, s.Drift.Every, s.Drift.MinRows = 200, 50, 100
	s.Drift.Performance.Every, s.Drift.Performance.Window, s.Drift.Performance.MinRows, s.Drift.Performance.MinPositives = 20, 100, 60, 10
	return s
}

// world is a server with streams, a store and promoted versions.
type world struct {
	t      testing.TB
	server *bustest.Server
	bus    *bus.Bus
	store  artifact.Store
	seq    uint64 // of the last promotion
	made   int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, server: bustest.Start(t)}
	w.bus = w.server.Connect(t)
	w.store = openStore(t, w.bus)
	return w
}

func openStore(t testing.TB, b *bus.Bus) artifact.Store {
	t.Helper()
	s, err := objstore.Open(t.Context(), b.JetStream(), objstore.DefaultConfig())
	require.NoError(t, err)
	return s
}

// promote stores a bundle and promotes it, and returns the promotion's sequence.
func (w *world) promote(version int, o modeltest.Options) (uint64, *model.Bundle) {
	w.t.Helper()
	data := modeltest.Encoded(w.t, o)
	ref, err := artifact.PutBytes(w.t.Context(), w.store, data)
	require.NoError(w.t, err)
	b, err := model.Decode(data)
	require.NoError(w.t, err)
	return w.promoteDigest(b.Manifest.Model, version, string(ref.Digest)), b
}

func (w *world) promoteDigest(name string, version int, digest string) uint64 {
	w.t.Helper()
	p := &events.ModelPromoted{Version: version, RunID: fmt.Sprint("run-", version), Cause: events.PromotedManually,
		Bundle: events.Artifact{Name: events.ArtifactBundle, Digest: digest, SizeBytes: 1}}
	seq, err := w.bus.Append(w.t.Context(), events.New(name, "test", fmt.Sprintf("v%d@%d", version, w.seq), time.Now(), p), w.seq)
	require.NoError(w.t, err)
	w.seq = seq
	return seq
}

// prediction returns an answer for a record.
func (w *world) prediction(record []byte, version int, promotion uint64, score float64) *events.PredictionMade {
	w.made++
	var id struct {
		CustomerID string `json:"customerID"`
	}
	require.NoError(w.t, json.Unmarshal(record, &id))
	return &events.PredictionMade{
		PredictionID: fmt.Sprintf("p%06d", w.made), EntityID: id.CustomerID, Version: version, PromotionSequence: promotion, Record: record,
		Score: score, Threshold: 0.5, Positive: score >= 0.5, Label: "No", Instance: "test", Boot: "b", Ordinal: uint64(w.made),
	}
}

// send publishes payloads of one model in order and waits for the acks.
func (w *world) send(name string, key func(events.Payload) string, ps ...events.Payload) {
	w.t.Helper()
	var acks []jetstream.PubAckFuture
	for i, p := range ps {
		msg, err := w.bus.Msg(events.New(name, "test", key(p), time.Now(), p))
		require.NoError(w.t, err)
		ack, err := w.bus.JetStream().PublishMsgAsync(msg)
		require.NoError(w.t, err)
		acks = append(acks, ack)
		if i%500 == 499 {
			<-w.bus.JetStream().PublishAsyncComplete()
		}
	}
	for _, a := range acks {
		select {
		case <-a.Ok():
		case err := <-a.Err():
			require.NoError(w.t, err)
		}
	}
}

func (w *world) predict(name string, ps ...*events.PredictionMade) {
	w.t.Helper()
	var out []events.Payload
	for _, p := range ps {
		out = append(out, p)
	}
	w.send(name, func(p events.Payload) string { return p.(*events.PredictionMade).PredictionID }, out...)
}

func (w *world) label(name string, ls ...*events.LabelObserved) {
	w.t.Helper()
	var out []events.Payload
	n := 0
	for _, l := range ls {
		out = append(out, l)
	}
	w.send(name, func(p events.Payload) string {
		n++
		l := p.(*events.LabelObserved)
		return fmt.Sprintf("%s/%s/%s/%d/%d", l.PredictionID, l.EntityID, l.Outcome, n, time.Now().UnixNano())
	}, out...)
}

// serviceConfig returns a configuration of a service on a port of its own.
func serviceConfig(b *bus.Bus, store artifact.Store) Config {
	c := DefaultConfig()
	c.Addr, c.Instance, c.Bus, c.Store = "127.0.0.1:0", "test", b, store
	c.Log, c.Metrics, c.Health = slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry(), app.NewHealth()
	return c
}

// start runs a service until the test ends or stop is called.
func (w *world) start(change ...func(*Service)) (s *Service, stop func()) {
	w.t.Helper()
	return w.startOn(w.bus, w.store, change...)
}

func (w *world) startOn(b *bus.Bus, store artifact.Store, change ...func(*Service)) (s *Service, stop func()) {
	w.t.Helper()
	c := serviceConfig(b, store)
	c.Early, c.Retry = 400*time.Millisecond, 300*time.Millisecond
	s, err := New(c)
	require.NoError(w.t, err)
	for _, f := range change {
		f(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(w.t, <-done)
	}
	w.t.Cleanup(stop)
	return s, stop
}

// stored returns the events of a stream now, in order.
func (w *world) stored(s events.Stream) []bus.Message {
	w.t.Helper()
	var out []bus.Message
	require.NoError(w.t, w.bus.Read(w.t.Context(), bus.ReadConfig{Stream: s}, func(m bus.Message) error {
		out = append(out, m)
		return nil
	}))
	return out
}

// of returns the payloads of a type among messages.
func of[T any](ms []bus.Message) []*T {
	var out []*T
	for _, m := range ms {
		if p, ok := any(m.Event.Payload).(*T); ok {
			out = append(out, p)
		}
	}
	return out
}

// awaitCount waits until the stream holds n payloads of a type.
func awaitCount[T any](w *world, s events.Stream, n int) []*T {
	w.t.Helper()
	var got []*T
	bustest.Eventually(w.t, func() bool { got = of[T](w.stored(s)); return len(got) >= n }, fmt.Sprintf("%d of %T, got %d", n, *new(T), len(got)))
	require.Len(w.t, got, n)
	return got
}

// records returns rows as the model's reference has them, with MonthlyCharges times factor.
func records(t testing.TB, s *spec.Spec, n int, seed uint64, factor float64) [][]byte {
	t.Helper()
	out := modeltest.Records(t, modeltest.Options{Spec: s, Rows: max(n, 50), Seed: seed, IDPrefix: fmt.Sprintf("c%d-", seed)})[:n]
	if factor == 1 {
		return out
	}
	for i := range out {
		var r map[string]any
		require.NoError(t, json.Unmarshal(out[i], &r))
		if v, ok := r["MonthlyCharges"].(float64); ok {
			r["MonthlyCharges"] = v * factor
		}
		data, err := json.Marshal(r)
		require.NoError(t, err)
		out[i] = data
	}
	return out
}

// answers scores records with a bundle, as inference would.
func (w *world) answers(b *model.Bundle, version int, promotion uint64, rs [][]byte) []*events.PredictionMade {
	w.t.Helper()
	scorer, row := b.NewScorer(), b.Schema.NewRow()
	var out []*events.PredictionMade
	for _, r := range rs {
		p := w.prediction(r, version, promotion, score(w.t, b, scorer, row, r))
		p.Threshold = b.Manifest.Threshold
		p.Positive = p.Score >= p.Threshold
		out = append(out, p)
	}
	return out
}

func eventually(t testing.TB, cond func() bool, msg string) {
	t.Helper()
	bustest.Eventually(t, cond, msg)
}

func deadLetters(w *world) []events.DeadLetter {
	w.t.Helper()
	var out []events.DeadLetter
	require.NoError(w.t, w.bus.DeadLetters(w.t.Context(), func(_ uint64, d events.DeadLetter) error {
		out = append(out, d)
		return nil
	}))
	return out
}
