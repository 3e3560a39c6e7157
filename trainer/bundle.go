package trainer

import (
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
)

// bundleParts is what the recipe has when everything is fitted.
type bundleParts struct {
	pipeline   *feature.Pipeline
	trees      *gbdt.Ensemble
	threshold  float64
	metrics    map[string]float64
	trainRows  []int
	refRows    []int
	testRows   []int
	testScores []float64
	refScores  []float64
	validCount int
}

// makeBundle fits the two baselines and joins everything. The training baseline's score is the holdout's too: scores on training rows are
// overfit.
func makeBundle(in Input, d data, p bundleParts) (*model.Bundle, error) {
	trainBase, err := references(in, d.table, p.trainRows, p.testScores, "training")
	if err != nil {
		return nil, err
	}
	source := "training"
	if d.drift {
		source = "predicted after the alert"
	}
	refBase, err := references(in, d.table, p.refRows, p.refScores, source)
	if err != nil {
		return nil, err
	}
	return model.New(model.Parts{
		Spec: in.Spec, Pipeline: p.pipeline, Trees: p.trees,
		Baselines: model.Baselines{Training: trainBase, Reference: refBase},
		Threshold: p.threshold, Metrics: p.metrics, Seed: in.Spec.Learner.Seed, DatasetFingerprint: in.DatasetFingerprint,
		Rows:    model.RowCounts{Training: len(p.trainRows), Validation: p.validCount, Holdout: len(p.testRows)},
		Holdout: d.table, HoldoutRows: p.testRows,
	})
}
