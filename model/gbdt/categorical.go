package gbdt

import "slices"

// categorical returns the split of a column of categories with the greatest gain, by LightGBM's rules. Up to MaxCatToOneHot
// categories, each is tried alone on the left side, in the order of codes. Else those with at least CatSmooth rows are put in the order of
// g/(h+CatSmooth), equal ones by code, and sets of up to MaxCatThreshold of them, and of at most half of them rounded up, are
// tried from either end, the low one first; a set is tried only once MinRowsPerCategory rows have come in since the last, and its
// complement has as many. Of equal gains the first is taken. Missing values and codes without a bin are never in the set.
func (s *search) categorical(cells []cell, scratch *[]int32) split {
	bins := len(cells) - 1
	if bins <= s.params.MaxCatToOneHot {
		best := split{l2: s.params.L2}
		at := -1
		for bin, c := range cells[:bins] {
			if gain := s.gain(c, best.l2, 0); gain > best.gain {
				best.gain, best.left = gain, c
				at = bin
			}
		}
		if at >= 0 {
			best.set = []int32{int32(at)}
		}
		return best
	}
	order := s.order(cells[:bins], (*scratch)[:0])
	*scratch = order
	best := split{l2: s.params.L2 + s.params.CatL2}
	limit := min(s.params.MaxCatThreshold, (len(order)+1)/2)
	count, fromTop := 0, false
	for _, top := range []bool{false, true} {
		var left cell
		var group int64
		for i := range limit {
			c := cells[order[i]]
			if top {
				c = cells[order[len(order)-1-i]]
			}
			left.add(c)
			group += c.rows
			if s.total.rows-left.rows < int64(s.params.MinRowsPerCategory) {
				break
			}
			if group < int64(s.params.MinRowsPerCategory) || !s.allowed(left, best.l2) {
				continue
			}
			group = 0
			if gain := s.gain(left, best.l2, 0); gain > best.gain {
				best.gain, best.left = gain, left
				count, fromTop = i+1, top
			}
		}
	}
	if count > 0 {
		if fromTop {
			order = order[len(order)-count:]
		} else {
			order = order[:count]
		}
		best.set = slices.Clone(order)
		slices.Sort(best.set)
	}
	return best
}

// order appends to dst the categories that take part in sets, by their ratio of derivatives.
func (s *search) order(cells []cell, dst []int32) []int32 {
	for bin, c := range cells {
		if c.rows > 0 && float64(c.rows) >= s.params.CatSmooth {
			dst = append(dst, int32(bin))
		}
	}
	ratio := func(bin int32) float64 {
		h := float64(float64(cells[bin].h)*s.unit.h) + s.params.CatSmooth
		if h == 0 {
			return 0
		}
		return float64(float64(cells[bin].g)*s.unit.g) / h
	}
	slices.SortFunc(dst, func(a, b int32) int {
		if by := compare(ratio(a), ratio(b)); by != 0 {
			return by
		}
		return int(a - b)
	})
	return dst
}

// addSet appends the set of a categorical node and returns its number, which is the node's threshold.
func (t *tree) addSet(codes []int32) float64 {
	if t.catBounds == nil {
		t.catBounds = []int32{0}
	}
	k := len(t.catBounds) - 1
	words := make([]uint32, codes[len(codes)-1]/32+1)
	for _, c := range codes {
		words[c/32] |= 1 << (c % 32)
	}
	t.catWords = append(t.catWords, words...)
	t.catBounds = append(t.catBounds, int32(len(t.catWords)))
	return float64(k)
}
