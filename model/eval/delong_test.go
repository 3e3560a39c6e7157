package eval

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

type areas struct {
	AUCA     float64 `json:"auc_a"`
	AUCB     float64 `json:"auc_b"`
	VarA     float64 `json:"var_a"`
	VarB     float64 `json:"var_b"`
	Cov      float64 `json:"cov"`
	Z        float64 `json:"z"`
	P        float64 `json:"p"`
	WaldLow  float64 `json:"wald_low"`
	WaldHigh float64 `json:"wald_high"`
	Low      float64 `json:"logit_low"`
	High     float64 `json:"logit_high"`
}

func TestDeLongAgreesWithPROC(t *testing.T) {
	var file struct {
		Cases []struct {
			Name                string
			A, B, Label, Weight []float64
			Plain, Weighted     areas
		}
	}
	load(t, "inference/cases.json", &file)
	require.Len(t, file.Cases, 4)
	for _, c := range file.Cases {
		for _, weighted := range []bool{false, true} {
			name, weight, want := c.Name, []float64(nil), c.Plain
			if weighted {
				name, weight, want = c.Name+", weighted", c.Weight, c.Weighted
			}
			t.Run(name, func(t *testing.T) {
				got, err := CompareAUC(c.A, c.B, c.Label, weight)
				require.NoError(t, err)
				require.InDelta(t, want.AUCA, got.A.AUC, 1e-12)
				require.InDelta(t, want.AUCB, got.B.AUC, 1e-12)
				require.InDelta(t, want.VarA, math.Pow(got.A.SE.Float(), 2), 1e-12)
				require.InDelta(t, want.VarB, math.Pow(got.B.SE.Float(), 2), 1e-12)
				require.InDelta(t, want.Cov, got.Covariance.Float(), 1e-12)
				require.InDelta(t, want.Z, got.Z.Float(), 1e-9)
				require.InDelta(t, want.P, got.P.Float(), 1e-9)
				require.InDelta(t, want.AUCA-want.AUCB, got.Difference, 1e-12)
				require.InDelta(t, want.Low, got.A.Low.Float(), 1e-10)
				require.InDelta(t, want.High, got.A.High.Float(), 1e-10)

				one, err := DeLong(c.A, c.Label, weight)
				require.NoError(t, err)
				require.Equal(t, got.A, one)
				if !weighted {
					wald, err := one.Wald(0.95)
					require.NoError(t, err)
					require.InDelta(t, want.WaldLow, wald.Low.Float(), 1e-10)
					require.InDelta(t, want.WaldHigh, wald.High.Float(), 1e-10)
				}
			})
		}
	}
}

// pairwiseVariance is DeLong's variance of an area by its definition over all pairs.
func pairwiseVariance(score, label []float64) float64 {
	var of [2][]float64
	for i := range score {
		own, n := 0.0, 0.0
		for j := range score {
			if label[i] == label[j] {
				continue
			}
			n++
			switch d := (score[i] - score[j]) * (2*label[i] - 1); {
			case d > 0:
				own++
			case d == 0:
				own += 0.5
			}
		}
		of[int(label[i])] = append(of[int(label[i])], own/n)
	}
	total := 0.0
	for _, shares := range of {
		mean, n := meanOf(shares), float64(len(shares))
		for _, s := range shares {
			total += (s - mean) * (s - mean) / (n * (n - 1))
		}
	}
	return total
}

func TestDeLongProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	for round := range 150 {
		n := 8 + r.IntN(40)
		if round%30 == 0 {
			n = 700 // sorted by digits
		}
		a, b, label, threes := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range n {
			a[i], b[i], threes[i] = math.Round(r.NormFloat64()*4)/4, r.NormFloat64(), 3
			label[i] = float64(i % 2)
		}
		c, err := CompareAUC(a, b, label, nil)
		require.NoError(t, err)
		require.InDelta(t, pairwiseAUC(a, label), c.A.AUC, 1e-12)
		require.InDelta(t, math.Sqrt(pairwiseVariance(a, label)), c.A.SE.Float(), 1e-10)
		se := c.SE.Float()
		require.InDelta(t, math.Pow(c.A.SE.Float(), 2)+math.Pow(c.B.SE.Float(), 2)-2*c.Covariance.Float(), se*se, 1e-12)
		plain, err := ROCAUC(a, label, nil)
		require.NoError(t, err)
		require.InDelta(t, plain, c.A.AUC, 1e-13)

		// what all weigh alike is nothing, nor is the order of rows, and turned round the test is its mirror
		alike, err := CompareAUC(a, b, label, threes)
		require.NoError(t, err)
		require.InDelta(t, se, alike.SE.Float(), 1e-12)
		turned, err := CompareAUC(b, a, label, nil)
		require.NoError(t, err)
		require.InDelta(t, -c.Z.Float(), turned.Z.Float(), 1e-9)
		require.Equal(t, c.P.Float(), turned.P.Float())
		p := r.Perm(n)
		mixed, err := CompareAUC(pick(a, p), pick(b, p), pick(label, p), nil)
		require.NoError(t, err)
		require.InDelta(t, se, mixed.SE.Float(), 1e-12)
	}
}

