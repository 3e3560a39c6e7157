package backtest

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/compare"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/eval"
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

// world is a stream of what two versions answered: the first 120 rows version 1, the next 80 version 2.
type world struct {
	t       testing.TB
	bus     *bus.Bus
	store   artifact.Store
	bundles [3]*model.Bundle // by version
	made    []*events.PredictionMade
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, bus: bustest.Start(t).Connect(t)}
	var err error
	w.store, err = objstore.Open(t.Context(), w.bus.JetStream(), objstore.DefaultConfig())
	require.NoError(t, err)
	var last uint64
	for v := 1; v <= 2; v++ {
		w.bundles[v] = bundle(t, uint64(v))
		data, err := w.bundles[v].Encode()
		require.NoError(t, err)
		ref, err := artifact.PutBytes(t.Context(), w.store, data)
		require.NoError(t, err)
		p := &events.ModelRegistered{Version: v, RunID: fmt.Sprint("r", v), TargetStage: events.StageProduction,
			Bundle: events.Artifact{Name: events.ArtifactBundle, Digest: string(ref.Digest), SizeBytes: ref.Size}}
		last, err = w.bus.Append(t.Context(), events.New(name, "test", fmt.Sprint(v), time.Now(), p), last)
		require.NoError(t, err)
	}
	w.answer(1, 120)
	w.answer(2, 80)
	return w
}

// answer stores what a version answers to n records.
func (w *world) answer(version, n int) {
	w.t.Helper()
	s := compare.NewScorer(w.bundles[version])
	for _, record := range modeltest.Records(w.t, modeltest.Options{Rows: max(50, n), Seed: uint64(90 + len(w.made)), IDPrefix: fmt.Sprint("e", len(w.made), "-")})[:n] {
		a, err := s.Score(record)
		require.NoError(w.t, err)
		id := len(w.made) + 1
		w.made = append(w.made, &events.PredictionMade{PredictionID: fmt.Sprintf("p%04d", id), EntityID: fmt.Sprint("e", id), Version: version,
			PromotionSequence: uint64(version), Record: record, Score: a.Score, Threshold: 0.5, Positive: a.Positive, Label: "No", Instance: "a", Boot: "b", Ordinal: uint64(id)})
		w.store1(w.made[len(w.made)-1])
	}
}

func (w *world) store1(p *events.PredictionMade) {
	w.t.Helper()
	_, err := w.bus.Publish(w.t.Context(), events.New(name, "test", p.PredictionID, time.Now(), p))
	require.NoError(w.t, err)
}

// label joins the outcome of the i-th answer, from 0.
func (w *world) label(i int, observed bool) {
	w.t.Helper()
	p := w.made[i]
	_, err := w.bus.Publish(w.t.Context(), events.New(name, "test", p.PredictionID, time.Now(), &events.ExampleJoined{PredictionID: p.PredictionID, Version: p.Version,
		PromotionSequence: p.PromotionSequence, PredictionsSequence: uint64(i + 1), Record: p.Record, Score: p.Score, Predicted: p.Positive, Observed: observed,
		PredictedAt: time.Now(), ObservedAt: time.Now()}))
	require.NoError(w.t, err)
}

func (w *world) version(v int) Candidate {
	w.t.Helper()
	c, err := Find(w.t.Context(), w.bus, w.store, name, v)
	require.NoError(w.t, err)
	require.Equal(w.t, v, c.Version)
	return c
}

func (w *world) run(c Config) *Report {
	w.t.Helper()
	c.Bus, c.Model = w.bus, name
	rep, err := Run(w.t.Context(), c)
	require.NoError(w.t, err)
	return rep
}

