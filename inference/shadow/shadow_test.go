package shadow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/compare"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/modeltest"
)

const name = "telco-churn"

var (
	bundles  = map[uint64]*model.Bundle{}
	bundling sync.Mutex
)

// bundle returns the model of a seed, fitted once.
func bundle(t testing.TB, seed uint64) *model.Bundle {
	t.Helper()
	bundling.Lock()
	defer bundling.Unlock()
	if bundles[seed] == nil {
		bundles[seed] = modeltest.Bundle(t, modeltest.Options{Seed: seed})
	}
	return bundles[seed]
}

// world is a server with a Production and the shadow of a candidate beside it.
type world struct {
	t         testing.TB
	server    *bustest.Server
	bus       *bus.Bus
	store     artifact.Store
	answering *model.Bundle
	candidate *model.Bundle
	promotion uint64
	rollouts  uint64 // sequence of the last rollout.changed
	revision  int
	made      int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, server: bustest.Start(t)}
	w.bus = w.server.Connect(t)
	var err error
	w.store, err = objstore.Open(t.Context(), w.bus.JetStream(), objstore.DefaultConfig())
	require.NoError(t, err)
	w.answering, w.candidate = bundle(t, 1), bundle(t, 2)
	return w
}

func (w *world) put(b *model.Bundle) events.Artifact {
	w.t.Helper()
	data, err := b.Encode()
	require.NoError(w.t, err)
	ref, err := artifact.PutBytes(w.t.Context(), w.store, data)
	require.NoError(w.t, err)
	return events.Artifact{Name: events.ArtifactBundle, Digest: string(ref.Digest), SizeBytes: ref.Size}
}

func (w *world) promote(version int) {
	w.t.Helper()
	p := &events.ModelPromoted{Version: version, Bundle: w.put(w.answering), Cause: events.PromotedManually}
	var err error
	w.promotion, err = w.bus.Append(w.t.Context(), events.New(name, "test", fmt.Sprint(version), time.Now(), p), w.promotion)
	require.NoError(w.t, err)
}

// roll writes the next revision of the rollout.
func (w *world) roll(state events.RolloutState, bundle events.Artifact, change ...func(*events.RolloutChanged)) {
	w.t.Helper()
	w.revision++
	p := &events.RolloutChanged{Revision: w.revision, State: state, Mode: events.RolloutShadow, Version: 2, Bundle: bundle, Production: 1,
		PromotionSequence: w.promotion, Cause: events.RolloutManually}
	for _, f := range change {
		f(p)
	}
	var err error
	w.rollouts, err = w.bus.Append(w.t.Context(), events.New(name, "test", fmt.Sprint("r", w.revision), time.Now(), p), w.rollouts)
	require.NoError(w.t, err)
}

// answer returns n answers of Production.
func (w *world) answer(n int) []*events.PredictionMade {
	w.t.Helper()
	s := compare.NewScorer(w.answering)
	var all []*events.PredictionMade
	for _, record := range modeltest.Records(w.t, modeltest.Options{Rows: max(n, 50), Seed: uint64(w.made + 100)})[:n] {
		a, err := s.Score(record)
		require.NoError(w.t, err)
		w.made++
		all = append(all, &events.PredictionMade{PredictionID: fmt.Sprintf("p%06d", w.made), Version: 1, PromotionSequence: w.promotion, Record: record, Score: a.Score,
			Threshold: 0.5, Positive: a.Positive, Label: "No", Instance: "a", Boot: "b", Ordinal: uint64(w.made)})
	}
	return all
}

func (w *world) publish(ps ...*events.PredictionMade) {
	w.t.Helper()
	var acks []jetstream.PubAckFuture
	for _, p := range ps {
		msg, err := w.bus.Msg(events.New(name, "test", p.PredictionID, time.Now(), p))
		require.NoError(w.t, err)
		ack, err := w.bus.JetStream().PublishMsgAsync(msg)
		require.NoError(w.t, err)
		acks = append(acks, ack)
	}
	for _, a := range acks {
		select {
		case <-a.Ok():
		case err := <-a.Err():
			require.NoError(w.t, err)
		}
	}
}

