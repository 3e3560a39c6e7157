package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/trainer"
	"telco-churn-mlops/trainer/tune"
)

// tuner searches on a few generated customers with a learner of a moment.
type tuner struct {
	dir, spec, data string
}

func newTuner(t *testing.T) tuner {
	t.Helper()
	u := tuner{dir: t.TempDir()}
	u.spec, u.data = u.path("spec.yaml"), u.path("customers.csv")
	sp := spec.Telco()
	sp.Learner.Trees, sp.Learner.LearningRate, sp.Learner.EarlyStoppingRounds = 8, 0.3, 4
	sp.Expectations.MinRows = 100
	text, err := sp.Marshal()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(u.spec, text, 0o600))
	_, _, err = churn(t, "generate", "--rows", "500", "--output", u.data)
	require.NoError(t, err)
	return u
}

func (u tuner) path(name string) string { return filepath.Join(u.dir, name) }

func (u tuner) args(more ...string) []string {
	return append([]string{"tune", "--spec", u.spec, "--data", u.data, "--outer", "2", "--inner", "2", "--trials", "4"}, more...)
}

// outcome runs a search and returns what it found but for the time it took.
func (u tuner) outcome(t *testing.T, more ...string) tuneResult {
	t.Helper()
	out, notes, err := churn(t, u.args(append(more, "--json")...)...)
	require.NoError(t, err, notes)
	require.Empty(t, notes)
	var r tuneResult
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	r.WorkSeconds = 0
	for i := range r.Ranked {
		r.Ranked[i].Seconds = 0
	}
	for i := range r.Outer {
		r.Outer[i].Present.Seconds, r.Outer[i].Chosen.Seconds = 0, 0
	}
	return r
}

// killer ends a command once a file has so many lines.
type killer struct {
	screen
	path  string
	lines int
	kill  context.CancelFunc
}

// Write is called for the line after each round.
func (k *killer) Write(p []byte) (int, error) {
	if data, err := os.ReadFile(k.path); err == nil && bytes.Count(data, []byte("\n")) >= k.lines {
		k.kill()
	}
	return k.screen.Write(p)
}

func TestTune(t *testing.T) {
	u := newTuner(t)
	want := u.outcome(t)
	require.Equal(t, 4, want.Trials)
	require.Len(t, want.Ranked, 4)
	require.Len(t, want.Outer, 2)
	require.Equal(t, want, u.outcome(t), "the same again")

	t.Run("killed and resumed", func(t *testing.T) {
		state := u.path("tune.jsonl")
		for _, lines := range []int{2, 8} {
			ctx, cancel := context.WithCancel(t.Context())
			k := &killer{path: state, lines: lines, kill: cancel}
			err := command(ctx, "", &screen{}, k, u.args("--state", state)...)
			require.ErrorIs(t, err, context.Canceled)
		}
		require.Equal(t, want, u.outcome(t, "--state", state))
		before, err := os.ReadFile(state)
		require.NoError(t, err)
		require.Equal(t, want, u.outcome(t, "--state", state), "nothing is left to do")
		after, err := os.ReadFile(state)
		require.NoError(t, err)
		require.Equal(t, string(before), string(after))

		_, _, err = churn(t, u.args("--state", state, "--metric", "roc_auc")...)
		require.ErrorContains(t, err, "holds the trials of another search")
	})
	t.Run("for people", func(t *testing.T) {
		written := u.path("tuned.yaml")
		out, notes, err := churn(t, u.args("--write", written)...)
		require.NoError(t, err)
		require.Contains(t, notes, "trial 4 of 4, search 3 of 3")
		require.Contains(t, out, "4 trials in each of 3 searches")
		require.Contains(t, out, "ended by the bound on trials")
		require.Contains(t, out, "less log_loss is better")
		require.Contains(t, out, "present")
		require.Contains(t, out, want.Verdict)
		text, err := os.ReadFile(written)
		require.NoError(t, err)
		sp, err := spec.Parse(text)
		require.NoError(t, err)
		require.Equal(t, want.Chosen["learning_rate"], sp.Learner.LearningRate)
		require.Equal(t, want.Chosen["l2"], sp.Learner.L2)
		base, err := spec.Parse(mustRead(t, u.spec))
		require.NoError(t, err)
		require.Equal(t, trainer.Apply(base, want.Chosen), sp, "all else is as it was")

		_, _, err = churn(t, u.args("--write", written)...)
		require.ErrorContains(t, err, "there already")
	})
	t.Run("refuses", func(t *testing.T) {
		few, mostHeldOut := u.path("few.csv"), u.path("few.yaml")
		_, _, err := churn(t, "generate", "--rows", "120", "--output", few)
		require.NoError(t, err)
		sp := spec.Telco()
		sp.Split.Holdout, sp.Expectations.MinRows = 0.6, 10
		text, err := sp.Marshal()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(mostHeldOut, text, 0o600))
		for want, args := range map[string][]string{
			"give --data":        {"tune"},
			"outer":              u.args("--outer", "1"),
			"--trials 0: want 1": u.args("--trials", "0"),
			"want more than 0":   u.args("--budget=-1s"),
			"--inner 20: deal the rows to 20 inner folds": {"tune", "--spec", mostHeldOut, "--data", few, "--outer", "2", "--inner", "20"},
			"--outer 20: deal the rows to 20 outer folds": {"tune", "--spec", mostHeldOut, "--data", few, "--outer", "20", "--inner", "2"},
			"no such file":        {"tune", "--data", u.path("none.csv")},
			"must be one of":      u.args("--metric", "accuracy"),
			"no journal":          u.args("--state", u.spec),
			"folds":               u.args("--inner", "21"),
			"the file is there":   u.args("--write", u.data),
			"unexpected argument": {"tune", "now"},
		} {
			_, _, err := churn(t, args...)
			require.Error(t, err, want)
			require.Contains(t, strings.ToLower(err.Error()), strings.ToLower(want))
		}
	})
}

