package gbdt

import (
	"math"
	"slices"
)

// scorer holds some trees as it is fastest to walk them.
//
// A row is first laid out as slots: one for each feature and way in which the trees use it, so that a step down a tree is one
// comparison without a case for missing values. A missing value becomes -Inf in the slot of those nodes that send it left and +Inf
// in that of those that send it right, and a category becomes 0 in the slot of each set it belongs to and 1 in that of others. A step has no branch
// that depends on data, leaves step onto themselves, and eight trees are walked at once, so that the processor can overlap
// their loads. The leaf values are still added in the order of the trees.
//
// There are at most 256 slots, so that a slot's number is a byte and needs no check; an ensemble with more has several scorers.
type scorer struct {
	trees []tree
	// nodes is empty where a single tree has too many slots: it is walked as it is.
	nodes []scoreNode
	// values has one entry for each node, the value of a leaf and 0 for others.
	values []float64
	// roots holds the first node of each tree, depths the length of its longest path.
	roots  []uint32
	depths []int32
	slots  []slot
	// plain is the number of slots, the first ones, of kind slotNumber. Up to small are those of kind slotSmallSet, each feature's
	// in a row.
	plain, small int
	sets         [][]uint32
	// wide makes the scorer of eight rows at once, when first asked for, and returns nil if it takes no such trees.
	wide func() *wideScorer
}

const (
	// treesAtOnce is how many trees are walked together by one row, walkersAtOnce how many rows walk one tree together.
	treesAtOnce   = 8
	walkersAtOnce = 8
	// maxSlots is the number of slots of a scorer.
	maxSlots = 256
)

// laidOut is a row in slots.
type laidOut [maxSlots]float64

// scoreNode is a node of 16 bytes whose children are neighbours: the left one is left, taken if the slot is ≤ threshold, and the
// right one left+1. A leaf is its own left child at threshold +Inf.
type scoreNode struct {
	threshold float64
	left      uint32
	slot      uint8
}

// slotKind is a way to lay a feature's value out.
type slotKind uint8

const (
	slotNumber slotKind = iota
	slotSmallSet
	slotZeroMissing
	slotSet
)

// slot says what a place of a laid-out row holds.
type slot struct {
	feature int32
	// set is an index into scorer.sets for slotSet.
	set  int32
	kind slotKind
	// missing is laid out for a missing value: -Inf to go left, +Inf to go right.
	missing float64
	// mask says of each code of a value, for slotSmallSet, whether it goes left.
	mask uint64
}

// codeOther and codeMissing are the codes of values that are in no small set, and of missing ones; that of a category less than
// codeOther is itself.
const (
	codeOther   = 62
	codeMissing = 63
)

// code returns the code of a value.
func code(v float64) uint64 {
	if v > -1 && v < codeOther {
		return uint64(int64(v))
	}
	if v != v {
		return codeMissing
	}
	return codeOther
}

// side returns 0 if a code goes left by a small set's slot and 1 if it goes right.
func (s *slot) side(code uint64) uint64 {
	return ^s.mask >> (code & 63) & 1
}

// isLeaf reports whether a node is a leaf.
func (s *scorer) isLeaf(at uint32) bool { return s.nodes[at].left == at }

// add returns sum plus the trees' values for a row, added one after the other. Where laying the row out would cost more than
// walking the plain trees, it does that.
func (s *scorer) add(sum float64, x []float64) float64 {
	const most = 8 // slots for each tree
	if len(s.nodes) == 0 || len(s.slots) > most*len(s.trees) {
		return addPlain(sum, s.trees, x)
	}
	var row laidOut
	s.layOut(x, &row)
	return s.sum(sum, 0, len(s.roots), &row)
}

// addPlain adds the values of the leaves that the row falls into.
func addPlain(sum float64, trees []tree, x []float64) float64 {
	for i := range trees {
		sum += trees[i].leafValue[trees[i].leaf(x)]
	}
	return sum
}

// addAll is add for many rows. A block of rows is laid out at once and walked by blocks of trees whose nodes stay in the cache.
func (s *scorer) addAll(x, dst []float64, width int) {
	const (
		blockRows  = 16
		blockTrees = 8 * treesAtOnce
		most       = 64 // slots for each tree
	)
	if len(s.nodes) == 0 || len(s.slots) > most*len(s.trees) {
		for i := range dst {
			dst[i] = addPlain(dst[i], s.trees, x[i*width:(i+1)*width])
		}
		return
	}
	if len(dst) >= wideRows {
		if wide := s.wide(); wide != nil {
			done := wide.addAll(s, x, dst, width)
			x, dst = x[done*width:], dst[done:]
		}
	}
	var rows [blockRows]laidOut
	for len(dst) > 0 {
		n := min(blockRows, len(dst))
		for i := range n {
			s.layOut(x[i*width:(i+1)*width], &rows[i])
		}
		for first := 0; first < len(s.roots); first += blockTrees {
			end := min(first+blockTrees, len(s.roots))
			done := 0
			for ; done+walkersAtOnce <= n; done += walkersAtOnce {
				s.sumRows((*[walkersAtOnce]float64)(dst[done:]), first, end, (*[walkersAtOnce]laidOut)(rows[done:]))
			}
			for i := done; i < n; i++ {
				dst[i] = s.sum(dst[i], first, end, &rows[i])
			}
		}
		x, dst = x[n*width:], dst[n:]
	}
}

