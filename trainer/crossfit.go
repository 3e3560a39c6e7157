package trainer

import (
	"context"
	"fmt"
	"runtime"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/model/calibrate"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
)

// crossValidation is what trees that never saw a row say about it.
type crossValidation struct {
	fold  []int     // of each row
	curve []float64 // log loss over all rows after each tree of the folds' ensembles
	trees int       // at which the loss is least, or all of them without early stopping
	score []float64 // of each row, by the folds' first trees; not calibrated
	label []float64
	// published are the scores, each calibrated by the rows of the other folds: neither its trees nor its calibrator saw the row's label.
	published []float64
}

// fitOnFolds deals the rows to the spec's folds by their entities. For each fold, features and trees are fitted on the rows of the others
// and score its own. The mean loss of these scores says how many trees are enough; the scores, each of a row that its trees never
// saw, choose calibration and threshold. Then features and trees are fitted once more, to all rows.
//
// So all rows are trained on, and all rows judge. The final trees have seen 1/(folds-1) more rows than those that were judged, so the
// estimates are a little pessimistic; that the number of trees was chosen on the same scores makes them a little optimistic.
func fitOnFolds(ctx context.Context, in Input, t *dataset.Table, s sample) (*fitted, error) {
	progress := in.progress()
	cv, err := crossValidate(ctx, in, t, s, progress)
	if err != nil {
		return nil, err
	}
	p, err := prepare(ctx, in, t, s, in.Threads)
	if err != nil {
		return nil, err
	}
	p.params.Trees, p.params.EarlyStoppingRounds = cv.trees, 0
	trees, report, err := p.train(ctx, nil, progress)
	if err != nil {
		return nil, err
	}
	f := &fitted{pipeline: p.pipeline, trees: trees, trained: s.rows, judged: s, cv: cv,
		trainLoss: report.TrainLoss[len(report.TrainLoss)-1], validLoss: cv.curve[cv.trees-1]}
	if err := f.decide(in.Spec, cv.score, cv.label); err != nil {
		return nil, err
	}
	if f.figures, err = cv.summary(f.calibrator.Method(), in.Spec.Learner.Folds, s.weight); err != nil {
		return nil, &StepError{"cross-validate", err}
	}
	return f, nil
}

// foldModel is the features and trees of one fold, and the rows that they did not see.
type foldModel struct {
	pipeline *feature.Pipeline
	trees    *gbdt.Ensemble
	unseen   sample
	places   []int // of the unseen rows in the sample
}

func crossValidate(ctx context.Context, in Input, t *dataset.Table, s sample, progress func(gbdt.Progress) error) (*crossValidation, error) {
	k := in.Spec.Learner.Folds
	cv := &crossValidation{score: make([]float64, len(s.rows)), label: make([]float64, len(s.rows))}
	ids := make([]string, len(s.rows))
	for i, r := range s.rows {
		ids[i], cv.label[i] = t.ID(r), t.Label(r)
	}
	var err error
	if cv.fold, err = eval.GroupFolds(ids, cv.label, k, xxhash.Sum64String(in.Spec.Split.Salt+"/folds")); err != nil {
		return nil, &StepError{"split", err}
	}
	threads := in.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	models := make([]*foldModel, k)
	pace := newPace(k, min(k, threads), in.Spec.Learner.EarlyStoppingRounds)
	in.Threads = max(1, threads/k)
	group, groupCtx := errgroup.WithContext(ctx)
	defer context.AfterFunc(groupCtx, pace.wake)()
	for j := range k {
		unseen, seen, places := s.split(cv.fold, j)
		models[j] = &foldModel{unseen: unseen, places: places}
		pace.weight[j] = unseen.weighted(t, in.Spec.Learner.PositiveWeight).total()
		group.Go(func() error { return models[j].fit(groupCtx, in, t, seen, pace.of(groupCtx, j, progress)) })
	}
	if err := group.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	cv.curve, cv.trees = chooseTrees(pace.loss, pace.weight, pace.patience)
	for _, m := range models {
		score, _, err := probabilities(m.trees.First(min(cv.trees, m.trees.Trees())), m.pipeline, t, m.unseen)
		if err != nil {
			return nil, err
		}
		for i, at := range m.places {
			cv.score[at] = score[i]
		}
	}
	return cv, nil
}

