package trainer

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/trainer/tune"
)

func newTuning(t *testing.T, in Input, metric string) *Tuning {
	t.Helper()
	u, err := NewTuning(in.Spec, in.Schema, in.Dataset, TuneOptions{Metric: metric, Outer: 2, Inner: 2, Seed: 1, Threads: 2})
	require.NoError(t, err)
	return u
}

// present returns the spec's own point.
func (t *Tuning) present() map[string]float64 {
	point := map[string]float64{}
	for i, d := range t.space {
		point[d.Name] = t.first[i]
	}
	return point
}

// The present parameters are judged as the spec trains, and any others as the spec that would be written trains.
func TestWhatIsJudgedIsWhatTheSpecTrains(t *testing.T) {
	for name, edit := range map[string]func(*spec.Learner){
		"folds":                           func(l *spec.Learner) { l.Folds = 3 },
		"folds and all trees":             func(l *spec.Learner) { l.Folds, l.EarlyStoppingRounds = 3, 0 },
		"a validation part":               func(l *spec.Learner) { l.Folds = 0 },
		"no folds, no early stopping":     func(l *spec.Learner) { l.Folds, l.EarlyStoppingRounds = 0, 0 },
		"a validation part, soon stopped": func(l *spec.Learner) { l.Folds, l.EarlyStoppingRounds = 0, 2 },
	} {
		t.Run(name, func(t *testing.T) {
			in := quick(t, 500, func(sp *spec.Spec) { edit(&sp.Learner) })
			u := newTuning(t, in, TuneLogLoss)
			require.Equal(t, in.Spec, Apply(in.Spec, u.present()), "the present point changes nothing")
			figures, err := u.Judge(t.Context(), 0, u.present())
			require.NoError(t, err)
			var d data
			d.table = in.Dataset
			var own []int
			for i, r := range u.rows {
				if u.fold[i] == 0 {
					own = append(own, r)
				} else {
					d.older.add(r, in.Dataset.ID(r), in.Spec.Split)
				}
			}
			f, err := d.fit(context.Background(), in, own)
			require.NoError(t, err)
			require.Equal(t, float64(f.trees.Trees()), figures["trees"])
			if in.Spec.Learner.EarlyStoppingRounds == 0 {
				require.Equal(t, float64(in.Spec.Learner.Trees), figures["trees"])
			}

			other := u.present()
			other["learning_rate"], other["l2"] = 0.1, 7
			written := Apply(in.Spec, other)
			require.Equal(t, 2*in.Spec.Learner.Trees, written.Learner.Trees, "at half the rate")
			require.Equal(t, in.Spec.Learner.Folds, written.Learner.Folds)
			require.Positive(t, written.Learner.EarlyStoppingRounds)
			want, err := u.Judge(t.Context(), 1, other)
			require.NoError(t, err)
			in.Spec = written
			w := newTuning(t, in, TuneLogLoss)
			got, err := w.Judge(t.Context(), 1, w.present())
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

// Trials and judgements must hold the same quantity: figures of published scores. Weighting the positive rows moves raw scores far from
// probabilities; calibration takes them back.
func TestScoresOfTrialsAreCalibrated(t *testing.T) {
	figures := func(method spec.Calibration) (trial, judged map[string]float64) {
		in := quick(t, 800, func(sp *spec.Spec) { sp.Learner.PositiveWeight, sp.Calibration = 8, method })
		u := newTuning(t, in, TuneLogLoss)
		loss, trial, err := u.Score(t.Context(), 0, u.present())
		require.NoError(t, err)
		require.Equal(t, trial[TuneLogLoss], loss)
		judged, err = u.Judge(t.Context(), 0, u.present())
		require.NoError(t, err)
		return trial, judged
	}
	raw, rawJudged := figures(spec.CalibrationNone)
	trial, judged := figures(spec.CalibrationSigmoid)
	require.Equal(t, raw["trees"], trial["trees"])
	require.InDelta(t, raw[TuneROCAUC], trial[TuneROCAUC], 1e-12, "a sigmoid keeps the order")
	require.Greater(t, raw[TuneLogLoss]-trial[TuneLogLoss], 0.1)
	require.Greater(t, rawJudged[TuneLogLoss]-judged[TuneLogLoss], 0.1)
	require.InDelta(t, judged[TuneLogLoss], trial[TuneLogLoss], 0.1)
}

// Depth and leaves must not be searched apart where both bound a tree: no point may ask for leaves that the depth does not let grow.
func TestDepthAndLeavesAreSearchedTogether(t *testing.T) {
	for name, c := range map[string]struct {
		depth, leaves int
		searched      string // empty: neither
		high          float64
	}{
		"depth alone":                 {4, 0, "max_depth", 8},
		"leaves alone":                {0, 31, "max_leaves", 128},
		"both":                        {4, 9, "max_leaves", 16},
		"both, shallow":               {2, 3, "max_leaves", 4},
		"both, the leaves never bind": {3, 64, "max_leaves", 8},
		"both, deep":                  {20, 31, "max_leaves", 128},
		"a stump":                     {1, 31, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			in := quick(t, 200, func(sp *spec.Spec) { sp.Learner.MaxDepth, sp.Learner.MaxLeaves = c.depth, c.leaves })
			u := newTuning(t, in, TuneLogLoss)
			found := ""
			for _, d := range u.space {
				if d.Name == "max_depth" || d.Name == "max_leaves" {
					require.Empty(t, found, "one of them")
					require.Equal(t, c.high, d.High)
					found = d.Name
				}
			}
			require.Equal(t, c.searched, found)
			require.NoError(t, u.space.Validate())
			s := tune.NewSearch(u.space, u.first, 1)
			for n := range 100 {
				point := map[string]float64{}
				for i, v := range s.Next() {
					point[u.space[i].Name] = v
				}
				s.Tell(float64(n % 5))
				sp := Apply(in.Spec, point)
				require.NoError(t, sp.Validate())
				if n > 0 && c.depth > 1 && c.leaves > 0 {
					require.Equal(t, c.depth, sp.Learner.MaxDepth)
					require.LessOrEqual(t, sp.Learner.MaxLeaves, 1<<c.depth)
				}
			}
		})
	}
}
