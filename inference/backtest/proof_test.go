package backtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// A prediction leads to its promotion, version, run and outcome, and its version answers again.
func TestProve(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	_, err := w.bus.Append(ctx, events.New(name, "test", "run", time.Now(), &events.RunCompleted{RunID: "r2", Experiment: "e", TargetStage: events.StageProduction,
		Causes: []events.Cause{{Kind: events.CauseFirst}}, StartedAt: time.Now(), DatasetFingerprint: "f"}), 0)
	require.NoError(t, err)
	c := w.version(2)
	seq, err := w.bus.Append(ctx, events.New(name, "test", "p", time.Now(), &events.ModelPromoted{Version: 2, Cause: events.PromotedManually,
		Bundle: events.Artifact{Name: events.ArtifactBundle, Digest: c.Digest}}), 0)
	require.NoError(t, err)
	made := *w.made[130]
	made.PredictionID, made.PromotionSequence = uuid7(time.Now()), seq
	w.store1(&made)

	p, err := Prove(ctx, w.bus, w.store, name, made.PredictionID, time.Time{})
	require.NoError(t, err)
	require.Equal(t, uint64(201), p.Sequence)
	require.Equal(t, made.PredictionID, p.Prediction.PredictionID)
	require.Equal(t, 2, p.Promotion.Version)
	require.Equal(t, c.Digest, p.Registered.Bundle.Digest)
	require.Equal(t, "r2", p.Run.RunID)
	require.Nil(t, p.Example)
	require.True(t, p.Equal)
	require.Equal(t, made.Score, *p.Again)

	_, err = w.bus.Publish(ctx, events.New(name, "test", made.PredictionID, time.Now(), &events.ExampleJoined{PredictionID: made.PredictionID, Version: 2,
		PredictionsSequence: 201, Record: made.Record, Score: made.Score, Observed: true}))
	require.NoError(t, err)
	p, err = Prove(ctx, w.bus, w.store, name, made.PredictionID, time.Time{})
	require.NoError(t, err)
	require.True(t, p.Example.Observed)

	// An id without a time is looked for from the first on, one of another time or model is not found.
	p, err = Prove(ctx, w.bus, w.store, name, "p0001", time.Time{})
	require.NoError(t, err)
	require.Equal(t, uint64(1), p.Sequence)
	require.Nil(t, p.Promotion, "sequence 1 is no promotion")
	require.Nil(t, p.Run)
	_, err = Prove(ctx, w.bus, w.store, name, "p0001", time.Now().Add(time.Hour))
	require.ErrorIs(t, err, ErrNoPrediction)
	_, err = Prove(ctx, w.bus, w.store, "other", "p0001", time.Time{})
	require.ErrorIs(t, err, ErrNoPrediction)

	odd := *w.made[0]
	odd.PredictionID, odd.Version = "odd", 7
	w.store1(&odd)
	p, err = Prove(ctx, w.bus, w.store, name, "odd", time.Time{})
	require.NoError(t, err)
	require.False(t, p.Equal)
	require.Equal(t, "version 7 is not registered", p.Unproven)
}

func uuid7(at time.Time) string {
	hex := fmt.Sprintf("%012x", at.UnixMilli())
	return hex[:8] + "-" + hex[8:] + "-7abc-8def-0123456789ab"
}

func TestTimeOf(t *testing.T) {
	at := time.UnixMilli(1_770_000_000_123)
	got, ok := timeOf(uuid7(at))
	require.True(t, ok)
	require.True(t, at.Equal(got))
	for _, id := range []string{"", "p1", "019c1c5e-0000-4abc-8def-0123456789ab", "zzzzzzzz-zzzz-7abc-8def-0123456789ab", "019c1c5e-0000-7abc-8def-0123456789a"} {
		_, ok := timeOf(id)
		require.False(t, ok, id)
	}
}
