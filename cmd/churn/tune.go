package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"telco-churn-mlops/internal/connect"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/trainer"
	"telco-churn-mlops/trainer/tune"
)

type tuneCmd struct {
	specFlags
	Trials  *int          `name:"trials" help:"Trials of each search, the present parameters counted; 30 without it, or what --budget allows, 1000 at most." placeholder:"N"`
	Budget  time.Duration `name:"budget" help:"Time to spend on trials, over all processes that worked on --state." placeholder:"TIME"`
	Metric  string        `name:"metric" default:"log_loss" enum:"log_loss,roc_auc,pr_auc" help:"Figure that chooses: ${enum}."`
	Outer   int           `name:"outer" default:"5" help:"Outer folds, which say what the search brings on rows it never saw."`
	Inner   int           `name:"inner" default:"5" help:"Inner folds, which choose."`
	Seed    uint64        `name:"seed" default:"1" help:"Seed of the outer folds and the trials."`
	State   string        `name:"state" help:"Keep finished trials in a file, and go on from there." placeholder:"FILE"`
	Write   string        `name:"write" help:"Write the spec with the chosen parameters to a new file." placeholder:"FILE"`
	Publish bool          `name:"publish" help:"Publish the outcome as a run of the experiment <model>-tuning to the loop at --nats."`
	remote
	connect.Artifacts
}

// Trials of a search that does not name their number.
const (
	defaultTrials = 30
	mostTrials    = 1000 // within a time budget
)

// trials returns the bound on the trials.
func (c tuneCmd) trials() (int, error) {
	switch {
	case c.Trials != nil && *c.Trials < 1:
		return 0, fmt.Errorf("--trials %d: want 1 at least", *c.Trials)
	case c.Budget < 0:
		return 0, fmt.Errorf("--budget %s: want more than 0", c.Budget)
	case c.Trials != nil:
		return *c.Trials, nil
	case c.Budget > 0:
		return mostTrials, nil
	}
	return defaultTrials, nil
}

// Run searches the learner's parameters and prints what was found, improvement or not: neither is a failure.
func (c tuneCmd) Run(r *run) error {
	sp, path, err := c.load()
	if err != nil {
		return err
	}
	if path == "" {
		return errors.New("the spec names no dataset to search on: give --data")
	}
	if _, err := c.trials(); err != nil {
		return err
	}
	if c.Write != "" { // before hours of work, and not after
		if _, err := os.Lstat(c.Write); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("--write %s: the file is there already", c.Write)
		}
	}
	sch, err := dataset.NewSchema(sp)
	if err != nil {
		return err
	}
	began := time.Now()
	data, _, fingerprint, err := trainer.LoadDataset(r.ctx, sp, sch, path)
	if err != nil {
		return err
	}
	t, err := trainer.NewTuning(sp, sch, data, trainer.TuneOptions{Metric: c.Metric, Outer: c.Outer, Inner: c.Inner, Seed: c.Seed})
	var folds *trainer.FoldsError
	switch {
	case errors.As(err, &folds) && folds.Inner:
		return fmt.Errorf("--inner %d: %w", c.Inner, err)
	case errors.As(err, &folds):
		return fmt.Errorf("--outer %d: %w", c.Outer, err)
	case err != nil:
		return err
	}
	found, err := c.search(r, t, fingerprint)
	if err != nil {
		return err
	}
	result := c.result(sp, t, found, fingerprint)
	if c.Write != "" {
		if err := writeTuned(c.Write, result); err != nil {
			return err
		}
		result.Written = c.Write
	}
	var failed error // what was found is printed all the same
	if c.Publish {
		if result.RunID, failed = c.publish(r, result, began); failed != nil {
			failed = fmt.Errorf("publish: %w", failed)
		}
	}
	if r.JSON {
		return errors.Join(failed, r.json(result))
	}
	return errors.Join(failed, result.print(r, c.Metric))
}

// memory is a log for a search whose trials nobody keeps.
type memory struct{}

// Append keeps nothing.
func (memory) Append(tune.Entry) error { return nil }

func (c tuneCmd) search(r *run, t *trainer.Tuning, fingerprint string) (found *tune.Outcome, err error) {
	trials, err := c.trials()
	if err != nil {
		return nil, err
	}
	space, first := t.Space()
	config := tune.Config{Space: space, First: first, Seed: c.Seed, Outer: c.Outer, Trials: trials, Budget: c.Budget, Objective: t, Log: memory{}}
	if c.State != "" {
		journal, done, err := tune.OpenJournal(c.State, t.Key(fingerprint))
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, journal.Close()) }()
		config.Log, config.Done = journal, done
	}
	p := &tuneProgress{run: r, config: &config, metric: c.Metric, began: time.Now()}
	if f, ok := r.errs.(*os.File); ok && isatty.IsTerminal(f.Fd()) && !r.NoColor {
		p.live = true
	}
	p.say("%d rows, the holdout left out; %d outer and %d inner folds; %s chooses; %d finished pieces of work found", t.Rows(), c.Outer, c.Inner, c.Metric, len(config.Done))
	config.OnEntry = p.entry
	found, err = tune.Run(r.ctx, config)
	p.clear()
	if err != nil && r.ctx.Err() != nil {
		next := "without --state no trial is kept"
		if c.State != "" {
			next = "finished trials are in " + c.State + ", go on with the same command"
		}
		err = &interrupted{err, next}
	}
	return found, err
}

