package eval

import "math"

// logLossClip keeps log loss finite: scores are moved into [2^-52, 1 - 2^-52] before the logarithm.
const logLossClip = 0x1p-52

// LogLoss returns the weighted mean of the negative natural log-likelihood,
//
//	-sum w (y ln s + (1-y) ln(1-s)) / sum w
//
// with s clipped to [2^-52, 1-2^-52], so that a certain and wrong row costs 36.04 and not infinity. It follows scikit-learn's
// log_loss for float64. A score outside [0, 1] is an error. A single class is fine.
func LogLoss(score, label, weight []float64) (float64, error) {
	if err := checkProbabilities(score, label, weight); err != nil {
		return 0, err
	}
	return logLoss(score, label, weight), nil
}

func logLoss(score, label, weight []float64) float64 {
	return weightedMean(weight, len(score), func(i int) float64 { return rowLoss(score[i], label[i]) })
}

func rowLoss(score, label float64) float64 {
	s := min(max(score, logLossClip), 1-logLossClip)
	if label == 1 {
		return -math.Log(s)
	}
	return -math.Log1p(-s)
}

// Brier returns the weighted mean of (s - y)^2, scikit-learn's brier_score_loss: 0 is perfect, and 0.25 is what s = 0.5 for every
// row gets. A score outside [0, 1] is an error. A single class is fine.
func Brier(score, label, weight []float64) (float64, error) {
	if err := checkProbabilities(score, label, weight); err != nil {
		return 0, err
	}
	return brier(score, label, weight), nil
}

func brier(score, label, weight []float64) float64 {
	return weightedMean(weight, len(score), func(i int) float64 {
		d := score[i] - label[i]
		return d * d
	})
}

// weightedMean adds in row order. The weights must add up to more than 0.
func weightedMean(weight []float64, n int, value func(i int) float64) float64 {
	// A power of two moves extreme weights to where products neither overflow nor vanish; it changes no other result.
	scale := 1.0
	if weight != nil {
		switch total := sum(weight); {
		case total > 0x1p900:
			scale = 0x1p-200
		case total < 0x1p-900:
			scale = 0x1p900
		}
	}
	total, all := 0.0, 0.0
	for i := range n {
		w := weightAt(weight, i) * scale
		total += float64(w * value(i))
		all += w
	}
	return total / all
}

func sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}
