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

// referenceNode is a node or leaf of a tree grown the obvious way: every split is tried by going over all rows.
type referenceNode struct {
	rows        []int
	depth       int
	feature     int
	threshold   float64
	missingLeft bool
	gain        float64
	value       float64
	left, right *referenceNode
}

// derivative is the first and second derivative of the loss at a row.
type derivative struct{ g, h float64 }

// sums are those of derivatives over rows.
type sums struct {
	g, h float64
	rows int64
}

// reference grows one tree best gain first on the rows' derivatives.
func reference(p Params, m Matrix, derivatives []derivative) *referenceNode {
	root := &referenceNode{}
	for i := range m.Rows {
		root.rows = append(root.rows, i)
	}
	leaves := []*referenceNode{root}
	referenceSplit(p, m, derivatives, root)
	for len(leaves) < p.leaves() {
		best := slices.MaxFunc(leaves, func(a, b *referenceNode) int { return compareGain(a.gain, b.gain) })
		if best.gain <= 0 {
			break
		}
		best.left, best.right = &referenceNode{depth: best.depth + 1}, &referenceNode{depth: best.depth + 1}
		for _, r := range best.rows {
			side := best.right
			if v := m.Row(r)[best.feature]; v <= best.threshold || v != v && best.missingLeft {
				side = best.left
			}
			side.rows = append(side.rows, r)
		}
		at := slices.Index(leaves, best)
		leaves[at] = best.left
		leaves = append(leaves, best.right)
		referenceSplit(p, m, derivatives, best.left)
		referenceSplit(p, m, derivatives, best.right)
	}
	return root
}

