package gbdt

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The first trees of an ensemble, and those of a training that had enough, are what training for so many trees gives.
func TestFirstTreesAreThoseOfAShorterTraining(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := Matrix{Rows: 400, Width: 2, X: make([]float64, 800), Label: make([]float64, 400)}
	for i := range m.Rows {
		m.X[2*i], m.X[2*i+1] = r.Float64(), r.Float64()
		if m.X[2*i]+m.X[2*i+1]+r.Float64()/4 > 1.1 {
			m.Label[i] = 1
		}
	}
	p := DefaultParams()
	p.Subsample, p.ColumnSample = 0.7, 0.5
	train := func(trees int, onTree func(Progress) error) (*Ensemble, Report) {
		p.Trees = trees
		e, report, err := Train(context.Background(), p, []string{"a", "b"}, m, nil, onTree)
		require.NoError(t, err)
		return e, report
	}
	long, _ := train(30, nil)
	short, _ := train(12, nil)
	stopped, report := train(30, func(p Progress) error {
		if p.Tree == 12 {
			return fmt.Errorf("at tree 12: %w", ErrEnough)
		}
		return nil
	})
	require.Equal(t, 12, report.Trees)
	require.Len(t, report.TrainLoss, 12)
	for name, e := range map[string]*Ensemble{"first": long.First(12), "enough": stopped} {
		require.Equal(t, 12, e.Trees(), name)
		for i := range m.Rows {
			require.Equal(t, short.Margin(m.Row(i)), e.Margin(m.Row(i)), "%s, row %d", name, i)
		}
		var text bytes.Buffer
		require.NoError(t, e.WriteText(&text), name)
		again, err := ParseText(&text)
		require.NoError(t, err, name)
		require.Equal(t, 12, again.Trees(), name)
	}
	require.Equal(t, 30, long.Trees())
	require.Panics(t, func() { long.First(0) })
	require.Panics(t, func() { long.First(31) })
}
