package registry

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/rollout"
)

func TestOutcomesAreThoseOfALatePeriod(t *testing.T) {
	began := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	o := newOutcomes()
	add := func(version int, at time.Time, predicted, observed bool, arm events.Arm) {
		o.add("m", &events.ExampleJoined{Version: version, PromotionSequence: 7, PredictedAt: at, Predicted: predicted, Observed: observed, Arm: arm})
	}
	for range 3 {
		add(1, began.Add(-time.Hour), true, true, "")
	}
	add(1, began, true, false, "")
	add(1, began.Add(time.Minute), false, true, "")
	add(1, began.Add(time.Minute), false, true, events.ArmDirect)
	add(2, began.Add(time.Minute), true, true, events.ArmCanary)
	of := o.of("m")
	require.Equal(t, rollout.Labels{FP: 1, FN: 1}, of(1, 7, began), "what was right before says nothing of today, and a named version was chosen by its caller")
	require.Equal(t, rollout.Labels{TP: 3, FP: 1, FN: 1}, of(1, 7, time.Time{}))
	require.Equal(t, rollout.Labels{TP: 1}, of(2, 7, began))
	require.Zero(t, of(2, 8, began))
	for range outcomesKept {
		add(1, began.Add(time.Hour), false, false, "")
	}
	require.Equal(t, rollout.Labels{TN: outcomesKept}, of(1, 7, time.Time{}), "the last rows")
	add(1, began.Add(time.Hour), true, true, "")
	require.Equal(t, rollout.Labels{TP: 1, TN: outcomesKept - 1}, of(1, 7, time.Time{}))
	for n := range 3 * outcomesKeys { // versions that are tried one after the other beside the one that goes on
		late := began.Add(time.Duration(n+2) * time.Hour)
		add(10+n, late, true, true, events.ArmCanary)
		add(1, late, false, false, "")
	}
	require.Len(t, o.rows, outcomesKeys)
	require.Equal(t, outcomesKept, of(1, 7, time.Time{}).Rows())
	require.Equal(t, 1, of(9+3*outcomesKeys, 7, time.Time{}).Rows())
	o.reset()
	require.Zero(t, of(1, 7, time.Time{}))
}

func TestNothingIsDecidedBeforeCountsAndOutcomesAreRead(t *testing.T) {
	var read caughtUp
	require.False(t, read.all())
	read.fleet.Store(true)
	require.False(t, read.all())
	read.outcomes.Store(true)
	require.True(t, read.all())
	read.fleet.Store(false)
	require.False(t, read.all(), "a stream that is read anew")
}