// label joins the outcome of a prediction, as drift does.
func (w *world) label(p *events.PredictionMade, sequence uint64, observed bool) {
	w.t.Helper()
	_, err := w.bus.Publish(w.t.Context(), events.New(name, "test", p.PredictionID, time.Now(), &events.ExampleJoined{PredictionID: p.PredictionID,
		Version: p.Version, PromotionSequence: p.PromotionSequence, PredictionsSequence: sequence, Record: p.Record, Score: p.Score, Threshold: p.Threshold,
		Predicted: p.Positive, Observed: observed, PredictedAt: time.Now(), ObservedAt: time.Now(), Arm: p.Arm}))
	require.NoError(w.t, err)
}

// start runs a worker on a connection of its own until stop is called or the test ends.
func (w *world) start(change ...func(*Worker)) (stop func()) {
	w.t.Helper()
	c := DefaultConfig()
	c.Bus, c.Store = w.server.Dial(w.t, bus.Config{Name: "test"}), w.store
	c.Log, c.Metrics = slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry()
	c.Every, c.Longest = 50*time.Millisecond, 100*time.Millisecond
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
		if !stopped {
			stopped = true
			cancel()
			require.NoError(w.t, <-done)
		}
	}
	w.t.Cleanup(stop)
	return stop
}

// last returns the last checkpoint, zero before the first.
func (w *world) last() events.ShadowEvaluated {
	w.t.Helper()
	m, ok, err := w.bus.LastValid(w.t.Context(), events.TypeShadowEvaluated, name)
	require.NoError(w.t, err)
	if !ok {
		return events.ShadowEvaluated{}
	}
	return *m.Event.Payload.(*events.ShadowEvaluated)
}

func (w *world) await(what string, cond func(events.ShadowEvaluated) bool) events.ShadowEvaluated {
	w.t.Helper()
	var got events.ShadowEvaluated
	bustest.Eventually(w.t, func() bool { got = w.last(); return cond(got) }, what)
	return got
}

// expect computes what a shadow of these answers must say, in one go.
func (w *world) expect(ps []*events.PredictionMade) compare.Tally {
	w.t.Helper()
	var all compare.Tally
	s := compare.NewScorer(w.candidate)
	for _, p := range ps {
		a, err := s.Score(p.Record)
		require.NoError(w.t, err)
		all.Add(compare.Answer{Score: p.Score, Positive: p.Positive}, a)
	}
	return all
}

func (w *world) same(want compare.Tally, got events.ShadowEvaluated) {
	w.t.Helper()
	require.Equal(w.t, want.Rows, got.Rows)
	require.Equal(w.t, want.Flips(), got.Flips)
	require.Equal(w.t, want.First[:], got.ProductionScores)
	require.Equal(w.t, want.Second[:], got.Scores)
	require.Equal(w.t, want.MaxAbs, got.MaxAbsDiff)
	require.InDelta(w.t, want.SumAbs, got.SumAbsDiff, 1e-9)
	require.InDelta(w.t, want.PSI(), got.PSI, 1e-12)
}

