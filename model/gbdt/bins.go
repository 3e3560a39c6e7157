package gbdt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// sampleRows is the number of rows that bins are cut from; of more rows a sample is taken.
const sampleRows = 200_000

// column describes how one feature is cut into bins. Bin i of a number holds values v with bounds[i-1] < v ≤ bounds[i], bin i of a
// category the code codes[i]; the bin after the last holds missing values, and of categories also the codes that have no bin.
type column struct {
	bounds []float64
	// codes are ascending; binOf holds the bin of each code from 0 to the greatest, len(codes) for those without one.
	categorical bool
	codes       []int32
	binOf       []uint16
	rowStats
}

// rowStats is what is known of a column's values over some rows: whether any is in the bin for missing values, and the range of the
// numbers, min > max if there are none.
type rowStats struct {
	missing  bool
	min, max float64
}

func emptyStats(width int) []rowStats {
	stats := make([]rowStats, width)
	for f := range stats {
		stats[f].min, stats[f].max = math.Inf(1), math.Inf(-1)
	}
	return stats
}

func (s *rowStats) add(o rowStats) {
	s.missing = s.missing || o.missing
	s.min, s.max = min(s.min, o.min), max(s.max, o.max)
}

// bins returns the number of bins, that for missing values not counted.
func (c *column) bins() int {
	if c.categorical {
		return len(c.codes)
	}
	return len(c.bounds) + 1
}

// levels returns the number of bins that rows are in or may be in, that for missing values counted if any row is.
func (c *column) levels() int {
	n := c.bins()
	if c.missing {
		n++
	}
	return n
}

// splittable reports whether any two rows of the column differ.
func (c *column) splittable() bool {
	return c.bins() > 1 || c.missing && c.min <= c.max
}

// info returns the feature's range as LightGBM writes it: [min:max], the categories with a colon between them, or none where
// nothing can be split.
func (c *column) info() string {
	if !c.splittable() {
		return "none"
	}
	if !c.categorical {
		return "[" + formatFloat(c.min) + ":" + formatFloat(c.max) + "]"
	}
	var out strings.Builder
	for i, code := range c.codes {
		if i > 0 {
			out.WriteByte(':')
		}
		out.WriteString(strconv.Itoa(int(code)))
	}
	return out.String()
}

// bin returns the bin of a number.
func (c *column) bin(v float64) int {
	if v != v {
		return c.bins()
	}
	return firstNotBelow(c.bounds, v)
}

// firstNotBelow returns the number of ascending bounds that are less than v. Each step halves what is left without a branch on the data.
func firstNotBelow(bounds []float64, v float64) int {
	base, n := 0, len(bounds)
	for n > 1 {
		half := n >> 1
		if bounds[base+half-1] < v {
			base += half
		}
		n -= half
	}
	if n == 1 && bounds[base] < v {
		base++
	}
	return base
}

// category returns the bin of a code, which may be NaN, and false for what is no code.
func (c *column) category(v float64) (int, bool) {
	if v != v {
		return len(c.codes), true
	}
	if !(v >= 0 && v <= maxCode) || v != math.Trunc(v) {
		return 0, false
	}
	if int(v) >= len(c.binOf) {
		return len(c.codes), true
	}
	return int(c.binOf[int(v)]), true
}

// Bins says how each feature is cut into bins, and how rows are packed. It is immutable and safe for concurrent use. Make one with
// [CutBins]; [Quantize] makes its own.
type Bins struct {
	names   []string
	columns []column
	maxBins int
	// layout has room for missing values in every column.
	layout *layout
	init   *Ensemble
}

// CutBins decides the bins of every feature from sample rows, at most 200,000 of them: of more, one of each of 200,000 strata in the order
// of rows, drawn by p.Seed. It looks at MaxBins, Seed, Threads, Categorical and Init of p. Values beyond those of the sample, in
// rows quantized later, fall into the outermost bins, and categories that it lacks go with the missing ones. Labels may be nil.
// Where a value has more distinct numbers than bins, bins hold about as many sample rows each.
func CutBins(p Params, names []string, sample Matrix) (*Bins, error) {
	if sample.Label == nil {
		sample.Label = make([]float64, sample.Rows)
	}
	if err := checkFor(&p, names); err != nil {
		return nil, err
	}
	if err := sample.check(len(names)); err != nil {
		return nil, fmt.Errorf("check sample: %w", err)
	}
	return cutBins(&p, names, matrixSource{sample}), nil
}

// columnBatch is the number of columns whose sample is held at once.
const columnBatch = 64

// cutBins is CutBins for any rows, with parameters and names checked.
func cutBins(p *Params, names []string, src Source) *Bins {
	b := &Bins{names: slices.Clone(names), columns: make([]column, len(names)), maxBins: p.MaxBins, init: p.Init}
	for _, f := range p.Categorical {
		b.columns[f].categorical = true
	}
	rows := rowSample(src.Len(), p.Seed)
	for first := 0; first < len(names); first += columnBatch {
		last := min(first+columnBatch, len(names))
		values := gatherSample(p.threads(), src, rows, first, last, len(names))
		parallel(p.threads(), last-first, func(i int) {
			b.columns[first+i].cut(values[i], p.MaxBins)
		})
	}
	for f := range b.columns {
		b.columns[f].missing = true
	}
	b.layout = newLayout(b.columns)
	return b
}

