package baseline

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"

	"telco-churn-mlops/model/quantile"
)

// FitNumeric takes a column's bins and counts from the values of the reference rows. NaN is a missing value and is counted in its bin.
//
// The inner edges are the quantiles i/bins, i = 1 .. bins-1, of the values present, type 7 of Hyndman and Fan (linear interpolation at
// (n-1)p; the default of R and NumPy). Equal edges are merged, and an edge equal to the greatest value is merged with the open end, so
// fewer than bins bins may be left and each held at least one reference row. Two cases are special: with every value missing there is
// one open bin; and where all values present are one value v, there are three bins, below v, v and above, so that a move in either
// direction shows.
//
// Errors: no column name, no values, an infinite value (its row, from 0, is named), fewer than 2 bins.
func FitNumeric(column string, values []float64, bins int) (Reference, error) {
	return fitNumbers(column, Numeric, values, bins)
}

// FitScore takes the bins of a model's scores, as FitNumeric does, under the name ScoreColumn. A score is never missing: one that is
// NaN or outside [0, 1] is an error that names its row, from 0.
func FitScore(values []float64, bins int) (Reference, error) {
	for i, v := range values {
		if !(v >= 0 && v <= 1) {
			return Reference{}, fmt.Errorf("fit %q: row %d: score %v is outside [0, 1]", ScoreColumn, i, v)
		}
	}
	return fitNumbers(ScoreColumn, Score, values, bins)
}

func fitNumbers(column string, kind Kind, values []float64, bins int) (Reference, error) {
	if column == "" {
		return Reference{}, errors.New("fit reference without a column name")
	}
	if len(values) == 0 {
		return Reference{}, fmt.Errorf("fit %q: no values", column)
	}
	if bins < 2 {
		return Reference{}, fmt.Errorf("fit %q: %d bins, at least 2 are needed", column, bins)
	}
	for i, v := range values {
		if math.IsInf(v, 0) {
			return Reference{}, fmt.Errorf("fit %q: row %d: value %v is infinite", column, i, v)
		}
	}
	edges := quantileEdges(values, bins)
	r := Reference{Column: column, Kind: kind, Edges: edges, Counts: make([]int64, len(edges)+2), Total: int64(len(values))}
	for _, v := range values {
		r.Counts[r.BinNumeric(v)]++
	}
	return r, nil
}

// quantileEdges returns the inner edges for values of which NaN are missing, see FitNumeric. Quantiles are exact and found by counting.
func quantileEdges(values []float64, bins int) []float64 {
	column := quantile.Column{
		Len: len(values), Threads: runtime.GOMAXPROCS(0),
		Values: func(lo, hi int, dst []float64) { copy(dst, values[lo:hi]) },
	}
	s := quantile.Summarize(column)
	switch {
	case s.Present == 0:
		return nil
	case s.Min == s.Max:
		if below := math.Nextafter(s.Max, math.Inf(-1)); !math.IsInf(below, 0) {
			return []float64{below, s.Max}
		}
		return []float64{s.Max}
	}
	var ranks []int64 // of the two values that each quantile lies between
	for i := 1; i < bins; i++ {
		lo, _ := position(s.Present, i, bins)
		ranks = append(ranks, lo, min(lo+1, int64(s.Present)-1))
	}
	found := quantile.Select(column, ranks)
	var edges []float64
	for i := 1; i < bins; i++ {
		_, fraction := position(s.Present, i, bins)
		e := between(found[2*i-2], found[2*i-1], fraction)
		if e >= s.Max {
			break
		}
		if len(edges) == 0 || e > edges[len(edges)-1] {
			edges = append(edges, e)
		}
	}
	return edges
}

// position returns where the type-7 quantile i/k of n values lies, 0 <= i <= k: at or behind the value of a rank, by a fraction of the
// way to the next. Both come from whole numbers, so that no rounding of i/k moves a quantile off the value it falls on.
func position(n, i, k int) (rank int64, fraction float64) {
	at := int64(n-1) * int64(i)
	return at / int64(k), float64(at%int64(k)) / float64(k)
}

func between(a, b, fraction float64) float64 {
	if a == b || fraction == 0 {
		return a
	}
	if d := b - a; !math.IsInf(d, 0) {
		return a + float64(d*fraction)
	}
	return float64(a*(1-fraction)) + float64(b*fraction)
}

// FitCategorical takes a column's levels and counts from the values of the reference rows; "" is a missing value and is counted in
// its bin. Of more than maxLevels levels the most frequent keep a bin, of equal frequency the first by byte order; the rows of the
// rest are counted as unseen, where a later window's rows of those levels fall too, so folding alone moves nothing.
//
// Errors: no column name, no values, maxLevels below 1.
func FitCategorical(column string, values []string, maxLevels int) (Reference, error) {
	if column == "" {
		return Reference{}, errors.New("fit reference without a column name")
	}
	if len(values) == 0 {
		return Reference{}, fmt.Errorf("fit %q: no values", column)
	}
	if maxLevels < 1 {
		return Reference{}, fmt.Errorf("fit %q: at most %d levels, at least 1 is needed", column, maxLevels)
	}
	counts := make(map[string]int64)
	for _, v := range values {
		if v != "" {
			counts[v]++
		}
	}
	levels := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	levels = slices.Clip(levels[:min(len(levels), maxLevels)])
	slices.Sort(levels)
	r := Reference{Column: column, Kind: Categorical, Levels: levels, Counts: make([]int64, len(levels)+2), Total: int64(len(values))}
	for _, v := range values {
		r.Counts[r.BinCategory(v)]++
	}
	return r, nil
}
