package spec

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestValidate breaks one rule at a time: exactly that fault must be reported.
func TestValidate(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		path string
		edit func(*Spec)
	}{
		{"name", func(s *Spec) { s.Name = "" }},
		{"name", func(s *Spec) { s.Name = "a.b" }},
		{"name", func(s *Spec) { s.Name = strings.Repeat("a", 129) }},
		{"experiment", func(s *Spec) { s.Experiment = "" }},
		{"promotion", func(s *Spec) { s.Promotion = "maybe" }},
		{"dataset.format", func(s *Spec) { s.Dataset.Format = "xml" }},
		{"dataset.delimiter", func(s *Spec) { s.Dataset.Delimiter = "ab" }},
		{"dataset.delimiter", func(s *Spec) { s.Dataset.Delimiter = `"` }},
		{"dataset.path", func(s *Spec) { s.Dataset.Path = "\xff" }},
		{"columns.id", func(s *Spec) { s.Columns.ID = "tenure " }},
		{"columns.target.name", func(s *Spec) { s.Columns.Target.Name = "" }},
		{"columns.target.name", func(s *Spec) { s.Columns.Target.Name = "_score" }},
		{"columns.target.positive", func(s *Spec) { s.Columns.Target.Positive = "*" }},
		{"columns.target.negative", func(s *Spec) { s.Columns.Target.Negative = "" }},
		{"columns.target.negative", func(s *Spec) { s.Columns.Target = Target{"Churn", "1", "1.0"} }},
		{"columns.target", func(s *Spec) { s.Columns.Missing = []string{"No"}; s.Columns.Categorical = s.Columns.Categorical[:1] }},
		{"columns.numeric[1].name", func(s *Spec) { s.Columns.Numeric[1].Name = "tenure" }},
		{"columns.numeric[1].max", func(s *Spec) { s.Columns.Numeric[1].Max = &nan }},
		{"columns.numeric[1].min", func(s *Spec) { v := 501.0; s.Columns.Numeric[1].Min = &v }},
		{"columns.categorical[0].max_levels", func(s *Spec) { s.Columns.Categorical[0].MaxLevels = 0 }},
		{"columns.categorical[0].values[1]", func(s *Spec) { s.Columns.Categorical[0].Values = []string{"a", "a"} }},
		{"columns.categorical[0].values[0]", func(s *Spec) { s.Columns.Missing = []string{"Female"} }},
		{"columns.ignored[0]", func(s *Spec) { s.Columns.Ignored = []string{"Churn"} }},
		{"columns.missing[0]", func(s *Spec) { s.Columns.Missing = []string{""} }},
		{"features.impute", func(s *Spec) { s.Features.Impute = "mean" }},
		{"features.scale", func(s *Spec) { s.Features.Scale = "" }},
		{"features.encoding", func(s *Spec) { s.Features.Encoding = "hash" }},
		{"columns.categorical[1].encoding", func(s *Spec) { s.Columns.Categorical[1].Encoding = "label" }},
		{"features.target_smoothing", func(s *Spec) { s.Features.TargetSmoothing = -1 }},
		{"features.target_smoothing", func(s *Spec) { s.Features.TargetSmoothing = math.NaN() }},
		{"features.target_folds", func(s *Spec) { s.Features.TargetFolds = 1 }},
		{"features.derived[1].name", func(s *Spec) { s.Features.Derived[1].Name = "HighMonthly" }},
		{"features.derived[0].name", func(s *Spec) { s.Features.Derived[0].Name = "tenure" }},
		{"features.derived[0].op", func(s *Spec) { s.Features.Derived[0].Op = "max" }},
		{"features.derived[0].of", func(s *Spec) { s.Features.Derived[0].Of = []string{"tenure", "TotalCharges"} }},
		{"features.derived[1].of", func(s *Spec) { s.Features.Derived[1].Of = []string{"tenure"} }},
		{"features.derived[1].of[0]", func(s *Spec) { s.Features.Derived[1].Of[0] = "gender" }},
		{"features.derived[2].of[0]", func(s *Spec) { s.Features.Derived[2].Of[0] = "tenure" }},
		{"features.derived[2].equals", func(s *Spec) { s.Features.Derived[2].Equals = nil }},
		{"features.derived[0].equals", func(s *Spec) { s.Features.Derived[0].Equals = []string{"x"} }},
		{"learner.trees", func(s *Spec) { s.Learner.Trees = 0 }},
		{"learner.learning_rate", func(s *Spec) { s.Learner.LearningRate = 0 }},
		{"learner.learning_rate", func(s *Spec) { s.Learner.LearningRate = nan }},
		{"learner.max_depth", func(s *Spec) { s.Learner.MaxDepth = 0 }},
		{"learner.max_leaves", func(s *Spec) { s.Learner.MaxLeaves = 1 }},
		{"learner.l2", func(s *Spec) { s.Learner.L2 = -1 }},
		{"learner.min_child_weight", func(s *Spec) { s.Learner.MinChildWeight = math.Inf(1) }},
		{"learner.min_child_rows", func(s *Spec) { s.Learner.MinChildRows = 0 }},
		{"learner.min_gain", func(s *Spec) { s.Learner.MinGain = nan }},
		{"learner.subsample", func(s *Spec) { s.Learner.Subsample = 1.01 }},
		{"learner.column_sample", func(s *Spec) { s.Learner.ColumnSample = -0.1 }},
		{"learner.max_bins", func(s *Spec) { s.Learner.MaxBins = 1 }},
		{"learner.early_stopping_rounds", func(s *Spec) { s.Learner.EarlyStoppingRounds = -1 }},
		{"split.holdout", func(s *Spec) { s.Split.Holdout = 0 }},
		{"split.validation", func(s *Spec) { s.Split.Validation = 1 }},
		{"split.salt", func(s *Spec) { s.Split.Salt = "" }},
		{"gates.staging[0].metric", func(s *Spec) { s.Gates.Staging[0].Metric = "log_loss" }},
		{"gates.staging[1].min", func(s *Spec) { s.Gates.Staging[1].Min = 75 }},
		{"gates.staging[0].metric", func(s *Spec) { s.Gates.Staging[0].Metric = "f1" }},
		{"gates.production.metric", func(s *Spec) { s.Gates.Production.Metric = "" }},
		{"gates.production.metric", func(s *Spec) { s.Gates.Production.Metric = "lift_at_10" }},
		{"gates.production.metric", func(s *Spec) { s.Gates.Production.Metric = MetricProfit }},
		{"gates.production.metric", func(s *Spec) {
			s.Threshold, s.Gates.Production.Metric = &Decision{By: RuleProfit}, MetricCost
		}},
		{"drift.window", func(s *Spec) { s.Drift.Window = 0; s.Drift.MinRows = 1 }},
		{"drift.min_rows", func(s *Spec) { s.Drift.MinRows = 1001 }},
		{"drift.max_age", func(s *Spec) { s.Drift.MaxAge = 0 }},
		{"drift.every", func(s *Spec) { s.Drift.Every = 0 }},
		{"drift.clear", func(s *Spec) { s.Drift.Clear = 0.21 }},
		{"drift.confidence", func(s *Spec) { s.Drift.Confidence = 1 }},
		{"drift.consecutive", func(s *Spec) { s.Drift.Consecutive = 0 }},
		{"drift.repeat", func(s *Spec) { s.Drift.Repeat = 0 }},
		{"drift.bins", func(s *Spec) { s.Drift.Bins = 1 }},
		{"drift.empty_share", func(s *Spec) { s.Drift.EmptyShare = 0 }},
		{"drift.monitors[0].column", func(s *Spec) { s.Drift.Monitors[0].Column = "Churn" }},
		{"drift.monitors[1].column", func(s *Spec) { s.Drift.Monitors[1].Column = "MonthlyCharges" }},
		{"drift.monitors[0].action", func(s *Spec) { s.Drift.Monitors[0].Action = "panic" }},
		{"drift.performance.every", func(s *Spec) { s.Drift.Performance.Every = 0 }},
		{"drift.performance.min_rows", func(s *Spec) { s.Drift.Performance.MinRows = 1001 }},
		{"drift.performance.min_positives", func(s *Spec) { s.Drift.Performance.MinPositives = 0 }},
		{"drift.performance.clear", func(s *Spec) { s.Drift.Performance.Clear = 0.06 }},
		{"drift.performance.standard_errors", func(s *Spec) { s.Drift.Performance.StandardErrors = -1 }},
		{"drift.performance.consecutive", func(s *Spec) { s.Drift.Performance.Consecutive = 0 }},
		{"drift.performance.action", func(s *Spec) { s.Drift.Performance.Action = "" }},
		{"retrain.debounce", func(s *Spec) { s.Retrain.Debounce = -1 }},
		{"retrain.cooldown", func(s *Spec) { s.Retrain.Cooldown = -1 }},
		{"retrain.min_new_rows", func(s *Spec) { s.Retrain.MinNewRows = -1 }},
		{"retrain.schedule.time_zone", func(s *Spec) { s.Retrain.Schedule = &Schedule{"0 0 2 * * 1", "", "staging"} }},
		{"retrain.schedule.target_stage", func(s *Spec) { s.Retrain.Schedule = &Schedule{"0 0 2 * * 1", "UTC", "none"} }},
		{"labels.horizon", func(s *Spec) { s.Labels.Horizon = -1 }},
		{"expectations.min_rows", func(s *Spec) { s.Expectations.MinRows = -1 }},
		{"expectations.unique_id", func(s *Spec) { s.Columns.ID = "" }},
		{"expectations.positive_share_min", func(s *Spec) { s.Expectations.PositiveShareMin = 0.5 }},
		{"expectations.max_quarantined", func(s *Spec) { s.Expectations.MaxQuarantined = 5 }},
		{"expectations.max_unseen", func(s *Spec) { s.Expectations.MaxUnseen = nan }},
		{"expectations.not_null[0].column", func(s *Spec) { s.Expectations.NotNull[0].Column = "Churn" }},
		{"expectations.not_null[2].mostly", func(s *Spec) { s.Expectations.NotNull[2].Mostly = 99 }},
	} {
		t.Run(c.path, func(t *testing.T) {
			s := Telco()
			s.Features.Derived = append([]Derived{
				{Name: "HighMonthly", Op: OpAboveMedian, Of: []string{"MonthlyCharges"}},
				{Name: "AverageCharges", Op: OpRatio, Of: []string{"TotalCharges", "tenure"}},
			}, s.Features.Derived...)
			require.NoError(t, s.Validate())
			c.edit(s)
			got := Faults(s.Validate())
			require.NotEmpty(t, got)
			require.Equal(t, c.path, got[0].Path, "%v", got[0])
		})
	}
	require.NoError(t, Telco().Validate())
}

func TestCron(t *testing.T) {
	for _, good := range []string{"0 0 2 * * 1", "0 0 2 ? * MON-FRI", "*/5 1,2,3 0-23/2 1 jan 7", "59 59 23 31 12 0"} {
		require.NoError(t, checkCron(good), good)
	}
	for _, bad := range []string{"", "0 2 * * 1", "0 0 2 * * 1 2026", "60 0 2 * * 1", "0 0 24 * * 1", "0 0 2 0 * 1", "0 0 2 * 13 1",
		"0 0 2 * * 8", "0 0 5-2 * * 1", "0 0 */0 * * 1", "0 0 a * * 1", "0 0 1, * * 1", "@weekly"} {
		require.Error(t, checkCron(bad), bad)
	}
}
