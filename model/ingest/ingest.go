package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
)

// DefaultSampleRows is how many rows bins are cut from.
const DefaultSampleRows = 200_000

// headBytes is how much of a file that can only be read from its start is held to sample from.
const headBytes = 32 << 20

// Options say how a file is quantized. The zero value is not valid: Params must be.
type Options struct {
	// Params are those of the training to come. MaxBins, Seed, Threads and Init matter here; Categorical is set from the pipeline.
	Params gbdt.Params
	// Pipeline turns rows into features; nil = one is fitted on the sample. It must be of the schema, and none of its columns may have
	// target encoding, which needs the labels of all rows before the first is encoded.
	Pipeline *feature.Pipeline
	// Load says how the file is read and how many faulty rows it may have. Every row needs a label, so RequireLabel is always on.
	Load dataset.LoadOptions
	// SampleRows is about how many rows are sampled; 0 = DefaultSampleRows.
	SampleRows int
	// Keep chooses rows by their id, such as those of the training part; nil = all. Several goroutines call it at once.
	Keep func(id string) bool
}

// Result is a quantized file.
type Result struct {
	Data     *gbdt.Data
	Params   gbdt.Params // of the options, with Categorical set: what to train with
	Pipeline *feature.Pipeline
	Report   *dataset.Report // of the whole file, rows that Keep left out included
	Sampled  int             // rows that bins, and the pipeline if it was fitted here, come from
}

// sized is an input that can be read at any place, such as *io.SectionReader and *bytes.Reader.
type sized interface {
	io.ReaderAt
	Size() int64
}

// Quantize reads a file and returns its rows quantized. A reader that has ReadAt and Size, as an *io.SectionReader over a file, is sampled
// all over and read from its start, wherever it stood; of any other the sample is of the first 32 MiB.
//
// It fails as dataset.Load does, with a *dataset.DataError, on a file that can't be used; on a column with target encoding, on parameters
// out of range, where no row is kept, and when ctx ends. The report is there with the error too, once the reading has begun.
func Quantize(ctx context.Context, r io.Reader, s *spec.Spec, sch *dataset.Schema, o Options) (*Result, error) {
	o.Load.RequireLabel = true
	if err := checkEncodings(s); err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	whole, sample, err := sampleOf(ctx, r, sch, &o)
	if err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	rows := o.kept(sample)
	if len(rows) == 0 {
		return nil, fmt.Errorf("ingest: %w", &dataset.DataError{Message: "no row of the sample is kept"})
	}
	out := &Result{Pipeline: o.Pipeline, Sampled: len(rows)}
	if out.Pipeline == nil {
		if out.Pipeline, err = feature.Fit(s, sch, sample, rows, nil); err != nil {
			return nil, fmt.Errorf("ingest: %w", err)
		}
	}
	o.Params.Categorical = out.Pipeline.Categorical()
	out.Params = o.Params
	chunk, err := chunkOf(out.Pipeline, sample, rows, nil)
	if err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	bins, err := gbdt.CutBins(o.Params, out.Pipeline.Names(), chunk)
	if err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	sample, chunk = nil, gbdt.Matrix{} // free while the file is read
	if err := out.stream(ctx, whole, sch, bins, &o); err != nil {
		return out, fmt.Errorf("ingest: %w", err)
	}
	return out, nil
}

// checkEncodings refuses what can't be encoded row by row.
func checkEncodings(s *spec.Spec) error {
	for _, c := range s.Columns.Categorical {
		if s.EncodingOf(c) == spec.EncodingTarget {
			return fmt.Errorf("column %q has target encoding, which needs all labels before the first row is encoded: load the file into a table", c.Name)
		}
	}
	return nil
}

// sampleOf returns a reader of the whole file and a sample of it.
func sampleOf(ctx context.Context, r io.Reader, sch *dataset.Schema, o *Options) (io.Reader, *dataset.Table, error) {
	so := dataset.SampleOptions{ReaderOptions: o.Load.ReaderOptions, Rows: o.SampleRows, Seed: o.Params.Seed}
	if so.Rows == 0 {
		so.Rows = DefaultSampleRows
	}
	if at, ok := r.(sized); ok {
		sample, err := dataset.Sample(ctx, at, at.Size(), sch, so)
		return io.NewSectionReader(at, 0, at.Size()), sample, err
	}
	head, err := io.ReadAll(io.LimitReader(r, headBytes))
	if err != nil {
		return nil, nil, fmt.Errorf("read the start: %w", err)
	}
	text := head
	if len(head) == headBytes {
		text = head[:bytes.LastIndexByte(head, '\n')+1] // the last line goes on
	}
	sample, err := dataset.Sample(ctx, bytes.NewReader(text), int64(len(text)), sch, so)
	return io.MultiReader(bytes.NewReader(head), r), sample, err
}

// kept returns the rows of a table that Keep chooses.
func (o *Options) kept(t *dataset.Table) []int {
	rows := make([]int, 0, t.Len())
	for i := range t.Len() {
		if o.Keep == nil || o.Keep(t.ID(i)) {
			rows = append(rows, i)
		}
	}
	return rows
}

// buffers are the features of a part while it is quantized.
var buffers = sync.Pool{New: func() any { return new([]float64) }}

// chunkOf turns rows of a table into features, in buf if that is large enough.
func chunkOf(p *feature.Pipeline, t *dataset.Table, rows []int, buf *[]float64) (gbdt.Matrix, error) {
	src, err := p.Source(t, rows, nil)
	if err != nil {
		return gbdt.Matrix{}, err
	}
	width := p.Width()
	if buf == nil {
		buf = new([]float64)
	}
	if cap(*buf) < len(rows)*width {
		*buf = make([]float64, len(rows)*width)
	}
	m := gbdt.Matrix{Rows: len(rows), Width: width, X: (*buf)[:len(rows)*width], Label: make([]float64, len(rows))}
	read := src.Rows()
	for i := range rows {
		m.Label[i], _ = read(i, m.Row(i))
	}
	return m, nil
}

// stream reads, encodes and quantizes the file.
func (out *Result) stream(ctx context.Context, r io.Reader, sch *dataset.Schema, bins *gbdt.Bins, o *Options) error {
	var parts []*gbdt.Part
	work := func(t *dataset.Table) (*gbdt.Part, error) {
		rows := o.kept(t)
		if len(rows) == 0 {
			return nil, nil
		}
		buf := buffers.Get().(*[]float64)
		defer buffers.Put(buf)
		chunk, err := chunkOf(out.Pipeline, t, rows, buf)
		if err != nil {
			return nil, err
		}
		return bins.Quantize(chunk)
	}
	var err error
	out.Report, err = dataset.Stream(ctx, r, sch, o.Load, work, func(part *gbdt.Part) error {
		if part != nil {
			parts = append(parts, part)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return errors.New("no row is kept")
	}
	out.Data, err = gbdt.Join(parts...)
	return err
}
