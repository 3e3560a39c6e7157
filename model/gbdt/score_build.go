package gbdt

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"
)

// newScorers returns scorers of the trees, each of some that follow one another.
func newScorers(trees []tree) []*scorer {
	var all []*scorer
	b := newScorerBuilder()
	first := 0
	for i := range trees {
		if b.collect(&trees[i]) {
			continue
		}
		if i > first {
			all = append(all, b.finish(trees[first:i]))
			b, first = newScorerBuilder(), i
			if b.collect(&trees[i]) {
				continue
			}
		}
		all = append(all, &scorer{trees: trees[i : i+1]})
		b, first = newScorerBuilder(), i+1
	}
	if first < len(trees) {
		all = append(all, b.finish(trees[first:]))
	}
	return all
}

// scorerBuilder makes a scorer of trees: first the slots of all of them, then the nodes.
type scorerBuilder struct {
	scorer
	slotOf map[slot]int32
	setOf  map[string]int32
	key    []byte
	// slotAt holds the slot of each node of the trees, one after the other, while nodes are still to be made.
	slotAt  []int32
	made    int
	waiting []place
}

// place is a node that is still to be made: its number, what it is made from, a node or ^leaf of the tree, and its depth.
type place struct {
	at          uint32
	from, depth int32
}

func newScorerBuilder() *scorerBuilder {
	return &scorerBuilder{slotOf: map[slot]int32{}, setOf: map[string]int32{}}
}

// finish returns the scorer of the trees that were collected.
func (b *scorerBuilder) finish(trees []tree) *scorer {
	b.order()
	nodes := 2*len(b.slotAt) + len(trees)
	b.nodes, b.values = make([]scoreNode, 0, nodes), make([]float64, 0, nodes)
	for i := range trees {
		b.add(&trees[i])
	}
	s := b.scorer
	s.trees = trees
	s.wide = sync.OnceValue(func() *wideScorer { return newWideScorer(&s) })
	return &s
}

// collect gives each node of a tree its slot. If there are too many it gives none and returns false, and must not be called again.
func (b *scorerBuilder) collect(t *tree) bool {
	slots, nodes := len(b.slots), len(b.slotAt)
	for node := range t.feature {
		need := b.need(t, node)
		at, ok := b.slotOf[need]
		if !ok {
			at = int32(len(b.slots))
			b.slotOf[need] = at
			b.slots = append(b.slots, need)
		}
		b.slotAt = append(b.slotAt, at)
	}
	if len(b.slots) <= maxSlots {
		return true
	}
	b.slots, b.slotAt = b.slots[:slots], b.slotAt[:nodes]
	return false
}

// need returns the slot that a node looks at.
func (b *scorerBuilder) need(t *tree, node int) slot {
	need := slot{feature: t.feature[node], missing: math.Inf(1)}
	if t.missingLeft(node) {
		need.missing = math.Inf(-1)
	}
	switch {
	case t.categorical(node):
		words := t.words(node)
		if mask, ok := smallSet(words); ok {
			if t.missingLeft(node) {
				mask |= 1 << codeMissing
			}
			return slot{feature: need.feature, kind: slotSmallSet, mask: mask}
		}
		need.kind, need.set = slotSet, b.set(words)
	case t.missingType(node) == missingZero:
		need.kind = slotZeroMissing
	}
	return need
}

// set returns the number of a set of categories, equal ones having the same.
func (b *scorerBuilder) set(words []uint32) int32 {
	b.key = b.key[:0]
	for _, w := range words {
		b.key = binary.LittleEndian.AppendUint32(b.key, w)
	}
	number, ok := b.setOf[string(b.key)]
	if !ok {
		number = int32(len(b.sets))
		b.setOf[string(b.key)] = number
		b.sets = append(b.sets, words)
	}
	return number
}

// smallSet returns a set as one word, or false if it has categories that are no codes.
func smallSet(words []uint32) (mask uint64, ok bool) {
	for i, w := range words {
		switch i {
		case 0, 1:
			mask |= uint64(w) << (32 * i)
		default:
			if w != 0 {
				return 0, false
			}
		}
	}
	return mask, mask>>codeOther == 0
}

// order sorts the slots by kind, and those of small sets by feature.
func (b *scorerBuilder) order() {
	by := make([]int32, len(b.slots))
	for i := range by {
		by[i] = int32(i)
	}
	slices.SortStableFunc(by, func(i, j int32) int {
		p, q := b.slots[i], b.slots[j]
		if p.kind != q.kind || p.kind != slotSmallSet {
			return int(p.kind) - int(q.kind)
		}
		return int(p.feature) - int(q.feature)
	})
	to := make([]int32, len(b.slots))
	ordered := make([]slot, len(b.slots))
	for at, i := range by {
		to[i], ordered[at] = int32(at), b.slots[i]
		switch ordered[at].kind {
		case slotNumber:
			b.plain, b.small = at+1, at+1
		case slotSmallSet:
			b.small = at + 1
		}
	}
	b.slots = ordered
	for i, at := range b.slotAt {
		b.slotAt[i] = to[at]
	}
}

// add appends a tree whose nodes collect has seen, each level after the one above it.
func (b *scorerBuilder) add(t *tree) {
	root := uint32(len(b.nodes))
	b.roots = append(b.roots, root)
	b.nodes, b.values = append(b.nodes, scoreNode{}), append(b.values, 0)
	b.waiting = append(b.waiting[:0], place{at: root})
	if len(t.feature) == 0 {
		b.waiting[0].from = -1
	}
	var depth int32
	for i := 0; i < len(b.waiting); i++ {
		p := b.waiting[i]
		if p.from < 0 {
			depth = max(depth, p.depth)
			b.nodes[p.at] = scoreNode{threshold: math.Inf(1), left: p.at}
			b.values[p.at] = t.leafValue[^p.from]
			continue
		}
		left := uint32(len(b.nodes))
		b.nodes, b.values = append(b.nodes, scoreNode{}, scoreNode{}), append(b.values, 0, 0)
		threshold := t.threshold[p.from]
		if t.categorical(int(p.from)) {
			threshold = 0
		}
		b.nodes[p.at] = scoreNode{threshold: threshold, left: left, slot: uint8(b.slotAt[b.made+int(p.from)])}
		b.waiting = append(b.waiting, place{left, t.left[p.from], p.depth + 1}, place{left + 1, t.right[p.from], p.depth + 1})
	}
	b.depths = append(b.depths, depth)
	b.made += len(t.feature)
}
