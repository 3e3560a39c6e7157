package eval

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBenjaminiHochberg(t *testing.T) {
	nan := math.NaN()
	// R: p.adjust(c(0.01, 0.8, 0.02, 0.03, 0.5, 0.02, NA, 0.001, 0.9), method="BH")
	want := []float64{0.040000000000000001, 0.90000000000000002, 0.040000000000000001, 0.048000000000000001, 0.66666666666666663, 0.040000000000000001, nan, 0.0080000000000000002, 0.90000000000000002}
	got := BenjaminiHochberg([]float64{0.01, 0.8, 0.02, 0.03, 0.5, 0.02, nan, 0.001, 0.9})
	for i := range want {
		if math.IsNaN(want[i]) {
			require.True(t, math.IsNaN(got[i]))
			continue
		}
		require.InDelta(t, want[i], got[i], 1e-15, i)
	}
	require.Empty(t, BenjaminiHochberg(nil))
	require.Equal(t, []float64{0.04}, BenjaminiHochberg([]float64{0.04}))
	p := []float64{0.5, 0.1}
	BenjaminiHochberg(p)
	require.Equal(t, []float64{0.5, 0.1}, p)
}

// world is rows with three columns: in fault, the level "bad" has scores that are noise and "high" scores that are too high; dull has no influence, and
// many has a level of its own for each four rows.
type world struct {
	score, label, weight []float64
	columns              []Column
}

func newWorld(seed uint64, n int) world {
	r := rand.New(rand.NewPCG(seed, 71))
	w := world{columns: []Column{{Name: "dull"}, {Name: "fault"}, {Name: "many"}}}
	for i := range n {
		x := r.NormFloat64()
		truth := expit(1.5*x - 1)
		level, s := "good", truth
		switch r.IntN(5) {
		case 0:
			level, s = "bad", expit(1.5*r.NormFloat64()-1)
		case 1:
			level, s = "high", expit(1.5*x)
		}
		y := 0.0
		if r.Float64() < truth {
			y = 1
		}
		w.score, w.label, w.weight = append(w.score, s), append(w.label, y), append(w.weight, float64(r.IntN(3)))
		for k, v := range []string{"d" + strconv.Itoa(r.IntN(4)), level, strconv.Itoa(i / 4)} {
			w.columns[k].Values = append(w.columns[k].Values, v)
		}
	}
	return w
}

func TestSlicesFindTheFault(t *testing.T) {
	w := newWorld(4, 3000)
	c := DefaultSliceConfig(0.4)
	got, err := c.Slices(w.columns, w.score, w.label, nil)
	require.NoError(t, err)
	require.Len(t, got.Slices, 4+3+51)
	require.Equal(t, "bad", got.Slices[0].Level)
	require.True(t, got.Slices[0].Worse)
	require.Less(t, got.Slices[0].Q.Float(), 1e-6)
	worse, shifted := 0, map[string]bool{}
	for _, s := range got.Slices {
		if s.Worse {
			worse++
		}
		if s.Column == "fault" {
			shifted[s.Level] = s.Shifted
		}
	}
	require.Equal(t, 1, worse)
	require.Equal(t, map[string]bool{"good": false, "bad": false, "high": true}, shifted)

	raw, err := json.Marshal(got)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "null")
	var again Slices
	require.NoError(t, json.Unmarshal(raw, &again))
	require.Equal(t, got, again)
}

