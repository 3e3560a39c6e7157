package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry"
)

// modelsCmd looks at the registered models: the trainer's and those of MLflow clients.
type modelsCmd struct {
	List    modelsListCmd    `cmd:"" default:"withargs" help:"List the versions of all models, or of one (the default)."`
	Diff    modelsDiffCmd    `cmd:"" help:"Show in what two versions of a model differ."`
	History modelsHistoryCmd `cmd:"" help:"Show which versions were Production, and when."`
	Audit   modelsAuditCmd   `cmd:"" help:"Show every fact about a model with who did it."`
}

// named finds a model by its name.
func named(c *registry.Catalog, name string) (registry.Model, error) {
	key, ok := c.Key(name)
	if ok {
		if m, exists := c.Model(key); exists && !m.Deleted {
			return m, nil
		}
	}
	return registry.Model{}, fmt.Errorf("model %s: %w", name, registry.ErrUnknown)
}

type modelsListCmd struct {
	remote
	Name string `arg:"" optional:"" help:"One model; all by default."`
}

// Run lists versions, those of each model newest first, and models without versions.
func (c modelsListCmd) Run(r *run) error {
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		cat, err := registry.LoadCatalog(ctx, b)
		if err != nil {
			return err
		}
		var found []registry.Model
		if c.Name != "" {
			m, err := named(cat, c.Name)
			if err != nil {
				return err
			}
			found = append(found, m)
		} else {
			for _, key := range cat.Models() {
				if m, ok := cat.Model(key); ok && !m.Deleted {
					found = append(found, m)
				}
			}
		}
		if r.JSON {
			versions := []registry.Version{}
			for _, m := range found {
				versions = append(versions, living(cat.Versions(m.Key))...)
			}
			return r.json(versions)
		}
		return table(r, "MODEL\tVERSION\tSTAGE\tALIASES\tVERDICT\tREASON\tF1_CHURN\tPRODUCTION F1\tREGISTERED\tDIGEST", func(row func(...any)) {
			for _, m := range found {
				versions := living(cat.Versions(m.Key))
				if len(versions) == 0 {
					row(cell(&m.Name), "-", "-", "", "", "no versions", "", "", m.CreatedAt.Local().Format(time.DateTime), "")
				}
				for _, v := range versions {
					row(versionCells(m, v)...)
				}
			}
		})
	})
}

// living leaves deleted versions out.
func living(versions []registry.Version) []registry.Version {
	var out []registry.Version
	for _, v := range versions {
		if !v.Deleted {
			out = append(out, v)
		}
	}
	return out
}

func versionCells(m registry.Model, v registry.Version) []any {
	verdict, reason, f1, champion := "", "", "", ""
	switch g := v.Gate; {
	case g != nil:
		verdict, reason, f1, champion = string(g.Verdict), g.Reason, metric(g.Metrics), metric(g.ChampionMetrics)
	case !m.Gated:
		verdict = "no gates"
	}
	digest := short(v.Bundle.Digest)
	if ok, _ := v.Servable(); !ok {
		digest = "not servable"
	}
	return []any{
		cell(&m.Name), v.Version, v.Stage, strings.Join(v.Aliases, ","), verdict, reason, f1, champion, v.At.Local().Format(time.DateTime), digest,
	}
}

type modelsDiffCmd struct {
	remote
	Name string `arg:"" help:"Model."`
	A    int    `arg:"" help:"Version on the left."`
	B    int    `arg:"" help:"Version on the right."`
}

// Run prints what differs. What is alike is left out.
func (c modelsDiffCmd) Run(r *run) error {
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		store, err := c.store(ctx, r, b)
		if err != nil {
			return err
		}
		d, err := registry.LoadDiff(ctx, b, store, c.Name, c.A, c.B)
		if err != nil {
			return err
		}
		if r.JSON {
			return r.json(d)
		}
		if d.NoInputs != "" {
			fmt.Fprintln(r.errs, "inputs not compared:", d.NoInputs)
		}
		if d.Same() {
			_, err := fmt.Fprintf(r.out, "versions %d and %d of %s are alike\n", d.A, d.B, d.Model)
			return err
		}
		return table(r, fmt.Sprintf("KIND\tNAME\tVERSION %d\tVERSION %d", d.A, d.B), func(row func(...any)) {
			for _, part := range []struct {
				kind  string
				lines []registry.Difference
			}{
				{"fact", d.Facts}, {"param", d.Params}, {"metric", d.Metrics}, {"input", d.Inputs}, {"gate", d.Gates}, {"file", d.Artifacts},
			} {
				for _, l := range part.lines {
					row(part.kind, l.Name, cell(l.A), cell(l.B))
				}
			}
		})
	})
}