func compareGain(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// referenceSplit finds the node's value and, if it has one, its best split.
func referenceSplit(p Params, m Matrix, derivatives []derivative, n *referenceNode) {
	sum := func(keep func(x float64) bool, f int) (s sums) {
		for _, r := range n.rows {
			if keep(m.Row(r)[f]) {
				s.g += derivatives[r].g
				s.h += derivatives[r].h
				s.rows++
			}
		}
		return s
	}
	term := func(s sums) float64 { return s.g * s.g / (s.h + p.L2) }
	total := sum(func(float64) bool { return true }, 0)
	n.value = -p.LearningRate * total.g / (total.h + p.L2)
	if p.MaxDepth > 0 && n.depth == p.MaxDepth {
		return
	}
	for f := range m.Width {
		var values []float64
		for r := range m.Rows {
			if v := m.Row(r)[f]; v == v {
				values = append(values, v)
			}
		}
		slices.Sort(values)
		values = slices.Compact(values)
		missing := sum(func(x float64) bool { return x != x }, f)
		for i, v := range values {
			threshold := math.MaxFloat64
			if i+1 < len(values) {
				threshold = (v + values[i+1]) / 2
			}
			low := sum(func(x float64) bool { return x <= threshold }, f)
			if low.rows == 0 || low.rows == sum(func(x float64) bool { return x < v }, f).rows {
				continue
			}
			for _, missingLeft := range []bool{false, true} {
				left, right := low, sums{g: total.g - low.g, h: total.h - low.h, rows: total.rows - low.rows}
				if missingLeft {
					left = sums{g: low.g + missing.g, h: low.h + missing.h, rows: low.rows + missing.rows}
					right = sums{g: total.g - left.g, h: total.h - left.h, rows: total.rows - left.rows}
				}
				if missing.rows == 0 && missingLeft != (left.rows >= right.rows) {
					continue
				}
				if min(left.rows, right.rows) < int64(p.MinChildRows) || min(left.h, right.h) < p.MinChildWeight {
					continue
				}
				gain := term(left) + term(right) - term(total)
				if gain > n.gain*(1+1e-12) && gain > p.MinGain && gain > 1e-9 {
					n.gain, n.feature, n.threshold, n.missingLeft = gain, f, threshold, missingLeft
				}
			}
		}
	}
}

// requireSame compares the reference's node with node or leaf number at of the tree.
func requireSame(t *testing.T, want *referenceNode, got *tree, at int32, path string, bias float64) {
	t.Helper()
	if at < 0 {
		require.Nil(t, want.left, "%s: the reference splits", path)
		require.InDelta(t, want.value+bias, got.leafValue[^at], 1e-9, path)
		require.EqualValues(t, len(want.rows), got.leafCount[^at], path)
		return
	}
	require.NotNil(t, want.left, "%s: the reference does not split", path)
	require.EqualValues(t, want.feature, got.feature[at], path)
	require.Equal(t, want.threshold, got.threshold[at], path)
	require.Equal(t, want.missingLeft, got.decision[at]&decisionDefaultLeft != 0, path)
	require.InEpsilon(t, want.gain, got.gain[at], 1e-6, path)
	require.InDelta(t, want.value+bias, got.internalValue[at], 1e-9, path)
	require.EqualValues(t, len(want.rows), got.internalCount[at], path)
	requireSame(t, want.left, got, got.left[at], path+"l", bias)
	requireSame(t, want.right, got, got.right[at], path+"r", bias)
}

func TestSplitsAgreeWithExactGreedyReference(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 3))
		m := Matrix{Rows: 150, Width: 5}
		var names []string
		for f := range m.Width {
			names = append(names, fmt.Sprint("f", f))
		}
		for range m.Rows {
			margin := 0.0
			for f := range m.Width {
				v := float64(random.IntN(3*f + 2))
				if random.IntN(6) == 0 && f != 1 {
					v = math.NaN()
					margin++
				} else {
					margin += v / float64(3*f+2)
				}
				m.X = append(m.X, v)
			}
			label := 0.0
			if random.Float64() < Sigmoid(2*margin-4) {
				label = 1
			}
			m.Label = append(m.Label, label)
			// Odd weights keep different splits from having the same gain.
			m.Weight = append(m.Weight, 0.5+random.Float64())
		}
		p := DefaultParams()
		p.Trees, p.LearningRate, p.MinChildRows = 6, 0.4, 1+int(seed%4)
		if seed%2 == 0 {
			p.MaxDepth, p.MaxLeaves = 0, 9
		}
		e, _, err := Train(context.Background(), p, names, m, nil, nil)
		require.NoError(t, err)
		require.Equal(t, p.Trees, e.Trees())

		margin := make([]float64, m.Rows)
		var positive, total float64
		for i, w := range m.Weight {
			positive += w * m.Label[i]
			total += w
		}
		base := math.Log(positive / (total - positive))
		for k := range e.trees {
			derivatives := make([]derivative, m.Rows)
			for i := range derivatives {
				z := margin[i]
				if k == 0 {
					z = base
				}
				q := 1 / (1 + math.Exp(-z))
				derivatives[i] = derivative{g: m.Weight[i] * (q - m.Label[i]), h: m.Weight[i] * q * (1 - q)}
			}
			bias := 0.0
			if k == 0 {
				bias = base
			}
			requireSame(t, reference(p, m, derivatives), &e.trees[k], 0, fmt.Sprintf("seed %d tree %d ", seed, k), bias)
			one := newEnsemble(e.names, e.infos, nil, e.trees[k:k+1])
			for i := range margin {
				margin[i] += one.Margin(m.Row(i))
			}
		}
	}
}

func TestExpAndLog(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		x := (random.Float64() - 0.5) * 1400
		require.InEpsilon(t, math.Exp(x), exp(x), 5e-16, "exp(%v)", x)
		y := math.Exp((random.Float64() - 0.5) * 1400)
		require.InDelta(t, math.Log(y), log(y), 1e-15*max(1, math.Abs(math.Log(y))), "log(%v)", y)
		small := random.Float64() * 1e-3
		require.InEpsilon(t, math.Exp(small), exp(small), 3e-16, "exp(%v)", small)
	}
	require.Equal(t, 1.0, exp(0))
	require.Equal(t, 0.0, log(1))
	require.Equal(t, math.Inf(1), exp(710))
	require.Equal(t, math.Inf(1), exp(math.Inf(1)))
	require.Equal(t, 0.0, exp(-746))
	require.Equal(t, 0.0, exp(math.Inf(-1)))
	require.InEpsilon(t, 1.6549840276802644e+308, exp(709.7), 5e-16, "near the top of the range")
	require.InDelta(t, math.Exp(-740), exp(-740), 1e-323, "a subnormal result")
	require.True(t, math.IsNaN(exp(math.NaN())))

	require.Equal(t, 0.5, Sigmoid(0))
	require.Equal(t, 1.0, Sigmoid(math.Inf(1)))
	require.Equal(t, 0.0, Sigmoid(math.Inf(-1)))
	require.True(t, math.IsNaN(Sigmoid(math.NaN())))
}

