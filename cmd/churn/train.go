package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

type trainCmd struct {
	remote
	Model  string        `name:"model" env:"CHURN_MODEL" default:"${model}" help:"Model to use."`
	Target string        `name:"target" default:"staging" enum:"staging,production" help:"Stage to ask for: ${enum}."`
	Reason string        `name:"reason" default:"asked for on the command line" help:"Why, for the record."`
	Actor  string        `name:"actor" env:"CHURN_ACTOR" help:"Who, for the record; user@host by default." placeholder:"NAME"`
	NoWait bool          `name:"no-wait" help:"Do not wait for the verdict."`
	Wait   time.Duration `name:"timeout" default:"30m" help:"How long to wait for the verdict."`
}

// Run asks for a run and prints what becomes of it. A version that is not better is a success; a run that failed is not.
func (c trainCmd) Run(r *run) error {
	stage := events.StageStaging
	if c.Target == "production" {
		stage = events.StageProduction
	}
	b, err := c.connect(r, "cli")
	if err != nil {
		return err
	}
	return closing(b, c.run(r, b, stage))
}

func (c trainCmd) run(r *run, b *bus.Bus, stage events.Stage) error {
	ctx, cancel := context.WithTimeoutCause(r.ctx, c.Wait, fmt.Errorf("no verdict within %s", c.Wait))
	defer cancel()
	from, err := b.LastSequence(ctx, events.Lifecycle)
	if err != nil {
		return err
	}
	now := time.Now()
	ev := events.New(c.Model, b.Source(), fmt.Sprint(now.UnixNano()), now, &events.RetrainRequested{Actor: actor(c.Actor), Reason: c.Reason, TargetStage: stage})
	receipt, err := b.Publish(ctx, ev)
	if err != nil {
		return err
	}
	w := waiter{outcome: outcome{Model: c.Model, Cause: receipt.Sequence}, out: r}
	w.say("retraining of %s asked for (cause %d)", c.Model, receipt.Sequence)
	if c.NoWait {
		return w.report()
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err = b.Follow(ctx, bus.FollowConfig{Name: "cli", Stream: events.Lifecycle, From: from + 1}, func(_ context.Context, m bus.Message) error {
		if m.Event.Model == c.Model && w.hear(m) {
			stop()
		}
		return nil
	})
	if w.done {
		return errors.Join(w.failed, w.report())
	}
	if err != nil {
		return err
	}
	return context.Cause(ctx) // Follow ends with it, and without an error
}

// outcome is what became of a request, for programs.
type outcome struct {
	Model    string             `json:"model"`
	Cause    uint64             `json:"cause"`
	RunID    string             `json:"run_id,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	Version  int                `json:"version,omitempty"`
	Verdict  events.Verdict     `json:"verdict,omitempty"`
	Reason   string             `json:"reason,omitempty"`
	Promoted bool               `json:"promoted"`
	Error    string             `json:"error,omitempty"`
}

// waiter follows the run that takes a cause to its verdict.
type waiter struct {
	outcome
	out    *run
	done   bool
	failed error
}

// say prints a line for people.
func (w *waiter) say(format string, args ...any) {
	if !w.out.JSON {
		fmt.Fprintf(w.out.out, format+"\n", args...)
	}
}

// report prints the outcome for programs.
func (w *waiter) report() error {
	if !w.out.JSON {
		return nil
	}
	if w.failed != nil {
		w.Error = w.failed.Error()
	}
	return w.out.json(w.outcome)
}

// folds says what the folds of a run that had some found.
func folds(metrics map[string]float64) string {
	mean, ok := metrics["cv_roc_auc_mean"]
	if !ok {
		return ""
	}
	return fmt.Sprintf(" on the holdout; roc_auc %.4f ± %.4f out of fold", mean, metrics["cv_roc_auc_se"])
}

// hear returns true once there is nothing more to wait for.
func (w *waiter) hear(m bus.Message) bool {
	switch p := m.Event.Payload.(type) {
	case *events.RunStarted:
		if w.RunID == "" && p.CausesThrough >= w.Cause {
			w.RunID = p.RunID
			w.say("run %s started, %d cause(s)", p.RunID, len(p.Causes))
		}
	case *events.RunFailed:
		if p.RunID == w.RunID {
			w.done, w.failed = true, fmt.Errorf("run %s failed in step %s: %s", p.RunID, p.Step, p.Reason)
		}
	case *events.RunCompleted:
		if p.RunID == w.RunID {
			w.Metrics = p.Metrics
			w.say("run completed in %.1f s: f1_churn %.4f, roc_auc %.4f%s", float64(p.DurationMS)/1000, p.Metrics["f1_churn"], p.Metrics["roc_auc"], folds(p.Metrics))
		}
	case *events.ModelRegistered:
		if p.RunID == w.RunID {
			w.Version = p.Version
			w.say("registered as version %d", p.Version)
		}
	case *events.ModelGated:
		if p.RunID == w.RunID {
			w.say("version %d %s: %s", p.Version, bold(string(p.Verdict)), p.Reason)
			w.Verdict, w.Reason, w.done = p.Verdict, p.Reason, p.Verdict != events.VerdictPromotable
		}
	case *events.ModelPromoted:
		if p.Version == w.Version && w.Version > 0 {
			w.say("version %d is Production", p.Version)
			w.Promoted, w.done = true, true
		} else if w.Verdict == events.VerdictPromotable {
			w.Reason, w.done = "overtaken", true
			w.say("version %d was promoted first, so version %d stays in Staging", p.Version, w.Version)
		}
	}
	return w.done
}
