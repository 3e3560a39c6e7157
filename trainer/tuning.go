package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/model/calibrate"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/trainer/tune"
)

// The figures that a tuning can go by.
const (
	TuneLogLoss = "log_loss"
	TuneROCAUC  = "roc_auc"
	TunePRAUC   = "pr_auc"
)

// TuneOptions say how parameters are searched. All fields but Threads are required.
type TuneOptions struct {
	// Metric chooses among trials: TuneLogLoss, TuneROCAUC or TunePRAUC.
	Metric string
	// Outer folds say what the search brings on rows that it did not see; Inner folds, within the others, choose.
	Outer, Inner int
	// Seed deals the outer folds and draws the trials.
	Seed uint64
	// Threads bounds the goroutines; 0 means all processors.
	Threads int
}

// Tuning is the spec's learner as something to search: an objective for package tune. The holdout of the spec's split takes no part, so
// that it can still judge what comes of the search. It is safe for concurrent use.
type Tuning struct {
	spec    *spec.Spec // as it is
	schema  *dataset.Schema
	table   *dataset.Table
	options TuneOptions
	rows    []int // all that are not held out
	label   []float64
	fold    []int // outer fold of each row
	space   tune.Space
	first   tune.Point
}

var _ tune.Objective = (*Tuning)(nil)

// FoldsError says that the rows can't be dealt to the folds that are asked for.
type FoldsError struct {
	Inner bool // or outer
	Folds int
	Err   error
}

// Error names the folds.
func (e *FoldsError) Error() string {
	kind := "outer"
	if e.Inner {
		kind = "inner"
	}
	return fmt.Sprintf("deal the rows to %d %s folds: %v", e.Folds, kind, e.Err)
}

// Unwrap returns the cause.
func (e *FoldsError) Unwrap() error { return e.Err }

// NewTuning deals the rows of a labelled table to outer folds and lays out the space around the spec's learner. It is an error if options are
// out of range, and a *FoldsError if a class has fewer entities than there are folds.
func NewTuning(sp *spec.Spec, sch *dataset.Schema, table *dataset.Table, o TuneOptions) (*Tuning, error) {
	switch {
	case o.Metric != TuneLogLoss && o.Metric != TuneROCAUC && o.Metric != TunePRAUC:
		return nil, fmt.Errorf("tune: metric %q, want %s, %s or %s", o.Metric, TuneLogLoss, TuneROCAUC, TunePRAUC)
	case o.Outer < 2 || o.Outer > 20 || o.Inner < 2 || o.Inner > 20:
		return nil, fmt.Errorf("tune: %d outer and %d inner folds, want 2 to 20", o.Outer, o.Inner)
	}
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	t := &Tuning{spec: sp.Clone(), schema: sch, table: table, options: o}
	var ids []string
	for i := range table.Len() {
		if id := table.ID(i); partOf(id, sp.Split) != holdout {
			t.rows, t.label, ids = append(t.rows, i), append(t.label, table.Label(i)), append(ids, id)
		}
	}
	var err error
	t.fold, err = eval.GroupFolds(ids, t.label, o.Outer, xxhash.Sum64String(fmt.Sprintf("%s/outer/%d", sp.Split.Salt, o.Seed)))
	if err != nil {
		return nil, &FoldsError{Folds: o.Outer, Err: err}
	}
	for arm := range o.Outer { // each has fewer rows than the arm of all
		s := t.sample(arm)
		ids, label := make([]string, len(s.rows)), make([]float64, len(s.rows))
		for i, r := range s.rows {
			ids[i], label[i] = table.ID(r), table.Label(r)
		}
		if _, err := eval.GroupFolds(ids, label, o.Inner, 0); err != nil {
			return nil, &FoldsError{Inner: true, Folds: o.Inner, Err: err}
		}
	}
	t.layOut(len(t.rows))
	return t, nil
}

// layOut makes the space: each range holds what has been found good on tables of any kind, by orders of magnitude where that is how
// a parameter acts. Of depth and leaves the one that bounds the present trees is searched: the leaves where the spec names both, up to as
// many as its depth lets grow.
func (t *Tuning) layOut(rows int) {
	l := t.spec.Learner
	add := func(d tune.Dim, present float64) {
		t.space, t.first = append(t.space, d), append(t.first, present)
	}
	add(tune.Dim{Name: "learning_rate", Low: 0.02, High: 0.2, Log: true}, l.LearningRate)
	switch {
	case l.MaxLeaves > 0 && l.MaxDepth == 0:
		add(tune.Dim{Name: "max_leaves", Low: 3, High: 128, Log: true, Whole: true}, float64(l.MaxLeaves))
	case l.MaxLeaves == 0:
		add(tune.Dim{Name: "max_depth", Low: 2, High: 8, Whole: true}, float64(l.MaxDepth))
	case l.MaxDepth > 1: // of both the depth stays, and no more leaves are tried than it lets grow; a tree of depth 1 has two
		add(tune.Dim{Name: "max_leaves", Low: 2, High: float64(int(1) << min(l.MaxDepth, 7)), Log: true, Whole: true}, float64(l.MaxLeaves))
	}
	add(tune.Dim{Name: "l2", Low: 0.1, High: 100, Log: true}, l.L2)
	add(tune.Dim{Name: "min_child_weight", Low: 0.01, High: 50, Log: true}, l.MinChildWeight)
	most := float64(min(max(rows/20, 20), 500))
	add(tune.Dim{Name: "min_child_rows", Low: 2, High: most, Log: true, Whole: true}, float64(l.MinChildRows))
	add(tune.Dim{Name: "subsample", Low: 0.4, High: 1}, l.Subsample)
	add(tune.Dim{Name: "column_sample", Low: 0.2, High: 1}, l.ColumnSample)
}

