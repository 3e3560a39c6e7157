package trainer

import (
	"fmt"

	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
)

// learnerParams turns the spec's learner into parameters for the features of a pipeline.
func learnerParams(sp *spec.Spec, p *feature.Pipeline, threads int) gbdt.Params {
	l := sp.Learner
	return gbdt.Params{
		Trees: l.Trees, LearningRate: l.LearningRate, MaxDepth: l.MaxDepth, MaxLeaves: l.MaxLeaves, L2: l.L2,
		MinChildWeight: l.MinChildWeight, MinChildRows: l.MinChildRows, MinGain: l.MinGain,
		Subsample: l.Subsample, ColumnSample: l.ColumnSample, MaxBins: l.MaxBins,
		EarlyStoppingRounds: l.EarlyStoppingRounds, Seed: l.Seed, Threads: threads,
	}
}

// params are the run's parameters, for people.
func params(in Input, d data, f *fitted) map[string]string {
	regime := "all"
	if d.drift {
		regime = "drift"
	}
	l := in.Spec.Learner
	return map[string]string{
		"learner":               "gbdt",
		"trees":                 fmt.Sprint(l.Trees),
		"trees_used":            fmt.Sprint(f.trees.Trees()),
		"learning_rate":         fmt.Sprint(l.LearningRate),
		"max_depth":             fmt.Sprint(l.MaxDepth),
		"max_leaves":            fmt.Sprint(l.MaxLeaves),
		"l2":                    fmt.Sprint(l.L2),
		"min_child_weight":      fmt.Sprint(l.MinChildWeight),
		"min_child_rows":        fmt.Sprint(l.MinChildRows),
		"subsample":             fmt.Sprint(l.Subsample),
		"column_sample":         fmt.Sprint(l.ColumnSample),
		"max_bins":              fmt.Sprint(l.MaxBins),
		"early_stopping_rounds": fmt.Sprint(l.EarlyStoppingRounds),
		"folds":                 fmt.Sprint(l.Folds),
		"calibration":           string(in.Spec.Calibration),
		"threshold_by":          string(in.Spec.Threshold.Rule()),
		"seed":                  fmt.Sprint(l.Seed),
		"regime":                regime,
		"dataset_rows":          fmt.Sprint(in.Dataset.Len()),
		"examples":              fmt.Sprint(d.examples),
		"superseded_rows":       fmt.Sprint(d.superseded),
		"drift_since":           fmt.Sprint(in.DriftSince),
	}
}
