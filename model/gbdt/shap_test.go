package gbdt

import (
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// expectation returns the value of a tree below at when only some features of the row are known.
func expectation(t *tree, at int32, x []float64, known uint) float64 {
	if at < 0 {
		return t.leafValue[^at]
	}
	left, right := expectation(t, t.left[at], x, known), expectation(t, t.right[at], x, known)
	if known>>t.feature[at]&1 != 0 {
		if t.goesLeft(at, x) {
			return left
		}
		return right
	}
	l, r := float64(rowsUnder(t, t.left[at])), float64(rowsUnder(t, t.right[at]))
	if l+r == 0 {
		return (left + right) / 2
	}
	return (left*l + right*r) / (l + r)
}

func rowsUnder(t *tree, at int32) int64 {
	if at < 0 {
		return t.leafCount[^at]
	}
	return rowsUnder(t, t.left[at]) + rowsUnder(t, t.right[at])
}

// shapley returns the contributions by their definition, the mean over all orders in which the features become known.
func shapley(e *Ensemble, x []float64) (phi []float64, bias float64) {
	width := len(x)
	value := make([]float64, 1<<width)
	for known := range value {
		for i := range e.trees {
			root := int32(0)
			if len(e.trees[i].feature) == 0 {
				root = -1
			}
			value[known] += expectation(&e.trees[i], root, x, uint(known))
		}
	}
	factorial := func(n int) float64 { return math.Gamma(float64(n + 1)) }
	phi = make([]float64, width)
	for known := range value {
		size := bits.OnesCount(uint(known))
		for f := range phi {
			if known>>f&1 == 0 {
				phi[f] += factorial(size) * factorial(width-size-1) / factorial(width) * (value[known|1<<f] - value[known])
			}
		}
	}
	return phi, value[0]
}

func TestExplainIsShapley(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		width := 1 + random.IntN(6)
		e := randomEnsemble(random, shape{trees: 1 + random.IntN(3), leaves: 1 + random.IntN(20), width: width})
		explainer, err := NewExplainer(e)
		require.NoError(t, err)
		var phi []float64
		for range 10 {
			x := randomRow(random, width)
			want, bias := shapley(e, x)
			phi = explainer.Explain(x, phi)
			require.InDeltaSlice(t, want, phi, 1e-10)
			require.InDelta(t, bias, explainer.Bias(), 1e-10)
		}
	}
}

func TestExplainAddsUp(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, s := range []shape{
		{trees: 20, leaves: 8, width: 40}, {trees: 20, leaves: 31, width: 20}, {trees: 20, leaves: 255, width: 100}, {trees: 20, leaves: 255, width: 3},
	} {
		e := randomEnsemble(random, s)
		e.objective.average = s.leaves == 31
		explainer, err := NewExplainer(e)
		require.NoError(t, err)
		for range 20 {
			x := randomRow(random, s.width)
			sum := explainer.Bias()
			for _, c := range explainer.Explain(x, nil) {
				sum += c
			}
			require.InDelta(t, e.Margin(x), sum, 1e-9)
		}
	}
}

// TestExplainLongPath has 300 features on one path: a chain of splits, each of which sends one row in 300 to a leaf.
func TestExplainLongPath(t *testing.T) {
	const n = 300
	random := rand.New(rand.NewPCG(5, 6))
	chain := tree{leafValue: []float64{1}, leafCount: []int64{1}, shrinkage: 1}
	for i := range n {
		if i > 0 {
			chain.right[i-1] = int32(i)
		}
		chain.feature, chain.threshold = append(chain.feature, int32(i)), append(chain.threshold, 0)
		chain.decision = append(chain.decision, missingNaN<<missingShift)
		chain.left, chain.right = append(chain.left, ^int32(i)), append(chain.right, ^int32(i+1))
		chain.leafValue, chain.leafCount = append(chain.leafValue, random.NormFloat64()), append(chain.leafCount, 1)
	}
	e := randomEnsemble(random, shape{trees: 1, leaves: 1, width: n})
	e = newEnsemble(e.names, e.infos, nil, []tree{chain})
	explainer, err := NewExplainer(e)
	require.NoError(t, err)
	for range 20 {
		x := randomRow(random, n)
		sum := explainer.Bias()
		for _, c := range explainer.Explain(x, nil) {
			sum += c
		}
		require.InDelta(t, e.Margin(x), sum, 1e-9)
	}
}

func TestExplainAgreesWithXGBoost(t *testing.T) {
	files, err := filepath.Glob("testdata/xgboost/*.scores.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		model, err := os.Open(strings.TrimSuffix(file, ".scores.json") + ".json")
		require.NoError(t, err)
		e, err := ParseXGBoost(model)
		require.NoError(t, model.Close())
		require.NoError(t, err)
		explainer, err := NewExplainer(e)
		require.NoError(t, err)
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var scores struct {
			Rows          [][]*float64
			Contributions [][]float64
		}
		require.NoError(t, json.Unmarshal(data, &scores))
		require.NotEmpty(t, scores.Contributions)
		for i, want := range scores.Contributions {
			x := make([]float64, e.Width())
			for f, v := range scores.Rows[i] {
				if x[f] = math.NaN(); v != nil {
					x[f] = *v
				}
			}
			got := append(explainer.Explain(x, nil), explainer.Bias())
			require.InDeltaSlice(t, want, got, 1e-4, "%s row %d", file, i)
		}
	}
}

