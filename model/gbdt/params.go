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
	// defaultLeaves bounds a tree when neither MaxLeaves nor MaxDepth does.
	defaultLeaves = 31
)

// Params says how trees are grown. The zero value is not valid: start from [DefaultParams].
type Params struct {
	// Trees is the upper bound on the number of trees, at least 1.
	Trees int
	// LearningRate scales every leaf value, in (0, 1].
	LearningRate float64
	// MaxDepth bounds the splits between root and leaf; 0 is no bound.
	MaxDepth int
	// MaxLeaves bounds the leaves of a tree, at least 2; 0 stands for 1<<MaxDepth, or 31 if MaxDepth is 0 too.
	MaxLeaves int
	// L2 is added to the sum of second derivatives wherever it divides; not negative.
	L2 float64
	// MinChildWeight is the least sum of second derivatives of a leaf; not negative.
	MinChildWeight float64
	// MinChildRows is the least number of rows of a leaf, whatever they weigh; at least 1.
	MinChildRows int
	// MinGain is what a split's gain must exceed; not negative.
	MinGain float64
	// Subsample is the share of rows, drawn anew without replacement, that a tree is grown on, in (0, 1].
	Subsample float64
	// ColumnSample is the share of the columns that can be split, drawn anew, that a tree may use, in (0, 1]; at least one column is.
	ColumnSample float64
	// MaxBins bounds the bins of a column, the one for missing values not counted, from 2 to 65,535. Up to 255 a bin takes a byte, above two.
	MaxBins int
	// EarlyStoppingRounds ends training once the validation loss has not improved for so many trees, and keeps the trees up to
	// the best one; 0 is off. It needs a validation matrix.
	EarlyStoppingRounds int
	// Seed feeds row and column sampling, and the choice of rows that bins are cut from where there are more than 200,000.
	Seed uint64
	// Threads is the number of goroutines to use at once; 0 stands for GOMAXPROCS. The model never depends on it.
	Threads int
}

// DefaultParams returns 100 trees of depth 3 with a learning rate of 0.1, L2 of 1, at least 20 rows and a weight of 0.001 to
// a leaf, all rows and columns, 255 bins and no early stopping.
func DefaultParams() Params {
	return Params{
		Trees:          100,
		LearningRate:   0.1,
		MaxDepth:       3,
		L2:             1,
		MinChildWeight: 1e-3,
		MinChildRows:   20,
		Subsample:      1,
		ColumnSample:   1,
		MaxBins:        255,
	}
}

// Validate reports every parameter that is out of range, joined into one error.
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
	notNegative("L2", p.L2)
	notNegative("MinChildWeight", p.MinChildWeight)
	whole("MinChildRows", p.MinChildRows, 1, math.MaxInt32)
	notNegative("MinGain", p.MinGain)
	share("Subsample", p.Subsample)
	share("ColumnSample", p.ColumnSample)
	whole("MaxBins", p.MaxBins, 2, maxBins)
	whole("EarlyStoppingRounds", p.EarlyStoppingRounds, 0, maxTrees)
	whole("Threads", p.Threads, 0, 1<<16)
	return errors.Join(errs...)
}

// leaves returns the bound on a tree's leaves with its default resolved.
func (p Params) leaves() int {
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
