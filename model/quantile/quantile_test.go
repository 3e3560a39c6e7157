package quantile_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/quantile"
)

func column(values []float64, weights []int64, threads int) quantile.Column {
	c := quantile.Column{Len: len(values), Threads: threads}
	c.Values = func(lo, hi int, dst []float64) { copy(dst, values[lo:hi]) }
	if weights != nil {
		c.Weights = func(lo, hi int, dst []int64) { copy(dst, weights[lo:hi]) }
	}
	return c
}

// shapes are columns that each need another number of passes.
func shapes(n int) map[string][]float64 {
	rng := rand.New(rand.NewPCG(1, 2))
	make := func(f func(i int) float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = f(i)
		}
		return out
	}
	return map[string][]float64{
		"normal":          make(func(int) float64 { return rng.NormFloat64() }),
		"months":          make(func(int) float64 { return float64(rng.IntN(73)) }),
		"cents":           make(func(int) float64 { return float64(rng.IntN(10000)) / 100 }),
		"one value":       make(func(int) float64 { return 0.1 }),
		"two values":      make(func(i int) float64 { return []float64{-1, 1}[i%2] }),
		"half missing":    make(func(i int) float64 { return []float64{math.NaN(), rng.Float64()}[i%2] }),
		"all magnitudes":  make(func(int) float64 { return math.Float64frombits(rng.Uint64() &^ (1 << 62)) }),
		"one binade":      make(func(int) float64 { return 1 + rng.Float64()*0x1p-20 }),
		"zeros and signs": make(func(i int) float64 { return []float64{0, math.Copysign(0, -1), -5e-324, 5e-324}[i%4] }),
	}
}

// Every rank is what sorting says, whatever the number of goroutines.
func TestSelect(t *testing.T) {
	for _, n := range []int{1, 2, 999, 50_000} {
		for name, values := range shapes(n) {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				sorted := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
				if len(sorted) == 0 {
					return
				}
				slices.Sort(sorted)
				last := int64(len(sorted) - 1)
				ranks := []int64{last, 0, last / 2, last / 3, last * 9 / 10, last / 10, last / 7, last}
				for _, threads := range []int{1, 2, 8} {
					for i, v := range quantile.Select(column(values, nil, threads), ranks) {
						require.Equal(t, sorted[ranks[i]], v, "rank %d, %d threads", ranks[i], threads)
					}
				}
			})
		}
	}
}

// A row of weight k takes the places of k rows, and a row of weight 0 none.
func TestWeightsRepeatRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{7, 40_000} {
		values := shapes(n)["cents"]
		weights, repeated := make([]int64, n), []float64{}
		for i, v := range values {
			weights[i] = int64(rng.IntN(4))
			repeated = append(repeated, slices.Repeat([]float64{v}, int(weights[i]))...)
		}
		weighted, plain := column(values, weights, 2), column(repeated, nil, 2)
		a, b := quantile.Summarize(weighted), quantile.Summarize(plain)
		require.Equal(t, b.Weight, a.Weight)
		require.Equal(t, quantile.Median(plain, b, 0), quantile.Median(weighted, a, 0))
		ranks := []int64{0, a.Weight / 4, a.Weight - 1}
		require.Equal(t, quantile.Select(plain, ranks), quantile.Select(weighted, ranks))
	}
	require.Panics(t, func() { quantile.Select(column([]float64{1, 2}, nil, 1), []int64{2}) })
}

func TestSummarize(t *testing.T) {
	values := append(shapes(60_000)["half missing"], -3, 8)
	weights := make([]int64, len(values))
	for i := range weights {
		weights[i] = int64(i % 3)
	}
	want := quantile.Summary{Min: -3, Max: 8}
	for i, v := range values {
		if math.IsNaN(v) {
			want.MissingWeight += weights[i]
		} else {
			want.Present++
			want.Weight += weights[i]
		}
	}
	for _, threads := range []int{1, 2, 8} {
		require.Equal(t, want, quantile.Summarize(column(values, weights, threads)))
	}
	require.Equal(t, quantile.Summary{MissingWeight: 1}, quantile.Summarize(column([]float64{math.NaN()}, nil, 1)))
}

