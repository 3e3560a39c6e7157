package main

import (
	"fmt"
	"strings"
	"time"

	"telco-churn-mlops/trainer"
	"telco-churn-mlops/trainer/tune"
)

// tuneProgress tells how far a search is: on a terminal in one line that changes, elsewhere in a line per round.
type tuneProgress struct {
	run          *run
	config       *tune.Config
	metric       string
	began        time.Time
	live         bool
	seconds      float64
	known        bool // present and best
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
			p.known, p.present, p.best = true, v, v
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
	what := fmt.Sprintf("trial %d of %d, search %d of %d", p.trial+1, p.config.Trials, e.Arm+1, p.config.Outer+1)
	if e.Judged {
		what = fmt.Sprintf("judging on outer fold %d of %d", e.Arm+1, p.config.Outer)
	}
	best, present := "-", "-"
	if p.known {
		best, present = fmt.Sprintf("%.5f", p.best), fmt.Sprintf("%.5f", p.present)
	}
	line := fmt.Sprintf("%s  best %s %s (present %s)  %s of work", what, p.metric, best, present, time.Duration(p.seconds*1e9).Round(time.Second))
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

// shownTrials is how many trials are printed.
const shownTrials = 8

func (t *tuneResult) print(r *run, metric string) error {
	fmt.Fprintf(r.out, "%d trials in each of %d searches, %s of work; ended by the bound on %s.\nThe best of the search on all rows, by inner folds (which flatter the best of many):\n\n",
		t.Trials, len(t.Outer)+1, time.Duration(t.WorkSeconds*1e9).Round(100*time.Millisecond), map[tune.Bound]string{tune.ByTrials: "trials", tune.ByBudget: "time"}[t.EndedBy])
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
	fmt.Fprintf(r.out, "\nOn the %d outer folds, which their searches never saw, trained by the whole recipe (less log_loss is better, more of the others; * chooses):\n\n", len(t.Outer))
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
