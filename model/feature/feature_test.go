package feature_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/spec"
)

// smallSpec has two numeric columns, one categorical column and a feature per operation.
func smallSpec(t testing.TB, change func(*spec.Spec)) (*spec.Spec, *dataset.Schema) {
	t.Helper()
	s := spec.Default()
	s.Name = "small"
	s.Columns.ID = "id"
	s.Columns.Target = spec.Target{Name: "y", Positive: "1"}
	s.Columns.Numeric = []spec.Numeric{{Name: "a"}, {Name: "b"}}
	s.Columns.Categorical = []spec.Categorical{{Name: "c", MaxLevels: 64}}
	if change != nil {
		change(s)
	}
	s.Complete()
	sch, err := dataset.NewSchema(s)
	require.NoError(t, err)
	return s, sch
}

type record struct {
	a, b float64
	c    string
}

var nan = math.NaN()

func fill(row *dataset.Row, r record) *dataset.Row {
	row.Num[0], row.Num[1], row.Cat[0], row.Label = r.a, r.b, r.c, 0
	return row
}

func table(sch *dataset.Schema, records ...record) *dataset.Table {
	tab, row := dataset.NewTable(sch), sch.NewRow()
	for i, r := range records {
		row.ID = fmt.Sprint("r", i)
		tab.Append(fill(row, r))
	}
	return tab
}

func transform(p *feature.Pipeline, sch *dataset.Schema, r record) []float64 {
	dst := make([]float64, p.Width())
	p.Transform(fill(sch.NewRow(), r), dst)
	return dst
}

// oneColumn fits column a alone, unscaled unless scale, on values with weights.
func oneColumn(t *testing.T, scale string, values, weight []float64) (*feature.Pipeline, *dataset.Schema, error) {
	t.Helper()
	s, sch := smallSpec(t, func(s *spec.Spec) { s.Features.Scale = scale })
	records := make([]record, len(values))
	for i, v := range values {
		records[i] = record{a: v, c: "x"}
	}
	p, err := feature.Fit(s, sch, table(sch, records...), nil, weight)
	return p, sch, err
}

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		name           string
		values, weight []float64
		want           float64
	}{
		{"odd", []float64{3, 1, 2}, nil, 2},
		{"even", []float64{4, 1, 2, 3}, nil, 2.5},
		{"missing values do not count", []float64{nan, 7, nan, 1, 5}, nil, 5},
		{"one value", []float64{nan, 7}, nil, 7},
		{"no value", []float64{nan, nan}, nil, 0},
		{"equal weights are no weights", []float64{4, 1, 2, 3}, []float64{0.1, 0.1, 0.1, 0.1}, 2.5},
		{"whole weights repeat rows", []float64{1, 2, 3}, []float64{1, 1, 3}, 3},
		{"exactly half is reached between", []float64{1, 2, 3}, []float64{1, 1, 2}, 2.5},
		{"half, that rounding puts too high", []float64{1, 2, 3}, []float64{0.4, 0.3, 0.1}, 1.5},
		{"half, that rounding puts too low", []float64{1, 2, 3}, []float64{0.1, 0.7, 0.8}, 2.5},
		{"weight 0 is not there", []float64{100, 1, 2, 3}, []float64{0, 1, 1, 1}, 2},
		{"heavy first", []float64{1, 2, 3}, []float64{9, 1, 1}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, _, err := oneColumn(t, spec.ScaleNone, tc.values, tc.weight)
			require.NoError(t, err)
			got, ok := p.Median("a")
			require.True(t, ok)
			require.Equal(t, tc.want, got)
			_, ok = p.Median("c")
			require.False(t, ok, "a categorical column has no median")
		})
	}
}

func TestScale(t *testing.T) {
	// scikit-learn: SimpleImputer(strategy="median") then StandardScaler on 2, 4, nan, 9 gives mean 4.75 and scale sqrt(6.6875).
	p, sch, err := oneColumn(t, spec.ScaleStandard, []float64{2, 4, nan, 9}, nil)
	require.NoError(t, err)
	require.InDelta(t, (9-4.75)/math.Sqrt(6.6875), transform(p, sch, record{a: 9})[0], 1e-15)
	require.InDelta(t, (4-4.75)/math.Sqrt(6.6875), transform(p, sch, record{a: nan})[0], 1e-15)

	p, sch, err = oneColumn(t, spec.ScaleStandard, []float64{0.1, 0.1, 0.1}, nil)
	require.NoError(t, err)
	require.Equal(t, 0.0, transform(p, sch, record{a: 0.1})[0], "a constant column is 0")
	require.InDelta(t, 1, transform(p, sch, record{a: 1.1})[0], 1e-15, "and has a scale of 1")

	p, sch, err = oneColumn(t, spec.ScaleStandard, []float64{nan, nan}, nil)
	require.NoError(t, err)
	require.Equal(t, 0.0, transform(p, sch, record{a: nan})[0], "a column without values is 0")

	_, _, err = oneColumn(t, spec.ScaleStandard, []float64{-math.MaxFloat64, math.MaxFloat64}, nil)
	require.ErrorContains(t, err, `column "a"`)

	p, sch, err = oneColumn(t, spec.ScaleStandard, []float64{0, 0.5}, nil)
	require.NoError(t, err)
	require.Equal(t, math.MaxFloat64, transform(p, sch, record{a: math.MaxFloat64})[0], "4 times as much is too much")
	require.Equal(t, -math.MaxFloat64, transform(p, sch, record{a: -math.MaxFloat64})[0])
}

