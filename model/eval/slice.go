package eval

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// SliceConfig says how slices are cut and judged. The zero value is not usable; start from DefaultSliceConfig.
type SliceConfig struct {
	Threshold float64 // where F1 is taken
	FDR       float64 // the share of false alarms to accept among the slices called worse or miscalibrated, between 0 and 1
	MinClass  int     // no test of the area with fewer rows than this of either class in the slice or outside it; 2 at least
	MaxLevels int     // the most frequent levels of a column that are slices of their own; the others are joined in one. 1 at least
}

// DefaultSliceConfig returns a false discovery rate of 5 %, tests from 10 rows of each class, and 50 levels.
func DefaultSliceConfig(threshold float64) SliceConfig {
	return SliceConfig{Threshold: threshold, FDR: 0.05, MinClass: 10, MaxLevels: 50}
}

// Validate reports the first field outside its range.
func (c SliceConfig) Validate() error {
	switch {
	case checkThreshold(c.Threshold) != nil:
		return checkThreshold(c.Threshold)
	case !(c.FDR > 0 && c.FDR < 1):
		return fmt.Errorf("false discovery rate %v is not between 0 and 1", c.FDR)
	case c.MinClass < 2:
		return fmt.Errorf("tests from %d rows of a class, want 2 at least", c.MinClass)
	case c.MaxLevels < 1:
		return fmt.Errorf("%d levels, want 1 at least", c.MaxLevels)
	}
	return nil
}

// Column is a categorical column to slice by: one value per row, in the order of the scores. A missing value is a level like any other.
type Column struct {
	Name   string
	Values []string
}

// Slice is how a model does on the rows of one level of a column. Rows and Positives count rows of a weight above 0, all else is
// weighted. What the slice has too few rows or a single class for is undefined, and absent in JSON.
type Slice struct {
	Column string `json:"column"`
	Level  string `json:"level"`
	// Joined is the number of levels behind a slice of all the rarer ones, whose Level is empty; 0 for a level by itself.
	Joined    int     `json:"joined,omitempty"`
	Rows      int     `json:"rows"`
	Positives int     `json:"positives"`
	Share     float64 `json:"share"` // of the weight of all rows
	AUC       Figure  `json:"auc,omitzero"`
	AUCSE     Figure  `json:"auc_se,omitzero"`
	// Interval is DeLong's of AUC at the confidence Level.
	Interval
	F1       Figure  `json:"f1,omitzero"` // undefined without a positive row
	LogLoss  float64 `json:"log_loss"`
	Score    float64 `json:"score"`    // mean
	Observed float64 `json:"observed"` // share of positives
	Gap      float64 `json:"gap"`      // Score less Observed: above 0 the model expects too many positives

	Drop    Figure `json:"drop,omitzero"`  // AUC of all rows less AUC of the slice
	P       Figure `json:"p,omitzero"`     // one-sided, that the area is no lower here than on the other rows
	Q       Figure `json:"q,omitzero"`     // P after Benjamini and Hochberg over all slices
	Worse   bool   `json:"worse"`          // Q is at most the false discovery rate
	GapP    Figure `json:"gap_p,omitzero"` // two-sided, that the scores are right on average here
	GapQ    Figure `json:"gap_q,omitzero"` // GapP after Benjamini and Hochberg over all slices
	Shifted bool   `json:"shifted"`        // GapQ is at most the false discovery rate
}

// Slices is where a model is worse.
type Slices struct {
	Whole  Slice   `json:"whole"`  // all rows; no column, no tests against other rows
	Slices []Slice `json:"slices"` // see SliceConfig.Slices for the order
}

// Slices measures the model on each level of each column. The order is: those whose area is worse beyond chance (Worse), by Drop, the greatest
// first; then the others by Drop; then those without a Drop by |Gap|; equals by column and level.
//
// Worse: the area of the slice is tested against that of the rows outside it, z = (AUC_out - AUC_in) / sqrt(SE_out^2 + SE_in^2) with
// DeLong's errors; the two are independent, and SE is the half of Newcombe's interval where separation is complete. An area can
// also be lower where the model is not at fault: a level whose rows are alike is harder to rank.
//
// Shifted: the mean of label less score is tested against 0, its variance being sum w^2 s(1-s) if the scores are right; not tested where
// fewer than 5 positives or negatives are expected, in effect (sum s(1-s) < 5). Both corrections are over all slices of all columns, so that
// of many small slices few shout by chance.
//
// A column whose rows all have one level gives no slice. Scores lie in [0, 1]; with one class in all rows: ErrSingleClass. A column with
// another number of values than there are scores is an error. The rows are sorted once; each column then costs a walk over
// them, with a few sums per level at each distinct score.
func (c SliceConfig) Slices(columns []Column, score, label, weight []float64) (Slices, error) {
	if err := c.Validate(); err != nil {
		return Slices{}, err
	}
	if err := checkProbabilities(score, label, weight); err != nil {
		return Slices{}, err
	}
	for _, column := range columns {
		if len(column.Values) != len(score) {
			return Slices{}, fmt.Errorf("column %q: %d values for %d scores", column.Name, len(column.Values), len(score))
		}
	}
	s := newSlicer(c, score, label, weight)
	whole, defined := s.whole()
	if !defined {
		return Slices{}, ErrSingleClass
	}
	out := Slices{Whole: whole}
	for _, column := range columns {
		if level, cut := s.levels(column); len(cut) > 0 {
			s.column(level, cut, whole.AUC.Float())
			out.Slices = append(out.Slices, cut...)
		}
	}
	judge(out.Slices, c.FDR)
	slices.SortStableFunc(out.Slices, compareSlices)
	return out, nil
}

// judge adjusts the two families of tests.
func judge(cut []Slice, rate float64) {
	p, gap := make([]float64, len(cut)), make([]float64, len(cut))
	for i, s := range cut {
		p[i], gap[i] = s.P.Float(), s.GapP.Float()
	}
	p, gap = BenjaminiHochberg(p), BenjaminiHochberg(gap)
	for i := range cut {
		s := &cut[i]
		s.Q, s.GapQ = NewFigure(p[i]), NewFigure(gap[i])
		s.Worse, s.Shifted = p[i] <= rate, gap[i] <= rate
	}
}

// compareSlices is the order that SliceConfig.Slices states.
func compareSlices(a, b Slice) int {
	aDrop, aDefined := a.Drop.Value()
	bDrop, bDefined := b.Drop.Value()
	switch {
	case a.Worse != b.Worse:
		return first(a.Worse)
	case aDefined != bDefined:
		return first(aDefined)
	case aDrop != bDrop:
		return cmp.Compare(bDrop, aDrop)
	case !aDefined && math.Abs(a.Gap) != math.Abs(b.Gap):
		return cmp.Compare(math.Abs(b.Gap), math.Abs(a.Gap))
	}
	return cmp.Or(cmp.Compare(a.Column, b.Column), cmp.Compare(a.Level, b.Level), cmp.Compare(a.Joined, b.Joined))
}

// first is the comparison of two that differ in a condition, of which a has it or not.
func first(a bool) int {
	if a {
		return -1
	}
	return 1
}
