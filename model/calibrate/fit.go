package calibrate

import (
	"errors"
	"fmt"
	"math"
)

// The least number of rows with a weight above 0 that a method is fitted to. Both are far below what a good fit takes, see the package
// comment; they refuse what could only be noise.
const (
	MinRowsSigmoid  = 10
	MinRowsIsotonic = 50
)

// Fit fits a calibrator to scores in [0, 1], labels that are exactly 0 or 1, and weights that are finite and not negative, or nil
// for 1 each. The scores must come from a model that was not trained on these rows, or the fit learns the model's overconfidence. A row of weight 0
// counts as absent; a whole weight counts as that many rows, so weights that only compare rows with each other should be about 1
// on average, or the smoothing below is out of proportion.
//
// Sigmoid (Platt 1999) maximises the weighted likelihood of slope and intercept over the log-odds z of the score,
//
//	sum w (t (slope z + intercept) - ln(1 + exp(slope z + intercept)))
//
// with Platt's targets t = (P+1)/(P+2) for the positive rows and 1/(N+2) for the others, P and N being the classes' weights, by Newton's
// method with backtracking as Lin, Lin and Weng (2007) have it. The slope is held at 0 or above: scores that rank the wrong way
// round give the constant share of positives and not a curve that turns them over.
//
// Isotonic minimises sum w (f(score) - label)^2 over nondecreasing f by pooling adjacent violators; rows of equal score enter as their mean.
// The fitted steps are held inside [1/(W+2), 1-1/(W+2)], W being the sum of weights, so that no finite sample proves
// certainty and log loss stays bounded. Only the ends of each step are kept, which changes no value; between two steps f is the line
// that joins them and outside the fitted scores it is constant, as in scikit-learn's IsotonicRegression with out_of_bounds="clip". Apply
// then tilts it a little.
//
// None fits nothing, but checks its input like the others.
//
// Errors name the first offending row, counted from 0. Besides faults of the input there are ErrSingleClass and ErrTooFewRows, neither for None.
func Fit(method Method, score, label, weight []float64) (Calibrator, error) {
	if err := method.Validate(); err != nil {
		return Calibrator{}, err
	}
	s, err := newSample(score, label, weight)
	if err != nil {
		return Calibrator{}, err
	}
	switch method {
	case Sigmoid:
		if err := s.enough(MinRowsSigmoid); err != nil {
			return Calibrator{}, fmt.Errorf("fit %s: %w", method, err)
		}
		slope, intercept := fitSigmoid(s)
		return Calibrator{method: Sigmoid, slope: slope, intercept: intercept}, nil
	case Isotonic:
		if err := s.enough(MinRowsIsotonic); err != nil {
			return Calibrator{}, fmt.Errorf("fit %s: %w", method, err)
		}
		x, y := fitIsotonic(s)
		return Calibrator{method: Isotonic, x: x, y: y}, nil
	}
	return Calibrator{}, nil
}

// sample is checked input.
type sample struct {
	score, label, weight []float64 // weight may be nil
	rows                 int       // with a weight above 0
	pos, neg             float64   // the classes' weights
}

func newSample(score, label, weight []float64) (sample, error) {
	s := sample{score: score, label: label, weight: weight}
	if len(score) != len(label) {
		return s, fmt.Errorf("%d scores but %d labels", len(score), len(label))
	}
	if weight != nil && len(weight) != len(score) {
		return s, fmt.Errorf("%d scores but %d weights", len(score), len(weight))
	}
	for i, p := range score {
		w := s.at(i)
		switch {
		case !(p >= 0 && p <= 1):
			return s, fmt.Errorf("row %d: score %v is outside [0, 1]", i, p)
		case label[i] != 0 && label[i] != 1:
			return s, fmt.Errorf("row %d: label %v is neither 0 nor 1", i, label[i])
		case !(w >= 0) || math.IsInf(w, 0):
			return s, fmt.Errorf("row %d: weight %v is negative or not finite", i, w)
		case w == 0:
			continue
		}
		s.rows++
		if label[i] == 1 {
			s.pos += w
		} else {
			s.neg += w
		}
	}
	if math.IsInf(s.pos+s.neg, 0) {
		return s, errors.New("weights add up to more than a float64 holds")
	}
	return s, nil
}

func (s sample) at(i int) float64 {
	if s.weight == nil {
		return 1
	}
	return s.weight[i]
}

// enough reports whether there are rows and classes to fit.
func (s sample) enough(rows int) error {
	if s.rows < rows {
		return fmt.Errorf("%w: %d, want %d at least", ErrTooFewRows, s.rows, rows)
	}
	if s.pos == 0 || s.neg == 0 {
		return ErrSingleClass
	}
	return nil
}