func TestCut(t *testing.T) {
	cut := func(values []float64, limit int) []float64 {
		distinct, counts := tally(values)
		return cut(distinct, counts, limit)
	}
	require.Empty(t, cut(nil, 4))
	require.Empty(t, cut([]float64{3, 3, 3}, 4))
	require.Equal(t, []float64{1.5, 2.5}, cut([]float64{1, 2, 2, 3}, 4))
	require.Equal(t, []float64{1.5, 2.5}, cut([]float64{1, 2, 2, 3}, 3), "as many values as bins")

	many := make([]float64, 0, 2000)
	for i := range 1000 {
		many = append(many, float64(i))
	}
	for range 1000 {
		many = append(many, 500)
	}
	slices.Sort(many)
	bounds := cut(many, 10)
	require.Len(t, bounds, 9)
	require.True(t, slices.IsSorted(bounds))
	require.Contains(t, bounds, 500.5, "a frequent value ends its bin")

	// Neighbouring numbers have no midpoint; the lower one is the bound, and it stays on the left.
	next := math.Nextafter(1, 2)
	c := column{bounds: cut([]float64{1, next}, 2)}
	require.Equal(t, 0, c.bin(1))
	require.Equal(t, 1, c.bin(next))
	require.Equal(t, 2, c.bin(math.NaN()))
}

func TestMidpointStaysBelowUpperValue(t *testing.T) {
	a := math.Nextafter(1, 2)
	b := math.Nextafter(a, 2)
	for _, pair := range [][2]float64{{1, a}, {a, b}, {-b, -a}, {0, 5e-324}, {5e-324, 1e-323}, {-math.MaxFloat64, math.MaxFloat64}, {1e308, math.MaxFloat64}} {
		m := midpoint(pair[0], pair[1])
		require.GreaterOrEqual(t, m, pair[0], "%v", pair)
		require.Less(t, m, pair[1], "%v", pair)
	}
	require.Equal(t, 2.5, midpoint(2, 3))
}

func TestChooseIsFair(t *testing.T) {
	random := rand.NewPCG(1, 1)
	items := []int{0, 1, 2, 3, 4}
	const trials = 40_000
	counts := make([]int, len(items))
	for range trials {
		chosen := choose(random, nil, items, 2)
		require.Len(t, chosen, 2)
		require.Less(t, chosen[0], chosen[1], "the order is kept")
		counts[chosen[0]]++
		counts[chosen[1]]++
	}
	for i, n := range counts {
		// 0.4 of the trials each, to within 5 standard deviations.
		require.InDelta(t, 0.4*trials, n, 5*math.Sqrt(trials*0.4*0.6), "item %d", i)
	}
	require.Equal(t, items, choose(random, nil, items, 5))
	require.Equal(t, 1, shareOf(0.01, 20))
	require.Equal(t, 10, shareOf(0.5, 20))
	require.Equal(t, 20, shareOf(1, 20))
}

func TestBinIsFirstBoundNotBelow(t *testing.T) {
	for n := range 20 {
		c := column{}
		for i := range n {
			c.bounds = append(c.bounds, float64(i))
		}
		for v := -0.5; v < float64(n); v += 0.5 {
			want, _ := slices.BinarySearch(c.bounds, v)
			require.Equal(t, want, c.bin(v), "%d bounds, value %v", n, v)
		}
	}
}
