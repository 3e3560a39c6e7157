package gbdt

import (
	"math"
	"math/bits"
	"slices"
)

// Alternative is another way to score than that of the package. All give the same bits.
type Alternative struct {
	Name string
	// One returns the margin of a row; nil where the way is one for many rows, or takes no such trees.
	One func(x []float64) float64
	// Many sets the margins of rows one after the other in x; nil where the way is one for a single row.
	Many func(x, dst []float64)
}

// Alternatives returns the ways that were measured beside the package's own. The ensemble must have a single scorer.
func Alternatives(e *Ensemble) []Alternative {
	s := e.scorers[0]
	width := e.Width()
	laid := func(sum func(row *laidOut) float64) func([]float64) float64 {
		return func(x []float64) float64 {
			var row laidOut
			s.layOut(x, &row)
			return sum(&row)
		}
	}
	ways := []Alternative{
		{Name: "parallel arrays, branches", One: func(x []float64) float64 { return addPlain(0, e.trees, x) }},
		{Name: "nodes of 24 bytes, branches", One: newBranching(e.trees).sum},
		{Name: "slots, 1 tree at once", One: laid(func(row *laidOut) float64 { return sumSingly(s, row) })},
		{Name: "slots, 4 trees at once", One: laid(func(row *laidOut) float64 { return sumFours(s, row) })},
		{Name: "slots, bit vectors", One: laid(newVectors(s).sum)},
		{Name: "row by row", Many: func(x, dst []float64) {
			for i := range dst {
				dst[i] = e.Margin(x[i*width : (i+1)*width])
			}
		}},
		{Name: "tree by tree over all rows", Many: func(x, dst []float64) {
			clear(dst)
			for t := range e.trees {
				for i := range dst {
					dst[i] += e.trees[t].leafValue[e.trees[t].leaf(x[i*width:(i+1)*width])]
				}
			}
		}},
		{Name: "slots, 8 trees at once", Many: func(x, dst []float64) { sumBlocks(s, x, dst, width) }},
		{Name: "slots, 8 rows at once", Many: func(x, dst []float64) {
			clear(dst)
			narrow := *s
			narrow.wide = func() *wideScorer { return nil }
			narrow.addAll(x, dst, width)
		}},
	}
	if full := newFull(s); full != nil {
		ways = append(ways, Alternative{Name: "slots, full trees without links", One: laid(full.sum)})
	}
	return ways
}

// branching walks nodes that hold all that a step needs.
type branching struct {
	nodes  []branchingNode
	roots  []int32
	values []float64
}

type branchingNode struct {
	threshold   float64
	feature     int32
	left, right int32 // negative: ^ the value's place
	missingLeft bool
}

func newBranching(trees []tree) *branching {
	b := &branching{}
	for i := range trees {
		t := &trees[i]
		first, value := int32(len(b.nodes)), int32(len(b.values))
		move := func(child int32) int32 {
			if child < 0 {
				return ^(^child + value)
			}
			return child + first
		}
		b.roots = append(b.roots, first)
		if len(t.feature) == 0 {
			b.roots[i] = ^value
		}
		for n := range t.feature {
			b.nodes = append(b.nodes, branchingNode{t.threshold[n], t.feature[n], move(t.left[n]), move(t.right[n]), t.missingLeft(n)})
		}
		b.values = append(b.values, t.leafValue...)
	}
	return b
}

func (b *branching) sum(x []float64) (sum float64) {
	for _, at := range b.roots {
		for at >= 0 {
			n := &b.nodes[at]
			v := x[n.feature]
			if v <= n.threshold || v != v && n.missingLeft {
				at = n.left
			} else {
				at = n.right
			}
		}
		sum += b.values[^at]
	}
	return sum
}

func sumSingly(s *scorer, row *laidOut) (sum float64) {
	for k, at := range s.roots {
		for range s.depths[k] {
			at = step(s.nodes, row, at)
		}
		sum += s.values[at]
	}
	return sum
}

func sumFours(s *scorer, row *laidOut) (sum float64) {
	k := 0
	for ; k+4 <= len(s.roots); k += 4 {
		a, b, c, d := s.roots[k], s.roots[k+1], s.roots[k+2], s.roots[k+3]
		for range slices.Max(s.depths[k : k+4]) {
			a, b, c, d = step(s.nodes, row, a), step(s.nodes, row, b), step(s.nodes, row, c), step(s.nodes, row, d)
		}
		sum += s.values[a]
		sum += s.values[b]
		sum += s.values[c]
		sum += s.values[d]
	}
	return s.sum(sum, k, len(s.roots), row)
}