// The sum is the correctly rounded one, which arithmetic of unlimited precision gives too, in every order.
func TestSumIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range 200 {
		values := make([]float64, 1+rng.IntN(50))
		exact := new(big.Float).SetPrec(4200)
		for i := range values {
			values[i] = math.Float64frombits(rng.Uint64() &^ (1 << 62))
			if round%2 == 0 {
				values[i] = rng.NormFloat64() * math.Ldexp(1, rng.IntN(80)-40)
			}
			if i%5 == 4 {
				values[i] = -values[i-1]
			}
			exact.Add(exact, new(big.Float).SetFloat64(values[i]))
		}
		want, _ := exact.Float64()
		rng.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		var a, b quantile.Sum
		cut := rng.IntN(len(values) + 1)
		for _, v := range values[:cut] {
			a.Add(v)
		}
		for _, v := range values[cut:] {
			b.Add(v)
		}
		b.Merge(&a)
		require.Equal(t, want, b.Float64(), "%v", values)
	}
	var s quantile.Sum
	require.Zero(t, s.Float64())
	s.Add(math.MaxFloat64)
	s.Add(math.MaxFloat64)
	require.Equal(t, math.Inf(1), s.Float64())
	s.Add(-math.MaxFloat64)
	require.Equal(t, math.MaxFloat64, s.Float64(), "it comes back from where a float64 would not")
	s.Add(math.Inf(1))
	require.Equal(t, math.Inf(1), s.Float64())
	s.Add(math.Inf(-1))
	require.True(t, math.IsNaN(s.Float64()))
}

func TestTotalDoesNotDependOnThreads(t *testing.T) {
	values := shapes(50_000)["normal"]
	want := quantile.Total(column(values, nil, 1), func(v float64, w int64) float64 { return v }).Float64()
	exact := new(big.Float).SetPrec(500)
	for _, v := range values {
		exact.Add(exact, new(big.Float).SetFloat64(v))
	}
	right, _ := exact.Float64()
	require.Equal(t, right, want)
	for _, threads := range []int{2, 3, 8} {
		require.Equal(t, want, quantile.Total(column(values, nil, threads), func(v float64, w int64) float64 { return v }).Float64())
	}
}

func TestScale(t *testing.T) {
	for _, most := range []float64{1, 3, 1e-300, 1e300, 0x1p53} {
		s := quantile.ScaleOf(10_000_000, most)
		require.InEpsilon(t, most, s.Float64(s.Whole(most)), 1e-11)
		require.Less(t, float64(s.Whole(most))*1e7, 0x1p62)
	}
	s := quantile.ScaleOf(1000, 7)
	for w := range 8 {
		require.Equal(t, float64(w), s.Float64(s.Whole(float64(w))), "whole weights are exact")
	}
}

func BenchmarkMedian(b *testing.B) {
	for _, n := range []int{1_000_000} {
		for _, name := range []string{"normal", "months", "cents"} {
			values := shapes(n)[name]
			b.Run(fmt.Sprint(name, "/select"), func(b *testing.B) {
				c := column(values, nil, 1)
				b.ReportAllocs()
				for b.Loop() {
					quantile.Median(c, quantile.Summarize(c), 0)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/value")
			})
			b.Run(fmt.Sprint(name, "/sort"), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					slices.Sort(slices.Clone(values))
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/value")
			})
		}
	}
}

func BenchmarkSum(b *testing.B) {
	values := shapes(1_000_000)["cents"]
	c := column(values, nil, 1)
	for b.Loop() {
		quantile.Total(c, func(v float64, w int64) float64 { return v })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/value")
}
