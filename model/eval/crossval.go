package eval

import (
	"fmt"
	"math"
)

// CVSummary is what the folds of a cross-validation say about one figure.
type CVSummary struct {
	Mean  float64 `json:"mean"`
	SD    Figure  `json:"sd,omitzero"` // over the folds, with n-1; not an error of the mean
	SE    Figure  `json:"se,omitzero"` // of the mean, corrected for the overlap of the training sets
	DF    int     `json:"df"`          // degrees of freedom of the interval, the number of values less one
	Folds int     `json:"folds"`       // of each repeat
	// Interval is Mean ± t SE at the confidence Level.
	Interval
}

// CrossValidation sums up a figure that was measured on every test fold of a k-fold cross-validation, repeated or not: values holds
// k per repeat, in any order. The corrected standard error of Nadeau and Bengio (2003) for J values is
//
//	SE^2 = (1/J + n_test/n_train) s^2, n_test/n_train = 1/(k-1)
//
// with s the standard deviation over all values, and the interval is of Student's t with J-1 degrees of freedom (Bouckaert and Frank
// 2004 for repeats). The plain s/sqrt(J) takes folds that share most of their training rows for independent, and is about half as
// long at 5x5. The interval says how the figure would vary with other training and test rows of these sizes.
//
// Values that are all equal have an SE of 0. k below 2, no values, a number of values that
// is no multiple of k, and a value that is not finite are errors.
func CrossValidation(values []float64, k int) (CVSummary, error) {
	if k < 2 {
		return CVSummary{}, fmt.Errorf("%d folds, want 2 at least", k)
	}
	if len(values) == 0 {
		return CVSummary{}, ErrEmpty
	}
	if len(values)%k != 0 {
		return CVSummary{}, fmt.Errorf("%d values are no repeats of %d folds", len(values), k)
	}
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return CVSummary{}, fmt.Errorf("fold %d: value %v is not finite", i, v)
		}
	}
	n := float64(len(values))
	s := CVSummary{Mean: meanOf(values), DF: len(values) - 1, Folds: k}
	sum := 0.0
	for _, v := range values {
		d := v - s.Mean
		sum += float64(d * d)
	}
	sd := math.Sqrt(sum / (n - 1))
	se := float64(sd * math.Sqrt(1/n+1/float64(k-1)))
	half := float64(studentQuantile((1-Level)/2, n-1) * se)
	s.SD, s.SE, s.Interval = NewFigure(sd), NewFigure(se), interval(s.Mean-half, s.Mean+half)
	return s, nil
}

// meanOf is exact where all values are equal.
func meanOf(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v - values[0]
	}
	return values[0] + sum/float64(len(values))
}

// PairedCV compares two learners over the same folds.
type PairedCV struct {
	// CVSummary is of the differences, A's value less B's, fold by fold.
	CVSummary
	A    float64 `json:"a"` // mean of A
	B    float64 `json:"b"`
	Wins int     `json:"wins"` // folds where A's value is above B's
	T    Figure  `json:"t,omitzero"`
	P    Figure  `json:"p,omitzero"` // two-sided, of the hypothesis that the learners are equal
}

// CompareCV is the corrected resampled t test (Nadeau and Bengio 2003): a and b hold the two learners' values of the same folds in the same
// order, k per repeat; see CrossValidation for the standard error. t = mean difference / SE, with J-1 degrees of freedom.
//
// Pairing takes out what makes one fold harder than another for both, which is most of the spread. Where the SE is 0, t is undefined;
// p is 1 if the mean difference is 0 too, and undefined else.
func CompareCV(a, b []float64, k int) (PairedCV, error) {
	if len(a) != len(b) {
		return PairedCV{}, fmt.Errorf("%d values but %d to compare with", len(a), len(b))
	}
	difference := make([]float64, len(a))
	wins := 0
	for i := range a {
		difference[i] = a[i] - b[i]
		if a[i] > b[i] {
			wins++
		}
	}
	s, err := CrossValidation(difference, k)
	if err != nil {
		return PairedCV{}, err
	}
	out := PairedCV{CVSummary: s, A: meanOf(a), B: meanOf(b), Wins: wins}
	switch se := s.SE.Float(); {
	case se > 0:
		t := s.Mean / se
		out.T, out.P = NewFigure(t), NewFigure(2*studentTail(math.Abs(t), float64(s.DF)))
	case se == 0 && s.Mean == 0:
		out.P = NewFigure(1)
	}
	return out, nil
}
