package trainer

import (
	"encoding/json"
	"fmt"

	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
)

// learnerParams turns the spec's learner into parameters for the features of a pipeline. A column stands for all features that come from it.
func learnerParams(sp *spec.Spec, p *feature.Pipeline, threads int) gbdt.Params {
	l := sp.Learner
	splits := spec.DefaultCategoricalSplits()
	if l.CategoricalSplits != nil {
		splits = *l.CategoricalSplits
	}
	out := gbdt.Params{
		Trees: l.Trees, LearningRate: l.LearningRate, MaxDepth: l.MaxDepth, MaxLeaves: l.MaxLeaves, L1: l.L1, L2: l.L2,
		MinChildWeight: l.MinChildWeight, MinChildRows: l.MinChildRows, MinGain: l.MinGain,
		PositiveWeight: l.PositiveWeight, BaseScore: l.BaseScore,
		Subsample: l.Subsample, ColumnSample: l.ColumnSample, ColumnSampleNode: l.ColumnSampleNode,
		Categorical: p.Categorical(), CatSmooth: splits.Smooth, CatL2: splits.L2, MaxCatToOneHot: splits.MaxOneHot,
		MaxCatThreshold: splits.MaxSet, MinRowsPerCategory: splits.MinRows,
		MaxBins: l.MaxBins, EarlyStoppingRounds: l.EarlyStoppingRounds, Seed: l.Seed, Threads: threads,
	}
	if m := l.Monotone; m != nil {
		out.Monotone = make([]int8, p.Width())
		for direction, names := range map[int8][]string{1: m.Increasing, -1: m.Decreasing} {
			for _, name := range names {
				for _, place := range p.Features(name) {
					out.Monotone[place] = direction
				}
			}
		}
	}
	for _, set := range l.Interactions {
		var places []int
		for _, name := range set {
			places = append(places, p.Features(name)...)
		}
		out.Interactions = append(out.Interactions, places)
	}
	return out
}

// params are the run's parameters, for people.
func params(in Input, d data, f *fitted) map[string]string {
	regime := "all"
	if d.drift {
		regime = "drift"
	}
	l := in.Spec.Learner
	out := map[string]string{
		"learner":               "gbdt",
		"trees":                 fmt.Sprint(l.Trees),
		"trees_used":            fmt.Sprint(f.trees.Trees()),
		"learning_rate":         fmt.Sprint(l.LearningRate),
		"max_depth":             fmt.Sprint(l.MaxDepth),
		"max_leaves":            fmt.Sprint(l.MaxLeaves),
		"l1":                    fmt.Sprint(l.L1),
		"l2":                    fmt.Sprint(l.L2),
		"min_child_weight":      fmt.Sprint(l.MinChildWeight),
		"min_child_rows":        fmt.Sprint(l.MinChildRows),
		"min_gain":              fmt.Sprint(l.MinGain),
		"subsample":             fmt.Sprint(l.Subsample),
		"column_sample":         fmt.Sprint(l.ColumnSample),
		"column_sample_node":    fmt.Sprint(l.ColumnSampleNode),
		"positive_weight":       fmt.Sprint(l.PositiveWeight),
		"encoding":              in.Spec.Features.Encoding,
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
		"base_score":            "log-odds of the training rows",
	}
	if l.BaseScore != nil {
		out["base_score"] = fmt.Sprint(*l.BaseScore)
	}
	addColumnParams(out, in.Spec)
	return out
}

// addColumnParams adds what the spec says of single columns, each only where it says something; lists of names are JSON, as a name may hold
// any character.
func addColumnParams(out map[string]string, sp *spec.Spec) {
	l := sp.Learner
	if m := l.Monotone; m != nil {
		for key, names := range map[string][]string{"monotone_increasing": m.Increasing, "monotone_decreasing": m.Decreasing} {
			if len(names) > 0 {
				out[key] = asJSON(names)
			}
		}
	}
	if len(l.Interactions) > 0 {
		out["interactions"] = asJSON(l.Interactions)
	}
	encodings, own := map[string][]string{}, false
	for _, c := range sp.Columns.Categorical {
		e := sp.EncodingOf(c)
		encodings[e], own = append(encodings[e], c.Name), own || e != sp.Features.Encoding
	}
	if own {
		out["encoding_by_column"] = asJSON(encodings)
	}
	if len(encodings[spec.EncodingNative]) > 0 {
		c := spec.DefaultCategoricalSplits()
		if l.CategoricalSplits != nil {
			c = *l.CategoricalSplits
		}
		for key, v := range map[string]any{"smooth": c.Smooth, "l2": c.L2, "max_onehot": c.MaxOneHot, "max_set": c.MaxSet, "min_rows": c.MinRows} {
			out["categorical_splits_"+key] = fmt.Sprint(v)
		}
	}
	if len(encodings[spec.EncodingTarget]) > 0 {
		out["target_smoothing"], out["target_folds"] = fmt.Sprint(sp.Features.TargetSmoothing), fmt.Sprint(sp.Features.TargetFolds)
	}
}

// asJSON writes lists and maps of strings, which can't fail.
func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}
