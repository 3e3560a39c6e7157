package gbdt_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

// generate returns rows of normal, skewed, small whole, yes-no, constant and all-missing features, in turn, in part missing,
// whose labels depend on some of them.
func generate(seed uint64, rows, width int) (gbdt.Matrix, []string) {
	random := rand.New(rand.NewPCG(seed, 1))
	m := gbdt.Matrix{Rows: rows, Width: width, X: make([]float64, rows*width), Label: make([]float64, rows)}
	names := make([]string, width)
	for f := range names {
		names[f] = fmt.Sprintf("column %d", f)
	}
	for i := range rows {
		x := m.Row(i)
		margin := -1.0
		for f := range x {
			switch f % 8 {
			case 0, 5:
				x[f] = random.NormFloat64()
				margin += x[f] / float64(f+1)
			case 1:
				x[f] = math.Exp(3 * random.NormFloat64())
				margin -= math.Log(x[f]) / float64(6*f)
			case 2:
				x[f] = float64(random.IntN(7))
			case 3, 4, 6:
				x[f] = float64(random.IntN(2))
				margin += x[f] / float64(f)
			case 7:
				x[f] = []float64{4, math.NaN()}[f/8%2]
			}
			if f%3 == 2 && random.IntN(5) == 0 {
				x[f] = math.NaN()
				margin += 0.5
			}
		}
		if random.Float64() < gbdt.Sigmoid(margin) {
			m.Label[i] = 1
		}
	}
	return m, names
}

func train(t testing.TB, p gbdt.Params, names []string, m gbdt.Matrix) *gbdt.Ensemble {
	t.Helper()
	e, _, err := gbdt.Train(context.Background(), p, names, m, nil, nil)
	require.NoError(t, err)
	return e
}

func text(t testing.TB, e *gbdt.Ensemble) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, e.WriteText(&out))
	return out.Bytes()
}

func TestTrainingLossNeverRises(t *testing.T) {
	m, names := generate(1, 4000, 12)
	p := gbdt.DefaultParams()
	p.LearningRate = 0.3
	var seen []float64
	e, report, err := gbdt.Train(context.Background(), p, names, m, nil, func(progress gbdt.Progress) error {
		require.Equal(t, len(seen)+1, progress.Tree)
		require.True(t, math.IsNaN(progress.ValidLoss))
		seen = append(seen, progress.TrainLoss)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, seen, report.TrainLoss)
	require.Equal(t, p.Trees, e.Trees())
	require.Equal(t, p.Trees, report.Trees)
	require.Equal(t, p.Trees, report.BestTree)
	for i := 1; i < len(seen); i++ {
		require.Less(t, seen[i], seen[i-1], "tree %d", i+1)
	}
	require.Less(t, seen[len(seen)-1], 0.9*seen[0])

	// The last loss is that of the scores the ensemble gives.
	var loss float64
	for i, y := range m.Label {
		probability := e.Probability(m.Row(i))
		loss -= y*math.Log(probability) + (1-y)*math.Log(1-probability)
	}
	require.InDelta(t, loss/float64(m.Rows), seen[len(seen)-1], 1e-12)
}

func TestTextRoundTrip(t *testing.T) {
	m, names := generate(3, 3000, 16)
	p := gbdt.DefaultParams()
	p.Trees = 30
	e := train(t, p, names, m)
	first := text(t, e)
	back, err := gbdt.ParseText(bytes.NewReader(first))
	require.NoError(t, err)
	require.Equal(t, string(first), string(text(t, back)))
	require.Equal(t, names, back.FeatureNames())
	require.Equal(t, e.Importance(), back.Importance())
	for i := range m.Rows {
		require.Equal(t, math.Float64bits(e.Margin(m.Row(i))), math.Float64bits(back.Margin(m.Row(i))), "row %d", i)
		require.Equal(t, e.Leaves(m.Row(i), nil), back.Leaves(m.Row(i), nil), "row %d", i)
	}
}
