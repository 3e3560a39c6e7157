package modeltest_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/modeltest"
)

// Tests of services count on models that pass Telco's gates on their own relation and fail on another.
func TestModelsKnowTheirRelationAndNoOther(t *testing.T) {
	for seed := range uint64(3) {
		b := modeltest.Bundle(t, modeltest.Options{Seed: seed})
		require.GreaterOrEqual(t, b.Manifest.Metrics["roc_auc"], 0.75, "seed %d", seed)
		require.GreaterOrEqual(t, b.Manifest.Metrics["f1_churn"], 0.45, "seed %d", seed)
		for relation := range uint64(3) {
			csv := modeltest.HoldoutCSV(t, modeltest.Options{Rows: 3000, Seed: seed + 10, Relation: relation})
			score, label, err := b.ScoreHoldout(bytes.NewReader(csv))
			require.NoError(t, err)
			auc, err := eval.ROCAUC(score, label, nil)
			require.NoError(t, err)
			if relation == 0 {
				require.Greater(t, auc, 0.75, "seed %d", seed)
			} else {
				require.Less(t, auc, 0.7, "seed %d, relation %d", seed, relation)
			}
		}
	}
}

func TestRecordsAreClean(t *testing.T) {
	o := modeltest.Options{Rows: 50, IDPrefix: "c"}
	b := modeltest.Bundle(t, o)
	row := b.Schema.NewRow()
	for i, record := range modeltest.Records(t, o) {
		warnings, err := b.Schema.DecodeJSON(record, row, dataset.DecodeOptions{Strict: true})
		require.NoError(t, err)
		require.Empty(t, warnings, "record %d", i)
	}
	require.Equal(t, "c00049", row.ID)
}

func TestBrokenDecodesAndDoesNotVerify(t *testing.T) {
	b, err := model.Decode(modeltest.Broken(t, modeltest.Options{}))
	require.NoError(t, err)
	require.Error(t, b.Verify())
}
