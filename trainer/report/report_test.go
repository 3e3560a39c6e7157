package report

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/eval"
)

// scoredRows are calibrated, but for those of level "bad" of column "kind", whose scores say nothing.
func scoredRows(name string, n int, seed uint64) Rows {
	r := rand.New(rand.NewPCG(seed, 1))
	out := Rows{Name: name, Columns: []eval.Column{{Name: "kind"}}}
	for range n {
		p, kind := r.Float64(), "good"
		y := 0.0
		if r.Float64() < 0.3 {
			kind = "bad"
		}
		if chance := map[string]float64{"good": p, "bad": 0.5}[kind]; r.Float64() < chance {
			y = 1
		}
		out.Score, out.Label, out.Columns[0].Values = append(out.Score, p), append(out.Label, y), append(out.Columns[0].Values, kind)
	}
	return out
}

func input() Input {
	in := Input{
		Rows:      []Rows{scoredRows("holdout", 800, 1), scoredRows("out_of_fold", 1600, 2)},
		Threshold: 0.5, CrossValidation: map[string]int{"folds": 5},
	}
	for i := range 25 {
		in.Features = append(in.Features, Feature{Name: fmt.Sprintf("feature %d", i), Gain: float64(i), Splits: 2, Permutation: eval.Importance{Mean: float64(i%7) / 100}})
	}
	return in
}

func files(t *testing.T, in Input) map[string][]byte {
	t.Helper()
	list, err := Files(t.Context(), in)
	require.NoError(t, err)
	again, err := Files(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, list, again, "the same input gives the same bytes")
	out := map[string][]byte{}
	for _, f := range list {
		require.NotContains(t, out, f.Name)
		out[f.Name] = f.Data
	}
	return out
}

func TestFiles(t *testing.T) {
	got := files(t, input())
	require.Len(t, got, 10)

	var slices map[string]eval.Slices
	require.NoError(t, json.Unmarshal(got[SlicesFile], &slices))
	require.Len(t, slices, 2)
	worst := slices["holdout"].Slices[0]
	require.Equal(t, "bad", worst.Level)
	require.True(t, worst.Worse)

	var calibration map[string]eval.Calibration
	require.NoError(t, json.Unmarshal(got[CalibrationFile], &calibration))
	require.Len(t, calibration["out_of_fold"].Bins, calibrationBins)

	var lift map[string][]eval.GainBin
	require.NoError(t, json.Unmarshal(got[LiftFile], &lift))
	require.Len(t, lift["holdout"], liftBins)
	require.Greater(t, lift["holdout"][0].Lift, 1.0)

	var drawn map[string]curves
	require.NoError(t, json.Unmarshal(got[ROCFile], &drawn))
	require.LessOrEqual(t, len(drawn["holdout"].ROC), curvePoints)

	var features []Feature
	require.NoError(t, json.Unmarshal(got[ImportanceFile], &features))
	require.Len(t, features, 25)
	require.Contains(t, string(got[CrossValidatedFile]), `"folds": 5`)
}

// A picture must be XML, say what it shows, and hold nothing from outside.
func TestPictures(t *testing.T) {
	got := files(t, input())
	for name, words := range map[string][]string{
		CalibrationPlot: {"Calibration", "holdout", "out of fold", "mean score"},
		LiftPlot:        {"Lift", "holdout", "out of fold"},
		ROCPlot:         {"ROC", "area 0."},
		ImportancePlot:  {"Importance", "feature 6"},
	} {
		text := string(got[name])
		for _, w := range words {
			require.Contains(t, text, w, name)
		}
		require.NotContains(t, text, "<script", name)
		require.NotContains(t, text, "href=", name)
		d := xml.NewDecoder(strings.NewReader(text))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, name)
		}
	}
	require.NotContains(t, string(got[ImportancePlot]), "feature 21\n", "the least of 25 are left out")
}

func TestNamesAreEscaped(t *testing.T) {
	in := input()
	in.Features = []Feature{{Name: `<b>&"x`, Permutation: eval.Importance{Mean: 1}}}
	text := string(files(t, in)[ImportancePlot])
	require.NotContains(t, text, "<b>")
	require.Contains(t, text, "&lt;b&gt;")
}

func TestWhatIsMissingIsLeftOut(t *testing.T) {
	in := input()
	in.CrossValidation, in.Features = nil, nil
	in.Rows[1].Label = make([]float64, len(in.Rows[1].Label))
	got := files(t, in)
	require.NotContains(t, got, CrossValidatedFile)
	var drawn map[string]curves
	require.NoError(t, json.Unmarshal(got[ROCFile], &drawn))
	require.NotContains(t, drawn, "out_of_fold", "rows of one class have no curve")
	in.Rows[0].Label = make([]float64, len(in.Rows[0].Label))
	_, err := Files(t.Context(), in)
	require.ErrorIs(t, err, eval.ErrSingleClass)
	in.Rows = nil
	_, err = Files(t.Context(), in)
	require.ErrorContains(t, err, "no rows")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Files(ctx, input())
	require.ErrorIs(t, err, context.Canceled)
}

// Scores of an isotonic curve stand on few steps, some of them close to each other: the line must not go up and down in one place.
func TestPointsOfTheCalibrationPlotStandApart(t *testing.T) {
	in := input()
	rows := &in.Rows[1]
	for i, p := range rows.Score {
		rows.Score[i] = []float64{0.1, 0.1001, 0.1002, 0.5, 0.5001, 0.9}[int(p*6)]
	}
	table, err := eval.CalibrationTable(rows.Score, rows.Label, nil, calibrationBins, eval.EqualCount)
	require.NoError(t, err)
	require.True(t, crowded(table.Bins))
	got, err := separated(*rows, table)
	require.NoError(t, err)
	require.False(t, crowded(got.Bins))
	require.GreaterOrEqual(t, len(got.Bins), 2)
	kept, err := separated(in.Rows[0], table)
	require.NoError(t, err)
	require.False(t, crowded(kept.Bins))

	var written map[string]eval.Calibration
	require.NoError(t, json.Unmarshal(files(t, in)[CalibrationFile], &written))
	require.Equal(t, table.ECE, written["out_of_fold"].ECE, "the table keeps its bins")
}
