package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/spec"
)

// TestDemoTellsTheWholeStory plays the demo as a user does: train, gate, promote, reload, predict, shift, alert, retrain, promote, clear. The
// demo judges itself; the test reads what a person sees.
func TestDemoTellsTheWholeStory(t *testing.T) {
	var out bytes.Buffer
	r := &run{ctx: t.Context(), globals: globals{LogLevel: "error", LogFormat: "text"}, out: &out}
	fewer := func(sp *spec.Spec) { sp.Learner.Trees, sp.Learner.LearningRate = 60, 0.1 } // for the race detector's sake
	err := demoCmd{Rows: 7043, Seed: 3, Rate: 150, Label: 200 * time.Millisecond, edit: fewer}.Run(r)
	require.NoError(t, err, out.String())
	for _, want := range []string{
		"version 1 promoted", "version 1 loaded", "the world changes", "alert MonthlyCharges psi", "run 2 started", "causes: drift",
		"f1_churn > production", "version 2 promoted", "version 2 loaded", "drift cleared MonthlyCharges", "0 failed", "1 retraining(s)", "version 2 answered",
	} {
		require.Contains(t, out.String(), want)
	}
	require.NotContains(t, out.String(), "version 3")
}
