package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"

	"telco-churn-mlops/trainer"
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
	if q.Seeds > 0 {
		folds = folds[:min(q.Seeds, len(folds))]
	}
	scores := make([][]float64, len(folds))
	for s, fold := range folds {
		if len(fold) != c.table.Len() {
			return fmt.Errorf("%s has %d rows, the data %d", q.Folds, len(fold), c.table.Len())
		}
		scores[s] = make([]float64, len(fold))
		for k := range slices.Max(fold) + 1 {
			if err := c.scoreFold(ctx, q.Threads, fold, k, scores[s]); err != nil {
				return fmt.Errorf("seed %d, fold %d: %w", s, k, err)
			}
		}
	}
	return writeFloats(q.Scores, scores)
}

// scoreFold learns from the rows of the other folds and scores those of fold k.
func (c customersFile) scoreFold(ctx context.Context, threads int, fold []int, k int, scores []float64) error {
	var learn, others []int
	for i, f := range fold {
		if f == k {
			others = append(others, i)
		} else {
			learn = append(learn, i)
		}
	}
	got, err := trainer.ScoreOthers(ctx, trainer.Input{Spec: c.spec, Schema: c.schema, Dataset: c.table, Threads: threads}, learn, others)
	if err != nil {
		return err
	}
	for i, r := range others {
		scores[r] = got[i]
	}
	return nil
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
			if err != nil || k < 0 || k > 99 {
				return nil, fmt.Errorf("%s: row %d is in fold %q, want 0 to 99", path, i, v)
			}
			folds[s] = append(folds[s], k)
		}
	}
	return folds, nil
}
