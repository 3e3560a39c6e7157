package measure

import (
	"slices"
	"strconv"
)

// Figures are N repeated measurements of one quantity.
type Figures struct {
	Median, Min, Max float64
	N                int
}

// Summarize returns the median, the mean of the two middle values of an even number. values must not be empty; it is not changed.
func Summarize(values []float64) Figures {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Figures{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1], N: n}
}

// Scale multiplies by a positive factor.
func (f Figures) Scale(by float64) Figures {
	return Figures{f.Median * by, f.Min * by, f.Max * by, f.N}
}

// Inverse turns a time for by units into units per time, and the other way round.
func (f Figures) Inverse(by float64) Figures {
	return Figures{by / f.Median, by / f.Max, by / f.Min, f.N}
}

// Thousands writes a number, rounded to a whole one, with commas.
func Thousands[N int | int64 | uint64 | float64](n N) string {
	s := strconv.FormatFloat(float64(n), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
