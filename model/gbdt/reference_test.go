package gbdt

import (
	"math"
	"slices"
)

// derivative is the first and second derivative of the loss at a row.
type derivative struct{ g, h float64 }

// sums are those of derivatives over rows.
type sums struct {
	g, h float64
	rows int
}

func (s sums) plus(o sums) sums  { return sums{s.g + o.g, s.h + o.h, s.rows + o.rows} }
func (s sums) minus(o sums) sums { return sums{s.g - o.g, s.h - o.h, s.rows - o.rows} }

// referenceNode is a node or leaf of a tree grown the obvious way: every split is tried by going over all rows.
type referenceNode struct {
	rows         []int
	path         []int // the features of the splits above
	lower, upper float64
	l2           float64
	split        referenceSplit
	value        float64 // before the learning rate
	left, right  *referenceNode
}

// referenceSplit is a way to divide a node's rows.
type referenceSplit struct {
	gain        float64
	feature     int
	threshold   float64
	missingLeft bool
	set         []float64 // of a categorical feature
	l2          float64
	left        sums
}

func (s *referenceSplit) goesLeft(v float64) bool {
	if s.set != nil {
		return slices.Contains(s.set, v)
	}
	return v <= s.threshold || v != v && s.missingLeft
}

// reference grows trees on floating-point derivatives, without bins, histograms or subtraction.
type reference struct {
	p           Params
	m           Matrix
	derivatives []derivative
}

// grow returns one tree, grown best gain first.
func (r *reference) grow() *referenceNode {
	root := &referenceNode{lower: math.Inf(-1), upper: math.Inf(1), l2: r.p.L2}
	for i := range r.m.Rows {
		root.rows = append(root.rows, i)
	}
	leaves := []*referenceNode{root}
	r.search(root)
	for len(leaves) < r.p.leaves() {
		best := slices.MaxFunc(leaves, func(a, b *referenceNode) int { return compare(a.split.gain, b.split.gain) })
		if best.split.gain <= 0 {
			break
		}
		r.divide(best)
		leaves[slices.Index(leaves, best)] = best.left
		leaves = append(leaves, best.right)
	}
	return root
}

func (r *reference) divide(n *referenceNode) {
	path := append(slices.Clone(n.path), n.split.feature)
	n.left = &referenceNode{path: path, lower: n.lower, upper: n.upper, l2: n.split.l2}
	n.right = &referenceNode{path: path, lower: n.lower, upper: n.upper, l2: n.split.l2}
	for _, i := range n.rows {
		side := n.right
		if n.split.goesLeft(r.m.Row(i)[n.split.feature]) {
			side = n.left
		}
		side.rows = append(side.rows, i)
	}
	if d := r.p.monotone(n.split.feature); d != 0 {
		a, b := r.best(r.sum(n.left.rows), n.split.l2, n.lower, n.upper), r.best(r.sum(n.right.rows), n.split.l2, n.lower, n.upper)
		if d > 0 {
			n.left.upper, n.right.lower = (a+b)/2, (a+b)/2
		} else {
			n.left.lower, n.right.upper = (a+b)/2, (a+b)/2
		}
	}
	r.search(n.left)
	r.search(n.right)
}

func (r *reference) sum(rows []int) (s sums) {
	for _, i := range rows {
		s = s.plus(sums{r.derivatives[i].g, r.derivatives[i].h, 1})
	}
	return s
}

// best returns the value that lowers the loss most.
func (r *reference) best(s sums, l2, lower, upper float64) float64 {
	g := 0.0
	switch {
	case s.g > r.p.L1:
		g = s.g - r.p.L1
	case s.g < -r.p.L1:
		g = s.g + r.p.L1
	}
	return math.Min(math.Max(-g/(s.h+l2), lower), upper)
}

// term returns twice what a value takes off the loss.
func (r *reference) term(s sums, l2, value float64) float64 {
	return -2 * (s.g*value + (s.h+l2)*value*value/2 + r.p.L1*math.Abs(value))
}

