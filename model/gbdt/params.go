package gbdt

import (
	"errors"
	"fmt"
	"math"
)

// Bounds that keep a mistyped parameter from asking for all of the memory.
const (
	maxTrees  = 1 << 20
	maxLeaves = 1 << 17
	maxBins   = 1<<16 - 1
	// maxCode is the greatest code of a category.
	maxCode = 1<<16 - 1
	// defaultLeaves bounds a tree when neither MaxLeaves nor MaxDepth does.
	defaultLeaves = 31
)

// Params says how trees are grown. The zero value is not valid: start from [DefaultParams]. Slices are read while [Train] runs and
// must not be changed meanwhile.
type Params struct {
	// Trees is the upper bound on the number of trees grown, at least 1; those of Init are not counted.
	Trees int
	// LearningRate scales every leaf value, in (0, 1].
	LearningRate float64
	// MaxDepth bounds the splits between root and leaf; 0 is no bound.
	MaxDepth int
	// MaxLeaves bounds the leaves of a tree, at least 2; 0 stands for 1<<MaxDepth, or 31 if MaxDepth is 0 too. The leaf with the
	// greatest gain is split first; where MaxLeaves does not bind, every order gives the same tree, so that growth by depth is
	// MaxDepth alone.
	MaxLeaves int
	// L1 is what the magnitude of a leaf's sum of first derivatives is lowered by, to no less than 0; not negative.
	L1 float64
	// L2 is added to the sum of second derivatives wherever it divides; not negative.
	L2 float64
	// MinChildWeight is the least sum of second derivatives of a leaf; not negative.
	MinChildWeight float64
	// MinChildRows is the least number of rows of a leaf, whatever they weigh; at least 1.
	MinChildRows int
	// MinGain is what a split's gain must exceed; not negative.
	MinGain float64
	// PositiveWeight multiplies the weight of training rows with label 1, in the training loss too; 0 stands for 1. Validation rows
	// keep their weights.
	PositiveWeight float64
	// BaseScore is the margin, in log-odds, that boosting begins at; nil stands for the log-odds of the positive share of the training
	// rows' weight. With it set, labels may be of a single class. It must be nil if Init is set.
	BaseScore *float64
	// Init is an ensemble to go on from: boosting begins at its margins and its trees come first in the result. Its features must have
	// the names of the training data's, in the same order. Nil starts anew.
	Init *Ensemble
	// Subsample is the share of rows, drawn anew without replacement, that a tree is grown on, in (0, 1].
	Subsample float64
	// ColumnSample is the share of the columns that can be split, drawn anew, that a tree may use, in (0, 1]; at least one column is.
	ColumnSample float64
	// ColumnSampleNode is the share of those columns, drawn anew, that the split of a leaf may use, in (0, 1]; at least one column
	// is. 0 stands for 1.
	ColumnSampleNode float64
	// Monotone says for each feature how the score may move with its value: 1 never down, -1 never up, 0 freely. Nil is 0 everywhere;
	// else it has one entry for each feature, 0 for categorical ones. Missing values have no order. It holds for the trees grown, not those of Init.
	Monotone []int8
	// Interactions are sets of feature indices that may meet on a path from root to leaf: all features of a path are in one of the sets.
	// A feature in no set meets no other. Nil allows all. The trees of Init are as they are.
	Interactions [][]int
	// Categorical are the indices of features whose values are whole codes from 0 to 65,535 without an order, NaN being missing. A
	// split sends a set of codes to the left; missing values, codes that training did not see, and the rarest where there are more
	// than MaxBins, go right.
	Categorical []int
	// CatSmooth is added to a category's sum of second derivatives where categories are put in order, and is the least number of
	// rows of a category that takes part in it; not negative. It is not used up to MaxCatToOneHot.
	CatSmooth float64
	// CatL2 is added to L2 in splits that put categories in order; not negative.
	CatL2 float64
	// MaxCatToOneHot is the number of categories up to which each is tried against all others, instead of putting them in order.
	MaxCatToOneHot int
	// MaxCatThreshold bounds the categories that go left; at least 1 where Categorical is not empty.
	MaxCatThreshold int
	// MinRowsPerCategory is the least number of rows between one split tried and the next along the order of categories, and on the
	// right side of a split; not negative.
	MinRowsPerCategory int
	// MaxBins bounds the bins of a column, the one for missing values not counted, from 2 to 65,535. Up to 255 a bin takes at most a
	// byte, above two.
	MaxBins int
	// EarlyStoppingRounds ends training once the validation loss has not improved for so many trees, and keeps the trees up to
	// the best one, of those grown on from Init none if none improves on it; 0 is off. It needs validation data.
	EarlyStoppingRounds int
	// Seed feeds row and column sampling, and the choice of rows that bins are cut from where there are more than 200,000.
	Seed uint64
	// Threads is the number of goroutines to use at once; 0 stands for GOMAXPROCS. The model never depends on it.
	Threads int
}