func pick(values []float64, rows []int) []float64 {
	out := make([]float64, len(rows))
	for k, i := range rows {
		out[k] = values[i]
	}
	return out
}

func TestDeLongAtTheEdges(t *testing.T) {
	t.Run("complete separation", func(t *testing.T) {
		score, label := make([]float64, 30), make([]float64, 30)
		weight := make([]float64, 30)
		for i := range score {
			score[i], label[i], weight[i] = float64(i), float64(i/20), 0.1+float64(i)*0.37
		}
		for _, w := range [][]float64{nil, weight} {
			e, err := DeLong(score, label, w)
			require.NoError(t, err)
			require.Equal(t, 1.0, e.AUC)
			require.Zero(t, e.SE.Float())
			require.Equal(t, 1.0, e.High.Float())
			// (1-L)^2 = z^2 V(L), the definition
			l, n := e.Low.Float(), (30.0-2)/2
			v := l * (1 - l) * (1 + n*(1-l)/(2-l) + n*l/(1+l)) / 200
			require.InDelta(t, (1-l)*(1-l), 1.959963984540054*1.959963984540054*v, 1e-12)

			for i := range score {
				score[i] = -score[i]
			}
			worst, err := DeLong(score, label, w)
			require.NoError(t, err)
			require.Zero(t, worst.AUC)
			require.InDelta(t, 1-l, worst.High.Float(), 1e-12)
			for i := range score {
				score[i] = -score[i]
			}
		}
	})
	t.Run("complete separation is exact in any order of rows", func(t *testing.T) {
		r := rand.New(rand.NewPCG(51, 52))
		for range 50 {
			score, label, weight := make([]float64, 40), make([]float64, 40), make([]float64, 40)
			for i := range score {
				label[i], weight[i] = float64(r.IntN(2)), r.Float64()
				score[i] = label[i] + r.Float64()
			}
			label[0], score[0], label[1], score[1] = 0, 0.5, 1, 1.5
			e, err := DeLong(score, label, weight)
			require.NoError(t, err)
			require.Equal(t, 1.0, e.AUC)
			require.Equal(t, 1.0, e.High.Float())
			require.Less(t, e.Low.Float(), 0.99)
		}
	})
	t.Run("one row of a class", func(t *testing.T) {
		c, err := CompareAUC([]float64{1, 2, 3}, []float64{1, 3, 2}, []float64{0, 1, 0}, nil)
		require.NoError(t, err)
		require.Equal(t, 0.5, c.A.AUC)
		require.Equal(t, -0.5, c.Difference)
		require.True(t, c.A.SE.IsZero())
		require.Equal(t, Interval{}, c.A.Interval)
		require.True(t, c.P.IsZero())
	})
	t.Run("two models that rank alike", func(t *testing.T) {
		a := []float64{1, 5, 3, 4, 2, 6}
		c, err := CompareAUC(a, []float64{10, 50, 30, 40, 20, 60}, []float64{0, 1, 1, 0, 0, 1}, nil)
		require.NoError(t, err)
		require.Zero(t, c.Difference)
		require.Zero(t, c.SE.Float())
		require.True(t, c.Z.IsZero())
		require.Equal(t, 1.0, c.P.Float())
	})
	t.Run("rows of weight 0 are absent", func(t *testing.T) {
		a, err := DeLong([]float64{1, 2, 3, 4, 9}, []float64{0, 1, 0, 1, 0}, []float64{1, 2, 1, 1, 0})
		require.NoError(t, err)
		b, err := DeLong([]float64{1, 2, 3, 4}, []float64{0, 1, 0, 1}, []float64{1, 2, 1, 1})
		require.NoError(t, err)
		require.Equal(t, b, a)
	})
	t.Run("levels", func(t *testing.T) {
		e, err := DeLong([]float64{1, 2, 3, 4, 5, 6}, []float64{0, 1, 0, 1, 0, 1}, nil)
		require.NoError(t, err)
		wide, err := e.At(0.99)
		require.NoError(t, err)
		require.Less(t, wide.Low.Float(), e.Low.Float())
		require.Greater(t, wide.High.Float(), e.High.Float())
		for _, level := range []float64{0, 1, math.NaN()} {
			_, err = e.At(level)
			require.Error(t, err)
			_, err = e.Wald(level)
			require.Error(t, err)
		}
	})
	t.Run("faults", func(t *testing.T) {
		_, err := DeLong([]float64{1, 2}, []float64{1, 1}, nil)
		require.ErrorIs(t, err, ErrSingleClass)
		_, err = DeLong(nil, nil, nil)
		require.ErrorIs(t, err, ErrEmpty)
		_, err = CompareAUC([]float64{1, 2}, []float64{1, math.NaN()}, []float64{1, 0}, nil)
		require.ErrorContains(t, err, "second model: row 1: score NaN")
		_, err = CompareAUC([]float64{1}, []float64{1, 2}, []float64{1, 0}, nil)
		require.ErrorContains(t, err, "first model: 1 scores but 2 labels")
		_, err = CompareAUC([]float64{1, 2}, []float64{1, 2}, []float64{1, 0}, []float64{0, 1})
		require.ErrorIs(t, err, ErrSingleClass)
	})
}

