package calibrate

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

type golden struct {
	Name           string
	Score, Label   []float64
	Weight         []float64
	Platt          [2]float64
	Learned        [2]float64 `json:"scikit_learn_platt"`
	Probe, Sigmoid []float64
	Isotonic       []float64
	IsotonicX      []float64 `json:"isotonic_x"`
	IsotonicY      []float64 `json:"isotonic_y"`
}

func cases(t *testing.T) []golden {
	t.Helper()
	raw, err := os.ReadFile("testdata/scikit-learn/cases.json")
	require.NoError(t, err)
	var file struct{ Cases []golden }
	require.NoError(t, json.Unmarshal(raw, &file))
	require.Len(t, file.Cases, 9)
	return file.Cases
}

func TestSigmoidAgreesWithScipyAndScikitLearn(t *testing.T) {
	for _, c := range cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			got, err := Fit(Sigmoid, c.Score, c.Label, c.Weight)
			require.NoError(t, err)
			slope, intercept, ok := got.Line()
			require.True(t, ok)
			require.InDelta(t, c.Platt[0], slope, 1e-7)
			require.InDelta(t, c.Platt[1], intercept, 1e-7)
			require.InDelta(t, c.Learned[0], slope, 2e-4)
			require.InDelta(t, c.Learned[1], intercept, 2e-4)
			for i, p := range c.Probe {
				require.InDelta(t, c.Sigmoid[i], got.Apply(p), 1e-5, "at %v", p)
			}
		})
	}
}

func TestIsotonicAgreesWithScikitLearn(t *testing.T) {
	for _, c := range cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			got, err := Fit(Isotonic, c.Score, c.Label, c.Weight)
			require.NoError(t, err)
			low := 1 / (total(c.Weight, len(c.Score)) + 2)
			held := func(y float64) float64 { return min(max(y, low), 1-low) }
			require.Equal(t, len(c.IsotonicX), got.Points())
			for i, x := range c.IsotonicX {
				px, py := got.Point(i)
				require.Equal(t, x, px)
				require.InDelta(t, held(c.IsotonicY[i]), py, 1e-12)
			}
			for i, p := range c.Probe {
				// where an end of the segment is held inside (0, 1) the line differs by as much at most
				require.InDelta(t, c.Isotonic[i], got.Apply(p), low+tilt, "at %v", p)
			}
		})
	}
}

func total(weight []float64, n int) float64 {
	if weight == nil {
		return float64(n)
	}
	sum := 0.0
	for _, w := range weight {
		sum += w
	}
	return sum
}

// draw gives scores rounded to hundredths, labels of both classes and whole weights, some of them 0.
func draw(r *rand.Rand, n int) (score, label, weight []float64) {
	score, label, weight = make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		score[i] = math.Round(r.Float64()*100) / 100
		if r.Float64() < 0.1+0.6*score[i]*score[i] {
			label[i] = 1
		}
		weight[i] = float64(r.IntN(4))
	}
	label[0], label[1], weight[0], weight[1] = 0, 1, 1, 1
	return score, label, weight
}

func TestProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		score, label, weight := draw(r, 150+r.IntN(100))
		var s2, y2 []float64
		for _, i := range r.Perm(len(score)) {
			for range int(weight[i]) {
				s2, y2 = append(s2, score[i]), append(y2, label[i])
			}
		}
		for _, method := range []Method{None, Sigmoid, Isotonic} {
			weighted, err := Fit(method, score, label, weight)
			require.NoError(t, err)
			copies, err := Fit(method, s2, y2, nil)
			require.NoError(t, err)
			before := 0.0
			for p := 0.0; p <= 1; p += 1.0 / 512 {
				q := weighted.Apply(p)
				require.InDelta(t, copies.Apply(p), q, 1e-9, "%s at %v: whole weights are copies, in whatever order", method, p)
				require.True(t, q >= before && q <= 1, "%s at %v: %v after %v", method, p, q, before)
				before = q
			}
			if method != None {
				mean, positives := 0.0, 0.0
				for i, s := range s2 {
					mean += copies.Apply(s)
					positives += y2[i]
				}
				// Platt's targets draw the mean to the middle by less than one row, the hold at the ends by less than one more
				require.InDelta(t, positives, mean, 2, "%s: the mean is the share of positives", method)
			}
		}
	}
}

