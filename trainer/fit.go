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

// weighted returns the sample with the weight of its positive rows multiplied, as training does. Where to stop is asked of the
// loss that is trained on.
func (s sample) weighted(t *dataset.Table, positive float64) sample {
	if positive == 1 {
		return s
	}
	out := sample{rows: s.rows, weight: make([]float64, len(s.rows))}
	for i, r := range s.rows {
		out.weight[i] = 1
		if s.weight != nil {
			out.weight[i] = s.weight[i]
		}
		if t.Label(r) == 1 {
			out.weight[i] *= positive
		}
	}
	return out
}

// total returns the sum of the weights.
func (s sample) total() float64 {
	if s.weight == nil {
		return float64(len(s.rows))
	}
	sum := 0.0
	for _, w := range s.weight {
		sum += w
	}
	return sum
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
	judgedFor []float64 // of the judged rows, by the final calibrator, which was fitted to them: no evidence of calibration
	// trainLoss and validLoss are the log loss of the trees before calibration, on the rows they saw and on the judged ones; positive rows
	// weigh what learner.positive_weight says.
	trainLoss, validLoss float64
	cv                   *crossValidation // nil without folds
	figures              *crossFigures    // of cv
}

// fitOnValidation fits the features and trees on the training rows; the validation rows say when to stop and choose calibration and
// threshold.
func fitOnValidation(ctx context.Context, in Input, t *dataset.Table, train, valid sample) (*fitted, error) {
	p, err := prepare(ctx, in, t, train, in.Threads)
	if err != nil {
		return nil, err
	}
	judges, err := p.others(ctx, t, valid.weighted(t, in.Spec.Learner.PositiveWeight))
	if err != nil {
		return nil, err
	}
	trees, report, err := p.train(ctx, judges, in.progress())
	if err != nil {
		return nil, err
	}
	last := report.Trees - 1
	f := &fitted{pipeline: p.pipeline, trees: trees, trained: train.rows, judged: valid,
		trainLoss: report.TrainLoss[last], validLoss: report.ValidLoss[last]}
	score, label, err := probabilities(trees, p.pipeline, t, valid)
	if err != nil {
		return nil, err
	}
	return f, f.decide(in.Spec, score, label)
}

// prepared is quantized rows with the pipeline that was fitted to them and the parameters that go with it.
type prepared struct {
	pipeline *feature.Pipeline
	params   gbdt.Params
	data     *gbdt.Data
}

// prepare fits the pipeline to the rows and quantizes their features.
func prepare(ctx context.Context, in Input, t *dataset.Table, s sample, threads int) (*prepared, error) {
	pipeline, source, err := feature.FitTransform(in.Spec, in.Schema, t, s.rows, s.weight)
	if err != nil {
		return nil, &StepError{"features", err}
	}
	p := &prepared{pipeline: pipeline, params: learnerParams(in.Spec, pipeline, threads)}
	p.data, err = gbdt.Quantize(ctx, p.params, pipeline.Names(), source)
	if err != nil {
		return nil, trainError(ctx, err)
	}
	return p, nil
}

// others quantizes rows that the pipeline was not fitted to.
func (p *prepared) others(ctx context.Context, t *dataset.Table, s sample) (*gbdt.Data, error) {
	source, err := p.pipeline.Source(t, s.rows, s.weight)
	if err != nil {
		return nil, &StepError{"features", err}
	}
	data, err := p.data.Quantize(ctx, p.params, source)
	if err != nil {
		return nil, trainError(ctx, err)
	}
	return data, nil
}

// train grows the trees; valid may be nil without early stopping.
func (p *prepared) train(ctx context.Context, valid *gbdt.Data, onTree func(gbdt.Progress) error) (*gbdt.Ensemble, gbdt.Report, error) {
	trees, report, err := gbdt.TrainData(ctx, p.params, p.data, valid, onTree)
	if err != nil {
		return nil, report, trainError(ctx, err)
	}
	return trees, report, nil
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

// probabilities returns the trees' own probability of each row, before calibration, and the labels.
func probabilities(e *gbdt.Ensemble, p *feature.Pipeline, t *dataset.Table, s sample) (score, label []float64, err error) {
	source, err := p.Source(t, s.rows, nil)
	if err != nil {
		return nil, nil, &StepError{"features", err}
	}
	const block = 512 // rows whose features are held at once
	n, width := source.Len(), p.Width()
	score, label = make([]float64, n), make([]float64, n)
	x, next := make([]float64, min(block, n)*width), source.Rows()
	for from := 0; from < n; from += block {
		to := min(from+block, n)
		for i := from; i < to; i++ {
			label[i], _ = next(i, x[(i-from)*width:(i-from+1)*width])
		}
		e.Margins(x[:(to-from)*width], score[from:to])
	}
	for i, margin := range score {
		score[i] = e.FromMargin(margin)
	}
	return score, label, nil
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
	score, label, err = probabilities(f.trees, f.pipeline, t, sample{rows: rows})
	for i, p := range score {
		score[i] = f.calibrator.Apply(p)
	}
	return score, label, err
}
