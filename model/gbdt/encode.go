package gbdt

import (
	"fmt"
	"math"
)

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
