package drift

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/spec"
)

func TestConfusion(t *testing.T) {
	var c Confusion
	require.Zero(t, c.F1())
	require.Zero(t, c.StandardError())
	for range 3 {
		c.Add(true, true)
	}
	c.Add(true, false)
	c.Add(false, true)
	c.Add(false, true)
	c.Add(false, false)
	require.Equal(t, Confusion{TP: 3, FP: 1, FN: 2, TN: 1}, c)
	require.InDelta(t, 6.0/9, c.F1(), 1e-15)
}

// The formula's standard error is the spread of F1 over many samples.
func TestStandardErrorIsTheSpread(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	const rows, trials = 1000, 3000
	draw := func() Confusion {
		var c Confusion
		for range rows {
			observed := rng.Float64() < 0.27
			hit := 0.22
			if observed {
				hit = 0.7
			}
			c.Add(rng.Float64() < hit, observed)
		}
		return c
	}
	sum, squares, stated := 0.0, 0.0, 0.0
	for range trials {
		c := draw()
		sum, squares, stated = sum+c.F1(), squares+c.F1()*c.F1(), stated+c.StandardError()
	}
	spread := math.Sqrt(squares/trials - (sum/trials)*(sum/trials))
	require.InEpsilon(t, spread, stated/trials, 0.06)
}

// live is a reference with a holdout F1 of 0.6 over counts, and rules of 100 rows.
func live() *Reference {
	sp := spec.Telco()
	sp.Drift.Performance.Window, sp.Drift.Performance.MinRows, sp.Drift.Performance.MinPositives = 1000, 500, 30
	return &Reference{Version: 1, Promotion: 5, Spec: sp, Holdout: map[string]float64{"f1_churn": 0.6, "tp": 60, "fp": 40, "fn": 40, "tn": 200}}
}

// fill adds rows whose confusion is given, in turn.
func fill(o *Outcomes, from uint64, c Confusion) uint64 {
	for _, x := range []struct {
		predicted, observed bool
		n                   float64
	}{{true, true, c.TP}, {true, false, c.FP}, {false, true, c.FN}, {false, false, c.TN}} {
		for range int(x.n) {
			from++
			o.Add(Example{Sequence: from, PredictionsSequence: 10 * from, Predicted: x.predicted, Observed: x.observed})
		}
	}
	return from
}

func TestPerformanceFiresOnTwoWindowsThatShareNoRow(t *testing.T) {
	ref := live()
	var o Outcomes
	o.Resize(1000)
	bad := Confusion{TP: 60, FP: 170, FN: 170, TN: 600} // F1 0.26
	seq := fill(&o, 0, bad)
	e, ns := o.Evaluate(ref, nil, Position{Evaluation: 1, Ordinal: 1000})
	require.Empty(t, ns)
	c := e.Columns[0]
	require.Equal(t, events.StatePending, c.State)
	require.InDelta(t, 0.6-o.Counts().F1(), c.Value, 1e-12)
	require.Greater(t, c.Bound, 0.0)
	require.Equal(t, uint64(10_000), e.PredictionsSequence)
	require.Equal(t, uint64(1000), e.TrainingSequence)

	seq = fill(&o, seq, Confusion{TP: 6, FP: 17, FN: 17, TN: 60})
	e, ns = o.Evaluate(ref, e, Position{Evaluation: 2, Ordinal: 1100})
	require.Empty(t, ns)
	require.Equal(t, 1, e.Columns[0].Streak)

	seq = fill(&o, seq, bad)
	e, ns = o.Evaluate(ref, e, Position{Evaluation: 3, Ordinal: 2100})
	require.Len(t, ns, 1)
	a := ns[0].(*events.DriftAlert)
	require.Equal(t, events.DriftPerformance, a.Kind)
	require.Equal(t, events.ColumnPerformance, a.Column)
	require.Equal(t, statisticF1Drop, a.Statistic)
	require.Equal(t, events.ActionRetrain, a.Action)
	require.NoError(t, a.Validate())
	require.NoError(t, e.Validate())

	fill(&o, seq, Confusion{TP: 200, FP: 130, FN: 130, TN: 540}) // F1 0.606
	_, ns = o.Evaluate(ref, e, Position{Evaluation: 4, Ordinal: 3100})
	require.Len(t, ns, 1)
	require.IsType(t, &events.DriftCleared{}, ns[0])
	require.Equal(t, ref.Spec.Drift.Performance.Clear, ns[0].(*events.DriftCleared).Threshold)
}

