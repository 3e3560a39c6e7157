package gbdt

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

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

func TestDecay(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	require.Equal(t, 1.0, decay(0))
	for range 100_000 {
		x := farMargin * math.Pow(random.Float64(), 4)
		require.InEpsilon(t, math.Exp(-x), decay(x), 1e-12, "decay(%v)", x)
	}
	require.InEpsilon(t, math.Exp(-farMargin), decay(farMargin), 1e-12)
}

// The derivatives and losses of many rows at once are those of each row by the formulas.
func TestDerivatives(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	const rows = 3 * lossGroup / 2
	d := &Data{label: make([]uint8, rows), weight: make([]float64, rows)}
	margin := make([]float64, rows)
	for i := range margin {
		d.label[i], margin[i], d.weight[i] = uint8(random.IntN(2)), 4*random.NormFloat64(), random.Float64()
	}
	copy(margin, []float64{0, math.Copysign(0, -1), 1000, -1000, 40, -40, 1e300, -1e300})
	want := func(i int) (g, h, loss float64) {
		p := 1 / (1 + math.Exp(-margin[i]))
		z := margin[i]
		if d.label[i] == 0 {
			z = -z
		}
		return p - float64(d.label[i]), p * (1 - p), math.Max(-z, 0) + math.Log1p(math.Exp(-math.Abs(z)))
	}
	pairs := make([]pair, rows)
	got := deriveEqual(d.label, margin, pairs)
	var sum float64
	for i := range margin {
		g, h, loss := want(i)
		require.InDelta(t, g, float64(int32(pairs[i]))/(1<<firstBits), 1.01/(1<<(firstBits+1)), "margin %v", margin[i])
		require.InDelta(t, h, float64(pairs[i]>>32)/(1<<secondBits), 1.01/(1<<(secondBits+1)), "margin %v", margin[i])
		sum += loss
	}
	require.InEpsilon(t, sum, got, 1e-12)
	require.Equal(t, got, deriveEqual(d.label, margin, nil))

	c := d.weigh(2)
	require.Equal(t, 2.0, c.unit)
	m := newMargins(d, c, 2)
	m.margin = margin
	got = m.derive(1, pairs)
	var total, positive float64
	sum = 0
	for i := range margin {
		w := d.weight[i] * float64(1+d.label[i])
		g, h, loss := want(i)
		require.InDelta(t, w*g/2, float64(int32(pairs[i]))/(1<<firstBits), 1.01/(1<<(firstBits+1)))
		require.InDelta(t, w*h/2, float64(pairs[i]>>32)/(1<<secondBits), 1.01/(1<<(secondBits+1)))
		sum += w * loss
		total += w
		positive += w * float64(d.label[i])
	}
	require.InEpsilon(t, sum/total, got, 1e-12)
	require.InEpsilon(t, total, c.total, 1e-14)
	require.InEpsilon(t, positive, c.positive, 1e-14)
}
