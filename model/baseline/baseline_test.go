package baseline

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFitNumeric(t *testing.T) {
	nan := math.NaN()
	below5 := math.Nextafter(5, 0)
	tests := []struct {
		name   string
		values []float64
		bins   int
		edges  []float64
		counts []int64
	}{
		{"quartiles", []float64{5, 1, 4, 2, 3}, 4, []float64{2, 3, 4}, []int64{2, 1, 1, 1, 0}},
		{"missing values have a bin", []float64{nan, 1, 2, 3, nan}, 2, []float64{2}, []int64{2, 1, 2}},
		{"all missing", []float64{nan, nan}, 10, nil, []int64{0, 2}},
		{"merged with each other and with the open end", []float64{0, 0, 0, 1, 1, 1}, 10, []float64{0, 0.5}, []int64{3, 0, 3, 0}},
		{"one value", []float64{5, 5, 5}, 10, []float64{below5, 5}, []int64{0, 3, 0, 0}},
		{"a range wider than a float", []float64{-math.MaxFloat64, math.MaxFloat64}, 2, []float64{0}, []int64{1, 1, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := FitNumeric("x", tt.values, tt.bins)
			require.NoError(t, err)
			require.NoError(t, r.Validate())
			require.Equal(t, tt.edges, r.Edges)
			require.Equal(t, tt.counts, r.Counts)
			require.EqualValues(t, len(tt.values), r.Total)
		})
	}
}

func TestFitFaults(t *testing.T) {
	_, err := FitNumeric("x", []float64{1, math.Inf(-1)}, 10)
	require.ErrorContains(t, err, `"x": row 1`)
	_, err = FitNumeric("x", nil, 10)
	require.ErrorContains(t, err, "no values")
	_, err = FitNumeric("x", []float64{1}, 1)
	require.ErrorContains(t, err, "1 bins")
	_, err = FitNumeric("", []float64{1}, 10)
	require.ErrorContains(t, err, "name")
	_, err = FitScore([]float64{0.5, math.NaN()}, 10)
	require.ErrorContains(t, err, "row 1")
	_, err = FitScore([]float64{1.01}, 10)
	require.ErrorContains(t, err, "row 0")
	_, err = FitCategorical("c", []string{"a"}, 0)
	require.ErrorContains(t, err, "at most 0 levels")
	_, err = FitCategorical("c", nil, 3)
	require.ErrorContains(t, err, "no values")
}

func TestFitCategorical(t *testing.T) {
	values := []string{"b", "a", "", "c", "b", "d", "c", "a", "b"} // b 3, a 2, c 2, d 1, missing 1
	tests := []struct {
		name   string
		max    int
		levels []string
		counts []int64
	}{
		{"room for all", 4, []string{"a", "b", "c", "d"}, []int64{2, 3, 2, 1, 0, 1}},
		{"the rarest count as unseen", 3, []string{"a", "b", "c"}, []int64{2, 3, 2, 1, 1}},
		{"of equal frequency the first name stays", 2, []string{"a", "b"}, []int64{2, 3, 3, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := FitCategorical("c", values, tt.max)
			require.NoError(t, err)
			require.NoError(t, r.Validate())
			require.Equal(t, tt.levels, r.Levels)
			require.Equal(t, tt.counts, r.Counts)
		})
	}
	r, err := FitCategorical("c", []string{"", ""}, 5)
	require.NoError(t, err)
	require.NoError(t, r.Validate())
	require.Equal(t, []int64{0, 2}, r.Counts)
}

