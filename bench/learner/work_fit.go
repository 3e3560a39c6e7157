package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/ingest"
	"telco-churn-mlops/model/spec"
)

// set is a generated set of rows, mapped into memory.
type set struct {
	x, y  []float32
	width int
}

func openSet(prefix string) (set, error) {
	x, width, err := mapFloats(prefix + ".x.npy")
	if err != nil {
		return set{}, err
	}
	y, _, err := mapFloats(prefix + ".y.npy")
	if err != nil {
		return set{}, err
	}
	if len(x) != len(y)*width {
		return set{}, fmt.Errorf("%s: %d labels for %d values of %d columns", prefix, len(y), len(x), width)
	}
	return set{x, y, width}, nil
}

var _ gbdt.Source = set{}

// Len returns the number of rows.
func (s set) Len() int { return len(s.y) }

// Row writes a row's values to dst.
func (s set) Row(i int, dst []float64) {
	for k, v := range s.x[i*s.width : (i+1)*s.width] {
		dst[k] = float64(v)
	}
}

// Rows returns a reader of rows; every weight is 1.
func (s set) Rows() func(i int, dst []float64) (label, weight float64) {
	return func(i int, dst []float64) (label, weight float64) {
		s.Row(i, dst)
		return float64(s.y[i]), 1
	}
}

// names returns a name for each column.
func (s set) names() []string {
	names := make([]string, s.width)
	for i := range names {
		names[i] = fmt.Sprintf("c%d", i)
	}
	return names
}

// matrix copies the rows into a matrix.
func (s set) matrix() gbdt.Matrix {
	m := gbdt.Matrix{Rows: s.Len(), Width: s.width, X: make([]float64, len(s.x)), Label: make([]float64, s.Len())}
	for i := range m.Rows {
		s.Row(i, m.Row(i))
		m.Label[i] = float64(s.y[i])
	}
	return m
}

// logLoss returns the mean logistic loss of a model on the rows.
func (s set) logLoss(e *gbdt.Ensemble) float64 {
	row, sum := make([]float64, s.width), 0.
	for i, y := range s.y {
		s.Row(i, row)
		p := min(max(e.Probability(row), 1e-15), 1-1e-15)
		if y == 1 {
			sum -= math.Log(p)
		} else {
			sum -= math.Log1p(-p)
		}
	}
	return sum / float64(len(s.y))
}

// parameters are the request's in our names.
func (q request) parameters() gbdt.Params {
	p := gbdt.DefaultParams()
	p.Trees, p.LearningRate, p.MaxDepth, p.MaxLeaves, p.L2 = q.Trees, q.Rate, q.Depth, q.Leaves, q.L2
	p.MinChildRows, p.MaxBins, p.Threads = q.RowsInLeaf, q.Bins, q.Threads
	if q.WeightInLeaf > 0 {
		p.MinChildWeight = q.WeightInLeaf
	}
	if q.Subsample > 0 {
		p.Subsample = q.Subsample
	}
	if q.ColumnSample > 0 {
		p.ColumnSample = q.ColumnSample
	}
	p.Seed = 42
	return p
}

// workFit fits a generated set, binning included. The rows are quantized from where the file is mapped; no copy of them is made.
func workFit(ctx context.Context, q request, r *result) error {
	train, err := openSet(q.Train)
	if err != nil {
		return err
	}
	p, names := q.parameters(), train.names()
	var model *gbdt.Ensemble
	err = timed(q, r, func() error {
		data, err := gbdt.Quantize(ctx, p, names, train)
		if err != nil {
			return err
		}
		r.QuantizedBytes = data.Bytes()
		model, _, err = gbdt.TrainData(ctx, p, data, nil, nil)
		return err
	})
	if err != nil {
		return err
	}
	if !q.Losses {
		return nil
	}
	r.TrainLoss = train.logLoss(model)
	if q.Holdout == "" {
		return nil
	}
	holdout, err := openSet(q.Holdout)
	if err != nil {
		return err
	}
	r.HoldoutLoss = holdout.logLoss(model)
	return nil
}

// customersFile is a file of Telco customers, read by the Telco spec.
type customersFile struct {
	spec   *spec.Spec
	schema *dataset.Schema
	table  *dataset.Table
}

func readCustomers(ctx context.Context, path string) (customersFile, error) {
	sp := spec.Telco()
	sch, err := dataset.NewSchema(sp)
	if err != nil {
		return customersFile{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return customersFile{}, err
	}
	defer f.Close()
	t, _, err := dataset.Load(ctx, f, sch, dataset.LoadOptions{})
	return customersFile{sp, sch, t}, err
}

// rows returns the features of rows of the table as a matrix.
func (c customersFile) rows(p *feature.Pipeline, rows []int) gbdt.Matrix {
	w := p.Width()
	m := gbdt.Matrix{Rows: len(rows), Width: w, X: make([]float64, len(rows)*w), Label: make([]float64, len(rows))}
	row := c.schema.NewRow()
	for i, r := range rows {
		p.Transform(c.table.Row(r, row), m.Row(i))
		m.Label[i] = row.Label
	}
	return m
}

// fit fits features and trees to rows of the table.
func (c customersFile) fit(ctx context.Context, p gbdt.Params, rows []int) (*feature.Pipeline, *gbdt.Ensemble, error) {
	pipeline, err := feature.Fit(c.spec, c.schema, c.table, rows, nil)
	if err != nil {
		return nil, nil, err
	}
	e, _, err := gbdt.Train(ctx, p, pipeline.Names(), c.rows(pipeline, rows), nil, nil)
	return pipeline, e, err
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// workTelco fits features and trees to the rows of a file of customers that was read before.
func workTelco(ctx context.Context, q request, r *result) error {
	c, err := readCustomers(ctx, q.File)
	if err != nil {
		return err
	}
	rows := upTo(c.table.Len())
	job := func() error {
		_, _, err := c.fit(ctx, q.parameters(), rows)
		return err
	}
	if err := job(); err != nil {
		return err
	}
	return timed(q, r, job)
}

// workCSV reads a file of customers.
func workCSV(ctx context.Context, q request, r *result) error {
	return timed(q, r, func() error {
		_, err := readCustomers(ctx, q.File)
		return err
	})
}

// workIngest quantizes a file of customers, from its text to the bins of its features.
func workIngest(ctx context.Context, q request, r *result) error {
	sp := spec.Telco()
	sch, err := dataset.NewSchema(sp)
	if err != nil {
		return err
	}
	p := gbdt.DefaultParams()
	p.MaxBins, p.Threads = q.Bins, q.Threads
	return timed(q, r, func() error {
		f, err := os.Open(q.File)
		if err != nil {
			return err
		}
		defer f.Close()
		size, err := fileSize(q.File)
		if err != nil {
			return err
		}
		got, err := ingest.Quantize(ctx, io.NewSectionReader(f, 0, size), sp, sch, ingest.Options{Params: p})
		if err != nil {
			return err
		}
		r.QuantizedBytes = got.Data.Bytes()
		return nil
	})
}
