package trainer

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
)

// Every key of the spec's learner must change what the trees are asked for.
func TestEveryKeyOfTheLearnerReachesTheTrees(t *testing.T) {
	base := quick(t, 200, nil)
	p, err := feature.Fit(base.Spec, base.Schema, base.Dataset, nil, nil)
	require.NoError(t, err)
	before := learnerParams(base.Spec, p, 3)
	require.NoError(t, before.Validate())
	require.Equal(t, 3, before.Threads)
	score := -1.5
	for name, edit := range map[string]func(*spec.Learner){
		"trees": func(l *spec.Learner) { l.Trees++ }, "learning_rate": func(l *spec.Learner) { l.LearningRate /= 2 },
		"max_depth": func(l *spec.Learner) { l.MaxDepth++ }, "max_leaves": func(l *spec.Learner) { l.MaxLeaves = 5 },
		"l1": func(l *spec.Learner) { l.L1++ }, "l2": func(l *spec.Learner) { l.L2++ },
		"min_child_weight": func(l *spec.Learner) { l.MinChildWeight++ }, "min_child_rows": func(l *spec.Learner) { l.MinChildRows++ },
		"min_gain": func(l *spec.Learner) { l.MinGain++ }, "subsample": func(l *spec.Learner) { l.Subsample /= 2 },
		"column_sample": func(l *spec.Learner) { l.ColumnSample /= 2 }, "column_sample_node": func(l *spec.Learner) { l.ColumnSampleNode = 0.5 },
		"max_bins": func(l *spec.Learner) { l.MaxBins-- }, "early_stopping_rounds": func(l *spec.Learner) { l.EarlyStoppingRounds++ },
		"seed": func(l *spec.Learner) { l.Seed++ }, "positive_weight": func(l *spec.Learner) { l.PositiveWeight = 2 },
		"base_score": func(l *spec.Learner) { l.BaseScore = &score }, "monotone": func(l *spec.Learner) { l.Monotone = &spec.Monotone{Decreasing: []string{"tenure"}} },
		"interactions":       func(l *spec.Learner) { l.Interactions = [][]string{{"tenure", "Contract"}} },
		"smooth":             func(l *spec.Learner) { c := spec.DefaultCategoricalSplits(); c.Smooth++; l.CategoricalSplits = &c },
		"categorical l2":     func(l *spec.Learner) { c := spec.DefaultCategoricalSplits(); c.L2++; l.CategoricalSplits = &c },
		"max_onehot":         func(l *spec.Learner) { c := spec.DefaultCategoricalSplits(); c.MaxOneHot++; l.CategoricalSplits = &c },
		"max_set":            func(l *spec.Learner) { c := spec.DefaultCategoricalSplits(); c.MaxSet++; l.CategoricalSplits = &c },
		"categorical rows":   func(l *spec.Learner) { c := spec.DefaultCategoricalSplits(); c.MinRows++; l.CategoricalSplits = &c },
		"nothing (the test)": nil,
	} {
		sp := base.Spec.Clone()
		if edit == nil {
			require.Equal(t, before, learnerParams(sp, p, 3))
			continue
		}
		edit(&sp.Learner)
		require.NoError(t, sp.Validate(), name)
		require.NotEqual(t, before, learnerParams(sp, p, 3), name)
	}
}

func TestConstraintsNameAllFeaturesOfAColumn(t *testing.T) {
	in := quick(t, 200, func(sp *spec.Spec) {
		sp.Features.Encoding = spec.EncodingOneHot
		sp.Learner.Monotone = &spec.Monotone{Decreasing: []string{"tenure"}, Increasing: []string{"AddOns"}}
		sp.Learner.Interactions = [][]string{{"Contract", "tenure"}}
	})
	p, err := feature.Fit(in.Spec, in.Schema, in.Dataset, nil, nil)
	require.NoError(t, err)
	got := learnerParams(in.Spec, p, 1)
	names := p.Names()
	for i, direction := range got.Monotone {
		switch names[i] {
		case "tenure":
			require.EqualValues(t, -1, direction)
		case "AddOns":
			require.EqualValues(t, 1, direction)
		default:
			require.Zero(t, direction, names[i])
		}
	}
	require.Len(t, got.Interactions, 1)
	require.Len(t, got.Interactions[0], 3+2+1, "three levels, unseen, missing, and tenure")

	native := quick(t, 200, func(sp *spec.Spec) { sp.Features.Encoding = spec.EncodingNative })
	p, err = feature.Fit(native.Spec, native.Schema, native.Dataset, nil, nil)
	require.NoError(t, err)
	want := 0
	for _, c := range native.Spec.Columns.Categorical {
		if native.Spec.EncodingOf(c) == spec.EncodingNative {
			want++
		}
	}
	require.Positive(t, want)
	require.Len(t, learnerParams(native.Spec, p, 1).Categorical, want)
}

// A monotone model must be monotone where it counts: in the published score of a record.
func TestMonotoneScoresOfRecords(t *testing.T) {
	in := quick(t, 600, func(sp *spec.Spec) {
		sp.Learner.Monotone = &spec.Monotone{Decreasing: []string{"tenure"}, Increasing: []string{"MonthlyCharges"}}
		sp.Features.Derived = nil
	})
	res, err := Train(context.Background(), in)
	require.NoError(t, err)
	scorer, row := res.Bundle.NewScorer(), in.Schema.NewRow()
	moved := 0
	for i := range 100 {
		for column, sign := range map[int]float64{0: -1, 1: 1} {
			in.Dataset.Row(i, row)
			last, first := math.Inf(-1), 0.0
			for step := range 30 {
				row.Num[column] = float64(step) * 4
				p := sign * scorer.Score(row).Probability
				require.GreaterOrEqual(t, p, last, "row %d, column %d", i, column)
				if last = p; step == 0 {
					first = p
				}
			}
			if last > first {
				moved++
			}
		}
	}
	require.GreaterOrEqual(t, moved, 100, "a column counts")
}

