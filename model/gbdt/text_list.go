package gbdt

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// field is one of the key=value lines of a tree's block that are read.
type field int

const (
	fieldNumLeaves field = iota
	fieldNumCat
	fieldSplitFeature
	fieldSplitGain
	fieldThreshold
	fieldDecisionType
	fieldLeftChild
	fieldRightChild
	fieldLeafValue
	fieldLeafWeight
	fieldLeafCount
	fieldInternalValue
	fieldInternalWeight
	fieldInternalCount
	fieldCatBoundaries
	fieldCatThreshold
	fieldIsLinear
	fieldShrinkage
	fieldCount
)

var fieldNames = [fieldCount]string{
	"num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child",
	"leaf_value", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count", "cat_boundaries",
	"cat_threshold", "is_linear", "shrinkage",
}

// treeFields are the values of one tree's block.
type treeFields struct {
	values [fieldCount]string
	there  [fieldCount]bool
}

// block reads lines up to a blank one, which it takes. Keys that are not known are skipped.
func (f *treeFields) block(p *textParser) error {
	*f = treeFields{}
	// Writers keep one order, so the next key is looked for from the last one on.
	var guess field
	for {
		text, ok := p.next()
		if !ok || strings.TrimSpace(text) == "" {
			return nil
		}
		key, value, _ := strings.Cut(text, "=")
		for range fieldCount {
			if fieldNames[guess] == key {
				break
			}
			guess = (guess + 1) % fieldCount
		}
		if fieldNames[guess] != key {
			continue
		}
		if f.there[guess] {
			return fmt.Errorf("field %q is there twice", key)
		}
		f.values[guess], f.there[guess] = value, true
	}
}

// listReader reads lists of numbers out of a tree's fields and keeps the first error.
type listReader struct {
	treeFields
	// optional says that a list may be missing, and is zeros then.
	optional bool
	err      error
	room     room
}

// room hands out slices of numbers from few allocations.
type room struct {
	free []float64
}

// take returns n zeros.
func (r *room) take(n int) []float64 {
	const chunk = 2048
	if n > len(r.free) {
		if n > chunk/8 {
			return make([]float64, n)
		}
		r.free = make([]float64, chunk)
	}
	values := r.free[:n:n]
	r.free = r.free[n:]
	return values
}

// start returns the text of a list that may have n numbers, or nothing to read.
func (r *listReader) start(key field, n int) (text string, ok bool) {
	if r.err != nil {
		return "", false
	}
	text = strings.Trim(r.values[key], " ")
	switch {
	case text == "" && (r.optional || n == 0):
		return "", false
	case !r.there[key]:
		r.err = fmt.Errorf("no field %s", fieldNames[key])
		return "", false
	case n == 0 || len(text) < 2*n-1:
		r.err = fmt.Errorf("%s has %d entries, want %d", fieldNames[key], len(strings.Fields(text)), n)
		return "", false
	}
	return text, true
}

// item cuts the next entry, number i of n, from a list. The last one must end it.
func (r *listReader) item(key field, text *string, i, n int) (item string, ok bool) {
	item, rest := *text, ""
	if end := strings.IndexByte(item, ' '); end >= 0 {
		item, rest = item[:end], strings.TrimLeft(item[end+1:], " ")
	}
	if item == "" || (rest != "" && i == n-1) {
		r.err = fmt.Errorf("%s has %d entries, want %d", fieldNames[key], len(strings.Fields(r.values[key])), n)
		return "", false
	}
	*text = rest
	return item, true
}

// floats returns a list of n finite numbers.
func (r *listReader) floats(key field, n int) []float64 {
	text, ok := r.start(key, n)
	if r.err != nil {
		return nil
	}
	values := r.room.take(n)
	if !ok {
		return values
	}
	for i := range values {
		if v, used := scanFloat(text); used > 0 && (used < len(text)) == (i < n-1) {
			values[i], text = v, text[min(used+1, len(text)):]
			continue
		}
		item, ok := r.item(key, &text, i, n)
		if !ok {
			return nil
		}
		v, err := strconv.ParseFloat(item, 64)
		if values[i] = v; err != nil || math.IsInf(v, 0) || v != v {
			r.err = fmt.Errorf("%s: entry %d is %q, want a finite number", fieldNames[key], i, clip(item))
			return nil
		}
	}
	return values
}

