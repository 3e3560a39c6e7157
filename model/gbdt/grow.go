package gbdt

import (
	"context"
	"math"
)

const (
	// parallelCells is the number of histogram updates from which a leaf is worth more than one goroutine.
	parallelCells = 1 << 15
	// histogramBytes bounds the histograms kept for leaves that wait; without its parent's, both children are summed from rows.
	histogramBytes = 256 << 20
	cellBytes      = 24
)

// grower grows trees on one binned matrix. It is not safe for concurrent use.
type grower[T binIndex] struct {
	params  Params
	threads int
	columns []column
	bins    [][]T

	derivatives []pair
	// active are the features that the tree may split on; starts[i] is the first cell of the i-th of them in a histogram.
	active []int
	starts []int
	// index holds the tree's rows, those of a leaf beside one another and ascending.
	index   []int32
	scratch []int32
	ordered []pair
	// leftPart holds, for each block of a large leaf, the number of its rows that go left.
	leftPart []int

	// allCells is the size of a histogram of all columns, to which each is allotted.
	allCells int
	free     [][]cell
	inUse    int

	splits [2][]split
	side   []uint8
}

func newGrower[T binIndex](p Params, threads int, columns []column, m Matrix) *grower[T] {
	g := &grower[T]{
		params:      p,
		threads:     threads,
		columns:     columns,
		bins:        binRows[T](threads, columns, m),
		derivatives: make([]pair, m.Rows),
		index:       make([]int32, m.Rows),
		scratch:     make([]int32, m.Rows),
		ordered:     make([]pair, m.Rows),
		leftPart:    make([]int, blocks(m.Rows)),
		side:        make([]uint8, maxBins+1),
	}
	for _, c := range columns {
		g.allCells += c.bins() + 1
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
	// parent is the node above, negative for the root, and right the side of it.
	parent int
	right  bool
}

func (l *leaf) rows() int { return l.high - l.low }

// grow returns a tree on the given rows and features, both ascending, and its leaves' bounds in g.index. The values hold the
// learning rate but no base score. Neither slice may be empty.
func (g *grower[T]) grow(ctx context.Context, rows []int32, features []int) (*tree, []leaf, error) {
	g.begin(rows, features)
	t := &tree{shrinkage: g.params.LearningRate}
	root := leaf{high: len(rows), parent: -1}
	root.total = g.gather(&root)
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
		left, right := g.divide(&parent, node)
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
		t.leafValue = append(t.leafValue, g.value(l.total))
		t.leafWeight = append(t.leafWeight, l.total.h)
		t.leafCount = append(t.leafCount, l.total.rows)
	}
	return t, leaves, nil
}

// begin sets the rows and features of the next tree and lays out its histograms.
func (g *grower[T]) begin(rows []int32, features []int) {
	g.index = g.index[:len(rows)]
	copy(g.index, rows)
	g.active, g.starts = features, g.starts[:0]
	size := 0
	for _, f := range features {
		g.starts = append(g.starts, size)
		size += g.columns[f].bins() + 1
	}
	g.starts = append(g.starts, size)
	for i := range g.splits {
		g.splits[i] = make([]split, len(features))
	}
}

// value returns what a leaf of such sums adds to the margin.
func (g *grower[T]) value(total cell) float64 {
	if total.h+g.params.L2 <= 0 {
		return 0
	}
	return float64(g.params.LearningRate * (-total.g / (total.h + g.params.L2)))
}

// worth reports whether a leaf can be split at all, by its depth, rows and weight.
func (g *grower[T]) worth(l *leaf) bool {
	return (g.params.MaxDepth == 0 || l.depth < g.params.MaxDepth) && l.rows() >= 2*g.params.MinChildRows &&
		l.total.h >= 2*g.params.MinChildWeight
}

