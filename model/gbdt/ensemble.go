package gbdt

import (
	"fmt"
	"slices"
)

// Ensemble is a fitted sum of trees. It is immutable and safe for concurrent use. Make one with [Train] or [ParseText].
type Ensemble struct {
	names      []string
	infos      []string
	parameters []string
	trees      []tree
	flat       flatTrees
}

// newEnsemble joins parts that have been checked, or were made by Train.
func newEnsemble(names, infos, parameters []string, trees []tree) *Ensemble {
	e := &Ensemble{names: names, infos: infos, parameters: parameters, trees: trees}
	for i := range trees {
		e.flat.add(&trees[i])
	}
	return e
}

// Width returns the number of features that a row must have.
func (e *Ensemble) Width() int { return len(e.names) }

// Trees returns the number of trees, at least 1.
func (e *Ensemble) Trees() int { return len(e.trees) }

// FeatureNames returns a copy of the features' names in the order of a row.
func (e *Ensemble) FeatureNames() []string { return slices.Clone(e.names) }

// Margin returns the raw log-odds of a row: the sum over the trees, in order, of the value of the leaf that the row falls into,
// the base score included. x must have Width values, NaN being missing; infinities are compared like other numbers. A slice of
// another length is a fault of the caller's code and panics with a message that says so; use [Ensemble.Score] where the
// length is not known to be right. Margin does not allocate.
func (e *Ensemble) Margin(x []float64) float64 {
	if len(x) != len(e.names) {
		e.refuse(x)
	}
	if e.flat.zeroMissing {
		return e.flat.marginZero(x)
	}
	return e.flat.margin(x)
}

// Probability returns [Sigmoid] of the row's Margin, on the same terms.
func (e *Ensemble) Probability(x []float64) float64 {
	return Sigmoid(e.Margin(x))
}

// Score returns the row's Margin, or an error where x does not have Width values. It never panics.
func (e *Ensemble) Score(x []float64) (margin float64, err error) {
	if len(x) != len(e.names) {
		return 0, fmt.Errorf("row has %d features, the model %d", len(x), len(e.names))
	}
	return e.Margin(x), nil
}

// Leaves appends to dst[:0] the number of the leaf that the row falls into, for each tree, counted within the tree as in the
// text format. It takes x on the terms of Margin, and allocates only if dst has too little room.
func (e *Ensemble) Leaves(x []float64, dst []int32) []int32 {
	if len(x) != len(e.names) {
		e.refuse(x)
	}
	dst = dst[:0]
	for i, root := range e.flat.roots {
		dst = append(dst, e.flat.leaf(root, x)-e.flat.firstLeaf[i])
	}
	return dst
}

// Importance returns the total gain of the splits on each feature, in the order of FeatureNames.
func (e *Ensemble) Importance() []float64 {
	total := make([]float64, len(e.names))
	for i := range e.trees {
		t := &e.trees[i]
		for node, f := range t.feature {
			total[f] += t.gain[node]
		}
	}
	return total
}

func (e *Ensemble) refuse(x []float64) {
	panic(fmt.Sprintf("gbdt: row has %d features, the model %d", len(x), len(e.names)))
}

// flatNode is an inner node with its children's numbers among all nodes of the ensemble; a negative one is the leaf ^child.
type flatNode struct {
	threshold            float64
	feature              int32
	left, right, missing int32
}

// flatTrees holds the nodes and leaf values of many trees in two slices without pointers.
type flatTrees struct {
	nodes     []flatNode
	values    []float64
	roots     []int32
	firstLeaf []int32
	// zero marks the nodes that take zeros for missing, if any does.
	zero        []bool
	zeroMissing bool
}

func (f *flatTrees) add(t *tree) {
	firstNode, firstLeaf := int32(len(f.nodes)), int32(len(f.values))
	child := func(c int32) int32 {
		if c < 0 {
			return ^(^c + firstLeaf)
		}
		return c + firstNode
	}
	root := ^firstLeaf
	if len(t.feature) > 0 {
		root = firstNode
	}
	f.roots = append(f.roots, root)
	f.firstLeaf = append(f.firstLeaf, firstLeaf)
	f.values = append(f.values, t.leafValue...)
	for i := range t.feature {
		zero := t.missingType(i) == missingZero
		f.zeroMissing = f.zeroMissing || zero
		f.zero = append(f.zero, zero)
		f.nodes = append(f.nodes, flatNode{
			threshold: t.threshold[i],
			feature:   t.feature[i],
			left:      child(t.left[i]),
			right:     child(t.right[i]),
			missing:   child(t.defaultSide(i)),
		})
	}
}

// margin sums the leaf values where no node takes zeros for missing.
func (f *flatTrees) margin(x []float64) float64 {
	var sum float64
	nodes := f.nodes
	for _, at := range f.roots {
		for at >= 0 {
			node := &nodes[at]
			v := x[node.feature]
			switch {
			case v <= node.threshold:
				at = node.left
			case v == v:
				at = node.right
			default:
				at = node.missing
			}
		}
		sum += f.values[^at]
	}
	return sum
}

// marginZero is margin for trees in which some node takes zeros for missing.
func (f *flatTrees) marginZero(x []float64) float64 {
	var sum float64
	for _, root := range f.roots {
		sum += f.values[f.leaf(root, x)]
	}
	return sum
}

// leaf returns the number, among all leaves, of the one that the row falls into from a node.
func (f *flatTrees) leaf(at int32, x []float64) int32 {
	// The greatest magnitude that LightGBM takes for zero, a single-precision constant there.
	const zeroThreshold = float64(float32(1e-35))
	for at >= 0 {
		node := &f.nodes[at]
		v := x[node.feature]
		switch {
		case v != v, f.zero[at] && v >= -zeroThreshold && v <= zeroThreshold:
			at = node.missing
		case v <= node.threshold:
			at = node.left
		default:
			at = node.right
		}
	}
	return ^at
}
