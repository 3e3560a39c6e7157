package gbdt

import "math"

// split is a way to divide a leaf's rows. Of a number, bins up to bin go left, missing values to the left if missingLeft; of a
// category, the bins in set go left. left holds the sums of the left side. A gain of zero stands for no split.
type split struct {
	gain        float64
	feature     int
	bin         int
	missingLeft bool
	set         []int32
	// l2 is what the children's values are computed with.
	l2   float64
	left cell
}

// negligible is the share of the children's terms that a gain must exceed: less is the rounding of the derivatives, as between
// children with the same mean.
const negligible = 1e-10

// bounds are what the values of a leaf, before the learning rate, must lie between for the monotone constraints on its path.
type bounds struct{ lower, upper float64 }

func unbounded() bounds { return bounds{math.Inf(-1), math.Inf(1)} }

func (b bounds) free() bool { return math.IsInf(b.lower, -1) && math.IsInf(b.upper, 1) }

// search looks for the best split of one leaf.
type search struct {
	params *Params
	unit   scale
	total  cell
	bounds bounds
	// minSecond is the least number of units of second derivatives in a child.
	minSecond int64
	// plain says that a leaf's term is g²/(h+l2), with neither L1 nor bounds.
	plain bool
	// parent is the leaf's own term.
	parent float64
}

func newSearch(p *Params, unit scale, total cell, within bounds) search {
	s := search{params: p, unit: unit, total: total, bounds: within, plain: p.L1 == 0 && within.free()}
	s.minSecond = int64(min(math.Ceil(p.MinChildWeight/unit.h), 1<<62))
	s.parent, _ = s.term(total, p.L2)
	return s
}

// best is the value, within the bounds, that lowers a leaf's loss most: -T(g)/(h+l2), where T takes L1 from the magnitude of g; and twice the loss
// that it takes off, which without bounds is T(g)²/(h+l2). h+l2 must be positive, else both are 0.
func (p *Params) best(g, h, l2 float64, within bounds) (value, term float64) {
	h += l2
	if !(h > 0) {
		return 0, 0
	}
	t := math.Copysign(max(math.Abs(g)-p.L1, 0), g)
	value = -t / h
	if value >= within.lower && value <= within.upper {
		return value, float64(t*t) / h
	}
	value = min(max(value, within.lower), within.upper)
	return value, -(float64(float64(2*g)*value) + float64(h*float64(value*value)) + float64(2*float64(p.L1*math.Abs(value))))
}

// term returns the term of the sums and the value that it comes from.
func (s *search) term(c cell, l2 float64) (term, value float64) {
	value, term = s.params.best(float64(float64(c.g)*s.unit.g), float64(float64(c.h)*s.unit.h), l2, s.bounds)
	return term, value
}

// allowed reports whether a child may have such sums.
func (s *search) allowed(c cell, l2 float64) bool {
	return c.rows >= int64(s.params.MinChildRows) && c.h >= s.minSecond && (c.h > 0 || l2 > 0)
}

// gain returns the gain of a split with the given left side, or 0 if it is not allowed or not worth making. direction is the
// monotone constraint of its column.
func (s *search) gain(left cell, l2 float64, direction int8) float64 {
	right := s.total.minus(left)
	if !s.allowed(left, l2) || !s.allowed(right, l2) {
		return 0
	}
	leftTerm, leftValue := s.term(left, l2)
	rightTerm, rightValue := s.term(right, l2)
	if direction > 0 && leftValue > rightValue || direction < 0 && leftValue < rightValue {
		return 0
	}
	gain := leftTerm + rightTerm - s.parent
	if gain > s.params.MinGain && gain > float64(negligible*(math.Abs(leftTerm)+math.Abs(rightTerm))) {
		return gain
	}
	return 0
}

// numeric returns the split of a column of numbers with the greatest gain; of equal ones the first by bin, missing values going right
// before left. Where the leaf has missing values in the column, one more split sets them apart from all others.
func (s *search) numeric(cells []cell, direction int8) split {
	if s.plain && direction == 0 {
		return s.numericPlain(cells)
	}
	last := len(cells) - 1
	missing := cells[last]
	best := split{l2: s.params.L2}
	try := func(left cell, bin int, missingLeft bool) {
		if gain := s.gain(left, s.params.L2, direction); gain > best.gain {
			best.gain, best.bin, best.missingLeft, best.left = gain, bin, missingLeft, left
		}
	}
	var left cell
	for bin, c := range cells[:last] {
		if c.rows == 0 {
			continue
		}
		left.add(c)
		if missing.rows == 0 {
			if left.rows == s.total.rows {
				break
			}
			try(left, bin, 2*left.rows >= s.total.rows)
			continue
		}
		try(left, bin, false)
		if left.rows+missing.rows < s.total.rows {
			with := left
			with.add(missing)
			try(with, bin, true)
		}
	}
	return best
}

// numericPlain is numeric without L1 and constraints: the same splits, found faster.
func (s *search) numericPlain(cells []cell) split {
	last := len(cells) - 1
	missing := cells[last]
	best := split{l2: s.params.L2}
	minRows, minSecond := int64(s.params.MinChildRows), s.minSecond
	if s.params.L2 == 0 {
		minSecond = max(minSecond, 1)
	}
	total, unit, l2, parent := s.total, s.unit, s.params.L2, s.parent
	least := s.params.MinGain
	var left cell
	for bin := range cells[:last] {
		c := &cells[bin]
		if c.rows == 0 {
			continue
		}
		left.g += c.g
		left.h += c.h
		left.rows += c.rows
		tried := left
		for side := 0; ; side++ {
			right := cell{g: total.g - tried.g, h: total.h - tried.h, rows: total.rows - tried.rows}
			if tried.rows >= minRows && right.rows >= minRows && tried.h >= minSecond && right.h >= minSecond {
				leftG, leftH := float64(float64(tried.g)*unit.g), float64(float64(tried.h)*unit.h)+l2
				rightG, rightH := float64(float64(right.g)*unit.g), float64(float64(right.h)*unit.h)+l2
				terms := float64(leftG*leftG)/leftH + float64(rightG*rightG)/rightH
				gain := terms - parent
				if gain > best.gain && gain > least && gain > float64(negligible*terms) {
					best.gain, best.bin, best.left, best.missingLeft = gain, bin, tried, side == 1
				}
			}
			if side == 1 || missing.rows == 0 {
				break
			}
			tried.add(missing)
		}
	}
	if missing.rows == 0 {
		best.missingLeft = 2*best.left.rows >= total.rows
	}
	return best
}
