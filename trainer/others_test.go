package trainer

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/spec"
)

// What ScoreOthers says about the holdout, having learned from the other rows, is what Train publishes about it.
func TestScoreOthersIsTheRecipe(t *testing.T) {
	for name, folds := range map[string]int{"folds": 3, "a validation part": 0} {
		t.Run(name, func(t *testing.T) {
			in := quick(t, 600, func(sp *spec.Spec) { sp.Learner.Folds = folds })
			d := collect(in)
			f, err := d.fit(t.Context(), in, d.older[holdout])
			require.NoError(t, err)
			want, _, err := f.score(d.table, d.older[holdout])
			require.NoError(t, err)
			var learn, others []int
			for i := range in.Dataset.Len() {
				if partOf(in.Dataset.ID(i), in.Spec.Split) == holdout {
					others = append(others, i)
				} else {
					learn = append(learn, i)
				}
			}
			got, err := ScoreOthers(t.Context(), in, learn, others)
			require.NoError(t, err)
			require.InDeltaSlice(t, want, got, 1e-12)
		})
	}
	in := quick(t, 200, nil)
	var positives []int
	for i := range in.Dataset.Len() {
		if in.Dataset.Label(i) == 1 {
			positives = append(positives, i)
		}
	}
	_, err := ScoreOthers(t.Context(), in, positives, []int{0})
	require.Error(t, err)
}
