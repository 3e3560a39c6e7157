package gbdt_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

// everything returns parameters that use every option at once, for the columns of generate.
func everything() gbdt.Params {
	p := gbdt.DefaultParams()
	p.Trees, p.MaxDepth, p.MaxLeaves, p.Seed = 5, 0, 31, 7
	p.Subsample, p.ColumnSample, p.ColumnSampleNode = 0.8, 0.7, 0.6
	p.L1, p.PositiveWeight = 0.1, 1.5
	p.Monotone = []int8{1, -1, 0, 0, 0, 0, 0, 0, 0, 0}
	p.Interactions = [][]int{{0, 1, 2, 3}, {3, 4, 5, 6, 8, 9}}
	p.Categorical = []int{2, 4}
	p.MaxCatToOneHot, p.CatSmooth, p.MinRowsPerCategory = 2, 1, 5
	return p
}

// asCodes makes the given columns of generate's whole codes.
func asCodes(m gbdt.Matrix, columns ...int) {
	for i := range m.Rows {
		for _, f := range columns {
			if v := m.Row(i)[f]; v == v {
				m.Row(i)[f] = math.Abs(math.Floor(v))
			}
		}
	}
}

func TestBytesDoNotDependOnThreads(t *testing.T) {
	m, names := generate(2, 34_000, 10)
	asCodes(m, 2, 4)
	weighted := m
	weighted.Weight = make([]float64, m.Rows)
	for i := range weighted.Weight {
		weighted.Weight[i] = float64(i%7) / 3
	}
	valid, _ := generate(3, 4000, 10)
	asCodes(valid, 2, 4)
	many, manyNames := generate(4, 5000, 30)
	plain := gbdt.DefaultParams()
	plain.Trees, plain.MaxDepth, plain.MaxLeaves = 2, 0, 31
	short := plain
	short.MaxBins = 1000
	for _, test := range []struct {
		name    string
		p       gbdt.Params
		m       gbdt.Matrix
		names   []string
		threads []int
	}{
		{"rows of one word", plain, m, names, []int{1, 2, 8}},
		{"rows of several words", plain, many, manyNames, []int{1, 8}},
		{"wide lanes", short, m, names, []int{1, 8}},
		{"weights", plain, weighted, names, []int{1, 8}},
		{"everything", everything(), weighted, names, []int{1, 8}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var first []byte
			var losses []float64
			for _, threads := range test.threads {
				p := test.p
				p.Threads = threads
				var v *gbdt.Matrix
				if test.m.Width == valid.Width {
					v = &valid
				}
				e, report, err := gbdt.Train(context.Background(), p, test.names, test.m, v, nil)
				require.NoError(t, err)
				if first == nil {
					first, losses = text(t, e), append(report.TrainLoss, report.ValidLoss...)
				}
				require.Equal(t, string(first), string(text(t, e)), "%d threads", threads)
				require.Equal(t, losses, append(report.TrainLoss, report.ValidLoss...), "%d threads", threads)
			}
		})
	}
	p := everything()
	a := text(t, train(t, p, names, m))
	p.Seed = 8
	require.NotEqual(t, string(a), string(text(t, train(t, p, names, m))), "another seed samples other rows")
}

// permuted returns the rows in another order.
func permuted(m gbdt.Matrix, order []int) gbdt.Matrix {
	out := gbdt.Matrix{Rows: m.Rows, Width: m.Width}
	for _, i := range order {
		out.X = append(out.X, m.Row(i)...)
		out.Label = append(out.Label, m.Label[i])
		if m.Weight != nil {
			out.Weight = append(out.Weight, m.Weight[i])
		}
	}
	return out
}

func TestRowOrderDoesNotMatter(t *testing.T) {
	for _, width := range []int{7, 30} {
		m, names := generate(4, 5000, width)
		order := rand.New(rand.NewPCG(1, 1)).Perm(m.Rows)
		p := gbdt.DefaultParams()
		p.Trees = 8
		require.Equal(t, string(text(t, train(t, p, names, m))), string(text(t, train(t, p, names, permuted(m, order)))))

		m.Weight = make([]float64, m.Rows)
		random := rand.New(rand.NewPCG(2, 2))
		for i := range m.Weight {
			m.Weight[i] = math.Exp(3 * random.NormFloat64())
		}
		require.Equal(t, string(text(t, train(t, p, names, m))), string(text(t, train(t, p, names, permuted(m, order)))), "with weights")
	}
}

