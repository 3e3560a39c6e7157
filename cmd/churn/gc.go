package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/client_golang/prometheus"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/connect"
	"telco-churn-mlops/registry/collect"
)

// age is a duration that may be given in days, such as 7d.
type age time.Duration

// UnmarshalText reads "7d" and what time.ParseDuration reads.
func (a *age) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err == nil && n >= 0 && n < 100_000 {
			*a = age(n * 24 * float64(time.Hour))
			return nil
		}
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q: want days such as 7d, or a duration such as 168h", text)
	}
	*a = age(d)
	return nil
}

// String writes whole days as such.
func (a age) String() string {
	const day = 24 * time.Hour
	if d := time.Duration(a); d%day != 0 || d == 0 {
		return d.String()
	}
	return strconv.Itoa(int(time.Duration(a)/day)) + "d"
}

// loop is a connection to the streams and an artifact store, for an operator's command.
type loop struct {
	bus   *bus.Bus
	store artifact.Store
}

// joinLoop connects, and opens a store that is there: a command that was given the wrong one must not make it. The caller closes the bus.
func (f remote) joinLoop(r *run, name string, artifacts connect.Artifacts) (*loop, error) {
	s, err := f.settings(r, name)
	if err != nil {
		return nil, err
	}
	s.Artifacts, s.Metrics, s.ExistingStore = artifacts, prometheus.NewRegistry(), true
	b, err := s.Bus(r.ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	store, err := s.Store(r.ctx, b)
	if errors.Is(err, objstore.ErrNoBucket) {
		err = fmt.Errorf("%w: where do the services keep their artifacts (--artifacts)?", err)
	}
	if err != nil {
		return nil, closing(b, err)
	}
	return &loop{b, store}, nil
}

type gcCmd struct {
	remote
	connect.Artifacts
	DryRun    bool `name:"dry-run" help:"Change nothing; print what would be removed."`
	OlderThan age  `name:"older-than" default:"7d" help:"Remove what was stored, and last pointed to, longer ago than this; 7d is the least."`
	History   age  `name:"history" default:"90d" help:"Keep what was in Production within this time, even if it was deleted since."`
}

// Run removes artifacts that nothing points to.
func (c gcCmd) Run(r *run) error {
	if time.Duration(c.OlderThan) < artifact.MinDeleteAge {
		return fmt.Errorf("--older-than is %s, and must be at least %s: what is younger is never taken, since an upload may not have been named yet", c.OlderThan, age(artifact.MinDeleteAge))
	}
	l, err := c.joinLoop(r, "gc", c.Artifacts)
	if err != nil {
		return err
	}
	log, err := r.logger()
	if err != nil {
		return closing(l.bus, err)
	}
	report, err := collect.Collect(r.ctx, collect.Config{
		Bus: l.bus, Store: l.store, Log: log, OlderThan: time.Duration(c.OlderThan), History: time.Duration(c.History), DryRun: c.DryRun, Actor: "churn gc",
	})
	if err != nil {
		err = &interrupted{err, fmt.Sprintf("%s removed; the rest stays until the next collection", amount(report.Deleted))}
	}
	if err == nil || report.Deleted.Objects > 0 {
		err = errors.Join(err, c.print(r, l.store, report))
	}
	return closing(l.bus, err)
}

// kept says each class in words.
var kept = map[collect.Class]string{
	collect.KeptVersion:    "versions that are not deleted",
	collect.KeptAlias:      "aliases",
	collect.KeptProduction: "Production, now and lately",
	collect.KeptRun:        "runs",
	collect.KeptModel:      "logged models",
	collect.KeptShared:     "files of no run",
	collect.KeptReleased:   "given up less than --older-than ago",
	collect.KeptUnread:     "messages that can't be read",
	collect.KeptRecent:     "stored less than --older-than ago",
}

func amount(c collect.Count) string {
	return fmt.Sprintf("%s objects (%s)", humanize.Comma(int64(c.Objects)), humanize.IBytes(uint64(c.Bytes)))
}

func (c gcCmd) print(r *run, store artifact.Store, report collect.Report) error {
	if r.JSON {
		return r.json(report)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s holds %s\n", store, amount(report.Stored))
	for _, class := range collect.Classes() {
		if n := report.Kept[class]; n.Objects > 0 {
			fmt.Fprintf(&b, "  kept     %-32s %s\n", amount(n), kept[class])
		}
	}
	verb, taken := "removed", "taken"
	if report.DryRun {
		verb, taken = "garbage", "would be taken"
	}
	size := report.Deleted
	if report.DryRun {
		size = report.Size()
	}
	fmt.Fprintf(&b, "  %-8s %-32s nothing points to them\n", verb, amount(size))
	if report.Expired.Objects > 0 {
		fmt.Fprintf(&b, "  %s files (%s) %s out of deleted runs and logged models; a collection %s from now removes them\n",
			humanize.Comma(int64(report.Expired.Objects)), humanize.IBytes(uint64(report.Expired.Bytes)), taken, c.OlderThan)
	}
	if report.DryRun && len(report.Garbage) > 0 {
		b.WriteString("Nothing was changed: this was a dry run. --json lists every object.\n")
	}
	_, err := r.out.Write([]byte(b.String()))
	return err
}
