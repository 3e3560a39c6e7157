package gbdt

const (
	// A hot cell holds the sum of second derivatives in its low 47 bits and the number of rows above; rowsAtOnce is the greatest number of
	// rows, of second derivatives up to 2^30, for which neither can overflow.
	countShift = 47
	rowsAtOnce = 1 << 16
)

// hotCell is a cell while rows are added: with the number of rows beside the second derivatives a row costs two additions.
type hotCell struct {
	g  int64
	hc uint64
}

func (c hotCell) cell() cell {
	return cell{g: c.g, h: int64(c.hc & (1<<countShift - 1)), rows: int64(c.hc >> countShift)}
}

// hotWord holds the cells of the eight lanes of a word. A byte is always in range of a lane's array, so its index needs no check;
// that the arrays are one longer keeps cells of the same byte in different lanes from falling into the same set of the cache.
type hotWord [byteLanes][byteSize + 1]hotCell

// accumulator sums rows into the byte lanes' cells. It belongs to one goroutine at a time.
type accumulator struct {
	hot []hotWord
	// pending is the number of rows in hot. Before it could overflow, hot is added to full, which flushed says is in use.
	pending int
	full    [][byteSize]cell
	flushed bool
}

func newAccumulator(l *layout) *accumulator {
	return &accumulator{hot: make([]hotWord, l.byteWords)}
}

// reserve makes room for rows to be added, at most rowsAtOnce.
func (a *accumulator) reserve(l *layout, rows int) {
	if a.pending+rows > rowsAtOnce {
		if a.full == nil {
			a.full = make([][byteSize]cell, l.byteLanes)
		}
		for i := range a.full {
			a.drain(l, i, &a.full[i])
		}
		a.pending, a.flushed = 0, true
	}
	a.pending += rows
}

// drain adds a lane's hot cells to sums and clears them.
func (a *accumulator) drain(l *layout, i int, sums *[byteSize]cell) {
	hot := a.hot[i/byteLanes][i%byteLanes][:l.lanes[i].size]
	for v, c := range hot {
		sums[v].add(c.cell())
	}
	clear(hot)
}

// take adds all that was summed for a lane to sums, and clears it.
func (a *accumulator) take(l *layout, i int, sums *[byteSize]cell) {
	if a.pending > 0 {
		a.drain(l, i, sums)
	}
	if a.flushed {
		full := a.full[i][:l.lanes[i].size]
		for v, c := range full {
			sums[v].add(c)
		}
		clear(full)
	}
}

// sumRows adds rows to the cells of the first lanes of a word. Cells of lanes past them, up to an even number, may be spoilt.
func (w *hotWord) sumRows(lanes int, words []uint64, pairs []pair, rows []int32) {
	switch {
	case lanes > 6:
		sumRows8(w, words, pairs, rows)
	case lanes > 4:
		sumRows6(w, words, pairs, rows)
	case lanes > 2:
		sumRows4(w, words, pairs, rows)
	default:
		sumRows2(w, words, pairs, rows)
	}
}

// sumAll is sumRows for rows that are beside one another.
func (w *hotWord) sumAll(lanes int, words []uint64, pairs []pair) {
	switch {
	case lanes > 6:
		sumAll8(w, words, pairs)
	case lanes > 4:
		sumAll6(w, words, pairs)
	case lanes > 2:
		sumAll4(w, words, pairs)
	default:
		sumAll2(w, words, pairs)
	}
}

// sumRecords is sumRows for records, of which word is added.
func (w *hotWord) sumRecords(lanes int, r records, word int) {
	switch {
	case lanes > 6:
		sumRecords8(w, r.values, r.stride, word)
	case lanes > 4:
		sumRecords6(w, r.values, r.stride, word)
	case lanes > 2:
		sumRecords4(w, r.values, r.stride, word)
	default:
		sumRecords2(w, r.values, r.stride, word)
	}
}

// collapse adds up the cells of a lane of many columns to those of each column, and spoils sums: of the first column's digit all that
// share it are summed for its cells, and all that share the other digits for the cells that are left for the next. dst holds each column's
// cells, nil for those that are not wanted.
func (l *layout) collapse(n *lane, sums []cell, dst func(f int) []cell) {
	for _, f := range n.columns {
		levels := l.digits[f].levels
		out := dst(f)
		if len(sums) == levels {
			if out != nil {
				clear(out[copy(out, sums):])
			}
			return
		}
		clear(out)
		rest := len(sums) / levels
		for k := range rest {
			digits := sums[k*levels : (k+1)*levels]
			var sum cell
			for i, c := range digits {
				sum.add(c)
				if out != nil {
					out[i].add(c)
				}
			}
			sums[k] = sum
		}
		sums = sums[:rest]
	}
}

// sumWideAll adds all rows in order to the cells of a lane of 16 bits.
func sumWideAll(cells []cell, words []uint64, shift uint, pairs []pair) {
	words = words[:len(pairs)]
	for r, d := range pairs {
		addTo(cells, words[r]>>(shift&63), d)
	}
}

// sumWideRows is sumWideAll for rows given by number.
func sumWideRows(cells []cell, words []uint64, shift uint, pairs []pair, rows []int32) {
	for _, r := range rows {
		addTo(cells, words[r]>>(shift&63), pairs[r])
	}
}

// sumWideRecords is sumWideAll for records.
func sumWideRecords(cells []cell, r records, word int, shift uint) {
	for at := 0; at < len(r.values); at += r.stride {
		record := r.values[at : at+r.stride]
		addTo(cells, record[word]>>(shift&63), record[len(record)-1])
	}
}

func addTo(cells []cell, word uint64, d pair) {
	c := &cells[uint16(word)]
	c.g += int64(int32(d))
	c.h += int64(d >> 32)
	c.rows++
}

// subtract takes a child's cells from its parent's, which become its sibling's.
func subtract(parent, child []cell) {
	child = child[:len(parent)]
	for i := range parent {
		p, c := &parent[i], &child[i]
		p.g -= c.g
		p.h -= c.h
		p.rows -= c.rows
	}
}
