package gbdt

import (
	"errors"
	"fmt"
	"math"
)

// Explainer splits the margins of an ensemble into contributions of the features: exact Shapley values of the game in which a
// row's features are known or not, and a split on a feature that is not known is averaged over both children in proportion to
// the training rows that went there (path-dependent TreeSHAP: Lundberg, Erion and Lee, 2018, "Consistent individualized feature
// attribution for tree ensembles"). Contributions and bias add up to the margin. An Explainer has scratch space and must
// not be used by two goroutines at once; each makes its own.
//
// # The algorithm
//
// For a leaf of value v and a path to it on which feature j keeps the fraction z of the training rows, and o, 1 or 0, of this row, the
// Shapley value of feature i is
//
//	v · (o_i - z_i) · ∫₀¹ ∏_{j≠i} (z_j(1-t) + o_j t) dt
//
// since a feature that enters at a uniformly random time t finds each other one known with probability t. The integrand is a
// polynomial in t, so Gauss-Legendre quadrature with half as many points as the path has features is exact. The products are kept
// at each of these points along the way down and summed over leaves on the way up, so the time for a row is leaves times points. All
// terms of a product are positive, which keeps the error at a few units in the last place.
type Explainer struct {
	ensemble *Ensemble
	bias     float64
	trees    []shapTree

	// Of the row at work:
	x     []float64
	phi   []float64
	known []shapEdge // of each feature, whether and how the path has met it
	stack []float64  // products and sums of each depth, points numbers each
}

// shapTree is what is computed once for a tree.
type shapTree struct {
	*tree
	// left holds the fraction of each node's training rows that goes left.
	left   []float64
	points *quadrature
}

// shapEdge is the state of a feature on a path: the fractions of training rows and of the row at work that its splits have let pass.
type shapEdge struct {
	z    float64
	cold bool // the row at work went another way
	met  bool
}

// maxExplainerNumbers bounds the numbers that an explainer keeps on the way down a tree, those of its points of quadrature at each
// depth, and so the time to find these points too.
const maxExplainerNumbers = 1 << 20

// NewExplainer returns an explainer of the ensemble. Rows are weighed by the leaf counts of the text format, and where a tree
// has none by its leaf weights; it is an error if a tree of several leaves has neither. Its scratch space grows with the depth of a
// tree times the features on a path, and is at most 8 MiB: it is an error if a tree needs more, as one 1,100 deep that splits on another feature
// each time does.
func NewExplainer(e *Ensemble) (*Explainer, error) {
	x := &Explainer{ensemble: e, known: make([]shapEdge, len(e.names))}
	times := make([]int32, len(e.names))
	rules := map[int]*quadrature{}
	most := 0
	for i := range e.trees {
		t := &e.trees[i]
		left, mean, err := t.fractions()
		if err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
		x.bias += mean
		depth, features := t.measure(times)
		k := max(1, (features+1)/2)
		if 2*k*(depth+1) > maxExplainerNumbers {
			return nil, fmt.Errorf("tree %d: its depth of %d times %d features on a path is too much to explain", i, depth, features)
		}
		if rules[k] == nil {
			rules[k] = newQuadrature(k)
		}
		x.trees = append(x.trees, shapTree{tree: t, left: left, points: rules[k]})
		most = max(most, 2*k*(depth+1))
	}
	x.bias = e.objective.mean(x.bias, len(e.trees))
	x.stack = make([]float64, most)
	return x, nil
}

// Bias returns the mean margin that the contributions start from.
func (x *Explainer) Bias() float64 { return x.bias }

// Clone returns an explainer of the same ensemble with scratch space of its own, for another goroutine. What is computed once for each tree is
// shared. It may be called while x is at work.
func (x *Explainer) Clone() *Explainer {
	return &Explainer{
		ensemble: x.ensemble, bias: x.bias, trees: x.trees,
		known: make([]shapEdge, len(x.known)), stack: make([]float64, len(x.stack)),
	}
}

// Explain appends to dst[:0] the contribution of each feature to the row's margin, in the order of FeatureNames. It takes the row on
// the terms of [Ensemble.Margin] and allocates only if dst has too little room.
func (x *Explainer) Explain(row, dst []float64) []float64 {
	phi, _ := x.ExplainUntil(row, dst, nil)
	return phi
}

// ExplainUntil is Explain that asks stop, if it is not nil, before each tree, and gives up when it reports true: it then returns dst[:0], the
// contents of which are lost, and false.
func (x *Explainer) ExplainUntil(row, dst []float64, stop func() bool) ([]float64, bool) {
	e := x.ensemble
	if len(row) != len(e.names) {
		e.refuse(row)
	}
	x.x, x.phi = row, dst[:0]
	for range row {
		x.phi = append(x.phi, 0)
	}
	phi := x.phi
	defer func() { x.x, x.phi = nil, nil }()
	for i := range x.trees {
		t := &x.trees[i]
		if stop != nil && stop() {
			return phi[:0], false
		}
		if len(t.feature) == 0 {
			continue
		}
		k := len(t.points.t)
		for j := range k {
			x.stack[j] = 1
		}
		x.visit(t, 0, 0)
	}
	if e.objective.average {
		for i, v := range phi {
			phi[i] = e.objective.mean(v, len(x.trees))
		}
	}
	return phi, true
}

