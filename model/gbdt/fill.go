package gbdt

// fill sets a histogram to the sums over a leaf's rows. Sums are whole numbers, so that it does not matter which goroutine adds which rows.
func (g *grower) fill(cells []cell, leaf *leaf) {
	l := g.data.layout
	rows := g.index[leaf.low:leaf.high]
	all := len(rows) == g.data.Len()
	moved := g.records.values != nil && leaf.parent >= 0
	threads := g.threads
	if len(rows)*len(l.lanes) < parallelCells {
		threads = 1
	}
	if l.byteLanes > 0 {
		for len(g.accumulators) < threads {
			g.accumulators = append(g.accumulators, newAccumulator(l))
		}
		step := min(max(len(rows)/(4*threads), 1024), blockRows)
		parallelWorkers(threads, (len(rows)+step-1)/step, func(worker, b int) {
			low, high := b*step, min((b+1)*step, len(rows))
			a := g.accumulators[worker]
			a.reserve(l, high-low)
			for w := range l.byteWords {
				lanes := g.lanesOf[w]
				switch {
				case lanes == 0:
				case all:
					a.hot[w].sumAll(lanes, g.data.words[w][low:high], g.pairs[low:high])
				case moved:
					a.hot[w].sumRecords(lanes, g.records.of(leaf.low+low, leaf.low+high), w)
				default:
					a.hot[w].sumRows(lanes, g.data.words[w], g.pairs, rows[low:high])
				}
			}
		})
		g.merge(cells, threads)
	}
	parallel(threads, len(l.lanes)-l.byteLanes, func(i int) {
		n := &l.lanes[l.byteLanes+i]
		dst := g.cellsOf(cells, n.columns[0])
		if dst == nil {
			return
		}
		clear(dst)
		switch {
		case all:
			sumWideAll(dst, g.data.words[n.word], n.shift, g.pairs)
		case moved:
			sumWideRecords(dst, g.records.of(leaf.low, leaf.high), n.word, n.shift)
		default:
			sumWideRows(dst, g.data.words[n.word], n.shift, g.pairs, rows)
		}
	})
}

// cellsOf returns the cells of a feature, nil if it is not active.
func (g *grower) cellsOf(cells []cell, f int) []cell {
	if g.starts[f] < 0 {
		return nil
	}
	return cells[g.starts[f] : g.starts[f]+g.data.columns[f].bins()+1]
}

// merge takes what the first accumulators have summed, all together, into the cells of the active columns.
func (g *grower) merge(cells []cell, accumulators int) {
	l := g.data.layout
	var sums [byteSize]cell
	for i := range l.byteLanes {
		n := &l.lanes[i]
		clear(sums[:n.size])
		for _, a := range g.accumulators[:accumulators] {
			a.take(l, i, &sums)
		}
		if g.lanes[i] {
			l.collapse(n, sums[:n.size], func(f int) []cell { return g.cellsOf(cells, f) })
		}
	}
	for _, a := range g.accumulators[:accumulators] {
		a.pending, a.flushed = 0, false
	}
}
