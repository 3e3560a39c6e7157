package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry"
)

// connectTimeout bounds how long an operator's command waits for NATS.
const connectTimeout = 5 * time.Second

// dial connects for one command.
func (f remote) dial(r *run, name string) (*bus.Bus, error) {
	settings, err := f.settings(r, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.ctx, connectTimeout)
	defer cancel()
	b, err := settings.Bus(ctx)
	if err != nil {
		return nil, fmt.Errorf("no NATS at %s (is \"churn up\" running? --nats names another): %w", f.NATS, err)
	}
	return b, nil
}

// connect connects for one command that reads the streams, and makes sure that they are there.
func (f remote) connect(r *run, name string) (*bus.Bus, error) {
	b, err := f.dial(r, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.ctx, connectTimeout)
	defer cancel()
	if _, err := b.JetStream().Stream(ctx, string(events.Lifecycle)); err != nil {
		return nil, closing(b, fmt.Errorf("the server at %s has no loop: start \"churn up\" or a service first: %w", f.NATS, err))
	}
	return b, nil
}

// join connects for one command, runs it and closes.
func (f remote) join(r *run, name string, do func(ctx context.Context, b *bus.Bus) error) error {
	b, err := f.connect(r, name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	return closing(b, do(ctx, b))
}

// actor names the person behind a command.
func actor(given string) string {
	if given != "" {
		return given
	}
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

func table(r *run, header string, rows func(row func(cells ...any))) error {
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, header)
	rows(func(cells ...any) {
		parts := make([]string, len(cells))
		for i, c := range cells {
			parts[i] = fmt.Sprint(c)
		}
		fmt.Fprintln(w, strings.Join(parts, "\t"))
	})
	return w.Flush()
}

type runsCmd struct {
	remote
	Model string `name:"model" help:"One model; all by default." placeholder:"NAME"`
}

// Run lists runs, newest first.
func (c runsCmd) Run(r *run) error {
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		cat, err := registry.LoadCatalog(ctx, b)
		if err != nil {
			return err
		}
		runs := []registry.Run{}
		for _, m := range models(cat, c.Model) {
			runs = append(runs, cat.Runs(m)...)
		}
		name := func(key string) string { n := nameOf(cat, key); return cell(&n) }
		if r.JSON {
			return r.json(runs)
		}
		return table(r, "RUN\tMODEL\tSTATE\tVERSION\tF1_CHURN\tROC_AUC\tSTARTED\tSECONDS\tCAUSES", func(row func(...any)) {
			for _, x := range runs {
				row(runCells(x, name(x.Model))...)
			}
		})
	})
}

func runCells(x registry.Run, model string) []any {
	var causes []events.Cause
	f1, auc, version, seconds := "", "", "", ""
	if x.Started != nil {
		causes = x.Started.Causes
	}
	if p := x.Completed; p != nil {
		f1, auc = fmt.Sprintf("%.4f", p.Metrics["f1_churn"]), fmt.Sprintf("%.4f", p.Metrics["roc_auc"])
		seconds = fmt.Sprintf("%.1f", float64(p.DurationMS)/1000)
	}
	if x.Version > 0 {
		version = fmt.Sprint(x.Version)
	}
	var why []string
	for _, c := range causes {
		why = append(why, string(c.Kind))
	}
	state := string(x.State)
	if x.Failed != nil {
		state += " in " + x.Failed.Step + ": " + x.Failed.Reason
	}
	if x.Refused != "" {
		state += ": " + x.Refused
	}
	if x.Unregistered {
		state += ": its registration was cut short, register it again"
	}
	return []any{x.ID, model, state, version, f1, auc, started(x).Local().Format(time.DateTime), seconds, strings.Join(why, ",")}
}

// started is when a run began: what its last event says, or the time of that it began by.
func started(x registry.Run) time.Time {
	at := time.Time{}
	switch {
	case x.Completed != nil:
		at = x.Completed.StartedAt
	case x.Failed != nil:
		at = x.Failed.StartedAt
	}
	if at.IsZero() {
		return x.At
	}
	return at
}

// models returns the key of the one model asked for, or those of all.
func models(c *registry.Catalog, one string) []string {
	if one == "" {
		return c.Models()
	}
	if key, ok := c.Key(one); ok {
		return []string{key}
	}
	return []string{one}
}

// nameOf is what a model is called by people; one that nobody registered has the name that its events have.
func nameOf(c *registry.Catalog, key string) string {
	if m, ok := c.Model(key); ok && m.Name != "" {
		return m.Name
	}
	return key
}

func metric(m map[string]float64) string {
	if v, ok := m["f1_churn"]; ok {
		return fmt.Sprintf("%.4f", v)
	}
	return ""
}

func short(digest string) string {
	d := strings.TrimPrefix(digest, "sha256:")
	return d[:min(12, len(d))]
}

// change are the flags of the commands that write a promotion.
type change struct {
	remote
	Model  string `name:"model" env:"CHURN_MODEL" default:"${model}" help:"Model to use."`
	Reason string `name:"reason" help:"Why, for the record." placeholder:"TEXT"`
	Actor  string `name:"actor" env:"CHURN_ACTOR" help:"Who, for the record; user@host by default." placeholder:"NAME"`
	Expect *int   `name:"expect" help:"Only if this version is Production now, 0 for none." placeholder:"VERSION"`
}

func (c change) do(r *run, write func(ctx context.Context, b *bus.Bus) (registry.Promotion, error)) error {
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		p, err := write(ctx, b)
		if err != nil {
			return err
		}
		if r.JSON {
			return r.json(p)
		}
		if p.Version == 0 {
			_, err = fmt.Fprintf(r.out, "%s has no Production any more (it was version %d)\n", c.Model, p.PreviousVersion)
			return err
		}
		_, err = fmt.Fprintf(r.out, "%s version %d is Production (it was version %d), cause %s\n", c.Model, p.Version, p.PreviousVersion, p.Cause)
		return err
	})
}

type promoteCmd struct {
	change
	Version int  `arg:"" help:"Version to promote."`
	Force   bool `name:"force" help:"Also promote a version that the gates refuse; needs --reason."`
}

// Run promotes.
func (c promoteCmd) Run(r *run) error {
	return c.do(r, func(ctx context.Context, b *bus.Bus) (registry.Promotion, error) {
		p, err := registry.Promote(ctx, b, c.Model, c.Version, registry.PromoteOptions{
			Actor: actor(c.Actor), Reason: c.Reason, Force: c.Force, Expected: c.Expect,
		})
		if errors.Is(err, registry.ErrNotPassed) && !c.Force {
			err = fmt.Errorf("%w (--force with --reason promotes it against the gates, and records that)", err)
		}
		return p, err
	})
}

type rollbackCmd struct {
	change
	Version int `name:"to" help:"Version to go back to; the newest earlier Production that was loaded by default." placeholder:"VERSION"`
}

// Run rolls back.
func (c rollbackCmd) Run(r *run) error {
	return c.do(r, func(ctx context.Context, b *bus.Bus) (registry.Promotion, error) {
		return registry.Rollback(ctx, b, c.Model, registry.RollbackOptions{
			Actor: actor(c.Actor), Reason: c.Reason, Version: c.Version, Expected: c.Expect,
		})
	})
}

type withdrawCmd struct{ change }

// Run withdraws.
func (c withdrawCmd) Run(r *run) error {
	return c.do(r, func(ctx context.Context, b *bus.Bus) (registry.Promotion, error) {
		return registry.Withdraw(ctx, b, c.Model, registry.WithdrawOptions{Actor: actor(c.Actor), Reason: c.Reason, Expected: c.Expect})
	})
}
