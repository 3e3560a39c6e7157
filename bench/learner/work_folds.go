package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
)

// workFolds scores the rows of each fold by a model fitted on the other folds by the recipe of the trainer with the Telco spec, and
// writes the scores, a row for each seed.
func workFolds(ctx context.Context, q request, r *result) error {
	c, err := readCustomers(ctx, q.File)
	if err != nil {
		return err
	}
	folds, err := readFolds(q.Folds)
	if err != nil {
		return err
	}
	scores := make([][]float64, len(folds))
	for s, fold := range folds {
		if len(fold) != c.table.Len() {
			return fmt.Errorf("%s has %d rows, the data %d", q.Folds, len(fold), c.table.Len())
		}
		scores[s] = make([]float64, len(fold))
		for k := range 5 {
			if err := c.scoreFold(ctx, q.Threads, fold, k, scores[s]); err != nil {
				return fmt.Errorf("seed %d, fold %d: %w", s, k, err)
			}
		}
	}
	return writeFloats(q.Scores, scores)
}

// scoreFold fits on the rows of the other folds and scores those of fold k.
func (c customersFile) scoreFold(ctx context.Context, threads int, fold []int, k int, scores []float64) error {
	var train, valid, test []int
	for i, f := range fold {
		switch {
		case f == k:
			test = append(test, i)
		case float64(xxhash.Sum64String(c.spec.Split.Salt+"/validation/"+c.table.ID(i))>>11)/(1<<53) < c.spec.Split.Validation:
			valid = append(valid, i)
		default:
			train = append(train, i)
		}
	}
	pipeline, err := feature.Fit(c.spec, c.schema, c.table, train, nil)
	if err != nil {
		return err
	}
	v := c.rows(pipeline, valid)
	trees, _, err := gbdt.Train(ctx, learnerParams(c.spec.Learner, threads), pipeline.Names(), c.rows(pipeline, train), &v, nil)
	if err != nil {
		return err
	}
	held := c.rows(pipeline, test)
	for i, r := range test {
		scores[r] = trees.Probability(held.Row(i))
	}
	return nil
}

func learnerParams(l spec.Learner, threads int) gbdt.Params {
	return gbdt.Params{
		Trees: l.Trees, LearningRate: l.LearningRate, MaxDepth: l.MaxDepth, MaxLeaves: l.MaxLeaves, L2: l.L2,
		MinChildWeight: l.MinChildWeight, MinChildRows: l.MinChildRows, MinGain: l.MinGain,
		Subsample: l.Subsample, ColumnSample: l.ColumnSample, MaxBins: l.MaxBins,
		EarlyStoppingRounds: l.EarlyStoppingRounds, Seed: l.Seed, Threads: threads,
	}
}

// readFolds returns, per seed, the fold of every row: a CSV with a header, the row's number first, then a column for each seed.
func readFolds(path string) ([][]int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(records) < 2 || len(records[0]) < 2 {
		return nil, fmt.Errorf("%s holds no folds", path)
	}
	folds := make([][]int, len(records[0])-1)
	for i, record := range records[1:] {
		if record[0] != strconv.Itoa(i) {
			return nil, fmt.Errorf("%s: row %d is numbered %q", path, i, record[0])
		}
		for s, v := range record[1:] {
			k, err := strconv.Atoi(v)
			if err != nil || k < 0 || k > 4 {
				return nil, fmt.Errorf("%s: row %d is in fold %q, want 0 to 4", path, i, v)
			}
			folds[s] = append(folds[s], k)
		}
	}
	return folds, nil
}
