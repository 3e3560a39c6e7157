package spec

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGatesAskForWhatTheThresholdCounts(t *testing.T) {
	s := Telco()
	s.Threshold = &Decision{By: RuleProfit}
	s.Gates.Staging = []Threshold{{Metric: MetricProfit, Min: -2.5}}
	s.Gates.Production.Metric = MetricProfit
	require.NoError(t, s.Validate())

	s.Threshold = &Decision{By: RuleCost, Cost: &Costs{FalsePositive: 1, FalseNegative: 5}}
	s.Gates = Gates{Production: Comparison{Metric: MetricCost}}
	require.NoError(t, s.Validate())
	s.Gates.Staging = []Threshold{{Metric: MetricCost, Min: 1}}
	got := Faults(s.Validate())
	require.Len(t, got, 1)
	require.Equal(t, "gates.staging[0].metric", got[0].Path)
	require.Contains(t, got[0].Error(), "less is better")

	for _, name := range gateMetrics {
		s.Gates = Gates{Production: Comparison{Metric: name}}
		require.NoError(t, s.Validate(), name)
	}

	_, err := Parse([]byte(small + "gates:\n  production: {metric: gini}\n"))
	got = Faults(err)
	require.Len(t, got, 1)
	require.Equal(t, 7, got[0].Line, "%v", got[0])
	require.Contains(t, got[0].Error(), "f1_churn")
}

func TestPerRow(t *testing.T) {
	o := Outcomes{TP: 10, FP: 20, TN: 60, FN: 10}
	name, _ := (*Decision)(nil).PerRow(o)
	require.Empty(t, name)
	name, v := (&Decision{By: RuleCost, Cost: &Costs{TruePositive: 1, FalsePositive: 2, TrueNegative: -1, FalseNegative: 9}}).PerRow(o)
	require.Equal(t, MetricCost, name)
	require.InDelta(t, (10.0+40-60+90)/100, v, 1e-15)
	name, v = (&Decision{By: RuleProfit}).PerRow(o)
	require.Equal(t, MetricProfit, name)
	require.InDelta(t, (10*(0.3*190-1)-20*11)/100.0, v, 1e-12)
	name, _ = (&Decision{By: RuleProfit}).PerRow(Outcomes{})
	require.Empty(t, name, "no rows, no mean")
}