// store opens the artifact store; nil if this server has none yet.
func (c modelsDiffCmd) store(ctx context.Context, r *run, b *bus.Bus) (artifact.Store, error) {
	settings, err := c.settings(r, "cli")
	if err != nil {
		return nil, err
	}
	return settings.Store(ctx, b)
}

// words shows text in one line, whole: for the last column of a table, which pushes nothing aside.
func words(v *string) string {
	if v == nil {
		return "-"
	}
	return strings.Join(strings.Fields(*v), " ")
}

// cell shows a value in one line of a table.
func cell(v *string) string {
	if v == nil {
		return "-"
	}
	text := words(v)
	if strings.HasPrefix(text, "sha256:") {
		return short(text)
	}
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

type modelsHistoryCmd struct {
	remote
	Name string `arg:"" help:"Model."`
	At   string `name:"at" help:"Only the version that was Production at this time, 2026-01-31T12:00:00Z or 2026-01-31." placeholder:"TIME"`
}

// Run prints the promotions, newest first, or the version that was Production at a time. It fails if there was none.
func (c modelsHistoryCmd) Run(r *run) error {
	at, err := instant(c.At)
	if err != nil {
		return err
	}
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		cat, err := registry.LoadCatalog(ctx, b)
		if err != nil {
			return err
		}
		m, err := named(cat, c.Name)
		if err != nil {
			return err
		}
		if c.At != "" {
			v, ok := cat.ProductionAt(m.Key, at)
			if !ok {
				return fmt.Errorf("model %s had no Production at %s", m.Name, at.Format(time.RFC3339))
			}
			if r.JSON {
				return r.json(v)
			}
			_, err := fmt.Fprintf(r.out, "%s version %d was Production at %s (%s)\n", m.Name, v.Version, at.Format(time.RFC3339), v.Bundle.Digest)
			return err
		}
		history := cat.History(m.Key)
		if r.JSON {
			return r.json(append([]registry.Promotion{}, history...))
		}
		return table(r, "SINCE\tPRODUCTION\tBEFORE\tCAUSE\tACTOR\tREASON", func(row func(...any)) {
			for _, p := range history {
				cause := string(p.Cause)
				if p.Override {
					cause += " against a gate"
				}
				row(p.At.Local().Format(time.DateTime), version(p.Version), before(p), cause, p.Actor, words(&p.Reason))
			}
		})
	})
}

// before names what was Production before a promotion, which in a model without gates may stay there.
func before(p registry.Promotion) string {
	stays := p.Ungated && !p.ArchiveExisting && p.Demoted == 0 && p.Version > 0 && p.PreviousVersion > 0 && p.PreviousVersion != p.Version
	if stays {
		return version(p.PreviousVersion) + ", which stays"
	}
	return version(p.PreviousVersion)
}

// version names a version where 0 means none.
func version(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

// instant reads a time; a date is its beginning here.
func instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, errors.New("--at wants a time such as 2026-01-31T12:00:00Z, got " + fmt.Sprintf("%q", text))
}

type modelsAuditCmd struct {
	remote
	Name string `arg:"" help:"Model."`
}

// Run prints the facts, newest first.
func (c modelsAuditCmd) Run(r *run) error {
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		cat, err := registry.LoadCatalog(ctx, b)
		if err != nil {
			return err
		}
		m, err := named(cat, c.Name)
		if err != nil {
			return err
		}
		audit := cat.Audit(m.Key)
		if r.JSON {
			return r.json(append([]registry.Change{}, audit...))
		}
		return table(r, "SEQUENCE\tTIME\tACTOR\tWHAT\tREASON", func(row func(...any)) {
			for _, ch := range audit {
				row(ch.Sequence, ch.At.Local().Format(time.DateTime), ch.Actor, words(&ch.Summary), words(&ch.Reason))
			}
		})
	})
}
