package trainer

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/feature"
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