func TestBinBoundaries(t *testing.T) {
	r := Reference{Column: "x", Kind: Numeric, Edges: []float64{20.05, 35.6}, Counts: []int64{1, 1, 1, 0}, Total: 3}
	for v, bin := range map[float64]int{
		20.05: 0, math.Nextafter(20.05, 99): 1, 35.6: 1, math.Nextafter(35.6, 99): 2,
		math.Inf(-1): 0, math.Inf(1): 2, -7: 0, 7e9: 2,
	} {
		require.Equal(t, bin, r.BinNumeric(v), "%v", v)
	}
	require.Equal(t, 3, r.BinNumeric(math.NaN()))

	c := Reference{Column: "c", Kind: Categorical, Levels: []string{"One year", "Two year", "unseen"}, Counts: []int64{1, 1, 1, 0, 0}, Total: 3}
	for v, bin := range map[string]int{"One year": 0, "Two year": 1, "unseen": 2, "Ten year": 3, "zz": 3, "": 4} {
		require.Equal(t, bin, c.BinCategory(v), "%q", v)
	}
	require.Panics(t, func() { c.BinNumeric(1) })
	require.Panics(t, func() { r.BinCategory("a") })

	labels := func(r *Reference) (out []string) {
		for i := range r.Bins() {
			out = append(out, r.BinLabel(i))
		}
		return out
	}
	require.Equal(t, []string{"(-inf, 20.05]", "(20.05, 35.6]", "(35.6, inf)", "missing"}, labels(&r))
	require.Equal(t, []string{"One year", "Two year", `"unseen"`, "unseen", "missing"}, labels(&c))
	near := Reference{Column: "n", Kind: Numeric, Edges: []float64{0.30000000000000004, 0.30000000000000016, 1234567}, Counts: make([]int64, 5)}
	require.Equal(t, []string{"(-inf, 0.30000000000000004]", "(0.30000000000000004, 0.30000000000000016]",
		"(0.30000000000000016, 1234570]", "(1234570, inf)", "missing"}, labels(&near))
	require.Panics(t, func() { r.BinLabel(4) })
}

func TestCounter(t *testing.T) {
	r, err := FitNumeric("x", []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}, 4)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(5, 6))
	values := make([]float64, 3000)
	for i := range values {
		values[i] = rng.Float64() * 12
		if rng.IntN(20) == 0 {
			values[i] = math.NaN()
		}
	}
	const size = 250
	rolling := r.NewCounter()
	for i, v := range values {
		rolling.Add(r.BinNumeric(v))
		if i >= size {
			rolling.Remove(r.BinNumeric(values[i-size]))
		}
		if i%97 == 0 {
			require.Equal(t, window(&r, values[max(0, i-size+1):i+1]), rolling.Counts(), "after row %d", i)
			require.EqualValues(t, min(i+1, size), rolling.N())
		}
	}
	rolling.Counts()[0] = -1
	require.GreaterOrEqual(t, rolling.Counts()[0], int64(0), "Counts is a copy")

	empty := r.NewCounter()
	require.Panics(t, func() { empty.Remove(0) })
	require.Panics(t, func() { empty.Add(r.Bins()) })
}

func validBaseline(t *testing.T) Baseline {
	t.Helper()
	n, err := FitNumeric("MonthlyCharges", []float64{20, 30, 40, math.NaN(), 100}, 3)
	require.NoError(t, err)
	c, err := FitCategorical("Contract", []string{"One year", "Two year", "", "One year", "Month-to-month"}, 10)
	require.NoError(t, err)
	s, err := FitScore([]float64{0.1, 0.2, 0.9}, 2)
	require.NoError(t, err)
	return Baseline{Period: Period{Source: "five rows"}, Columns: []Reference{n, c}, Score: s, Rows: 5}
}

func TestBaselineJSON(t *testing.T) {
	b := validBaseline(t)
	raw, err := json.Marshal(b)
	require.NoError(t, err)
	var again Baseline
	require.NoError(t, json.Unmarshal(raw, &again))
	require.Equal(t, b, again)

	r, ok := again.Column("Contract")
	require.True(t, ok)
	require.Equal(t, Categorical, r.Kind)
	r, ok = again.Column(ScoreColumn)
	require.True(t, ok)
	require.Equal(t, Score, r.Kind)
	_, ok = again.Column("contract")
	require.False(t, ok)
}

