package gbdt

import (
	"math"
	"sync"
)

// scorer holds the trees as it is fastest to walk them.
//
// A row is first laid out as slots: one for each feature and way in which the trees use it, so that a step down a tree is one
// comparison without a case for missing values. A missing value becomes -Inf in the slot of those nodes that send it left and +Inf
// in that of those that send it right, and a category becomes 0 in the slot of each set it belongs to and 1 in that of others. A step has no branch
// that depends on data, leaves step onto themselves, and eight trees are walked at once, so that the processor can overlap
// their loads. The leaf values are still added in the order of the trees.
type scorer struct {
	nodes []scoreNode
	// values has one entry for each node, the value of a leaf and 0 for others.
	values []float64
	// roots and depths hold the first node of each tree and the length of its longest path.
	roots  []int32
	depths []int32
	slots  []slot
	// plain is the number of slots, the first ones, of kind slotNumber. Up to small are those of kind slotSmallSet, each feature's
	// in a row.
	plain, small int
	sets         [][]uint32
	// wide makes the scorer of eight rows at once, when first asked for, and returns nil if it takes no such trees.
	wide func() *wideScorer
}

// scoreNode is a node of 16 bytes whose children are neighbours: the left one is left, taken if the slot is ≤ threshold, and the
// right one left+1. A leaf is its own left child at threshold +Inf.
type scoreNode struct {
	threshold float64
	left      int32
	slot      int32
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

// treesAtOnce is how many trees are walked together.
const treesAtOnce = 8

func newScorer(trees []tree) *scorer {
	b := scorerBuilder{slotOf: map[slot]int32{}, setOf: map[string]int32{}}
	splits := 0
	for i := range trees {
		splits += len(trees[i].feature)
	}
	b.slotAt = make([]int32, 0, splits)
	for i := range trees {
		b.collect(&trees[i])
	}
	b.order()
	nodes := 2*splits + len(trees)
	b.nodes, b.values = make([]scoreNode, 0, nodes), make([]float64, 0, nodes)
	for i := range trees {
		b.add(&trees[i])
	}
	s := &b.scorer
	s.wide = sync.OnceValue(func() *wideScorer { return newWideScorer(s) })
	return s
}

// isLeaf reports whether a node is a leaf.
func (s *scorer) isLeaf(at int32) bool { return s.nodes[at].left == at }

// margin returns the sum over the trees. Where a row has so many slots that laying it out would cost more than walking the
// plain trees, it does that.
func (s *scorer) margin(trees []tree, x []float64) float64 {
	const few, most = 64, 256
	switch {
	case len(s.slots) <= few:
		var room [few]float64
		row := room[:len(s.slots)]
		s.layOut(x, row)
		return s.sum(0, 0, len(s.roots), row)
	case len(s.slots) <= most && len(s.slots) <= 8*len(trees):
		var room [most]float64
		row := room[:len(s.slots)]
		s.layOut(x, row)
		return s.sum(0, 0, len(s.roots), row)
	}
	return plainMargin(trees, x)
}

// plainMargin sums the values of the leaves that the row falls into.
func plainMargin(trees []tree, x []float64) float64 {
	var sum float64
	for i := range trees {
		sum += trees[i].leafValue[trees[i].leaf(x)]
	}
	return sum
}

// margins is margin for many rows. A block of rows is laid out at once and walked by blocks of trees whose nodes stay in the cache.
func (s *scorer) margins(trees []tree, x, dst []float64) {
	const (
		blockRows  = 64
		blockTrees = 8 * treesAtOnce
	)
	if len(dst) == 0 {
		return
	}
	width := len(x) / len(dst)
	if len(dst) >= wideRows {
		if wide := s.wide(); wide != nil {
			done := wide.margins(s, x, dst, width)
			x, dst = x[done*width:], dst[done:]
		}
	}
	if len(s.slots) > 64*len(trees) {
		for i := range dst {
			dst[i] = plainMargin(trees, x[i*width:(i+1)*width])
		}
		return
	}
	slots := len(s.slots)
	room := make([]float64, min(blockRows, len(dst))*slots)
	for low := 0; low < len(dst); low += blockRows {
		out := dst[low:min(low+blockRows, len(dst))]
		for i := range out {
			s.layOut(x[(low+i)*width:(low+i+1)*width], room[i*slots:(i+1)*slots])
		}
		clear(out)
		for first := 0; first < len(s.roots); first += blockTrees {
			end := min(first+blockTrees, len(s.roots))
			for i := range out {
				out[i] = s.sum(out[i], first, end, room[i*slots:(i+1)*slots])
			}
		}
	}
}

// layOut fills a row's slots.
func (s *scorer) layOut(x, row []float64) {
	slots := s.slots[:len(row)]
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
func (s *scorer) sum(sum float64, first, end int, row []float64) float64 {
	nodes, values := s.nodes, s.values
	k := first
	for ; k+treesAtOnce <= end; k += treesAtOnce {
		at := s.roots[k : k+treesAtOnce : k+treesAtOnce]
		a, b, c, d, e, f, g, h := at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]
		for range s.groupDepth(k) {
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

// groupDepth returns the greatest depth of the trees that are walked with tree k.
func (s *scorer) groupDepth(k int) int32 {
	var depth int32
	for _, d := range s.depths[k : k+treesAtOnce] {
		depth = max(depth, d)
	}
	return depth
}

// step returns the child of a node that a laid-out row goes to. The compiler makes no branch of it.
func step(nodes []scoreNode, row []float64, at int32) int32 {
	node := &nodes[at]
	var right int32
	if row[node.slot] > node.threshold {
		right = 1
	}
	return node.left + right
}
