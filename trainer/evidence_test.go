package trainer

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/trainer/report"
)

func TestEvidenceIsAboutTheRun(t *testing.T) {
	in := quick(t, 800, func(sp *spec.Spec) { sp.Threshold = &spec.Decision{By: spec.RuleProfit} })
	res, err := Train(context.Background(), in)
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, f := range res.Evidence {
		files[f.Name] = f.Data
	}
	again, err := Train(context.Background(), in)
	require.NoError(t, err)
	require.Equal(t, res.Evidence, again.Evidence, "the same input gives the same bytes")

	var cv crossFigures
	require.NoError(t, json.Unmarshal(files[report.CrossValidatedFile], &cv))
	require.Equal(t, 5, cv.Folds)
	require.Equal(t, res.Bundle.Manifest.Rows.Training, cv.Rows)
	require.Equal(t, res.Metrics["trees"], float64(cv.Trees))
	require.Equal(t, res.Metrics["cv_roc_auc_mean"], cv.Figures["roc_auc"].Mean)
	require.Len(t, cv.Figures["roc_auc"].Values, 5)
	require.Equal(t, res.Metrics["validation_log_loss"], cv.Loss[cv.Trees-1])

	var slices map[string]eval.Slices
	require.NoError(t, json.Unmarshal(files[report.SlicesFile], &slices))
	require.Equal(t, res.Bundle.Manifest.Rows.Holdout, slices["holdout"].Whole.Rows)
	require.Equal(t, cv.Rows, slices["out_of_fold"].Whole.Rows)
	require.InDelta(t, res.Metrics["roc_auc"], slices["holdout"].Whole.AUC.Float(), 1e-12)

	var features []report.Feature
	require.NoError(t, json.Unmarshal(files[report.ImportanceFile], &features))
	require.Len(t, features, len(inputNames(in.Spec)))
	gain, places := 0.0, 0
	for _, f := range features {
		gain += f.Gain
		places += int(f.Splits)
	}
	want := 0.0
	for _, g := range res.Bundle.Trees.Importance() {
		want += g
	}
	require.InEpsilon(t, want, gain, 1e-9, "every feature belongs to a column")
	require.Positive(t, places)

	m := res.Metrics
	require.Less(t, m["roc_auc_low"], m["roc_auc"])
	require.Less(t, m["roc_auc"], m["roc_auc_high"])
	require.Positive(t, m["roc_auc_se"])
	require.Greater(t, m["lift_at_10"], 1.0)
	require.InDelta(t, (m["tp"]*(0.3*190-1)-m["fp"]*11)/m["rows"], m["profit_per_row"], 1e-9)

	in.Spec = in.Spec.Clone()
	in.Spec.Threshold = &spec.Decision{By: spec.RuleCost, Cost: &spec.Costs{TruePositive: 1, FalsePositive: 2, TrueNegative: -1, FalseNegative: 9}}
	in.Spec.Learner.Folds = 0
	res, err = Train(context.Background(), in)
	require.NoError(t, err)
	m = res.Metrics
	require.InDelta(t, (m["tp"]+2*m["fp"]-m["tn"]+9*m["fn"])/m["rows"], m["cost_per_row"], 1e-9)
	for _, f := range res.Evidence {
		require.NotEqual(t, report.CrossValidatedFile, f.Name, "without folds there is none")
	}
}

// A calibrator shows no error on the rows that it was fitted to, so what is drawn as evidence must come from calibrators that did not
// see the rows.
func TestEvidenceOfCalibrationIsOutOfFold(t *testing.T) {
	in := quick(t, 1500, func(sp *spec.Spec) { sp.Calibration = spec.CalibrationIsotonic })
	res, err := Train(context.Background(), in)
	require.NoError(t, err)
	var tables map[string]eval.Calibration
	var slices map[string]eval.Slices
	for _, f := range res.Evidence {
		switch f.Name {
		case report.CalibrationFile:
			require.NoError(t, json.Unmarshal(f.Data, &tables))
		case report.SlicesFile:
			require.NoError(t, json.Unmarshal(f.Data, &slices))
		}
	}
	d := collect(in)
	f, err := d.fit(context.Background(), in, d.older[holdout])
	require.NoError(t, err)
	fitted, err := eval.LogLoss(f.judgedFor, f.cv.label, nil)
	require.NoError(t, err)
	honest, err := eval.LogLoss(f.cv.published, f.cv.label, nil)
	require.NoError(t, err)
	require.Greater(t, honest, fitted+0.002)
	require.InDelta(t, honest, slices["out_of_fold"].Whole.LogLoss, 1e-12)
	require.InDelta(t, res.Metrics["cv_log_loss_mean"], honest, 0.005, "the same scores, by fold")

	want, err := eval.CalibrationTable(f.cv.published, f.cv.label, nil, 10, eval.EqualCount)
	require.NoError(t, err)
	require.Equal(t, want.ECE, tables["out_of_fold"].ECE)
}
