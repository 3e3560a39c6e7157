package drift

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/modeltest"
)

func score(t testing.TB, b *model.Bundle, s *model.Scorer, row *dataset.Row, record []byte) float64 {
	t.Helper()
	_, err := b.Schema.DecodeJSON(record, row, dataset.DecodeOptions{})
	require.NoError(t, err)
	return s.Score(row).Probability
}

func column(t testing.TB, e *events.DriftEvaluated, name string) events.ColumnEvaluation {
	t.Helper()
	for _, c := range e.Columns {
		if c.Column == name {
			return c
		}
	}
	require.Fail(t, "no column "+name)
	return events.ColumnEvaluation{}
}

// The story of a drift: quiet, shifted, alert after three evaluations, a new version whose reference knows the shift, cleared.
func TestServiceTellsTheStoryOfADrift(t *testing.T) {
	w := newWorld(t)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp, Rows: 1500, Seed: 1})
	s, _ := w.start()
	name := sp.Name

	w.predict(name, w.answers(b1, 1, p1, records(t, sp, 300, 7, 1))...)
	quiet := awaitCount[events.DriftEvaluated](w, events.Drift, 6)
	require.Equal(t, events.StateInsufficient, column(t, quiet[0], "MonthlyCharges").State)
	require.Equal(t, events.StateOK, column(t, quiet[5], "MonthlyCharges").State)
	require.Equal(t, 200, quiet[5].Rows)
	require.Equal(t, uint64(300), quiet[5].Ordinal)
	require.Equal(t, uint64(101), quiet[5].WindowFirst)
	require.Empty(t, w.stored(events.Causes))

	w.predict(name, w.answers(b1, 1, p1, records(t, sp, 400, 8, 1.6))...)
	fired := awaitCount[events.DriftEvaluated](w, events.Drift, 14)
	alerts := awaitCount[events.DriftAlert](w, events.Causes, 1)
	a := alerts[0]
	require.Equal(t, "MonthlyCharges", a.Column)
	require.Equal(t, events.ActionRetrain, a.Action)
	require.Equal(t, events.DriftData, a.Kind)
	require.Equal(t, 1, a.Version)
	require.Equal(t, p1, a.PromotionSequence)
	require.Greater(t, a.Value, 0.2)
	require.NotEmpty(t, a.Bins)
	require.Equal(t, a.Evaluation, fired[a.Evaluation-1].Evaluation)
	require.Equal(t, events.StateFiring, column(t, fired[a.Evaluation-1], "MonthlyCharges").State)
	require.Equal(t, events.StatePending, column(t, fired[a.Evaluation-2], "MonthlyCharges").State)
	require.Equal(t, events.StatePending, column(t, fired[a.Evaluation-3], "MonthlyCharges").State)

	// A version fitted on the same shifted traffic: its reference has the shift.
	shifted := sp.Clone()
	for i := range shifted.Columns.Numeric {
		if shifted.Columns.Numeric[i].Name == "MonthlyCharges" {
			high := *shifted.Columns.Numeric[i].Max * 1.6
			shifted.Columns.Numeric[i].Max = &high
		}
	}
	p2, b2 := w.promote(2, modeltest.Options{Spec: shifted, Rows: 1500, Seed: 2})
	w.predict(name, w.answers(b2, 2, p2, records(t, sp, 50, 9, 1.6))...)
	last := awaitCount[events.DriftEvaluated](w, events.Drift, 15)[14]
	require.Equal(t, 2, last.Version)
	require.Equal(t, events.StateOK, column(t, last, "MonthlyCharges").State, "%+v", last)
	cleared := awaitCount[events.DriftCleared](w, events.Causes, 1)
	require.Equal(t, 2, cleared[0].Version)
	require.Equal(t, uint64(15), cleared[0].Evaluation)
	require.Less(t, cleared[0].Value, 0.15)
	require.Equal(t, events.StateInsufficient, column(t, last, events.ColumnScore).State, "only the new version's rows count for the score")
	require.Equal(t, 50, column(t, last, events.ColumnScore).N)
	require.Empty(t, w.stored(events.Dead))
	require.True(t, s.cfg.Health.Ready())
}

func TestServiceJoinsLabels(t *testing.T) {
	w := newWorld(t)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp, Seed: 1})
	s, _ := w.start()
	ps := w.answers(b1, 1, p1, records(t, sp, 6, 7, 1))
	w.predict(sp.Name, ps[:5]...)
	w.label(sp.Name,
		&events.LabelObserved{PredictionID: ps[0].PredictionID, Outcome: "Yes"},
		&events.LabelObserved{PredictionID: ps[0].PredictionID, Outcome: "Yes"}, // again
		&events.LabelObserved{PredictionID: ps[0].PredictionID, Outcome: "No"},  // too late
		&events.LabelObserved{EntityID: ps[1].EntityID, Outcome: "No"},
		&events.LabelObserved{PredictionID: ps[2].PredictionID, Outcome: "perhaps"},
		&events.LabelObserved{PredictionID: "nobody", Outcome: "Yes"},
		&events.LabelObserved{PredictionID: ps[5].PredictionID, Outcome: "Yes"}, // before its prediction
	)
	got := awaitCount[events.ExampleJoined](w, events.Training, 2)
	require.Equal(t, ps[0].PredictionID, got[0].PredictionID)
	require.True(t, got[0].Observed)
	require.Equal(t, ps[0].Positive, got[0].Predicted)
	require.Equal(t, uint64(1), got[0].PredictionsSequence)
	require.Equal(t, uint64(1), got[0].LabelsSequence)
	require.JSONEq(t, string(ps[0].Record), string(got[0].Record))
	require.Equal(t, ps[1].PredictionID, got[1].PredictionID)
	require.False(t, got[1].Observed)

	w.predict(sp.Name, ps[5])
	require.Equal(t, ps[5].PredictionID, awaitCount[events.ExampleJoined](w, events.Training, 3)[2].PredictionID)
	count := func(outcome string) uint64 { return s.status.status().Models[0].Labels[outcome] }
	eventually(t, func() bool { return count(labelUnmatched) == 1 }, "the label of nobody is given up")
	require.Equal(t, uint64(3), count(labelJoined))
	require.Equal(t, uint64(1), count(labelDuplicate))
	require.Equal(t, uint64(1), count(labelCorrection))
	dead := deadLetters(w)
	require.Len(t, dead, 1)
	require.Contains(t, dead[0].Reason, `"perhaps" is neither Yes nor No`)
}
