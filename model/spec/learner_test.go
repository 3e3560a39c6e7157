package spec

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestValidateLearner breaks one rule of the learner, the calibration or the threshold at a time: exactly that fault must be reported.
func TestValidateLearner(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		path string
		edit func(*Spec)
	}{
		{"learner.l1", func(s *Spec) { s.Learner.L1 = -1 }},
		{"learner.column_sample_node", func(s *Spec) { s.Learner.ColumnSampleNode = 0 }},
		{"learner.folds", func(s *Spec) { s.Learner.Folds = 1 }},
		{"learner.folds", func(s *Spec) { s.Learner.Folds = 21 }},
		{"learner.positive_weight", func(s *Spec) { s.Learner.PositiveWeight = 0 }},
		{"learner.positive_weight", func(s *Spec) { s.Learner.PositiveWeight = nan }},
		{"learner.positive_weight", func(s *Spec) { s.Learner.PositiveWeight = 0.0009 }},
		{"learner.positive_weight", func(s *Spec) { s.Learner.PositiveWeight = 1001 }},
		{"learner.base_score", func(s *Spec) { s.Learner.BaseScore = &nan }},
		{"learner.base_score", func(s *Spec) { far := -10.5; s.Learner.BaseScore = &far }},
		{"learner.base_score", func(s *Spec) { far := 10.5; s.Learner.BaseScore = &far }},
		{"split.validation", func(s *Spec) { s.Learner.Folds, s.Split.Validation = 0, 0 }},
		{"split.validation", func(s *Spec) { s.Split.Validation = 0.001 }},
		{"split.validation", func(s *Spec) { s.Split.Validation = nan }},
		{"learner.categorical_splits.smooth", func(s *Spec) { s.Learner.CategoricalSplits = &CategoricalSplits{-1, 0, 1, 1, 1} }},
		{"learner.categorical_splits.l2", func(s *Spec) { s.Learner.CategoricalSplits = &CategoricalSplits{0, nan, 1, 1, 1} }},
		{"learner.categorical_splits.max_onehot", func(s *Spec) { s.Learner.CategoricalSplits = &CategoricalSplits{0, 0, 0, 1, 1} }},
		{"learner.categorical_splits.max_set", func(s *Spec) { s.Learner.CategoricalSplits = &CategoricalSplits{0, 0, 1, 0, 1} }},
		{"learner.categorical_splits.min_rows", func(s *Spec) { s.Learner.CategoricalSplits = &CategoricalSplits{0, 0, 1, 1, 0} }},
		{"learner.monotone.increasing[0]", func(s *Spec) { s.Learner.Monotone = &Monotone{Increasing: []string{"Churn"}} }},
		{"learner.monotone.increasing[1]", func(s *Spec) { s.Learner.Monotone = &Monotone{Increasing: []string{"tenure", "Contract"}} }},
		{"learner.monotone.decreasing[0]", func(s *Spec) {
			s.Learner.Monotone = &Monotone{Increasing: []string{"tenure"}, Decreasing: []string{"tenure"}}
		}},
		{"learner.interactions[0]", func(s *Spec) { s.Learner.Interactions = [][]string{{}} }},
		{"learner.interactions[1][0]", func(s *Spec) { s.Learner.Interactions = [][]string{{"tenure"}, {"customerID"}} }},
		{"learner.interactions[0][1]", func(s *Spec) { s.Learner.Interactions = [][]string{{"tenure", "tenure"}} }},
		{"calibration", func(s *Spec) { s.Calibration = "beta" }},
		{"threshold.by", func(s *Spec) { s.Threshold = &Decision{By: "accuracy"} }},
		{"threshold.cost", func(s *Spec) { s.Threshold = &Decision{By: RuleCost} }},
		{"threshold.cost", func(s *Spec) { s.Threshold = &Decision{By: RuleF1, Cost: &Costs{FalsePositive: 1, FalseNegative: 1}} }},
		{"threshold.cost.false_negative", func(s *Spec) { s.Threshold = &Decision{By: RuleCost, Cost: &Costs{FalsePositive: 1}} }},
		{"threshold.cost.false_positive", func(s *Spec) { s.Threshold = &Decision{By: RuleCost, Cost: &Costs{FalseNegative: 1}} }},
		{"threshold.cost.true_positive", func(s *Spec) {
			s.Threshold = &Decision{By: RuleCost, Cost: &Costs{TruePositive: nan, FalsePositive: 1, FalseNegative: 1}}
		}},
		{"threshold.profit", func(s *Spec) { s.Threshold = &Decision{By: RuleF1, Profit: &Profit{200, 10, 1, 6, 14}} }},
		{"threshold.profit.lifetime_value", func(s *Spec) { s.Threshold = &Decision{By: RuleProfit, Profit: &Profit{0, 0, 1, 6, 14}} }},
		{"threshold.profit.incentive", func(s *Spec) { s.Threshold = &Decision{By: RuleProfit, Profit: &Profit{200, 200, 1, 6, 14}} }},
		{"threshold.profit.contact", func(s *Spec) { s.Threshold = &Decision{By: RuleProfit, Profit: &Profit{200, 10, -1, 6, 14}} }},
		{"threshold.profit.alpha", func(s *Spec) { s.Threshold = &Decision{By: RuleProfit, Profit: &Profit{200, 10, 1, 0, 14}} }},
		{"threshold.profit.beta", func(s *Spec) { s.Threshold = &Decision{By: RuleProfit, Profit: &Profit{200, 10, 1, 6, nan}} }},
	} {
		t.Run(c.path, func(t *testing.T) {
			s := Telco()
			c.edit(s)
			got := Faults(s.Validate())
			require.NotEmpty(t, got)
			require.Equal(t, c.path, got[0].Path, "%v", got[0])
		})
	}
}

