package baseline

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPSIByHand(t *testing.T) {
	ref := &Reference{Column: "c", Kind: Categorical, Levels: []string{"a", "b"}, Counts: []int64{60, 40, 0, 0}, Total: 100}
	current := []int64{30, 60, 10, 0}
	part := func(p, q float64) float64 { return (p - q) * math.Log(p/q) }
	tests := []struct {
		name string
		o    PSIOptions
		want float64
	}{
		{"floor", DefaultPSIOptions(), part(.6, .3) + part(.4, .6) + part(1e-4, .1)},
		{"floor of 1 %", PSIOptions{EmptyFloor, 0.01}, part(.6, .3) + part(.4, .6) + part(.01, .1)},
		{"add", PSIOptions{EmptyAdd, 0.01}, part(.61, .31) + part(.41, .61) + part(.01, .11)},
		{"laplace", PSIOptions{Empty: EmptyLaplace}, part(61./104, 31./104) + part(41./104, 61./104) + part(1./104, 11./104)},
		{"none", PSIOptions{Empty: EmptyNone}, math.Inf(1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, parts, err := PSI(ref, current, tt.o)
			require.NoError(t, err)
			if math.IsInf(tt.want, 1) {
				require.Equal(t, tt.want, got)
			} else {
				require.InDelta(t, tt.want, got, 1e-12)
			}
			require.Len(t, parts, 4)
			require.Equal(t, "unseen", parts[2].Bin)
			require.Equal(t, 0.0, parts[2].Reference)
			require.Equal(t, 0.1, parts[2].Current)
			sum := 0.0
			for _, p := range parts {
				sum += p.PSI
			}
			require.Equal(t, got, sum)
		})
	}
}

func TestPSIFaults(t *testing.T) {
	ref := &Reference{Column: "c", Kind: Categorical, Levels: []string{"a"}, Counts: []int64{5, 0, 0}, Total: 5}
	for text, f := range map[string]func() error{
		"2 counts for 3 bins":    func() error { _, _, err := PSI(ref, []int64{1, 2}, DefaultPSIOptions()); return err },
		"count 1 is -1":          func() error { _, _, err := PSI(ref, []int64{5, -1, 0}, DefaultPSIOptions()); return err },
		"0 rows in the window":   func() error { _, _, err := PSI(ref, []int64{0, 0, 0}, DefaultPSIOptions()); return err },
		"unknown treatment":      func() error { _, _, err := PSI(ref, []int64{1, 0, 0}, PSIOptions{}); return err },
		"floor 0 is not between": func() error { _, _, err := PSI(ref, []int64{1, 0, 0}, PSIOptions{Empty: EmptyAdd}); return err },
		"0 reference rows": func() error {
			_, _, err := PSI(&Reference{Column: "x", Kind: Numeric, Counts: []int64{0, 0}}, []int64{1, 0}, DefaultPSIOptions())
			return err
		},
	} {
		require.ErrorContains(t, f(), text)
	}
}

func TestPSIProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	counts := func(k int) []int64 {
		out := make([]int64, k)
		for i := range out {
			if rng.IntN(4) > 0 {
				out[i] = rng.Int64N(1000)
			}
		}
		out[rng.IntN(k)]++
		return out
	}
	reference := func(c []int64) *Reference {
		edges := make([]float64, len(c)-2)
		for i := range edges {
			edges[i] = float64(i)
		}
		n, err := total(c)
		require.NoError(t, err)
		return &Reference{Column: "x", Kind: Numeric, Edges: edges, Counts: c, Total: n}
	}
	for range 500 {
		k := 2 + rng.IntN(12)
		a, b := counts(k), counts(k)
		for _, o := range []PSIOptions{DefaultPSIOptions(), {EmptyAdd, 1e-3}, {Empty: EmptyLaplace}} {
			self, _, err := PSI(reference(a), a, o)
			require.NoError(t, err)
			require.Zero(t, self)
			ab, _, err := PSI(reference(a), b, o)
			require.NoError(t, err)
			ba, _, err := PSI(reference(b), a, o)
			require.NoError(t, err)
			require.InDelta(t, ab, ba, 1e-12)
			require.GreaterOrEqual(t, ab, 0.0)
		}
		self, _, err := PSI(reference(a), a, PSIOptions{Empty: EmptyNone})
		require.NoError(t, err)
		require.Zero(t, self, "bins empty on both sides add nothing")
	}
}