// leastSquares is isotonic regression by its min-max formula: f(i) = max over a <= i of min over b >= i of the mean of a..b.
func leastSquares(steps []step) []float64 {
	out := make([]float64, len(steps))
	for i := range steps {
		best := math.Inf(-1)
		for a := 0; a <= i; a++ {
			least := math.Inf(1)
			sum, weight := 0.0, 0.0
			for b := a; b < len(steps); b++ {
				sum += steps[b].sum
				weight += steps[b].weight
				if b >= i {
					least = min(least, sum/weight)
				}
			}
			best = max(best, least)
		}
		out[i] = best
	}
	return out
}

func TestPoolIsTheMinMaxFormula(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		score, label, weight := draw(r, 2+r.IntN(30))
		s, err := newSample(score, label, weight)
		require.NoError(t, err)
		steps := ties(s)
		want := leastSquares(steps)
		for _, b := range pool(append([]step(nil), steps...)) {
			for i, one := range steps {
				if one.from >= b.from && one.to <= b.to {
					require.InDelta(t, want[i], b.mean(), 1e-12)
				}
			}
		}
	}
}

func TestCalibrationRepairsADistortedScore(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const n = 20_000
	score, label := make([]float64, n), make([]float64, n)
	truth := func(s float64) float64 { return logistic(0.5*logOdds(s) - 1) } // the score is overconfident and too high
	for i := range n {
		score[i] = r.Float64()
		if r.Float64() < truth(score[i]) {
			label[i] = 1
		}
	}
	for _, method := range []Method{Sigmoid, Isotonic} {
		c, err := Fit(method, score, label, nil)
		require.NoError(t, err)
		for p := 0.05; p < 0.96; p += 0.05 {
			require.InDelta(t, truth(p), c.Apply(p), 0.04, "%s at %v", method, p)
		}
	}
	c, err := Fit(Sigmoid, score, label, nil)
	require.NoError(t, err)
	slope, intercept, _ := c.Line()
	require.InDelta(t, 0.5, slope, 0.03)
	require.InDelta(t, -1, intercept, 0.06)
}

func TestTheOrderOfRowsIsKept(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	score, label := make([]float64, 2000), make([]float64, 2000)
	for i := range score {
		score[i] = float64(i) / 2000
		if r.Float64() < score[i] {
			label[i] = 1
		}
	}
	for _, method := range []Method{Sigmoid, Isotonic} {
		c, err := Fit(method, score, label, nil)
		require.NoError(t, err)
		require.Less(t, c.Points(), 150, "there are steps")
		before := c.Apply(0)
		for p := 1e-9; p <= 1; p += 1e-9 + p/500 {
			q := c.Apply(p)
			require.Greater(t, q, before, "%s at %v", method, p)
			before = q
		}
	}
}

func TestScoresThatRankTheWrongWayRoundGiveAConstant(t *testing.T) {
	score, label := make([]float64, 100), make([]float64, 100)
	for i := range score {
		score[i] = float64(i) / 100
		if i < 25 {
			label[i] = 1
		}
	}
	c, err := Fit(Sigmoid, score, label, nil)
	require.NoError(t, err)
	require.InDelta(t, (25*26.0/27+75/77.0)/100, c.Apply(0.1), 1e-12)
	require.Equal(t, c.Apply(0.1), c.Apply(0.9))
	c, err = Fit(Isotonic, score, label, nil)
	require.NoError(t, err)
	require.InDelta(t, 0.25, c.Apply(0.1), tilt)
	require.Equal(t, 2, c.Points())
}