// layOut fills a row's slots.
func (s *scorer) layOut(x []float64, row *laidOut) {
	slots := s.slots[:min(len(s.slots), maxSlots)]
	for i := range slots[:s.plain] {
		// This is v = missing if v is NaN, without a branch, as missing values are hard to foretell.
		v := x[slots[i].feature]
		var isNaN uint64
		if v != v {
			isNaN = 1
		}
		bits := math.Float64bits(v)
		row[i] = math.Float64frombits(bits ^ (bits^math.Float64bits(slots[i].missing))&-isNaN)
	}
	of, c := int32(-1), uint64(0)
	for i := s.plain; i < s.small; i++ {
		if slots[i].feature != of {
			of = slots[i].feature
			c = code(x[of])
		}
		row[i] = float64(int64(slots[i].side(c)))
	}
	for i := s.small; i < len(slots); i++ {
		row[i] = s.special(&slots[i], x[slots[i].feature])
	}
}

// special returns what stands for a value in a slot of kind slotZeroMissing or slotSet.
func (s *scorer) special(at *slot, v float64) float64 {
	switch {
	case v != v:
		return at.missing
	case at.kind == slotZeroMissing:
		if v >= -zeroThreshold && v <= zeroThreshold {
			return at.missing
		}
		return v
	case inSet(s.sets[at.set], v):
		return 0
	}
	return 1
}

// sum returns sum plus the values, added one after the other, of the leaves that a laid-out row falls into in the trees from
// first to end.
func (s *scorer) sum(sum float64, first, end int, row *laidOut) float64 {
	nodes, values := s.nodes, s.values
	k := first
	for ; k+treesAtOnce <= end; k += treesAtOnce {
		at := s.roots[k : k+treesAtOnce : k+treesAtOnce]
		a, b, c, d, e, f, g, h := at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]
		for range slices.Max(s.depths[k : k+treesAtOnce]) {
			a = step(nodes, row, a)
			b = step(nodes, row, b)
			c = step(nodes, row, c)
			d = step(nodes, row, d)
			e = step(nodes, row, e)
			f = step(nodes, row, f)
			g = step(nodes, row, g)
			h = step(nodes, row, h)
		}
		sum += values[a]
		sum += values[b]
		sum += values[c]
		sum += values[d]
		sum += values[e]
		sum += values[f]
		sum += values[g]
		sum += values[h]
	}
	for ; k < end; k++ {
		at := s.roots[k]
		for range s.depths[k] {
			at = step(nodes, row, at)
		}
		sum += values[at]
	}
	return sum
}

// sumRows is sum for eight rows, which walk one tree at once: each tree as many steps as it is deep, where eight trees at once take as many as the
// deepest of them.
func (s *scorer) sumRows(sums *[walkersAtOnce]float64, first, end int, rows *[walkersAtOnce]laidOut) {
	nodes, values := s.nodes, s.values
	for k := first; k < end; k++ {
		root := s.roots[k]
		a, b, c, d, e, f, g, h := root, root, root, root, root, root, root, root
		for range s.depths[k] {
			a = step(nodes, &rows[0], a)
			b = step(nodes, &rows[1], b)
			c = step(nodes, &rows[2], c)
			d = step(nodes, &rows[3], d)
			e = step(nodes, &rows[4], e)
			f = step(nodes, &rows[5], f)
			g = step(nodes, &rows[6], g)
			h = step(nodes, &rows[7], h)
		}
		sums[0] += values[a]
		sums[1] += values[b]
		sums[2] += values[c]
		sums[3] += values[d]
		sums[4] += values[e]
		sums[5] += values[f]
		sums[6] += values[g]
		sums[7] += values[h]
	}
}

// step returns the child of a node that a laid-out row goes to. The compiler makes no branch of it.
func step(nodes []scoreNode, row *laidOut, at uint32) uint32 {
	node := &nodes[at]
	var right uint32
	if row[node.slot] > node.threshold {
		right = 1
	}
	return node.left + right
}
