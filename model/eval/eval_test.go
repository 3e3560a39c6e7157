package eval

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type golden struct {
	Metrics
	Name       string    `json:"name"`
	Score      []float64 `json:"score"`
	Label      []float64 `json:"label"`
	Weight     []float64 `json:"weight"`
	BestF1     float64   `json:"best_f1"`
	BestLowest float64   `json:"best_f1_lowest_positive"`
}

func TestMetricsAgreeWithScikitLearn(t *testing.T) {
	raw, err := os.ReadFile("testdata/scikit-learn/cases.json")
	require.NoError(t, err)
	var file struct{ Cases []golden }
	require.NoError(t, json.Unmarshal(raw, &file))
	require.Len(t, file.Cases, 14)
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			got, err := Evaluate(c.Score, c.Label, c.Weight, c.Threshold)
			require.NoError(t, err)
			want := c.Metrics
			want.Rows, want.Positives = len(c.Score), want.TP+want.FN
			for name, v := range want.Map() {
				require.InDelta(t, v, got.Map()[name], 1e-12, name)
			}
			threshold, f1, err := BestF1Threshold(c.Score, c.Label, c.Weight)
			require.NoError(t, err)
			require.InDelta(t, c.BestF1, f1, 1e-12)
			require.LessOrEqual(t, threshold, c.BestLowest)
			for i, s := range c.Score {
				if s < c.BestLowest && weightAt(c.Weight, i) > 0 {
					require.Less(t, s, threshold, "row %d", i)
				}
			}
		})
	}
}

func TestBoundaries(t *testing.T) {
	t.Run("a score equal to the threshold is positive", func(t *testing.T) {
		m, err := Evaluate([]float64{0.5, math.Nextafter(0.5, 0)}, []float64{1, 0}, nil, 0.5)
		require.NoError(t, err)
		require.Equal(t, [4]int{1, 0, 1, 0}, [4]int{m.TP, m.FP, m.TN, m.FN})
	})
	t.Run("ties count half", func(t *testing.T) {
		auc, err := ROCAUC([]float64{0.5, 0.5, 0.9}, []float64{1, 0, 1}, nil)
		require.NoError(t, err)
		require.Equal(t, 0.75, auc)
	})
	t.Run("no positives predicted nor present", func(t *testing.T) {
		f1, err := F1([]float64{0.1, 0.2}, []float64{0, 0}, nil, 0.5)
		require.NoError(t, err)
		require.Zero(t, f1)
	})
	t.Run("average precision without negatives is 1", func(t *testing.T) {
		ap, err := PRAUC([]float64{0.1, 0.2}, []float64{1, 1}, nil)
		require.NoError(t, err)
		require.Equal(t, 1.0, ap)
	})
	t.Run("certain and wrong costs 52 ln 2", func(t *testing.T) {
		loss, err := LogLoss([]float64{1}, []float64{0}, nil)
		require.NoError(t, err)
		require.InDelta(t, 52*math.Ln2, loss, 1e-12)
	})
	t.Run("margins rank as probabilities do", func(t *testing.T) {
		auc, err := ROCAUC([]float64{-3, 40, 2}, []float64{0, 1, 0}, nil)
		require.NoError(t, err)
		require.Equal(t, 1.0, auc)
	})
}

func TestBestF1Threshold(t *testing.T) {
	next := math.Nextafter(0.5, 1)
	tests := []struct {
		name          string
		score, label  []float64
		threshold, f1 float64
	}{
		{"midpoint of the neighbours", []float64{0.2, 0.6, 0.8}, []float64{0, 1, 1}, 0.4, 1},
		{"everything positive", []float64{0.2, 0.6}, []float64{1, 0}, 0.2, 2.0 / 3},
		{"of equal F1 the highest", []float64{0.9, 0.8, 0.7, 0.6, 0.5}, []float64{1, 0, 0, 1, 0}, 0.85, 2.0 / 3},
		{"neighbouring floats", []float64{0.5, next}, []float64{0, 1}, next, 1},
		{"smallest floats", []float64{0, math.SmallestNonzeroFloat64}, []float64{0, 1}, math.SmallestNonzeroFloat64, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			threshold, f1, err := BestF1Threshold(tt.score, tt.label, nil)
			require.NoError(t, err)
			require.InDelta(t, tt.threshold, threshold, 1e-15)
			require.Equal(t, tt.f1, f1)
			again, err := F1(tt.score, tt.label, nil, threshold)
			require.NoError(t, err)
			require.Equal(t, f1, again)
		})
	}
}