// Where positive rows weigh more, the folds must ask the loss that is trained on where to stop, or they would stop at once.
func TestPositiveWeightDoesNotStopTraining(t *testing.T) {
	trees := func(weight float64) (int, float64) {
		in := quick(t, 600, func(sp *spec.Spec) { sp.Learner.PositiveWeight = weight })
		f, err := fitOnFolds(context.Background(), in, in.Dataset, allRows(in.Dataset))
		require.NoError(t, err)
		score, label, err := f.score(in.Dataset, f.trained)
		require.NoError(t, err)
		mean := 0.0
		for i := range label {
			mean += score[i] / float64(len(label))
		}
		return f.trees.Trees(), mean
	}
	plain, low := trees(1)
	heavy, high := trees(8)
	require.Greater(t, heavy, plain/2)
	require.Greater(t, high, low+0.1, "scores are higher, and no longer shares")
}

// A run must say what it was made with: each of these keys shows in its parameters.
func TestParamsTellTheWholeLearner(t *testing.T) {
	in := quick(t, 300, nil)
	show := func(edit func(*spec.Spec)) map[string]string {
		in := in
		in.Spec = in.Spec.Clone()
		edit(in.Spec)
		require.NoError(t, in.Spec.Validate())
		return params(in, data{}, &fitted{trees: &gbdt.Ensemble{}})
	}
	plain := show(func(*spec.Spec) {})
	require.Equal(t, "0", plain["min_gain"])
	require.NotContains(t, plain, "monotone_increasing")
	require.Contains(t, plain["encoding_by_column"], `"onehot":["InternetService","PaymentMethod"]`)
	score := -1.25
	for key, c := range map[string]struct {
		edit func(*spec.Spec)
		want string
	}{
		"min_gain":            {func(s *spec.Spec) { s.Learner.MinGain = 0.5 }, "0.5"},
		"base_score":          {func(s *spec.Spec) { s.Learner.BaseScore = &score }, "-1.25"},
		"monotone_increasing": {func(s *spec.Spec) { s.Learner.Monotone = &spec.Monotone{Increasing: []string{"tenure"}} }, `["tenure"]`},
		"monotone_decreasing": {func(s *spec.Spec) { s.Learner.Monotone = &spec.Monotone{Decreasing: []string{"tenure"}} }, `["tenure"]`},
		"interactions":        {func(s *spec.Spec) { s.Learner.Interactions = [][]string{{"tenure", "Contract"}} }, `[["tenure","Contract"]]`},
		"categorical_splits_smooth": {func(s *spec.Spec) {
			s.Columns.Categorical[0].Encoding = spec.EncodingNative
			c := spec.DefaultCategoricalSplits()
			c.Smooth = 3
			s.Learner.CategoricalSplits = &c
		}, "3"},
		"categorical_splits_min_rows": {func(s *spec.Spec) { s.Columns.Categorical[0].Encoding = spec.EncodingNative }, "100"},
		"target_smoothing":            {func(s *spec.Spec) { s.Features.Encoding = spec.EncodingTarget }, "10"},
	} {
		got := show(c.edit)
		require.Equal(t, c.want, got[key], key)
		require.NotEqual(t, plain[key], got[key], key)
	}
}

// A loss in which positive rows weigh more must not stand under the name of one in which they don't.
func TestWeightedLossIsNamedSo(t *testing.T) {
	for _, weight := range []float64{1, 3} {
		for _, folds := range []int{0, 2} {
			res, err := Train(context.Background(), quick(t, 400, func(sp *spec.Spec) { sp.Learner.PositiveWeight, sp.Learner.Folds = weight, folds }))
			require.NoError(t, err)
			for _, part := range []string{"train", "validation"} {
				plain, weighted := res.Metrics[part+"_log_loss"], res.Metrics[part+"_weighted_log_loss"]
				require.Equal(t, weight == 1, plain > 0)
				require.Equal(t, weight != 1, weighted > 0)
			}
		}
	}
}

// With folds nothing asks for a validation part, and with weights and bases far from the rows' own there is still a model.
func TestFarWeightsAndBases(t *testing.T) {
	low, high := -10.0, 3.0
	for name, edit := range map[string]func(*spec.Spec){
		"no validation part": func(s *spec.Spec) { s.Split.Validation = 0 },
		"base score -10":     func(s *spec.Spec) { s.Learner.BaseScore, s.Learner.MinChildWeight = &low, 0 },
		"base score 3":       func(s *spec.Spec) { s.Learner.BaseScore, s.Learner.MinChildWeight = &high, 0 },
		"weight 0.001":       func(s *spec.Spec) { s.Learner.PositiveWeight, s.Learner.MinChildWeight = 0.001, 0 },
		"weight 1000":        func(s *spec.Spec) { s.Learner.PositiveWeight, s.Learner.MinChildWeight = 1000, 0 },
	} {
		res, err := Train(context.Background(), quick(t, 600, edit))
		require.NoError(t, err, name)
		require.Greater(t, res.Metrics["roc_auc"], 0.6, name)
	}
}
