package gbdt

import (
	"math"
	"slices"
)

// wideScorer scores eight rows at once where no tree is deeper than wideDepth, which costs about half a dozen instructions for a row and
// a tree.
//
// Each slot's values are first replaced by ranks: how many of the thresholds that the trees compare it with, 127 at most, lie
// below. The ranks of eight rows are the bytes of one word, a lane; a slot with more thresholds has several lanes. A node that sends ranks
// above j right then needs one addition for the eight rows: adding 127-j sets the top bit of just those bytes. All nodes of a
// tree, which is filled up to full depth, are evaluated so, and the words are selected among, level by level, by the top bits of those above.
// The top bits of what was selected are the numbers of the leaves. Values are added in the order of the trees, so that sums
// have the same bits as scorer's.
type wideScorer struct {
	lanes []wideLane
	// shallow holds the trees if none is deeper than 3, deep all of them otherwise.
	shallow []wideTree3
	deep    []wideTree4
}

const (
	wideRows = 8
	// wideDepth is the depth of the deepest tree, and wideLanes the number of lanes, that a wideScorer takes.
	wideDepth = 4
	wideLanes = 256
	// wideRank is the greatest rank.
	wideRank = 127
	// spread times a byte has that in each of its bytes.
	spread = 0x0101010101010101
	tops   = 0x80 * spread
)

// wideLane says how a lane is computed.
type wideLane struct {
	slot slot
	// thresholds rise, and are filled up with +Inf to one less than a power of two.
	thresholds []float64
}

// wideTree3 is a tree of depth 3. Children of node n are 2n+1 and 2n+2.
type wideTree3 struct {
	add    [7]uint64
	lane   [7]uint8
	values [8]float64
}

// wideTree4 is a tree of depth 4.
type wideTree4 struct {
	add    [15]uint64
	lane   [15]uint8
	values [16]float64
}

// newWideScorer returns nil where the trees are too deep, or have too many thresholds.
func newWideScorer(s *scorer) *wideScorer {
	depth := slices.Max(s.depths)
	if depth > wideDepth {
		return nil
	}
	thresholds := make([][]float64, len(s.slots))
	for at := range s.nodes {
		if n := &s.nodes[at]; !s.isLeaf(uint32(at)) {
			thresholds[n.slot] = append(thresholds[n.slot], n.threshold)
		}
	}
	w := &wideScorer{}
	firstLane := make([]int, len(s.slots))
	for i, list := range thresholds {
		slices.Sort(list)
		list = slices.Compact(list)
		thresholds[i], firstLane[i] = list, len(w.lanes)
		for part := range slices.Chunk(list, wideRank) {
			size := 1
			for size < len(part) {
				size = 2*size + 1
			}
			filled := append(make([]float64, 0, size), part...)
			for len(filled) < size {
				filled = append(filled, math.Inf(1))
			}
			w.lanes = append(w.lanes, wideLane{slot: s.slots[i], thresholds: filled})
		}
		if len(w.lanes) > wideLanes {
			return nil
		}
	}
	f := wideFiller{scorer: s, thresholds: thresholds, firstLane: firstLane}
	if depth < wideDepth {
		w.shallow = make([]wideTree3, len(s.roots))
		for i, root := range s.roots {
			t := &w.shallow[i]
			f.fill(root, 0, t.add[:], t.lane[:], t.values[:])
		}
		return w
	}
	w.deep = make([]wideTree4, len(s.roots))
	for i, root := range s.roots {
		t := &w.deep[i]
		f.fill(root, 0, t.add[:], t.lane[:], t.values[:])
	}
	return w
}

// wideFiller turns nodes of a scorer into those of a wideScorer.
type wideFiller struct {
	*scorer
	thresholds [][]float64
	firstLane  []int
}

// fill sets node n of a tree, or beyond the last level a value, and all under it. A leaf that lies above the last level is the
// value of all under it: a node with nothing to add sends no rank right.
func (f *wideFiller) fill(at uint32, n int, add []uint64, lane []uint8, values []float64) {
	if n >= len(add) {
		values[n-len(add)] = f.values[at]
		return
	}
	left, right := at, at
	if !f.isLeaf(at) {
		node := &f.nodes[at]
		left, right = node.left, node.left+1
		rank, _ := slices.BinarySearch(f.thresholds[node.slot], node.threshold)
		add[n] = spread * uint64(wideRank-rank%wideRank)
		lane[n] = uint8(f.firstLane[node.slot] + rank/wideRank)
	}
	f.fill(left, 2*n+1, add, lane, values)
	f.fill(right, 2*n+2, add, lane, values)
}

// addAll adds the trees' values for as many rows as come in full eights, and returns for how many it did.
func (w *wideScorer) addAll(s *scorer, x, dst []float64, width int) int {
	var lanes [wideLanes]uint64
	var codes [wideRows]uint64
	rows := len(dst) / wideRows * wideRows
	for i := 0; i < rows; i += wideRows {
		block := x[i*width : (i+wideRows)*width]
		of := int32(-1)
		for j := range w.lanes {
			l := &w.lanes[j]
			if l.slot.kind != slotSmallSet {
				lanes[j] = l.ranks(s, block, width)
				continue
			}
			if l.slot.feature != of {
				of = l.slot.feature
				for r := range codes {
					codes[r] = code(block[r*width+int(of)])
				}
			}
			lanes[j] = l.sides(&codes)
		}
		out := (*[wideRows]float64)(dst[i:])
		if w.deep != nil {
			w.sumDeep(&lanes, out)
		} else {
			w.sumShallow(&lanes, out)
		}
	}
	return rows
}