// full holds trees filled up to the depth of the deepest: children of node n are 2n+1 and 2n+2, and nothing says where they are.
type full struct {
	depth  int
	nodes  []fullNode // of all trees
	values []float64
}

type fullNode struct {
	threshold float64
	slot      uint8
}

// newFull returns nil for trees so deep that most of them would be filling.
func newFull(s *scorer) *full {
	f := &full{depth: int(slices.Max(s.depths))}
	if f.depth > 6 {
		return nil
	}
	inner := 1<<f.depth - 1
	for _, root := range s.roots {
		nodes, values := make([]fullNode, inner), make([]float64, inner+1)
		var fill func(at uint32, n int)
		fill = func(at uint32, n int) {
			if n >= inner {
				values[n-inner] = s.values[at]
				return
			}
			left, right := at, at
			nodes[n].threshold = math.Inf(1)
			if !s.isLeaf(at) {
				node := s.nodes[at]
				nodes[n] = fullNode{node.threshold, node.slot}
				left, right = node.left, node.left+1
			}
			fill(left, 2*n+1)
			fill(right, 2*n+2)
		}
		fill(root, 0)
		f.nodes, f.values = append(f.nodes, nodes...), append(f.values, values...)
	}
	return f
}

func (f *full) sum(row *laidOut) (sum float64) {
	inner := 1<<f.depth - 1
	for at := 0; at*inner < len(f.nodes); at++ {
		nodes := f.nodes[at*inner : (at+1)*inner]
		n := 0
		for range f.depth {
			right := 0
			if row[nodes[n].slot] > nodes[n].threshold {
				right = 1
			}
			n = 2*n + 1 + right
		}
		sum += f.values[at*(inner+1)+n-inner]
	}
	return sum
}

// vectors keeps for each tree the set of leaves that a row can still fall into, and goes through the thresholds of each slot in rising order: those
// below the row's value take the leaves on their left away. The first leaf that is left is the row's.
type vectors struct {
	slots  [][]vectorNode
	leaves []uint64 // of each tree, to begin with
	first  []int32  // of values
	values []float64
}

type vectorNode struct {
	threshold float64
	tree      int32
	keep      uint64
}

func newVectors(s *scorer) *vectors {
	v := &vectors{slots: make([][]vectorNode, len(s.slots))}
	for t, root := range s.roots {
		v.first = append(v.first, int32(len(v.values)))
		leaves := 0
		var walk func(at uint32)
		walk = func(at uint32) {
			if s.isLeaf(at) {
				v.values = append(v.values, s.values[at])
				leaves++
				return
			}
			node, before := s.nodes[at], leaves
			walk(node.left)
			gone := uint64(1)<<leaves - 1<<before
			v.slots[node.slot] = append(v.slots[node.slot], vectorNode{node.threshold, int32(t), ^gone})
			walk(node.left + 1)
		}
		walk(root)
		v.leaves = append(v.leaves, 1<<leaves-1)
	}
	for _, nodes := range v.slots {
		slices.SortFunc(nodes, func(a, b vectorNode) int {
			switch {
			case a.threshold < b.threshold:
				return -1
			case a.threshold > b.threshold:
				return 1
			}
			return 0
		})
	}
	return v
}

func (v *vectors) sum(row *laidOut) (sum float64) {
	var left [1024]uint64
	copy(left[:], v.leaves)
	for slot, nodes := range v.slots {
		x := row[slot]
		for i := range nodes {
			if !(x > nodes[i].threshold) {
				break
			}
			left[nodes[i].tree&1023] &= nodes[i].keep
		}
	}
	for t, first := range v.first {
		sum += v.values[int(first)+bits.TrailingZeros64(left[t&1023])]
	}
	return sum
}

// sumBlocks walks blocks of 64 trees, eight at once, with each of 16 rows.
func sumBlocks(s *scorer, x, dst []float64, width int) {
	clear(dst)
	var rows [16]laidOut
	for len(dst) > 0 {
		n := min(len(rows), len(dst))
		for i := range n {
			s.layOut(x[i*width:(i+1)*width], &rows[i])
		}
		for first := 0; first < len(s.roots); first += 64 {
			for i := range n {
				dst[i] = s.sum(dst[i], first, min(first+64, len(s.roots)), &rows[i])
			}
		}
		x, dst = x[n*width:], dst[n:]
	}
}
