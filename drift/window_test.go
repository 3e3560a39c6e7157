package drift

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/baseline"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

func windowSpec() *spec.Spec {
	s := spec.Telco()
	s.Drift.Window, s.Drift.MinRows, s.Drift.MaxAge = 60, 20, time.Hour
	s.Drift.Monitors = append(s.Drift.Monitors, spec.Monitor{Column: "Contract", Action: spec.ActionReport})
	return s
}

// The counts of a window that rows come into and leave, and whose reference changes, are those of its rows counted afresh.
func TestWindowEqualsRecount(t *testing.T) {
	sp := windowSpec()
	other := sp.Clone()
	other.Drift.Window, other.Drift.Monitors = 90, other.Drift.Monitors[1:]
	refs := []*Reference{
		NewReference(modeltest.Bundle(t, modeltest.Options{Spec: sp, Seed: 1}), 1, 1),
		NewReference(modeltest.Bundle(t, modeltest.Options{Spec: other, Seed: 2}), 2, 2),
	}
	rs := records(t, sp, 400, 5, 1.1)
	rng := rand.New(rand.NewPCG(1, 1))
	w := NewWindow(refs[0])
	var all []Row
	at := time.Unix(1_700_000_000, 0)
	size := sp.Drift.Window
	for i, r := range rs {
		at = at.Add(time.Duration(rng.IntN(120)) * time.Second)
		if rng.IntN(150) == 0 {
			at = at.Add(2 * time.Hour)
		}
		if i%70 == 69 {
			ref := refs[rng.IntN(2)]
			w.Use(ref)
			size = ref.Spec.Drift.Window
			all = all[max(0, len(all)-size):]
		}
		row := Row{Sequence: uint64(i + 1), At: at, Version: 1 + rng.IntN(2), Score: rng.Float64(), Record: r}
		require.NoError(t, w.Add(row))
		all = append(all, row)
		all = all[max(0, len(all)-size):]
		for all[0].At.Before(at.Add(-time.Hour)) {
			all = all[1:]
		}
		e, _ := w.Evaluate(nil, Position{Evaluation: 1, Ordinal: 1})
		require.Equal(t, len(all), e.Rows)
		require.Equal(t, all[0].Sequence, e.WindowFirst)
		for _, c := range e.Columns {
			require.InDelta(t, recount(t, w.Reference(), c.Column, all), c.Value, 1e-12, "%s after row %d", c.Column, i+1)
		}
	}
}

// recount is the PSI of a column over rows, by its own way through the values.
func recount(t *testing.T, ref *Reference, name string, rows []Row) float64 {
	t.Helper()
	r, ok := ref.Baseline.Column(name)
	require.True(t, ok)
	counts := make([]int64, r.Bins())
	row := ref.Schema.NewRow()
	n := 0
	for _, x := range rows {
		_, err := ref.Schema.DecodeJSON(x.Record, row, dataset.DecodeOptions{})
		require.NoError(t, err)
		if name == events.ColumnScore {
			if x.Version == ref.Version {
				counts[r.BinNumeric(x.Score)]++
				n++
			}
			continue
		}
		n++
		for i, c := range ref.Schema.Numeric() {
			if c == name {
				counts[r.BinNumeric(row.Num[i])]++
			}
		}
		for i, c := range ref.Schema.Categorical() {
			if c == name {
				counts[r.BinCategory(row.Cat[i])]++
			}
		}
	}
	if n == 0 {
		return 0
	}
	psi, _, err := baseline.PSI(r, counts, baseline.DefaultPSIOptions())
	require.NoError(t, err)
	return psi
}

