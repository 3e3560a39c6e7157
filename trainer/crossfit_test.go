package trainer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// quick returns an input of generated rows that trains in a moment.
func quick(t testing.TB, rows int, edit func(*spec.Spec)) Input {
	t.Helper()
	sp := spec.Telco()
	sp.Learner.Trees, sp.Learner.LearningRate, sp.Learner.EarlyStoppingRounds = 20, 0.2, 5
	if edit != nil {
		edit(sp)
	}
	require.NoError(t, sp.Validate())
	table := modeltest.Table(t, modeltest.Options{Spec: sp, Rows: rows})
	return Input{Spec: sp, Schema: table.Schema(), Dataset: table, RunID: "quick", DatasetFingerprint: "xxh64:0", Threads: 2}
}

func allRows(t *dataset.Table) sample {
	return sample{rows: manyRows(t.Len())}
}

// A row's out-of-fold score must not depend on the row: changing rows of one fold changes no other score of that fold.
func TestOutOfFoldScoresComeFromTreesThatNeverSawTheRow(t *testing.T) {
	in := quick(t, 400, func(sp *spec.Spec) { sp.Learner.EarlyStoppingRounds = 0 })
	before, err := crossValidate(context.Background(), in, in.Dataset, allRows(in.Dataset), nil)
	require.NoError(t, err)
	require.Equal(t, 20, before.trees, "without early stopping all trees are kept")

	changed := dataset.NewTable(in.Schema)
	row := in.Schema.NewRow()
	for i := range in.Dataset.Len() {
		in.Dataset.Row(i, row)
		if before.fold[i] == 0 {
			for k := range row.Num {
				row.Num[k] = 0
			}
		}
		changed.Append(row)
	}
	after, err := crossValidate(context.Background(), in, changed, allRows(changed), nil)
	require.NoError(t, err)
	require.Equal(t, before.fold, after.fold)
	moved := 0
	for i, fold := range before.fold {
		if fold != 0 && before.score[i] != after.score[i] {
			moved++
		}
	}
	require.Greater(t, moved, 100, "the other folds' trees saw the changed rows")

	var own [2]*foldModel
	for k, table := range []*dataset.Table{in.Dataset, changed} {
		unseen, seen, places := allRows(table).split(before.fold, 0)
		own[k] = &foldModel{unseen: unseen, places: places}
		require.NoError(t, own[k].fit(context.Background(), in, table, seen, newPace(1, 1, 0).of(context.Background(), 0, nil)))
	}
	want, _, err := probabilities(own[0].trees, own[0].pipeline, in.Dataset, own[0].unseen)
	require.NoError(t, err)
	got, _, err := probabilities(own[1].trees, own[1].pipeline, in.Dataset, own[0].unseen)
	require.NoError(t, err)
	require.Equal(t, want, got, "trees of a fold know nothing of its rows")
}

func TestNumberOfTreesIsWhereTheFoldsTogetherLoseLeast(t *testing.T) {
	loss := [][]float64{{0.6, 0.5, 0.4, 0.5, 0.6}, {0.6, 0.5, 0.45, 0.4}} // the second ran out of splits
	weight := []float64{1, 3}
	curve, trees := chooseTrees(loss, weight, 10)
	require.Equal(t, 4, trees)
	require.InDeltaSlice(t, []float64{0.6, 0.5, 0.4375, 0.425, 0.45}, curve, 1e-12)
	_, trees = chooseTrees(loss, weight, 0)
	require.Equal(t, 5, trees, "without early stopping all trees are kept")
	curve, trees = chooseTrees([][]float64{{0.6, 0.5, 0.5, 0.4}}, []float64{1}, 1)
	require.Equal(t, 2, trees, "what comes after the end does not count")
	require.Len(t, curve, 3)
}

