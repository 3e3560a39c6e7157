package eval

import (
	"fmt"
	"math"
)

// ROCPoint is what predicting positive at or above a threshold gives.
type ROCPoint struct {
	FPR float64 `json:"fpr"` // share of negatives predicted positive
	TPR float64 `json:"tpr"` // share of positives predicted positive
	// Threshold is a score; at the corner (0, 0), above all scores, it is undefined.
	Threshold Figure `json:"threshold,omitzero"`
}

// PRPoint is what predicting positive at or above a threshold gives.
type PRPoint struct {
	Recall    float64 `json:"recall"`
	Precision float64 `json:"precision"`
	Threshold float64 `json:"threshold"`
}

// ROCCurve returns the ROC curve from (0, 0) to (1, 1), the higher thresholds first, in limit points at most, 2 or more. Points on a line between
// their neighbours are left out, which changes nothing (scikit-learn's roc_curve leaves out some of them). If more than limit are left, those are
// kept that cut the way along FPR plus TPR most evenly: every point is one of the curve, both corners stay. With one class: ErrSingleClass.
func ROCCurve(score, label, weight []float64, limit int) ([]ROCPoint, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	r, err := rankBoth(score, label, weight)
	if err != nil {
		return nil, err
	}
	corners := []corner{{}}
	thresholds := []Figure{{}}
	var at corner
	for _, b := range r.blocks {
		next := corner{at.tp + b.pos, at.fp + b.neg}
		if n := len(corners); n >= 2 && straight(corners[n-2], corners[n-1], next) {
			corners, thresholds = corners[:n-1], thresholds[:n-1]
		}
		corners, thresholds = append(corners, next), append(thresholds, NewFigure(b.score))
		at = next
	}
	kept := thin(len(corners), limit, func(i int) float64 { return corners[i].tp/r.pos + corners[i].fp/r.neg })
	points := make([]ROCPoint, len(kept))
	for k, i := range kept {
		points[k] = ROCPoint{FPR: min(corners[i].fp/r.neg, 1), TPR: min(corners[i].tp/r.pos, 1), Threshold: thresholds[i]}
	}
	return points, nil
}

// straight reports whether b lies on the line from a to c, exactly where weights are whole.
func straight(a, b, c corner) bool {
	return float64((b.tp-a.tp)*(c.fp-b.fp)) == float64((c.tp-b.tp)*(b.fp-a.fp))
}

// PRCurve returns precision and recall at each distinct score, the highest first, in limit points at most, 2 or more; the last has recall 1
// and for its precision the share of positives. Scores above the first true positive have recall 0 and precision 0 and are there too; the
// point (0, 1) that some draw is not, since no threshold has it. If there are more than limit points, those are kept that cut the way
// along recall plus the change of precision most evenly. Without a positive row: ErrSingleClass.
func PRCurve(score, label, weight []float64, limit int) ([]PRPoint, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	if err := check(score, label, weight); err != nil {
		return nil, err
	}
	blocks, pos, _ := rank(score, label, weight)
	if pos == 0 {
		return nil, ErrSingleClass
	}
	points := make([]PRPoint, len(blocks))
	way := make([]float64, len(blocks))
	tp, fp := 0.0, 0.0
	for i, b := range blocks {
		tp += b.pos
		fp += b.neg
		points[i] = PRPoint{Recall: min(tp/pos, 1), Precision: tp / (tp + fp), Threshold: b.score}
		if i > 0 {
			way[i] = way[i-1] + (points[i].Recall - points[i-1].Recall) + math.Abs(points[i].Precision-points[i-1].Precision)
		}
	}
	kept := thin(len(points), limit, func(i int) float64 { return way[i] })
	out := make([]PRPoint, len(kept))
	for k, i := range kept {
		out[k] = points[i]
	}
	return out, nil
}

func checkLimit(limit int) error {
	if limit < 2 {
		return fmt.Errorf("curve of %d points, want 2 at least", limit)
	}
	return nil
}

// thin returns which of n points to keep, at most limit: all if they are no more, else the first and the last, and between them the first
// point in each of limit-1 equal parts of the way, which must rise from first to last and never fall.
func thin(n, limit int, way func(i int) float64) []int {
	kept := make([]int, 0, min(n, limit))
	if n <= limit {
		for i := range n {
			kept = append(kept, i)
		}
		return kept
	}
	first, last := way(0), way(n-1)
	passed := -1 // equal parts of the way passed so far
	for i := range n - 1 {
		if k := int((way(i) - first) / (last - first) * float64(limit-1)); k > passed && k < limit-1 {
			kept = append(kept, i)
			passed = k
		}
	}
	return append(kept, n-1)
}