func TestSlicesAreWhatTheirRowsSay(t *testing.T) {
	w := newWorld(2, 600)
	for i := range 300 { // half of the scores are tied
		w.score[i] = math.Round(w.score[i]*20) / 20
	}
	for _, weight := range [][]float64{nil, w.weight} {
		c := DefaultSliceConfig(0.35)
		c.MaxLevels = 3
		got, err := c.Slices(w.columns, w.score, w.label, weight)
		require.NoError(t, err)
		require.Len(t, got.Slices, 4+3+4)
		require.True(t, slices.IsSortedFunc(got.Slices, compareSlices))
		shares := map[string]float64{}
		for _, s := range append([]Slice{got.Whole}, got.Slices...) {
			shares[s.Column] += s.Share
			var score, label, ownWeight, restScore, restLabel, restWeight []float64
			joined := map[string]bool{}
			for i := range w.score {
				if weight != nil && weight[i] == 0 {
					continue
				}
				in := s.Column == ""
				for _, column := range w.columns {
					if column.Name != s.Column {
						continue
					}
					in = column.Values[i] == s.Level
					if s.Joined > 0 {
						in = !slices.ContainsFunc(got.Slices, func(o Slice) bool { return o.Column == s.Column && o.Joined == 0 && o.Level == column.Values[i] })
						if in {
							joined[column.Values[i]] = true
						}
					}
				}
				if in {
					score, label, ownWeight = append(score, w.score[i]), append(label, w.label[i]), append(ownWeight, weightAt(weight, i))
				} else {
					restScore, restLabel, restWeight = append(restScore, w.score[i]), append(restLabel, w.label[i]), append(restWeight, weightAt(weight, i))
				}
			}
			require.Len(t, joined, s.Joined)
			require.Equal(t, len(score), s.Rows)
			requireSlice(t, s, got.Whole, score, label, ownWeight)
			if p, tested := s.P.Value(); tested {
				a, err := DeLong(score, label, ownWeight)
				require.NoError(t, err)
				b, err := DeLong(restScore, restLabel, restWeight)
				require.NoError(t, err)
				z := (b.AUC - a.AUC) / math.Hypot(a.SE.Float(), b.SE.Float())
				require.InDelta(t, normalTail(z), p, 1e-9)
				require.GreaterOrEqual(t, min(a.Positives, a.Negatives, b.Positives, b.Negatives), 10)
			}
		}
		for column, share := range shares {
			require.InDelta(t, 1, share, 1e-9, column)
		}
	}
}

func requireSlice(t *testing.T, s, whole Slice, score, label, weight []float64) {
	t.Helper()
	loss, err := LogLoss(score, label, weight)
	require.NoError(t, err)
	require.InDelta(t, loss, s.LogLoss, 1e-12)
	var total, mean, observed, variance, expected float64
	for i, w := range weight {
		total += w
		mean += w * score[i]
		observed += w * label[i]
		expected += w * score[i] * (1 - score[i])
		variance += w * w * score[i] * (1 - score[i])
	}
	require.InDelta(t, mean/total, s.Score, 1e-12)
	require.InDelta(t, observed/total, s.Observed, 1e-12)
	require.InDelta(t, (mean-observed)/total, s.Gap, 1e-12)
	if p, tested := s.GapP.Value(); tested {
		require.InDelta(t, twoSided((mean-observed)/math.Sqrt(variance)), p, 1e-9)
		require.GreaterOrEqual(t, expected*expected/variance, 5.0)
	} else {
		require.Less(t, expected*expected/variance, 5.0)
	}
	auc, err := ROCAUC(score, label, weight)
	if err != nil {
		require.ErrorIs(t, err, ErrSingleClass)
		require.True(t, s.AUC.IsZero() && s.Drop.IsZero() && s.P.IsZero())
		return
	}
	require.InDelta(t, auc, s.AUC.Float(), 1e-12)
	if s.Column != "" {
		require.InDelta(t, whole.AUC.Float()-auc, s.Drop.Float(), 1e-12)
	}
	f1, err := F1(score, label, weight, 0.35)
	require.NoError(t, err)
	require.InDelta(t, f1, s.F1.Float(), 1e-12)
}

// TestSlicesDoNotShout: a model with no fault has a slice that is called worse in about one sample of twenty, whatever the number of slices.
func TestSlicesDoNotShout(t *testing.T) {
	shouted := 0
	const rounds = 60
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 72))
		w := newWorld(seed, 600)
		column := Column{Name: "chance"}
		for i := range w.score {
			x := expit(r.NormFloat64()*1.5 - 1)
			w.score[i], w.label[i] = x, 0
			if r.Float64() < x {
				w.label[i] = 1
			}
			column.Values = append(column.Values, strconv.Itoa(r.IntN(12)))
		}
		got, err := DefaultSliceConfig(0.5).Slices([]Column{column, w.columns[2]}, w.score, w.label, nil)
		require.NoError(t, err)
		for _, s := range got.Slices {
			if s.Worse || s.Shifted {
				shouted++
				break
			}
		}
	}
	require.LessOrEqual(t, shouted, 12, "two families at 5 %% in %d samples", rounds)
}

