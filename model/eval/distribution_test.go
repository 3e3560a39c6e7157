package eval

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// load decodes a file of testdata.
func load(t *testing.T, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, into))
}

func TestDistributionsAgreeWithScipy(t *testing.T) {
	var file struct {
		Beta            [][4]float64
		Student         [][3]float64
		StudentQuantile [][3]float64 `json:"student_quantile"`
		NormalQuantile  [][2]float64 `json:"normal_quantile"`
		ChiSquare       [][3]float64 `json:"chi_square"`
	}
	load(t, "distribution/cases.json", &file)
	require.Len(t, file.Beta, 64)
	require.Len(t, file.Student, 56)
	require.Len(t, file.ChiSquare, 42)
	near := func(want, got float64, args ...any) {
		t.Helper()
		require.InDelta(t, want, got, 1e-13+1e-11*math.Abs(want), args...)
	}
	for _, c := range file.Beta {
		near(c[3], betaCDF(c[0], c[1], c[2]), "beta %v", c)
	}
	for _, c := range file.Student {
		near(c[2], studentTail(c[0], c[1]), "student %v", c)
	}
	for _, c := range file.StudentQuantile {
		near(c[2], studentQuantile(c[0], c[1]), "student quantile %v", c)
	}
	for _, c := range file.NormalQuantile {
		near(c[1], normalQuantile(c[0]), "normal quantile %v", c)
		near(c[0], normalTail(c[1]), "normal tail %v", c)
	}
	for _, c := range file.ChiSquare {
		near(c[2], chiSquareTail(c[0], c[1]), "chi square %v", c)
	}
	require.Zero(t, betaCDF(-1, 2, 3))
	require.Equal(t, 1.0, betaCDF(2, 2, 3))
}

func TestFigure(t *testing.T) {
	type row struct {
		A Figure `json:"a,omitzero"`
		B Figure `json:"b"`
		Interval
	}
	raw, err := json.Marshal(row{})
	require.NoError(t, err)
	require.Equal(t, `{"b":null}`, string(raw))
	full := row{NewFigure(0), NewFigure(-2.5), interval(1, 2)}
	raw, err = json.Marshal(full)
	require.NoError(t, err)
	require.Equal(t, `{"a":0,"b":-2.5,"low":1,"high":2}`, string(raw))
	var again row
	require.NoError(t, json.Unmarshal(raw, &again))
	require.Equal(t, full, again)
	require.NoError(t, json.Unmarshal([]byte(`{"a":null}`), &again))
	require.True(t, again.A.IsZero())
	require.Error(t, json.Unmarshal([]byte(`{"a":"x"}`), &again))

	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		f := NewFigure(v)
		_, defined := f.Value()
		require.False(t, defined)
		require.True(t, math.IsNaN(f.Float()))
		require.Equal(t, "undefined", f.String())
		require.Equal(t, Interval{}, interval(0, v))
	}
	require.Equal(t, "0.25", NewFigure(0.25).String())
	require.True(t, interval(1, 2).Contains(1))
	require.False(t, interval(1, 2).Contains(2.1))
	require.False(t, Interval{}.Contains(0))
}
