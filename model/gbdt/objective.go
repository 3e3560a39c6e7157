package gbdt

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// objective is what the sum of the trees means.
type objective struct {
	// name is LightGBM's: binary or cross_entropy. Both give the probability sigmoid(margin·sigmoid).
	name string
	// sigmoid is greater than 0, and 1 for cross_entropy.
	sigmoid float64
	// average says that the margin is the mean of the trees' values, not their sum.
	average bool
}

// logistic is the objective that Train fits.
var logistic = objective{name: "binary", sigmoid: 1}

// parseObjective reads the objective field of LightGBM's text.
func parseObjective(text string) (objective, error) {
	name, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	switch name {
	case "":
		return objective{}, fmt.Errorf("no objective (a custom one?): whether the scores are log-odds can't be known")
	case "cross_entropy", "xentropy":
		return objective{name: name, sigmoid: 1}, nil
	case "binary":
		value, ok := strings.CutPrefix(strings.TrimSpace(rest), "sigmoid:")
		sigmoid, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil || !(sigmoid > 0) || math.IsInf(sigmoid, 1) {
			return objective{}, fmt.Errorf("objective %q is not \"binary sigmoid:K\" with K greater than 0", clip(text))
		}
		return objective{name: name, sigmoid: sigmoid}, nil
	}
	return objective{}, fmt.Errorf("objective %q is not supported, as it gives no probability of a yes; only binary and cross_entropy do", clip(text))
}

// text returns the objective as LightGBM writes it.
func (o objective) text() string {
	if o.name == "binary" {
		return "binary sigmoid:" + strconv.FormatFloat(o.sigmoid, 'g', -1, 64)
	}
	return o.name
}

// mean returns the margin of a sum over trees.
func (o objective) mean(sum float64, trees int) float64 {
	if o.average {
		return sum / float64(trees)
	}
	return sum
}

// Objective returns what the ensemble was fitted to, in LightGBM's words: "binary", whose parameter [Ensemble.FromMargin] knows, or
// "cross_entropy".
func (e *Ensemble) Objective() string { return e.objective.name }
