package quantile

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
)

const (
	// blockLen is how many values a column hands out at once: 32 KiB, half of a usual first-level cache.
	blockLen = 4096
	// digitBits is how much of a key one pass looks at. 2^16 counters of 8 bytes stay in a second-level cache.
	digitBits = 16
	digits    = 1 << digitBits
	// fewValues is how many values are sorted rather than counted again.
	fewValues = 1 << 15
)

// Column is a column of numbers with weights. Its functions are called by several goroutines at once and more than once for the same
// rows, and must give the same each time.
type Column struct {
	// Len is the number of rows.
	Len int
	// Values writes the values of rows lo to hi-1 to dst, which has hi-lo places; NaN is a missing value.
	Values func(lo, hi int, dst []float64)
	// Weights writes their weights, none of them negative and all together less than 2^62. nil stands for 1 each.
	Weights func(lo, hi int, dst []int64)
	// Threads is the number of goroutines to use at once, at least 1. Nothing returned depends on it.
	Threads int
}

// Summary is what one pass over a column gives.
type Summary struct {
	Present       int     // rows with a value, whatever they weigh
	Weight        int64   // of the rows with a value
	MissingWeight int64   // of the others
	Min, Max      float64 // of the values present; 0 if there are none
}

// Summarize counts and weighs a column's rows. A weight of 0 counts as present.
func Summarize(c Column) Summary {
	parts := make([]Summary, c.threads())
	c.each(func(part int, values []float64, weights []int64) {
		s := &parts[part]
		for i, v := range values {
			if v != v {
				s.MissingWeight += weights[i]
				continue
			}
			if s.Present == 0 {
				s.Min, s.Max = v, v
			}
			s.Present++
			s.Weight += weights[i]
			s.Min, s.Max = min(s.Min, v), max(s.Max, v)
		}
	})
	var total Summary
	for _, s := range parts {
		if s.Present > 0 && total.Present == 0 {
			total.Min, total.Max = s.Min, s.Max
		}
		if s.Present > 0 {
			total.Min, total.Max = min(total.Min, s.Min), max(total.Max, s.Max)
		}
		total.Present += s.Present
		total.Weight += s.Weight
		total.MissingWeight += s.MissingWeight
	}
	return total
}

// Total returns the exact sum of f(value, weight) over the rows with a value.
func Total(c Column, f func(value float64, weight int64) float64) *Sum {
	parts := make([]Sum, c.threads())
	c.each(func(part int, values []float64, weights []int64) {
		s := &parts[part]
		for i, v := range values {
			if v == v {
				s.Add(f(v, weights[i]))
			}
		}
	})
	for i := 1; i < len(parts); i++ {
		parts[0].Merge(&parts[i])
	}
	return &parts[0]
}

// Median returns the median of the values present: the type 7 quantile of rows of equal weight. With other weights it is the least
// value at which half of the weight is reached, or the middle between it and the next if it is exactly half, to the given tolerance as
// a share of the total. The column must have a value of a weight above 0.
func Median(c Column, s Summary, tolerance float64) float64 {
	slack := int64(0)
	if c.Weights != nil {
		slack = int64(tolerance * float64(s.Weight))
	}
	low := max((s.Weight+1)/2-1-slack, 0)
	high := min(s.Weight/2+slack, s.Weight-1)
	v := Select(c, []int64{low, high})
	return Middle(v[0], v[1])
}

// Middle returns the value half way from a to b, a where they are equal. It overflows only if b-a does.
func Middle(a, b float64) float64 {
	if a == b {
		return a
	}
	return a + float64(0.5*(b-a))
}

// wanted is a rank on its way through the digits.
type wanted struct {
	place  int    // in the caller's ranks
	rank   int64  // within the values that begin with prefix
	prefix uint64 // the digits found so far
}

// Select returns for each rank the value at that place of the column sorted by value, where a row takes as many places, counted from
// 0, as it weighs. Missing values have no place; -0 comes before 0. The ranks may be in any order. It panics on a rank that no value
// has.
func Select(c Column, ranks []int64) []float64 {
	out := make([]float64, len(ranks))
	open := make([]wanted, len(ranks))
	for i, r := range ranks {
		open[i] = wanted{place: i, rank: r}
	}
	for shift := 64; len(open) > 0; shift -= digitBits {
		prefixes := distinct(open)
		if kept, ok := c.gather(prefixes, shift); ok {
			for _, w := range open {
				out[w.place] = kept.pick(w)
			}
			return out
		}
		counts := c.count(prefixes, shift)
		for i := range open {
			w := &open[i]
			at, _ := slices.BinarySearch(prefixes, w.prefix)
			digit := descend(counts[at], &w.rank)
			w.prefix = w.prefix<<digitBits | digit
		}
		if shift == digitBits { // all 64 bits are known
			for _, w := range open {
				out[w.place] = fromKey(w.prefix)
			}
			return out
		}
	}
	return out
}

func distinct(open []wanted) []uint64 {
	prefixes := make([]uint64, len(open))
	for i, w := range open {
		prefixes[i] = w.prefix
	}
	slices.Sort(prefixes)
	return slices.Compact(prefixes)
}