// The story of a shadow: it begins with the rollout, leaves out what is not Production's, counts labels as they come, and ends with the rollout.
func TestAShadowFromBeginToEnd(t *testing.T) {
	w := newWorld(t)
	w.promote(1)
	before := w.answer(30)
	w.publish(before...)
	w.roll(events.RolloutRunning, w.put(w.candidate))
	w.start()
	ps := w.answer(100)
	w.publish(ps...)
	other := w.answer(4)
	other[0].Arm, other[1].Arm = events.ArmCanary, events.ArmDirect
	other[2].PromotionSequence--
	other[3].Record = []byte(`{"tenure":"long"}`)
	w.publish(other...)
	require.NoError(t, w.bus.Conn().Publish("prediction.made."+name, []byte("junk")))
	got := w.await("all are counted", func(e events.ShadowEvaluated) bool { return e.PredictionsSequence == 135 })
	want := w.expect(ps)
	require.Positive(t, want.Flips(), "the candidates of this test differ")
	require.Greater(t, want.PSI(), 0.001)
	w.same(want, got)
	require.Equal(t, uint64(31), got.PredictionsFrom)
	require.Equal(t, map[string]uint64{skippedArm: 2, skippedPromotion: 1, skippedRecord: 1, skippedJunk: 1}, got.Skipped)
	require.Equal(t, 1, got.Revision)
	require.Equal(t, 2, got.Version)
	require.Equal(t, 1, got.Production)
	require.Nil(t, got.F1)
	require.False(t, got.Final)

	// Labels: one of a prediction from before the shadow and one of a canary do not count.
	w.label(before[0], 1, true)
	w.label(other[0], 131, true)
	var candidate, answered events.Confusion
	s := compare.NewScorer(w.candidate)
	for i, p := range ps[:40] {
		observed := i%3 == 0
		w.label(p, uint64(31+i), observed)
		a, err := s.Score(p.Record)
		require.NoError(t, err)
		compare.Judge(&candidate, a.Positive, observed)
		compare.Judge(&answered, p.Positive, observed)
	}
	got = w.await("the labels are counted", func(e events.ShadowEvaluated) bool { return e.TrainingSequence == 42 })
	require.Equal(t, uint64(40), got.Labelled)
	require.Equal(t, candidate, *got.Confusion)
	require.Equal(t, answered, *got.ProductionConfusion)
	f1, _ := compare.F1(&candidate)
	require.Equal(t, f1, *got.F1)

	w.roll(events.RolloutAborted, events.Artifact{})
	got = w.await("it ends", func(e events.ShadowEvaluated) bool { return e.Final })
	require.Equal(t, "aborted: manual", got.Reason)
	w.same(want, got)
	w.publish(w.answer(50)...)

	// The next one of the same model begins from nothing.
	w.roll(events.RolloutRunning, w.put(w.candidate))
	more := w.answer(25)
	w.publish(more...)
	got = w.await("the second one counts", func(e events.ShadowEvaluated) bool { return e.Revision == 3 && e.Rows == 25 })
	w.same(w.expect(more), got)
	w.promote(3)
	got = w.await("a promotion ends it", func(e events.ShadowEvaluated) bool { return e.Final })
	require.Equal(t, 3, got.Revision)
	require.Equal(t, "another promotion became Production", got.Reason)
}

// Whatever dies and however many count, the last checkpoint holds every prediction and label once.
func TestWorkersLoseAndDoubleNothing(t *testing.T) {
	w := newWorld(t)
	w.promote(1)
	w.roll(events.RolloutRunning, w.put(w.candidate))
	var all []*events.PredictionMade
	workers := []func(){w.start(), w.start()}
	for round := range 8 {
		ps := w.answer(150)
		first := uint64(len(all))
		all = append(all, ps...)
		w.publish(ps...)
		w.label(ps[0], first+1, round%2 == 0)
		if round%2 == 0 { // one dies, as it comes: between any two messages
			workers[round/2%2]()
			workers[round/2%2] = w.start()
		}
	}
	got := w.await("all are counted", func(e events.ShadowEvaluated) bool {
		return e.PredictionsSequence == uint64(len(all)) && e.TrainingSequence == 8
	})
	w.same(w.expect(all), got)
	require.Equal(t, uint64(8), got.Labelled)
	require.Empty(t, got.Skipped)
}

