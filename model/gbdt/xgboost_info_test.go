package gbdt_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

func TestXGBoostInfo(t *testing.T) {
	read := func(model string) gbdt.XGBoostInfo {
		t.Helper()
		_, info, err := gbdt.ReadXGBoost(strings.NewReader(model))
		require.NoError(t, err)
		return info
	}
	require.Equal(t, gbdt.XGBoostInfo{Objective: "binary:logistic"}, read(strings.Replace(tiny, `"feature_names":[],`, "", 1)))
	onehot := read(string(xgbFile(t, "onehot")))
	require.True(t, onehot.Named)
	require.Equal(t, []string{"q", "q", "int", "i", "c"}, onehot.Types)
	for cats, want := range map[string]bool{
		`{"enc":[],"feature_segments":[]}`: false, `null`: false, `{}`: false, `{"enc":[{"type":1}]}`: true, `{"enc":{"a":1}}`: true, `[1]`: true,
	} {
		require.Equal(t, want, read(strings.Replace(tiny, `"tree_info":[0]`, `"cats":`+cats+`,"tree_info":[0]`, 1)).Categories, cats)
	}
	forest := string(xgbFile(t, "forest")) // three trees in each of three rounds
	for best, want := range map[string]int{"0": 3, "1": 6, "2": 9, "3": -1, "-1": -1, "x": -1} {
		require.Equal(t, want, read(strings.Replace(forest, `"best_iteration":"2"`, `"best_iteration":"`+best+`"`, 1)).Best, best)
	}
}