// split returns the rows of a fold, those outside of it, and the places of the former in the sample.
func (s sample) split(fold []int, j int) (unseen, seen sample, places []int) {
	for i, r := range s.rows {
		part := &seen
		if fold[i] == j {
			part, places = &unseen, append(places, i)
		}
		part.rows = append(part.rows, r)
		if s.weight != nil {
			part.weight = append(part.weight, s.weight[i])
		}
	}
	return unseen, seen, places
}

// fit fits features and trees to the rows outside of the fold, at the pace of all folds.
func (m *foldModel) fit(ctx context.Context, in Input, t *dataset.Table, seen sample, turn foldPace) error {
	if err := turn.begin(); err != nil {
		return err
	}
	defer turn.finish()
	p, err := prepare(ctx, in, t, seen, in.Threads)
	if err != nil {
		return err
	}
	judges, err := p.others(ctx, t, m.unseen.weighted(t, in.Spec.Learner.PositiveWeight))
	if err != nil {
		return err
	}
	p.params.EarlyStoppingRounds = 0 // all folds together say when to stop
	m.pipeline = p.pipeline
	m.trees, _, err = p.train(ctx, judges, turn.tree)
	return err
}

// crossFigures is what the folds say about the published scores, as cross_validation.json has it.
type crossFigures struct {
	Folds   int                    `json:"folds"`
	Rows    int                    `json:"rows"`
	Trees   int                    `json:"trees"`
	Figures map[string]crossFigure `json:"figures"`
	// Loss is the mean log loss of the folds after each tree, before calibration; positive rows weigh what learner.positive_weight says.
	Loss []float64 `json:"loss_by_trees"`
}

// crossFigure is one figure over the folds.
type crossFigure struct {
	eval.CVSummary
	Values []float64 `json:"values"` // by fold
}

// summary returns the figures of the folds; a fold's scores are calibrated by the scores of the others, and kept as published.
func (cv *crossValidation) summary(method calibrate.Method, k int, weight []float64) (*crossFigures, error) {
	out := &crossFigures{Folds: k, Rows: len(cv.fold), Trees: cv.trees, Figures: map[string]crossFigure{}, Loss: cv.curve}
	values := map[string][]float64{}
	cv.published = make([]float64, len(cv.score))
	for j := range k {
		score, label, w, err := cv.calibrated(method, j, weight)
		if err != nil {
			return nil, fmt.Errorf("fold %d: %w", j, err)
		}
		_, own := eval.Split(cv.fold, j)
		for i, at := range own {
			cv.published[at] = score[i]
		}
		for name, metric := range map[string]eval.Metric{"roc_auc": eval.ROCAUC, "pr_auc": eval.PRAUC, "log_loss": eval.LogLoss, "brier": eval.Brier} {
			v, err := metric(score, label, w)
			if err != nil {
				return nil, fmt.Errorf("fold %d: %s: %w", j, name, err)
			}
			values[name] = append(values[name], v)
		}
	}
	for name, v := range values {
		s, err := eval.CrossValidation(v, k)
		if err != nil {
			return nil, fmt.Errorf("%s over folds: %w", name, err)
		}
		out.Figures[name] = crossFigure{s, v}
	}
	return out, nil
}

// metrics returns the figures as cv_ metrics: the mean over the folds, its standard error (Nadeau and Bengio's, as the folds share training
// rows) and the ends of the 95 % interval.
func (c *crossFigures) metrics() map[string]float64 {
	out := map[string]float64{}
	for name, s := range c.Figures {
		for suffix, f := range map[string]eval.Figure{"mean": eval.NewFigure(s.Mean), "se": s.SE, "low": s.Low, "high": s.High} {
			if v, ok := f.Value(); ok {
				out["cv_"+name+"_"+suffix] = v
			}
		}
	}
	return out
}

// calibrated returns the scores of a fold, calibrated by those of the other folds, with their labels and weights.
func (cv *crossValidation) calibrated(method calibrate.Method, j int, weight []float64) (score, label, w []float64, err error) {
	others, own := eval.Split(cv.fold, j)
	c, err := calibrate.Fit(method, pick(cv.score, others), pick(cv.label, others), pick(weight, others))
	if err != nil {
		return nil, nil, nil, err
	}
	score = pick(cv.score, own)
	for i, p := range score {
		score[i] = c.Apply(p)
	}
	return score, pick(cv.label, own), pick(weight, own), nil
}

// pick returns some places of a list, nil of nil.
func pick[T any](from []T, places []int) []T {
	if from == nil {
		return nil
	}
	out := make([]T, len(places))
	for i, at := range places {
		out[i] = from[at]
	}
	return out
}
