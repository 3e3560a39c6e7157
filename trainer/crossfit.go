package trainer

import (
	"context"
	"fmt"
	"math"
	"runtime"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/model/calibrate"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/gbdt"
)

// crossValidation is what trees that never saw a row say about it.
type crossValidation struct {
	fold  []int     // of each row
	curve []float64 // log loss over all rows after each tree of the folds' ensembles
	trees int       // at which the loss is least, or all of them without early stopping
	score []float64 // of each row, by the folds' first trees; not calibrated
	label []float64
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
	pipeline, x, err := fitFeatures(in, t, s)
	if err != nil {
		return nil, err
	}
	p := learnerParams(in.Spec, pipeline, in.Threads)
	p.Trees, p.EarlyStoppingRounds = cv.trees, 0
	trees, report, err := gbdt.Train(ctx, p, pipeline.Names(), x, nil, progress)
	if err != nil {
		return nil, trainError(ctx, err)
	}
	f := &fitted{pipeline: pipeline, trees: trees, trained: s.rows, judged: s, cv: cv,
		trainLoss: report.TrainLoss[len(report.TrainLoss)-1], validLoss: cv.curve[cv.trees-1]}
	return f, f.decide(in.Spec, cv.score, cv.label)
}

// foldModel is the trees of one fold and the rows that they did not see.
type foldModel struct {
	trees  *gbdt.Ensemble
	unseen gbdt.Matrix
	places []int     // of the unseen rows in the sample
	loss   []float64 // on the unseen rows after each tree
	weight float64   // of the unseen rows
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
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(min(k, threads))
	for j := range k {
		group.Go(func() (err error) {
			models[j], err = fitFold(ctx, in, t, s, cv.fold, j, max(1, threads/k), progress)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	cv.choose(models, in.Spec.Learner.EarlyStoppingRounds > 0)
	for _, m := range models {
		scores := probabilities(m.trees.First(min(cv.trees, m.trees.Trees())), m.unseen)
		for i, at := range m.places {
			cv.score[at] = scores[i]
		}
	}
	return cv, nil
}

// fitFold fits features and trees to the rows outside of a fold.
func fitFold(ctx context.Context, in Input, t *dataset.Table, s sample, fold []int, j, threads int, progress func(gbdt.Progress) error) (*foldModel, error) {
	var seen, unseen sample
	var places []int
	weight := 0.0
	for i, r := range s.rows {
		part := &seen
		w := 1.0
		if s.weight != nil {
			w = s.weight[i]
		}
		if fold[i] == j {
			part, places = &unseen, append(places, i)
			weight += w
		}
		part.rows = append(part.rows, r)
		if s.weight != nil {
			part.weight = append(part.weight, w)
		}
	}
	pipeline, x, err := fitFeatures(in, t, seen)
	if err != nil {
		return nil, err
	}
	v, err := unseen.matrix(pipeline, t)
	if err != nil {
		return nil, err
	}
	p := learnerParams(in.Spec, pipeline, threads)
	p.EarlyStoppingRounds = 0 // all folds together say when to stop
	trees, report, err := gbdt.Train(ctx, p, pipeline.Names(), x, &v, progress)
	if err != nil {
		return nil, trainError(ctx, fmt.Errorf("fold %d: %w", j, err))
	}
	return &foldModel{trees: trees, unseen: v, places: places, loss: report.ValidLoss, weight: weight}, nil
}

// choose joins the folds' losses and takes the first number of trees at which the mean is least. A fold that ran out of splits stays
// where it was.
func (cv *crossValidation) choose(models []*foldModel, stopping bool) {
	total, longest := 0.0, 0
	for _, m := range models {
		total += m.weight
		longest = max(longest, len(m.loss))
	}
	cv.curve = make([]float64, longest)
	for i := range cv.curve {
		for _, m := range models {
			cv.curve[i] += float64(m.loss[min(i, len(m.loss)-1)] * (m.weight / total))
		}
	}
	cv.trees = longest
	for i := longest - 1; stopping && i >= 0; i-- {
		if cv.curve[i] <= cv.curve[cv.trees-1] {
			cv.trees = i + 1
		}
	}
}

// metrics returns what the folds say about the published scores, as cv_ metrics: the mean over the folds, its standard error
// (Nadeau and Bengio's, as the folds share training rows) and the ends of the 95 % interval. A fold's scores are calibrated by the scores of the others.
func (cv *crossValidation) metrics(method calibrate.Method, k int, weight []float64) (map[string]float64, error) {
	out := map[string]float64{}
	values := map[string][]float64{}
	for j := range k {
		score, label, w, err := cv.calibrated(method, j, weight)
		if err != nil {
			return nil, fmt.Errorf("fold %d: %w", j, err)
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
		for suffix, v := range map[string]float64{"mean": s.Mean, "se": s.SE.Float(), "low": s.Low.Float(), "high": s.High.Float()} {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				out["cv_"+name+"_"+suffix] = v
			}
		}
	}
	return out, nil
}

// calibrated returns the scores of a fold, calibrated by those of the other folds, with their labels and weights.
func (cv *crossValidation) calibrated(method calibrate.Method, j int, weight []float64) (score, label, w []float64, err error) {
	others, own := eval.Split(cv.fold, j)
	pick := func(from []float64, rows []int) []float64 {
		if from == nil {
			return nil
		}
		out := make([]float64, len(rows))
		for i, r := range rows {
			out[i] = from[r]
		}
		return out
	}
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
