package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"github.com/dmitryikh/leaves"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
)

// scores are nanoseconds a row by side, one for each round.
type scores struct {
	Shape       string    `json:"shape"`
	Trees       int       `json:"trees"`
	Single      []float64 `json:"single"`
	SingleThem  []float64 `json:"single_them"`
	Batch       []float64 `json:"batch"`
	BatchThem   []float64 `json:"batch_them"`
	Allocations float64   `json:"allocations"` // of ours, a row
}

// rowsScored is the number of rows that are scored again and again, and of a batch.
const rowsScored = 1000

// measureScores times the trees alone on the rows of the file Bodies, which holds customers as CSV, against leaves with the same trees, by turns on one goroutine:
// rounds of For each.
func measureScores(ctx context.Context, t task) (any, error) {
	f, err := os.Open(t.Bodies)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := spec.Telco()
	schema, err := dataset.NewSchema(s)
	if err != nil {
		return nil, err
	}
	table, _, err := dataset.Load(ctx, f, schema, dataset.LoadOptions{})
	if err != nil {
		return nil, err
	}
	rows := make([]int, table.Len())
	for i := range rows {
		rows[i] = i
	}
	pipeline, err := feature.Fit(s, schema, table, rows, nil)
	if err != nil {
		return nil, err
	}
	all := gbdt.Matrix{Rows: len(rows), Width: pipeline.Width(), X: make([]float64, len(rows)*pipeline.Width()), Label: make([]float64, len(rows))}
	row := schema.NewRow()
	for i := range rows {
		pipeline.Transform(table.Row(i, row), all.Row(i))
		all.Label[i] = table.Label(i)
	}
	var out []scores
	for _, shape := range []struct {
		name          string
		depth, leaves int
	}{{"depth 3", depth, 0}, {"31 leaves", 0, 31}} {
		p := gbdt.DefaultParams()
		p.Trees, p.LearningRate, p.MaxDepth, p.MaxLeaves, p.MinChildRows = trees, 0.1, shape.depth, shape.leaves, 20
		model, _, err := gbdt.Train(ctx, p, pipeline.Names(), all, nil, nil)
		if err != nil {
			return nil, err
		}
		few := gbdt.Matrix{Rows: min(rowsScored, all.Rows), Width: all.Width, X: all.X[:min(rowsScored, all.Rows)*all.Width]}
		got, err := compareScorers(model, few, t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", shape.name, err)
		}
		got.Shape, got.Trees = shape.name, model.Trees()
		out = append(out, *got)
	}
	return out, nil
}

// compareScorers times both sides after seeing that they agree.
func compareScorers(model *gbdt.Ensemble, m gbdt.Matrix, t task) (*scores, error) {
	var text bytes.Buffer
	if err := model.WriteText(&text); err != nil {
		return nil, err
	}
	// leaves takes version 3 alone; for what we write the two differ in nothing else.
	older := bytes.Replace(text.Bytes(), []byte("version=v4\n"), []byte("version=v3\n"), 1)
	theirs, err := leaves.LGEnsembleFromReader(bufio.NewReader(bytes.NewReader(older)), false)
	if err != nil {
		return nil, fmt.Errorf("read our model by leaves: %w", err)
	}
	ours, them := make([]float64, m.Rows), make([]float64, m.Rows)
	batch := func() error { model.Margins(m.X, ours); return nil }
	batchThem := func() error { return theirs.PredictDense(m.X, m.Rows, m.Width, them, 0, 1) }
	single := func() error {
		for i := range m.Rows {
			ours[i] = model.Margin(m.Row(i))
		}
		return nil
	}
	singleThem := func() error {
		for i := range m.Rows {
			them[i] = theirs.PredictSingle(m.Row(i), 0)
		}
		return nil
	}
	for _, pair := range [][2]func() error{{single, singleThem}, {batch, batchThem}} {
		if err := errors.Join(pair[0](), pair[1]()); err != nil {
			return nil, err
		}
		for i := range ours {
			if !(math.Abs(ours[i]-them[i]) <= 1e-9) {
				return nil, fmt.Errorf("row %d: we score %v, leaves %v", i, ours[i], them[i])
			}
		}
	}
	got := &scores{}
	for range t.Rounds {
		for _, side := range []struct {
			fn   func() error
			into *[]float64
		}{{single, &got.Single}, {singleThem, &got.SingleThem}, {batch, &got.Batch}, {batchThem, &got.BatchThem}} {
			ns, allocations, err := repeat(side.fn, m.Rows, t.For)
			if err != nil {
				return nil, err
			}
			if *side.into = append(*side.into, ns); side.into == &got.Single {
				got.Allocations = max(got.Allocations, allocations)
			}
		}
	}
	return got, nil
}

// repeat calls fn, which does n things, for so long and returns nanoseconds and allocations of each thing.
func repeat(fn func() error, n int, d time.Duration) (ns, allocations float64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin, done := time.Now(), 0
	for done == 0 || time.Since(begin) < d {
		if err := fn(); err != nil {
			return 0, 0, err
		}
		done += n
	}
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	return float64(took.Nanoseconds()) / float64(done), float64(after.Mallocs-before.Mallocs) / float64(done), nil
}
