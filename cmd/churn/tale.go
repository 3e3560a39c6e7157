package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/fatih/color"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// tale prints what the services do and keeps what the end is judged by. All methods but answer are called by one goroutine.
type tale struct {
	w     io.Writer
	began time.Time
	poll  *time.Ticker

	serving      int // newest version that inference said it loaded
	second       events.Verdict
	secondNo     int
	runs         int
	column       events.ColumnEvaluation
	live         events.ColumnState // of the performance, as last told
	alerted      bool
	cleared      bool
	evaluatedFor int // data evaluations after the second verdict
	verdictAt    time.Time
	promotedAt   time.Time
	watched      int // newest version whose watch has ended, passed or not
	rolledBack   string
	pages        string

	mu          sync.Mutex
	trafficAt   time.Time
	firstAnswer map[int]time.Time
	answers     map[int]int
}

func newTale(r *run) *tale {
	return &tale{w: r.out, began: time.Now(), poll: time.NewTicker(50 * time.Millisecond), firstAnswer: map[int]time.Time{}, answers: map[int]int{}}
}

var (
	good  = color.New(color.FgGreen).SprintFunc()
	bad   = color.New(color.FgRed).SprintFunc()
	warn  = color.New(color.FgYellow).SprintFunc()
	faint = color.New(color.Faint).SprintFunc()
	bold  = color.New(color.Bold).SprintFunc()
)

func (t *tale) say(topic, format string, args ...any) {
	fmt.Fprintf(t.w, "%s  %-10s %s\n", faint(fmt.Sprintf("%6.2fs", time.Since(t.began).Seconds())), topic, fmt.Sprintf(format, args...))
}

func (t *tale) data(p *pools) {
	t.say("data", "%s: %d rows of history to train on, %d customers live, %d faulty rows left out", p.source, p.historyRows, len(p.live), p.quarantined)
	t.say("data", "later on, %s", p.change)
}

func (t *tale) up(st *stack) {
	t.pages = "http://" + st.registry
	t.say("up", "NATS %s, predict http://%s, registry %s", st.url, st.predict, t.pages)
}

func (t *tale) trafficStarts(rate float64) {
	t.mu.Lock()
	t.trafficAt = time.Now()
	t.mu.Unlock()
	t.say("traffic", "%.0f requests a second begin, each with its label soon after", rate)
}

// shifted tells that the second regime began with request n.
func (t *tale) shifted(n int) {
	t.say("traffic", "%s from request %d on", warn("the world changes"), n)
}

// answer counts an answered request. Safe for concurrent use.
func (t *tale) answer(version int, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answers[version]++
	if _, ok := t.firstAnswer[version]; !ok {
		t.firstAnswer[version] = at
	}
}

// hear takes one event.
func (t *tale) hear(m bus.Message) {
	switch p := m.Event.Payload.(type) {
	case *events.RunStarted:
		t.runs++
		var why []string
		for _, c := range p.Causes {
			why = append(why, string(c.Kind)+" ("+c.Detail+")")
		}
		t.say("trainer", "run %d started, %s; causes: %s", t.runs, p.RunID[:8], strings.Join(why, "; "))
	case *events.RunCompleted:
		t.say("trainer", "run %d completed in %d ms: f1_churn %.4f, roc_auc %.4f, pr_auc %.4f, log loss %.4f on its holdout",
			t.runs, p.DurationMS, p.Metrics["f1_churn"], p.Metrics["roc_auc"], p.Metrics["pr_auc"], p.Metrics["log_loss"])
	case *events.RunFailed:
		t.say("trainer", "%s in step %s: %s", bad("run failed"), p.Step, p.Reason)
	case *events.ModelRegistered:
		t.say("registry", "run %s is version %d", p.RunID[:8], p.Version)
	case *events.ModelGated:
		t.gated(p)
	case *events.ModelPromoted:
		if p.Cause == events.PromotedByRollback {
			t.watched, t.rolledBack = max(t.watched, p.PreviousVersion), p.Reason
			t.say("registry", "%s to version %d: %s", bad(fmt.Sprintf("version %d rolled back", p.PreviousVersion)), p.Version, p.Reason)
			return
		}
		t.promotedAt = m.Time
		t.say("registry", "%s (%s; before: %d)", good(fmt.Sprintf("version %d promoted", p.Version)), p.Cause, p.PreviousVersion)
	case *events.RolloutChanged:
		t.watch(p)
	case *events.ModelLoaded:
		if p.Rollout > 0 {
			t.say("inference", "version %d loaded and verified beside Production after %.1f ms", p.Version, p.DurationMS)
			return
		}
		t.serving = max(t.serving, p.Version)
		t.say("inference", "version %d loaded, verified and swapped in after %.1f ms", p.Version, p.DurationMS)
	case *events.ModelLoadFailed:
		t.say("inference", "%s version %d: %s", bad("load failed"), p.Version, p.Reason)
	case *events.DriftAlert:
		t.alerted = t.alerted || p.Column == demoColumn
		t.say("drift", "%s %s %s %.3f > %.2f over %d rows; action %s%s", bad("alert"), p.Column, p.Statistic, p.Value, p.Threshold, p.N, p.Action, topBin(p.Bins))
	case *events.DriftCleared:
		if p.Column == demoColumn && t.second == events.VerdictPromotable {
			t.cleared = true
		}
		t.say("drift", "%s %s %s %.3f < %.2f against the reference of version %d", good("drift cleared"), p.Column, p.Statistic, p.Value, p.Threshold, p.Version)
	case *events.RetrainSkipped:
		t.say("trainer", "cause %d skipped: %s, %s", p.Sequence, p.Reason, p.Detail)
	case *events.DriftEvaluated:
		t.evaluated(p)
	}
}

