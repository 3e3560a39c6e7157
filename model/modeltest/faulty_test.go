package modeltest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/modeltest"
)

func decoded(t *testing.T, data []byte) *model.Bundle {
	t.Helper()
	b, err := model.Decode(data)
	require.NoError(t, err)
	require.NoError(t, b.Verify())
	return b
}

func TestFaultyBundlesProveThemselves(t *testing.T) {
	o := modeltest.Options{Seed: 3, Relation: 4}
	good, table := modeltest.Bundle(t, o), modeltest.Table(t, o)
	inverted := decoded(t, modeltest.Inverted(t, o))
	slow := decoded(t, modeltest.Slow(t, o, 2000))
	require.Equal(t, 2000, slow.Trees.Trees())
	require.Equal(t, good.ScoreTable(table, nil), slow.ScoreTable(table, nil))
	scores, opposite := good.ScoreTable(table, nil), inverted.ScoreTable(table, nil)
	for i := range scores {
		for k := range i {
			if scores[i] > scores[k] {
				require.LessOrEqual(t, opposite[i], opposite[k], "rows %d and %d", i, k)
			}
		}
	}
}