// TestDeLongCovers draws samples of a known area: binormal, separation d, area Phi(d/sqrt 2).
func TestDeLongCovers(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	const rounds, d = 500, 1.2
	truth := 1 - normalTail(d/math.Sqrt2)
	covered, rejected, weighted := 0, 0, 0
	for range rounds {
		a, b, label, weight := make([]float64, 120), make([]float64, 120), make([]float64, 120), make([]float64, 120)
		for i := range a {
			label[i], weight[i] = float64(i%3/2), r.ExpFloat64()
			shared := r.NormFloat64() * 0.8
			a[i] = d*label[i] + shared + 0.6*r.NormFloat64()
			b[i] = d*label[i] + shared + 0.6*r.NormFloat64()
		}
		c, err := CompareAUC(a, b, label, nil)
		require.NoError(t, err)
		if c.A.Contains(truth) {
			covered++
		}
		if c.P.Float() < 0.05 {
			rejected++
		}
		e, err := DeLong(a, label, weight)
		require.NoError(t, err)
		if e.Contains(truth) {
			weighted++
		}
	}
	require.InDelta(t, 0.95, float64(weighted)/rounds, 0.03, "weights that differ widen the interval as much as they should")
	require.InDelta(t, 0.95, float64(covered)/rounds, 0.025)
	require.InDelta(t, 0.05, float64(rejected)/rounds, 0.025, "two equally good models differ in one sample of 20")
}

func TestRankingBySortAndByDigitsAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for _, spread := range []float64{1, 1e300, 1e-310} {
		n := 3000
		score, weight := make([]float64, n), make([]float64, n)
		for i := range n {
			score[i] = math.Round(r.NormFloat64()*50) / 50 * spread
			weight[i] = float64(r.IntN(5))
		}
		score[7], score[8] = 0, math.Copysign(0, -1)
		rows := order(score, weight)
		kept := 0
		for _, w := range weight {
			if w > 0 {
				kept++
			}
		}
		require.Len(t, rows, kept)
		for k := 1; k < len(rows); k++ {
			before, here := rows[k-1], rows[k]
			require.True(t, score[before] > score[here] || score[before] == score[here] && before < here, "place %d", k)
		}
	}
}

// million is 1M rows of a model with an area of about 0.85.
func million() (a, b, label []float64) {
	r := rand.New(rand.NewPCG(31, 32))
	const n = 1_000_000
	a, b, label = make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		x := r.NormFloat64()
		if r.Float64() < expit(2*x-1.5) {
			label[i] = 1
		}
		a[i], b[i] = expit(x+0.3*r.NormFloat64()), expit(x+0.3*r.NormFloat64())
	}
	return a, b, label
}

func BenchmarkROCAUCMillion(b *testing.B) {
	s, _, y := million()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ROCAUC(s, y, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDeLongMillion(b *testing.B) {
	s, _, y := million()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DeLong(s, y, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompareAUCMillion(b *testing.B) {
	s, s2, y := million()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CompareAUC(s, s2, y, nil); err != nil {
			b.Fatal(err)
		}
	}
}