// full has every key of the learner that came after the first release, and the calibration and threshold.
const full = small + `  categorical:
    - {name: plan, encoding: target}
    - {name: zip (old)}
features:
  derived:
    - {name: log age, op: log1p, of: [age]}
learner:
  l1: 0.5
  column_sample_node: 0.5
  folds: 5
  positive_weight: 2.5
  base_score: -1.25
  monotone: {decreasing: [age, log age], increasing: [plan]}
  interactions: [[age, plan], ["zip (old)"]]
  categorical_splits: {smooth: 3}
calibration: isotonic
threshold:
  by: profit
  profit: {contact: 2}
`

func TestParseReadsTheLearner(t *testing.T) {
	s, err := Parse([]byte(full))
	require.NoError(t, err)
	l := s.Learner
	require.Equal(t, 0.5, l.L1)
	require.Equal(t, 0.5, l.ColumnSampleNode)
	require.Equal(t, 5, l.Folds)
	require.Equal(t, 2.5, l.PositiveWeight)
	require.Equal(t, -1.25, *l.BaseScore)
	require.Equal(t, Monotone{Increasing: []string{"plan"}, Decreasing: []string{"age", "log age"}}, *l.Monotone)
	require.Equal(t, [][]string{{"age", "plan"}, {"zip (old)"}}, l.Interactions)
	require.Equal(t, CategoricalSplits{Smooth: 3, L2: 10, MaxOneHot: 4, MaxSet: 32, MinRows: 100}, *l.CategoricalSplits)
	require.Equal(t, CalibrationIsotonic, s.Calibration)
	require.Equal(t, RuleProfit, s.Threshold.Rule())
	require.Equal(t, Profit{LifetimeValue: 200, Incentive: 10, Contact: 2, Alpha: 6, Beta: 14}, *s.Threshold.Profit)

	text, err := s.Marshal()
	require.NoError(t, err)
	again, err := Parse(text)
	require.NoError(t, err, "%s", text)
	require.Equal(t, s, again)

	t.Run("a copy shares nothing", func(t *testing.T) {
		c := s.Clone()
		*c.Learner.BaseScore, c.Learner.Monotone.Decreasing[0], c.Learner.Interactions[0][0] = 7, "x", "x"
		c.Learner.CategoricalSplits.Smooth, c.Threshold.Profit.Contact = 7, 7
		require.Equal(t, again, s)
	})
	t.Run("each key counts in the digest", func(t *testing.T) {
		for i, change := range []func(*Spec){
			func(s *Spec) { s.Learner.L1 = 0 }, func(s *Spec) { s.Learner.ColumnSampleNode = 1 }, func(s *Spec) { s.Learner.Folds = 0 }, func(s *Spec) { s.Learner.PositiveWeight = 1 },
			func(s *Spec) { s.Learner.BaseScore = nil }, func(s *Spec) { s.Learner.Monotone = nil }, func(s *Spec) { s.Learner.Interactions = nil },
			func(s *Spec) { s.Learner.CategoricalSplits = nil }, func(s *Spec) { s.Calibration = CalibrationNone }, func(s *Spec) { s.Threshold = nil },
			func(s *Spec) { s.Threshold.Profit = nil },
		} {
			c := s.Clone()
			change(c)
			require.NotEqual(t, s.Digest(), c.Digest(), "change %d", i)
		}
	})
}