func TestTuneBounds(t *testing.T) {
	ten, none := 10, 0
	for want, c := range map[int]tuneCmd{30: {}, 1000: {Budget: time.Minute}, 10: {Trials: &ten, Budget: time.Minute}} {
		got, err := c.trials()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := tuneCmd{Trials: &none, Budget: time.Minute}.trials()
	require.ErrorContains(t, err, "want 1 at least")
}

func TestTuneVerdicts(t *testing.T) {
	end := 0.1
	known := map[string]tuneCompared{"log_loss": {Low: &end, High: &end}}
	for want, r := range map[string]tuneResult{
		"improves: on rows":      {Improves: true, Ranked: []tune.Entry{{Trial: 3}}},
		"searching improves on":  {Improves: true, Ranked: []tune.Entry{{}}},
		"log_loss is worse by":   {Worsens: true, Ranked: []tune.Entry{{Trial: 3}}, Compared: known},
		"keep the present":       {Worsens: true, Ranked: []tune.Entry{{}}, Compared: known},
		"nothing better than":    {Ranked: []tune.Entry{{}}, Compared: known},
		"within what chance":     {Ranked: []tune.Entry{{Trial: 3}}, Compared: known},
		"no interval that could": {Ranked: []tune.Entry{{Trial: 3}}},
	} {
		r.Metric = "log_loss"
		require.Contains(t, r.verdict(), want)
		if !r.Improves {
			require.True(t, strings.HasPrefix(r.verdict(), "did not improve"))
		}
		if r.Worsens {
			require.NotContains(t, r.verdict(), "within what chance explains")
		}
	}
}

// Before there is a figure, none is shown.
func TestTuneProgressBeforeTheFirstFigure(t *testing.T) {
	var notes screen
	p := &tuneProgress{run: &run{errs: &notes}, config: &tune.Config{Outer: 2, Trials: 4}, metric: "log_loss", live: true}
	p.entry(tune.Entry{Judged: true, Figures: map[string]float64{"log_loss": 0.4}})
	require.Contains(t, notes.String(), "judging on outer fold 1 of 2  best log_loss - (present -)")
	p.entry(tune.Entry{Arm: 2, Figures: map[string]float64{"log_loss": 0.5}})
	require.Contains(t, notes.String(), "trial 1 of 4, search 3 of 3  best log_loss 0.50000 (present 0.50000)")
}

func TestWrittenSpecSaysWhatElseChanged(t *testing.T) {
	base := spec.Telco()
	base.Learner.Trees, base.Learner.LearningRate, base.Learner.EarlyStoppingRounds = 100, 0.2, 0
	r := tuneResult{Metric: "log_loss", Trials: 3, Verdict: "did not improve", base: base}
	r.spec = trainer.Apply(base, map[string]float64{"learning_rate": 0.1})
	path := filepath.Join(t.TempDir(), "tuned.yaml")
	require.NoError(t, writeTuned(path, &r))
	text := string(mustRead(t, path))
	require.Contains(t, text, "trees from 100 to 200")
	require.Contains(t, text, "early_stopping_rounds from 0 to 30")
	sp, err := spec.Parse([]byte(text))
	require.NoError(t, err)
	require.Equal(t, r.spec, sp)
	r.spec = base.Clone()
	require.NotContains(t, r.header(), "beside")
}

// testTunePublished publishes an outcome to the running loop, twice.
func (o *operator) testTunePublished(t *testing.T) {
	u := newTuner(t)
	type listed struct {
		ID        string               `json:"run_id"`
		State     registry.RunState    `json:"state"`
		Version   int                  `json:"version"`
		Completed *events.RunCompleted `json:"completed"`
	}
	var before, after []listed
	o.json(t, &before, "runs")
	var models, still any
	o.json(t, &models, "models")
	args := u.args("--trials", "2", "--state", u.path("tune.jsonl"), "--publish")
	var found tuneResult
	o.json(t, &found, args...)
	require.NotEmpty(t, found.RunID)
	o.json(t, &still, "models")
	require.Equal(t, models, still, "no version came of it")
	o.json(t, &after, "runs")
	require.Len(t, after, len(before)+1)
	i := slices.IndexFunc(after, func(r listed) bool { return r.Completed != nil && r.Completed.RunID == found.RunID })
	require.GreaterOrEqual(t, i, 0)
	run := after[i]
	require.Equal(t, registry.RunCompleted, run.State)
	require.Zero(t, run.Version)
	require.Equal(t, "telco-churn-tuning", run.Completed.Experiment)
	require.Equal(t, found.Verdict, run.Completed.Params["verdict"])
	require.Equal(t, found.Compared["roc_auc"].Chosen, run.Completed.Metrics["roc_auc"])
	require.Len(t, run.Completed.Artifacts, 2)
	var again tuneResult
	o.json(t, &again, u.args("--trials", "1", "--publish")...)
	require.NotEqual(t, found.RunID, again.RunID)
	// Searched anew, so in another time, written to a file, and with another run since.
	o.json(t, &again, u.args("--trials", "2", "--write", u.path("tuned.yaml"), "--publish")...)
	require.Equal(t, found.RunID, again.RunID)
	o.json(t, &after, "runs")
	require.Len(t, after, len(before)+2, "the same outcome is the same run")
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}