func TestPerformanceNeedsRowsPositivesAndSignificance(t *testing.T) {
	for _, c := range []struct {
		name  string
		rows  Confusion
		state events.ColumnState
	}{
		{"too few rows", Confusion{TP: 20, FP: 50, FN: 50, TN: 379}, events.StateInsufficient},
		{"just enough rows", Confusion{TP: 20, FP: 50, FN: 50, TN: 380}, events.StatePending},
		{"too few positives", Confusion{TP: 4, FP: 40, FN: 25, TN: 600}, events.StateInsufficient},
		{"just enough positives", Confusion{TP: 4, FP: 40, FN: 26, TN: 600}, events.StatePending},
		{"a drop within three standard errors", Confusion{TP: 51, FP: 42, FN: 43, TN: 400}, events.StateOK}, // 0.545
	} {
		t.Run(c.name, func(t *testing.T) {
			var o Outcomes
			o.Resize(1000)
			fill(&o, 0, c.rows)
			e, ns := o.Evaluate(live(), nil, Position{Evaluation: 1, Ordinal: 1})
			require.Empty(t, ns)
			require.Equal(t, c.state, e.Columns[0].State, "%+v", e.Columns[0])
		})
	}
	var o Outcomes
	o.Resize(1000)
	fill(&o, 0, Confusion{TP: 60, FP: 170, FN: 170, TN: 600})
	ref := live()
	ref.Holdout = nil
	e, _ := o.Evaluate(ref, nil, Position{Evaluation: 1, Ordinal: 1})
	require.Equal(t, events.StateInsufficient, e.Columns[0].State, "a version without a holdout figure")
}

func TestOutcomesKeepTheNewest(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	var o Outcomes
	o.Resize(100)
	var all []Example
	for i := range 1000 {
		x := Example{Sequence: uint64(i + 1), Predicted: rng.IntN(2) == 0, Observed: rng.IntN(3) == 0}
		if i == 500 {
			o.Resize(40)
		}
		o.Add(x)
		all = append(all, x)
		var want Confusion
		for _, x := range all[max(0, len(all)-o.size):] {
			want.Add(x.Predicted, x.Observed)
		}
		require.Equal(t, want, o.Counts(), "row %d", i+1)
	}
}

// With nothing changed since training, live figures raise no alert: 100 streams of 5,000 outcomes, each with a holdout of its own draw.
func TestPerformanceFalseAlarms(t *testing.T) {
	draw := func(rng *rand.Rand) (predicted, observed bool) {
		observed = rng.Float64() < 0.27
		hit := 0.22
		if observed {
			hit = 0.7
		}
		return rng.Float64() < hit, observed
	}
	pending := 0
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 77))
		var holdout Confusion
		for range 1400 {
			holdout.Add(draw(rng))
		}
		ref := live()
		ref.Holdout = map[string]float64{"f1_churn": holdout.F1(), "tp": holdout.TP, "fp": holdout.FP, "fn": holdout.FN, "tn": holdout.TN}
		var o Outcomes
		o.Resize(1000)
		var last *events.DriftEvaluated
		for i := range uint64(5000) {
			predicted, observed := draw(rng)
			o.Add(Example{Sequence: i + 1, Predicted: predicted, Observed: observed})
			if i%100 != 99 {
				continue
			}
			e, notices := o.Evaluate(ref, last, Position{Evaluation: i/100 + 1, Ordinal: i + 1})
			require.Empty(t, notices, "seed %d", seed)
			if e.Columns[0].State == events.StatePending {
				pending++
			}
			last = e
		}
	}
	require.Less(t, pending, 50, "of 4,600 evaluations")
}