// A constraint on a column must hold for what is made of it as well.
func TestConstraintsReachDerivedFeatures(t *testing.T) {
	up, down := func(names ...string) *Monotone { return &Monotone{Increasing: names} }, func(names ...string) *Monotone { return &Monotone{Decreasing: names} }
	for _, c := range []struct {
		name     string
		op       Op
		of       []string
		monotone *Monotone
		sets     [][]string
		path     string // of the fault, "" for none
	}{
		{"sum", OpSum, []string{"tenure", "MonthlyCharges"}, up("tenure"), nil, "learner.monotone.increasing[0]"},
		{"named sum", OpSum, []string{"tenure", "MonthlyCharges"}, up("tenure", "x"), nil, ""},
		{"sum of opposites", OpSum, []string{"tenure", "MonthlyCharges"}, &Monotone{Increasing: []string{"tenure", "x"}, Decreasing: []string{"MonthlyCharges"}}, nil, "learner.monotone.decreasing[0]"},
		{"log1p", OpLog1p, []string{"tenure"}, down("tenure"), nil, "learner.monotone.decreasing[0]"},
		{"log1p, the other way", OpLog1p, []string{"tenure"}, &Monotone{Increasing: []string{"x"}, Decreasing: []string{"tenure"}}, nil, "learner.monotone.decreasing[0]"},
		{"named log1p", OpLog1p, []string{"tenure"}, down("tenure", "x"), nil, ""},
		{"named above_median", OpAboveMedian, []string{"tenure"}, up("x", "tenure"), nil, ""},
		{"first of difference", OpDifference, []string{"tenure", "MonthlyCharges"}, up("tenure", "x"), nil, ""},
		{"second of difference", OpDifference, []string{"tenure", "MonthlyCharges"}, up("MonthlyCharges", "x"), nil, "learner.monotone.increasing[0]"},
		{"second of difference, turned", OpDifference, []string{"tenure", "MonthlyCharges"}, &Monotone{Increasing: []string{"MonthlyCharges"}, Decreasing: []string{"x"}}, nil, ""},
		{"ratio", OpRatio, []string{"tenure", "MonthlyCharges"}, up("tenure", "x"), nil, "learner.monotone.increasing[0]"},
		{"product", OpProduct, []string{"tenure", "MonthlyCharges"}, up("MonthlyCharges", "x"), nil, "learner.monotone.increasing[0]"},
		{"derived alone", OpRatio, []string{"tenure", "MonthlyCharges"}, up("x"), nil, ""},
		{"another column", OpRatio, []string{"tenure", "MonthlyCharges"}, up("TotalCharges"), nil, ""},
		{"set without a column", OpRatio, []string{"tenure", "MonthlyCharges"}, nil, [][]string{{"tenure"}, {"tenure", "x"}}, "learner.interactions[1][1]"},
		{"set with the columns", OpRatio, []string{"tenure", "MonthlyCharges"}, nil, [][]string{{"x", "tenure", "MonthlyCharges"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Telco()
			s.Features.Derived = []Derived{{Name: "x", Op: c.op, Of: c.of}}
			s.Learner.Monotone, s.Learner.Interactions = c.monotone, c.sets
			got := Faults(s.Validate())
			if c.path == "" {
				require.Empty(t, got)
				return
			}
			require.Len(t, got, 1)
			require.Equal(t, c.path, got[0].Path)
			require.Contains(t, got[0].Error(), `"x"`)
		})
	}
	s := Telco()
	s.Columns.Categorical[2].Encoding = EncodingTarget
	s.Features.Derived = []Derived{{Name: "x", Op: OpCountEqual, Of: []string{"Partner"}, Equals: []string{"Yes"}}}
	s.Learner.Monotone = up("Partner", "x")
	require.Len(t, Faults(s.Validate()), 1, "the order of levels is not known before their shares are")
}

func TestParseNamesLinesOfConstraints(t *testing.T) {
	_, err := Parse([]byte(small + "learner:\n  monotone:\n    increasing: [age, colour]\n  interactions:\n    - [age]\n    - [age, hat]\n"))
	got := Faults(err)
	require.Len(t, got, 2)
	require.Equal(t, 8, got[0].Line)
	require.Equal(t, "learner.monotone.increasing[1]", got[0].Path)
	require.Equal(t, 11, got[1].Line)
	require.Equal(t, "learner.interactions[1][1]", got[1].Path)
}

// The digest of a spec that uses no later key is what the first release computed: its bundles hold it.
func TestDigestOfTheFirstRelease(t *testing.T) {
	s, err := Parse([]byte(small))
	require.NoError(t, err)
	require.Equal(t, "sha256:3f4ee737f376882e9c4ab5760ae12096993c6ce38f580de53f415de1d1994ef7", s.Digest())
	require.Equal(t, RuleF1, s.Threshold.Rule())
	require.Equal(t, CalibrationNone, s.Calibration)
	require.Zero(t, s.Learner.Folds, "a spec of the first release is trained as it was")
}