// search finds the node's value and, if it has one, its best split.
func (r *reference) search(n *referenceNode) {
	total := r.sum(n.rows)
	n.value = r.best(total, n.l2, n.lower, n.upper)
	if r.p.MaxDepth > 0 && len(n.path) == r.p.MaxDepth {
		return
	}
	parent := r.term(total, r.p.L2, r.best(total, r.p.L2, n.lower, n.upper))
	for f := range r.m.Width {
		if !r.mayMeet(n.path, f) {
			continue
		}
		try := func(left sums, s referenceSplit) {
			right := total.minus(left)
			if min(left.rows, right.rows) < r.p.MinChildRows || min(left.h, right.h) < r.p.MinChildWeight {
				return
			}
			a, b := r.best(left, s.l2, n.lower, n.upper), r.best(right, s.l2, n.lower, n.upper)
			if d := float64(r.p.monotone(f)); d*a > d*b {
				return
			}
			s.gain = r.term(left, s.l2, a) + r.term(right, s.l2, b) - parent
			// Ties go to the first; sums in another order may differ in their last bits.
			if s.gain > n.split.gain+1e-9*(1+n.split.gain) && s.gain > r.p.MinGain {
				s.feature, s.left = f, left
				n.split = s
			}
		}
		if slices.Contains(r.p.Categorical, f) {
			r.categories(n, f, total, try)
		} else {
			r.numbers(n, f, total, try)
		}
	}
}

// mayMeet reports whether all features of the path and f are in one of the sets that may meet.
func (r *reference) mayMeet(path []int, f int) bool {
	if r.p.Interactions == nil {
		return true
	}
	all := append(slices.Clone(path), f)
	together := func(set []int) bool {
		return !slices.ContainsFunc(all, func(g int) bool { return !slices.Contains(set, g) })
	}
	return slices.ContainsFunc(r.p.Interactions, together) ||
		together([]int{f}) && !slices.ContainsFunc(r.p.Interactions, func(set []int) bool { return slices.Contains(set, f) })
}

// values returns the distinct values of a feature over all rows, ascending, missing ones left out.
func (r *reference) values(f int) []float64 {
	var values []float64
	for i := range r.m.Rows {
		if v := r.m.Row(i)[f]; v == v {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// where returns the sums over the node's rows with such values of f.
func (r *reference) where(n *referenceNode, f int, keep func(v float64) bool) sums {
	var rows []int
	for _, i := range n.rows {
		if keep(r.m.Row(i)[f]) {
			rows = append(rows, i)
		}
	}
	return r.sum(rows)
}

func (r *reference) numbers(n *referenceNode, f int, total sums, try func(sums, referenceSplit)) {
	values := r.values(f)
	missing := r.where(n, f, func(v float64) bool { return v != v })
	for i, v := range values {
		if r.where(n, f, func(x float64) bool { return x == v }).rows == 0 {
			continue
		}
		s := referenceSplit{threshold: math.MaxFloat64, l2: r.p.L2}
		if i+1 < len(values) {
			s.threshold = (v + values[i+1]) / 2
		}
		low := r.where(n, f, func(x float64) bool { return x <= v })
		if missing.rows == 0 {
			s.missingLeft = 2*low.rows >= total.rows
			try(low, s)
			continue
		}
		try(low, s)
		s.missingLeft = true
		try(low.plus(missing), s)
	}
}

func (r *reference) categories(n *referenceNode, f int, total sums, try func(sums, referenceSplit)) {
	values := r.values(f)
	of := func(v float64) sums { return r.where(n, f, func(x float64) bool { return x == v }) }
	if len(values) <= r.p.MaxCatToOneHot {
		for _, v := range values {
			try(of(v), referenceSplit{set: []float64{v}, l2: r.p.L2})
		}
		return
	}
	values = slices.DeleteFunc(values, func(v float64) bool {
		rows := of(v).rows
		return rows == 0 || float64(rows) < r.p.CatSmooth
	})
	ratio := func(v float64) float64 { return of(v).g / (of(v).h + r.p.CatSmooth) }
	slices.SortStableFunc(values, func(a, b float64) int { return compare(ratio(a), ratio(b)) })
	for range 2 {
		var left sums
		group := 0
		for i, v := range values[:min(r.p.MaxCatThreshold, (len(values)+1)/2)] {
			left = left.plus(of(v))
			group += of(v).rows
			if total.rows-left.rows < r.p.MinRowsPerCategory {
				break
			}
			if group < r.p.MinRowsPerCategory || left.rows < r.p.MinChildRows || left.h < r.p.MinChildWeight {
				continue
			}
			group = 0
			try(left, referenceSplit{set: slices.Clone(values[:i+1]), l2: r.p.L2 + r.p.CatL2})
		}
		slices.Reverse(values)
	}
}
