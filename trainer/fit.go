package trainer

import (
	"context"
	"fmt"
	"sync"

	"telco-churn-mlops/model/calibrate"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
)

// sample is rows of a table with their weights; nil stands for 1 each.
type sample struct {
	rows   []int
	weight []float64
}

// fitted is what the rows to learn from gave.
type fitted struct {
	pipeline   *feature.Pipeline
	trees      *gbdt.Ensemble
	calibrator calibrate.Calibrator
	threshold  float64
	// trained are the rows that the features and trees were fitted to.
	trained []int
	// judged are rows with scores of trees that never saw them: those of the validation part, or all rows to learn from.
	judged    sample
	judgedFor []float64 // calibrated scores of the judged rows
	// trainLoss and validLoss are the log loss of the trees before calibration, on the rows they saw and on the judged ones.
	trainLoss, validLoss float64
	cv                   *crossValidation // nil without folds
}

// fitOnValidation fits the features and trees on the training rows; the validation rows say when to stop and choose calibration and
// threshold.
func fitOnValidation(ctx context.Context, in Input, t *dataset.Table, train, valid sample) (*fitted, error) {
	progress := in.progress()
	pipeline, x, err := fitFeatures(in, t, train)
	if err != nil {
		return nil, err
	}
	v, err := valid.matrix(pipeline, t)
	if err != nil {
		return nil, err
	}
	p := learnerParams(in.Spec, pipeline, in.Threads)
	trees, report, err := gbdt.Train(ctx, p, pipeline.Names(), x, &v, progress)
	if err != nil {
		return nil, trainError(ctx, err)
	}
	best := max(0, report.BestTree-1)
	if p.EarlyStoppingRounds == 0 {
		best = len(report.TrainLoss) - 1
	}
	f := &fitted{pipeline: pipeline, trees: trees, trained: train.rows, judged: valid, trainLoss: report.TrainLoss[best], validLoss: report.ValidLoss[best]}
	return f, f.decide(in.Spec, probabilities(trees, v), v.Label)
}

// fitFeatures fits the pipeline to the rows and returns their features as the trees are fitted to them.
func fitFeatures(in Input, t *dataset.Table, s sample) (*feature.Pipeline, gbdt.Matrix, error) {
	pipeline, source, err := feature.FitTransform(in.Spec, in.Schema, t, s.rows, s.weight)
	if err != nil {
		return nil, gbdt.Matrix{}, &StepError{"features", err}
	}
	return pipeline, matrix(source, pipeline.Width()), nil
}

// matrix returns the features of rows that the pipeline was not fitted to.
func (s sample) matrix(p *feature.Pipeline, t *dataset.Table) (gbdt.Matrix, error) {
	source, err := p.Source(t, s.rows, s.weight)
	if err != nil {
		return gbdt.Matrix{}, &StepError{"features", err}
	}
	return matrix(source, p.Width()), nil
}

// matrix holds what a source of features gives.
func matrix(s *feature.Source, width int) gbdt.Matrix {
	n := s.Len()
	m := gbdt.Matrix{Rows: n, Width: width, X: make([]float64, n*width), Label: make([]float64, n), Weight: make([]float64, n)}
	next := s.Rows()
	for i := range n {
		m.Label[i], m.Weight[i] = next(i, m.X[i*width:(i+1)*width])
	}
	return m
}

// probabilities returns the trees' own probability of each row, before calibration.
func probabilities(e *gbdt.Ensemble, m gbdt.Matrix) []float64 {
	out := make([]float64, m.Rows)
	e.Margins(m.X, out)
	for i, margin := range out {
		out[i] = e.FromMargin(margin)
	}
	return out
}

// trainError keeps a context's end apart from what the data did.
func trainError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &StepError{"train", err}
}

// progress counts trees over all the fits of a run, which may grow at the same time.
func (in Input) progress() func(gbdt.Progress) error {
	if in.OnTree == nil {
		return nil
	}
	var lock sync.Mutex
	trees := 0
	return func(p gbdt.Progress) error {
		lock.Lock()
		defer lock.Unlock()
		trees++
		p.Tree = trees
		return in.OnTree(p)
	}
}

// decide fits the calibration to scores of rows that the trees did not see, and chooses the threshold on the calibrated scores.
func (f *fitted) decide(sp *spec.Spec, score, label []float64) (err error) {
	f.calibrator, err = calibrate.Fit(calibrate.Method(sp.Calibration), score, label, f.judged.weight)
	if err != nil {
		return &StepError{"calibrate", err}
	}
	f.judgedFor = make([]float64, len(score))
	for i, s := range score {
		f.judgedFor[i] = f.calibrator.Apply(s)
	}
	if f.threshold, err = chooseThreshold(sp.Threshold, f.judgedFor, label, f.judged.weight); err != nil {
		return &StepError{"threshold", err}
	}
	return nil
}

// chooseThreshold returns the threshold that the rule finds best on these rows.
func chooseThreshold(d *spec.Decision, score, label, weight []float64) (float64, error) {
	switch d.Rule() {
	case spec.RuleF1:
		threshold, _, err := eval.BestF1Threshold(score, label, weight)
		return threshold, err
	case spec.RuleCost:
		best, err := eval.BestCostThreshold(score, label, weight, costMatrix(d.Cost))
		return min(best.Threshold, 1), err
	case spec.RuleProfit:
		best, err := campaign(d.Profit).ExpectedMaxProfit(score, label, weight)
		return min(best.Threshold, 1), err
	}
	return 0, fmt.Errorf("unknown rule %q", d.Rule())
}

func costMatrix(c *spec.Costs) eval.CostMatrix {
	return eval.CostMatrix{TP: c.TruePositive, FP: c.FalsePositive, TN: c.TrueNegative, FN: c.FalseNegative}
}

func campaign(p *spec.Profit) eval.Campaign {
	if p == nil {
		d := spec.DefaultProfit()
		p = &d
	}
	return eval.Campaign{Lifetime: p.LifetimeValue, Incentive: p.Incentive, Contact: p.Contact, Alpha: p.Alpha, Beta: p.Beta}
}

// score returns the published probability of rows, and their labels.
func (f *fitted) score(t *dataset.Table, rows []int) (score, label []float64, err error) {
	m, err := sample{rows: rows}.matrix(f.pipeline, t)
	if err != nil {
		return nil, nil, err
	}
	score = probabilities(f.trees, m)
	for i, p := range score {
		score[i] = f.calibrator.Apply(p)
	}
	return score, m.Label, nil
}
