package gbdt

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// xgbTree is a tree of XGBoost: parallel lists with one entry for each node, inner or leaf, among them deleted ones that no
// link leads to.
type xgbTree struct {
	Left        []int32    `json:"left_children"`
	Right       []int32    `json:"right_children"`
	Feature     []int32    `json:"split_indices"`
	Condition   []xgbFloat `json:"split_conditions"`
	DefaultLeft []xgbFlag  `json:"default_left"`
	SplitTypes  []int32    `json:"split_type"`
	Gain        []xgbFloat `json:"loss_changes"`
	Cover       []xgbFloat `json:"sum_hessian"`

	Categories []int32 `json:"categories"`
	CatNodes   []int32 `json:"categories_nodes"`
	CatStarts  []int32 `json:"categories_segments"`
	CatSizes   []int32 `json:"categories_sizes"`

	Param struct {
		SizeLeafVector xgbNumber `json:"size_leaf_vector"`
	} `json:"tree_param"`
}

// xgbFloat is a number of single precision, NaN for null, which stands for numbers that JSON cannot hold.
type xgbFloat float32

// UnmarshalJSON takes a number or null.
func (f *xgbFloat) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*f = xgbFloat(math.NaN())
		return nil
	}
	v, err := strconv.ParseFloat(string(data), 32)
	*f = xgbFloat(v)
	return err
}

// finite reports whether it is not NaN; infinities are never read.
func (f xgbFloat) finite() bool { return f == f }

// xgbFlag is a number, 0 or 1, or a truth value in early versions.
type xgbFlag bool

// UnmarshalJSON takes either.
func (f *xgbFlag) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "0", "false":
		*f = false
	case "1", "true":
		*f = true
	default:
		return fmt.Errorf("flag %s is neither 0 nor 1", clip(string(data)))
	}
	return nil
}

// maxCategory is the greatest category of a file, which bounds the size of a set.
const maxCategory = 1<<24 - 1

// check reports whether the lists are there and have the same length.
func (x *xgbTree) check() error {
	if !x.Param.SizeLeafVector.in("", "0", "1") {
		return fmt.Errorf("size_leaf_vector is %q: leaves of several values are not supported", clip(string(x.Param.SizeLeafVector)))
	}
	n := len(x.Left)
	if n == 0 || n > 2*maxLeaves {
		return fmt.Errorf("left_children has %d entries, want 1 to %d", n, 2*maxLeaves)
	}
	for _, list := range []struct {
		name     string
		len      int
		optional bool
	}{
		{"right_children", len(x.Right), false}, {"split_indices", len(x.Feature), false},
		{"split_conditions", len(x.Condition), false}, {"default_left", len(x.DefaultLeft), false},
		{"split_type", len(x.SplitTypes), true}, {"loss_changes", len(x.Gain), true}, {"sum_hessian", len(x.Cover), true},
	} {
		if list.len != n && !(list.optional && list.len == 0) {
			return fmt.Errorf("%s has %d entries, want %d", list.name, list.len, n)
		}
	}
	if len(x.CatStarts) != len(x.CatNodes) || len(x.CatSizes) != len(x.CatNodes) {
		return errors.New("categories_nodes, categories_segments and categories_sizes differ in length")
	}
	return nil
}

// convert returns the tree in our terms. Its sets may take up to so many words.
func (x *xgbTree) convert(words int) (*tree, error) {
	if err := x.check(); err != nil {
		return nil, err
	}
	t := &tree{shrinkage: 1}
	setOf, err := x.setsOfNodes()
	if err != nil {
		return nil, err
	}
	// A link is where the number of a node of ours goes: to the left or right child of another, or nowhere for the root.
	type link struct {
		from  int32
		to    *[]int32
		under int
	}
	nodes := []link{{from: 0}}
	taken := 0
	for len(nodes) > 0 {
		at := nodes[len(nodes)-1]
		nodes = nodes[:len(nodes)-1]
		if taken++; taken > len(x.Left) {
			return nil, errors.New("a node is reached twice")
		}
		i := at.from
		var number int32
		if x.Left[i] == -1 {
			number = ^int32(len(t.leafValue))
			if err := x.addLeaf(t, i); err != nil {
				return nil, err
			}
		} else {
			number = int32(len(t.feature))
			left, right, err := x.addNode(t, i, setOf, words)
			if err != nil {
				return nil, err
			}
			nodes = append(nodes, link{right, &t.right, int(number)}, link{left, &t.left, int(number)})
		}
		if at.to != nil {
			(*at.to)[at.under] = number
		}
	}
	t.finishStatistics()
	return t, t.checkLinks()
}

// setsOfNodes returns the number of each node's set of categories, -1 for nodes that have none; nil if none has. Sets that
// share categories of the list are refused, as reading each would take more time than the list's length.
func (x *xgbTree) setsOfNodes() ([]int32, error) {
	if len(x.CatNodes) == 0 {
		return nil, nil
	}
	setOf := make([]int32, len(x.Left))
	for i := range setOf {
		setOf[i] = -1
	}
	rest := int64(len(x.Categories))
	for k, node := range x.CatNodes {
		if node < 0 || int(node) >= len(setOf) {
			return nil, fmt.Errorf("categories_nodes has node %d of %d", node, len(setOf))
		}
		if setOf[node] >= 0 {
			return nil, fmt.Errorf("categories_nodes has node %d twice", node)
		}
		start, size := int64(x.CatStarts[k]), int64(x.CatSizes[k])
		if start < 0 || size < 0 || start+size > int64(len(x.Categories)) {
			return nil, fmt.Errorf("node %d: categories %d to %d of %d", node, start, start+size, len(x.Categories))
		}
		if rest -= size; rest < 0 {
			return nil, fmt.Errorf("node %d: the sets hold more than the %d categories listed", node, len(x.Categories))
		}
		setOf[node] = int32(k)
	}
	return setOf, nil
}