// Folds of every speed must end at the same number of trees, and none may run away.
func TestFoldsKeepPace(t *testing.T) {
	losses := func(fold, tree int) float64 { // least at tree 20, and a little later in each fold
		d := float64(tree-20-2*fold) / 20
		return 0.5 + d*d
	}
	for turns := 1; turns <= 5; turns++ {
		p := newPace(5, turns, 10)
		grown := make([]int, 5)
		group, ctx := errgroup.WithContext(t.Context())
		var working, most atomic.Int32
		for j := range p.weight {
			p.weight[j] = 1
			group.Go(func() error {
				f := p.of(ctx, j, nil)
				if err := f.begin(); err != nil {
					return err
				}
				defer f.finish()
				for tree := 1; tree <= 200; tree++ {
					most.Store(max(most.Load(), working.Add(1)))
					for range j * 100 {
						runtime.Gosched()
					}
					working.Add(-1)
					grown[j] = tree
					if err := f.tree(gbdt.Progress{Tree: tree, ValidLoss: losses(j, tree)}); errors.Is(err, gbdt.ErrEnough) {
						return nil
					} else if err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(t, group.Wait())
		curve, trees := chooseTrees(p.loss, p.weight, 10)
		require.Equal(t, 24, trees)
		require.Len(t, curve, 34)
		require.LessOrEqual(t, int(most.Load()), turns)
		for j, n := range grown {
			require.GreaterOrEqual(t, n, 34-1, "fold %d", j)
			require.LessOrEqual(t, n, 34+aheadMost+1, "fold %d", j)
		}
	}
}

func TestAFoldThatFailsEndsTheOthers(t *testing.T) {
	broken := errors.New("broken")
	p := newPace(3, 1, 10)
	group, ctx := errgroup.WithContext(t.Context())
	defer context.AfterFunc(ctx, p.wake)()
	for j := range p.weight {
		group.Go(func() error {
			f := p.of(ctx, j, nil)
			if err := f.begin(); err != nil {
				return err
			}
			defer f.finish()
			for tree := 1; ; tree++ {
				if j == 1 {
					return broken
				}
				if err := f.tree(gbdt.Progress{Tree: tree, ValidLoss: 1 / float64(tree)}); err != nil {
					return err
				}
			}
		})
	}
	err := group.Wait()
	require.True(t, errors.Is(err, broken) || errors.Is(err, gbdt.ErrEnough), "%v", err)
}

func TestFoldsKeepAnEntityTogether(t *testing.T) {
	in := quick(t, 300, nil)
	twice := dataset.NewTable(in.Schema)
	row := in.Schema.NewRow()
	for i := range 2 * in.Dataset.Len() {
		twice.Append(in.Dataset.Row(i%in.Dataset.Len(), row))
	}
	cv, err := crossValidate(context.Background(), in, twice, allRows(twice), nil)
	require.NoError(t, err)
	for i := range in.Dataset.Len() {
		require.Equal(t, cv.fold[i], cv.fold[i+in.Dataset.Len()])
		require.Equal(t, cv.score[i], cv.score[i+in.Dataset.Len()])
	}
}

func TestTrainWithoutFolds(t *testing.T) {
	in := quick(t, 600, func(sp *spec.Spec) { sp.Learner.Folds = 0 })
	res, err := Train(context.Background(), in)
	require.NoError(t, err)
	require.NotContains(t, res.Metrics, "cv_roc_auc_mean")
	require.Equal(t, "0", res.Params["folds"])
	require.Positive(t, res.Bundle.Manifest.Rows.Validation)

	in.Spec = in.Spec.Clone()
	in.Spec.Learner.Folds = 4
	all, err := Train(context.Background(), in)
	require.NoError(t, err)
	require.Equal(t, res.Holdout, all.Holdout, "the holdout is the same")
	rows, before := all.Bundle.Manifest.Rows, res.Bundle.Manifest.Rows
	require.Zero(t, rows.Validation)
	require.Equal(t, before.Training+before.Validation, rows.Training, "the validation part is trained on too")
	for _, name := range []string{"roc_auc", "pr_auc", "log_loss", "brier"} {
		require.Less(t, all.Metrics["cv_"+name+"_low"], all.Metrics["cv_"+name+"_mean"])
		require.Less(t, all.Metrics["cv_"+name+"_mean"], all.Metrics["cv_"+name+"_high"])
		require.Positive(t, all.Metrics["cv_"+name+"_se"])
	}
}

func TestEveryLearnerGivesTheSameBytesWhateverTheThreads(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*spec.Spec)
	}{
		{"folds", nil},
		{"validation", func(sp *spec.Spec) { sp.Learner.Folds = 0 }},
		{"sigmoid and cost", func(sp *spec.Spec) {
			sp.Calibration = spec.CalibrationSigmoid
			sp.Threshold = &spec.Decision{By: spec.RuleCost, Cost: &spec.Costs{TruePositive: 1, FalsePositive: 1, FalseNegative: 5}}
		}},
		{"isotonic and profit", func(sp *spec.Spec) {
			sp.Calibration = spec.CalibrationIsotonic
			sp.Threshold = &spec.Decision{By: spec.RuleProfit}
		}},
		{"target encoding", func(sp *spec.Spec) { sp.Features.Encoding = spec.EncodingTarget }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := quick(t, 600, tc.edit)
			var first []byte
			for _, threads := range []int{1, 2, 8} {
				in.Threads = threads
				res, err := Train(context.Background(), in)
				require.NoError(t, err)
				require.NoError(t, res.Bundle.Verify())
				data, err := res.Bundle.Encode()
				require.NoError(t, err)
				if first == nil {
					first = data
				}
				require.Equal(t, first, data, "%d threads", threads)
			}
		})
	}
}

// The rules must choose what they say: on the rows that they chose on, no other threshold costs less or earns more.
func TestThresholdFollowsItsRule(t *testing.T) {
	score := []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}
	label := []float64{0, 0, 1, 0, 0, 1, 0, 1}
	costly := &spec.Decision{By: spec.RuleCost, Cost: &spec.Costs{FalsePositive: 1, FalseNegative: 10}}
	low, err := chooseThreshold(costly, score, label, nil)
	require.NoError(t, err)
	require.InDelta(t, 0.25, low, 1e-9, "to miss a positive row costs ten false alarms")
	costly.Cost = &spec.Costs{FalsePositive: 10, FalseNegative: 1}
	high, err := chooseThreshold(costly, score, label, nil)
	require.NoError(t, err)
	require.InDelta(t, 0.75, high, 1e-9)
	f1, err := chooseThreshold(nil, score, label, nil)
	require.NoError(t, err)
	want, _, err := eval.BestF1Threshold(score, label, nil)
	require.NoError(t, err)
	require.Equal(t, want, f1)
	cheap, err := chooseThreshold(&spec.Decision{By: spec.RuleProfit}, score, label, nil)
	require.NoError(t, err)
	dear, err := chooseThreshold(&spec.Decision{By: spec.RuleProfit, Profit: &spec.Profit{LifetimeValue: 200, Incentive: 100, Contact: 20, Alpha: 6, Beta: 14}}, score, label, nil)
	require.NoError(t, err)
	require.Less(t, cheap, dear, "a dear campaign is for fewer customers")
}

