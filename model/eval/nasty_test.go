package eval

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNastyInputGivesFiniteFiguresOrErrors runs everything over extreme scores and weights. encoding/json refuses NaN and infinities, so what
// marshals is finite or absent.
func TestNastyInputGivesFiniteFiguresOrErrors(t *testing.T) {
	below1 := math.Nextafter(1, 0)
	probabilities := []float64{0, math.Copysign(0, -1), 5e-324, 1e-300, 0x1p-53, 0.5, math.Nextafter(0.5, 1), below1, 1}
	margins := append([]float64{-math.MaxFloat64, 1.7e308, -1e308, 1e-310, -5e-324, 700}, probabilities...)
	weights := [][]float64{nil, {1}, {0, 1}, {0, 5e-324, 1}, {5e-324}, {1e-308, 1e-300}, {1e300, 1e-300, 1}, {1e306}, {0, 3, 1e16}}
	r := rand.New(rand.NewPCG(91, 92))
	defined := map[string]int{}
	for range 1000 {
		n := 1 + r.IntN(30)
		if r.IntN(50) == 0 {
			n = 600
		}
		var kind []float64
		if k := weights[r.IntN(len(weights))]; k != nil {
			kind = k
		}
		probability, margin, other, label := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
		var weight []float64
		column := Column{Name: "c", Values: make([]string, n)}
		rate := r.Float64()
		for i := range n {
			probability[i], margin[i], other[i] = probabilities[r.IntN(len(probabilities))], margins[r.IntN(len(margins))], margins[r.IntN(len(margins))]
			if r.Float64() < rate {
				label[i] = 1
			}
			if kind != nil {
				weight = append(weight, kind[r.IntN(len(kind))])
			}
			column.Values[i] = strconv.Itoa(r.IntN(3))
		}
		for name, f := range everything(probability, margin, other, label, weight, column) {
			v, err := f()
			if err != nil {
				continue
			}
			defined[name]++
			_, err = json.Marshal(v)
			require.NoError(t, err, "%s of %v, %v, %v, %v", name, probability, margin, label, weight)
		}
	}
	for name := range everything(nil, nil, nil, nil, nil, Column{}) {
		require.Greater(t, defined[name], 300, "%s was hardly ever defined", name)
	}
}

func everything(probability, margin, other, label, weight []float64, column Column) map[string]func() (any, error) {
	campaign := DefaultCampaign()
	cost := CostMatrix{TP: -1e308, FP: 1e308, FN: 2, TN: 1e-308}
	return map[string]func() (any, error){
		"Evaluate":     func() (any, error) { return Evaluate(probability, label, weight, 0.5) },
		"ROCAUC":       func() (any, error) { return ROCAUC(margin, label, weight) },
		"DeLong":       func() (any, error) { return DeLong(margin, label, weight) },
		"CompareAUC":   func() (any, error) { return CompareAUC(margin, other, label, weight) },
		"table, width": func() (any, error) { return CalibrationTable(probability, label, weight, 7, EqualWidth) },
		"table, count": func() (any, error) { return CalibrationTable(probability, label, weight, 7, EqualCount) },
		"HosmerLemeshow": func() (any, error) {
			c, err := CalibrationTable(probability, label, weight, 3, EqualCount)
			return c.HosmerLemeshow(), err
		},
		"ROCCurve":        func() (any, error) { return ROCCurve(margin, label, weight, 5) },
		"PRCurve":         func() (any, error) { return PRCurve(margin, label, weight, 5) },
		"Gains":           func() (any, error) { return Gains(margin, label, weight, 10) },
		"KS":              func() (any, error) { v, _, err := KS(margin, label, weight); return v, err },
		"CaptureAt":       func() (any, error) { v, _, err := CaptureAt(margin, label, weight, 0.1); return v, err },
		"cost":            func() (any, error) { return BestCostThreshold(margin, label, weight, cost) },
		"profit":          func() (any, error) { return campaign.MaxProfit(margin, label, weight, 0.3) },
		"expected profit": func() (any, error) { return campaign.ExpectedMaxProfit(margin, label, weight) },
		"Slices": func() (any, error) {
			return SliceConfig{FDR: 0.1, MinClass: 2, MaxLevels: 2}.Slices([]Column{column}, probability, label, weight)
		},
		"Folds": func() (any, error) { return Folds(label, 2, 1) },
	}
}

func TestTheScaleOfWeightsIsNothing(t *testing.T) {
	score, label := []float64{0.1, 0.7, 0.4, 0.9}, []float64{0, 1, 1, 0}
	want, err := Evaluate(score, label, nil, 0.5)
	require.NoError(t, err)
	for _, w := range []float64{5e-324, 1e-300, 3, 1e300, math.MaxFloat64 / 8} {
		got, err := Evaluate(score, label, []float64{w, w, w, w}, 0.5)
		require.NoError(t, err)
		requireSameFigures(t, want, got)
		area, err := DeLong([]float64{1, 2, 2, 3, 4}, []float64{0, 1, 0, 1, 0}, []float64{w, w, w, w, w / 2})
		require.NoError(t, err)
		if w > 5e-324 { // half of which is 0
			require.InDelta(t, 0.7, area.AUC, 1e-12)
		}
		cost, err := BestCostThreshold(score, label, []float64{w, w, w, w}, CostMatrix{FP: 1, FN: 3})
		require.NoError(t, err)
		require.Equal(t, Decision{Threshold: 0.25, Value: 0.25, Share: 0.75}, cost)
	}
}