func TestColumnOrderDoesNotMatter(t *testing.T) {
	m, names := generate(4, 3000, 8)
	order := rand.New(rand.NewPCG(5, 1)).Perm(m.Width)
	other := gbdt.Matrix{Rows: m.Rows, Width: m.Width, Label: m.Label}
	var otherNames []string
	for _, f := range order {
		otherNames = append(otherNames, names[f])
	}
	for i := range m.Rows {
		for _, f := range order {
			other.X = append(other.X, m.Row(i)[f])
		}
	}
	p := gbdt.DefaultParams()
	p.Trees = 20
	a, b := train(t, p, names, m), train(t, p, otherNames, other)
	for i := range m.Rows {
		require.Equal(t, a.Leaves(m.Row(i), nil), b.Leaves(other.Row(i), nil), "row %d", i)
		require.Equal(t, a.Margin(m.Row(i)), b.Margin(other.Row(i)), "row %d", i)
	}
	for i, f := range order {
		require.InDelta(t, a.Importance()[f], b.Importance()[i], 1e-9, names[f])
	}
}

// requireNear fails unless both ensembles put every row into the same leaves with the same margin but for a tolerance.
func requireNear(t *testing.T, a, b *gbdt.Ensemble, m gbdt.Matrix, tolerance float64) {
	t.Helper()
	require.Equal(t, a.Trees(), b.Trees())
	for i := range m.Rows {
		require.Equal(t, a.Leaves(m.Row(i), nil), b.Leaves(m.Row(i), nil), "row %d", i)
		require.InDelta(t, a.Margin(m.Row(i)), b.Margin(m.Row(i)), tolerance, "row %d", i)
	}
}

func TestWeightsEqualRepeatedRows(t *testing.T) {
	m, names := generate(5, 200, 6)
	random := rand.New(rand.NewPCG(2, 2))
	m.Weight = make([]float64, m.Rows)
	repeated := gbdt.Matrix{Width: m.Width}
	for i := range m.Rows {
		m.Weight[i] = float64(1 + random.IntN(4))
		for range int(m.Weight[i]) {
			repeated.Rows++
			repeated.X = append(repeated.X, m.Row(i)...)
			repeated.Label = append(repeated.Label, m.Label[i])
		}
	}
	p := gbdt.DefaultParams()
	// A weight is no number of rows, so that only the least weight of a leaf may bind.
	p.Trees, p.MinChildRows, p.MinChildWeight = 15, 1, 3
	// A row of weight 1 is rounded to four times the unit that it has among rows of weight 1: 2^-29, over 15 trees.
	requireNear(t, train(t, p, names, m), train(t, p, names, repeated), m, 15.0/(1<<29))

	m.Weight = nil
	plain := train(t, p, names, m)
	m.Weight = slices.Repeat([]float64{1}, m.Rows)
	require.Equal(t, string(text(t, plain)), string(text(t, train(t, p, names, m))), "weights of 1 are no weights")
	m.Weight = slices.Repeat([]float64{8}, m.Rows)
	p.L2, p.MinChildWeight = 8*p.L2, 8*p.MinChildWeight
	requireNear(t, plain, train(t, p, names, m), m, 1e-15)
}

func TestPositiveWeightIsAWeight(t *testing.T) {
	m, names := generate(5, 1500, 6)
	p := gbdt.DefaultParams()
	p.Trees, p.PositiveWeight = 10, 3.25
	scaled := train(t, p, names, m)
	p.PositiveWeight = 0
	for _, y := range m.Label {
		m.Weight = append(m.Weight, 1+2.25*y)
	}
	requireNear(t, scaled, train(t, p, names, m), m, 0)
	p.PositiveWeight = 1
	requireNear(t, scaled, train(t, p, names, m), m, 0)
}

// gainSum returns what the splits say they took off the sum of the losses' quadratic approximation, times two.
func TestGainsAddUp(t *testing.T) {
	m, names := generate(21, 3000, 8)
	p := gbdt.DefaultParams()
	p.Trees, p.MaxDepth, p.MaxLeaves, p.LearningRate = 1, 0, 24, 1
	score := 0.0
	p.BaseScore = &score
	e := train(t, p, names, m)
	// With a base score of 0 each row has derivatives 1/2-y and 1/4: the gains are the leaves' terms less that of the root.
	terms := make(map[int32]*[2]float64)
	var root [2]float64
	for i, y := range m.Label {
		leaf := e.Leaves(m.Row(i), nil)[0]
		if terms[leaf] == nil {
			terms[leaf] = new([2]float64)
		}
		for _, s := range []*[2]float64{terms[leaf], &root} {
			s[0] += 0.5 - y
			s[1] += 0.25
		}
	}
	term := func(s *[2]float64) float64 { return s[0] * s[0] / (s[1] + p.L2) }
	want := -term(&root)
	for _, s := range terms {
		want += term(s)
	}
	var got float64
	for _, gain := range e.Importance() {
		got += gain
	}
	require.Len(t, terms, 24)
	require.InDelta(t, want, got, 1e-9*want)
	for i := range m.Rows {
		s := terms[e.Leaves(m.Row(i), nil)[0]]
		require.InDelta(t, -s[0]/(s[1]+p.L2), e.Margin(m.Row(i)), 1e-12)
	}
}