// intList returns a list of n whole numbers from low to high.
func intList[E uint8 | int32 | uint32 | int64](r *listReader, key field, n int, low, high int64) []E {
	text, ok := r.start(key, n)
	if r.err != nil {
		return nil
	}
	values := make([]E, n)
	if !ok {
		return values
	}
	for i := range values {
		if v, used := scanInt(text); used > 0 && (used < len(text)) == (i < n-1) && v >= low && v <= high {
			values[i], text = E(v), text[min(used+1, len(text)):]
			continue
		}
		item, ok := r.item(key, &text, i, n)
		if !ok {
			return nil
		}
		v, err := strconv.ParseInt(item, 10, 64)
		if err != nil || v < low || v > high {
			r.err = fmt.Errorf("%s: entry %d is %q, want a whole number from %d to %d", fieldNames[key], i, clip(item), low, high)
			return nil
		}
		values[i] = E(v)
	}
	return values
}

// scanInt reads the whole number that a list begins with, up to a space or the end, and returns how many bytes it took: 0 where
// strconv has to look.
func scanInt(text string) (v int64, used int) {
	const most = 18 // digits that surely have room
	i := 0
	if len(text) > 0 && text[0] == '-' {
		i = 1
	}
	first := i
	for ; i < len(text) && text[i] != ' '; i++ {
		d := text[i] - '0'
		if d > 9 {
			return 0, 0
		}
		v = 10*v + int64(d)
		if i-first >= most {
			return 0, 0
		}
	}
	if i == first {
		return 0, 0
	}
	if first == 1 {
		v = -v
	}
	return v, i
}

// scanFloat reads the number that a list begins with, correctly rounded, up to a space or the end, and returns how many bytes it
// took: 0 where strconv has to look, which is for more than 19 digits, more than 19 of them behind the point, and exponents.
func scanFloat(text string) (v float64, used int) {
	const most = 19 // digits that fit in 64 bits, and the greatest such power of ten
	i := 0
	if len(text) > 0 && text[0] == '-' {
		i = 1
	}
	first, point := i, -1
	var digits uint64
	for ; i < len(text); i++ {
		c := text[i]
		if d := c - '0'; d <= 9 {
			digits = 10*digits + uint64(d)
			continue
		}
		if c == ' ' {
			break
		}
		if c != '.' || point >= 0 {
			return 0, 0
		}
		point = i
	}
	count, behind := i-first, 0
	if point >= 0 {
		count--
		behind = i - point - 1
	}
	// A leading "0." is no digit that counts.
	if count == 0 || count > most+1 || count > most && text[first] != '0' || behind > most {
		return 0, 0
	}
	v = divide(digits, behind)
	if first == 1 {
		v = -v
	}
	return v, i
}

// divide returns digits/10^behind, correctly rounded to even; behind is at most 19. It divides both, shifted to the top of 64
// bits, to at least 63 bits of quotient and a remainder, which together decide the rounding to 53.
func divide(digits uint64, behind int) float64 {
	const exact = 1 << 53
	if behind == 0 && digits <= exact {
		return float64(digits)
	}
	if digits == 0 {
		return 0
	}
	by := tens[behind]
	up, byUp := bits.LeadingZeros64(digits), bits.LeadingZeros64(by)
	digits <<= up
	quotient, rest := bits.Div64(digits>>1, digits<<63, by<<byUp)
	shift := bits.Len64(quotient) - 53
	whole, cut := quotient>>shift, quotient&(1<<shift-1)
	half := uint64(1) << (shift - 1)
	if cut > half || cut == half && (rest != 0 || whole&1 != 0) {
		whole++
	}
	return float64(whole) * math.Float64frombits(uint64(1023+shift-63+byUp-up)<<52)
}

// tens are the powers of ten of 64 bits.
var tens = [...]uint64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

// clip shortens untrusted text for an error message.
func clip(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