// DefaultParams returns 100 trees of depth 3 with a learning rate of 0.1, L2 of 1, at least 20 rows and a weight of 0.001 to
// a leaf, all rows and columns, 255 bins and no early stopping. Its categorical parameters are LightGBM's: CatSmooth 10, CatL2 10,
// MaxCatToOneHot 4, MaxCatThreshold 32, MinRowsPerCategory 100.
func DefaultParams() Params {
	return Params{
		Trees:              100,
		LearningRate:       0.1,
		MaxDepth:           3,
		L2:                 1,
		MinChildWeight:     1e-3,
		MinChildRows:       20,
		PositiveWeight:     1,
		Subsample:          1,
		ColumnSample:       1,
		ColumnSampleNode:   1,
		CatSmooth:          10,
		CatL2:              10,
		MaxCatToOneHot:     4,
		MaxCatThreshold:    32,
		MinRowsPerCategory: 100,
		MaxBins:            255,
	}
}

// Validate reports every parameter that is out of range, joined into one error. What depends on the features, as the length of
// Monotone does, is checked by Train.
func (p Params) Validate() error {
	var errs []error
	whole := func(name string, value, low, high int) {
		if value < low || value > high {
			errs = append(errs, fmt.Errorf("%s is %d, want %d to %d", name, value, low, high))
		}
	}
	share := func(name string, value float64) {
		if !(value > 0 && value <= 1) {
			errs = append(errs, fmt.Errorf("%s is %v, want more than 0 and at most 1", name, value))
		}
	}
	notNegative := func(name string, value float64) {
		if !(value >= 0) || math.IsInf(value, 1) {
			errs = append(errs, fmt.Errorf("%s is %v, want a finite number of at least 0", name, value))
		}
	}
	whole("Trees", p.Trees, 1, maxTrees)
	share("LearningRate", p.LearningRate)
	whole("MaxDepth", p.MaxDepth, 0, maxLeaves)
	if p.MaxLeaves != 0 {
		whole("MaxLeaves", p.MaxLeaves, 2, maxLeaves)
	}
	notNegative("L1", p.L1)
	notNegative("L2", p.L2)
	notNegative("MinChildWeight", p.MinChildWeight)
	whole("MinChildRows", p.MinChildRows, 1, math.MaxInt32)
	notNegative("MinGain", p.MinGain)
	notNegative("PositiveWeight", p.PositiveWeight)
	share("Subsample", p.Subsample)
	share("ColumnSample", p.ColumnSample)
	if p.ColumnSampleNode != 0 {
		share("ColumnSampleNode", p.ColumnSampleNode)
	}
	if len(p.Categorical) > 0 {
		notNegative("CatSmooth", p.CatSmooth)
		notNegative("CatL2", p.CatL2)
		whole("MaxCatToOneHot", p.MaxCatToOneHot, 0, maxBins)
		whole("MaxCatThreshold", p.MaxCatThreshold, 1, maxBins)
		whole("MinRowsPerCategory", p.MinRowsPerCategory, 0, math.MaxInt32)
	}
	whole("MaxBins", p.MaxBins, 2, maxBins)
	whole("EarlyStoppingRounds", p.EarlyStoppingRounds, 0, maxTrees)
	whole("Threads", p.Threads, 0, 1<<16)
	if b := p.BaseScore; b != nil {
		if !(math.Abs(*b) <= math.MaxFloat64) {
			errs = append(errs, fmt.Errorf("BaseScore is %v, want a finite number", *b))
		}
		if p.Init != nil {
			errs = append(errs, errors.New("BaseScore is set beside Init, whose trees hold one already"))
		}
	}
	return errors.Join(errs...)
}

// validateFor reports what does not fit the features.
func (p *Params) validateFor(names []string) error {
	var errs []error
	feature := func(name string, f int) bool {
		if f < 0 || f >= len(names) {
			errs = append(errs, fmt.Errorf("%s names feature %d, want 0 to %d", name, f, len(names)-1))
			return false
		}
		return true
	}
	if p.Monotone != nil && len(p.Monotone) != len(names) {
		errs = append(errs, fmt.Errorf("%s has %d entries, want one for each of %d features", "Monotone", len(p.Monotone), len(names)))
	}
	for f, m := range p.Monotone {
		if m < -1 || m > 1 {
			errs = append(errs, fmt.Errorf("%s of feature %d is %d, want -1, 0 or 1", "Monotone", f, m))
		}
	}
	seen := make(map[int]bool, len(p.Categorical))
	for _, f := range p.Categorical {
		if !feature("Categorical", f) {
			continue
		}
		if seen[f] {
			errs = append(errs, fmt.Errorf("%s names feature %d twice", "Categorical", f))
		}
		seen[f] = true
		if f < len(p.Monotone) && p.Monotone[f] != 0 {
			errs = append(errs, fmt.Errorf("%s of feature %s is %d, want 0 as it is categorical", "Monotone", names[f], p.Monotone[f]))
		}
	}
	for i, set := range p.Interactions {
		if len(set) == 0 {
			errs = append(errs, fmt.Errorf("%s has an empty set, number %d", "Interactions", i))
		}
		for _, f := range set {
			feature("Interactions", f)
		}
	}
	return errors.Join(errs...)
}

// leaves returns the bound on a tree's leaves with its default resolved.
func (p *Params) leaves() int {
	switch {
	case p.MaxLeaves > 0:
		return p.MaxLeaves
	case p.MaxDepth == 0:
		return defaultLeaves
	case p.MaxDepth >= 17:
		return maxLeaves
	default:
		return 1 << p.MaxDepth
	}
}

// positiveWeight returns PositiveWeight with its default resolved.
func (p *Params) positiveWeight() float64 {
	if p.PositiveWeight == 0 {
		return 1
	}
	return p.PositiveWeight
}
