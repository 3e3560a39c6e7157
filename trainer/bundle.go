package trainer

import (
	"telco-churn-mlops/model"
)

// makeBundle fits the two baselines and joins everything. The training baseline's score is the holdout's too: scores on training rows are
// overfit.
func makeBundle(in Input, d data, f *fitted, metrics map[string]float64, test scored) (*model.Bundle, error) {
	trainBase, err := references(in, d.table, f.trained, test.score, "training")
	if err != nil {
		return nil, err
	}
	refRows, refScores, source := f.trained, test.score, "training"
	if d.drift {
		// The holdout of the new rows alone is small; the judged rows were not seen by the trees that scored them either. They are
		// calibrated as published scores are, by the final calibrator: labels play no part in a drift reference, while each fold's
		// own isotonic curve has steps elsewhere, and rows scored in production would seem to drift away from them.
		source = "predicted after the alert"
		refRows = append(append(append([]int{}, d.fresh[training]...), d.fresh[validation]...), d.fresh[holdout]...)
		refScores = append([]float64{}, test.score...)
		fresh := map[int]bool{}
		for _, r := range refRows {
			fresh[r] = true
		}
		for i, r := range f.judged.rows {
			if fresh[r] {
				refScores = append(refScores, f.judgedFor[i])
			}
		}
	}
	refBase, err := references(in, d.table, refRows, refScores, source)
	if err != nil {
		return nil, err
	}
	rows := model.RowCounts{Training: len(f.trained), Holdout: len(test.rows)}
	if f.cv == nil {
		rows.Validation = len(f.judged.rows)
	}
	return model.New(model.Parts{
		Spec: in.Spec, Pipeline: f.pipeline, Trees: f.trees, Calibrator: f.calibrator,
		Baselines: model.Baselines{Training: trainBase, Reference: refBase},
		Threshold: f.threshold, Metrics: metrics, Seed: in.Spec.Learner.Seed, DatasetFingerprint: in.DatasetFingerprint,
		Rows: rows, Holdout: d.table, HoldoutRows: test.rows,
	})
}
