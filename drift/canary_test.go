package drift

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/modeltest"
)

// tried makes answers those of an arm beside a promotion.
func tried(ps []*events.PredictionMade, arm events.Arm) []*events.PredictionMade {
	for _, p := range ps {
		p.Arm, p.RolloutRevision = arm, 3
	}
	return ps
}

// The rows of a canary count for the columns, and for neither score nor performance; they change no reference, before and after a restart alike.
func TestACanaryCountsForTheColumnsAlone(t *testing.T) {
	w := newWorld(t)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp, Rows: 1500, Seed: 1})
	_, stop := w.start()
	name := sp.Name
	production := w.answers(b1, 1, p1, records(t, sp, 150, 7, 1))
	canary := tried(w.answers(b1, 2, p1, records(t, sp, 25, 8, 1)), events.ArmCanary)
	// A version that is named may be Production itself, and its score counts no more than another's.
	named := tried(w.answers(b1, 1, p1, records(t, sp, 25, 9, 1)), events.ArmDirect)
	for _, p := range slices.Concat(canary, named) {
		p.Score, p.Positive = 0.999, true
	}
	w.predict(name, production...)
	w.predict(name, slices.Concat(canary, named)...)
	last := awaitCount[events.DriftEvaluated](w, events.Drift, 4)[3]
	check := func(e *events.DriftEvaluated, rows, scores int) {
		t.Helper()
		require.Equal(t, 1, e.Version)
		require.Equal(t, p1, e.PromotionSequence)
		require.Equal(t, rows, e.Rows)
		require.Equal(t, rows, column(t, e, "MonthlyCharges").N)
		require.Equal(t, scores, column(t, e, events.ColumnScore).N)
	}
	check(last, 200, 150)

	stop()
	w.start()
	w.predict(name, tried(w.answers(b1, 2, p1, records(t, sp, 50, 10, 1)), events.ArmCanary)...)
	check(awaitCount[events.DriftEvaluated](w, events.Drift, 5)[4], 200, 100)

	// Labels of both arms are joined, and say which; only Production's are evaluated.
	var labels []*events.LabelObserved
	for _, p := range slices.Concat(named, production[:40], canary) {
		labels = append(labels, &events.LabelObserved{PredictionID: p.PredictionID, Outcome: "Yes"})
	}
	w.label(name, labels...)
	joined := awaitCount[events.ExampleJoined](w, events.Training, 90)
	arms := map[events.Arm]int{}
	for _, e := range joined {
		arms[e.Arm]++
		require.Equal(t, e.Arm == events.ArmCanary, e.Version == 2)
	}
	require.Equal(t, map[events.Arm]int{"": 40, events.ArmCanary: 25, events.ArmDirect: 25}, arms)
	measured := awaitCount[events.DriftEvaluated](w, events.Drift, 7)[5:]
	for i, e := range measured {
		require.Equal(t, events.DriftPerformance, e.Kind)
		require.Equal(t, 1, e.Version)
		require.Equal(t, 20*(i+1), e.Rows)
		require.Equal(t, joined[25].PredictionID, production[0].PredictionID)
		require.Equal(t, uint64(26), e.WindowFirst, "after those of the named version")
	}
	require.Empty(t, w.stored(events.Dead))
}

// A canary's row cannot bring in a promotion that Production has not answered under, and one of a promotion that does not exist counts nowhere.
func TestACanaryChoosesNoReference(t *testing.T) {
	w := newWorld(t)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp, Rows: 500, Seed: 1})
	p2, b2 := w.promote(2, modeltest.Options{Spec: sp, Rows: 500, Seed: 2})
	w.start()
	w.predict(sp.Name, w.answers(b1, 1, p1, records(t, sp, 40, 7, 1))...)
	w.predict(sp.Name, tried(w.answers(b2, 2, p2, records(t, sp, 10, 8, 1)), events.ArmDirect)...)
	require.Equal(t, 1, awaitCount[events.DriftEvaluated](w, events.Drift, 1)[0].Version)
	w.predict(sp.Name, w.answers(b2, 2, p2, records(t, sp, 50, 9, 1))...)
	require.Equal(t, 2, awaitCount[events.DriftEvaluated](w, events.Drift, 2)[1].Version)
	w.predict(sp.Name, tried(w.answers(b2, 3, p2+100, records(t, sp, 1, 10, 1)), events.ArmCanary)...)
	eventually(t, func() bool { return len(deadLetters(w)) == 1 }, "the row of no promotion is dead-lettered")
}