// Space returns the parameters and the present value of each.
func (t *Tuning) Space() (tune.Space, tune.Point) { return t.space, t.first }

// Rows returns the number of rows that take part.
func (t *Tuning) Rows() int { return len(t.rows) }

// Key returns what the trials depend on, for a journal.
func (t *Tuning) Key(fingerprint string) tune.Key {
	return tune.NewKey(tune.Key{
		Spec: t.spec.Digest(), Dataset: fingerprint, Metric: t.options.Metric, Outer: t.options.Outer, Inner: t.options.Inner,
		Seed: t.options.Seed, Space: t.space,
	})
}

// Apply returns a copy of a spec with the values of a point: what [Tuning] judges for that point, to the last key. Where the learning rate is
// lower than before, the bound on the trees is raised as much; where the spec keeps all trees, early stopping is turned on at its default, as
// another rate or size needs another number of trees. A point that holds the spec's own values changes nothing.
func Apply(sp *spec.Spec, point map[string]float64) *spec.Spec {
	out := sp.Clone()
	l, trees, changed := &out.Learner, sp.Learner.Trees, false
	real := func(to *float64, v float64) { changed, *to = changed || *to != v, v }
	whole := func(to *int, v float64) { changed, *to = changed || *to != int(v), int(v) }
	for name, v := range point {
		switch name {
		case "learning_rate":
			if v < l.LearningRate {
				trees = min(int(math.Ceil(float64(l.Trees)*l.LearningRate/v)), 100_000)
			}
			real(&l.LearningRate, v)
		case "max_leaves":
			whole(&l.MaxLeaves, v)
		case "max_depth":
			whole(&l.MaxDepth, v)
		case "l2":
			real(&l.L2, v)
		case "min_child_weight":
			real(&l.MinChildWeight, v)
		case "min_child_rows":
			whole(&l.MinChildRows, v)
		case "subsample":
			real(&l.Subsample, v)
		case "column_sample":
			real(&l.ColumnSample, v)
		default:
			panic("trainer: a parameter that nobody searches: " + name)
		}
	}
	l.Trees = max(trees, l.Trees) // a spec may hold more than the bound
	if changed && l.EarlyStoppingRounds == 0 {
		l.EarlyStoppingRounds = spec.Default().Learner.EarlyStoppingRounds
	}
	return out
}

// input returns what one fit is made of.
func (t *Tuning) input(point map[string]float64) Input {
	return Input{Spec: Apply(t.spec, point), Schema: t.schema, Threads: t.options.Threads}
}

// sample returns the rows outside of an outer fold, or all where arm is the number of folds.
func (t *Tuning) sample(arm int) sample {
	var s sample
	for i, r := range t.rows {
		if t.fold[i] != arm {
			s.rows = append(s.rows, r)
		}
	}
	return s
}

// Score cross-validates on the rows outside of an outer fold, with Inner folds whatever the spec's own. The number of trees is chosen there
// too, as in training. The figures are of scores as they are published: those of a fold are calibrated by the spec's method, fitted to the
// scores of the other folds.
func (t *Tuning) Score(ctx context.Context, arm int, point map[string]float64) (float64, map[string]float64, error) {
	in := t.input(point)
	in.Spec.Learner.Folds = t.options.Inner
	cv, err := crossValidate(ctx, in, t.table, t.sample(arm), nil)
	var step *StepError
	switch {
	case errors.As(err, &step):
		return 0, nil, &tune.FailedTrial{Err: err}
	case err != nil:
		return 0, nil, err
	}
	figures := map[string]float64{"trees": float64(cv.trees)}
	for j := range t.options.Inner {
		score, label, _, err := cv.calibrated(calibrate.Method(in.Spec.Calibration), j, nil)
		if err != nil {
			return 0, nil, &tune.FailedTrial{Err: fmt.Errorf("inner fold %d: %w", j, &StepError{"calibrate", err})}
		}
		for name, metric := range tuneFigures {
			v, err := metric(score, label, nil)
			if err != nil {
				return 0, nil, fmt.Errorf("%s of inner fold %d: %w", name, j, err)
			}
			figures[name] += v / float64(t.options.Inner)
		}
	}
	loss := figures[t.options.Metric]
	if t.options.Metric != TuneLogLoss {
		loss = -loss
	}
	return loss, figures, nil
}

// tuneFigures are what trials and judgements report.
var tuneFigures = map[string]eval.Metric{TuneLogLoss: eval.LogLoss, TuneROCAUC: eval.ROCAUC, TunePRAUC: eval.PRAUC}

// Judge trains by the spec's own recipe, with its folds or its validation part, on the rows outside of an outer fold and returns the figures of
// the published scores on the fold.
func (t *Tuning) Judge(ctx context.Context, arm int, point map[string]float64) (map[string]float64, error) {
	in := t.input(point)
	d := data{table: t.table}
	for _, r := range t.sample(arm).rows {
		d.older.add(r, t.table.ID(r), in.Spec.Split)
	}
	_, own := eval.Split(t.fold, arm)
	f, err := d.fit(ctx, in, pick(t.rows, own))
	if err != nil {
		return nil, err
	}
	score, label, err := f.score(t.table, pick(t.rows, own))
	if err != nil {
		return nil, err
	}
	m, err := eval.Evaluate(score, label, nil, f.threshold)
	if err != nil {
		return nil, err
	}
	return map[string]float64{TuneLogLoss: m.LogLoss, TuneROCAUC: m.ROCAUC, TunePRAUC: m.PRAUC, "f1_churn": m.F1, "trees": float64(f.trees.Trees())}, nil
}