// descend returns the digit under which a rank falls, and leaves the rank among the values of that digit.
func descend(counts []int64, rank *int64) uint64 {
	for digit, n := range counts {
		if *rank < n {
			return uint64(digit)
		}
		*rank -= n
	}
	panic(fmt.Sprintf("quantile: no value has rank %d", *rank))
}

// key maps a value to a number of the same order.
func key(v float64) uint64 {
	bits := math.Float64bits(v)
	return bits ^ (uint64(int64(bits)>>63) | 1<<63)
}

func fromKey(k uint64) float64 {
	if k>>63 == 1 {
		return math.Float64frombits(k ^ 1<<63)
	}
	return math.Float64frombits(^k)
}

// count weighs the values whose key begins with one of the prefixes (all of the bits from shift on) by their next digit.
func (c Column) count(prefixes []uint64, shift int) [][]int64 {
	parts := make([][]int64, c.threads())
	for i := range parts {
		parts[i] = make([]int64, len(prefixes)*digits)
	}
	next := shift - digitBits
	c.each(func(part int, values []float64, weights []int64) {
		counts := parts[part]
		for i, v := range values {
			if v != v {
				continue
			}
			k := key(v)
			at := 0
			if shift < 64 {
				var ok bool
				if at, ok = find(prefixes, k>>shift); !ok {
					continue
				}
			}
			counts[at<<digitBits|int(k>>next&(digits-1))] += weights[i]
		}
	})
	for _, other := range parts[1:] {
		for i, n := range other {
			parts[0][i] += n
		}
	}
	out := make([][]int64, len(prefixes))
	for i := range out {
		out[i] = parts[0][i*digits : (i+1)*digits]
	}
	return out
}

// find looks a prefix up. A median asks for one or two, deciles for a dozen.
func find(prefixes []uint64, p uint64) (int, bool) {
	if len(prefixes) <= 4 {
		for i, have := range prefixes {
			if have == p {
				return i, true
			}
		}
		return 0, false
	}
	return slices.BinarySearch(prefixes, p)
}

// gathered are the values under one or more prefixes, sorted: their keys, and how many places all up to each of them take.
type gathered struct {
	keys   []uint64
	places []int64 // nil where each takes one
	shift  int
}

// gather collects the values under the prefixes if there are no more than fewValues of them.
func (c Column) gather(prefixes []uint64, shift int) (gathered, bool) {
	if shift == 64 && c.Len > fewValues {
		return gathered{}, false // without looking: the first digit halves the work of every later pass
	}
	type item struct {
		key    uint64
		weight int64
	}
	parts := make([][]uint64, c.threads())
	heavy := make([][]item, c.threads())
	c.each(func(part int, values []float64, weights []int64) {
		if len(parts[part]) > fewValues || len(heavy[part]) > fewValues {
			return
		}
		for i, v := range values {
			if v != v {
				continue
			}
			k := key(v)
			if shift < 64 {
				if _, ok := find(prefixes, k>>shift); !ok {
					continue
				}
			}
			if c.Weights == nil {
				parts[part] = append(parts[part], k)
			} else {
				heavy[part] = append(heavy[part], item{k, weights[i]})
			}
		}
	})
	g := gathered{keys: parts[0], shift: shift}
	if len(parts) > 1 {
		g.keys = slices.Concat(parts...)
	}
	items := slices.Concat(heavy...)
	if len(g.keys) > fewValues || len(items) > fewValues {
		return gathered{}, false
	}
	slices.Sort(g.keys)
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.key, b.key) })
	var sum int64
	for _, i := range items {
		sum += i.weight
		g.keys, g.places = append(g.keys, i.key), append(g.places, sum)
	}
	return g, true
}

// pick returns the value of a rank among those under its prefix.
func (g gathered) pick(w wanted) float64 {
	from := 0
	if g.shift < 64 {
		from, _ = slices.BinarySearch(g.keys, w.prefix<<g.shift)
	}
	if g.places == nil {
		return fromKey(g.keys[from+int(w.rank)])
	}
	rank := w.rank
	if from > 0 {
		rank += g.places[from-1]
	}
	at, _ := slices.BinarySearch(g.places, rank+1)
	return fromKey(g.keys[at])
}

// threads returns the number of goroutines that are worth their start.
func (c Column) threads() int {
	return max(1, min(c.Threads, c.Len/(4*blockLen)))
}

// buffers are for one goroutine of each.
type buffers struct {
	values  [blockLen]float64
	weights [blockLen]int64
}

var pool = sync.Pool{New: func() any { return new(buffers) }}

// each calls fn with blocks of the column's values and weights, one goroutine for each part of it.
func (c Column) each(fn func(part int, values []float64, weights []int64)) {
	n := c.threads()
	var wait sync.WaitGroup
	for part := range n {
		lo, hi := c.Len*part/n, c.Len*(part+1)/n
		run := func() {
			b := pool.Get().(*buffers)
			defer pool.Put(b)
			for i := range b.weights {
				b.weights[i] = 1
			}
			for at := lo; at < hi; at += blockLen {
				end := min(at+blockLen, hi)
				values, weights := b.values[:end-at], b.weights[:end-at]
				c.Values(at, end, values)
				if c.Weights != nil {
					c.Weights(at, end, weights)
				}
				fn(part, values, weights)
			}
		}
		if part == n-1 {
			run()
		} else {
			wait.Go(run)
		}
	}
	wait.Wait()
}
