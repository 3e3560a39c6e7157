package feature_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/spec"
)

const passed = `name: passed
columns:
  target: {name: y, positive: "1"}
  missing: []
  numeric: [{name: a b}, {name: n}]
  categorical: [{name: c}, {name: d}]
`

// passedInputs mixes the kinds of columns, as a DataFrame does; the codes are in no order of the words.
func passedInputs() []feature.Input {
	return []feature.Input{
		{Feature: "c", Column: "c", Levels: []string{"z", "10", "a", "2"}},
		{Feature: "n", Column: "n"},
		{Feature: "d=x", Column: "d", Levels: []string{"only"}},
		{Feature: "a_b", Column: "a b"},
	}
}

func passedSchema(t testing.TB) *dataset.Schema {
	t.Helper()
	s, err := spec.Parse([]byte(passed))
	require.NoError(t, err)
	sch, err := dataset.NewSchema(s)
	require.NoError(t, err)
	return sch
}

func TestPassthroughHandsColumnsOn(t *testing.T) {
	sch := passedSchema(t)
	p, err := feature.Passthrough(sch, passedInputs())
	require.NoError(t, err)
	require.True(t, p.IsPassthrough())
	require.Equal(t, []string{"c", "n", "d=x", "a_b"}, p.Names())
	require.Equal(t, []int{0, 2}, p.Categorical())
	require.Equal(t, []int{3}, p.Features("a b"))
	require.Equal(t, []int{1}, p.Features("n"))
	require.Equal(t, []int{2}, p.Features("d"))
	levels, ok := p.Vocabulary("c")
	require.True(t, ok)
	require.Equal(t, passedInputs()[0].Levels, levels)

	nan := math.NaN()
	table := dataset.NewTable(sch)
	want := [][]float64{{1, -0.5, 0, 1e300}, {nan, nan, nan, nan}, {nan, 3, nan, math.Copysign(0, -1)}, {3, 0.1, 0, 7}}
	for _, row := range []dataset.Row{
		{Num: []float64{1e300, -0.5}, Cat: []string{"10", "only"}},
		{Num: []float64{nan, nan}, Cat: []string{"", ""}},
		{Num: []float64{math.Copysign(0, -1), 3}, Cat: []string{"Z", "other"}},
		{Num: []float64{7, 0.1}, Cat: []string{"2", "only"}},
	} {
		table.Append(&row)
	}
	source, err := p.Source(table, nil, nil)
	require.NoError(t, err)
	read := source.Rows()
	for i, w := range want {
		row := table.Row(i, sch.NewRow())
		got, same := make([]float64, 4), make([]float64, 4)
		p.Transform(row, got)
		read(i, same)
		for k := range w {
			require.Equal(t, math.Float64bits(w[k]), math.Float64bits(got[k]), "row %d feature %d", i, k)
			require.Equal(t, math.Float64bits(w[k]), math.Float64bits(same[k]), "row %d feature %d", i, k)
		}
	}
	require.Equal(t, []string{"c", "d"}, p.Unseen(table.Row(2, sch.NewRow())))
	require.Nil(t, p.Unseen(table.Row(1, sch.NewRow())))
	row, dst := table.Row(0, sch.NewRow()), make([]float64, 4)
	require.Zero(t, testing.AllocsPerRun(100, func() { p.Transform(row, dst) }))

	text, err := json.Marshal(p)
	require.NoError(t, err)
	again, err := feature.ParsePassthrough(text, sch)
	require.NoError(t, err)
	more, err := json.Marshal(again)
	require.NoError(t, err)
	require.Equal(t, string(text), string(more))
	require.Equal(t, p.Names(), again.Names())
}

func TestPassthroughRefuses(t *testing.T) {
	sch := passedSchema(t)
	for _, test := range []struct {
		name   string
		change func([]feature.Input) []feature.Input
		want   string
	}{
		{"no input of a column", func(in []feature.Input) []feature.Input { return in[:3] }, `column "a b": want one input without levels`},
		{"a column more", func(in []feature.Input) []feature.Input { return append(in, feature.Input{Feature: "x", Column: "y"}) }, "5 inputs for 4 columns"},
		{"column twice", func(in []feature.Input) []feature.Input { in[0].Column = "d"; return in }, `column "d" is there twice`},
		{"feature twice", func(in []feature.Input) []feature.Input { in[0].Feature = "n"; return in }, `feature "n" is there twice`},
		{"no feature name", func(in []feature.Input) []feature.Input { in[0].Feature = ""; return in }, "is empty"},
		{"levels of a number", func(in []feature.Input) []feature.Input { in[1].Levels = []string{"1"}; return in }, `column "n": want one input without levels`},
		{"words without levels", func(in []feature.Input) []feature.Input { in[0].Levels = nil; return in }, `column "c": no levels`},
		{"level twice", func(in []feature.Input) []feature.Input { in[0].Levels[1] = "z"; return in }, `level "z" is there twice`},
		{"empty level", func(in []feature.Input) []feature.Input { in[0].Levels[1] = ""; return in }, "level 1 is"},
		{"level with space around it", func(in []feature.Input) []feature.Input { in[0].Levels[1] = " a"; return in }, "level 1 is"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := feature.Passthrough(sch, test.change(passedInputs()))
			require.ErrorContains(t, err, test.want)
		})
	}
	for _, text := range []string{``, `{}`, `{"format":2,"inputs":[]}`, `{"format":3,"Inputs":[]}`, `{"format":3,"inputs":[]}`, `{"format":3,"inputs":[],"more":1}`, `{"format":3,"inputs":[]} 1`} {
		_, err := feature.ParsePassthrough([]byte(text), sch)
		require.Error(t, err, text)
	}
}

func FuzzParsePassthrough(f *testing.F) {
	sch := passedSchema(f)
	p, err := feature.Passthrough(sch, passedInputs())
	require.NoError(f, err)
	text, err := json.Marshal(p)
	require.NoError(f, err)
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := feature.ParsePassthrough(data, sch)
		if err != nil {
			return
		}
		dst := make([]float64, p.Width())
		p.Transform(sch.NewRow(), dst)
		again, err := json.Marshal(p)
		require.NoError(t, err)
		_, err = feature.ParsePassthrough(again, sch)
		require.NoError(t, err)
	})
}
