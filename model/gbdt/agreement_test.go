package gbdt

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// smallRandom returns rows of few-valued features, in part missing, of which those in categorical are codes with effects in no order. Odd weights
// keep different splits from having the same gain.
func smallRandom(random *rand.Rand, rows, width int, categorical []int) (Matrix, []string) {
	m := Matrix{Rows: rows, Width: width}
	var names []string
	for f := range width {
		names = append(names, fmt.Sprint("f", f))
	}
	for range rows {
		margin := 0.0
		for f := range width {
			n := 3*f + 2
			v := float64(random.IntN(n))
			switch {
			case random.IntN(6) == 0 && f != 1:
				v = math.NaN()
				margin++
			case slices.Contains(categorical, f):
				margin += float64((int(v)*7+3)%n) / float64(n)
			default:
				margin += v / float64(n)
			}
			m.X = append(m.X, v)
		}
		label := 0.0
		if random.Float64() < Sigmoid(2*margin-float64(width)) {
			label = 1
		}
		m.Label = append(m.Label, label)
		m.Weight = append(m.Weight, 0.5+random.Float64())
	}
	return m, names
}

// requireSame compares the reference's node with node or leaf number at of the tree.
func requireSame(t *testing.T, p *Params, want *referenceNode, got *tree, at int32, path string, bias float64) {
	t.Helper()
	if at < 0 {
		require.Nil(t, want.left, "%s: the reference splits, gain %v", path, want.split.gain)
		require.InDelta(t, p.LearningRate*want.value+bias, got.leafValue[^at], 1e-8, path)
		require.EqualValues(t, len(want.rows), got.leafCount[^at], path)
		return
	}
	require.NotNil(t, want.left, "%s: the reference does not split, the tree does by %v", path, got.gain[at])
	require.EqualValues(t, want.split.feature, got.feature[at], path)
	require.InDelta(t, want.split.gain, got.gain[at], 1e-6*(1+want.split.gain), path)
	if slices.Contains(p.Categorical, want.split.feature) {
		require.EqualValues(t, decisionCategorical, got.decision[at]&decisionCategorical, path)
		k := int(got.threshold[at])
		words := got.catWords[got.catBounds[k]:got.catBounds[k+1]]
		for code := range 32 * len(words) {
			require.Equal(t, slices.Contains(want.split.set, float64(code)), words[code/32]>>(code%32)&1 == 1, "%s: category %d", path, code)
		}
	} else {
		require.Zero(t, got.decision[at]&decisionCategorical, path)
		require.Equal(t, want.split.threshold, got.threshold[at], path)
		require.Equal(t, want.split.missingLeft, got.decision[at]&decisionDefaultLeft != 0, path)
	}
	require.InDelta(t, p.LearningRate*want.value+bias, got.internalValue[at], 1e-8, path)
	require.EqualValues(t, len(want.rows), got.internalCount[at], path)
	requireSame(t, p, want.left, got, got.left[at], path+"l", bias)
	requireSame(t, p, want.right, got, got.right[at], path+"r", bias)
}

// requireReference trains on the matrix and fails unless every tree is split for split what the reference grows on the derivatives at the
// scores of the trees before it. It returns the number of splits.
func requireReference(t *testing.T, p Params, names []string, m Matrix, label string) int {
	t.Helper()
	e, _, err := Train(context.Background(), p, names, m, nil, nil)
	require.NoError(t, err, label)
	var positive, total float64
	weight := func(i int) float64 {
		if m.Label[i] == 1 {
			return m.weight(i) * p.positiveWeight()
		}
		return m.weight(i)
	}
	for i := range m.Rows {
		positive += weight(i) * m.Label[i]
		total += weight(i)
	}
	base := math.Log(positive / (total - positive))
	if p.BaseScore != nil {
		base = *p.BaseScore
	}
	margin := make([]float64, m.Rows)
	splits := 0
	for k := range e.trees {
		r := reference{p: p, m: m, derivatives: make([]derivative, m.Rows)}
		for i := range margin {
			z := margin[i]
			if k == 0 {
				z = base
			}
			q := 1 / (1 + math.Exp(-z))
			r.derivatives[i] = derivative{g: weight(i) * (q - m.Label[i]), h: weight(i) * q * (1 - q)}
		}
		bias := 0.0
		if k == 0 {
			bias = base
		}
		root := int32(0)
		if len(e.trees[k].feature) == 0 {
			require.Len(t, e.trees, 1, label)
			require.Zero(t, r.grow().split.gain, label)
			return 0
		}
		requireSame(t, &p, r.grow(), &e.trees[k], root, fmt.Sprintf("%s tree %d ", label, k), bias)
		splits += len(e.trees[k].feature)
		one := newEnsemble(e.names, e.infos, nil, e.trees[k:k+1])
		for i := range margin {
			margin[i] += one.Margin(m.Row(i))
		}
	}
	return splits
}

func TestSplitsAgreeWithExactGreedyReference(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(p *Params, seed uint64)
	}{
		{"plain", func(*Params, uint64) {}},
		{"l1", func(p *Params, seed uint64) { p.L1, p.L2 = 0.5+float64(seed), 0 }},
		{"monotone", func(p *Params, seed uint64) {
			p.Monotone = []int8{1, -1, 0, 1, -1}
			p.LearningRate = 1
		}},
		{"monotone with l1", func(p *Params, seed uint64) { p.Monotone, p.L1 = []int8{0, 1, 1, 1, 1}, 0.3 }},
		{"interactions", func(p *Params, seed uint64) { p.Interactions = [][]int{{0, 2, 3}, {2, 4}} }},
		{"lone feature", func(p *Params, seed uint64) { p.Interactions = [][]int{{0, 3}} }},
		{"one-hot", func(p *Params, seed uint64) { p.Categorical, p.MaxCatToOneHot = []int{1, 3}, 20 }},
		{"sorted", func(p *Params, seed uint64) {
			p.Categorical, p.MaxCatToOneHot = []int{0, 2, 4}, 2
			p.CatSmooth, p.CatL2, p.MinRowsPerCategory, p.MaxCatThreshold = 1, 2, int(seed%5), 3+int(seed%3)
		}},
		{"sorted without smoothing", func(p *Params, seed uint64) {
			p.Categorical, p.CatSmooth, p.CatL2, p.MinRowsPerCategory = []int{3, 4}, 0, 0, 0
		}},
		{"all", func(p *Params, seed uint64) {
			p.Categorical, p.CatSmooth, p.CatL2, p.MinRowsPerCategory, p.MaxCatToOneHot = []int{2, 4}, 2, 1, 4, 0
			p.Monotone, p.Interactions, p.L1 = []int8{0, -1, 0, 1, 0}, [][]int{{0, 1, 2}, {2, 3, 4}}, 0.2
			score := 0.25
			p.BaseScore, p.PositiveWeight, p.MinGain, p.MinChildWeight = &score, 2.5, 0.05, 0.7
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			splits := 0
			for seed := range uint64(5) {
				random := rand.New(rand.NewPCG(seed, 3))
				p := DefaultParams()
				p.Trees, p.LearningRate, p.MinChildRows = 5, 0.4, 1+int(seed%4)
				if seed%2 == 0 {
					p.MaxDepth, p.MaxLeaves = 0, 9
				}
				test.set(&p, seed)
				m, names := smallRandom(random, 150, 5, p.Categorical)
				splits += requireReference(t, p, names, m, fmt.Sprintf("seed %d", seed))
			}
			require.Greater(t, splits, 60, "trees were grown")
		})
	}
}
