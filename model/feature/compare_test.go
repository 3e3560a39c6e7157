//go:build !race

// The race detector makes the fits ten times slower and finds nothing that the other tests do not run.

package feature_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
)

// arm is one way to make features.
type arm struct {
	name string
	edit func(*spec.Spec)
}

// arms are what docs/features.md compares; the first is what the others are compared with.
func arms() []arm {
	features := func(encoding string, derived ...spec.Derived) func(*spec.Spec) {
		return func(s *spec.Spec) {
			s.Features.Encoding, s.Features.Derived = encoding, derived
			for i := range s.Columns.Categorical {
				s.Columns.Categorical[i].Encoding = ""
			}
		}
	}
	all := []arm{
		{"ordinal", features(spec.EncodingOrdinal)},
		{"onehot", features(spec.EncodingOneHot)},
		{"target", features(spec.EncodingTarget)},
		{"native", features(spec.EncodingNative)},
	}
	addOns := []string{"OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies"}
	for _, d := range []spec.Derived{
		{Name: "HighMonthly", Op: spec.OpAboveMedian, Of: []string{"MonthlyCharges"}},
		{Name: "AverageCharges", Op: spec.OpRatio, Of: []string{"TotalCharges", "tenure"}},
		{Name: "Expected", Op: spec.OpProduct, Of: []string{"tenure", "MonthlyCharges"}},
		{Name: "AddOns", Op: spec.OpCountEqual, Of: addOns, Equals: []string{"Yes"}},
		{Name: "Protection", Op: spec.OpCountEqual, Of: addOns[:4], Equals: []string{"Yes"}},
		{Name: "Streaming", Op: spec.OpCountEqual, Of: addOns[4:], Equals: []string{"Yes"}},
		{Name: "Family", Op: spec.OpCountEqual, Of: []string{"Partner", "Dependents"}, Equals: []string{"Yes"}},
	} {
		all = append(all, arm{"ordinal + " + d.Name, features(spec.EncodingOrdinal, d)})
	}
	return append(all,
		arm{"the Telco spec", func(*spec.Spec) {}},
		arm{"the Telco spec, native for onehot", func(s *spec.Spec) {
			for i := range s.Columns.Categorical {
				if c := &s.Columns.Categorical[i]; c.Encoding == spec.EncodingOneHot {
					c.Encoding = spec.EncodingNative
				}
			}
		}},
		arm{"the Telco spec without AddOns", func(s *spec.Spec) { s.Features.Derived = nil }},
	)
}

// figures of one fold.
type figures struct{ auc, pr, loss []float64 }

// TestCompare cross-validates ways to make features of the Telco columns, all with the same trees and on the same folds: 5 folds of 3
// seeds with -v, else the encodings alone on one seed. The folds are not those that the learner is compared with other tools on.
//
//	go test ./model/feature -run Compare -v
func TestCompare(t *testing.T) {
	seeds, all := []uint64{101, 102, 103}, arms()
	if !testing.Verbose() {
		seeds, all = seeds[:1], all[:4]
	}
	results := make([]figures, len(all))
	for i, a := range all {
		s := spec.Telco()
		a.edit(s)
		table := telco(t, s)
		for _, seed := range seeds {
			validate(t, s, table, seed, &results[i])
		}
	}
	t.Logf("%-34s %8s %8s %8s   differences from the first, standard errors", "", "roc_auc", "log_loss", "pr_auc")
	for i, r := range results {
		auc, err := eval.CompareCV(r.auc, results[0].auc, 5)
		require.NoError(t, err)
		loss, err := eval.CompareCV(r.loss, results[0].loss, 5)
		require.NoError(t, err)
		pr, err := eval.CompareCV(r.pr, results[0].pr, 5)
		require.NoError(t, err)
		t.Logf("%-34s %8.4f %8.4f %8.4f   %+.4f (%.4f) %+.4f (%.4f) %+.4f (%.4f)", all[i].name, mean(r.auc), mean(r.loss), mean(r.pr),
			auc.Mean, auc.SE.Float(), loss.Mean, loss.SE.Float(), pr.Mean, pr.SE.Float())
		require.Greater(t, mean(r.auc), mean(results[0].auc)-0.005, "%s: no way of telling the levels apart costs so much", all[i].name)
	}
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// validate adds the figures of five folds.
func validate(t *testing.T, s *spec.Spec, table *dataset.Table, seed uint64, out *figures) {
	t.Helper()
	labels := make([]float64, table.Len())
	for i := range labels {
		labels[i] = table.Label(i)
	}
	fold, err := eval.Folds(labels, 5, seed)
	require.NoError(t, err)
	for k := range 5 {
		train, test := eval.Split(fold, k)
		p, src, err := feature.FitTransform(s, table.Schema(), table, train, nil)
		require.NoError(t, err)
		params := gbdt.DefaultParams()
		params.Trees, params.LearningRate, params.L2, params.MinChildWeight = 250, 0.03, 5, 5
		params.Subsample, params.ColumnSample, params.Seed, params.Categorical = 0.7, 0.5, 7, p.Categorical()
		data, err := gbdt.Quantize(context.Background(), params, p.Names(), src)
		require.NoError(t, err)
		trees, _, err := gbdt.TrainData(context.Background(), params, data, nil, nil)
		require.NoError(t, err)
		score, label := make([]float64, len(test)), make([]float64, len(test))
		row, x := table.Schema().NewRow(), make([]float64, p.Width())
		for i, r := range test {
			p.Transform(table.Row(r, row), x)
			score[i], label[i] = trees.Probability(x), row.Label
		}
		m, err := eval.Evaluate(score, label, nil, 0.5)
		require.NoError(t, err)
		out.auc, out.pr, out.loss = append(out.auc, m.ROCAUC), append(out.pr, m.PRAUC), append(out.loss, m.LogLoss)
	}
}