// addLeaf appends node i, a leaf.
func (x *xgbTree) addLeaf(t *tree, i int32) error {
	if x.Right[i] != -1 {
		return fmt.Errorf("node %d has a right child only", i)
	}
	if !x.Condition[i].finite() {
		return fmt.Errorf("node %d has no finite value", i)
	}
	t.leafValue = append(t.leafValue, float64(x.Condition[i]))
	t.leafWeight = append(t.leafWeight, at(x.Cover, i))
	t.leafCount = append(t.leafCount, 0)
	return nil
}

// addNode appends node i, an inner one, and returns the nodes that are to be its children here.
func (x *xgbTree) addNode(t *tree, i int32, setOf []int32, words int) (left, right int32, err error) {
	left, right = x.Left[i], x.Right[i]
	for _, child := range [2]int32{left, right} {
		if child <= 0 || int(child) >= len(x.Left) {
			return 0, 0, fmt.Errorf("node %d has child %d of %d", i, child, len(x.Left))
		}
	}
	if x.Feature[i] < 0 || x.Feature[i] == math.MaxInt32 {
		return 0, 0, fmt.Errorf("node %d splits on feature %d", i, x.Feature[i])
	}
	missingLeft := bool(x.DefaultLeft[i])
	decision, threshold := uint8(missingNaN<<missingShift), 0.0
	switch kind := int32(at(x.SplitTypes, i)); kind {
	case 0:
		if !x.Condition[i].finite() {
			return 0, 0, fmt.Errorf("node %d has no finite threshold", i)
		}
		threshold = lastBefore(float32(x.Condition[i]))
	case 1:
		// A category of the set goes right there and left here.
		left, right, missingLeft = right, left, !missingLeft
		decision |= decisionCategorical
		threshold = float64(max(len(t.catBounds)-1, 0))
		if err := x.addSet(t, i, setOf, words); err != nil {
			return 0, 0, err
		}
	default:
		return 0, 0, fmt.Errorf("node %d: unknown split_type %d", i, kind)
	}
	if missingLeft {
		decision |= decisionDefaultLeft
	}
	t.feature, t.threshold, t.decision = append(t.feature, x.Feature[i]), append(t.threshold, threshold), append(t.decision, decision)
	t.left, t.right = append(t.left, 0), append(t.right, 0)
	t.gain = append(t.gain, at(x.Gain, i))
	t.internalWeight = append(t.internalWeight, at(x.Cover, i))
	t.internalValue, t.internalCount = append(t.internalValue, 0), append(t.internalCount, 0)
	return left, right, nil
}

// addSet appends the categories of node i.
func (x *xgbTree) addSet(t *tree, i int32, setOf []int32, words int) error {
	if setOf == nil || setOf[i] < 0 {
		return fmt.Errorf("node %d: no categories", i)
	}
	k := setOf[i]
	categories := x.Categories[x.CatStarts[k]:][:x.CatSizes[k]]
	greatest := int32(-1)
	for _, c := range categories {
		if c < 0 || c > maxCategory {
			return fmt.Errorf("node %d: category %d, want 0 to %d", i, c, maxCategory)
		}
		greatest = max(greatest, c)
	}
	before, need := len(t.catWords), int(greatest+32)/32
	if before+need > words {
		return fmt.Errorf("node %d: category %d makes the sets too large for the size of the file", i, greatest)
	}
	t.catWords = append(t.catWords, make([]uint32, need)...)
	for _, c := range categories {
		t.catWords[before+int(c)/32] |= 1 << (c % 32)
	}
	if t.catBounds == nil {
		t.catBounds = []int32{0}
	}
	t.catBounds = append(t.catBounds, int32(len(t.catWords)))
	return nil
}

// finishStatistics sets the value of each inner node to the mean of the leaves under it, weighted by their cover. Children
// must come after their parents.
func (t *tree) finishStatistics() {
	of := func(child int32) (value, weight float64) {
		if child < 0 {
			return t.leafValue[^child], t.leafWeight[^child]
		}
		return t.internalValue[child], t.internalWeight[child]
	}
	for i := len(t.feature) - 1; i >= 0; i-- {
		left, leftWeight := of(t.left[i])
		right, rightWeight := of(t.right[i])
		if total := leftWeight + rightWeight; total > 0 {
			t.internalValue[i] = float64(left*(leftWeight/total)) + float64(right*(rightWeight/total))
		}
	}
}

// at returns entry i of a list, 0 if the list is not there or the entry is NaN.
func at[E int32 | xgbFloat](list []E, i int32) float64 {
	if len(list) == 0 || list[i] != list[i] {
		return 0
	}
	return float64(list[i])
}

// lastBefore returns the greatest number that, rounded to single precision, is less than t, which must be finite: the midpoint
// between t and the single-precision number before it if a tie rounds to that one, whose last bit is even then, and else the
// number before the midpoint.
func lastBefore(t float32) float64 {
	before := math.Nextafter32(t, float32(math.Inf(-1)))
	low, even := float64(before), math.Float32bits(before)&1 == 0
	if math.IsInf(low, -1) {
		low = -1 << 128 // below the least number, rounding acts as if this were the next one
	}
	middle := low/2 + float64(t)/2
	if even {
		return middle
	}
	return math.Nextafter(middle, math.Inf(-1))
}
