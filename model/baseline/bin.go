package baseline

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Bins returns the number of bins, missing and unseen among them.
func (r *Reference) Bins() int { return len(r.Counts) }

// BinNumeric returns the bin of a number: i where Edges[i-1] < v <= Edges[i], an infinity in the outer bins, NaN in the missing bin. It
// allocates nothing. On a categorical reference it panics: that is a mistake in the caller's code.
func (r *Reference) BinNumeric(v float64) int {
	if r.Kind == Categorical {
		panic(fmt.Sprintf("baseline: number for categorical column %q", r.Column))
	}
	if v != v {
		return len(r.Edges) + 1
	}
	lo, hi := 0, len(r.Edges) // the first edge that is not below v
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if r.Edges[mid] < v {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// BinCategory returns the bin of a text: its level's, the missing bin for "", the unseen bin for anything else. It allocates nothing.
// On a reference that is not categorical it panics: that is a mistake in the caller's code.
func (r *Reference) BinCategory(v string) int {
	if r.Kind != Categorical {
		panic(fmt.Sprintf("baseline: text for %s column %q", r.Kind, r.Column))
	}
	if v == "" {
		return len(r.Levels) + 1
	}
	if i, ok := slices.BinarySearch(r.Levels, v); ok {
		return i
	}
	return len(r.Levels)
}

// BinLabel returns a bin's name for people, such as "(20.05, 35.6]", "missing", "unseen" or "Two year". Edges are shortened to six
// digits where that keeps them apart. A level that is itself called missing or unseen is put in quotes. It panics where i is not a bin.
func (r *Reference) BinLabel(i int) string {
	if i < 0 || i >= len(r.Counts) {
		panic(fmt.Sprintf("baseline: bin %d of %d in column %q", i, len(r.Counts), r.Column))
	}
	if i == len(r.Counts)-1 {
		return "missing"
	}
	if r.Kind == Categorical {
		if i == len(r.Levels) {
			return "unseen"
		}
		if l := r.Levels[i]; l != "missing" && l != "unseen" {
			return l
		}
		return strconv.Quote(r.Levels[i])
	}
	lower, upper := "(-inf", "inf)"
	if i > 0 {
		lower = "(" + r.edgeText(i-1)
	}
	if i < len(r.Edges) {
		upper = r.edgeText(i) + "]"
	}
	return lower + ", " + upper
}

// edgeText shortens edge i unless a neighbour would read the same.
func (r *Reference) edgeText(i int) string {
	text := shorten(r.Edges[i])
	if i > 0 && shorten(r.Edges[i-1]) == text || i+1 < len(r.Edges) && shorten(r.Edges[i+1]) == text {
		return plain(r.Edges[i])
	}
	return text
}

// shorten rounds to six significant digits.
func shorten(v float64) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	if err != nil { // rounding up the greatest floats overflows
		rounded = v
	}
	return plain(rounded)
}

// plain writes v in full, without an exponent below 1e15.
func plain(v float64) string {
	if a := math.Abs(v); a >= 1e-4 && a < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// Counter counts a window of values over a reference's bins. Add and Remove take constant time and allocate nothing. It is not safe
// for concurrent use. NewCounter makes one; the zero value has no bins.
type Counter struct {
	counts []int64
	n      int64
}

// NewCounter returns an empty counter for this reference's bins.
func (r *Reference) NewCounter() *Counter {
	return &Counter{counts: make([]int64, r.Bins())}
}

// Add counts one value that fell into the bin. It panics where that is not a bin.
func (c *Counter) Add(bin int) {
	c.counts[bin]++
	c.n++
}

// Remove takes back one earlier Add of the bin. It panics where there is none to take back: the window's owner has lost count.
func (c *Counter) Remove(bin int) {
	if c.counts[bin] == 0 {
		panic(fmt.Sprintf("baseline: remove from empty bin %d", bin))
	}
	c.counts[bin]--
	c.n--
}

// N returns how many values are counted.
func (c *Counter) N() int64 { return c.n }

// Counts returns a copy of the counts, one per bin.
func (c *Counter) Counts() []int64 { return slices.Clone(c.counts) }
