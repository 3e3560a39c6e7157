package main

import (
	"context"
	"fmt"
	"path/filepath"

	"telco-churn-mlops/bench/measure"
)

// The seeds of generated sets: what is fitted and what is held out are different customers of one world.
const (
	seedTrain   = 1
	seedHoldout = 2
)

// leafwise is the task that most rows are about: 31 leaves at a rate of 0.1, 255 bins, at least 20 rows to a leaf.
func (b *bench) leafwise(threads int, train, holdout string) request {
	return request{Task: "fit", Learner: "xgboost", Train: train, Holdout: holdout, Threads: threads, Trees: b.sizes.trees, Leaves: 31,
		Bins: 255, RowsInLeaf: 20, Rate: 0.1, L2: 1}
}

// fitSection fits a million rows, on one thread and on two.
func fitSection(ctx context.Context, b *bench) ([]row, error) {
	train, err := b.coded(b.sizes.fit, codedColumns, seedTrain)
	if err != nil {
		return nil, err
	}
	holdout, err := b.coded(b.sizes.holdout, codedColumns, seedHoldout)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, threads := range []int{1, 2} {
		what := fmt.Sprintf("Fit %s rows x %d columns, %d trees x 31 leaves, %s", measure.Thousands(b.sizes.fit), codedColumns, b.sizes.trees, plural(threads, "thread"))
		q := b.leafwise(threads, train, holdout)
		entrants := []entrant{{b.ours, q}}
		if b.has("xgboost") {
			entrants = append(entrants, entrant{b.as("XGBoost hist"), q})
		}
		m, err := b.measure(ctx, what, b.sizes.rounds, false, entrants...)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{what: what, unit: "s", rows: b.sizes.fit, ours: m[0], peers: m[1:], main: true, goal: goal{text: "at most 1.0x", ratio: 1}})
	}
	return rows, nil
}

// slowSection fits what scikit-learn's exact learner can finish.
func slowSection(ctx context.Context, b *bench) ([]row, error) {
	train, err := b.coded(b.sizes.slow, codedColumns, seedTrain)
	if err != nil {
		return nil, err
	}
	holdout, err := b.coded(b.sizes.holdout, codedColumns, seedHoldout)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, shape := range []struct {
		name          string
		leaves, depth int
	}{{"of depth 3", 0, 3}, {"x 31 leaves", 31, 0}} {
		what := fmt.Sprintf("Fit %s rows x %d columns, %d trees %s, 1 thread", measure.Thousands(b.sizes.slow), codedColumns, b.sizes.trees, shape.name)
		q := b.leafwise(1, train, holdout)
		q.Leaves, q.Depth = shape.leaves, shape.depth
		entrants := []entrant{{b.ours, q}}
		for _, p := range []struct{ learner, name, needs string }{
			{"sklearn", "scikit-learn GradientBoosting", "sklearn"}, {"histgb", "scikit-learn HistGradientBoosting", "sklearn"}, {"xgboost", "XGBoost hist", "xgboost"}} {
			if b.has(p.needs) {
				q.Learner = p.learner
				entrants = append(entrants, entrant{b.as(p.name), q})
			}
		}
		m, err := b.measure(ctx, what, b.sizes.scaleRounds, false, entrants...)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{what: what, unit: "s", rows: b.sizes.slow, ours: m[0], peers: m[1:], main: true,
			goal: goal{text: "at least 50 times as fast as GradientBoosting", ratio: 1. / 50}})
	}
	return rows, nil
}

// telcoSection fits the real file's size, its features included.
func telcoSection(ctx context.Context, b *bench) ([]row, error) {
	file, real, err := b.telco()
	if err != nil {
		return nil, err
	}
	if !real {
		b.Remark("The real Telco file is not at %s: generated customers of the same number stand in for it.", b.config.Data)
	}
	var rows []row
	for _, threads := range []int{1, 2} {
		what := fmt.Sprintf("Fit the Telco file, features included: 7,043 rows, %d trees of depth 3, %s", b.sizes.telcoTrees, plural(threads, "thread"))
		q := request{Task: "telco", Learner: "xgboost", File: file, Threads: threads, Repeat: 5, Trees: b.sizes.telcoTrees, Depth: 3, Bins: 255,
			RowsInLeaf: 20, WeightInLeaf: 5, Rate: 0.05, L2: 5, Subsample: 0.7, ColumnSample: 0.5}
		entrants := []entrant{{b.ours, q}}
		if b.has("xgboost", "pandas") {
			entrants = append(entrants, entrant{b.as("XGBoost hist"), q})
		}
		m, err := b.measure(ctx, what, b.sizes.rounds, false, entrants...)
		if err != nil {
			return nil, err
		}
		for i := range m {
			m[i].value, m[i].cpu = m[i].value.Scale(1000), m[i].cpu*1000
		}
		rows = append(rows, row{what: what, unit: "ms", ours: m[0], peers: m[1:], main: true, goal: goal{text: "under 150 ms", value: 150}})
	}
	return rows, nil
}