// The one that stands by takes over when the other is gone.
func TestStandByTakesOver(t *testing.T) {
	w := newWorld(t)
	w.promote(1)
	w.roll(events.RolloutRunning, w.put(w.candidate))
	stopped := w.start()
	ps := w.answer(40)
	w.publish(ps...)
	w.await("the first one counts", func(e events.ShadowEvaluated) bool { return e.Rows == 40 })
	w.start()
	more := w.answer(60)
	w.publish(more...)
	w.await("both count", func(e events.ShadowEvaluated) bool { return e.Rows == 100 })
	stopped()
	rest := w.answer(50)
	w.publish(rest...)
	got := w.await("the second one goes on", func(e events.ShadowEvaluated) bool { return e.Rows == 150 })
	w.same(w.expect(append(append(ps, more...), rest...)), got)
}

// panicking panics at its n-th record.
type panicking struct {
	scorer
	n int
}

func (p *panicking) Score(record []byte) (compare.Answer, error) {
	if p.n--; p.n < 0 {
		return compare.Answer{}, fmt.Errorf("%w: out of leaves", compare.ErrPanic)
	}
	return p.scorer.Score(record)
}

func TestABrokenCandidateEndsTheShadowAlone(t *testing.T) {
	w := newWorld(t)
	w.promote(1)
	w.roll(events.RolloutRunning, w.put(w.candidate))
	w.start(func(s *Worker) {
		s.open = func(data []byte) (scorer, error) {
			good, err := openBundle(data)
			return &panicking{good, 30}, err
		}
	})
	w.publish(w.answer(50)...)
	got := w.await("it ends", func(e events.ShadowEvaluated) bool { return e.Final })
	require.Contains(t, got.Reason, "the model panicked: out of leaves")
	require.Equal(t, uint64(30), got.Rows)
	w.publish(w.answer(50)...)
	w.roll(events.RolloutAborted, events.Artifact{})
	w.roll(events.RolloutRunning, w.put(w.answering))
	w.publish(w.answer(20)...)
	got = w.await("the worker goes on with the next", func(e events.ShadowEvaluated) bool { return e.Revision == 3 && e.Rows == 20 })
	require.Zero(t, got.Flips)
	require.Zero(t, got.MaxAbsDiff, "Production beside itself")
}

func TestABundleThatIsNoBundle(t *testing.T) {
	w := newWorld(t)
	w.promote(1)
	ref, err := artifact.PutBytes(t.Context(), w.store, []byte("no bundle"))
	require.NoError(t, err)
	w.roll(events.RolloutRunning, events.Artifact{Name: events.ArtifactBundle, Digest: string(ref.Digest), SizeBytes: ref.Size})
	w.start()
	got := w.await("it ends", func(e events.ShadowEvaluated) bool { return e.Final })
	require.Contains(t, got.Reason, "decode bundle")
	require.Zero(t, got.Rows)
	w.roll(events.RolloutAborted, events.Artifact{})
	missing := artifact.DigestOf([]byte("nowhere"))
	w.roll(events.RolloutRunning, events.Artifact{Name: events.ArtifactBundle, Digest: string(missing), SizeBytes: 1})
	got = w.await("so does one that is not there", func(e events.ShadowEvaluated) bool { return e.Revision == 3 && e.Final })
	require.Contains(t, got.Reason, "fetch bundle")
}

// finals returns the reasons of all final counts, in order, each with its revision.
func (w *world) finals() []string {
	w.t.Helper()
	var all []string
	require.NoError(w.t, w.bus.Read(w.t.Context(), bus.ReadConfig{Stream: events.Drift}, func(m bus.Message) error {
		if e, ok := m.Event.Payload.(*events.ShadowEvaluated); ok && e.Final {
			all = append(all, fmt.Sprintf("%d %s", e.Revision, e.Reason))
		}
		return nil
	}))
	return all
}

