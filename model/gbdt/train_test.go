package gbdt_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

func TestEarlyStoppingKeepsBestTrees(t *testing.T) {
	m, names := generate(6, 1500, 6)
	valid, _ := generate(7, 1500, 6)
	valid.Weight = make([]float64, valid.Rows)
	for i := range valid.Weight {
		valid.Weight[i] = float64(i % 3)
	}
	p := gbdt.DefaultParams()
	p.Trees, p.LearningRate, p.EarlyStoppingRounds = 500, 0.4, 6
	e, report, err := gbdt.Train(context.Background(), p, names, m, &valid, nil)
	require.NoError(t, err)
	require.Equal(t, report.BestTree, e.Trees())
	require.Equal(t, report.BestTree, report.Trees)
	require.Len(t, report.ValidLoss, report.BestTree+p.EarlyStoppingRounds, "it stops as soon as the rounds are over")
	require.Len(t, report.TrainLoss, len(report.ValidLoss))
	best := report.ValidLoss[report.BestTree-1]
	for i, loss := range report.ValidLoss {
		if i < report.BestTree-1 {
			require.Greater(t, loss, best, "tree %d", i+1)
		} else {
			require.GreaterOrEqual(t, loss, best, "tree %d", i+1)
		}
	}
	var loss, total float64
	for i, y := range valid.Label {
		probability := e.Probability(valid.Row(i))
		loss -= valid.Weight[i] * (y*math.Log(probability) + (1-y)*math.Log(1-probability))
		total += valid.Weight[i]
	}
	require.InDelta(t, loss/total, best, 1e-12)

	// The kept trees are those of a run that was told to stop there.
	p.Trees, p.EarlyStoppingRounds = report.BestTree, 0
	short, shortReport, err := gbdt.Train(context.Background(), p, names, m, &valid, nil)
	require.NoError(t, err)
	requireNear(t, e, short, m, 0)
	require.Equal(t, report.ValidLoss[:report.BestTree], shortReport.ValidLoss)
}

func TestMissingSideIsLearned(t *testing.T) {
	const rows = 400
	nan := math.NaN()
	m := gbdt.Matrix{Rows: rows, Width: 2}
	for i := range rows {
		x, label := []float64{float64(i % 2), 0}, float64(i%2)
		switch i % 8 {
		case 0: // negative, as the low value is: missing belongs on the left
			x[0] = nan
		case 1: // positive, told apart only by the second column's being missing
			x = []float64{0, nan}
		}
		m.X = append(m.X, x...)
		m.Label = append(m.Label, label)
	}
	p := gbdt.DefaultParams()
	p.Trees, p.LearningRate, p.L2 = 30, 0.5, 0
	e := train(t, p, []string{"value", "presence"}, m)
	for i := range rows {
		require.InDelta(t, m.Label[i], e.Probability(m.Row(i)), 0.01, "row %d: %v", i, m.Row(i))
	}
	for _, low := range []float64{math.Inf(-1), -5, 0, 0.49, nan} {
		require.Less(t, e.Probability([]float64{low, 0}), 0.01, "value %v", low)
	}
	for _, high := range []float64{0.51, 1, 5, math.Inf(1)} {
		require.Greater(t, e.Probability([]float64{high, 0}), 0.99, "value %v", high)
	}

	// Mirrored, missing belongs on the right.
	for i := range rows {
		m.X[2*i] = 1 - m.X[2*i]
	}
	e = train(t, p, []string{"value", "presence"}, m)
	require.Less(t, e.Probability([]float64{nan, 0}), 0.01)
	require.Less(t, e.Probability([]float64{1, 0}), 0.01)
	require.Greater(t, e.Probability([]float64{0, 0}), 0.99)
}

