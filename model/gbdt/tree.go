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

// defaultSide returns the child that NaN goes to. Where only zeros or nothing counts as missing, LightGBM reads NaN as 0.
func (t *tree) defaultSide(node int) int32 {
	left := t.decision[node]&decisionDefaultLeft != 0
	if t.missingType(node) == missingNone {
		left = 0 <= t.threshold[node]
	}
	if left {
		return t.left[node]
	}
	return t.right[node]
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