func TestScaleWithoutImputation(t *testing.T) {
	s, sch := smallSpec(t, func(s *spec.Spec) { s.Features.Impute = spec.ImputeNone })
	tab := table(sch, record{a: 2}, record{a: 4}, record{a: nan}, record{a: 9})
	p, err := feature.Fit(s, sch, tab, nil, nil)
	require.NoError(t, err)
	require.InDelta(t, (9-5)/math.Sqrt(26.0/3), transform(p, sch, record{a: 9})[0], 1e-15, "missing rows count neither for mean nor for scale")
	require.True(t, math.IsNaN(transform(p, sch, record{a: nan})[0]))
	m, _ := p.Median("a")
	require.Equal(t, 4.0, m)
}

func TestWeightsRepeatRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	values := []float64{nan, 1, 2, 2, 5, nan, 8, 13}
	for range 50 {
		var repeated, weight []float64
		for _, v := range values {
			n := rng.IntN(4)
			weight = append(weight, float64(n))
			repeated = append(repeated, slices.Repeat([]float64{v}, n)...)
		}
		if len(repeated) == 0 {
			continue
		}
		w, sch, err := oneColumn(t, spec.ScaleStandard, values, weight)
		require.NoError(t, err)
		r, _, err := oneColumn(t, spec.ScaleStandard, repeated, nil)
		require.NoError(t, err)
		a, _ := w.Median("a")
		b, _ := r.Median("a")
		require.Equal(t, b, a, "%v", weight)
		require.InDelta(t, transform(r, sch, record{a: 3})[0], transform(w, sch, record{a: 3})[0], 1e-12, "%v", weight)
	}
}