// scaleSection fits growing numbers of rows and of columns.
func scaleSection(ctx context.Context, b *bench) ([]row, error) {
	type size struct{ rows, width int }
	var all []size
	for _, n := range b.sizes.rows {
		all = append(all, size{n, codedColumns})
	}
	for _, w := range b.sizes.columns {
		all = append(all, size{b.sizes.wide, w})
	}
	var rows []row
	for _, s := range all {
		train, err := b.coded(s.rows, s.width, seedTrain)
		if err != nil {
			return nil, err
		}
		what := fmt.Sprintf("%s rows x %d columns", measure.Thousands(s.rows), s.width)
		q := b.leafwise(2, train, "")
		entrants := []entrant{{b.ours, q}}
		if b.has("xgboost") {
			entrants = append(entrants, entrant{b.as("XGBoost hist"), q})
		}
		rounds := b.sizes.scaleRounds
		if s.rows > 1_000_000 {
			rounds = 1
		}
		m, err := b.measure(ctx, "Scale "+what, rounds, false, entrants...)
		if err != nil {
			return nil, err
		}
		cells := float64(s.rows) * float64(s.width)
		rows = append(rows, row{what: what, unit: "s", rows: s.rows, ours: m[0], peers: m[1:],
			remark: fmt.Sprintf("ours %.0f ns a value and 100 trees", m[0].value.Median/cells*1e9*100/float64(b.sizes.trees))})
	}
	return rows, nil
}

// csvSection reads a file of generated customers on one core.
func csvSection(ctx context.Context, b *bench) ([]row, error) {
	file, err := b.customers(b.sizes.csv)
	if err != nil {
		return nil, err
	}
	size, err := fileSize(file)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, job := range []struct{ task, what, peer, remark string }{
		{"csv", "Read %s customers from CSV, one core", "pandas read_csv", "ours checks every value against the spec and codes the categories"},
		{"ingest", "From CSV to quantized features, %s customers, one core", "pandas read_csv, ordinal codes, XGBoost QuantileDMatrix", "in one pass; the table is never held"},
	} {
		what := fmt.Sprintf(job.what, measure.Thousands(b.sizes.csv))
		entrants := []entrant{{b.ours, request{Task: job.task, File: file, Threads: 1, Repeat: 3, Bins: 255}}}
		if b.has("pandas", "xgboost") {
			entrants = append(entrants, entrant{b.as(job.peer), entrants[0].task})
		}
		m, err := b.measure(ctx, what, b.sizes.rounds, true, entrants...)
		if err != nil {
			return nil, err
		}
		for i := range m {
			m[i].value, m[i].cpu = m[i].value.Inverse(float64(size)/1e6), 0
		}
		rows = append(rows, row{what: what, unit: "MB/s", higher: true, ours: m[0], peers: m[1:], main: true, goal: goal{text: "200 MB/s", value: 200}, remark: job.remark})
	}
	return rows, nil
}

// batchSection scores many rows with a model that XGBoost fitted.
func batchSection(ctx context.Context, b *bench) ([]row, error) {
	if !b.has("xgboost") {
		return nil, nil
	}
	train, err := b.coded(b.sizes.batch, codedColumns, seedTrain)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, shape := range []struct {
		name          string
		leaves, depth int
	}{{"100 trees of depth 3", 0, 3}, {"100 trees x 31 leaves", 31, 0}} {
		for _, size := range []int{1_000, b.sizes.batch} {
			what := fmt.Sprintf("Score %s rows at once, %s, %d columns, one core", measure.Thousands(size), shape.name, codedColumns)
			q := b.leafwise(1, train, "")
			q.Task, q.Leaves, q.Depth, q.Trees = "batch", shape.leaves, shape.depth, 100
			q.Batch, q.Repeat, q.Rounds = size, 5, max(1, b.sizes.batch/size)
			q.Model = filepath.Join(b.dir, "batch.json")
			// The peer comes first: it fits the model that ours reads.
			m, err := b.measure(ctx, what, b.sizes.rounds, true, entrant{b.as("XGBoost inplace_predict"), q}, entrant{b.ours, q})
			if err != nil {
				return nil, err
			}
			for i := range m {
				m[i].value, m[i].cpu = m[i].value.Inverse(float64(size*q.Rounds)/1e6), 0
			}
			rows = append(rows, row{what: what, unit: "M rows/s", higher: true, ours: m[1], peers: m[:1], main: size > 1_000 || b.config.Quick,
				goal: goal{text: "at least 1.0x", ratio: 1}})
		}
	}
	return rows, nil
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
