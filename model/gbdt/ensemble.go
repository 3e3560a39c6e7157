package gbdt

import (
	"fmt"
	"slices"
)

// Ensemble is a fitted sum of trees. It is immutable and safe for concurrent use. Make one with [Train], [ParseText] or [ParseXGBoost].
type Ensemble struct {
	names      []string
	infos      []string
	parameters []string
	trees      []tree
	objective  objective
	scorers    []*scorer
	// source is the text that the ensemble was read from, which WriteText gives back as it was; it is empty for others.
	source string
}

// newEnsemble joins parts that have been checked, or were made by Train. The objective is the logistic loss that Train fits.
func newEnsemble(names, infos, parameters []string, trees []tree) *Ensemble {
	return &Ensemble{
		names: names, infos: infos, parameters: parameters, trees: trees, objective: logistic, scorers: newScorers(trees),
	}
}

// Width returns the number of features that a row must have.
func (e *Ensemble) Width() int { return len(e.names) }

// Trees returns the number of trees, at least 1.
func (e *Ensemble) Trees() int { return len(e.trees) }

// FeatureNames returns a copy of the features' names in the order of a row.
func (e *Ensemble) FeatureNames() []string { return slices.Clone(e.names) }

// Margin returns the raw score of a row: the sum over the trees, in order, of the value of the leaf that the row falls into,
// the base score included; in a random forest it is that sum divided by the number of trees. It is the log-odds of the row, but
// for an ensemble read from a file with another sigmoid than 1: [Ensemble.FromMargin] knows. x must have Width values, NaN
// being missing; infinities are compared like other numbers. A slice of another length is a fault of the caller's code and
// panics with a message that says so; use [Ensemble.Score] where the length is not known to be right. Margin does not allocate.
func (e *Ensemble) Margin(x []float64) float64 {
	if len(x) != len(e.names) {
		e.refuse(x)
	}
	var sum float64
	for _, s := range e.scorers {
		sum = s.add(sum, x)
	}
	return e.objective.mean(sum, len(e.trees))
}

// Margins sets dst[i] to the margin, bit for bit that of Margin, of row i of len(dst) rows of Width values each, one after the
// other in x. It is the fast way to score many rows, runs on the caller's goroutine alone and allocates nothing, but for some
// tables the first time. It panics where len(x) is not len(dst) times Width.
func (e *Ensemble) Margins(x, dst []float64) {
	if len(x) != len(dst)*len(e.names) {
		panic(fmt.Sprintf("gbdt: %d values for %d rows of %d features", len(x), len(dst), len(e.names)))
	}
	clear(dst)
	for _, s := range e.scorers {
		s.addAll(x, dst, len(e.names))
	}
	if e.objective.average {
		for i, margin := range dst {
			dst[i] = e.objective.mean(margin, len(e.trees))
		}
	}
}

// FromMargin returns the probability that a margin of this ensemble stands for: [Sigmoid] of the margin times the sigmoid
// parameter of the ensemble's objective, which is 1 for one that Train made.
func (e *Ensemble) FromMargin(margin float64) float64 {
	return Sigmoid(e.objective.sigmoid * margin)
}

// Probability returns FromMargin of the row's Margin, on the terms of Margin.
func (e *Ensemble) Probability(x []float64) float64 {
	return e.FromMargin(e.Margin(x))
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
	for i := range e.trees {
		dst = append(dst, e.trees[i].leaf(x))
	}
	return dst
}

func (e *Ensemble) refuse(x []float64) {
	panic(fmt.Sprintf("gbdt: row has %d features, the model %d", len(x), len(e.names)))
}
