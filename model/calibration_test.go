package model_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/calibrate"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// calibrated returns options of a small model with a calibration.
func calibrated(method spec.Calibration) modeltest.Options {
	o := tiny()
	o.Spec = o.Spec.Clone()
	o.Spec.Calibration = method
	return o
}

func TestScoresAreCalibrated(t *testing.T) {
	for _, method := range []spec.Calibration{spec.CalibrationSigmoid, spec.CalibrationIsotonic} {
		t.Run(string(method), func(t *testing.T) {
			o := calibrated(method)
			o.Rows = 600
			b := modeltest.Bundle(t, o)
			data, err := b.Encode()
			require.NoError(t, err)
			read, err := model.Decode(data)
			require.NoError(t, err)
			require.NoError(t, read.Verify())
			again, err := read.Encode()
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, again))

			tab := modeltest.Table(t, o)
			row, features, scorer := b.Schema.NewRow(), make([]float64, b.Pipeline.Width()), read.NewScorer()
			moved := false
			for i := range tab.Len() {
				p := scorer.Score(tab.Row(i, row))
				b.Pipeline.Transform(row, features)
				require.Equal(t, b.Trees.Margin(features), p.Margin, "the margin is the trees'")
				require.Equal(t, b.Calibrator.Apply(b.Trees.Probability(features)), p.Probability)
				require.Equal(t, p.Probability >= b.Manifest.Threshold, p.Positive)
				moved = moved || p.Probability != b.Trees.Probability(features)
			}
			require.True(t, moved)
			require.Zero(t, testing.AllocsPerRun(100, func() { scorer.Score(row) }))
		})
	}
}

func TestCalibrationIsCheckedAgainstTheSpec(t *testing.T) {
	o := calibrated(spec.CalibrationSigmoid)
	parts := modeltest.Parts(t, o)
	parts.Calibrator = calibrate.Calibrator{}
	_, err := model.New(parts)
	require.ErrorContains(t, err, "calibration is none, the spec says sigmoid")

	files, err := modeltest.Bundle(t, o).Files()
	require.NoError(t, err)
	require.Equal(t, model.CalibrationFile, files[4].Name)
	for _, tc := range []struct{ name, data, want string }{
		{"the identity", `{"method":"none"}`, "leaving the part out"},
		{"a falling line", `{"method":"sigmoid","slope":-1,"intercept":0}`, "calibration.json"},
		{"another method", `{"method":"isotonic","x":[0.5],"y":[0.5]}`, "calibration is isotonic, the spec says sigmoid"},
		{"an unknown field", `{"method":"sigmoid","slope":1,"intercept":0,"a":1}`, "calibration.json"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mixed := append([]model.File(nil), files...)
			mixed[4].Data = []byte(tc.data)
			_, err := model.Decode(modeltest.Seal(t, mixed))
			require.ErrorContains(t, err, tc.want)
		})
	}
	t.Run("left out", func(t *testing.T) {
		_, err := model.Decode(modeltest.Seal(t, append(append([]model.File(nil), files[:4]...), files[5:]...)))
		require.ErrorContains(t, err, "calibration is none, the spec says sigmoid")
	})
	t.Run("another line than the golden rows were scored with", func(t *testing.T) {
		mixed := append([]model.File(nil), files...)
		var line map[string]any
		require.NoError(t, json.Unmarshal(mixed[4].Data, &line))
		line["intercept"] = line["intercept"].(float64) + 1
		var err error
		mixed[4].Data, err = json.Marshal(line)
		require.NoError(t, err)
		b, err := model.Decode(modeltest.Seal(t, mixed))
		require.NoError(t, err)
		var golden *model.GoldenError
		require.ErrorAs(t, b.Verify(), &golden)
		require.Equal(t, "probability", golden.Quantity)
	})
}