func TestOneScoreForAllRowsGivesTheShare(t *testing.T) {
	score, label := make([]float64, 64), make([]float64, 64)
	for i := range score {
		score[i] = 0.25
		label[i] = float64(i % 2)
	}
	for _, method := range []Method{Sigmoid, Isotonic} {
		c, err := Fit(method, score, label, nil)
		require.NoError(t, err)
		for _, p := range []float64{0, 0.25, 1} {
			require.InDelta(t, 0.5, c.Apply(p), tilt, method)
		}
	}
}

func TestLineAndPoints(t *testing.T) {
	slope, intercept, ok := Calibrator{}.Line()
	require.Equal(t, [2]float64{1, 0}, [2]float64{slope, intercept})
	require.True(t, ok)
	_, _, ok = Calibrator{method: Isotonic, x: []float64{0.5}, y: []float64{0.5}}.Line()
	require.False(t, ok)
	require.Equal(t, None, Calibrator{}.Method())
}

func TestApplyAtTheEnds(t *testing.T) {
	score, label := make([]float64, 60), make([]float64, 60)
	for i := range score {
		score[i], label[i] = float64(i)/59, float64(i/30)
	}
	for _, method := range []Method{None, Sigmoid, Isotonic} {
		c, err := Fit(method, score, label, nil)
		require.NoError(t, err)
		require.True(t, math.IsNaN(c.Apply(math.NaN())))
		require.Equal(t, c.Apply(0), c.Apply(math.Inf(-1)))
		require.Equal(t, c.Apply(1), c.Apply(7))
		require.Zero(t, testing.AllocsPerRun(100, func() { c.Apply(0.3) }))
	}
	c, err := Fit(Isotonic, score, label, nil)
	require.NoError(t, err)
	require.InDelta(t, 1.0/62, c.Apply(0), tilt, "60 rows prove no certainty")
	require.InDelta(t, 61.0/62, c.Apply(1), tilt)
	require.InDelta(t, 0.5, c.Apply(59.0/2/59), 1e-12, "half way between the steps")
	require.Equal(t, Calibrator{}, must(Fit(None, nil, nil, nil)))
	require.Equal(t, 0.3, Calibrator{}.Apply(0.3))
}

func must(c Calibrator, err error) Calibrator {
	if err != nil {
		panic(err)
	}
	return c
}

func TestFaultsAreNamed(t *testing.T) {
	many := func(n int, v float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = v
		}
		return out
	}
	half := many(100, 0)
	for i := range half {
		half[i] = float64(i % 2)
	}
	lonely := many(100, 0)
	lonely[0] = 1
	tests := []struct {
		name                 string
		method               Method
		score, label, weight []float64
		is                   error
		text                 string
	}{
		{name: "method", method: "beta", text: `unknown calibration method "beta"`},
		{name: "labels missing", method: None, score: []float64{1}, text: "1 scores but 0 labels"},
		{name: "weights missing", method: None, score: []float64{1}, label: []float64{1}, weight: []float64{}, text: "1 scores but 0 weights"},
		{name: "score NaN", method: None, score: []float64{0, math.NaN()}, label: []float64{0, 1}, text: "row 1: score NaN"},
		{name: "margin", method: Sigmoid, score: []float64{0, 1.5}, label: []float64{0, 1}, text: "row 1: score 1.5"},
		{name: "label", method: Sigmoid, score: []float64{0, 1}, label: []float64{0, 2}, text: "row 1: label 2"},
		{name: "weight", method: Sigmoid, score: []float64{0, 1}, label: []float64{0, 1}, weight: []float64{0, -1}, text: "row 1: weight -1"},
		{name: "weights overflow", method: Sigmoid, score: []float64{0, 1}, label: []float64{0, 0}, weight: many(2, math.MaxFloat64), text: "more than a float64"},
		{name: "no rows", method: Sigmoid, is: ErrTooFewRows},
		{name: "few rows", method: Isotonic, score: many(49, 0.5), label: half[:49], is: ErrTooFewRows, text: "49, want 50"},
		{name: "few rows by weights of 0", method: Isotonic, score: many(100, 0.5), label: half, weight: lonely, is: ErrTooFewRows},
		{name: "single class", method: Sigmoid, score: many(100, 0.5), label: many(100, 1), is: ErrSingleClass},
		{name: "single class by weight", method: Isotonic, score: many(100, 0.5), label: half, weight: half, is: ErrSingleClass},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Fit(tt.method, tt.score, tt.label, tt.weight)
			require.Error(t, err)
			require.Equal(t, Calibrator{}, c)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
			require.ErrorContains(t, err, tt.text)
		})
	}
}

