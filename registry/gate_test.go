package registry

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/spec"
)

// passing is a challenger that is better than Production in every way.
func passing() GateInput {
	return GateInput{
		Version: 3, RunID: "r3", TargetStage: events.StageProduction,
		Gates: spec.Gates{
			Staging:    []spec.Threshold{{Metric: "f1_churn", Min: 0.45}, {Metric: "roc_auc", Min: 0.75}},
			Production: spec.Comparison{Metric: "f1_churn"},
		},
		Promotion: spec.PromotionAuto,
		Metrics:   map[string]float64{"f1_churn": 0.62, "roc_auc": 0.84}, Measured: true, HoldoutRows: 1400,
		Champion: 2, ChampionMetrics: map[string]float64{"f1_churn": 0.61, "roc_auc": 0.85}, PromotionSequence: 11,
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*GateInput)
		verdict events.Verdict
		reason  string
	}{
		{"better", func(*GateInput) {}, events.VerdictPromotable, ReasonBetter},
		{"equal is not better", func(in *GateInput) { in.ChampionMetrics["f1_churn"] = 0.62 }, events.VerdictNotPromoted, ReasonNotBetter},
		{"one ulp is better", func(in *GateInput) {
			in.ChampionMetrics["f1_churn"] = math.Nextafter(0.62, 0)
		}, events.VerdictPromotable, ReasonBetter},
		{"worse", func(in *GateInput) { in.ChampionMetrics["f1_churn"] = 0.7 }, events.VerdictNotPromoted, ReasonNotBetter},
		{"first", func(in *GateInput) { in.Champion, in.ChampionMetrics = 0, nil }, events.VerdictPromotable, ReasonFirst},
		{"withdrawn", func(in *GateInput) {
			in.Champion, in.ChampionMetrics, in.Withdrawn = 0, nil, true
		}, events.VerdictStaged, ReasonWithdrawn},
		{"withdrawn and below the threshold", func(in *GateInput) {
			in.Champion, in.ChampionMetrics, in.Withdrawn, in.Metrics["roc_auc"] = 0, nil, true, 0.1
		}, events.VerdictRejected, ReasonBelowThreshold},
		{"withdrawn and nothing measured", func(in *GateInput) {
			in.Champion, in.ChampionMetrics, in.Withdrawn, in.Measured = 0, nil, true, false
		}, events.VerdictStaged, ReasonNoHoldout},
		{"at the threshold", func(in *GateInput) { in.Metrics["roc_auc"] = 0.75 }, events.VerdictPromotable, ReasonBetter},
		{"below the threshold", func(in *GateInput) {
			in.Metrics["roc_auc"] = math.Nextafter(0.75, 0)
		}, events.VerdictRejected, ReasonBelowThreshold},
		{"below beats everything else", func(in *GateInput) {
			in.Metrics["roc_auc"], in.Champion, in.TargetStage = 0.1, 0, events.StageStaging
		}, events.VerdictRejected, ReasonBelowThreshold},
		{"metric missing", func(in *GateInput) { delete(in.Metrics, "roc_auc") }, events.VerdictRejected, ReasonBelowThreshold},
		{"metric not a number", func(in *GateInput) { in.Metrics["roc_auc"] = math.NaN() }, events.VerdictRejected, ReasonBelowThreshold},
		{"metric infinite", func(in *GateInput) { in.Metrics["roc_auc"] = math.Inf(1) }, events.VerdictRejected, ReasonBelowThreshold},
		{"no metrics", func(in *GateInput) { in.Metrics = nil }, events.VerdictRejected, ReasonBelowThreshold},
		{"unusable", func(in *GateInput) { in.Unusable = "decode bundle: bad" }, events.VerdictRejected, ReasonUnusable},
		{"refuted", func(in *GateInput) { in.Refuted = true }, events.VerdictRejected, ReasonRefuted},
		{"another spec", func(in *GateInput) { in.SpecDiffers = true }, events.VerdictStaged, ReasonSpecDiffers},
		{"another spec and first", func(in *GateInput) { in.SpecDiffers, in.Champion = true, 0 }, events.VerdictStaged, ReasonSpecDiffers},
		{"asks for staging", func(in *GateInput) { in.TargetStage = events.StageStaging }, events.VerdictStaged, ReasonTargetStaging},
		{"manual promotion", func(in *GateInput) { in.Promotion = spec.PromotionManual }, events.VerdictStaged, ReasonManual},
		{"nothing measured", func(in *GateInput) { in.Measured = false }, events.VerdictStaged, ReasonNoHoldout},
		{"nothing measured and first", func(in *GateInput) { in.Measured, in.Champion = false, 0 }, events.VerdictStaged, ReasonNoHoldout},
		{"production can't be scored", func(in *GateInput) {
			in.ChampionMetrics, in.Incomparable = nil, "version 2: column x is missing"
		}, events.VerdictStaged, ReasonNoHoldout},
		{"production's metric not a number", func(in *GateInput) {
			in.ChampionMetrics["f1_churn"] = math.NaN()
		}, events.VerdictStaged, ReasonNoHoldout},
		{"no thresholds", func(in *GateInput) { in.Gates.Staging = nil }, events.VerdictPromotable, ReasonBetter},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := passing()
			c.change(&in)
			got := Judge(in)
			require.Equal(t, c.verdict, got.Verdict, "%+v", got)
			require.Equal(t, c.reason, got.Reason)
			require.NoError(t, got.Validate())
			_, _, _, err := events.New("m", "test", "k", time.Unix(1, 0), got).Encode()
			require.NoError(t, err, "a verdict can always be published")
		})
	}
}

func TestJudgeShowsBothValuesOfEveryRule(t *testing.T) {
	got := Judge(passing())
	require.Equal(t, 11, int(got.PromotionSequence))
	require.Equal(t, 2, got.Champion)
	require.Equal(t, 1400, got.HoldoutRows)
	want := []struct {
		rule           string
		value, against float64
	}{{"f1_churn >= 0.45", 0.62, 0.45}, {"roc_auc >= 0.75", 0.84, 0.75}, {"f1_churn > production", 0.62, 0.61}}
	require.Len(t, got.Rules, len(want))
	for i, w := range want {
		require.Equal(t, w.rule, got.Rules[i].Rule)
		require.Equal(t, w.value, *got.Rules[i].Value)
		require.Equal(t, w.against, *got.Rules[i].Against)
		require.True(t, got.Rules[i].Passed)
	}

	in := passing()
	in.Metrics["roc_auc"] = math.NaN()
	got = Judge(in)
	require.Nil(t, got.Rules[1].Value)
	require.False(t, got.Rules[1].Passed)
	require.True(t, got.Rules[2].Passed, "a rule that no longer matters is shown all the same")
}

func TestJudgeKnowsOfWhichMetricsLessIsBetter(t *testing.T) {
	for _, metric := range []string{"log_loss", "brier", spec.MetricCost} {
		in := passing()
		in.Gates.Production.Metric = metric
		in.Metrics[metric], in.ChampionMetrics[metric] = -0.1, 0.2
		got := Judge(in)
		require.Equal(t, ReasonBetter, got.Reason, metric)
		last := got.Rules[len(got.Rules)-1]
		require.Equal(t, metric+" < production", last.Rule)
		require.Equal(t, -0.1, *last.Value)
		require.Equal(t, 0.2, *last.Against)
		in.Metrics[metric] = 0.2
		require.Equal(t, ReasonNotBetter, Judge(in).Reason, "equal is not better")
		in.Metrics[metric] = 0.3
		require.Equal(t, ReasonNotBetter, Judge(in).Reason)
	}
}
