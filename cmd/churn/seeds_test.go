//go:build !race

// Thirty trainings take minutes under the race detector, and share nothing that it could find.

package main

import (
	"bytes"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/trainer"
)

// demoToAlert is how many requests of the second regime pass in the demo until the alert.
const demoToAlert = 1000

// TestSecondRegimeIsPromotedForAllSeeds holds the demo's claim that a better model exists in the second regime, and is found with the rows
// that a retraining for drift waits for and a few more: whatever the seed, the challenger is promotable. No services run: the demo's own
// customers, the trainer's recipe and the registry's verdict.
func TestSecondRegimeIsPromotedForAllSeeds(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		sp := spec.Telco()
		sch, err := dataset.NewSchema(sp)
		require.NoError(t, err)
		history := filepath.Join(t.TempDir(), "history.csv")
		pools, err := demoCmd{Rows: generatedRows, Seed: seed}.pools(sp, history)
		require.NoError(t, err)
		first := trained(t, trainer.Input{Spec: sp, Schema: sch, Dataset: readRows(t, sp, sch, history)})
		for _, fresh := range []int{500, 700} {
			in := trainer.Input{Spec: sp, Schema: sch, Dataset: readRows(t, sp, sch, history), DriftSince: demoPlain + demoToAlert,
				Examples: examplesOf(t, sch, pools, demoPlain+demoToAlert+fresh)}
			second := trained(t, in)
			verdict := registry.Judge(registry.GateInput{
				Version: 2, TargetStage: events.StageProduction, Gates: sp.Gates, Promotion: sp.Promotion, Measured: true,
				Metrics: figures(t, second.Bundle, second.Holdout), Champion: 1, ChampionMetrics: figures(t, first.Bundle, second.Holdout),
			})
			t.Logf("seed %2d, %d rows after the alert: f1_churn %.4f against %.4f of version 1, roc_auc %.4f against %.4f: %s",
				seed, fresh, verdict.Metrics["f1_churn"], verdict.ChampionMetrics["f1_churn"],
				verdict.Metrics["roc_auc"], verdict.ChampionMetrics["roc_auc"], verdict.Verdict)
			require.Equal(t, events.VerdictPromotable, verdict.Verdict, "seed %d, %d rows: %v", seed, fresh, verdict.Rules)
		}
	}
}

func trained(t *testing.T, in trainer.Input) *trainer.Result {
	t.Helper()
	in.RunID, in.Threads = "seeds", runtime.GOMAXPROCS(0)
	r, err := trainer.Train(t.Context(), in)
	require.NoError(t, err)
	return r
}

// examplesOf returns the first n requests of the demo with their labels, as drift joins them; the n-th has the sequence n.
func examplesOf(t *testing.T, sch *dataset.Schema, p *pools, n int) []trainer.Example {
	t.Helper()
	next := p.next(new(atomic.Bool), make(chan int, 1))
	out := make([]trainer.Example, n)
	for i := range out {
		c, ok := next()
		require.True(t, ok)
		row := sch.NewRow()
		_, err := sch.DecodeJSON(c.record, row, dataset.DecodeOptions{})
		require.NoError(t, err)
		label, ok := sch.ParseLabel(c.outcome)
		require.True(t, ok)
		row.Label = label
		out[i] = trainer.Example{PredictionsSequence: uint64(i + 1), Row: row}
	}
	return out
}

// figures scores a holdout as the registry does.
func figures(t *testing.T, b *model.Bundle, holdout []byte) map[string]float64 {
	t.Helper()
	scores, labels, err := b.ScoreHoldout(bytes.NewReader(holdout))
	require.NoError(t, err)
	m, err := eval.Evaluate(scores, labels, nil, b.Manifest.Threshold)
	require.NoError(t, err)
	return m.Map()
}