func TestNastyInputGivesACalibrator(t *testing.T) {
	scores := []float64{0, math.Copysign(0, -1), 5e-324, 1e-300, 0x1p-53, 0.5, math.Nextafter(0.5, 1), math.Nextafter(1, 0), 1}
	weights := [][]float64{{1}, {0, 1}, {0, 5e-324, 1}, {5e-324}, {1e300, 1e-300, 1}, {1e305}, {0, 3, 1e16}}
	r := rand.New(rand.NewPCG(13, 14))
	fitted := 0
	for range 800 {
		n, kind, rate := 50+r.IntN(60), weights[r.IntN(len(weights))], r.Float64()
		score, label, weight := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range n {
			score[i], weight[i] = scores[r.IntN(len(scores))], kind[r.IntN(len(kind))]
			if r.Float64() < rate {
				label[i] = 1
			}
		}
		for _, method := range []Method{Sigmoid, Isotonic} {
			c, err := Fit(method, score, label, weight)
			if err != nil {
				continue
			}
			fitted++
			raw, err := json.Marshal(c)
			require.NoError(t, err)
			var again Calibrator
			require.NoError(t, json.Unmarshal(raw, &again), "%s", raw)
			before := 0.0
			for _, p := range scores[1:] {
				q := c.Apply(p)
				require.True(t, q >= before && q <= 1, "%v after %v", q, before)
				before = q
			}
		}
	}
	require.Greater(t, fitted, 800)
}

func TestExpAndLogAreThoseOfTheLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 100_000 {
		x := (r.Float64() - 0.5) * 200
		require.InEpsilon(t, math.Exp(x), exp(x), 1e-15)
		y := math.Exp(x)
		if l := math.Log(y); math.Abs(l) > 1e-3 {
			require.InEpsilon(t, l, log(y), 1e-15)
		}
	}
	require.Equal(t, math.Inf(1), exp(710))
	require.Zero(t, exp(-746))
	require.Zero(t, log(1))
	require.Equal(t, 1.0, logistic(math.Inf(1)))
	require.Zero(t, logistic(math.Inf(-1)))
	require.InDelta(t, 36.04365338911715, logOdds(1), 1e-13)
	require.InDelta(t, -36.04365338911715, logOdds(0), 1e-13)
}

func BenchmarkApply(b *testing.B) {
	score, label, _ := draw(rand.New(rand.NewPCG(1, 1)), 10_000)
	for _, method := range []Method{Sigmoid, Isotonic} {
		b.Run(string(method), func(b *testing.B) {
			c, err := Fit(method, score, label, nil)
			require.NoError(b, err)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				c.Apply(score[i%len(score)])
				i++
			}
		})
	}
}

func BenchmarkFit(b *testing.B) {
	const n = 100_000
	r := rand.New(rand.NewPCG(2, 2))
	score, label := make([]float64, n), make([]float64, n)
	for i := range n {
		score[i] = r.Float64()
		if r.Float64() < score[i] {
			label[i] = 1
		}
	}
	for _, method := range []Method{Sigmoid, Isotonic} {
		b.Run(string(method), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Fit(method, score, label, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