func TestExplainerWeighsLeaves(t *testing.T) {
	stump := func(counts []int64, weights []float64) (*Explainer, error) {
		t := tree{
			feature: []int32{0}, threshold: []float64{0}, decision: []uint8{8}, left: []int32{-1}, right: []int32{-2},
			leafValue: []float64{1, 5}, leafCount: counts, leafWeight: weights, shrinkage: 1,
		}
		return NewExplainer(newEnsemble([]string{"a"}, []string{"none"}, nil, []tree{t}))
	}
	byCount, err := stump([]int64{3, 1}, []float64{1, 1})
	require.NoError(t, err)
	require.Equal(t, 2.0, byCount.Bias())
	require.InDelta(t, 3, byCount.Explain([]float64{1}, nil)[0], 1e-12)
	byWeight, err := stump([]int64{0, 0}, []float64{1, 3})
	require.NoError(t, err)
	require.Equal(t, 4.0, byWeight.Bias())
	_, err = stump([]int64{0, 0}, []float64{0, 0})
	require.ErrorContains(t, err, "tree 0: no leaf counts or weights")
	_, err = stump([]int64{0, 0}, []float64{2, -1})
	require.ErrorContains(t, err, "leaf 1 has weight -1")
	require.Panics(t, func() { byCount.Explain(nil, nil) })
	x, room := []float64{1}, make([]float64, 0, 1)
	require.Zero(t, testing.AllocsPerRun(10, func() { byCount.Explain(x, room) }))
}

// chainOn returns a tree that is a chain of splits, the feature of each given, of which each leaf holds one row.
func chainOn(features []int32) tree {
	n := len(features)
	t := tree{feature: features, threshold: make([]float64, n), decision: make([]uint8, n), leafCount: []int64{1}, shrinkage: 1}
	t.leafValue = make([]float64, n+1)
	for i := range int32(n) {
		t.left, t.right = append(t.left, ^i), append(t.right, i+1)
		t.leafValue[i] = float64(i % 5)
		t.leafCount = append(t.leafCount, 1)
	}
	t.right[n-1] = ^int32(n)
	return t
}

func TestExplainerOfDeepTreesIsBounded(t *testing.T) {
	explainer := func(splits, features int) (*Explainer, error) {
		names, infos, on := make([]string, features), make([]string, features), make([]int32, splits)
		for f := range names {
			names[f], infos[f] = fmt.Sprint("f", f), "none"
		}
		for i := range on {
			on[i] = int32(i % features)
		}
		return NewExplainer(newEnsemble(names, infos, nil, []tree{chainOn(on)}))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := explainer(8000, 8000)
	runtime.ReadMemStats(&after)
	require.EqualError(t, err, "tree 0: its depth of 8000 times 8000 features on a path is too much to explain")
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))

	// As deep a tree of few features is explained, and one of as many features as there is room for.
	for _, test := range []struct{ splits, features int }{{8000, 100}, {1000, 1000}} {
		x, err := explainer(test.splits, test.features)
		require.NoError(t, err)
		require.LessOrEqual(t, len(x.stack), maxExplainerNumbers)
		row := make([]float64, test.features)
		row[test.features-1] = 1
		sum := x.Bias()
		for _, share := range x.Explain(row, nil) {
			sum += share
		}
		require.InDelta(t, x.ensemble.Margin(row), sum, 1e-9)
	}
}

func TestQuadratureIsExact(t *testing.T) {
	for _, k := range []int{1, 2, 3, 8, 31, 200} {
		q := newQuadrature(k)
		for degree := range 2 * k {
			var sum float64
			for j, p := range q.t {
				sum += q.weight[j] * math.Pow(p, float64(degree))
			}
			require.InDelta(t, 1/float64(degree+1), sum, 1e-13, "%d points, degree %d", k, degree)
		}
	}
}

func BenchmarkExplain(b *testing.B) {
	random := rand.New(rand.NewPCG(7, 8))
	for _, leaves := range []int{8, 31} {
		b.Run(fmt.Sprintf("%d-leaves", leaves), func(b *testing.B) {
			e := randomEnsemble(random, shape{trees: 100, leaves: leaves, width: 41})
			explainer, err := NewExplainer(e)
			require.NoError(b, err)
			x, phi := randomRow(random, 41), make([]float64, 0, 41)
			b.ReportAllocs()
			for b.Loop() {
				explainer.Explain(x, phi)
			}
		})
	}
}
