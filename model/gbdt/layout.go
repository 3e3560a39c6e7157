package gbdt

import "slices"

const (
	// byteLanes and shortLanes are the lanes in one word of 64 bits.
	byteLanes  = 8
	shortLanes = 4
	byteSize   = 256
)

// lane is a byte of every row, or 16 bits of it, that holds the bins of one or more columns as the digits of a number: the first
// column's is the lowest. So several columns with few bins cost one histogram update per row instead of one each, and no information is lost.
type lane struct {
	columns []int
	// size is the product of the columns' levels.
	size int
	wide bool
	// word is the array that holds the lane, shift the number of its lowest bit there.
	word  int
	shift uint
}

// digit is where a column's bin is found: digit (v / stride) % levels of its lane's value v. A column of a single level has lane -1, and
// its bin is always constant.
type digit struct {
	lane           int
	stride, levels int
	constant       int
}

// bin returns the bin that a value of the column's lane stands for.
func (p digit) bin(v int) int {
	if p.lane < 0 {
		return p.constant
	}
	return v / p.stride % p.levels
}

// layout says where each column's bins are in a row's words. Lanes of bytes come first, eight to a word, then those of 16 bits, four to
// a word.
type layout struct {
	lanes     []lane
	digits    []digit
	byteLanes int
	byteWords int
	words     int
}

// newLayout packs the columns that have more than one level into lanes, those with most levels first, each into the first lane
// with room.
func newLayout(columns []column) *layout {
	l := &layout{digits: make([]digit, len(columns))}
	var order, wide []int
	for f := range columns {
		c := &columns[f]
		p := &l.digits[f]
		p.lane, p.stride, p.levels = -1, 1, c.levels()
		switch {
		case !c.splittable():
			if c.missing {
				p.constant = c.bins()
			}
		case p.levels > byteSize:
			wide = append(wide, f)
		default:
			order = append(order, f)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return l.digits[b].levels - l.digits[a].levels })
	for _, f := range order {
		l.bundle(f)
	}
	l.byteLanes = len(l.lanes)
	l.byteWords = (l.byteLanes + byteLanes - 1) / byteLanes
	for i := range l.lanes {
		l.lanes[i].word, l.lanes[i].shift = i/byteLanes, uint(i%byteLanes)*8
	}
	for i, f := range wide {
		l.digits[f].lane = len(l.lanes)
		l.lanes = append(l.lanes, lane{
			columns: []int{f}, size: l.digits[f].levels, wide: true, word: l.byteWords + i/shortLanes, shift: uint(i%shortLanes) * 16,
		})
	}
	l.words = l.byteWords + (len(wide)+shortLanes-1)/shortLanes
	return l
}

// bundle adds a column to the first lane with room for it, or to a new one.
func (l *layout) bundle(f int) {
	p := &l.digits[f]
	for i := range l.lanes {
		if have := &l.lanes[i]; have.size*p.levels <= byteSize {
			p.lane, p.stride = i, have.size
			have.columns = append(have.columns, f)
			have.size *= p.levels
			return
		}
	}
	p.lane = len(l.lanes)
	l.lanes = append(l.lanes, lane{columns: []int{f}, size: p.levels})
}

// mask returns the bits of the lane's value once shifted down.
func (n *lane) mask() uint16 {
	if n.wide {
		return 1<<16 - 1
	}
	return byteSize - 1
}

// recode returns the words of rows that are in layout from, in layout l, whose columns are the same but may have fewer levels. It
// leaves from as it is.
func (l *layout) recode(threads, rows int, from *layout, words [][]uint64) [][]uint64 {
	recoded := make([][]uint64, l.words)
	for i := range recoded {
		recoded[i] = make([]uint64, rows)
	}
	sources := make([][]laneSource, len(l.lanes))
	for i := range l.lanes {
		sources[i] = l.lanes[i].sources(l, from)
	}
	parallel(threads, blocks(rows), func(b int) {
		low, high := block(b, rows)
		for i := range l.lanes {
			to := &l.lanes[i]
			dst := recoded[to.word][low:high]
			for _, s := range sources[i] {
				src := words[s.lane.word][low:high]
				mask := s.lane.mask()
				for r, w := range src {
					// The digits of a lane add up to no more than its size.
					dst[r] += uint64(s.table[uint16(w>>s.lane.shift)&mask]) << to.shift
				}
			}
		}
	})
	return recoded
}

// laneSource is a lane of another layout that holds some columns of a lane, and what each of its values is worth in that lane.
type laneSource struct {
	lane  *lane
	table []uint16
}

// sources returns where the columns of lane n of layout l are in layout from.
func (n *lane) sources(l, from *layout) []laneSource {
	var all []laneSource
	for i := range from.lanes {
		old := &from.lanes[i]
		var shared []int
		for _, f := range old.columns {
			if slices.Contains(n.columns, f) {
				shared = append(shared, f)
			}
		}
		if shared == nil {
			continue
		}
		table := make([]uint16, int(old.mask())+1)
		for v := range old.size {
			for _, f := range shared {
				table[v] += uint16(from.digits[f].bin(v) * l.digits[f].stride)
			}
		}
		all = append(all, laneSource{lane: old, table: table})
	}
	return all
}

// sides fills table with the side that rows go to by their value of the column's lane, where sides by bin are given.
func (l *layout) sides(f int, byBin []uint8, table []uint8) []uint8 {
	p := l.digits[f]
	if p.lane < 0 {
		return append(table[:0], byBin[p.constant])
	}
	table = table[:0]
	for v := range l.lanes[p.lane].size {
		table = append(table, byBin[p.bin(v)])
	}
	return table
}
