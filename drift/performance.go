package drift

import (
	"math"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/spec"
)

// Example is what performance needs of one labelled prediction.
type Example struct {
	Sequence            uint64 // in TRAINING
	PredictionsSequence uint64
	At                  time.Time // the stream's timestamp
	Predicted, Observed bool
}

// Confusion counts predictions by what was predicted and what was true.
type Confusion struct{ TP, FP, TN, FN float64 }

// F1 returns 2TP / (2TP + FP + FN), and 0 where there is neither a predicted nor a true positive.
func (c Confusion) F1() float64 {
	d := float64(2*c.TP) + c.FP + c.FN
	if d == 0 {
		return 0
	}
	return float64(2*c.TP) / d
}

// StandardError returns the standard error of F1 over independent rows, by the delta method: with D = 2TP + FP + FN and F the F1, the root
// of TP (2 - 2F)^2 + (FP + FN) F^2, divided by D. It is 0 where D is.
func (c Confusion) StandardError() float64 {
	d := float64(2*c.TP) + c.FP + c.FN
	if d == 0 {
		return 0
	}
	f := c.F1()
	hit, miss := float64(c.TP*float64((2-2*f)*(2-2*f))), float64((c.FP+c.FN)*float64(f*f))
	return math.Sqrt(hit+miss) / d
}

// Add counts one row.
func (c *Confusion) Add(predicted, observed bool) { c.add(predicted, observed, 1) }

func (c *Confusion) add(predicted, observed bool, n float64) {
	switch {
	case predicted && observed:
		c.TP += n
	case predicted:
		c.FP += n
	case observed:
		c.FN += n
	default:
		c.TN += n
	}
}

// Outcomes is the last labelled predictions of one version, at most size of them. It is not safe for concurrent use.
type Outcomes struct {
	size   int
	rows   []Example
	head   int
	counts Confusion
}

// Resize changes how many rows are kept.
func (o *Outcomes) Resize(size int) {
	o.size = size
	o.trim()
}

// Add takes a row.
func (o *Outcomes) Add(x Example) {
	o.rows = append(o.rows, x)
	o.counts.add(x.Predicted, x.Observed, 1)
	o.trim()
}

func (o *Outcomes) trim() {
	for o.Len() > o.size {
		x := o.rows[o.head]
		o.counts.add(x.Predicted, x.Observed, -1)
		o.head++
	}
	if o.head > len(o.rows)/2 && o.head >= 64 {
		o.rows = o.rows[:copy(o.rows, o.rows[o.head:])]
		o.head = 0
	}
}

// Len returns the number of rows.
func (o *Outcomes) Len() int { return len(o.rows) - o.head }

// Counts returns the confusion of the rows.
func (o *Outcomes) Counts() Confusion { return o.counts }

// Evaluate compares the live F1 with the one on the holdout, and moves the state on from the model's last evaluation of this kind (nil for
// the first). There must be a row, and the spec must ask for it. It changes nothing.
//
// The drop is f1_holdout - f1_live. It counts as a loss when it exceeds both spec.Performance.Drop and StandardErrors times the standard
// error of the difference, which holds the sampling error of both figures where the holdout's counts are known.
func (o *Outcomes) Evaluate(ref *Reference, last *events.DriftEvaluated, at Position) (*events.DriftEvaluated, []events.Payload) {
	p := ref.Spec.Drift.Performance
	first, newest := &o.rows[o.head], &o.rows[len(o.rows)-1]
	e := &events.DriftEvaluated{
		Kind: events.DriftPerformance, Evaluation: at.Evaluation, Version: ref.Version, PromotionSequence: ref.Promotion, Ordinal: at.Ordinal,
		TrainingSequence: newest.Sequence, WindowFirst: first.Sequence, Rows: o.Len(), WindowFrom: first.At, WindowTo: newest.At,
	}
	for _, x := range o.rows[o.head:] {
		e.PredictionsSequence = max(e.PredictionsSequence, x.PredictionsSequence)
	}
	c := events.ColumnEvaluation{Column: events.ColumnPerformance, Statistic: statisticF1Drop, Threshold: p.Drop, N: o.Len(), Action: events.ActionReport}
	if p.Action == spec.ActionRetrain {
		c.Action = events.ActionRetrain
	}
	holdout, known := ref.Holdout["f1_churn"]
	if known {
		c.Value = holdout - o.counts.F1()
		c.Bound = float64(p.StandardErrors * math.Hypot(o.counts.StandardError(), holdoutCounts(ref.Holdout).StandardError()))
	}
	state, change := stateOf(last, c.Column).next(verdict{
		enough: known && c.N >= p.MinRows && o.counts.TP+o.counts.FN >= float64(p.MinPositives),
		over:   c.Value > p.Drop && c.Value > c.Bound, under: c.Value < p.Clear,
		version: ref.Version, renewed: last != nil && last.Version != ref.Version, now: newest.At,
		first: first.Sequence, sequence: newest.Sequence, consecutive: p.Consecutive, repeat: ref.Spec.Drift.Repeat,
	})
	state.store(&c)
	e.Columns = []events.ColumnEvaluation{c}
	if n := notice(e, c, events.DriftPerformance, change, p.Clear); n != nil {
		return e, []events.Payload{n}
	}
	return e, nil
}

// holdoutCounts returns the confusion among a version's metrics, zero where it is not there.
func holdoutCounts(metrics map[string]float64) Confusion {
	return Confusion{TP: metrics["tp"], FP: metrics["fp"], TN: metrics["tn"], FN: metrics["fn"]}
}