func TestSliceEdges(t *testing.T) {
	score := []float64{0.9, 0.8, 0.1, 0.2}
	label := []float64{1, 1, 0, 0}
	c := DefaultSliceConfig(0.5)
	got, err := c.Slices([]Column{{Name: "one", Values: []string{"a", "a", "a", "a"}}, {Name: "two", Values: []string{"x", "x", "", ""}}}, score, label, nil)
	require.NoError(t, err)
	require.Len(t, got.Slices, 2, "a column of one level gives none")
	for _, s := range got.Slices {
		require.True(t, s.AUC.IsZero() && s.Drop.IsZero() && s.Q.IsZero() && s.GapQ.IsZero())
		require.Equal(t, s.Level == "", s.F1.IsZero(), "the missing ones have no positive")
	}
	require.Equal(t, "", got.Slices[0].Level, "of equal gaps by level")

	// complete separation in a slice and its opposite outside: errors of 0, but no certainty
	var s2, y2 []float64
	column := Column{Name: "c"}
	for i := range 60 {
		y := float64(i % 2)
		level := "right"
		v := 0.2 + 0.6*y
		if i < 30 {
			level, v = "wrong", 0.8-0.6*y
		}
		s2, y2, column.Values = append(s2, v), append(y2, y), append(column.Values, level)
	}
	got, err = c.Slices([]Column{column}, s2, y2, nil)
	require.NoError(t, err)
	require.Equal(t, "wrong", got.Slices[0].Level)
	require.True(t, got.Slices[0].Worse)
	require.False(t, got.Slices[1].Worse)
	require.Greater(t, got.Slices[0].P.Float(), 0.0)

	// the same with weights, whose sums round
	r := rand.New(rand.NewPCG(6, 6))
	for range 20 {
		weight := make([]float64, len(s2))
		for i := range weight {
			weight[i] = r.Float64()
			s2[i] += 0.01 * float64(r.IntN(4)) / 20
		}
		got, err = c.Slices([]Column{column}, s2, y2, weight)
		require.NoError(t, err)
		require.Equal(t, [2]float64{0, 1}, [2]float64{got.Slices[0].AUC.Float(), got.Slices[1].AUC.Float()})
		require.Zero(t, got.Slices[0].AUCSE.Float()+got.Slices[1].AUCSE.Float())
		require.Greater(t, got.Slices[0].P.Float(), 0.0)
		require.Equal(t, 1.0, got.Slices[1].High.Float())
	}

	// one positive row in a level, and the levels that are rarest joined
	got, err = SliceConfig{FDR: 0.1, MinClass: 2, MaxLevels: 1}.Slices([]Column{{Name: "c", Values: []string{"a", "b", "b", "b", "b", "c"}}},
		[]float64{0.1, 0.2, 0.3, 0.4, 0.25, 0.6}, []float64{1, 0, 1, 0, 0, 0}, nil)
	require.NoError(t, err)
	require.Equal(t, "b", got.Slices[1].Level)
	require.Equal(t, 2.0/3, got.Slices[1].AUC.Float())
	require.True(t, got.Slices[1].AUCSE.IsZero() && got.Slices[1].Low.IsZero())
	require.Equal(t, [2]int{2, 2}, [2]int{got.Slices[0].Joined, got.Slices[0].Rows})

	for text, f := range map[string]func() error{
		`column "x": 1 values for 4`: func() error {
			_, err := c.Slices([]Column{{Name: "x", Values: []string{"a"}}}, score, label, nil)
			return err
		},
		"single class":   func() error { _, err := c.Slices(nil, score, make([]float64, 4), nil); return err },
		"row 0: score 2": func() error { _, err := c.Slices(nil, []float64{2}, []float64{1}, nil); return err },
		"threshold NaN":  func() error { return DefaultSliceConfig(math.NaN()).Validate() },
		"rate 0 is not":  func() error { return SliceConfig{MinClass: 2, MaxLevels: 1}.Validate() },
		"from 1 rows":    func() error { return SliceConfig{FDR: 0.1, MinClass: 1, MaxLevels: 1}.Validate() },
		"0 levels":       func() error { _, err := SliceConfig{FDR: 0.1, MinClass: 2}.Slices(nil, score, label, nil); return err },
	} {
		require.ErrorContains(t, f(), text)
	}
}

// BenchmarkSlices cuts 100,000 rows by 16 columns, 8 of four levels and 8 of three.
func BenchmarkSlices(b *testing.B) {
	w := newWorld(3, 100_000)
	var columns []Column
	for range 8 {
		columns = append(columns, w.columns[:2]...)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DefaultSliceConfig(0.5).Slices(columns, w.score, w.label, nil); err != nil {
			b.Fatal(err)
		}
	}
}
