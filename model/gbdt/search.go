package gbdt

import (
	"math/rand/v2"
	"slices"
)

// evaluate fills the histogram of a leaf and finds its best split.
func (g *grower) evaluate(l *leaf) {
	l.cells = g.take()
	g.fill(l.cells, l)
	g.search(l)
}

// evaluatePair finds the best splits of two siblings. It takes over their parent's histogram, which may be nil.
func (g *grower) evaluatePair(parent []cell, left, right *leaf) {
	small, large := left, right
	if left.rows() > right.rows() {
		small, large = right, left
	}
	if parent == nil || !g.worth(large) {
		g.release(parent)
		for _, l := range []*leaf{left, right} {
			if g.worth(l) {
				g.evaluate(l)
			}
		}
		return
	}
	small.cells, large.cells = g.take(), parent
	g.fill(small.cells, small)
	subtract(large.cells, small.cells)
	if g.worth(small) {
		g.search(small)
	} else {
		g.release(small.cells)
		small.cells = nil
	}
	g.search(large)
}

// search sets the leaf's best split to that of greatest gain, the first feature's on a tie, and gives back a histogram that is not needed.
func (g *grower) search(l *leaf) {
	s := newSearch(&g.params, g.unit, l.total, l.within)
	features := g.drawn(l)
	threads := 1
	if g.size >= parallelBins {
		threads = g.threads
	}
	parallel(threads, len(features), func(i int) {
		f := features[i]
		c := &g.data.columns[f]
		cells := l.cells[g.starts[f] : g.starts[f]+c.bins()+1]
		if c.categorical {
			g.splits[i] = s.categorical(cells, &g.orders[f])
		} else {
			g.splits[i] = s.numeric(cells, g.params.monotone(f))
		}
	})
	l.best = split{}
	for i, f := range features {
		if g.splits[i].gain > l.best.gain {
			l.best = g.splits[i]
			l.best.feature = f
		}
	}
	if l.best.gain == 0 || g.inUse*g.size*cellBytes > g.histogramBytes {
		g.release(l.cells)
		l.cells = nil
	}
}

// drawn returns the features that a leaf's split may be on.
func (g *grower) drawn(l *leaf) []int {
	features := g.active
	if l.reach != nil {
		features = slices.DeleteFunc(slices.Clone(features), func(f int) bool { return !l.reach.holds(f) })
	}
	if share := g.params.ColumnSampleNode; g.params.samplesNodes() && len(features) > 0 {
		random := rand.NewPCG(g.params.Seed^nodeStream, uint64(g.round)<<32|uint64(l.id))
		features = choose(random, nil, features, shareOf(share, len(features)))
	}
	return features
}