// record writes the leaf's best split into the tree as a node, whose children are leaf number at, as before, and the new one.
func (g *grower[T]) record(t *tree, l *leaf, at, next int) int {
	node := len(t.feature)
	if l.parent >= 0 {
		if l.right {
			t.right[l.parent] = int32(node)
		} else {
			t.left[l.parent] = int32(node)
		}
	}
	s := l.best
	threshold := math.MaxFloat64
	if bounds := g.columns[s.feature].bounds; s.bin < len(bounds) {
		threshold = bounds[s.bin]
	}
	decision := uint8(missingNaN << missingShift)
	if s.missingLeft {
		decision |= decisionDefaultLeft
	}
	t.feature = append(t.feature, int32(s.feature))
	t.threshold = append(t.threshold, threshold)
	t.decision = append(t.decision, decision)
	t.left = append(t.left, int32(^at))
	t.right = append(t.right, int32(^next))
	t.gain = append(t.gain, s.gain)
	t.internalValue = append(t.internalValue, g.value(l.total))
	t.internalWeight = append(t.internalWeight, l.total.h)
	t.internalCount = append(t.internalCount, l.total.rows)
	return node
}

// divide moves the rows of a leaf that go left before those that go right, both in the order they had, and returns the children.
func (g *grower[T]) divide(parent *leaf, node int) (left, right leaf) {
	s := parent.best
	bins := g.bins[s.feature]
	missing := g.columns[s.feature].bins()
	for b := range missing {
		g.side[b] = 0
		if b <= s.bin {
			g.side[b] = 1
		}
	}
	g.side[missing] = 0
	if s.missingLeft {
		g.side[missing] = 1
	}
	middle := parent.low + partition(g.workers(parent.rows()), g.index[parent.low:parent.high], g.scratch, g.leftPart, bins, g.side)
	depth := parent.depth + 1
	left = leaf{low: parent.low, high: middle, depth: depth, total: s.left, parent: node}
	right = leaf{low: middle, high: parent.high, depth: depth, parent: node, right: true}
	right.total = cell{g: parent.total.g - s.left.g, h: max(parent.total.h-s.left.h, 0), rows: parent.total.rows - s.left.rows}
	return left, right
}

// workers returns how many goroutines so many updates are worth.
func (g *grower[T]) workers(updates int) int {
	if updates < parallelCells {
		return 1
	}
	return g.threads
}

// gather puts the derivatives of a leaf's rows in their order into g.ordered and returns their sums, added by blocks.
func (g *grower[T]) gather(l *leaf) cell {
	rows := g.index[l.low:l.high]
	sums := make([]pair, blocks(len(rows)))
	parallel(g.workers(len(rows)), len(sums), func(b int) {
		low, high := block(b, len(rows))
		var sum pair
		for i := low; i < high; i++ {
			d := g.derivatives[rows[i]]
			g.ordered[i] = d
			sum.g += d.g
			sum.h += d.h
		}
		sums[b] = sum
	})
	total := cell{rows: int64(len(rows))}
	for _, s := range sums {
		total.g += s.g
		total.h += s.h
	}
	return total
}

// evaluate fills the histogram of a leaf, whose derivatives have been gathered, and finds its best split.
func (g *grower[T]) evaluate(l *leaf) {
	l.cells = g.take()
	rows := g.index[l.low:l.high]
	g.eachPair(len(rows), func(first, last int) {
		g.sum(l.cells, first, last, rows)
		for i := first; i <= last; i++ {
			g.splits[0][i] = g.params.bestSplit(l.cells[g.starts[i]:g.starts[i+1]], l.total)
		}
	})
	g.choose(l, g.splits[0])
}

// eachPair calls work for every two active features beside each other, and for a last one alone with itself.
func (g *grower[T]) eachPair(rows int, work func(first, last int)) {
	n := len(g.active)
	parallel(g.workers(rows*n), (n+1)/2, func(i int) {
		work(2*i, min(2*i+1, n-1))
	})
}

