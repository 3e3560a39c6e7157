package gbdt_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

// column returns a matrix of one column whose labels are 1 from a row on.
func column(values []float64, ones int) gbdt.Matrix {
	m := gbdt.Matrix{Rows: len(values), Width: 1, X: values, Label: make([]float64, len(values))}
	for i := ones; i < len(values); i++ {
		m.Label[i] = 1
	}
	return m
}

func TestDegenerateColumns(t *testing.T) {
	nan := math.NaN()
	two := func(a, b float64) []float64 {
		values := slices.Repeat([]float64{a}, 100)
		return append(values, slices.Repeat([]float64{b}, 60)...)
	}
	next := math.Nextafter(1, 2)
	for _, test := range []struct {
		name    string
		values  []float64
		splits  bool
		between bool // the midpoint is neither value
	}{
		{"constant", two(4, 4), false, false},
		{"all missing", two(nan, nan), false, false},
		{"zeros of both signs", two(0, math.Copysign(0, -1)), false, false},
		{"value and missing", two(4, nan), true, false},
		{"missing and value", two(nan, 4), true, false},
		{"huge", two(-1e308, 1e308), true, true},
		{"extreme", two(-math.MaxFloat64, math.MaxFloat64), true, true},
		{"tiny", two(0, 5e-324), true, false},
		{"neighbours", two(1, next), true, false},
		{"great neighbours", two(math.Nextafter(math.MaxFloat64, 0), math.MaxFloat64), true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := column(test.values, 100)
			p := gbdt.DefaultParams()
			p.Trees, p.LearningRate = 10, 1
			e := train(t, p, []string{"x"}, m)
			low, high := e.Probability(m.Row(0)), e.Probability(m.Row(159))
			if !test.splits {
				require.Equal(t, 1, e.Trees())
				require.InDelta(t, 0.375, low, 1e-12)
				require.Equal(t, low, high)
				return
			}
			require.Less(t, low, 0.05)
			require.Greater(t, high, 0.95)
		})
	}
}

func TestDuplicateColumnsAreOne(t *testing.T) {
	m, names := generate(41, 1500, 3)
	twice := gbdt.Matrix{Rows: m.Rows, Width: 6, Label: m.Label}
	for i := range m.Rows {
		twice.X = append(append(twice.X, m.Row(i)...), m.Row(i)...)
	}
	p := gbdt.DefaultParams()
	p.Trees = 20
	once, e := train(t, p, names, m), train(t, p, append(slices.Clone(names), "d", "e", "f"), twice)
	for i := range m.Rows {
		require.Equal(t, once.Margin(m.Row(i)), e.Margin(twice.Row(i)))
	}
	require.Equal(t, append(once.Importance(), 0, 0, 0), e.Importance(), "ties go to the first")
}

func TestOneRowAndOneClass(t *testing.T) {
	ctx := context.Background()
	p := gbdt.DefaultParams()
	p.MinChildRows = 1
	one := column([]float64{7}, 0)
	_, _, err := gbdt.Train(ctx, p, []string{"x"}, one, nil, nil)
	require.ErrorContains(t, err, "labels are of a single class: weight 1 of 1 is positive")
	score := -1.25
	p.BaseScore = &score
	e, report, err := gbdt.Train(ctx, p, []string{"x"}, one, &one, nil)
	require.NoError(t, err)
	require.Equal(t, -1.25, e.Margin([]float64{0}))
	require.Equal(t, 1, report.Trees)
	require.InDelta(t, math.Log(1+math.Exp(1.25)), report.TrainLoss[0], 1e-12)

	// A single class draws every margin to its side.
	m := column([]float64{1, 2, 3, 4, 5, 6, 7, 8}, 0)
	e, report, err = gbdt.Train(ctx, p, []string{"x"}, m, nil, nil)
	require.NoError(t, err)
	require.InDelta(t, -1.25, e.Margin([]float64{1}), 1e-12, "all rows are alike, so there is nothing to split")
	require.Equal(t, 1, report.Trees)
	p.L2 = 0
	m.Label[0] = 0
	e, _, err = gbdt.Train(ctx, p, []string{"x"}, m, nil, nil)
	require.NoError(t, err)
	require.Less(t, e.Margin([]float64{1}), -2.0)
	require.Greater(t, e.Margin([]float64{8}), 2.0)
}