// tuneResult is the outcome of a search, for programs and as the artifact tune.json of its run.
type tuneResult struct {
	Model       string                  `json:"model"`
	Metric      string                  `json:"metric"`
	Improves    bool                    `json:"improves"` // on outer folds, by more than chance explains
	Worsens     bool                    `json:"worsens"`  // likewise
	Verdict     string                  `json:"verdict"`
	Trials      int                     `json:"trials"` // of each search
	EndedBy     tune.Bound              `json:"ended_by"`
	WorkSeconds float64                 `json:"work_seconds"`
	Rows        int                     `json:"rows"`
	Dataset     string                  `json:"dataset_fingerprint"`
	SpecDigest  string                  `json:"spec_digest"`
	Present     map[string]float64      `json:"present"`
	Chosen      map[string]float64      `json:"chosen"`
	Compared    map[string]tuneCompared `json:"compared"`
	Ranked      []tune.Entry            `json:"ranked"`
	Outer       []tune.Judgement        `json:"outer"`
	Written     string                  `json:"written,omitempty"`
	RunID       string                  `json:"run_id,omitempty"`

	space tune.Space
	base  *spec.Spec // as it is
	spec  *spec.Spec // with the chosen parameters
}

// tuneCompared is a figure over the outer folds.
type tuneCompared struct {
	Present    float64  `json:"present"`
	Chosen     float64  `json:"chosen"`
	Difference float64  `json:"difference"`
	Low        *float64 `json:"low,omitempty"` // of the difference, 95 %
	High       *float64 `json:"high,omitempty"`
	P          *float64 `json:"p,omitempty"`
	Better     int      `json:"folds_better"` // outer folds on which the chosen parameters' figure is the better one
	Folds      int      `json:"folds"`
}

func (c tuneCmd) result(sp *spec.Spec, t *trainer.Tuning, found *tune.Outcome, fingerprint string) *tuneResult {
	space, first := t.Space()
	best := found.Best()
	out := &tuneResult{
		Model: sp.Name, Metric: c.Metric, Trials: found.Trials, EndedBy: found.Bound,
		Improves: found.Improves(c.Metric, c.Metric == trainer.TuneLogLoss), Worsens: found.Worsens(c.Metric, c.Metric == trainer.TuneLogLoss),
		WorkSeconds: found.Spent.Seconds(), Rows: t.Rows(), Dataset: fingerprint, SpecDigest: sp.Digest(),
		Present: map[string]float64{}, Chosen: best.Point, Compared: map[string]tuneCompared{},
		Ranked: found.Ranked, Outer: found.Outer, space: space, base: sp, spec: trainer.Apply(sp, best.Point),
	}
	for i, d := range space {
		out.Present[d.Name] = first[i]
	}
	for name, v := range found.Compared {
		x := tuneCompared{Present: v.B, Chosen: v.A, Difference: v.Mean, Folds: len(found.Outer)}
		for _, j := range found.Outer {
			present, chosen := j.Present.Figures[name], j.Chosen.Figures[name]
			if name == trainer.TuneLogLoss && chosen < present || name != trainer.TuneLogLoss && chosen > present {
				x.Better++
			}
		}
		for at, f := range map[**float64]interface{ Value() (float64, bool) }{&x.Low: v.Low, &x.High: v.High, &x.P: v.P} {
			if value, ok := f.Value(); ok {
				*at = &value
			}
		}
		out.Compared[name] = x
	}
	out.Verdict = out.verdict()
	return out
}

// verdict says what the outer folds say of the metric, and whether there is anything to change.
func (t *tuneResult) verdict() string {
	same, c := t.Ranked[0].Trial == 0, t.Compared[t.Metric]
	switch {
	case t.Improves && same:
		return "searching improves on outer folds, but on all rows the present parameters are the best: nothing to change"
	case t.Improves:
		return fmt.Sprintf("improves: on rows that no search saw, %s is better by more than chance explains", t.Metric)
	case t.Worsens:
		return fmt.Sprintf("did not improve: on rows that no search saw, %s is worse by more than chance explains; keep the present parameters", t.Metric)
	case same:
		return "did not improve: nothing better than the present parameters was found"
	case c.Low == nil || c.High == nil:
		return fmt.Sprintf("did not improve: on rows that no search saw, the difference in %s has no interval that could tell it from chance", t.Metric)
	}
	return fmt.Sprintf("did not improve: on rows that no search saw, the difference in %s is within what chance explains", t.Metric)
}

// header says, before the spec that is written, where it is from and what else is not as it was.
func (t *tuneResult) header() string {
	out := fmt.Sprintf("# The learner's parameters were chosen by churn tune, by %s, in %d trials.\n# The search %s.\n", t.Metric, t.Trials, t.Verdict)
	was, is := t.base.Learner, t.spec.Learner
	var beside []string
	if is.Trees != was.Trees {
		beside = append(beside, fmt.Sprintf("trees from %d to %d, as the learning rate is lower", was.Trees, is.Trees))
	}
	if is.EarlyStoppingRounds != was.EarlyStoppingRounds {
		beside = append(beside, fmt.Sprintf("early_stopping_rounds from %d to %d, as other parameters need another number of trees", was.EarlyStoppingRounds, is.EarlyStoppingRounds))
	}
	if len(beside) > 0 {
		out += "# The outer folds judged it as it stands here. What changed beside the parameters searched: " + strings.Join(beside, "; ") + ".\n"
	}
	return out
}

// writeTuned writes the spec to a new file, with a word on where it is from.
func writeTuned(path string, t *tuneResult) error {
	text, err := t.spec.Marshal()
	if err != nil {
		return fmt.Errorf("--write %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("--write: %w", err)
	}
	_, err = io.WriteString(f, t.header()+string(text))
	return errors.Join(err, f.Sync(), f.Close())
}