// ranks returns the ranks of eight rows' values. A missing value compares as its slot wants: it is never above a threshold if
// missing values go left, and always if they go right.
func (l *wideLane) ranks(s *scorer, x []float64, width int) uint64 {
	if l.slot.kind == slotNumber && len(l.thresholds) == 1 {
		return l.single(x, width)
	}
	var values [wideRows]float64
	for r := range values {
		values[r] = x[r*width+int(l.slot.feature)]
	}
	if l.slot.kind != slotNumber {
		for r, v := range values {
			values[r] = s.special(&l.slot, v)
		}
	}
	var ranks [wideRows]int
	if l.slot.missing < 0 {
		rankLeft(l.thresholds, &values, &ranks)
	} else {
		rankRight(l.thresholds, &values, &ranks)
	}
	var word uint64
	for _, rank := range ranks {
		word = word>>8 | uint64(rank)<<56
	}
	return word
}

// sides is ranks for a small set of categories: 0 for the codes that go left and 1 for others.
func (l *wideLane) sides(codes *[wideRows]uint64) uint64 {
	var word uint64
	for _, c := range codes {
		word = word>>8 | l.slot.side(c)<<56
	}
	return word
}

// single is ranks for numbers and one threshold, as columns of yes and no have.
func (l *wideLane) single(x []float64, width int) uint64 {
	var word uint64
	t, i := l.thresholds[0], int(l.slot.feature)
	if l.slot.missing < 0 {
		for range wideRows {
			var above uint64
			if x[i] > t {
				above = 1
			}
			word = word>>8 | above<<56
			i += width
		}
		return word
	}
	for range wideRows {
		var above uint64
		if !(x[i] <= t) {
			above = 1
		}
		word = word>>8 | above<<56
		i += width
	}
	return word
}

// rankLeft adds to each rank how many thresholds are less than the value, 0 for NaN: a binary search of eight values at once
// without branches that depend on data.
func rankLeft(thresholds []float64, values *[wideRows]float64, ranks *[wideRows]int) {
	for step := (len(thresholds) + 1) / 2; step > 0; step /= 2 {
		for r, v := range values {
			above := 0
			if v > thresholds[ranks[r]+step-1] {
				above = 1
			}
			ranks[r] += step & -above
		}
	}
}

// rankRight is rankLeft with all thresholds less than NaN.
func rankRight(thresholds []float64, values *[wideRows]float64, ranks *[wideRows]int) {
	for step := (len(thresholds) + 1) / 2; step > 0; step /= 2 {
		for r, v := range values {
			above := 0
			if !(v <= thresholds[ranks[r]+step-1]) {
				above = 1
			}
			ranks[r] += step & -above
		}
	}
}

// sumShallow adds to the sums of eight rows the values of trees of depth 3.
func (w *wideScorer) sumShallow(lanes *[wideLanes]uint64, out *[wideRows]float64) {
	a, b, c, d, e, f, g, h := out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7]
	for i := range w.shallow {
		t := &w.shallow[i]
		top := lanes[t.lane[0]] + t.add[0]
		left, right := lanes[t.lane[1]]+t.add[1], lanes[t.lane[2]]+t.add[2]
		second := pick(left, right, top)
		left = pick(lanes[t.lane[3]]+t.add[3], lanes[t.lane[4]]+t.add[4], second)
		right = pick(lanes[t.lane[5]]+t.add[5], lanes[t.lane[6]]+t.add[6], second)
		third := pick(left, right, top)
		leaf := (top&tops | second&tops>>1 | third&tops>>2) >> 5
		a += t.values[leaf&7]
		b += t.values[leaf>>8&7]
		c += t.values[leaf>>16&7]
		d += t.values[leaf>>24&7]
		e += t.values[leaf>>32&7]
		f += t.values[leaf>>40&7]
		g += t.values[leaf>>48&7]
		h += t.values[leaf>>56&7]
	}
	*out = [wideRows]float64{a, b, c, d, e, f, g, h}
}

// sumDeep adds to the sums of eight rows the values of trees of depth 4.
func (w *wideScorer) sumDeep(lanes *[wideLanes]uint64, out *[wideRows]float64) {
	a, b, c, d, e, f, g, h := out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7]
	for i := range w.deep {
		t := &w.deep[i]
		top := lanes[t.lane[0]] + t.add[0]
		second := pick(lanes[t.lane[1]]+t.add[1], lanes[t.lane[2]]+t.add[2], top)
		left := pick(lanes[t.lane[3]]+t.add[3], lanes[t.lane[4]]+t.add[4], second)
		right := pick(lanes[t.lane[5]]+t.add[5], lanes[t.lane[6]]+t.add[6], second)
		third := pick(left, right, top)
		left = pick(
			pick(lanes[t.lane[7]]+t.add[7], lanes[t.lane[8]]+t.add[8], third),
			pick(lanes[t.lane[9]]+t.add[9], lanes[t.lane[10]]+t.add[10], third), second)
		right = pick(
			pick(lanes[t.lane[11]]+t.add[11], lanes[t.lane[12]]+t.add[12], third),
			pick(lanes[t.lane[13]]+t.add[13], lanes[t.lane[14]]+t.add[14], third), second)
		fourth := pick(left, right, top)
		leaf := (top&tops | second&tops>>1 | third&tops>>2 | fourth&tops>>3) >> 4
		a += t.values[leaf&15]
		b += t.values[leaf>>8&15]
		c += t.values[leaf>>16&15]
		d += t.values[leaf>>24&15]
		e += t.values[leaf>>32&15]
		f += t.values[leaf>>40&15]
		g += t.values[leaf>>48&15]
		h += t.values[leaf>>56&15]
	}
	*out = [wideRows]float64{a, b, c, d, e, f, g, h}
}

// pick returns the bits of right where by has ones and those of left elsewhere.
func pick(left, right, by uint64) uint64 {
	return left ^ (left^right)&by
}
