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

// Part is the quantized rows of one chunk, to be put together by [Join].
type Part struct {
	bins     *Bins
	rows     int
	words    [][]uint64 // in the layout of bins
	label    []uint8
	weight   []float64
	weighted bool
	margin   []float64
	stats    []rowStats
	init     *Ensemble
}

func (b *Bins) newPart(rows int, init *Ensemble) *Part {
	part := &Part{
		bins: b, rows: rows, words: make([][]uint64, b.layout.words), label: make([]uint8, rows), stats: emptyStats(len(b.names)), init: init,
	}
	for i := range part.words {
		part.words[i] = make([]uint64, rows)
	}
	if init != nil {
		part.margin = make([]float64, rows)
	}
	return part
}

// Quantize quantizes a chunk of rows on the caller's goroutine; other goroutines may quantize other chunks meanwhile. The part does not share
// memory with the chunk. Its errors are those of the function [Quantize], with rows numbered within the chunk.
func (b *Bins) Quantize(chunk Matrix) (*Part, error) {
	if err := chunk.check(len(b.names)); err != nil {
		return nil, fmt.Errorf("check chunk: %w", err)
	}
	part := b.newPart(chunk.Rows, b.init)
	if chunk.Weight != nil {
		part.weight = make([]float64, chunk.Rows)
	}
	var r reader
	r.open(matrixSource{chunk}, len(b.names))
	e := encoder{bins: b, part: part, stats: part.stats}
	if err := e.encode(&r, 0, chunk.Rows); err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	if part.weighted = e.weighted; !e.weighted {
		part.weight = nil
	}
	return part, nil
}

// Join puts parts together in the given order. The rows of the parts are given up while they are copied, so that not much more than one
// copy is held at once, and the parts are empty afterwards. All must come from the same bins, and there must be a row.
func Join(parts ...*Part) (*Data, error) {
	if len(parts) == 0 {
		return nil, errors.New("join: no parts")
	}
	b, rows, weighted := parts[0].bins, 0, false
	whole := &Part{bins: b, words: make([][]uint64, b.layout.words), stats: emptyStats(len(b.names)), init: parts[0].init}
	for i, part := range parts {
		if part.bins != b {
			return nil, fmt.Errorf("join: part %d is of other bins than the first", i)
		}
		if part.rows == 0 {
			return nil, fmt.Errorf("join: part %d was joined before", i)
		}
		rows += part.rows
		weighted = weighted || part.weighted
		for f := range whole.stats {
			whole.stats[f].add(part.stats[f])
		}
	}
	if rows > math.MaxInt32 {
		return nil, fmt.Errorf("join: %d rows, want at most %d", rows, math.MaxInt32)
	}
	whole.rows, whole.weighted = rows, weighted
	for w := range whole.words {
		whole.words[w] = join(parts, rows, func(p *Part) *[]uint64 { return &p.words[w] })
	}
	whole.label = join(parts, rows, func(p *Part) *[]uint8 { return &p.label })
	if weighted {
		for _, part := range parts {
			if part.weight == nil {
				part.weight = slices.Repeat([]float64{1}, part.rows)
			}
		}
		whole.weight = join(parts, rows, func(p *Part) *[]float64 { return &p.weight })
	}
	if whole.init != nil {
		whole.margin = join(parts, rows, func(p *Part) *[]float64 { return &p.margin })
	}
	for _, part := range parts {
		*part = Part{bins: b}
	}
	return b.pack(runtime.GOMAXPROCS(0), whole), nil
}

