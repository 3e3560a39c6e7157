package gbdt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// sampleRows is the number of rows that bins are cut from; larger matrices are sampled.
const sampleRows = 200_000

// binIndex is a bin's number: a byte where all columns have at most 255 bins and one for missing values.
type binIndex interface{ uint8 | uint16 }

// column describes how one feature is cut into bins. Bin i holds values v with bounds[i-1] < v ≤ bounds[i]; the bin after the last
// holds missing values.
type column struct {
	bounds   []float64
	missing  bool
	min, max float64
}

// bins returns the number of bins, that for missing values not counted.
func (c column) bins() int { return len(c.bounds) + 1 }

// splittable reports whether any two rows of the column differ.
func (c column) splittable() bool {
	return len(c.bounds) > 0 || c.missing && c.min <= c.max
}

// info returns the feature's range as LightGBM writes it: [min:max], or none where nothing can be split.
func (c column) info() string {
	if !c.splittable() {
		return "none"
	}
	return "[" + formatFloat(c.min) + ":" + formatFloat(c.max) + "]"
}

// bin returns the bin of a value.
func (c column) bin(v float64) int {
	if v != v {
		return c.bins()
	}
	// The first bound that is not less than v; each step halves what is left without a branch on the data.
	base, n := 0, len(c.bounds)
	for n > 0 {
		half := (n + 1) / 2
		if c.bounds[base+half-1] < v {
			base += half
			n -= half
		} else {
			n = half - 1
		}
	}
	return base
}

// cutColumns decides the bins of every column. It refuses infinite values.
func cutColumns(p Params, threads int, names []string, m Matrix) ([]column, error) {
	columns, err := scanColumns(threads, names, m)
	if err != nil {
		return nil, err
	}
	rows := rowSample(m.Rows, p.Seed)
	parallel(threads, m.Width, func(f int) {
		values := make([]float64, 0, len(rows))
		for _, r := range rows {
			// Adding zero turns -0 into 0.
			if v := m.X[int(r)*m.Width+f] + 0; v == v {
				values = append(values, v)
			}
		}
		slices.Sort(values)
		columns[f].bounds = cut(values, p.MaxBins)
	})
	return columns, nil
}

// scanColumns finds each column's range and whether values are missing.
func scanColumns(threads int, names []string, m Matrix) ([]column, error) {
	parts := make([][]column, blocks(m.Rows))
	infinite := make([]error, len(parts))
	parallel(threads, len(parts), func(b int) {
		part := emptyColumns(m.Width)
		low, high := block(b, m.Rows)
		for r := low; r < high; r++ {
			for f, v := range m.Row(r) {
				c := &part[f]
				switch {
				case v != v:
					c.missing = true
				case v-v != 0:
					if infinite[b] == nil {
						infinite[b] = fmt.Errorf("row %d: feature %s is %v, want a finite number or NaN", r, names[f], v)
					}
				default:
					c.min, c.max = min(c.min, v+0), max(c.max, v+0)
				}
			}
		}
		parts[b] = part
	})
	columns := emptyColumns(m.Width)
	for b, part := range parts {
		if infinite[b] != nil {
			return nil, infinite[b]
		}
		for f, c := range part {
			columns[f].missing = columns[f].missing || c.missing
			columns[f].min, columns[f].max = min(columns[f].min, c.min), max(columns[f].max, c.max)
		}
	}
	return columns, nil
}

func emptyColumns(width int) []column {
	columns := make([]column, width)
	for f := range columns {
		columns[f].min, columns[f].max = math.Inf(1), math.Inf(-1)
	}
	return columns
}

// rowSample returns all rows, or where there are many one of each of sampleRows strata.
func rowSample(rows int, seed uint64) []int32 {
	if rows <= sampleRows {
		all := make([]int32, rows)
		for i := range all {
			all[i] = int32(i)
		}
		return all
	}
	random := rand.NewPCG(seed, binStream)
	sample := make([]int32, sampleRows)
	for i := range sample {
		low, high := i*rows/sampleRows, (i+1)*rows/sampleRows
		sample[i] = int32(low + below(random, high-low))
	}
	return sample
}

// cut returns the bounds between the bins of sorted values: each distinct value has its own bin where there are enough; else bins
// are filled in order, each with its even share of the rows that are left, so a frequent value takes one of its own.
func cut(sorted []float64, limit int) []float64 {
	distinct := 0
	for i, v := range sorted {
		if i == 0 || v != sorted[i-1] {
			distinct++
		}
	}
	if distinct < 2 {
		return nil
	}
	bounds := make([]float64, 0, min(distinct, limit)-1)
	left, start := limit, 0
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			continue
		}
		if distinct > limit {
			filled, rest := i-start, len(sorted)-start
			if left == 1 || filled*left < rest {
				continue
			}
			left--
			start = i
		}
		bounds = append(bounds, midpoint(sorted[i-1], sorted[i]))
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

// binRows returns the bin of every value, one slice for each column; columns that cannot be split have none.
func binRows[T binIndex](threads int, columns []column, m Matrix) [][]T {
	binned := make([][]T, m.Width)
	for f := range binned {
		if columns[f].splittable() {
			binned[f] = make([]T, m.Rows)
		}
	}
	parallel(threads, blocks(m.Rows), func(b int) {
		low, high := block(b, m.Rows)
		for f, dst := range binned {
			if dst == nil {
				continue
			}
			c := columns[f]
			for r := low; r < high; r++ {
				dst[r] = T(c.bin(m.X[r*m.Width+f]))
			}
		}
	})
	return binned
}