// visit adds to the contributions what the leaves under node at of a depth give, and returns the sums over these leaves of
// value times product, one for each point of quadrature. The products at the node are the first of the stack's two rows for
// that depth, and the sums are left in the second.
func (x *Explainer) visit(t *shapTree, at int32, depth int) []float64 {
	k := len(t.points.t)
	product := x.stack[2*depth*k:][:k:k]
	sums := x.stack[(2*depth+1)*k:][:k:k]
	if at < 0 {
		v := t.leafValue[^at]
		for j, p := range product {
			sums[j] = float64(v * p)
		}
		return sums
	}
	clear(sums)
	next := x.stack[2*(depth+1)*k:][:k:k]
	feature := t.feature[at]
	before := x.known[feature]
	if !before.met {
		before.z = 1
	}
	goesLeft := t.goesLeft(at, x.x)
	for side, child := range [2]int32{t.tree.left[at], t.right[at]} {
		fraction, hot := t.left[at], goesLeft
		if side == 1 {
			fraction, hot = 1-fraction, !goesLeft
		}
		now := shapEdge{z: before.z * fraction, cold: before.cold || !hot, met: true}
		if now.cold && fraction == 0 {
			continue // all products there are 0
		}
		switch {
		case before.cold:
			for j, p := range product {
				next[j] = p * fraction
			}
		default:
			x.multiply(t.points, before.z, now, product, next)
		}
		x.known[feature] = now
		under := x.visit(t, child, depth+1)
		for j, s := range under {
			sums[j] += s
		}
		if !before.cold {
			x.phi[feature] += t.points.share(before.z, now, under)
		}
	}
	x.known[feature] = before
	if !before.met {
		x.known[feature] = shapEdge{}
	}
	return sums
}

// multiply sets next to the products with the factor z(1-t) + t of a feature, which has been hot so far, replaced by that of now.
func (x *Explainer) multiply(q *quadrature, z float64, now shapEdge, product, next []float64) {
	for j, p := range product {
		factor := float64(now.z * q.rest[j])
		if !now.cold {
			factor += q.t[j]
		}
		if z != 1 {
			factor /= float64(z*q.rest[j]) + q.t[j]
		}
		next[j] = p * factor
	}
}

// share returns the integral of the sums under an edge times what the edge adds to (o-z)/(z(1-t) + o·t), the factor that turns
// a product over all features into one over the others times o-z. Before the edge, the feature was hot with fraction z.
func (q *quadrature) share(z float64, now shapEdge, sums []float64) float64 {
	var total float64
	for j, s := range sums {
		rest := q.rest[j]
		var factor float64
		if now.cold {
			factor = -q.inverse[j]
		} else {
			factor = (1 - now.z) / (float64(now.z*rest) + q.t[j])
		}
		if z != 1 {
			factor -= (1 - z) / (float64(z*rest) + q.t[j])
		}
		total += float64(float64(q.weight[j]*s) * factor)
	}
	return total
}

// fractions returns the fraction of each node's rows that goes left, one half where no rows came, and the mean value of the tree.
func (t *tree) fractions() (left []float64, mean float64, err error) {
	cover := make([]float64, len(t.leafValue))
	var total float64
	for i, n := range t.leafCount {
		cover[i] = float64(n)
		total += cover[i]
	}
	if total == 0 {
		for i, w := range t.leafWeight {
			if w < 0 {
				return nil, 0, fmt.Errorf("leaf %d has weight %v", i, w)
			}
			cover[i] = w
			total += w
		}
	}
	if len(t.feature) == 0 {
		return nil, t.leafValue[0], nil
	}
	if !(total > 0) || math.IsInf(total, 1) {
		return nil, 0, errors.New("no leaf counts or weights to weigh the leaves by")
	}
	left = make([]float64, len(t.feature))
	covers, means := make([]float64, len(t.feature)), make([]float64, len(t.feature))
	of := func(child int32) (float64, float64) {
		if child < 0 {
			return cover[^child], t.leafValue[^child]
		}
		return covers[child], means[child]
	}
	for _, node := range t.bottomUp() {
		lc, lm := of(t.left[node])
		rc, rm := of(t.right[node])
		left[node] = 0.5
		if lc+rc > 0 {
			left[node] = lc / (lc + rc)
		}
		covers[node] = lc + rc
		means[node] = float64(left[node]*lm) + float64((1-left[node])*rm)
	}
	return left, means[0], nil
}

// bottomUp returns the nodes with each child before its parent.
func (t *tree) bottomUp() []int32 {
	order := make([]int32, 0, len(t.feature))
	waiting := []int32{0}
	for len(waiting) > 0 {
		node := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		order = append(order, node)
		for _, child := range [2]int32{t.left[node], t.right[node]} {
			if child >= 0 {
				waiting = append(waiting, child)
			}
		}
	}
	for i, j := 0, len(order)-1; i < j; i, j = i+1, j-1 {
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// measure returns the number of splits and of different features on the longest such paths. times is zeros, one for each feature, and left so.
func (t *tree) measure(times []int32) (depth, features int) {
	var down func(at int32, d, f int)
	down = func(at int32, d, f int) {
		if at < 0 {
			depth, features = max(depth, d), max(features, f)
			return
		}
		on := t.feature[at]
		if times[on]++; times[on] == 1 {
			f++
		}
		down(t.left[at], d+1, f)
		down(t.right[at], d+1, f)
		times[on]--
	}
	if len(t.feature) > 0 {
		down(0, 0, 0)
	}
	return depth, features
}