// sum sets the cells of the active features first and last to the sums over rows whose derivatives have been gathered.
func (g *grower[T]) sum(cells []cell, first, last int, rows []int32) {
	cells1, cells2 := cells[g.starts[first]:g.starts[first+1]], cells[g.starts[last]:g.starts[last+1]]
	if first == last {
		// A column without a partner is summed beside itself, into cells that nobody reads.
		cells2 = make([]cell, len(cells1))
	}
	clear(cells1)
	clear(cells2)
	bins1, bins2 := g.bins[g.active[first]], g.bins[g.active[last]]
	if len(rows) == len(bins1) {
		accumulateAll(cells1, cells2, bins1, bins2, g.ordered)
		return
	}
	accumulate(cells1, cells2, bins1, bins2, rows, g.ordered)
}

// evaluatePair finds the best splits of two siblings. It takes over their parent's histogram, which may be nil.
func (g *grower[T]) evaluatePair(parent []cell, left, right *leaf) {
	small, large := left, right
	if left.rows() > right.rows() {
		small, large = right, left
	}
	smallWorth, largeWorth := g.worth(small), g.worth(large)
	if parent == nil || !largeWorth {
		g.release(parent)
		for _, l := range []*leaf{left, right} {
			if g.worth(l) {
				g.gather(l)
				g.evaluate(l)
			}
		}
		return
	}
	g.gather(small)
	small.cells, large.cells = g.take(), parent
	rows := g.index[small.low:small.high]
	g.eachPair(len(rows), func(first, last int) {
		g.sum(small.cells, first, last, rows)
		for i := first; i <= last; i++ {
			from, to := g.starts[i], g.starts[i+1]
			subtract(large.cells[from:to], small.cells[from:to])
			if smallWorth {
				g.splits[0][i] = g.params.bestSplit(small.cells[from:to], small.total)
			}
			g.splits[1][i] = g.params.bestSplit(large.cells[from:to], large.total)
		}
	})
	if smallWorth {
		g.choose(small, g.splits[0])
	} else {
		g.release(small.cells)
		small.cells = nil
	}
	g.choose(large, g.splits[1])
}

// choose sets the leaf's best split to that of greatest gain, the first feature's on a tie, and gives back a histogram that is not needed.
func (g *grower[T]) choose(l *leaf, splits []split) {
	l.best = split{}
	for i, s := range splits {
		if s.gain > l.best.gain {
			l.best = s
			l.best.feature = g.active[i]
		}
	}
	if l.best.gain == 0 || g.inUse*len(l.cells)*cellBytes > histogramBytes {
		g.release(l.cells)
		l.cells = nil
	}
}

// take returns a histogram with unspecified content.
func (g *grower[T]) take() []cell {
	size := g.starts[len(g.starts)-1]
	g.inUse++
	if n := len(g.free); n > 0 {
		cells := g.free[n-1]
		g.free = g.free[:n-1]
		return cells[:size]
	}
	return make([]cell, g.allCells)[:size]
}

// release gives a histogram back; nil is allowed.
func (g *grower[T]) release(cells []cell) {
	if cells == nil {
		return
	}
	g.inUse--
	g.free = append(g.free, cells)
}

// partition moves the rows whose bin's side is 1 to the front, keeps the order on both sides, and returns their number. Each
// block is divided in place, and the pieces are then moved together.
func partition[T binIndex](threads int, rows, scratch []int32, leftPart []int, bins []T, side []uint8) int {
	n := blocks(len(rows))
	parallel(threads, n, func(b int) {
		low, high := block(b, len(rows))
		left, right := low, low
		for _, r := range rows[low:high] {
			s := int(side[bins[r]])
			rows[left] = r
			scratch[right] = r
			left += s
			right += 1 - s
		}
		leftPart[b] = left - low
	})
	left := 0
	for b := range n {
		low, _ := block(b, len(rows))
		left += copy(rows[left:], rows[low:low+leftPart[b]])
	}
	right := left
	for b := range n {
		low, high := block(b, len(rows))
		right += copy(rows[right:], scratch[low:high-leftPart[b]])
	}
	return left
}
