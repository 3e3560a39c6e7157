//go:build !race

// The race detector makes the 25 fits ten times slower and finds nothing that the other tests of Train do not run; make test runs this file without it.

package trainer

import (
	"context"
	"encoding/csv"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/eval"
)

// TestCrossValidation trains the recipe on four folds and scores the fifth, for the 25 folds that scikit-learn's default
// GradientBoostingClassifier reaches a mean ROC-AUC of 0.8469 on, and a well-set XGBoost 0.8496 (average precision 0.6698, log loss 0.4111).
// It holds both staging gates on every fold. Nothing in the spec was chosen by these folds.
func TestCrossValidation(t *testing.T) {
	path, ok := sharedData(t, "telco-folds.csv")
	if _, real := sharedData(t, "Telco-Customer-Churn.csv"); !ok || !real {
		t.Skip("the real Telco file and its folds are not here: the figure is about them")
	}
	sp, sch, table := telco(t)
	folds := readFolds(t, path)
	require.Len(t, folds, 5)
	var auc, pr, loss, f1 float64
	n := 0
	for seed, fold := range folds {
		for k := range 5 {
			train, test := eval.Split(fold, k)
			f, err := fitOnFolds(context.Background(), Input{Spec: sp, Schema: sch}, table, sample{rows: train})
			require.NoError(t, err)
			score, label, err := f.score(table, test)
			require.NoError(t, err)
			m, err := eval.Evaluate(score, label, nil, f.threshold)
			require.NoError(t, err)
			require.GreaterOrEqual(t, m.F1, 0.45, "seed %d fold %d", seed, k)
			require.GreaterOrEqual(t, m.ROCAUC, 0.75, "seed %d fold %d", seed, k)
			auc, pr, loss, f1, n = auc+m.ROCAUC, pr+m.PRAUC, loss+m.LogLoss, f1+m.F1, n+1
		}
	}
	t.Logf("mean of %d folds: roc_auc %.4f, pr_auc %.4f, log_loss %.4f, f1_churn %.4f", n, auc/float64(n), pr/float64(n), loss/float64(n), f1/float64(n))
	require.GreaterOrEqual(t, auc/float64(n), 0.8491)
	require.GreaterOrEqual(t, pr/float64(n), 0.6690)
	require.LessOrEqual(t, loss/float64(n), 0.4120)
}

// readFolds returns, per seed, the fold of every row of the real file.
func readFolds(t *testing.T, path string) [][]int {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	folds := make([][]int, len(records[0])-1)
	for _, rec := range records[1:] {
		for s, v := range rec[1:] {
			k, err := strconv.Atoi(v)
			require.NoError(t, err)
			folds[s] = append(folds[s], k)
		}
	}
	return folds
}
