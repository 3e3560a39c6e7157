package gbdt

import (
	"context"
	"math"
	"slices"
)

const (
	// parallelCells is the number of histogram updates from which a leaf is worth more than one goroutine, and parallelBins the number of
	// bins from which its search is.
	parallelCells = 1 << 17
	parallelBins  = 1 << 12
	// parallelRows is the number of rows from which dividing them is worth more than one goroutine.
	parallelRows = 1 << 15
	// maxHistogramBytes bounds the histograms kept for leaves that wait; without its parent's, both children are summed from rows.
	maxHistogramBytes = 256 << 20
	cellBytes         = 24
)

// grower grows trees on quantized rows. It is not safe for concurrent use.
type grower struct {
	params  Params
	threads int
	data    *Data
	meet    *interactions

	// pairs holds the derivatives of each row in units.
	pairs []pair
	unit  scale
	// index holds the tree's rows, those of a leaf beside one another and ascending.
	index   []int32
	scratch []int32
	leftOf  []int
	// records are the words and derivatives of the rows in index, without values where rows have too many words.
	records records

	// active are the features that the tree may split on, starts the first cell in a histogram of each feature, -1 for others.
	active []int
	starts []int
	size   int
	lanes  []bool // those with an active feature
	// lanesOf is, for each word of byte lanes, the number of lanes up to the last with an active feature.
	lanesOf []int
	round   int

	accumulators []*accumulator
	free         [][]cell
	inUse        int
	// histogramBytes is maxHistogramBytes but in tests.
	histogramBytes int
	splits         []split
	orders         [][]int32
	// byBin and byValue are the sides of bins and of lane values in the split that is being made.
	byBin   []uint8
	byValue *[1 << 16]uint8
	// hops are the tree's nodes as sides by bin, for rows that it was not grown on.
	hops  [][]uint8
	wants bool
}

func newGrower(p Params, d *Data, unit scale) *grower {
	g := &grower{
		params: p, threads: p.threads(), data: d, meet: newInteractions(&p, len(d.columns)), unit: unit, histogramBytes: maxHistogramBytes,
		pairs: make([]pair, d.Len()), index: make([]int32, d.Len()), scratch: make([]int32, d.Len()),
		leftOf: make([]int, blocks(d.Len())), starts: make([]int, len(d.columns)), lanes: make([]bool, len(d.layout.lanes)), lanesOf: make([]int, d.layout.byteWords),
		orders: make([][]int32, len(d.columns)), splits: make([]split, len(d.columns)), byValue: new([1 << 16]uint8),
	}
	if words := d.layout.words; words > 0 && words <= maxMoved {
		g.records = records{stride: words + 1, values: make([]uint64, (words+1)*d.Len())}
	}
	return g
}

// leaf is a leaf of the tree that is being grown.
type leaf struct {
	low, high int
	depth     int
	total     cell
	cells     []cell
	best      split
	within    bounds
	reach     *reach
	// l2 is what its value is computed with.
	l2 float64
	// id is 0 for the root, and 2i+1 and 2i+2 for the children of node i.
	id int
	// parent is the node above, negative for the root, and right the side of it.
	parent int
	right  bool
}

func (l *leaf) rows() int { return l.high - l.low }

// grow returns a tree on the given rows, nil for all, and features, both ascending, and its leaves' bounds in g.index. The values hold the
// learning rate but no base score. There must be a feature.
func (g *grower) grow(ctx context.Context, round int, rows []int32, features []int) (*tree, []leaf, error) {
	g.begin(round, rows, features)
	t := &tree{shrinkage: g.params.LearningRate}
	root := leaf{high: len(g.index), total: g.sum(), within: unbounded(), l2: g.params.L2, parent: -1}
	limit := g.params.leaves()
	leaves := append(make([]leaf, 0, min(limit, 64)), root)
	if g.worth(&leaves[0]) {
		g.evaluate(&leaves[0])
	}
	for len(leaves) < limit {
		at := -1
		for i := range leaves {
			if leaves[i].best.gain > 0 && (at < 0 || leaves[i].best.gain > leaves[at].best.gain) {
				at = i
			}
		}
		if at < 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		parent := leaves[at]
		node := g.record(t, &parent, at, len(leaves))
		left, right := g.divide(&parent, node, len(leaves)+1 == limit)
		if len(leaves)+1 < limit {
			g.evaluatePair(parent.cells, &left, &right)
		} else {
			g.release(parent.cells)
		}
		leaves[at] = left
		leaves = append(leaves, right)
	}
	for i := range leaves {
		l := &leaves[i]
		g.release(l.cells)
		l.cells = nil
		t.leafValue = append(t.leafValue, g.value(l))
		t.leafWeight = append(t.leafWeight, float64(float64(l.total.h)*g.unit.h))
		t.leafCount = append(t.leafCount, l.total.rows)
	}
	return t, leaves, nil
}

// begin sets the rows and features of the next tree and lays out its histograms.
func (g *grower) begin(round int, rows []int32, features []int) {
	if rows == nil {
		g.index = g.index[:g.data.Len()]
		parallel(g.workers(len(g.index)), blocks(len(g.index)), func(b int) {
			low, high := block(b, len(g.index))
			for i := low; i < high; i++ {
				g.index[i] = int32(i)
			}
		})
	} else {
		g.index = append(g.index[:0], rows...)
	}
	g.round, g.active = round, features
	g.hops = g.hops[:0]
	clear(g.lanes)
	clear(g.lanesOf)
	for f := range g.starts {
		g.starts[f] = -1
	}
	g.size = 0
	for _, f := range features {
		g.starts[f] = g.size
		g.size += g.data.columns[f].bins() + 1
		at := g.data.layout.digits[f].lane
		g.lanes[at] = true
		if n := &g.data.layout.lanes[at]; !n.wide {
			g.lanesOf[n.word] = max(g.lanesOf[n.word], int(n.shift)/8+1)
		}
	}
}

