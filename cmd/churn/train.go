package main

import (
	"context"
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
	var b *bus.Bus
	settings, err := c.settings(r, "cli")
	if err != nil {
		return err
	}
	connecting, cancel := context.WithTimeout(r.ctx, connectTimeout)
	defer cancel()
	if b, err = settings.Bus(connecting); err != nil {
		return fmt.Errorf("no NATS at %s (is \"churn up\" running? --nats names another): %w", c.NATS, err)
	}
	err = c.run(r, b, stage)
	return closing(b, err)
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
	fmt.Fprintf(r.out, "retraining of %s asked for (cause %d)\n", c.Model, receipt.Sequence)
	if c.NoWait {
		return nil
	}
	w := waiter{model: c.Model, cause: receipt.Sequence, out: r}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err = b.Follow(ctx, bus.FollowConfig{Name: "cli", Stream: events.Lifecycle, From: from + 1}, func(_ context.Context, m bus.Message) error {
		if m.Event.Model == c.Model && w.hear(m) {
			stop()
		}
		return nil
	})
	if w.done {
		return w.failed
	}
	if err == nil || r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	return context.Cause(ctx)
}

// waiter follows the run that takes a cause to its verdict.
type waiter struct {
	model   string
	cause   uint64
	out     *run
	id      string
	version int
	done    bool
	failed  error
}

// hear returns true once there is nothing more to wait for.
func (w *waiter) hear(m bus.Message) bool {
	say := func(format string, args ...any) { fmt.Fprintf(w.out.out, format+"\n", args...) }
	switch p := m.Event.Payload.(type) {
	case *events.RunStarted:
		if w.id == "" && p.CausesThrough >= w.cause {
			w.id = p.RunID
			say("run %s started, %d cause(s)", p.RunID, len(p.Causes))
		}
	case *events.RunFailed:
		if p.RunID == w.id {
			w.done, w.failed = true, fmt.Errorf("run %s failed in step %s: %s", p.RunID, p.Step, p.Reason)
		}
	case *events.RunCompleted:
		if p.RunID == w.id {
			say("run completed in %.1f s: f1_churn %.4f, roc_auc %.4f", float64(p.DurationMS)/1000, p.Metrics["f1_churn"], p.Metrics["roc_auc"])
		}
	case *events.ModelRegistered:
		if p.RunID == w.id {
			w.version = p.Version
			say("registered as version %d", p.Version)
		}
	case *events.ModelGated:
		if p.RunID == w.id {
			say("version %d %s: %s", p.Version, bold(string(p.Verdict)), p.Reason)
			w.done = p.Verdict != events.VerdictPromotable
		}
	case *events.ModelPromoted:
		if p.Version == w.version && w.version > 0 {
			say("version %d is Production", p.Version)
			w.done = true
		}
	}
	return w.done
}
