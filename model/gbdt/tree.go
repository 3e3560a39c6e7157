package gbdt

// Bits of LightGBM's decision_type.
const (
	decisionCategorical = 1 << 0
	decisionDefaultLeft = 1 << 1
	missingShift        = 2
	missingNone         = 0
	missingZero         = 1
	missingNaN          = 2
	decisionKnown       = decisionDefaultLeft | 3<<missingShift
)

// tree is one tree in LightGBM's terms: inner nodes are numbered in the order they were split, and a child that is negative is
// the leaf of number ^child. A tree of one leaf has no nodes. Slices about nodes have one entry for each, those about leaves
// one more.
type tree struct {
	feature   []int32
	threshold []float64
	decision  []uint8
	left      []int32
	right     []int32

	gain           []float64
	internalValue  []float64
	internalWeight []float64
	internalCount  []int64

	leafValue  []float64
	leafWeight []float64
	leafCount  []int64

	// The category sets of the categorical nodes: the threshold of such a node is the number k of its set, whose members are the
	// bits of catWords[catBounds[k]:catBounds[k+1]], category c being bit c%32 of word c/32. A value of the set goes left, any
	// other right. Both are nil where no node is categorical.
	catBounds []int32
	catWords  []uint32

	shrinkage float64
}

// missingType returns what the split of a node takes for missing.
func (t *tree) missingType(node int) int {
	return int(t.decision[node]>>missingShift) & 3
}

// zeroThreshold is the greatest magnitude that LightGBM takes for zero, a single-precision constant there.
const zeroThreshold = float64(float32(1e-35))

// categorical reports whether a node splits by a set of categories.
func (t *tree) categorical(node int) bool {
	return t.decision[node]&decisionCategorical != 0
}

// words returns the set of a categorical node.
func (t *tree) words(node int) []uint32 {
	k := int(t.threshold[node])
	return t.catWords[t.catBounds[k]:t.catBounds[k+1]]
}

// inSet reports whether the set holds a value, whose fraction is cut off first: so -0.5 is category 0. NaN, infinities and
// whatever lies beyond the set are not in it.
func inSet(words []uint32, v float64) bool {
	if !(v > -1 && v < float64(32*len(words))) {
		return false
	}
	c := uint(int(v))
	return words[c/32]>>(c%32)&1 != 0
}

// missingLeft reports whether NaN goes left. Where only zeros or nothing counts as missing, LightGBM reads NaN as 0. A
// categorical split sends it right, in LightGBM; only XGBoost has ones that send it to the side of the set, which have the
// default-left bit here.
func (t *tree) missingLeft(node int) bool {
	if t.missingType(node) == missingNone && !t.categorical(node) {
		return 0 <= t.threshold[node]
	}
	return t.decision[node]&decisionDefaultLeft != 0
}

// goesLeft reports whether a row goes to the left child of a node.
func (t *tree) goesLeft(node int32, x []float64) bool {
	v := x[t.feature[node]]
	switch {
	case v != v:
		return t.missingLeft(int(node))
	case t.categorical(int(node)):
		return inSet(t.words(int(node)), v)
	case t.missingType(int(node)) == missingZero && v >= -zeroThreshold && v <= zeroThreshold:
		return t.missingLeft(int(node))
	}
	return v <= t.threshold[node]
}

// leaf returns the number of the leaf that a row falls into. It is the plain statement of what scorer does fast.
func (t *tree) leaf(x []float64) int32 {
	if len(t.feature) == 0 {
		return 0
	}
	var at int32
	for at >= 0 {
		if t.goesLeft(at, x) {
			at = t.left[at]
		} else {
			at = t.right[at]
		}
	}
	return ^at
}

// addBias adds to every value of the tree, which then no longer is a multiple of the learning rate.
func (t *tree) addBias(bias float64) {
	for i := range t.leafValue {
		t.leafValue[i] += bias
	}
	for i := range t.internalValue {
		t.internalValue[i] += bias
	}
	t.shrinkage = 1
}
