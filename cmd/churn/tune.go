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
	Trials  int           `name:"trials" default:"30" help:"Trials of each search, the present parameters counted; 0 for no bound but --budget."`
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

// Run searches the learner's parameters and prints what was found, improvement or not: neither is a failure.
func (c tuneCmd) Run(r *run) error {
	sp, path, err := c.load()
	if err != nil {
		return err
	}
	if path == "" {
		return errors.New("the spec names no dataset to search on: give --data")
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
	if err != nil {
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
	space, first := t.Space()
	config := tune.Config{Space: space, First: first, Seed: c.Seed, Outer: c.Outer, Trials: c.Trials, Budget: c.Budget, Objective: t, Log: memory{}}
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

// tuneProgress tells how far a search is: on a terminal in one line that changes, elsewhere in a line per round.
type tuneProgress struct {
	run          *run
	config       *tune.Config
	metric       string
	began        time.Time
	live         bool
	seconds      float64
	present      float64
	best         float64
	trial, shown int
}

func (p *tuneProgress) say(format string, args ...any) {
	if !p.run.JSON {
		fmt.Fprintf(p.run.errs, format+"\n", args...)
	}
}

func (p *tuneProgress) entry(e tune.Entry) {
	if p.run.JSON {
		return
	}
	p.seconds += e.Seconds
	last := e.Arm == p.config.Outer
	if v, ok := e.Figures[p.metric]; ok && last && !e.Judged {
		if e.Trial == 0 {
			p.present, p.best = v, v
		}
		better := v < p.best
		if p.metric != trainer.TuneLogLoss {
			better = v > p.best
		}
		if better {
			p.best = v
		}
	}
	p.trial = max(p.trial, e.Trial)
	what := fmt.Sprintf("trial %d, search %d of %d", p.trial, e.Arm+1, p.config.Outer+1)
	if p.config.Trials > 0 {
		what = fmt.Sprintf("trial %d of %d, search %d of %d", p.trial+1, p.config.Trials, e.Arm+1, p.config.Outer+1)
	}
	if e.Judged {
		what = fmt.Sprintf("judging on outer fold %d of %d", e.Arm+1, p.config.Outer)
	}
	line := fmt.Sprintf("%s  best %s %.5f (present %.5f)  %s of work", what, p.metric, p.best, p.present, time.Duration(p.seconds*1e9).Round(time.Second))
	switch {
	case p.live:
		p.clear()
		p.shown, _ = fmt.Fprint(p.run.errs, line)
	case last && !e.Judged:
		p.say("%s", line)
	}
}

// clear takes the line back.
func (p *tuneProgress) clear() {
	if p.shown > 0 {
		fmt.Fprint(p.run.errs, "\r"+strings.Repeat(" ", p.shown)+"\r")
		p.shown = 0
	}
}

// tuneResult is the outcome of a search, for programs and as the artifact tune.json of its run.
type tuneResult struct {
	Model       string                  `json:"model"`
	Metric      string                  `json:"metric"`
	Improves    bool                    `json:"improves"` // on outer folds, by more than chance explains
	Verdict     string                  `json:"verdict"`
	Trials      int                     `json:"trials"` // of each search
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
		Model: sp.Name, Metric: c.Metric, Improves: found.Improves(c.Metric, c.Metric == trainer.TuneLogLoss), Trials: found.Trials,
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
	switch {
	case out.Improves && best.Trial == 0:
		out.Verdict = "searching improves on outer folds, but on all rows the present parameters are the best: nothing to change"
	case out.Improves:
		out.Verdict = fmt.Sprintf("improves: on rows that no search saw, %s is better by more than chance explains", c.Metric)
	case best.Trial == 0:
		out.Verdict = "did not improve: nothing better than the present parameters was found"
	default:
		out.Verdict = fmt.Sprintf("did not improve: on rows that no search saw, the difference in %s is within what chance explains", c.Metric)
	}
	return out
}

// shownTrials is how many trials are printed.
const shownTrials = 8

func (t *tuneResult) print(r *run, metric string) error {
	fmt.Fprintf(r.out, "%d trials in each of %d searches, %s of work. The best of the search on all rows, by inner folds (which flatter the best of many):\n\n",
		t.Trials, len(t.Outer)+1, time.Duration(t.WorkSeconds*1e9).Round(100*time.Millisecond))
	header := "TRIAL\tLOG_LOSS\tROC_AUC\tPR_AUC\tTREES"
	for _, d := range t.space {
		header += "\t" + strings.ToUpper(d.Name)
	}
	err := table(r, header, func(row func(...any)) {
		for i, e := range t.Ranked {
			if i < shownTrials || e.Trial == 0 {
				row(t.cells(e)...)
			}
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "\nOn the %d outer folds, which their searches never saw, trained by the whole recipe:\n\n", len(t.Outer))
	err = table(r, "FIGURE\tPRESENT\tCHOSEN\tDIFFERENCE\t95 % INTERVAL\tP\tFOLDS BETTER", func(row func(...any)) {
		for _, name := range []string{"log_loss", "roc_auc", "pr_auc", "f1_churn"} {
			c, ok := t.Compared[name]
			if !ok {
				continue
			}
			interval, p := "undefined", "undefined"
			if c.Low != nil && c.High != nil {
				interval = fmt.Sprintf("%+.5f to %+.5f", *c.Low, *c.High)
			}
			if c.P != nil {
				p = fmt.Sprintf("%.3f", *c.P)
			}
			if name == metric {
				name = "* " + name
			}
			row(name, fmt.Sprintf("%.5f", c.Present), fmt.Sprintf("%.5f", c.Chosen), fmt.Sprintf("%+.5f", c.Difference), interval, p, fmt.Sprintf("%d of %d", c.Better, c.Folds))
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "\n%s\n", bold(t.Verdict))
	if t.Written != "" {
		fmt.Fprintf(r.out, "spec with the chosen parameters: %s\n", t.Written)
	}
	if t.RunID != "" {
		fmt.Fprintf(r.out, "published as run %s\n", t.RunID)
	}
	return nil
}

func (t *tuneResult) cells(e tune.Entry) []any {
	name := fmt.Sprint(e.Trial)
	if e.Trial == 0 {
		name = "present"
	}
	out := []any{name}
	if e.Failed != "" {
		out = append(out, "failed", "", "", "")
	} else {
		for _, figure := range []string{"log_loss", "roc_auc", "pr_auc"} {
			out = append(out, fmt.Sprintf("%.5f", e.Figures[figure]))
		}
		out = append(out, e.Figures["trees"])
	}
	for _, d := range t.space {
		out = append(out, e.Point[d.Name])
	}
	return out
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
