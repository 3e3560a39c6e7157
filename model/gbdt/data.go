package gbdt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
)

// Source is rows that are quantized without ever being held as floating-point numbers all at once.
type Source interface {
	// Len returns the number of rows.
	Len() int
	// Rows returns a reader of the rows for one goroutine. It fills dst, one value for each feature with NaN for missing ones, with
	// row i, and returns the row's label, 0 or 1, and its weight, finite and not negative. It must return the same each time it is
	// called for a row, and is called for any row at most a few times.
	Rows() func(i int, dst []float64) (label, weight float64)
}

// Data is quantized rows with their labels and weights: about a byte for each numeric column and for each bundle of columns with few bins.
// It is immutable and safe for concurrent use. Make it with [Quantize], [Data.Quantize] or [Join].
type Data struct {
	bins    *Bins
	columns []column // of bins, with what is known of these rows
	layout  *layout
	words   [][]uint64
	label   []uint8
	weight  []float64 // nil where all are 1
	// margin holds the margins of init, nil without one.
	init   *Ensemble
	margin []float64
}

// Len returns the number of rows.
func (d *Data) Len() int { return len(d.label) }

// Names returns a copy of the features' names in the order of a row.
func (d *Data) Names() []string { return slices.Clone(d.bins.names) }

// Bins returns the bins that the rows are quantized by.
func (d *Data) Bins() *Bins { return d.bins }

// Bytes returns the size of the quantized rows with their labels and weights, in bytes.
func (d *Data) Bytes() int64 {
	return int64(len(d.words)*d.Len()*8 + len(d.label) + 8*len(d.weight) + 8*len(d.margin))
}

// Quantize cuts bins from the rows of src, or of more than 200,000 from a sample of them as [CutBins] does, and quantizes all, in
// parallel. It looks at MaxBins, Categorical, Seed, Threads and Init of p. It blocks until done or until ctx ends. Beside its result it holds
// the sample of 64 features at once, and while it packs the result closer possibly a second copy of it.
//
// It is an error, naming the row, if a label is not 0 or 1, a weight is negative or not finite, a value infinite or, for a feature
// in Categorical, neither NaN nor a whole number from 0 to 65,535; and if there are no rows, or features without or of the same name.
func Quantize(ctx context.Context, p Params, names []string, src Source) (*Data, error) {
	if err := checkFor(&p, names); err != nil {
		return nil, err
	}
	if err := checkLen(src.Len()); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cut bins: %w", err)
	}
	return cutBins(&p, names, src).quantize(ctx, &p, src)
}

// Quantize quantizes other rows, for validation, by the bins that d has. It looks at Threads and Init of p, and fails as [Quantize] does.
func (d *Data) Quantize(ctx context.Context, p Params, src Source) (*Data, error) {
	if err := checkFor(&p, d.bins.names); err != nil {
		return nil, err
	}
	if err := checkLen(src.Len()); err != nil {
		return nil, err
	}
	return d.bins.quantize(ctx, &p, src)
}

// checkFor reports what is wrong with the parameters, the names, or both together.
func checkFor(p *Params, names []string) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("check parameters: %w", err)
	}
	if err := checkNames(names); err != nil {
		return fmt.Errorf("check feature names: %w", err)
	}
	if err := p.validateFor(names); err != nil {
		return fmt.Errorf("check parameters: %w", err)
	}
	return nil
}

func checkLen(rows int) error {
	if rows < 1 || rows > math.MaxInt32 {
		return fmt.Errorf("source has %d rows, want 1 to %d", rows, math.MaxInt32)
	}
	return nil
}

// checkNames refuses names that the text format cannot tell apart.
func checkNames(names []string) error {
	if len(names) == 0 {
		return errors.New("no features")
	}
	seen := make(map[string]int, len(names))
	for i, name := range names {
		if name == "" {
			return fmt.Errorf("feature %d has no name", i)
		}
		if first, ok := seen[name]; ok {
			return fmt.Errorf("features %d and %d are both named %q", first, i, name)
		}
		seen[name] = i
	}
	return nil
}

// threads returns Threads with its default resolved.
func (p *Params) threads() int {
	if p.Threads == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return p.Threads
}

// quantize packs the rows of a source by the bins.
func (b *Bins) quantize(ctx context.Context, p *Params, src Source) (*Data, error) {
	rows := src.Len()
	part := b.newPart(rows, p.Init)
	if m, ok := src.(matrixSource); !ok || m.matrix.Weight != nil {
		part.weight = make([]float64, rows)
	}
	readers := make([]reader, p.threads())
	encoders := make([]encoder, p.threads())
	errs := make([]error, blocks(rows))
	stats := make([][]rowStats, blocks(rows))
	weighted := make([]bool, blocks(rows))
	parallelWorkers(p.threads(), blocks(rows), func(worker, k int) {
		if errs[k] = ctx.Err(); errs[k] != nil {
			return
		}
		readers[worker].open(src, len(b.names))
		low, high := block(k, rows)
		stats[k] = emptyStats(len(b.names))
		e := &encoders[worker]
		e.bins, e.part, e.stats, e.weighted = b, part, stats[k], false
		errs[k] = e.encode(&readers[worker], low, high)
		weighted[k] = e.weighted
	})
	for k := range errs {
		if errs[k] != nil {
			return nil, fmt.Errorf("quantize: %w", errs[k])
		}
		for f := range part.stats {
			part.stats[f].add(stats[k][f])
		}
		part.weighted = part.weighted || weighted[k]
	}
	return b.pack(p.threads(), part), nil
}

// pack turns a part into data, and its words into those of a layout without the levels that no row is in, if that has fewer lanes.
func (b *Bins) pack(threads int, part *Part) *Data {
	d := &Data{bins: b, columns: slices.Clone(b.columns), layout: b.layout, words: part.words, label: part.label, init: part.init, margin: part.margin}
	if part.weighted {
		d.weight = part.weight
	}
	for f := range d.columns {
		d.columns[f].rowStats = part.stats[f]
	}
	if closer := newLayout(d.columns); len(closer.lanes) < len(b.layout.lanes) || closer.words < b.layout.words {
		d.words = closer.recode(threads, part.rows, b.layout, part.words)
		d.layout = closer
	}
	return d
}