func TestMonotoneConstraintsHoldOnProbes(t *testing.T) {
	m, names := generate(11, 4000, 9)
	p := gbdt.DefaultParams()
	p.Trees, p.MaxDepth, p.LearningRate, p.L1 = 40, 5, 0.3, 0.5
	free := train(t, p, names, m)
	// Against the data in part: column 0 rises with the score, column 1 falls.
	p.Monotone = []int8{-1, -1, 1, 1, 0, 1, -1, 0, 1}
	bound := train(t, p, names, m)
	random := rand.New(rand.NewPCG(8, 8))
	broken, moved := 0, 0
	for range 4000 {
		x := slices.Clone(m.Row(random.IntN(m.Rows)))
		f := random.IntN(m.Width)
		d := float64(p.Monotone[f])
		low, high := m.Row(random.IntN(m.Rows))[f], m.Row(random.IntN(m.Rows))[f]
		if random.IntN(4) == 0 {
			high += 10
		}
		if d == 0 || low != low || high != high {
			continue
		}
		if low > high {
			low, high = high, low
		}
		x[f] = low
		a, freeA := bound.Margin(x), free.Margin(x)
		x[f] = high
		b, freeB := bound.Margin(x), free.Margin(x)
		require.LessOrEqual(t, d*a, d*b, "column %d from %v to %v", f, low, high)
		if a != b {
			moved++
		}
		if d*freeA > d*freeB {
			broken++
		}
	}
	require.Greater(t, broken, 100, "unbound, the score breaks the constraints")
	require.Greater(t, moved, 100, "bound, it still moves")
}

func TestInteractionsHoldOnProbes(t *testing.T) {
	m, names := generate(12, 4000, 9)
	p := gbdt.DefaultParams()
	p.Trees, p.MaxDepth, p.LearningRate = 20, 4, 0.3
	p.Interactions = [][]int{{0, 1, 2}, {2, 5}}
	e := train(t, p, names, m)
	together := func(a, b int) bool {
		return a == b || slices.ContainsFunc(p.Interactions, func(set []int) bool { return slices.Contains(set, a) && slices.Contains(set, b) })
	}
	// Features that never meet add up: what one's change does to the score does not depend on the other.
	random := rand.New(rand.NewPCG(8, 8))
	probes, meeting := 0, 0
	for range 4000 {
		x, y := slices.Clone(m.Row(random.IntN(m.Rows))), m.Row(random.IntN(m.Rows))
		a, b := random.IntN(m.Width), random.IntN(m.Width)
		if a == b {
			continue
		}
		change := func() float64 {
			old, before := x[a], e.Margin(x)
			x[a] = y[a]
			after := e.Margin(x)
			x[a] = old
			return after - before
		}
		first := change()
		x[b] = y[b]
		second := change()
		if together(a, b) {
			if math.Abs(first-second) > 1e-6 {
				meeting++
			}
			continue
		}
		probes++
		require.InDelta(t, first, second, 1e-12, "columns %d and %d", a, b)
	}
	require.Greater(t, probes, 1000)
	require.Positive(t, meeting)
}

func TestDepthAloneGivesOneTreeInAnyOrder(t *testing.T) {
	m, names := generate(15, 2000, 6)
	p := gbdt.DefaultParams()
	p.Trees, p.MaxDepth = 3, 4
	byDepth := train(t, p, names, m)
	p.MaxLeaves = 16
	require.Equal(t, string(text(t, byDepth)), string(text(t, train(t, p, names, m))))
}

func TestColumnSampleNodeVariesWithinATree(t *testing.T) {
	m, names := generate(16, 4000, 8)
	p := gbdt.DefaultParams()
	p.Trees, p.MaxDepth, p.ColumnSampleNode = 1, 4, 0.3
	used := 0
	for _, gain := range train(t, p, names, m).Importance() {
		if gain > 0 {
			used++
		}
	}
	require.Greater(t, used, 2, "of 7 columns each split draws 2")
	p.Trees = 30
	e := train(t, p, names, m)
	for f, gain := range e.Importance() {
		require.Equal(t, f != 7, gain > 0, "every column that can be split is drawn now and then: %d", f)
	}
	p.ColumnSampleNode = 0
	require.NotEqual(t, string(text(t, e)), string(text(t, train(t, p, names, m))))
}
