package eval

import (
	"fmt"
	"math"
)

// Decision is a threshold and what acting by it gives on the rows that chose it, which is optimistic: choose on validation or out-of-fold rows,
// report on others.
type Decision struct {
	Threshold float64 `json:"threshold"` // positive is predicted at or above it
	// Value is what the policy optimises: the cost per row of BestCostThreshold, the profit per row of MaxProfit and
	// ExpectedMaxProfit.
	Value float64 `json:"value"`
	// Share is the share of the weight that is predicted positive; for ExpectedMaxProfit see there.
	Share float64 `json:"share"`
}

// CostMatrix is the cost of each outcome of a decision, in any one unit; a gain is a negative cost. The zero value makes every threshold
// equal and is refused.
type CostMatrix struct {
	TP float64 `json:"tp"` // a positive row that is predicted positive: the cost of acting
	FP float64 `json:"fp"` // a negative row that is predicted positive
	TN float64 `json:"tn"`
	FN float64 `json:"fn"` // a positive row that is missed
}

// Validate reports a cost that is not finite, and costs that make a wrong decision on either class as good as or better than the right
// one: it wants FP > TN and FN > TP, without which no threshold is worth looking for.
func (c CostMatrix) Validate() error {
	for _, v := range []float64{c.TP, c.FP, c.TN, c.FN} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("cost %v is not finite", v)
		}
	}
	if !(c.FP > c.TN) {
		return fmt.Errorf("false positive costs %v, no more than true negative, %v", c.FP, c.TN)
	}
	if !(c.FN > c.TP) {
		return fmt.Errorf("false negative costs %v, no more than true positive, %v", c.FN, c.TP)
	}
	return nil
}

// Threshold returns the probability from which predicting positive costs no more than predicting negative (Elkan 2001):
//
//	(FP - TN) / ((FP - TN) + (FN - TP))
//
// It is the best threshold for scores that are exact probabilities; BestCostThreshold finds the best one for the scores there are.
// c must be valid.
func (c CostMatrix) Threshold() float64 { return (c.FP - c.TN) / ((c.FP - c.TN) + (c.FN - c.TP)) }

// BestCostThreshold returns the threshold with the least mean cost on these rows,
//
//	sum w cost(label, score >= threshold) / sum w
//
// among those of BestF1Threshold and one above all scores, by which nobody is predicted positive: 1 if all scores are below 1, else the
// next float above the highest. Of equal costs the highest threshold wins. Scores need only be finite and below the highest float. With one class:
// ErrSingleClass, since the answer would be everybody or nobody whatever the scores.
func BestCostThreshold(score, label, weight []float64, cost CostMatrix) (Decision, error) {
	if err := cost.Validate(); err != nil {
		return Decision{}, err
	}
	r, err := rankForPolicy(score, label, weight)
	if err != nil {
		return Decision{}, err
	}
	d := r.best(func(tp, fp float64) float64 {
		positive := float64(cost.TP*tp) + float64(cost.FN*(r.pos-tp))
		return -(positive + float64(cost.FP*fp) + float64(cost.TN*(r.neg-fp)))
	})
	d.Value = -d.Value
	return d, nil
}

// ranked are rows of both classes by score, see rank. All weights are divided by a power of two that is not below their sum, which
// is exact and keeps products with costs finite.
type ranked struct {
	blocks          []block
	pos, neg, total float64
}

func rankBoth(score, label, weight []float64) (*ranked, error) {
	if err := check(score, label, weight); err != nil {
		return nil, err
	}
	r := &ranked{}
	r.blocks, r.pos, r.neg = rank(score, label, weight)
	_, exponent := math.Frexp(r.pos/2 + r.neg/2)
	for i := range r.blocks {
		b := &r.blocks[i]
		b.pos, b.neg = math.Ldexp(b.pos, -exponent-1), math.Ldexp(b.neg, -exponent-1)
	}
	r.pos, r.neg = math.Ldexp(r.pos, -exponent-1), math.Ldexp(r.neg, -exponent-1)
	if r.pos == 0 || r.neg == 0 { // a class that weighs less than 2^-1074 of the other counts as none
		return nil, ErrSingleClass
	}
	r.total = r.pos + r.neg
	return r, nil
}

// rankForPolicy is rankBoth, and refuses scores that no threshold lies above.
func rankForPolicy(score, label, weight []float64) (*ranked, error) {
	r, err := rankBoth(score, label, weight)
	if err == nil && r.blocks[0].score == math.MaxFloat64 {
		return nil, fmt.Errorf("no threshold lies above a score of %v", r.blocks[0].score)
	}
	return r, err
}

// best returns the threshold whose true and false positives, by weight, are worth most. Of equal worth the highest wins.
func (r *ranked) best(value func(tp, fp float64) float64) Decision {
	at := -1
	out := Decision{Value: value(0, 0)}
	tp, fp := 0.0, 0.0
	for k, b := range r.blocks {
		tp += b.pos
		fp += b.neg
		if v := value(tp, fp); v > out.Value {
			at, out.Value, out.Share = k, v, tp+fp
		}
	}
	out.Threshold = r.threshold(at)
	out.Value /= r.total
	out.Share = min(out.Share/r.total, 1)
	return out
}

// threshold returns the one that predicts positive down to block k and no further; k is -1 for nobody.
func (r *ranked) threshold(k int) float64 {
	switch {
	case k < 0 && r.blocks[0].score < 1:
		return 1
	case k < 0:
		return math.Nextafter(r.blocks[0].score, math.Inf(1))
	case k == len(r.blocks)-1:
		return r.blocks[k].score
	}
	return midpoint(r.blocks[k+1].score, r.blocks[k].score)
}
