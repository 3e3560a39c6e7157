package gbdt

// maxMoved is the number of words up to which rows are moved.
const maxMoved = 4

// records are rows of up to four words with their derivatives, each row's words and then its pair. They are moved together with the numbers
// of their rows when a leaf is divided, so that all that is read of a leaf lies beside one another. Longer rows stay where they are
// and are read by number, as a second copy of them would take more memory than the rest of training.
type records struct {
	stride int
	values []uint64
}

// of returns the records from low to high-1.
func (r records) of(low, high int) records {
	return records{r.stride, r.values[low*r.stride : high*r.stride]}
}

// sorter says which rows go left: those for whose value of a lane the table holds 1.
type sorter struct {
	word  int
	shift uint
	mask  uint16
	side  *[1 << 16]uint8
}

// left returns 1 if a row with this word goes left, else 0.
func (s *sorter) left(word uint64) int {
	return int(s.side[uint16(word>>(s.shift&63))&s.mask])
}

// partition divides a leaf's rows between left, of which there are so many, and right. Their order is kept or not: nothing depends on it.
// last says that the children will not be divided or summed any more, so that only the numbers of rows are needed.
func (g *grower) partition(l *leaf, s *sorter, left int, last bool) {
	rows := g.index[l.low:l.high]
	switch {
	case g.records.values == nil || last && l.parent < 0:
		g.partitionRows(rows, s)
	case l.parent < 0:
		g.moveRoot(rows, s)
	default:
		g.move(rows, g.records.of(l.low, l.high), s, left, last)
	}
}

// moveRoot makes the records of the tree's rows, those on the left first.
func (g *grower) moveRoot(rows []int32, s *sorter) {
	// rows are read while the divided ones are written, so those go to the scratch space, which then becomes the index.
	dst := g.scratch[:len(rows)]
	threads := g.workers(len(rows))
	n := blocks(len(rows))
	if threads == 1 {
		g.distribute(rows, dst, s, 0, len(rows))
	} else {
		lefts := g.leftOf[:n]
		words := g.data.words[s.word]
		parallel(threads, n, func(b int) {
			low, high := block(b, len(rows))
			count := 0
			for _, r := range rows[low:high] {
				count += s.left(words[r])
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
			g.distribute(rows[low:high], dst, s, lefts[b], len(rows)-(low-lefts[b]))
		})
	}
	g.index, g.scratch = dst, g.index[:cap(g.index)]
}

// distribute writes the records and numbers of rows: those on the left from place low up, those on the right from below place
// high down.
func (g *grower) distribute(rows, dst []int32, s *sorter, low, high int) {
	high--
	side, words, pairs, records := *s, g.data.words, g.pairs, g.records.values
	if len(words) == 1 {
		word := words[0]
		for _, r := range rows {
			w := word[r]
			left := side.left(w)
			at := high ^ (high^low)&-left
			dst[at] = r
			record := records[2*at : 2*at+2 : 2*at+2]
			record[0], record[1] = w, pairs[r]
			low += left
			high += left - 1
		}
		return
	}
	stride := g.records.stride
	for _, r := range rows {
		left := side.left(words[side.word][r])
		at := high ^ (high^low)&-left
		dst[at] = r
		record := records[at*stride : (at+1)*stride]
		for k, word := range words {
			record[k] = word[r]
		}
		record[stride-1] = pairs[r]
		low += left
		high += left - 1
	}
}

// move divides records and their rows in place. Several goroutines divide a part each, and what is then on the wrong side of the
// whole changes places.
func (g *grower) move(rows []int32, records records, s *sorter, left int, last bool) {
	threads := g.workers(len(rows))
	part := func(k int) (low, high int) { return k * len(rows) / threads, (k + 1) * len(rows) / threads }
	lefts := make([]int, threads)
	parallel(threads, threads, func(k int) {
		low, high := part(k)
		if last {
			lefts[k] = moveNumbers(rows[low:high], records.of(low, high), *s)
		} else {
			lefts[k] = moveInPlace(rows[low:high], records.of(low, high), *s)
		}
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
		if !last {
			exchange(records.of(gap.low, gap.low+n).values, records.of(stray.low, stray.low+n).values)
		}
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

// moveInPlace moves records and rows on the left to the front without a branch, and returns their number: each in turn changes places with the
// first one known to be on the right, which is itself if there is none, and then counts as left or right.
func moveInPlace(rows []int32, records records, s sorter) int {
	left := 0
	values, stride := records.values, records.stride
	if stride == 2 {
		for i, r := range rows {
			x := values[2*i : 2*i+2 : 2*i+2]
			y := values[2*left : 2*left+2 : 2*left+2]
			word, pair := x[0], x[1]
			x[0], x[1] = y[0], y[1]
			y[0], y[1] = word, pair
			rows[i] = rows[left]
			rows[left] = r
			left += s.left(word)
		}
		return left
	}
	for i, r := range rows {
		x, y := values[i*stride:(i+1)*stride], values[left*stride:(left+1)*stride]
		word := x[s.word]
		exchange(x, y)
		rows[i] = rows[left]
		rows[left] = r
		left += s.left(word)
	}
	return left
}

// moveNumbers is moveInPlace for the numbers of rows alone.
func moveNumbers(rows []int32, records records, s sorter) int {
	left := 0
	values := records.values[s.word:]
	for i, r := range rows {
		word := values[i*records.stride]
		rows[i] = rows[left]
		rows[left] = r
		left += s.left(word)
	}
	return left
}

// partitionRows moves the numbers of rows on the left to the front and keeps the order on both sides. Blocks of rows are divided each for itself
// into g.scratch, and their pieces then moved to where they belong.
func (g *grower) partitionRows(rows []int32, s *sorter) {
	n := blocks(len(rows))
	words := g.data.words[s.word]
	if n == 1 {
		divideInPlace(rows, g.scratch, words, *s)
		return
	}
	threads := g.workers(len(rows))
	parallel(threads, n, func(b int) {
		low, high := block(b, len(rows))
		g.leftOf[b] = divideBlock(rows[low:high], g.scratch[low:high], words, *s)
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
}

// divideInPlace partitions rows with the help of scratch.
func divideInPlace(rows, scratch []int32, words []uint64, s sorter) {
	scratch = scratch[:len(rows)]
	left := 0
	for i, r := range rows {
		side := s.left(words[r])
		rows[left] = r
		scratch[i-left] = r
		left += side
	}
	copy(rows[left:], scratch)
}

// divideBlock writes the rows on the left to the front of dst and those on the right after them, and returns the number of the first.
func divideBlock(rows, dst []int32, words []uint64, s sorter) int {
	var right [blockRows]int32
	left := 0
	for i, r := range rows {
		side := s.left(words[r])
		dst[left] = r
		right[(i-left)&(blockRows-1)] = r
		left += side
	}
	copy(dst[left:], right[:len(rows)-left])
	return left
}
