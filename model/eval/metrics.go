package eval

import (
	"fmt"
	"math"
)

// Metrics is what is known of a classifier on one set of rows. Rows, Positives, TP, FP, TN and FN count rows, whatever their
// weight; every other figure is weighted. All values are finite. The zero value is the absence of an evaluation.
type Metrics struct {
	Rows      int     `json:"rows"`
	Positives int     `json:"positives"`
	Threshold float64 `json:"threshold"` // positive is predicted at or above it

	ROCAUC    float64 `json:"roc_auc"`
	PRAUC     float64 `json:"pr_auc"`
	F1        float64 `json:"f1_churn"`   // F1 of the positive class at Threshold
	F1AtHalf  float64 `json:"f1_at_half"` // F1 of the positive class at 0.5
	Precision float64 `json:"precision"`  // 0 where no row is predicted positive
	Recall    float64 `json:"recall"`
	Accuracy  float64 `json:"accuracy"`
	LogLoss   float64 `json:"log_loss"`
	Brier     float64 `json:"brier"`

	TP int `json:"tp"`
	FP int `json:"fp"`
	TN int `json:"tn"`
	FN int `json:"fn"`
}

// Evaluate computes every metric of scores in [0, 1] at one threshold. Beside the faults that the package comment lists, a score
// outside [0, 1] and a threshold that is not finite are errors, and labels of a single class are ErrSingleClass, since no area is
// defined for them.
func Evaluate(score, label, weight []float64, threshold float64) (Metrics, error) {
	if err := checkProbabilities(score, label, weight); err != nil {
		return Metrics{}, err
	}
	if err := checkThreshold(threshold); err != nil {
		return Metrics{}, err
	}
	blocks, pos, neg := rank(score, label, weight)
	if pos == 0 || neg == 0 {
		return Metrics{}, ErrSingleClass
	}
	m := Metrics{
		Rows:      len(score),
		Threshold: threshold,
		ROCAUC:    rocAUC(blocks, pos, neg),
		PRAUC:     prAUC(blocks, pos),
		LogLoss:   logLoss(score, label, weight),
		Brier:     brier(score, label, weight),
	}
	m.count(score, label)
	at := confusionAt(blocks, threshold)
	half := confusionAt(blocks, 0.5)
	m.F1 = f1Of(at.tp, at.fp, at.fn)
	m.F1AtHalf = f1Of(half.tp, half.fp, half.fn)
	m.Precision = ratio(at.tp, at.tp+at.fp)
	m.Recall = ratio(at.tp, at.tp+at.fn)
	m.Accuracy = ratio(at.tp+at.tn, at.tp+at.fp+at.tn+at.fn)
	return m, nil
}

// count fills the row counts.
func (m *Metrics) count(score, label []float64) {
	for i, s := range score {
		predicted := s >= m.Threshold
		switch {
		case label[i] == 1 && predicted:
			m.TP++
		case label[i] == 1:
			m.FN++
		case predicted:
			m.FP++
		default:
			m.TN++
		}
	}
	m.Positives = m.TP + m.FN
}

// Map returns the finite values by their JSON names, counts included, in a new map.
func (m Metrics) Map() map[string]float64 {
	values := map[string]float64{
		"rows": float64(m.Rows), "positives": float64(m.Positives), "threshold": m.Threshold,
		"roc_auc": m.ROCAUC, "pr_auc": m.PRAUC, "f1_churn": m.F1, "f1_at_half": m.F1AtHalf,
		"precision": m.Precision, "recall": m.Recall, "accuracy": m.Accuracy,
		"log_loss": m.LogLoss, "brier": m.Brier,
		"tp": float64(m.TP), "fp": float64(m.FP), "tn": float64(m.TN), "fn": float64(m.FN),
	}
	for name, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			delete(values, name)
		}
	}
	return values
}

// F1 returns the harmonic mean of precision and recall of the positive class, 2TP / (2TP + FP + FN), weighted. A row is predicted
// positive if score >= threshold. Where no positive is predicted nor present the quotient is 0/0 and F1 is 0, as it is wherever
// there is no true positive (scikit-learn's f1_score with zero_division=0). Scores need only be finite; the threshold must be too.
// A single class is fine.
func F1(score, label, weight []float64, threshold float64) (float64, error) {
	if err := check(score, label, weight); err != nil {
		return 0, err
	}
	if err := checkThreshold(threshold); err != nil {
		return 0, err
	}
	var c confusion
	for i, s := range score {
		w := weightAt(weight, i)
		switch {
		case label[i] == 1 && s >= threshold:
			c.tp += w
		case label[i] == 1:
			c.fn += w
		case s >= threshold:
			c.fp += w
		}
	}
	return f1Of(c.tp, c.fp, c.fn), nil
}

// confusion is weight by true class and decision.
type confusion struct{ tp, fp, tn, fn float64 }

func confusionAt(blocks []block, threshold float64) confusion {
	var c confusion
	for _, b := range blocks {
		if b.score >= threshold {
			c.tp += b.pos
			c.fp += b.neg
		} else {
			c.fn += b.pos
			c.tn += b.neg
		}
	}
	return c
}

func f1Of(tp, fp, fn float64) float64 {
	if all := float64(2*tp) + fp + fn; !math.IsInf(all, 0) {
		return ratio(2*tp, all)
	}
	return ratio(tp, tp+fp/2+fn/2)
}

// ratio is a/b, and 0 where b is 0.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func checkThreshold(t float64) error {
	if math.IsNaN(t) || math.IsInf(t, 0) {
		return fmt.Errorf("threshold %v is not finite", t)
	}
	return nil
}