func TestFitRefuses(t *testing.T) {
	s, sch := smallSpec(t, nil)
	tab := table(sch, record{1, 2, "x"}, record{3, 4, "y"})
	for _, tc := range []struct {
		name   string
		rows   []int
		weight []float64
		want   string
	}{
		{"no rows", []int{}, nil, "no rows"},
		{"row beyond the table", []int{2}, nil, "row 2 of a table of 2"},
		{"negative row", []int{-1}, nil, "row -1 of a table of 2"},
		{"too few weights", []int{0, 1}, []float64{1}, "1 weights for 2 rows"},
		{"negative weight", []int{0, 1}, []float64{1, -1}, "weight 1 is -1"},
		{"NaN weight", []int{0, 1}, []float64{nan, 1}, "weight 0 is NaN"},
		{"no weight at all", []int{0, 1}, []float64{0, 0}, "no row with a weight above 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := feature.Fit(s, sch, tab, tc.rows, tc.weight)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestOrdinal(t *testing.T) {
	s, sch := smallSpec(t, func(s *spec.Spec) { s.Columns.Categorical[0].MaxLevels = 2 })
	at := func(p *feature.Pipeline, c string) float64 { return transform(p, sch, record{c: c})[2] }

	p, err := feature.Fit(s, sch, table(sch, record{c: "z"}, record{c: "m"}, record{c: "z"}), nil, nil)
	require.NoError(t, err)
	require.Equal(t, []float64{2, 3, 3, 3}, []float64{at(p, "m"), at(p, "z"), at(p, ""), at(p, "new")},
		"the fitting rows held neither missing nor folded values, so both count as the most frequent level")
	require.Equal(t, []string{"c"}, p.Unseen(fill(sch.NewRow(), record{c: "new"})))
	require.Nil(t, p.Unseen(fill(sch.NewRow(), record{c: "m"})))
	require.Nil(t, p.Unseen(fill(sch.NewRow(), record{c: ""})))

	p, err = feature.Fit(s, sch, table(sch, record{c: "z"}, record{c: ""}, record{c: "m"}), nil, nil)
	require.NoError(t, err)
	require.Equal(t, []float64{2, 3, 0, 2}, []float64{at(p, "m"), at(p, "z"), at(p, ""), at(p, "new")}, "a tie goes to the first in byte order")

	p, err = feature.Fit(s, sch, table(sch, record{c: "q"}, record{c: "z"}, record{c: "m"}, record{c: "z"}, record{c: "m"}), nil, nil)
	require.NoError(t, err)
	require.Equal(t, []float64{2, 3, 2, 1, 1}, []float64{at(p, "m"), at(p, "z"), at(p, ""), at(p, "q"), at(p, "new")}, "q is folded")
	levels, ok := p.Vocabulary("c")
	require.True(t, ok)
	require.Equal(t, []string{"m", "z"}, levels)

	p, err = feature.Fit(s, sch, table(sch, record{c: "q"}, record{c: "z"}, record{c: "m"}, record{c: "z"}, record{c: "m"}), nil, []float64{5, 1, 1, 1, 2})
	require.NoError(t, err)
	levels, _ = p.Vocabulary("c")
	require.Equal(t, []string{"m", "q"}, levels, "frequency is by weight")

	p, err = feature.Fit(s, sch, table(sch, record{}, record{}), nil, nil)
	require.NoError(t, err)
	require.Equal(t, []float64{0, 1}, []float64{at(p, ""), at(p, "new")}, "a column without values")
}

func TestManyLevels(t *testing.T) {
	s, sch := smallSpec(t, nil)
	var records []record
	for i := range 40 {
		records = append(records, record{c: fmt.Sprint("level", 10+i)})
	}
	p, err := feature.Fit(s, sch, table(sch, records...), nil, nil)
	require.NoError(t, err)
	for i, r := range records {
		require.Equal(t, float64(2+i), transform(p, sch, r)[2], r.c)
	}
	require.Equal(t, 2.0, transform(p, sch, record{c: "level9"})[2])
	require.Equal(t, []string{"c"}, p.Unseen(fill(sch.NewRow(), record{c: "level9"})))
}

func TestOneHot(t *testing.T) {
	s, sch := smallSpec(t, func(s *spec.Spec) { s.Features.Encoding = spec.EncodingOneHot })
	p, err := feature.Fit(s, sch, table(sch, record{c: "two year"}, record{c: "m"}), nil, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c.m", "c.two_year", "c.<unseen>", "c.<missing>"}, p.Names())
	for _, tc := range []struct {
		value string
		want  []float64
	}{
		{"m", []float64{1, 0, 0, 0}},
		{"two year", []float64{0, 1, 0, 0}},
		{"new", []float64{0, 0, 1, 0}},
		{"", []float64{0, 0, 0, 1}},
	} {
		require.Equal(t, tc.want, transform(p, sch, record{c: tc.value})[2:], "%q", tc.value)
	}
}

func TestDerived(t *testing.T) {
	derived := []spec.Derived{
		{Name: "ratio", Op: spec.OpRatio, Of: []string{"a", "b"}},
		{Name: "product", Op: spec.OpProduct, Of: []string{"a", "b"}},
		{Name: "difference", Op: spec.OpDifference, Of: []string{"a", "b"}},
		{Name: "sum", Op: spec.OpSum, Of: []string{"a", "b"}},
		{Name: "log", Op: spec.OpLog1p, Of: []string{"a"}},
		{Name: "count", Op: spec.OpCountEqual, Of: []string{"c"}, Equals: []string{"x", "y"}},
		{Name: "high", Op: spec.OpAboveMedian, Of: []string{"a"}},
	}
	s, sch := smallSpec(t, func(s *spec.Spec) {
		s.Features.Derived, s.Features.Scale, s.Features.Impute = derived, spec.ScaleNone, spec.ImputeNone
	})
	rows := []record{{2, 4, "x"}, {6, 3, "z"}, {10, 5, "y"}, {nan, 8, "x"}}
	p, err := feature.Fit(s, sch, table(sch, rows...), nil, nil)
	require.NoError(t, err)
	for _, tc := range []struct {
		name string
		in   record
		want []float64
	}{
		{"all there", record{6, 3, "y"}, []float64{2, 18, 3, 9, math.Log1p(6), 1, 0}},
		{"above the median of a, 6", record{7, 2, "z"}, []float64{3.5, 14, 5, 9, math.Log1p(7), 0, 1}},
		{"division by 0", record{7, 0, "z"}, []float64{nan, 0, 7, 7, math.Log1p(7), 0, 1}},
		{"negative logarithm", record{-1, 2, "x"}, []float64{-0.5, -2, -3, 1, nan, 1, 0}},
		{"missing number", record{nan, 2, "x"}, []float64{nan, nan, nan, nan, nan, 1, nan}},
		{"missing category", record{1, 1, ""}, []float64{1, 1, 0, 2, math.Log1p(1), nan, 0}},
		{"overflow", record{1e308, 0.5, "x"}, []float64{nan, 5e307, 1e308, 1e308, math.Log1p(1e308), 1, 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, fmt.Sprint(tc.want), fmt.Sprint(transform(p, sch, tc.in)[3:]))
		})
	}

	s.Features.Impute = spec.ImputeMedian
	p, err = feature.Fit(s, sch, table(sch, rows...), nil, nil)
	require.NoError(t, err)
	m, ok := p.Median("ratio")
	require.True(t, ok)
	require.Equal(t, 2.0, m, "of 0.5, 2 and 2")
	require.Equal(t, 2.0, transform(p, sch, record{nan, 1, "x"})[3], "its own median, not the ratio of medians")
}

func TestNames(t *testing.T) {
	s, sch := smallSpec(t, func(s *spec.Spec) {
		s.Columns.Numeric = []spec.Numeric{{Name: "a b"}, {Name: "a_b"}, {Name: "a=b"}, {Name: "größe"}}
		s.Columns.Categorical[0].Name = `c,:[]{}"`
	})
	tab, row := dataset.NewTable(sch), sch.NewRow()
	tab.Append(row)
	p, err := feature.Fit(s, sch, tab, nil, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"a_b", "a_b_2", "a_b_3", "größe", "c_______"}, p.Names())
	for _, name := range p.Names() {
		require.False(t, strings.ContainsAny(name, " =,:[]{}\"\\"), name)
	}
}

func TestTransformPanicsOnAnotherWidth(t *testing.T) {
	p, sch, err := oneColumn(t, spec.ScaleStandard, []float64{1, 2}, nil)
	require.NoError(t, err)
	require.Panics(t, func() { p.Transform(sch.NewRow(), make([]float64, p.Width()+1)) })
}

func TestParseRefuses(t *testing.T) {
	s, sch := smallSpec(t, func(s *spec.Spec) {
		s.Features.Derived = []spec.Derived{{Name: "high", Op: spec.OpAboveMedian, Of: []string{"a"}}}
	})
	p, err := feature.Fit(s, sch, table(sch, record{1, 2, "x"}, record{4, 8, "y"}), nil, nil)
	require.NoError(t, err)
	good, err := json.Marshal(p)
	require.NoError(t, err)
	_, err = feature.Parse(good, s, sch)
	require.NoError(t, err)
	for _, tc := range []struct{ name, old, new, want string }{
		{"format", `"format":1`, `"format":2`, "format 2"},
		{"no rows", `"fitted_rows":2`, `"fitted_rows":0`, "0 rows"},
		{"settings", `"impute":"median"`, `"impute":"none"`, "impute"},
		{"column", `"column":"b"`, `"column":"d"`, `column "b"`},
		{"scale 0", `"scale":1.5`, `"scale":0`, "scale 0"},
		{"negative scale", `"scale":1.5`, `"scale":-1`, "scale -1"},
		{"number too great", `"median":2.5`, `"median":1e999`, "1e999"},
		{"more observed than rows", `"observed":2`, `"observed":3`, "3 values"},
		{"unsorted levels", `["x","y"]`, `["y","x"]`, "not sorted"},
		{"doubled level", `["x","y"]`, `["x","x"]`, "not sorted"},
		{"empty level", `["x","y"]`, `["","y"]`, "empty"},
		{"code of nothing", `"unseen_code":2`, `"unseen_code":4`, "unseen_code 4"},
		{"code of unseen for missing", `"missing_code":2`, `"missing_code":1`, "missing_code 1"},
		{"no code", `"missing_code":2,`, ``, "both are needed"},
		{"another median", `"above":2.5`, `"above":2`, "above is 2"},
		{"no bound", `"above":2.5,`, ``, "above belongs"},
		{"feature name", `"features":["a"`, `"features":["q"`, "features are"},
		{"unknown field", `"format":1`, `"format":1,"extra":1`, "extra"},
		{"more data", `}`, `}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad := strings.Replace(string(good), tc.old, tc.new, 1)
			if tc.name == "more data" {
				bad, tc.want = string(good)+"{}", "data after"
			} else {
				require.NotEqual(t, string(good), bad, "nothing replaced in %s", good)
			}
			_, err := feature.Parse([]byte(bad), s, sch)
			require.ErrorContains(t, err, tc.want)
		})
	}
	other, otherSchema := smallSpec(t, nil)
	_, err = feature.Parse(good, other, otherSchema)
	require.ErrorContains(t, err, "derived")
}