// TestFalseAlarms draws windows of 300 rows with no drift at all. PSI > 0.2 must be rare, and the significance bound must be crossed
// about as often as it says.
func TestFalseAlarms(t *testing.T) {
	rng := rand.New(rand.NewPCG(2026, 1))
	values := make([]float64, 5634)
	for i := range values {
		values[i] = rng.NormFloat64()
	}
	r, err := FitNumeric("x", values, 10)
	require.NoError(t, err)
	const draws, n, m = 20_000, 300, 5634
	bound := SignificanceBound(10, m, n, 0.999)
	alarms, crossed, sum := 0, 0, 0.0
	for range draws {
		c := r.NewCounter()
		for range n {
			c.Add(r.BinNumeric(rng.NormFloat64()))
		}
		require.Equal(t, 10, r.Occupied(c.Counts()))
		psi, _, err := PSI(&r, c.Counts(), DefaultPSIOptions())
		require.NoError(t, err)
		sum += psi
		if psi > 0.2 {
			alarms++
		}
		if psi > bound {
			crossed++
		}
	}
	t.Logf("%d windows of %d rows: mean PSI %.4f, over 0.2: %d, over the 99.9 %% bound of %.4f: %d", draws, n, sum/draws, alarms, bound, crossed)
	require.Less(t, float64(alarms)/draws, 0.002)
	require.Less(t, float64(crossed)/draws, 0.005)
	require.Greater(t, crossed, 0, "a bound that is never crossed is too high")
	require.InEpsilon(t, 9*(1.0/n+1.0/m), sum/draws, 0.2)
}

func TestOccupied(t *testing.T) {
	r := &Reference{Column: "x", Kind: Numeric, Edges: []float64{1, 2}, Counts: []int64{5, 0, 3, 0}, Total: 8}
	require.Equal(t, 2, r.Occupied(nil))
	require.Equal(t, 2, r.Occupied([]int64{1, 0, 0, 0}))
	require.Equal(t, 3, r.Occupied([]int64{0, 0, 0, 4}))
}

func TestSignificanceBoundAtTheEnds(t *testing.T) {
	require.Zero(t, SignificanceBound(1, 100, 100, 0.999))
	require.Zero(t, SignificanceBound(10, 100, 100, 0))
	require.Equal(t, math.Inf(1), SignificanceBound(10, 0, 100, 0.999))
	require.Equal(t, math.Inf(1), SignificanceBound(10, 100, 0, 0.999))
	require.Equal(t, math.Inf(1), SignificanceBound(10, 100, 100, 1))
	require.True(t, math.IsNaN(SignificanceBound(10, 100, 100, math.NaN())))
}

func BenchmarkCount(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	values := make([]float64, 1024)
	for i := range values {
		values[i] = rng.Float64()
	}
	r, err := FitNumeric("x", values, 10)
	require.NoError(b, err)
	c := r.NewCounter()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		bin := r.BinNumeric(values[i&1023])
		c.Add(bin)
		c.Remove(bin)
		i++
	}
}

func BenchmarkPSI(b *testing.B) {
	r, err := FitNumeric("x", []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 10)
	require.NoError(b, err)
	current := []int64{9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1}
	require.Len(b, current, r.Bins())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := PSI(&r, current, DefaultPSIOptions()); err != nil {
			b.Fatal(err)
		}
	}
}