// A shadow in place of another, and what comes after the end of one, do not hide how each ended.
func TestEveryShadowHasItsEnd(t *testing.T) {
	w := newWorld(t)
	w.promote(1)
	w.roll(events.RolloutRunning, w.put(w.candidate))
	stop := w.start()
	w.publish(w.answer(20)...)
	w.await("it counts", func(e events.ShadowEvaluated) bool { return e.Rows == 20 })
	w.roll(events.RolloutRunning, w.put(w.candidate))
	w.publish(w.answer(10)...)
	w.await("the second one counts", func(e events.ShadowEvaluated) bool { return e.Revision == 2 && e.Rows == 10 })
	stop()
	// Junk after a checkpoint hides nothing.
	require.NoError(t, w.bus.Conn().Publish("shadow.evaluated."+name, []byte("junk")))
	w.roll(events.RolloutRunning, w.put(w.candidate))
	stop = w.start()
	w.publish(w.answer(5)...)
	w.await("the third one counts", func(e events.ShadowEvaluated) bool { return e.Revision == 3 && e.Rows == 5 })
	stop()
	require.NoError(t, w.bus.Conn().Publish("shadow.evaluated."+name, []byte("junk")))
	w.roll(events.RolloutAborted, events.Artifact{})
	w.roll(events.RolloutCompleted, events.Artifact{}, func(p *events.RolloutChanged) { p.Mode, p.Cause = events.RolloutDirect, events.RolloutPassed })
	w.start()
	w.await("it is ended", func(e events.ShadowEvaluated) bool { return e.Final })
	require.Equal(t, []string{"1 rollout 2 took its place", "2 rollout 3 took its place", "3 aborted: manual"}, w.finals())
	bustest.Eventually(t, func() bool {
		n := 0
		require.NoError(t, w.bus.DeadLetters(t.Context(), func(uint64, events.DeadLetter) error { n++; return nil }))
		return n == 2
	}, "each junk is one dead letter, whoever found it and how often")
}

// A shadow that ended while no worker ran gets its final counts.
func TestAShadowThatEndedUnseen(t *testing.T) {
	w := newWorld(t)
	w.promote(1)
	w.roll(events.RolloutRunning, w.put(w.candidate))
	stop := w.start()
	w.publish(w.answer(20)...)
	w.await("it counts", func(e events.ShadowEvaluated) bool { return e.Rows == 20 })
	stop()
	w.promote(2)
	w.start()
	got := w.await("it is ended", func(e events.ShadowEvaluated) bool { return e.Final })
	require.Equal(t, uint64(20), got.Rows)
}

func TestCheckpointsBecomeRarer(t *testing.T) {
	c := DefaultConfig()
	for age, want := range map[time.Duration]time.Duration{
		-time.Second: 5 * time.Second, 0: 5 * time.Second, 250 * time.Second: 5 * time.Second, time.Hour: 72 * time.Second, 24 * time.Hour: 5 * time.Minute,
	} {
		require.Equal(t, want, c.interval(age), "at the age of %s", age)
	}
}

func TestConfigIsChecked(t *testing.T) {
	w := newWorld(t)
	good := DefaultConfig()
	good.Bus, good.Store, good.Log, good.Metrics = w.bus, w.store, slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	require.NoError(t, good.Validate())
	for says, change := range map[string]func(*Config){
		"are required":           func(c *Config) { c.Store = nil },
		"every must be over 0":   func(c *Config) { c.Every = 0 },
		"longest not shorter":    func(c *Config) { c.Longest = c.Every - 1 },
		"max bundle must be":     func(c *Config) { c.MaxBundle = 0 },
		"retry must be over 0":   func(c *Config) { c.Retry = 0 },
		"model name: invalid ev": func(c *Config) { c.Model = string(make([]byte, events.MaxModelName+1)) },
	} {
		c := good
		change(&c)
		require.ErrorContains(t, c.Validate(), says)
	}
	_, err := New(Config{})
	require.Error(t, err)
	require.NotErrorIs(t, err, errors.ErrUnsupported)
}