func TestFaultsAreNamed(t *testing.T) {
	ok := []float64{0, 1}
	tests := []struct {
		name                 string
		score, label, weight []float64
		threshold            float64
		is                   error
		text                 string
	}{
		{name: "empty", is: ErrEmpty},
		{name: "labels missing", score: ok, label: ok[:1], text: "2 scores but 1 labels"},
		{name: "weights missing", score: ok, label: ok, weight: ok[:1], text: "2 scores but 1 weights"},
		{name: "empty weights are not nil weights", score: ok, label: ok, weight: []float64{}, text: "2 scores but 0 weights"},
		{name: "score NaN", score: []float64{0.5, math.NaN()}, label: ok, text: "row 1: score NaN"},
		{name: "score infinite", score: []float64{math.Inf(1), 0}, label: ok, text: "row 0: score +Inf"},
		{name: "score over 1", score: []float64{0, 1.5}, label: ok, text: "row 1: score 1.5 is outside"},
		{name: "label NaN", score: ok, label: []float64{0, math.NaN()}, text: "row 1: label NaN"},
		{name: "label 0.5", score: ok, label: []float64{0.5, 1}, text: "row 0: label 0.5"},
		{name: "weight negative", score: ok, label: ok, weight: []float64{1, -1}, text: "row 1: weight -1"},
		{name: "weight NaN", score: ok, label: ok, weight: []float64{math.NaN(), 1}, text: "row 0: weight NaN"},
		{name: "weights 0", score: ok, label: ok, weight: []float64{0, 0}, is: ErrEmpty},
		{name: "weights overflow", score: ok, label: ok, weight: []float64{math.MaxFloat64, math.MaxFloat64}, text: "more than a float64"},
		{name: "single class", score: ok, label: []float64{1, 1}, is: ErrSingleClass},
		{name: "single class by weight", score: ok, label: ok, weight: []float64{0, 2}, is: ErrSingleClass},
		{name: "threshold NaN", score: ok, label: ok, threshold: math.NaN(), text: "threshold NaN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Evaluate(tt.score, tt.label, tt.weight, tt.threshold)
			require.Error(t, err)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
			require.ErrorContains(t, err, tt.text)
		})
	}
	for name, f := range map[string]func(s, y, w []float64) error{
		"ROCAUC":          func(s, y, w []float64) error { _, err := ROCAUC(s, y, w); return err },
		"PRAUC":           func(s, y, w []float64) error { _, err := PRAUC(s, y, w); return err },
		"F1":              func(s, y, w []float64) error { _, err := F1(s, y, w, 0.5); return err },
		"BestF1Threshold": func(s, y, w []float64) error { _, _, err := BestF1Threshold(s, y, w); return err },
		"LogLoss":         func(s, y, w []float64) error { _, err := LogLoss(s, y, w); return err },
		"Brier":           func(s, y, w []float64) error { _, err := Brier(s, y, w); return err },
	} {
		require.ErrorIs(t, f(nil, nil, nil), ErrEmpty, name)
		require.ErrorContains(t, f([]float64{0.1, math.NaN()}, ok, nil), "row 1", name)
		if name != "F1" && name != "LogLoss" && name != "Brier" {
			require.ErrorIs(t, f(ok, []float64{0, 0}, nil), ErrSingleClass, name)
		}
	}
	_, err := Brier([]float64{-0.1}, []float64{1}, nil)
	require.ErrorContains(t, err, "row 0")
}

func TestProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n := 2 + r.IntN(60)
		score, label, repeats := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range n {
			score[i] = math.Round(r.Float64()*20) / 20
			label[i] = float64(r.IntN(2))
			repeats[i] = float64(r.IntN(4))
		}
		label[0], label[1], repeats[0], repeats[1] = 0, 1, 1, 1
		base, err := Evaluate(score, label, repeats, 0.5)
		require.NoError(t, err)

		// a whole weight is that many copies of the row; and the order of rows is nothing
		var s2, y2 []float64
		for _, i := range r.Perm(n) {
			for range int(repeats[i]) {
				s2, y2 = append(s2, score[i]), append(y2, label[i])
			}
		}
		copies, err := Evaluate(s2, y2, nil, 0.5)
		require.NoError(t, err)
		requireSameFigures(t, base, copies)

		auc, err := ROCAUC(s2, y2, nil)
		require.NoError(t, err)
		require.InDelta(t, pairwiseAUC(s2, y2), auc, 1e-12)

		// a monotone change of the scores changes no ranking figure; turned round, the area is its complement
		other := make([]float64, len(s2))
		for i, s := range s2 {
			other[i] = -math.Exp(3 * s)
		}
		flipped, err := ROCAUC(other, y2, nil)
		require.NoError(t, err)
		require.InDelta(t, 1-auc, flipped, 1e-12)
	}
}

func requireSameFigures(t *testing.T, a, b Metrics) {
	t.Helper()
	for name, v := range a.Map() {
		if strings.Contains("rows positives tp fp tn fn", name) {
			continue
		}
		require.InDelta(t, v, b.Map()[name], 1e-12, name)
	}
}

// pairwiseAUC is the definition, in quadratic time.
func pairwiseAUC(score, label []float64) float64 {
	sum, pairs := 0.0, 0.0
	for i := range score {
		for j := range score {
			if label[i] != 1 || label[j] != 0 {
				continue
			}
			pairs++
			switch {
			case score[i] > score[j]:
				sum++
			case score[i] == score[j]:
				sum += 0.5
			}
		}
	}
	return sum / pairs
}

func TestMapHoldsEveryJSONNameAndOnlyFiniteValues(t *testing.T) {
	m, err := Evaluate([]float64{0.2, 0.7, 0.6}, []float64{0, 1, 0}, nil, 0.5)
	require.NoError(t, err)
	raw, err := json.Marshal(m)
	require.NoError(t, err)
	var byName map[string]float64
	require.NoError(t, json.Unmarshal(raw, &byName))
	require.Equal(t, byName, m.Map())
	require.Len(t, byName, reflect.TypeFor[Metrics]().NumField())

	m.LogLoss, m.Threshold = math.Inf(1), math.NaN()
	require.NotContains(t, m.Map(), "log_loss")
	require.NotContains(t, m.Map(), "threshold")
	require.Contains(t, m.Map(), "roc_auc")
}

func TestArgumentsAreLeftAlone(t *testing.T) {
	score, label, weight := []float64{0.9, 0.1, 0.5}, []float64{0, 1, 1}, []float64{1, 2, 3}
	_, err := Evaluate(score, label, weight, 0.5)
	require.NoError(t, err)
	require.Equal(t, []float64{0.9, 0.1, 0.5}, score)
	require.Equal(t, []float64{0, 1, 1}, label)
	require.Equal(t, []float64{1, 2, 3}, weight)
}

func BenchmarkEvaluate(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 4))
	const n = 100_000
	score, label := make([]float64, n), make([]float64, n)
	for i := range n {
		score[i] = r.Float64()
		if r.Float64() < score[i] {
			label[i] = 1
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Evaluate(score, label, nil, 0.5); err != nil {
			b.Fatal(err)
		}
	}
}