// join puts one slice of each part together, and takes it from the part.
func join[E any](parts []*Part, rows int, of func(*Part) *[]E) []E {
	if len(parts) == 1 {
		return *of(parts[0])
	}
	all := make([]E, 0, rows)
	for _, part := range parts {
		all = append(all, *of(part)...)
		*of(part) = nil
	}
	return all
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

// encoder packs rows into a part. It is used by one goroutine.
type encoder struct {
	bins     *Bins
	part     *Part
	stats    []rowStats
	weighted bool

	x     []float64 // column after column
	value [encodeRows]uint16
}

// encodeRows is the number of rows that are packed column by column, so that a column's bounds stay in the cache.
const encodeRows = 256

// encode packs rows low to high-1. It reports the first row that is wrong.
func (e *encoder) encode(r *reader, low, high int) error {
	if e.x == nil {
		e.x = make([]float64, encodeRows*len(e.bins.names))
	}
	for at := low; at < high; at += encodeRows {
		n := min(encodeRows, high-at)
		for i := range n {
			x, label, weight := r.row(at + i)
			for f, v := range x {
				e.x[f*encodeRows+i] = v
			}
			if label != 0 && label != 1 {
				return fmt.Errorf("row %d: label is %v, want 0 or 1", at+i, label)
			}
			if !(weight >= 0) || math.IsInf(weight, 1) {
				return fmt.Errorf("row %d: weight is %v, want a finite number of at least 0", at+i, weight)
			}
			e.part.label[at+i] = uint8(label)
			if e.part.weight != nil {
				e.part.weight[at+i] = weight
			}
			e.weighted = e.weighted || weight != 1
			if e.part.init != nil {
				e.part.margin[at+i] = e.part.init.Margin(x)
			}
		}
		if err := e.pack(at, n); err != nil {
			return err
		}
	}
	return nil
}

// pack puts the n rows of e.x into the part's words, from row at on.
func (e *encoder) pack(at, n int) error {
	l := e.bins.layout
	bad := n
	for i := range l.lanes {
		lane := &l.lanes[i]
		value := e.value[:n]
		clear(value)
		for _, f := range lane.columns {
			c, x := &e.bins.columns[f], e.x[f*encodeRows:f*encodeRows+n]
			stride := uint16(l.digits[f].stride)
			if c.categorical {
				bad = min(bad, addCategories(c, x, value, stride, &e.stats[f]))
			} else {
				bad = min(bad, addNumbers(c, x, value, stride, &e.stats[f]))
			}
		}
		words := e.part.words[lane.word][at : at+n]
		for r, v := range value {
			words[r] |= uint64(v) << (lane.shift & 63)
		}
	}
	if bad < n {
		return e.refuse(at, bad)
	}
	return nil
}

// addNumbers adds the bins of a column of numbers, times stride, to the values of its lane, and returns the first row that is refused, or as many as
// there are.
func addNumbers(c *column, x []float64, value []uint16, stride uint16, stats *rowStats) int {
	low, high := stats.min, stats.max
	bounds, missing := c.bounds, uint16(c.bins())*stride
	value = value[:len(x)]
	bad := len(x)
	for r, v := range x {
		if v-v != 0 {
			if v == v {
				bad = min(bad, r)
			}
			value[r] += missing
			stats.missing = true
			continue
		}
		value[r] += uint16(firstNotBelow(bounds, v)) * stride
		if v < low {
			low = v + 0
		}
		if v > high {
			high = v + 0
		}
	}
	stats.min, stats.max = low, high
	return bad
}

// addCategories is addNumbers for a column of categories.
func addCategories(c *column, x []float64, value []uint16, stride uint16, stats *rowStats) int {
	bad := len(x)
	for r, v := range x {
		bin, ok := c.category(v)
		if !ok {
			bad = min(bad, r)
			continue
		}
		value[r] += uint16(bin) * stride
		if bin == len(c.codes) {
			stats.missing = true
		} else {
			stats.min, stats.max = min(stats.min, v), max(stats.max, v)
		}
	}
	return bad
}

// refuse returns the error of row i of e.x, which is row at+i.
func (e *encoder) refuse(at, i int) error {
	for f := range e.bins.columns {
		c, v := &e.bins.columns[f], e.x[f*encodeRows+i]
		if _, ok := c.category(v); c.categorical && !ok {
			return fmt.Errorf("row %d: feature %s is %v, want a whole category from 0 to %d or NaN", at+i, e.bins.names[f], v, maxCode)
		}
		if math.IsInf(v, 0) {
			return fmt.Errorf("row %d: feature %s is %v, want a finite number or NaN", at+i, e.bins.names[f], v)
		}
	}
	panic("gbdt: a row was refused for no reason")
}
