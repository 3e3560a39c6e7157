package registry

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

func TestRegisterGatePromote(t *testing.T) {
	r := newRig(t)
	r.start()
	first := r.complete(modeltest.Options{Seed: 1})
	c := r.production(1)
	v, _ := c.Version(churn, 1)
	require.Equal(t, events.StageProduction, v.Stage)
	require.Equal(t, ReasonFirst, v.Gate.Reason)
	require.Equal(t, first.RunID, v.RunID)
	require.Positive(t, v.Gate.HoldoutRows)
	for name, want := range first.Metrics {
		require.InDelta(t, want, v.Gate.Metrics[name], 1e-12, "the registry measures what the trainer measured: %s", name)
	}

	// The same model again is not better, another relation on its own holdout is.
	r.complete(modeltest.Options{Seed: 1, RunID: "again"})
	v = r.judged(2)
	require.Equal(t, events.VerdictNotPromoted, v.Gate.Verdict)
	require.Equal(t, ReasonNotBetter, v.Gate.Reason)
	require.Equal(t, events.StageStaging, v.Stage)
	require.Equal(t, v.Gate.Metrics["f1_churn"], v.Gate.ChampionMetrics["f1_churn"])
	require.Zero(t, v.Gate.Metrics["roc_auc_gain"], "the same trees rank alike")
	require.Equal(t, 1.0, v.Gate.Metrics["roc_auc_gain_p"])

	r.complete(modeltest.Options{Seed: 2, Relation: 7})
	c = r.production(3)
	v, _ = c.Version(churn, 3)
	require.Equal(t, ReasonBetter, v.Gate.Reason)
	require.Equal(t, 1, v.Gate.Champion)
	gain := v.Gate.Metrics["roc_auc_gain"]
	require.InDelta(t, v.Gate.Metrics["roc_auc"]-v.Gate.ChampionMetrics["roc_auc"], gain, 1e-12)
	require.Positive(t, v.Gate.Metrics["roc_auc_gain_low"])
	require.Greater(t, v.Gate.Metrics["roc_auc_gain_high"], gain)
	require.Less(t, v.Gate.Metrics["roc_auc_gain_p"], 0.01)
	for n, want := range map[int]events.Stage{1: events.StageArchived, 2: events.StageArchived, 3: events.StageProduction} {
		v, _ := c.Version(churn, n)
		require.Equal(t, want, v.Stage, "version %d", n)
	}
	p, _ := c.Promotion(churn)
	require.Equal(t, events.PromotedByGate, p.Cause)
	require.Equal(t, 1, p.PreviousVersion)
	require.Empty(t, r.deadLetters())
}

// A model whose threshold counts money is gated by it: the registry measures both versions on the challenger's holdout.
func TestGateByCost(t *testing.T) {
	r := newRig(t)
	r.spec.Threshold = &spec.Decision{By: spec.RuleCost, Cost: &spec.Costs{TruePositive: 1, FalsePositive: 2, FalseNegative: 9}}
	r.spec.Gates.Production.Metric = spec.MetricCost
	require.NoError(t, r.spec.Validate())
	r.start()
	r.complete(modeltest.Options{Seed: 1})
	r.production(1)
	r.complete(modeltest.Options{Seed: 2, Relation: 7})
	r.production(2)
	v := r.judged(2)
	rule := v.Gate.Rules[len(v.Gate.Rules)-1]
	require.Equal(t, "cost_per_row < production", rule.Rule)
	require.Less(t, *rule.Value, *rule.Against)
	m := v.Gate.Metrics
	require.InDelta(t, (m["tp"]+2*m["fp"]+9*m["fn"])/m["rows"], m[spec.MetricCost], 1e-12)
	require.Equal(t, *rule.Against, v.Gate.ChampionMetrics[spec.MetricCost])
}