func TestMissingNeverSeenGoesToTheLargerChild(t *testing.T) {
	for _, large := range []float64{0, 1} {
		m := gbdt.Matrix{Rows: 300, Width: 1}
		for i := range m.Rows {
			v := large
			if i%3 == 0 {
				v = 1 - large
			}
			m.X, m.Label = append(m.X, v), append(m.Label, v)
		}
		e := train(t, gbdt.DefaultParams(), []string{"v"}, m)
		require.Equal(t, e.Margin([]float64{large}), e.Margin([]float64{math.NaN()}), "most rows are %v", large)
		require.NotEqual(t, e.Margin([]float64{0}), e.Margin([]float64{1}))
	}
}

func TestNothingToSplitGivesBaseScore(t *testing.T) {
	nan := math.NaN()
	m := gbdt.Matrix{Rows: 4, Width: 2, X: []float64{1, nan, 1, nan, 1, nan, 1, nan}, Label: []float64{1, 0, 0, 0}}
	for _, share := range []float64{1, 0.5} {
		p := gbdt.DefaultParams()
		p.MinChildRows, p.Subsample = 1, share
		e, report, err := gbdt.Train(context.Background(), p, []string{"a", "b"}, m, &m, nil)
		require.NoError(t, err)
		require.Equal(t, 1, e.Trees())
		require.Equal(t, 1, report.Trees)
		require.InDelta(t, math.Log(1.0/3), e.Margin([]float64{7, 7}), 1e-15)
		require.InDelta(t, 0.25, e.Probability([]float64{nan, 7}), 1e-15)
		require.Equal(t, []int32{0}, e.Leaves([]float64{1, 1}, nil))
		require.Equal(t, []float64{0, 0}, e.Importance())
	}
}

func TestBoundsOfTrees(t *testing.T) {
	m, names := generate(8, 3000, 6)
	p := gbdt.DefaultParams()
	p.Trees, p.MaxDepth, p.MaxLeaves, p.MinChildRows = 5, 0, 12, 100
	e := train(t, p, names, m)
	for k := range e.Trees() {
		rows := make(map[int32]int)
		for i := range m.Rows {
			rows[e.Leaves(m.Row(i), nil)[k]]++
		}
		require.Len(t, rows, 12, "tree %d", k)
		for leaf, n := range rows {
			require.GreaterOrEqual(t, n, 100, "tree %d leaf %d", k, leaf)
		}
	}
	p.MinGain = 1e9
	require.Equal(t, 1, train(t, p, names, m).Trees(), "no gain is enough")
}

func TestTiesGoToTheFirst(t *testing.T) {
	// Both columns are the same, and splitting 0 from the rest gains as much as splitting 2 from it.
	m := gbdt.Matrix{Rows: 400, Width: 2}
	for i := range m.Rows {
		v := []float64{0, 1, 1, 2}[i%4]
		m.X = append(m.X, v, v)
		m.Label = append(m.Label, []float64{0, 0, 1, 1}[i%4])
	}
	p := gbdt.DefaultParams()
	p.Trees, p.MaxLeaves = 1, 2
	e := train(t, p, []string{"first", "second"}, m)
	require.Positive(t, e.Importance()[0])
	require.Zero(t, e.Importance()[1])
	require.Less(t, e.Margin([]float64{0, 0}), e.Margin([]float64{1, 1}))
	require.Equal(t, e.Margin([]float64{1, 1}), e.Margin([]float64{2, 2}))
}

func TestRoundingIsNoGain(t *testing.T) {
	// The first column says everything; the other can only split rows that are alike but for the rounding of their sums.
	random := rand.New(rand.NewPCG(3, 3))
	m := gbdt.Matrix{Rows: 2000, Width: 2}
	for range m.Rows {
		label := float64(random.IntN(2))
		m.X = append(m.X, label, random.NormFloat64())
		m.Label = append(m.Label, label)
		m.Weight = append(m.Weight, random.Float64())
	}
	p := gbdt.DefaultParams()
	p.L2, p.Trees, p.MaxDepth = 0, 10, 6
	e := train(t, p, []string{"all", "noise"}, m)
	require.Equal(t, 10, e.Trees())
	require.Zero(t, e.Importance()[1])
}