// The version that answered gives every score again, to the bit; one changed bit in the log is seen.
func TestTheVersionThatAnsweredAnswersAgain(t *testing.T) {
	w := newWorld(t)
	rep := w.run(Config{Candidate: w.version(1), Answered: 1, Top: 3})
	require.Equal(t, uint64(120), rep.Rows)
	require.Equal(t, Own{Rows: 120}, rep.Own)
	require.Zero(t, rep.Differing)
	require.Zero(t, rep.MaxAbsDiff)
	require.Zero(t, rep.PSI)
	require.Empty(t, rep.Changed)
	require.Empty(t, rep.Slices)
	require.Equal(t, uint64(80), rep.LeftOut)
	require.Equal(t, map[int]uint64{1: 120, 2: 80}, rep.Answered)
	require.True(t, rep.Against.Logged)

	off := *w.made[4]
	off.PredictionID, off.Score = "off", math.Nextafter(off.Score, 1)
	w.store1(&off)
	rep = w.run(Config{Candidate: w.version(1), Answered: 1})
	require.Equal(t, Own{Rows: 121, Differing: 1, First: "off"}, rep.Own)
	require.Equal(t, uint64(1), rep.Differing)
}

// Another version is compared as if all were computed at once.
func TestAnotherVersionIsCompared(t *testing.T) {
	w := newWorld(t)
	w.store1(&events.PredictionMade{PredictionID: "odd", Version: 1, Record: []byte(`{"tenure":"long"}`), Threshold: 0.5})
	require.NoError(t, w.bus.Conn().Publish("prediction.made."+name, []byte("junk")))
	require.NoError(t, w.bus.Conn().Flush())
	var all compare.Tally
	s := compare.NewScorer(w.bundles[2])
	var greatest string
	for _, p := range w.made {
		a, err := s.Score(p.Record)
		require.NoError(t, err)
		if d := math.Abs(a.Score - p.Score); d > all.MaxAbs {
			greatest = p.PredictionID
		}
		all.Add(compare.Answer{Score: p.Score, Positive: p.Positive}, a)
	}
	var shown []Progress
	rep := w.run(Config{Candidate: w.version(2), Top: 5, Progress: func(p Progress) { shown = append(shown, p) }})
	require.Equal(t, all.Rows, rep.Rows)
	require.Equal(t, all.Flips(), rep.Flips)
	require.Positive(t, rep.Flips)
	require.Equal(t, rep.Flips, rep.ToPositive+rep.ToNegative)
	require.Equal(t, all.Differing, rep.Differing)
	require.LessOrEqual(t, rep.Differing, uint64(120))
	require.Equal(t, all.MaxAbs, rep.MaxAbsDiff)
	require.Equal(t, all.MeanAbs(), rep.MeanAbsDiff)
	require.Equal(t, all.PSI(), rep.PSI)
	require.Equal(t, Own{Rows: 80}, rep.Own)
	require.Equal(t, map[string]uint64{"record": 1, "junk": 1}, rep.Skipped)
	require.Len(t, rep.Changed, 5)
	require.Equal(t, greatest, rep.Changed[0].PredictionID)
	for i, c := range rep.Changed {
		require.Equal(t, w.made[c.Sequence-1].PredictionID, c.PredictionID)
		require.Equal(t, w.made[c.Sequence-1].Score, c.Against)
		if i > 0 {
			require.LessOrEqual(t, c.by(), rep.Changed[i-1].by())
		}
	}
	require.NotEmpty(t, rep.Slices)
	for _, x := range rep.Slices {
		require.GreaterOrEqual(t, x.Rows, uint64(sliceRows))
		require.NotZero(t, x.MeanChange)
	}
	require.Equal(t, rep.Through, shown[len(shown)-1].Sequence)

	// The two versions against one another: the same as the log for what version 1 answered, and more.
	against := w.version(1)
	rep = w.run(Config{Candidate: w.version(2), Against: &against})
	require.Greater(t, rep.Differing, all.Differing)
	require.Equal(t, 1, rep.Against.Version)
	require.Equal(t, Own{Rows: 80}, rep.Own, "what is compared with does not matter to the proof")
}

