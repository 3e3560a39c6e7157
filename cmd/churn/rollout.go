package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry"
)

// rolloutCmd tries versions beside Production.
type rolloutCmd struct {
	Show    rolloutShowCmd    `cmd:"" default:"withargs" help:"Show what is tried or watched, and what was (the default)."`
	Start   rolloutStartCmd   `cmd:"" help:"Begin a canary: a version answers a growing share of the entities."`
	Shadow  rolloutShadowCmd  `cmd:"" help:"Begin a shadow: a version scores what Production answers, and answers nobody."`
	Promote rolloutPromoteCmd `cmd:"" help:"Make the candidate Production now, whatever steps are left."`
	Abort   rolloutAbortCmd   `cmd:"" help:"End the rollout: Production answers everybody again."`
}

// rolloutFlags are the flags of the commands that write.
type rolloutFlags struct {
	remote
	Model  string `name:"model" env:"CHURN_MODEL" default:"${model}" help:"Model to use."`
	Reason string `name:"reason" help:"Why, for the record." placeholder:"TEXT"`
	Actor  string `name:"actor" env:"CHURN_ACTOR" help:"Who, for the record; user@host by default." placeholder:"NAME"`
}

// begin starts a rollout and prints how it began.
func (c rolloutFlags) begin(r *run, o registry.RolloutStart) error {
	o.Reason, o.Actor = c.Reason, actor(c.Actor)
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		began, err := registry.StartRollout(ctx, b, c.Model, o)
		switch {
		case errors.Is(err, registry.ErrNotPassed) && !o.Override:
			return fmt.Errorf("%w (--force with --reason tries it against the gates, and records that)", err)
		case err != nil:
			return err
		case r.JSON:
			return r.json(began)
		}
		return printRollout(r, c.Model, began)
	})
}

// printRollout says in a line how a rollout stands.
func printRollout(r *run, model string, o registry.Rollout) error {
	var err error
	switch {
	case o.State == events.RolloutRunning && o.Mode == events.RolloutShadow:
		_, err = fmt.Fprintf(r.out, "%s version %d is a shadow of version %d, revision %d\n", model, o.Version, o.Production, o.Revision)
	case o.State == events.RolloutRunning:
		_, err = fmt.Fprintf(r.out, "%s version %d answers %s beside version %d, revision %d (%s); each step ends after %d records or %s\n", model, o.Version,
			share(o.Share), o.Production, o.Revision, spec.PlanOf(o.Plan), o.Watch.Requests, time.Duration(o.Watch.DurationMS)*time.Millisecond)
	default:
		_, err = fmt.Fprintf(r.out, "%s: the %s of version %d is %s, revision %d; version %d answers everybody\n", model, o.Mode, o.Version, o.State, o.Revision, o.Production)
	}
	return err
}

func share(of float64) string { return strings.TrimSuffix(fmt.Sprintf("%.4g", of*100), ".") + " %" }

type rolloutStartCmd struct {
	rolloutFlags
	Version int               `arg:"" help:"Version to try."`
	Plan    string            `name:"plan" help:"Shares of the entities, the last one 100%; \"canary 5% -> 25% -> 100%\" by default." placeholder:"PLAN"`
	Watch   map[string]string `name:"watch" mapsep:"," help:"Limits other than the defaults, by their keys in a spec: --watch requests=1000,duration=5m." placeholder:"KEY=VALUE,..."`
	Expect  *int              `name:"expect" help:"Only if this version is Production now." placeholder:"VERSION"`
	Force   bool              `name:"force" help:"Also try a version that the gates refuse; needs --reason."`
}

// Run begins a canary.
func (c rolloutStartCmd) Run(r *run) error {
	return c.begin(r, registry.RolloutStart{
		Version: c.Version, Mode: events.RolloutCanary, Plan: spec.Plan(c.Plan), Watch: c.Watch, Expected: c.Expect, Override: c.Force,
	})
}

type rolloutShadowCmd struct {
	rolloutFlags
	Version int  `arg:"" help:"Version to try."`
	Expect  *int `name:"expect" help:"Only if this version is Production now." placeholder:"VERSION"`
}

// Run begins a shadow.
func (c rolloutShadowCmd) Run(r *run) error {
	return c.begin(r, registry.RolloutStart{Version: c.Version, Mode: events.RolloutShadow, Expected: c.Expect})
}

type rolloutPromoteCmd struct {
	rolloutFlags
	Revision int `name:"revision" help:"Only if this revision is in force." placeholder:"N"`
}

// Run promotes the candidate.
func (c rolloutPromoteCmd) Run(r *run) error {
	return change{remote: c.remote, Model: c.Model}.do(r, func(ctx context.Context, b *bus.Bus) (registry.Promotion, error) {
		p, err := registry.PromoteRollout(ctx, b, c.Model, registry.RolloutAct{Revision: c.Revision, Reason: c.Reason, Actor: actor(c.Actor)})
		if errors.Is(err, registry.ErrNotPassed) {
			err = fmt.Errorf("%w (churn promote VERSION --force with --reason promotes it against the gates, and records that)", err)
		}
		return p, err
	})
}

type rolloutAbortCmd struct {
	rolloutFlags
	Revision int `name:"revision" help:"Only if this revision is in force." placeholder:"N"`
}

// Run ends the rollout.
func (c rolloutAbortCmd) Run(r *run) error {
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		ended, err := registry.AbortRollout(ctx, b, c.Model, registry.RolloutAct{Revision: c.Revision, Reason: c.Reason, Actor: actor(c.Actor)})
		if err != nil {
			return err
		}
		if r.JSON {
			return r.json(ended)
		}
		return printRollout(r, c.Model, ended)
	})
}

