package trainer

import (
	"context"
	"maps"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/trainer/report"
)

const (
	// permutationRows bounds the holdout rows whose values are shuffled: what matters to 5,000 rows matters to all.
	permutationRows = 5000
	// permutationRepeats is how often the values of a column are shuffled.
	permutationRepeats = 3
	calibrationBins    = 10
)

// scored is rows with the scores that the model publishes for them.
type scored struct {
	rows         []int
	score, label []float64
}

// evidence returns the tables and pictures of a run.
func (f *fitted) evidence(ctx context.Context, in Input, t *dataset.Table, test scored) ([]model.File, error) {
	features, err := f.importance(ctx, in, t, test.rows)
	if err != nil {
		return nil, err
	}
	r := report.Input{Threshold: f.threshold, Features: features, Rows: []report.Rows{
		{Name: "holdout", Score: test.score, Label: test.label, Columns: columnsOf(t, test.rows)},
	}}
	if f.cv != nil {
		// Not the final calibrator's: it was fitted to these very rows, and would show itself without an error.
		r.Rows = append(r.Rows, report.Rows{Name: "out_of_fold", Score: f.cv.published, Label: f.cv.label, Weight: f.judged.weight,
			Columns: columnsOf(t, f.judged.rows)})
		r.CrossValidation = f.figures
	}
	return report.Files(ctx, r)
}

// columnsOf returns the words of the rows by categorical column, to slice by.
func columnsOf(t *dataset.Table, rows []int) []eval.Column {
	names := t.Schema().Categorical()
	out := make([]eval.Column, len(names))
	for c, name := range names {
		out[c] = eval.Column{Name: name, Values: make([]string, len(rows))}
		for i, r := range rows {
			out[c].Values[i] = t.Category(c, r)
		}
	}
	return out
}

// importance measures what the trees make of each column and derived feature: a column's features are taken, and shuffled, together.
func (f *fitted) importance(ctx context.Context, in Input, t *dataset.Table, rows []int) ([]report.Feature, error) {
	gain, splits := f.trees.ImportanceBy(gbdt.GainImportance), f.trees.ImportanceBy(gbdt.SplitImportance)
	var features []report.Feature
	p := eval.Permutation{Repeats: permutationRepeats, Seed: in.Spec.Learner.Seed, Threads: in.Threads}
	for _, name := range inputNames(in.Spec) {
		places := f.pipeline.Features(name)
		if len(places) == 0 {
			continue
		}
		x := report.Feature{Name: name}
		for _, at := range places {
			x.Gain += gain[at]
			x.Splits += splits[at]
		}
		features, p.Groups = append(features, x), append(p.Groups, places)
	}
	examples, err := f.examples(t, thinned(t, rows))
	if err != nil {
		return nil, err
	}
	permuted, _, err := p.Importance(ctx, examples, func(batch, score []float64) { f.trees.Margins(batch, score) }, eval.ROCAUC)
	if err != nil {
		return nil, err
	}
	for i := range features {
		features[i].Permutation = permuted[i]
	}
	return features, nil
}

// inputNames are the columns and derived features that a spec makes features of, in the order of their features.
func inputNames(s *spec.Spec) []string {
	var names []string
	for _, c := range s.Columns.Numeric {
		names = append(names, c.Name)
	}
	for _, c := range s.Columns.Categorical {
		names = append(names, c.Name)
	}
	for _, d := range s.Features.Derived {
		names = append(names, d.Name)
	}
	return names
}

// thinned returns at most permutationRows of the rows, evenly spread; all of them where that would leave one class.
func thinned(t *dataset.Table, rows []int) []int {
	if len(rows) <= permutationRows {
		return rows
	}
	out := make([]int, permutationRows)
	for i := range out {
		out[i] = rows[i*len(rows)/permutationRows]
	}
	if positive, negative := labelled(t, out); positive == 0 || negative == 0 {
		return rows
	}
	return out
}

// examples returns the features of rows as the trees are asked with them.
func (f *fitted) examples(t *dataset.Table, rows []int) (eval.Examples, error) {
	source, err := f.pipeline.Source(t, rows, nil)
	if err != nil {
		return eval.Examples{}, err
	}
	n, width := source.Len(), f.pipeline.Width()
	e := eval.Examples{Matrix: make([]float64, n*width), Width: width, Label: make([]float64, n)}
	next := source.Rows()
	for i := range n {
		e.Label[i], _ = next(i, e.Matrix[i*width:(i+1)*width])
	}
	return e, nil
}

// addDetail adds what else the holdout says: the error and 95 % interval of the ROC-AUC (DeLong's), how far probabilities are off on average over
// ten bins, the greatest distance of the classes (Kolmogorov and Smirnov's), how many times more positives than by chance are among the tenth that
// scores highest, and per row what the rule of the threshold counts.
func addDetail(metrics map[string]float64, sp *spec.Spec, figures eval.Metrics, test scored) error {
	auc, err := eval.DeLong(test.score, test.label, nil)
	if err != nil {
		return err
	}
	table, err := eval.CalibrationTable(test.score, test.label, nil, calibrationBins, eval.EqualCount)
	if err != nil {
		return err
	}
	captured, _, err := eval.CaptureAt(test.score, test.label, nil, 0.1)
	if err != nil {
		return err
	}
	ks, _, err := eval.KS(test.score, test.label, nil)
	if err != nil {
		return err
	}
	maps.Copy(metrics, map[string]float64{"ece": table.ECE, "lift_at_10": captured / 0.1, "ks": ks})
	for name, f := range map[string]eval.Figure{"roc_auc_se": auc.SE, "roc_auc_low": auc.Low, "roc_auc_high": auc.High} {
		if v, ok := f.Value(); ok {
			metrics[name] = v
		}
	}
	counts := spec.Outcomes{TP: float64(figures.TP), FP: float64(figures.FP), TN: float64(figures.TN), FN: float64(figures.FN)}
	if name, v := sp.Threshold.PerRow(counts); name != "" {
		metrics[name] = v
	}
	return nil
}