func TestDecodeRefuses(t *testing.T) {
	const numeric = `{"column":"x","kind":"numeric","edges":[1,2],"counts":[1,2,3,0],"total":6}`
	var r Reference
	require.NoError(t, json.Unmarshal([]byte(numeric), &r))
	before := r
	for name, text := range map[string]string{
		"not JSON":           `{`,
		"no column":          `{"kind":"numeric","counts":[1,0],"total":1}`,
		"kind":               `{"column":"x","kind":"text","counts":[1,0],"total":1}`,
		"edges descend":      `{"column":"x","kind":"numeric","edges":[2,1],"counts":[1,2,3,0],"total":6}`,
		"edges repeat":       `{"column":"x","kind":"numeric","edges":[2,2],"counts":[1,2,3,0],"total":6}`,
		"edge overflows":     `{"column":"x","kind":"numeric","edges":[1e999],"counts":[1,2,0],"total":3}`,
		"counts too few":     `{"column":"x","kind":"numeric","edges":[1,2],"counts":[1,2,3],"total":6}`,
		"count negative":     `{"column":"x","kind":"numeric","edges":[1,2],"counts":[-1,2,3,0],"total":4}`,
		"counts overflow":    `{"column":"x","kind":"numeric","counts":[9223372036854775807,1],"total":-9223372036854775808}`,
		"total":              `{"column":"x","kind":"numeric","edges":[1,2],"counts":[1,2,3,0],"total":7}`,
		"nothing counted":    `{"column":"x","kind":"numeric","counts":[0,0],"total":0}`,
		"levels unsorted":    `{"column":"x","kind":"categorical","levels":["b","a"],"counts":[1,2,3,0],"total":6}`,
		"level empty":        `{"column":"x","kind":"categorical","levels":["","a"],"counts":[1,2,3,0],"total":6}`,
		"levels and edges":   `{"column":"x","kind":"categorical","levels":["a"],"edges":[1],"counts":[1,2,3],"total":6}`,
		"edges with levels":  `{"column":"x","kind":"score","levels":["a"],"edges":[1],"counts":[1,2,3],"total":6}`,
		"categorical counts": `{"column":"x","kind":"categorical","levels":["a"],"counts":[1,2],"total":3}`,
	} {
		require.Error(t, json.Unmarshal([]byte(text), &r), name)
		require.Equal(t, before, r, name)
	}

	for name, break_ := range map[string]func(*Baseline){
		"twice":            func(b *Baseline) { b.Columns = append(b.Columns, b.Columns[0]) },
		"score in columns": func(b *Baseline) { b.Columns = append(b.Columns, b.Score) },
		"column as score":  func(b *Baseline) { b.Score = b.Columns[0] },
		"no score":         func(b *Baseline) { b.Score = Reference{} },
		"no rows":          func(b *Baseline) { b.Rows = 0 },
	} {
		b := validBaseline(t)
		break_(&b)
		require.Error(t, b.Validate(), name)
		raw, err := json.Marshal(b)
		require.NoError(t, err)
		var again Baseline
		require.Error(t, json.Unmarshal(raw, &again), name)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"period":{"source":"s"},"columns":[{"column":"x","kind":"numeric","edges":[1,2],"counts":[1,2,3,0],"total":6}],"score":{"column":"_score","kind":"score","counts":[6,0],"total":6},"rows":6}`))
	f.Add([]byte(`{"columns":[{"column":"c","kind":"categorical","levels":["a","b"],"counts":[1,2,3,0],"total":6}],"score":{"column":"_score","kind":"score","edges":[0.5],"counts":[6,0,0],"total":6},"rows":1}`))
	f.Add([]byte(`{"columns":null,"score":{"counts":[]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b Baseline
		if json.Unmarshal(raw, &b) != nil {
			return
		}
		encoded, err := json.Marshal(b)
		require.NoError(t, err)
		var again Baseline
		require.NoError(t, json.Unmarshal(encoded, &again))
		for _, r := range append(b.Columns, b.Score) {
			c := r.NewCounter()
			if r.Kind == Categorical {
				c.Add(r.BinCategory("a"))
				c.Add(r.BinCategory(""))
			} else {
				c.Add(r.BinNumeric(0.5))
				c.Add(r.BinNumeric(math.NaN()))
			}
			psi, parts, err := PSI(&r, c.Counts(), DefaultPSIOptions())
			require.NoError(t, err)
			require.False(t, math.IsNaN(psi) || math.IsInf(psi, 0) || psi < 0)
			require.Len(t, parts, r.Bins())
		}
	})
}