func TestFirstOfEqualLossesIsBest(t *testing.T) {
	m, names := generate(15, 400, 4)
	p := gbdt.DefaultParams()
	// Leaves of about 1e-30 change no margin.
	p.L2, p.EarlyStoppingRounds = 1e30, 4
	e, report, err := gbdt.Train(context.Background(), p, names, m, &m, nil)
	require.NoError(t, err)
	require.Equal(t, 1, report.BestTree)
	require.Equal(t, 1, e.Trees())
	require.Len(t, report.ValidLoss, 5)
}

func TestBytesOnEveryArchitecture(t *testing.T) {
	// Only whole-number arithmetic makes the data, so they are the same everywhere.
	random := rand.NewPCG(1, 2)
	m := gbdt.Matrix{Rows: 3000, Width: 4}
	for range m.Rows {
		var sum float64
		for range m.Width {
			v := float64(random.Uint64() % 1000)
			sum += v
			m.X = append(m.X, v/8)
		}
		label := 0.0
		if sum+float64(random.Uint64()%1000) > 2600 {
			label = 1
		}
		m.Label = append(m.Label, label)
		m.Weight = append(m.Weight, float64(1+random.Uint64()%5)/4)
	}
	p := gbdt.DefaultParams()
	p.Trees = 25
	sum := sha256.Sum256(text(t, train(t, p, []string{"a", "b", "c", "d"}, m)))
	const want = "6692ba5d21f587bc69627393a25ebc56fb3a76cd2e973e1e3896f2336c68ff59"
	require.Equal(t, want, hex.EncodeToString(sum[:]))
}

func TestTrainStops(t *testing.T) {
	m, names := generate(9, 500, 4)
	lost := errors.New("lease lost")
	calls := 0
	e, report, err := gbdt.Train(context.Background(), gbdt.DefaultParams(), names, m, nil, func(gbdt.Progress) error {
		if calls++; calls == 3 {
			return lost
		}
		return nil
	})
	require.ErrorIs(t, err, lost)
	require.Nil(t, e)
	require.Len(t, report.TrainLoss, 3)

	ctx, cancel := context.WithCancel(context.Background())
	_, report, err = gbdt.Train(ctx, gbdt.DefaultParams(), names, m, nil, func(p gbdt.Progress) error {
		if p.Tree == 2 {
			cancel()
		}
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, report.TrainLoss, 2)
}

func TestTrainRefuses(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, test := range []struct {
		name   string
		change func(p *gbdt.Params, names []string, m, valid *gbdt.Matrix)
		want   string
	}{
		{"no rows", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { *m = gbdt.Matrix{Width: 2} }, "training matrix: matrix has 0 rows"},
		{"width", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.Width = 3 }, "width of 3, want 2"},
		{"values", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.X = m.X[:7] }, "7 values, want 4 rows times 2"},
		{"labels", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.Label = m.Label[:3] }, "3 labels"},
		{"weights", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.Weight = []float64{1} }, "1 weights"},
		{"label", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.Label[2] = 2 }, "row 2: label is 2"},
		{"missing label", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.Label[1] = nan }, "row 1: label is NaN"},
		{"negative weight", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.Weight = []float64{1, 1, 1, -1} }, "row 3: weight is -1"},
		{"missing weight", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.Weight = []float64{nan, 1, 1, 1} }, "row 0: weight is NaN"},
		{"infinite weight", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.Weight = []float64{inf, 1, 1, 1} }, "row 0: weight is +Inf"},
		{"infinite value", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.X[5] = -inf }, "row 2: feature b is -Inf"},
		{"single class", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.Label = make([]float64, 4) }, "single class"},
		{"weightless class", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.Weight = []float64{1, 0, 1, 0} }, "single class"},
		{"weights overflow", func(_ *gbdt.Params, _ []string, m, _ *gbdt.Matrix) { m.Weight = []float64{1e308, 1e308, 1, 1} }, "overflow"},
		{"same names", func(_ *gbdt.Params, names []string, _, _ *gbdt.Matrix) { names[1] = "a" }, `features 0 and 1 are both named "a"`},
		{"no name", func(_ *gbdt.Params, names []string, _, _ *gbdt.Matrix) { names[1] = "" }, "feature 1 has no name"},
		{"parameters", func(p *gbdt.Params, _ []string, _, _ *gbdt.Matrix) { p.Trees, p.Subsample, p.L2 = 0, 2, nan }, "Trees is 0"},
		{"validation label", func(_ *gbdt.Params, _ []string, _, valid *gbdt.Matrix) { valid.Label[0] = 7 }, "validation matrix: quantize: row 0: label is 7"},
		{"weightless validation", func(_ *gbdt.Params, _ []string, _, valid *gbdt.Matrix) { valid.Weight = make([]float64, 4) }, "validation data: the sum of weights is 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fresh := func() *gbdt.Matrix {
				return &gbdt.Matrix{Rows: 4, Width: 2, X: []float64{1, 2, 3, 4, 5, 6, 7, 8}, Label: []float64{0, 1, 0, 1}}
			}
			p, names, m, valid := gbdt.DefaultParams(), []string{"a", "b"}, fresh(), fresh()
			test.change(&p, names, m, valid)
			e, _, err := gbdt.Train(context.Background(), p, names, *m, valid, nil)
			require.ErrorContains(t, err, test.want)
			require.Nil(t, e)
		})
	}
	m, names := generate(1, 50, 2)
	p := gbdt.DefaultParams()
	p.EarlyStoppingRounds = 3
	_, _, err := gbdt.Train(context.Background(), p, names, m, nil, nil)
	require.ErrorContains(t, err, "EarlyStoppingRounds needs validation data")
	_, _, err = gbdt.Train(context.Background(), gbdt.DefaultParams(), nil, gbdt.Matrix{}, nil, nil)
	require.ErrorContains(t, err, "no features")
}

