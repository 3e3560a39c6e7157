package gbdt

// record is a row's only word and its derivatives. Where rows have one word, records are moved together with the numbers of their rows when a leaf
// is divided, so that all that is read of a leaf lies beside one another; rows with more words stay where they are and are read
// by number.
type record struct {
	word uint64
	pair pair
}

// partition divides a leaf's rows between left, those whose lane's value has side 1 in g.byValue and of which there are so many, and right.
// Their order is kept or not: nothing depends on it.
func (g *grower) partition(l *leaf, n *lane, left int) {
	rows := g.index[l.low:l.high]
	switch {
	case g.records == nil:
		g.partitionRows(rows, g.data.words[n.word], n.shift, n.mask())
	case l.parent < 0:
		g.moveRoot(rows, n.shift, left)
	default:
		g.move(rows, g.records[l.low:l.high], n.shift, left)
	}
}

// moveRoot makes the records of the tree's rows, those on the left first.
func (g *grower) moveRoot(rows []int32, shift uint, left int) {
	// rows are read while the divided ones are written, so those go to the scratch space, which then becomes the index.
	dst := g.scratch[:len(rows)]
	threads := g.workers(len(rows))
	n := blocks(len(rows))
	lefts := g.leftOf[:n]
	words := g.data.words[0]
	side := (*[byteSize]uint8)(g.byValue[:])
	if threads == 1 {
		distribute(rows, words, g.pairs, dst, g.records, shift, side, 0, len(rows))
	} else {
		parallel(threads, n, func(b int) {
			low, high := block(b, len(rows))
			count := 0
			for _, r := range rows[low:high] {
				count += int(side[uint8(words[r]>>(shift&63))])
			}
			lefts[b] = count
		})
		total := 0
		for b := range lefts {
			total, lefts[b] = total+lefts[b], total
		}
		parallel(threads, n, func(b int) {
			low, high := block(b, len(rows))
			// The right ones go down from the end of those that the blocks before leave.
			distribute(rows[low:high], words, g.pairs, dst, g.records, shift, side, lefts[b], len(rows)-(low-lefts[b]))
		})
	}
	g.index, g.scratch = dst, g.index[:cap(g.index)]
}

// distribute writes the records and numbers of rows: those on the left from place low up, those on the right from below place
// high down.
func distribute(rows []int32, words []uint64, pairs []pair, dst []int32, records []record, shift uint, side *[byteSize]uint8, low, high int) {
	high--
	for _, r := range rows {
		w := words[r]
		s := int(side[uint8(w>>(shift&63))])
		at := high ^ (high^low)&-s
		dst[at] = r
		records[at] = record{word: w, pair: pairs[r]}
		low += s
		high += s - 1
	}
}

// move divides records and their rows in place. Several goroutines divide a part each, and what is then on the wrong side of the
// whole changes places.
func (g *grower) move(rows []int32, records []record, shift uint, left int) {
	side := (*[byteSize]uint8)(g.byValue[:])
	threads := g.workers(len(rows))
	if threads == 1 {
		moveInPlace(rows, records, shift, side)
		return
	}
	part := func(k int) (low, high int) { return k * len(rows) / threads, (k + 1) * len(rows) / threads }
	lefts := make([]int, threads)
	parallel(threads, threads, func(k int) {
		low, high := part(k)
		lefts[k] = moveInPlace(rows[low:high], records[low:high], shift, side)
	})
	// Gaps are right rows before left, strays left rows from there on; there are as many of one as of the other.
	var gaps, strays []span
	for k, n := range lefts {
		low, high := part(k)
		if gap := (span{low + n, min(high, left)}); gap.low < gap.high {
			gaps = append(gaps, gap)
		}
		if stray := (span{max(low, left), low + n}); stray.low < stray.high {
			strays = append(strays, stray)
		}
	}
	for len(gaps) > 0 {
		gap, stray := &gaps[0], &strays[0]
		n := min(gap.high-gap.low, stray.high-stray.low)
		exchange(rows[gap.low:gap.low+n], rows[stray.low:stray.low+n])
		exchange(records[gap.low:gap.low+n], records[stray.low:stray.low+n])
		if gap.low += n; gap.low == gap.high {
			gaps = gaps[1:]
		}
		if stray.low += n; stray.low == stray.high {
			strays = strays[1:]
		}
	}
}

type span struct{ low, high int }

// exchange swaps the contents of two slices of the same length.
func exchange[E any](a, b []E) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

// moveInPlace moves records and rows of side 1 to the front without a branch, and returns their number: each in turn changes places with the
// first one known to be on the right, which is itself if there is none, and then counts as left or right.
func moveInPlace(rows []int32, records []record, shift uint, side *[byteSize]uint8) int {
	rows = rows[:len(records)]
	left := 0
	for i := range records {
		x, r := records[i], rows[i]
		records[i], rows[i] = records[left], rows[left]
		records[left], rows[left] = x, r
		left += int(side[uint8(x.word>>(shift&63))])
	}
	return left
}

// partitionRows moves the rows whose lane's value has side 1 to the front, keeps the order on both sides, and returns their number. Blocks
// of rows are divided each for itself into g.scratch, and their pieces then moved to where they belong.
func (g *grower) partitionRows(rows []int32, words []uint64, shift uint, mask uint16) int {
	n := blocks(len(rows))
	if n == 1 {
		return divideInPlace(rows, g.scratch, words, shift, mask, g.byValue)
	}
	threads := g.workers(len(rows))
	parallel(threads, n, func(b int) {
		low, high := block(b, len(rows))
		g.leftOf[b] = divideBlock(rows[low:high], g.scratch[low:high], words, shift, mask, g.byValue)
	})
	total := 0
	for b := range n {
		total, g.leftOf[b] = total+g.leftOf[b], total
	}
	parallel(threads, n, func(b int) {
		low, high := block(b, len(rows))
		next := total
		if b+1 < n {
			next = g.leftOf[b+1]
		}
		left := next - g.leftOf[b]
		copy(rows[g.leftOf[b]:], g.scratch[low:low+left])
		copy(rows[total+low-g.leftOf[b]:], g.scratch[low+left:high])
	})
	return total
}

// divideInPlace partitions rows with the help of scratch, and returns the number of those on the left.
func divideInPlace(rows, scratch []int32, words []uint64, shift uint, mask uint16, side *[1 << 16]uint8) int {
	scratch = scratch[:len(rows)]
	left := 0
	for i, r := range rows {
		s := int(side[uint16(words[r]>>(shift&63))&mask])
		rows[left] = r
		scratch[i-left] = r
		left += s
	}
	copy(rows[left:], scratch)
	return left
}

// divideBlock writes the rows on the left to the front of dst and those on the right after them, and returns the number of the first.
func divideBlock(rows, dst []int32, words []uint64, shift uint, mask uint16, side *[1 << 16]uint8) int {
	var right [blockRows]int32
	left := 0
	for i, r := range rows {
		s := int(side[uint16(words[r]>>(shift&63))&mask])
		dst[left] = r
		right[(i-left)&(blockRows-1)] = r
		left += s
	}
	copy(dst[left:], right[:len(rows)-left])
	return left
}