func TestDegenerateWeights(t *testing.T) {
	ctx := context.Background()
	m, names := generate(42, 600, 4)
	p := gbdt.DefaultParams()
	p.Trees = 5
	weigh := func(weight func(i int) float64) gbdt.Matrix {
		w := m
		w.Weight = make([]float64, m.Rows)
		for i := range w.Weight {
			w.Weight[i] = weight(i)
		}
		return w
	}
	_, _, err := gbdt.Train(ctx, p, names, weigh(func(int) float64 { return 0 }), nil, nil)
	require.ErrorContains(t, err, "the sum of weights is 0")
	score := 0.0
	p.BaseScore = &score
	_, _, err = gbdt.Train(ctx, p, names, weigh(func(int) float64 { return 0 }), nil, nil)
	require.ErrorContains(t, err, "the sum of weights is 0")
	p.BaseScore = nil
	_, _, err = gbdt.Train(ctx, p, names, weigh(func(i int) float64 { return 1e-300 + 1e300*m.Label[i] }), nil, nil)
	require.ErrorContains(t, err, "single class", "one class's share is lost beside the other's")
	_, _, err = gbdt.Train(ctx, p, names, weigh(func(i int) float64 { return math.MaxFloat64 }), nil, nil)
	require.ErrorContains(t, err, "overflows")
	p.PositiveWeight = 1e308
	_, _, err = gbdt.Train(ctx, p, names, weigh(func(i int) float64 { return 100 }), nil, nil)
	require.ErrorContains(t, err, "overflows")
	p.PositiveWeight = 1

	// Rows of weight 1e-300 count for nothing beside those of 1e300, and of 0 for nothing at all; L2 and the least weight are
	// nothing beside 1e300 either.
	p.MinChildRows, p.L2, p.MinChildWeight = 1, 0, 0
	half := func(i int) bool { return i%2 == 0 }
	great := train(t, p, names, weigh(func(i int) float64 {
		if half(i) {
			return 1e300
		}
		return 1e-300
	}))
	for _, e := range []*gbdt.Ensemble{great, train(t, p, names, weigh(func(i int) float64 {
		if half(i) {
			return 1e-290
		}
		return 0
	}))} {
		for i := range m.Rows {
			margin := e.Margin(m.Row(i))
			require.False(t, math.IsNaN(margin) || math.IsInf(margin, 0), "row %d", i)
		}
		loss := 0.0
		for i, y := range m.Label {
			if q := e.Probability(m.Row(i)); half(i) {
				loss -= y*math.Log(q) + (1-y)*math.Log(1-q)
			}
		}
		require.Less(t, loss/float64(m.Rows/2), 0.66)
	}
}

func TestManyBinsAndCategories(t *testing.T) {
	const n = 1 << 16
	m := gbdt.Matrix{Rows: n, Width: 2}
	for i := range n {
		code := float64(i * 40503 % n)
		m.X = append(m.X, code, code)
		label := 0.0
		if int(code)*2654435761>>7&3 == 0 {
			label = 1
		}
		m.Label = append(m.Label, label)
	}
	p := gbdt.DefaultParams()
	p.Trees, p.MaxBins, p.MinChildRows, p.MaxLeaves, p.MaxDepth = 2, 65_535, 1, 8, 0
	numeric := train(t, p, []string{"a", "b"}, m)
	require.Positive(t, numeric.Importance()[0])
	require.Zero(t, numeric.Importance()[1])

	// Of 65,536 categories one has no bin; 4,000 of them go left, all of label 1.
	p.Categorical, p.CatSmooth, p.MinRowsPerCategory, p.MaxCatThreshold = []int{0, 1}, 1, 1, 4000
	p.Trees, p.MaxLeaves, p.CatL2 = 1, 2, 0
	e := train(t, p, []string{"a", "b"}, m)
	left := e.Leaves(m.Row(0), nil)[0]
	sides := map[int32]int{}
	for i := range n {
		leaf := e.Leaves(m.Row(i), nil)[0]
		sides[leaf]++
		if sides[leaf] == 1 {
			left = leaf
		}
	}
	require.Len(t, sides, 2)
	require.Equal(t, 4000, min(sides[left], n-sides[left]))
	for i := range n {
		if e.Margin(m.Row(i)) > e.Margin([]float64{math.NaN(), math.NaN()}) {
			require.Equal(t, 1.0, m.Label[i], fmt.Sprint(m.Row(i)))
		}
	}

	// With few bins the most frequent categories keep theirs.
	rare := gbdt.Matrix{Rows: 3000, Width: 1}
	for i := range rare.Rows {
		code := i % 3
		if i%100 == 99 {
			code = 1000 + i
		}
		rare.X, rare.Label = append(rare.X, float64(code)), append(rare.Label, float64(code%2))
	}
	p = gbdt.DefaultParams()
	p.Categorical, p.MaxBins, p.Trees = []int{0}, 3, 30
	e = train(t, p, []string{"x"}, rare)
	require.Less(t, e.Probability([]float64{0}), 0.1)
	require.Greater(t, e.Probability([]float64{1}), 0.9)
	require.Equal(t, e.Margin([]float64{1099}), e.Margin([]float64{math.NaN()}))
}