type rolloutShowCmd struct {
	remote
	Model string `name:"model" env:"CHURN_MODEL" default:"${model}" help:"Model to use."`
}

// rolloutShown is what is printed as JSON.
type rolloutShown struct {
	Model     string                     `json:"model"`
	Now       *registry.RolloutStatus    `json:"now"`
	Shadow    *events.ShadowEvaluated    `json:"shadow,omitempty"` // what a running one found so far
	Instances []registry.RolloutInstance `json:"instances"`
	Changes   []registry.Rollout         `json:"changes"`
}

// Run prints what is tried or watched, who uses which split, and every change, newest first.
func (c rolloutShowCmd) Run(r *run) error {
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		cat, err := registry.LoadCatalog(ctx, b)
		if err != nil {
			return err
		}
		m, err := named(cat, c.Model)
		if err != nil {
			return err
		}
		fleet, err := registry.LoadFleet(ctx, b)
		if err != nil {
			return err
		}
		out := rolloutShown{Model: m.Name, Changes: append([]registry.Rollout{}, cat.Rollouts(m.Key)...)}
		settings, err := c.settings(r, "cli")
		if err != nil {
			return err
		}
		store, err := settings.Store(ctx, b)
		if err != nil { // all but the scores is judged without one
			store = nil
			fmt.Fprintln(r.errs, "no bundle is read:", err)
		}
		if out.Now, out.Instances, err = registry.RolloutNow(ctx, b, store, cat, fleet, m.Key); err != nil {
			return err
		}
		if out.Shadow, err = lastShadow(ctx, b, m.Key, out.Now); err != nil {
			return err
		}
		if r.JSON {
			return r.json(out)
		}
		return out.print(r)
	})
}

func (s rolloutShown) print(r *run) error {
	switch now := s.Now; {
	case now == nil:
		fmt.Fprintf(r.out, "%s: nothing is tried or watched\n", s.Model)
	case now.Mode == events.RolloutDirect:
		fmt.Fprintf(r.out, "%s: version %d is Production and watched: %s\n", s.Model, now.Version, now.Reason)
	default:
		fmt.Fprintf(r.out, "%s: %s of version %d, revision %d: %s\n", s.Model, now.Mode, now.Version, now.Revision, now.Reason)
	}
	if s.Now != nil && s.Now.Evidence != nil {
		if err := printChecks(r, s.Now.Evidence); err != nil {
			return err
		}
	}
	if e := s.Shadow; e != nil {
		skipped := uint64(0)
		for _, n := range e.Skipped {
			skipped += n
		}
		fmt.Fprintf(r.out, "%d rows scored, %d could not be; %d have another label than version %d gave; scores differ by %.4f in the mean and %.4f at most, PSI %.4f\n", e.Rows,
			skipped, e.Flips, e.Production, e.MeanAbsDiff, e.MaxAbsDiff, e.PSI)
		if e.F1 != nil && e.F1Production != nil {
			fmt.Fprintf(r.out, "F1 %.4f over %d labelled rows, version %d's is %.4f\n", *e.F1, e.Labelled, e.Production, *e.F1Production)
		}
	}
	if len(s.Instances) > 0 {
		fmt.Fprintln(r.out)
		err := table(r, "INSTANCE\tVERSION\tREVISION\tCANDIDATE\tFAILURE", func(row func(...any)) {
			for _, i := range s.Instances {
				row(i.Instance, version(i.Version), version(i.Revision), version(i.Candidate), words(&i.Failure))
			}
		})
		if err != nil {
			return err
		}
	}
	if len(s.Changes) == 0 {
		return nil
	}
	fmt.Fprintln(r.out)
	return table(r, "REVISION\tTIME\tMODE\tVERSION\tBESIDE\tSHARE\tSTATE\tCAUSE\tACTOR\tREASON", func(row func(...any)) {
		for _, o := range s.Changes {
			row(o.Revision, o.At.Local().Format(time.DateTime), o.Mode, o.Version, version(o.Production), share(o.Share), o.State, o.Cause, o.Actor, words(&o.Reason))
		}
	})
}

// lastShadow returns the newest evaluation of the shadow that runs, nil if none does or it has none yet.
func lastShadow(ctx context.Context, b *bus.Bus, key string, now *registry.RolloutStatus) (last *events.ShadowEvaluated, err error) {
	if now == nil || now.Mode != events.RolloutShadow {
		return nil, nil
	}
	subject, err := events.SubjectOf(events.TypeShadowEvaluated, key)
	if err != nil {
		return nil, err
	}
	err = b.Read(ctx, bus.ReadConfig{Stream: events.Drift, Filters: []string{subject}}, func(m bus.Message) error {
		if p, ok := m.Event.Payload.(*events.ShadowEvaluated); ok && p.Revision == now.Revision {
			last = p
		}
		return nil
	})
	return last, err
}

// printChecks prints evidence.
func printChecks(r *run, e *events.Evidence) error {
	return table(r, "CHECK\tSTATE\tVALUE\tLIMIT\tOTHER\tN\tDETAIL", func(row func(...any)) {
		for _, k := range e.Checks {
			other := "-"
			if k.Against != nil {
				other = fmt.Sprintf("%.4g", *k.Against)
			}
			row(k.Check, k.State, fmt.Sprintf("%.4g", k.Value), fmt.Sprintf("%.4g", k.Limit), other, k.N, words(&k.Detail))
		}
	})
}
