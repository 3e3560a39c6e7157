package trainer

import (
	"context"

	"telco-churn-mlops/model/dataset"
)

// ScoreOthers learns from some rows of in.Dataset as Train does from those outside of its holdout, and returns the published, calibrated
// probability of other rows, in their order. So a recipe can be cross-validated on folds that somebody else made. Both are row numbers of the
// table; what in says about examples and drift does not matter. With learner.folds of 0 the validation share of the rows to learn from is
// taken by the spec's split. The errors are those of Train.
func ScoreOthers(ctx context.Context, in Input, learn, others []int) ([]float64, error) {
	f, err := learnFrom(ctx, in, in.Dataset, learn)
	if err != nil {
		return nil, err
	}
	scores, _, err := f.score(in.Dataset, others)
	return scores, err
}

func learnFrom(ctx context.Context, in Input, t *dataset.Table, rows []int) (*fitted, error) {
	if in.Spec.Learner.Folds > 0 {
		return fitOnFolds(ctx, in, t, sample{rows: rows})
	}
	var train, valid sample
	for _, r := range rows {
		part := &train
		if share(in.Spec.Split.Salt+"/validation/"+t.ID(r)) < in.Spec.Split.Validation {
			part = &valid
		}
		part.rows = append(part.rows, r)
	}
	return fitOnValidation(ctx, in, t, train, valid)
}