func TestCalibrationOfAModelWhosePositiveRowsWeighMore(t *testing.T) {
	in := quick(t, 600, nil)
	s := allRows(in.Dataset)
	s.weight = make([]float64, len(s.rows))
	for i, r := range s.rows {
		s.weight[i] = 1 + 3*in.Dataset.Label(r)
	}
	in.Spec.Calibration = spec.CalibrationSigmoid
	f, err := fitOnFolds(context.Background(), in, in.Dataset, s)
	require.NoError(t, err)
	slope, intercept, ok := f.calibrator.Line()
	require.True(t, ok)
	require.False(t, slope == 1 && intercept == 0)
}

func TestTooFewOfAClassForTheFoldsIsSaid(t *testing.T) {
	in := quick(t, 200, func(sp *spec.Spec) { sp.Learner.Folds = 20 })
	few := dataset.NewTable(in.Schema)
	row := in.Schema.NewRow()
	positive := 0
	for i := range in.Dataset.Len() {
		in.Dataset.Row(i, row)
		if row.Label == 1 {
			if positive++; positive > 10 {
				continue
			}
		}
		few.Append(row)
	}
	in.Dataset = few
	_, err := Train(context.Background(), in)
	var step *StepError
	require.ErrorAs(t, err, &step)
	require.Equal(t, "split", step.Step)
	require.ErrorContains(t, err, "20 folds")
}

func TestProgressEndsAllFits(t *testing.T) {
	in := quick(t, 400, nil)
	enough := errors.New("enough")
	seen := 0
	in.OnTree = func(p gbdt.Progress) error {
		if seen++; p.Tree != seen {
			return fmt.Errorf("tree %d after %d", p.Tree, seen)
		}
		if seen == 30 {
			return enough
		}
		return nil
	}
	_, err := Train(context.Background(), in)
	require.ErrorIs(t, err, enough)
	require.Less(t, seen, 40)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(enough)
	_, err = Train(ctx, in)
	require.ErrorIs(t, err, enough)
	var step *StepError
	require.False(t, errors.As(err, &step), "a context's end is not the data's fault")
}