// watch tells what the watch of a fresh Production came to.
func (t *tale) watch(p *events.RolloutChanged) {
	if p.Mode != events.RolloutDirect {
		return
	}
	t.watched = max(t.watched, p.Version)
	var checks []string
	requests := uint64(0)
	if p.Evidence != nil {
		requests = p.Evidence.Requests
		for _, c := range p.Evidence.Checks {
			if c.State != events.CheckInsufficient {
				checks = append(checks, fmt.Sprintf("%s %.3g of %.3g", c.Check, c.Value, c.Limit))
			}
		}
	}
	t.say("registry", "%s over %d answers in Production: %s", good(fmt.Sprintf("version %d was watched", p.Version)), requests, strings.Join(checks, ", "))
}

func topBin(bins []events.BinShare) string {
	top := -1
	for i, b := range bins {
		if top < 0 || b.PSI > bins[top].PSI {
			top = i
		}
	}
	if top < 0 {
		return ""
	}
	return fmt.Sprintf("; most in %s: %.1f %% -> %.1f %%", bins[top].Bin, 100*bins[top].Reference, 100*bins[top].Current)
}

func (t *tale) gated(p *events.ModelGated) {
	if p.Version > 1 {
		t.second, t.secondNo, t.verdictAt = p.Verdict, p.Version, time.Now()
	}
	t.say("registry", "version %d %s: %s", p.Version, bold(string(p.Verdict)), p.Reason)
	for _, r := range p.Rules {
		mark := good("pass")
		if !r.Passed {
			mark = bad("fail")
		}
		t.say("", "  %s  %-28s %s against %s", mark, r.Rule, number(r.Value), number(r.Against))
	}
	if p.Champion > 0 {
		t.say("", "  on the same %d holdout rows: f1_churn %.4f (version %d) and %.4f (version %d, Production)",
			p.HoldoutRows, p.Metrics["f1_churn"], p.Version, p.ChampionMetrics["f1_churn"], p.Champion)
	}
}

func number(v *float64) string {
	if v == nil {
		return "nothing"
	}
	return fmt.Sprintf("%.4f", *v)
}

// evaluated tells every evaluation of the columns, and of the performance, which is evaluated more often, only what changed.
func (t *tale) evaluated(p *events.DriftEvaluated) {
	if p.Kind == events.DriftPerformance {
		if len(p.Columns) == 0 || p.Columns[0].State == t.live {
			return
		}
		t.live = p.Columns[0].State
	}
	var parts []string
	for _, c := range p.Columns {
		s := fmt.Sprintf("%s %.3f %s", c.Column, c.Value, c.State)
		switch c.State {
		case events.StateFiring:
			s = bad(s)
		case events.StatePending:
			s = warn(s)
		}
		parts = append(parts, s)
		if p.Kind == events.DriftData && c.Column == demoColumn {
			t.column = c
			if t.second != "" && p.WindowTo.After(t.verdictAt) {
				t.evaluatedFor++
			}
		}
	}
	name := "psi"
	if p.Kind == events.DriftPerformance {
		name = "f1 drop"
	}
	t.say("drift", "%s after %d, window %d, version %d: %s", name, p.Ordinal, p.Rows, p.Version, strings.Join(parts, ", "))
}

// ended reports whether everything has happened that will: the second verdict, and behind it either the new model answering and the drift
// cleared against its reference and the watch of it over, or one further evaluation.
func (t *tale) ended() bool {
	switch {
	case t.second == "":
		return false
	case t.second != events.VerdictPromotable:
		return t.evaluatedFor >= 1
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.serving >= t.secondNo && t.answers[t.secondNo] > 0 && t.watched >= t.secondNo && (t.cleared || t.evaluatedFor >= 4)
}

// close prints the sum of it and judges it.
func (t *tale) close(tr *traffic) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.w)
	t.say("traffic", "requests %d sent, %d answered, %s; labels %d; answered by version 1: %d, by version 2: %d", tr.sent.Load(), tr.answered.Load(),
		failures(tr.failed.Load()), tr.labelled.Load(), t.answers[1], t.answers[2])
	for _, line := range tr.report() {
		t.say("", "  %s", bad(line))
	}
	t.say("loop", "%s to the second verdict, %d retraining(s)", bold(fmt.Sprintf("%.1f s", t.verdictAt.Sub(t.began).Seconds())), t.runs-1)
	promoted := t.second == events.VerdictPromotable
	if promoted {
		t.say("loop", "version %d answered %.1f ms after its promotion was stored", t.secondNo, float64(t.firstAnswer[t.secondNo].Sub(t.promotedAt).Microseconds())/1000)
	} else {
		t.say("loop", "version %d is no better, so version 1 goes on; %s stays %s", t.secondNo, demoColumn, t.column.State)
	}
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(tr.failed.Load() == 0, "%d requests failed", tr.failed.Load())
	check(t.rolledBack == "", "rolled back: %s", t.rolledBack)
	check(t.runs == 2, "one drift gave %d retrainings", t.runs-1)
	check(t.alerted, "%s never fired", demoColumn)
	check(!promoted || t.cleared, "%s did not clear against the new reference", demoColumn)
	check(promoted || t.column.State == events.StateFiring, "%s is %s, not firing, after a retraining that was not promoted", demoColumn, t.column.State)
	return errors.Join(errs...)
}

func failures(n int64) string {
	if n == 0 {
		return good("0 failed")
	}
	return bad(fmt.Sprintf("%d failed", n))
}

func (t *tale) failed(log string) {
	fmt.Fprintf(t.w, "\nThe services' log: %s\n", log)
}