// sum returns the sums over the tree's rows.
func (g *grower) sum() cell {
	parts := make([]cell, blocks(len(g.index)))
	parallel(g.workers(len(g.index)), len(parts), func(b int) {
		low, high := block(b, len(g.index))
		var sum cell
		for _, r := range g.index[low:high] {
			sum.g += int64(int32(g.pairs[r]))
			sum.h += int64(g.pairs[r] >> 32)
		}
		parts[b] = sum
	})
	total := cell{rows: int64(len(g.index))}
	for _, p := range parts {
		total.add(p)
	}
	return total
}

// own returns a leaf's value before the learning rate.
func (g *grower) own(total cell, l2 float64, within bounds) float64 {
	value, _ := g.params.best(float64(float64(total.g)*g.unit.g), float64(float64(total.h)*g.unit.h), l2, within)
	return value
}

// value returns what the leaf adds to the margin.
func (g *grower) value(l *leaf) float64 {
	return float64(g.params.LearningRate * g.own(l.total, l.l2, l.within))
}

// worth reports whether a leaf can be split at all, by its depth, rows and weight.
func (g *grower) worth(l *leaf) bool {
	return (g.params.MaxDepth == 0 || l.depth < g.params.MaxDepth) && l.rows() >= 2*g.params.MinChildRows &&
		float64(float64(l.total.h)*g.unit.h) >= 2*g.params.MinChildWeight
}

// record writes the leaf's best split into the tree as a node, whose children are leaf number at, as before, and the new one.
func (g *grower) record(t *tree, l *leaf, at, next int) int {
	node := len(t.feature)
	if l.parent >= 0 {
		if l.right {
			t.right[l.parent] = int32(node)
		} else {
			t.left[l.parent] = int32(node)
		}
	}
	s := l.best
	c := &g.data.columns[s.feature]
	decision, threshold := uint8(missingNaN<<missingShift), math.MaxFloat64
	switch {
	case c.categorical:
		decision |= decisionCategorical
		codes := make([]int32, len(s.set))
		for i, bin := range s.set {
			codes[i] = c.codes[bin]
		}
		threshold = t.addSet(codes)
	case s.bin < len(c.bounds):
		threshold = c.bounds[s.bin]
	}
	if s.missingLeft {
		decision |= decisionDefaultLeft
	}
	t.feature = append(t.feature, int32(s.feature))
	t.threshold = append(t.threshold, threshold)
	t.decision = append(t.decision, decision)
	t.left = append(t.left, int32(^at))
	t.right = append(t.right, int32(^next))
	t.gain = append(t.gain, s.gain)
	t.internalValue = append(t.internalValue, g.value(l))
	t.internalWeight = append(t.internalWeight, float64(float64(l.total.h)*g.unit.h))
	t.internalCount = append(t.internalCount, l.total.rows)
	return node
}

// divide moves the rows of a leaf that go left before those that go right, and returns the children, which are not divided again if last
// is set.
func (g *grower) divide(parent *leaf, node int, last bool) (left, right leaf) {
	s := &parent.best
	g.side(s)
	n := &g.data.layout.lanes[g.data.layout.digits[s.feature].lane]
	g.data.layout.sides(s.feature, g.byBin, g.byValue[:0])
	last = last || parent.depth+1 == g.params.MaxDepth
	g.partition(parent, &sorter{word: n.word, shift: n.shift, mask: n.mask(), side: g.byValue}, int(s.left.rows), last)
	middle := parent.low + int(s.left.rows)

	left = leaf{low: parent.low, high: middle, total: s.left, id: 2*node + 1}
	right = leaf{low: middle, high: parent.high, total: parent.total.minus(s.left), id: 2*node + 2, right: true}
	direction := g.params.monotone(s.feature)
	left.within, right.within = parent.within.children(direction,
		g.own(left.total, s.l2, parent.within), g.own(right.total, s.l2, parent.within))
	below := g.meet.after(parent.reach, s.feature)
	for _, l := range []*leaf{&left, &right} {
		l.depth, l.parent, l.l2, l.reach = parent.depth+1, node, s.l2, below
	}
	return left, right
}

// side sets g.byBin to the side of each bin of the split's column, 1 for left, that for missing values last.
func (g *grower) side(s *split) {
	c := &g.data.columns[s.feature]
	bins := c.bins()
	g.byBin = slices.Grow(g.byBin[:0], bins+1)[:bins+1]
	clear(g.byBin)
	switch {
	case c.categorical:
		for _, bin := range s.set {
			g.byBin[bin] = 1
		}
	default:
		for b := range s.bin + 1 {
			g.byBin[b] = 1
		}
		if s.missingLeft {
			g.byBin[bins] = 1
		}
	}
	if g.wants {
		g.hops = append(g.hops, slices.Clone(g.byBin))
	}
}

// workers returns how many goroutines so many rows are worth.
func (g *grower) workers(rows int) int {
	if rows < parallelRows {
		return 1
	}
	return g.threads
}

// take returns a histogram with unspecified content.
func (g *grower) take() []cell {
	g.inUse++
	if n := len(g.free); n > 0 {
		cells := g.free[n-1]
		g.free = g.free[:n-1]
		return cells[:g.size]
	}
	all := 0
	for f := range g.data.columns {
		all += g.data.columns[f].bins() + 1
	}
	return make([]cell, all)[:g.size]
}

// release gives a histogram back; nil is allowed.
func (g *grower) release(cells []cell) {
	if cells == nil {
		return
	}
	g.inUse--
	g.free = append(g.free, cells)
}