// Both sides are judged on the outcomes that are known, by the exact F1 and area.
func TestOutcomesAreJudged(t *testing.T) {
	w := newWorld(t)
	var was, is, labels []float64
	var wasC, isC events.Confusion
	s := compare.NewScorer(w.bundles[2])
	for i := 0; i < 120; i += 2 {
		observed := i%6 == 0
		w.label(i, observed)
		a, err := s.Score(w.made[i].Record)
		require.NoError(t, err)
		compare.Judge(&wasC, w.made[i].Positive, observed)
		compare.Judge(&isC, a.Positive, observed)
		label := 0.0
		if observed {
			label = 1
		}
		was, is, labels = append(was, w.made[i].Score), append(is, a.Score), append(labels, label)
	}
	rep := w.run(Config{Candidate: w.version(2)})
	require.Equal(t, uint64(60), rep.Labelled)
	require.Equal(t, wasC, *rep.Against.Confusion)
	require.Equal(t, isC, *rep.Candidate.Confusion)
	for _, x := range []struct {
		scores []float64
		side   Side
		c      events.Confusion
	}{{was, rep.Against, wasC}, {is, rep.Candidate, isC}} {
		area, err := eval.ROCAUC(x.scores, labels, nil)
		require.NoError(t, err)
		require.InDelta(t, area, *x.side.ROCAUC, 2e-3)
		f1, _ := compare.F1(&x.c)
		require.Equal(t, f1, *x.side.F1)
	}
}

// A period is half open by the time of storing, and labels of other periods do not count.
func TestPeriods(t *testing.T) {
	w := newWorld(t)
	var at [201]time.Time
	require.NoError(t, w.bus.Read(t.Context(), bus.ReadConfig{Stream: events.Predictions}, func(m bus.Message) error {
		at[m.Sequence] = m.Time
		return nil
	}))
	w.label(10, true)
	w.label(60, true)
	rep := w.run(Config{Candidate: w.version(1), From: at[51], To: at[101]})
	require.Equal(t, uint64(50), rep.Rows)
	require.Equal(t, uint64(51), rep.From)
	require.Equal(t, uint64(100), rep.Through)
	require.Equal(t, at[51].UTC(), rep.FirstAt)
	require.Equal(t, uint64(1), rep.Labelled)
	rep = w.run(Config{Candidate: w.version(1), From: at[150]})
	require.Equal(t, uint64(51), rep.Rows)
	for _, c := range []Config{{From: at[200].Add(1)}, {From: at[1].Add(-time.Hour), To: at[1]}} {
		c.Bus, c.Model, c.Candidate = w.bus, name, w.version(1)
		_, err := Run(t.Context(), c)
		require.ErrorIs(t, err, ErrNothing)
	}
	// Messages that are gone are not missed.
	st, err := w.bus.JetStream().Stream(t.Context(), string(events.Predictions))
	require.NoError(t, err)
	require.NoError(t, st.Purge(t.Context(), jetstream.WithPurgeSequence(101)))
	require.Equal(t, uint64(100), w.run(Config{Candidate: w.version(1)}).Rows)
}

func TestFind(t *testing.T) {
	w := newWorld(t)
	find := func(version int) error {
		_, err := Find(t.Context(), w.bus, w.store, name, version)
		return err
	}
	require.ErrorContains(t, find(0), "no Production")
	require.ErrorContains(t, find(9), "model telco-churn has no version 9")
	c := w.version(2)
	_, err := w.bus.Append(t.Context(), events.New(name, "test", "p", time.Now(), &events.ModelPromoted{Version: 2, Cause: events.PromotedManually,
		Bundle: events.Artifact{Name: events.ArtifactBundle, Digest: c.Digest}}), 0)
	require.NoError(t, err)
	production, err := Find(t.Context(), w.bus, w.store, name, 0)
	require.NoError(t, err)
	require.Equal(t, 2, production.Version)
	require.Equal(t, c.Digest, production.Digest)
	_, err = Open([]byte("no bundle"))
	require.ErrorContains(t, err, "decode bundle")
}

func TestConfigIsChecked(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	for says, c := range map[string]Config{
		"required":      {Bus: w.bus, Model: name},
		"has no bundle": {Bus: w.bus, Model: name, Candidate: w.version(1), Against: &Candidate{}},
		"is not before": {Bus: w.bus, Model: name, Candidate: w.version(1), From: now, To: now},
		"not be negati": {Bus: w.bus, Model: name, Candidate: w.version(1), Top: -1},
	} {
		_, err := Run(t.Context(), c)
		require.ErrorContains(t, err, says)
	}
}