// gatherSample returns the values of features first to last-1 at the rows, feature by feature.
func gatherSample(threads int, src Source, rows []int32, first, last, width int) [][]float64 {
	values := make([][]float64, last-first)
	for f := range values {
		values[f] = make([]float64, len(rows))
	}
	readers := make([]reader, threads)
	parallelWorkers(threads, blocks(len(rows)), func(worker, k int) {
		r := &readers[worker]
		r.open(src, width)
		low, high := block(k, len(rows))
		for i := low; i < high; i++ {
			x, _, _ := r.row(int(rows[i]))
			for f := range values {
				values[f][i] = x[first+f]
			}
		}
	})
	return values
}

// cut decides the column's bins from sample values, whose order it changes. What is no finite number, or no code, is passed over: it is
// refused when its row is quantized.
func (c *column) cut(values []float64, limit int) {
	distinct, counts := tally(values)
	if !c.categorical {
		for len(distinct) > 0 && math.IsInf(distinct[0], -1) {
			distinct, counts = distinct[1:], counts[1:]
		}
		for n := len(distinct); n > 0 && math.IsInf(distinct[n-1], 1); n-- {
			distinct, counts = distinct[:n-1], counts[:n-1]
		}
		c.bounds = cut(distinct, counts, limit)
		return
	}
	var order []int
	for i, v := range distinct {
		if _, ok := c.category(v); ok {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return counts[b] - counts[a] })
	for _, i := range order[:min(limit, len(order))] {
		c.codes = append(c.codes, int32(distinct[i]))
	}
	slices.Sort(c.codes)
	if n := len(c.codes); n > 0 {
		c.binOf = make([]uint16, c.codes[n-1]+1)
	}
	for i := range c.binOf {
		c.binOf[i] = uint16(len(c.codes))
	}
	for bin, code := range c.codes {
		c.binOf[code] = uint16(bin)
	}
}

// rowSample returns all rows, or where there are many one of each of sampleRows strata.
func rowSample(rows int, seed uint64) []int32 {
	if rows <= sampleRows {
		return sequence(rows)
	}
	random := rand.NewPCG(seed, binStream)
	sample := make([]int32, sampleRows)
	for i := range sample {
		low, high := i*rows/sampleRows, (i+1)*rows/sampleRows
		sample[i] = int32(low + below(random, high-low))
	}
	return sample
}

// sequence returns 0 to n-1.
func sequence(n int) []int32 {
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

// tally returns the distinct values in ascending order, NaN left out and -0 turned into 0, and how often each occurs. It may
// change the order of values.
func tally(values []float64) (distinct []float64, counts []int) {
	if distinct, counts, ok := tallyFew(values); ok {
		return distinct, counts
	}
	slices.Sort(values)
	for _, v := range values {
		// Adding zero turns -0 into 0.
		v += 0
		switch n := len(distinct); {
		case v != v:
		case n > 0 && distinct[n-1] == v:
			counts[n-1]++
		default:
			distinct, counts = append(distinct, v), append(counts, 1)
		}
	}
	return distinct, counts
}

// tallyFew is tally where there are few distinct values; it finds them in a hash table, without sorting all. It gives up, with false,
// at the first value too many.
func tallyFew(values []float64) (distinct []float64, counts []int, ok bool) {
	const (
		few   = 512
		slots = 2048
	)
	var table [slots]int32 // the number of the value plus 1
	for _, v := range values {
		if v != v {
			continue
		}
		v += 0
		at := math.Float64bits(v) * 0x9e3779b97f4a7c15 >> 53
		for table[at] != 0 && distinct[table[at]-1] != v {
			at = (at + 1) % slots
		}
		if table[at] == 0 {
			if len(distinct) == few {
				return nil, nil, false
			}
			distinct, counts = append(distinct, v), append(counts, 0)
			table[at] = int32(len(distinct))
		}
		counts[table[at]-1]++
	}
	order := make([]int, len(distinct))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compare(distinct[a], distinct[b]) })
	sorted, sortedCounts := make([]float64, len(order)), make([]int, len(order))
	for i, at := range order {
		sorted[i], sortedCounts[i] = distinct[at], counts[at]
	}
	return sorted, sortedCounts, true
}

// compare orders numbers; neither may be NaN.
func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// cut returns the bounds between the bins of ascending values: each has its own bin where there are enough; else bins are filled in
// order, each with its even share of the rows that are left, so a frequent value takes one of its own.
func cut(distinct []float64, counts []int, limit int) []float64 {
	if len(distinct) < 2 {
		return nil
	}
	rest := 0
	for _, n := range counts {
		rest += n
	}
	bounds := make([]float64, 0, min(len(distinct), limit)-1)
	left, filled := limit, 0
	for i := range distinct[1:] {
		if filled += counts[i]; len(distinct) > limit {
			if left == 1 || filled*left < rest {
				continue
			}
			left--
			rest -= filled
			filled = 0
		}
		bounds = append(bounds, midpoint(distinct[i], distinct[i+1]))
	}
	return bounds
}

// midpoint returns a number at the middle of a < b, not less than a and less than b.
func midpoint(a, b float64) float64 {
	m := float64(a/2) + float64(b/2)
	if !(m >= a && m < b) {
		return a
	}
	return m
}
