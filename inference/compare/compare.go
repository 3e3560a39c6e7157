// Package compare counts how two models answer the same records: how far their scores lie apart, how many labels turn, and how well each does where the
// outcome is known. It is pure, and what it keeps does not grow with the records.
package compare

import (
	"math"

	"telco-churn-mlops/events"
)

// Answer is what one model says of a record.
type Answer struct {
	Score    float64 // probability of the positive class
	Positive bool    // the label
}

// Tally counts records that two models answered, the first of them the one that is compared with. The zero value is ready to use. It is not safe for
// concurrent use.
type Tally struct {
	Rows uint64
	// Differing records have scores that are not the same bits.
	Differing uint64
	// Turned records have another label: ToPositive by the second model, or ToNegative.
	ToPositive, ToNegative uint64
	// SumAbs and MaxAbs are of the absolute differences of the scores.
	SumAbs, MaxAbs float64
	// First and Second count the scores of each in equal bins of [0, 1].
	First, Second [events.ScoreBins]uint64
	// FirstSum and SecondSum are the sums of the scores.
	FirstSum, SecondSum float64
}

// Add counts one record.
func (t *Tally) Add(first, second Answer) {
	t.Rows++
	d := math.Abs(first.Score - second.Score)
	if math.Float64bits(first.Score) != math.Float64bits(second.Score) {
		t.Differing++
	}
	switch {
	case second.Positive && !first.Positive:
		t.ToPositive++
	case first.Positive && !second.Positive:
		t.ToNegative++
	}
	t.SumAbs += d
	t.MaxAbs = max(t.MaxAbs, d)
	t.First[events.ScoreBin(first.Score)]++
	t.Second[events.ScoreBin(second.Score)]++
	t.FirstSum += first.Score
	t.SecondSum += second.Score
}

// Flips returns how many records have another label.
func (t *Tally) Flips() uint64 { return t.ToPositive + t.ToNegative }

// MeanAbs returns the mean absolute difference of the scores, 0 without records.
func (t *Tally) MeanAbs() float64 { return mean(t.SumAbs, t.Rows) }

// Means returns the mean scores of both, 0 without records.
func (t *Tally) Means() (first, second float64) {
	return mean(t.FirstSum, t.Rows), mean(t.SecondSum, t.Rows)
}

func mean(sum float64, n uint64) float64 {
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}

// PSI returns the population stability index of the second model's scores against the first's: see [PSI].
func (t *Tally) PSI() float64 { return PSI(t.First[:], t.Second[:]) }

// emptyShare is what the share of an empty bin counts as.
const emptyShare = 1e-4

// PSI returns the sum over bins of (p - q) ln(p / q), with p and q the shares of the counts in two histograms of equal length. An empty bin counts as a
// share of 1e-4, and one that is empty in both not at all. Without counts on either side it is 0.
func PSI(first, second []uint64) float64 {
	total := func(counts []uint64) (n float64) {
		for _, c := range counts {
			n += float64(c)
		}
		return n
	}
	n, m := total(first), total(second)
	if n == 0 || m == 0 {
		return 0
	}
	psi := 0.0
	for i := range first {
		if first[i] == 0 && second[i] == 0 {
			continue
		}
		p, q := max(float64(first[i])/n, emptyShare), max(float64(second[i])/m, emptyShare)
		psi += float64((p - q) * math.Log(p/q))
	}
	return psi
}

// Judge counts a labelled record.
func Judge(c *events.Confusion, positive, observed bool) {
	switch {
	case positive && observed:
		c.TruePositive++
	case positive:
		c.FalsePositive++
	case observed:
		c.FalseNegative++
	default:
		c.TrueNegative++
	}
}

// F1 returns 2TP / (2TP + FP + FN), and false where there is neither a predicted nor a true positive.
func F1(c *events.Confusion) (float64, bool) {
	d := float64(2*c.TruePositive + c.FalsePositive + c.FalseNegative)
	if d == 0 {
		return 0, false
	}
	return float64(2*c.TruePositive) / d, true
}