func TestWindowLimits(t *testing.T) {
	sp := windowSpec()
	w := NewWindow(NewReference(modeltest.Bundle(t, modeltest.Options{Spec: sp}), 1, 1))
	r := records(t, sp, 1, 5, 1)[0]
	at := time.Unix(1_700_000_000, 0)
	require.NoError(t, w.Add(Row{Sequence: 1, At: at, Version: 1, Record: r}))
	require.NoError(t, w.Add(Row{Sequence: 2, At: at.Add(time.Hour), Version: 1, Record: r}))
	require.Equal(t, 2, w.Len(), "a row of exactly MaxAge stays")
	require.NoError(t, w.Add(Row{Sequence: 3, At: at.Add(time.Hour + 1), Version: 1, Record: r}))
	require.Equal(t, 2, w.Len())
	for i := range 200 {
		require.NoError(t, w.Add(Row{Sequence: uint64(4 + i), At: at.Add(time.Hour + 1), Version: 1, Record: r}))
	}
	require.Equal(t, sp.Drift.Window, w.Len())
	w.Clear()
	require.Zero(t, w.Len())
	require.NoError(t, w.Add(Row{Sequence: 1, At: at, Version: 1, Record: r}))
	e, _ := w.Evaluate(nil, Position{Evaluation: 1, Ordinal: 1})
	require.Equal(t, 1, e.Columns[0].N)
}

func TestWindowKeepsRecordsThatDoNotFit(t *testing.T) {
	sp := windowSpec()
	w := NewWindow(NewReference(modeltest.Bundle(t, modeltest.Options{Spec: sp}), 1, 1))
	err := w.Add(Row{Sequence: 1, Version: 1, Score: 0.5, Record: []byte(`{"tenure": "long"}`)})
	require.ErrorContains(t, err, "tenure")
	e, _ := w.Evaluate(nil, Position{Evaluation: 1, Ordinal: 1})
	require.Equal(t, 1, e.Rows)
	require.Zero(t, column(t, e, "tenure").N)
	require.Equal(t, 1, column(t, e, events.ColumnScore).N)
}

func TestWindowWithoutReferenceOfAColumn(t *testing.T) {
	sp := windowSpec()
	p := modeltest.Parts(t, modeltest.Options{Spec: sp})
	ref := NewReference(modeltest.Bundle(t, modeltest.Options{Spec: sp}), 1, 1)
	kept := p.Baselines.Reference
	kept.Columns = nil
	ref.Baseline = &kept
	w := NewWindow(ref)
	for i, r := range records(t, sp, 60, 5, 3) {
		require.NoError(t, w.Add(Row{Sequence: uint64(i + 1), Version: 1, Score: 0.5, Record: r}))
	}
	var last *events.DriftEvaluated
	for i := range 4 {
		var notices []events.Payload
		last, notices = w.Evaluate(last, Position{Evaluation: uint64(i + 1), Ordinal: 60})
		require.Equal(t, events.StateInsufficient, column(t, last, "MonthlyCharges").State)
		for _, n := range notices {
			require.Equal(t, events.ColumnScore, n.(*events.DriftAlert).Column)
		}
	}
}

// With no drift at all, windows of the least size that is judged give no alert.
func TestWindowFalseAlarms(t *testing.T) {
	sp := spec.Telco()
	sp.Drift.Window, sp.Drift.Every = 300, 100
	bundle := modeltest.Bundle(t, modeltest.Options{Spec: sp, Rows: 8000, Seed: 1})
	w := NewWindow(NewReference(bundle, 1, 1))
	rs := records(t, sp, 30_000, 99, 1)
	var last *events.DriftEvaluated
	over := 0
	for i, r := range rs {
		require.NoError(t, w.Add(Row{Sequence: uint64(i + 1), Version: 2, Record: r}))
		if i%100 != 99 {
			continue
		}
		e, notices := w.Evaluate(last, Position{Evaluation: uint64(i/100 + 1), Ordinal: uint64(i + 1)})
		require.Empty(t, notices)
		for _, c := range e.Columns {
			if c.State == events.StatePending {
				over++
			}
		}
		last = e
	}
	require.LessOrEqual(t, over, 1, "of 900 measurements")
}