func TestValidateNamesEveryFault(t *testing.T) {
	require.NoError(t, gbdt.DefaultParams().Validate())
	err := gbdt.Params{MaxLeaves: 1, L2: -1, MaxBins: 1 << 16, Threads: -1}.Validate()
	for _, field := range []string{"Trees", "LearningRate", "MaxLeaves", "L2", "MinChildRows", "Subsample", "ColumnSample", "MaxBins", "Threads"} {
		require.ErrorContains(t, err, field+" is ")
	}
}

func TestScoreOfWrongWidth(t *testing.T) {
	m, names := generate(1, 200, 3)
	e := train(t, gbdt.DefaultParams(), names, m)
	for _, width := range []int{0, 2, 4} {
		x := make([]float64, width)
		_, err := e.Score(x)
		require.ErrorContains(t, err, fmt.Sprintf("row has %d features, the model 3", width))
		message := fmt.Sprintf("gbdt: row has %d features, the model 3", width)
		require.PanicsWithValue(t, message, func() { e.Margin(x) })
		require.PanicsWithValue(t, message, func() { e.Probability(x) })
		require.PanicsWithValue(t, message, func() { e.Leaves(x, nil) })
	}
	got, err := e.Score(m.Row(0))
	require.NoError(t, err)
	require.Equal(t, e.Margin(m.Row(0)), got)
}

func TestScoringDoesNotAllocate(t *testing.T) {
	m, names := generate(1, 500, 8)
	e := train(t, gbdt.DefaultParams(), names, m)
	leaves := make([]int32, 0, e.Trees())
	require.Zero(t, testing.AllocsPerRun(100, func() {
		e.Margin(m.Row(3))
		e.Probability(m.Row(4))
		leaves = e.Leaves(m.Row(5), leaves)
	}))
}
