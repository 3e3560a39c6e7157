package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"telco-churn-mlops/inference/backtest"
	"telco-churn-mlops/internal/connect"
)

// moment is a time, or how long ago it was.
type moment struct {
	at  time.Time
	ago age
	set bool
}

// UnmarshalText reads "2h" and "7d" as long ago, "2026-03-01" as local midnight, and RFC 3339.
func (m *moment) UnmarshalText(text []byte) error {
	m.set = true
	if m.ago.UnmarshalText(text) == nil {
		return nil
	}
	var err error
	if m.at, err = time.Parse(time.RFC3339, string(text)); err == nil {
		return nil
	}
	if m.at, err = time.ParseInLocation(time.DateOnly, string(text), time.Local); err != nil {
		return fmt.Errorf("%q: want how long ago, such as 2h or 7d, a date such as 2026-03-01, or a time such as 2026-03-01T12:00:00Z", text)
	}
	return nil
}

// when returns the time, zero where none was given.
func (m *moment) when(now time.Time) time.Time {
	if !m.set || !m.at.IsZero() {
		return m.at
	}
	return now.Add(-time.Duration(m.ago))
}

type backtestCmd struct {
	remote
	connect.Artifacts
	Model    string  `name:"model" env:"CHURN_MODEL" default:"${model}" help:"Model to use."`
	From     moment  `name:"from" help:"Begin of the period: how long ago, such as 7d, a date or a time; the first prediction there is by default." placeholder:"WHEN"`
	To       moment  `name:"to" help:"End of the period, which does not belong to it; now by default." placeholder:"WHEN"`
	Version  int     `name:"version" help:"Version to answer with again; Production by default." placeholder:"N"`
	Bundle   string  `name:"bundle" help:"A bundle's file in place of a version." placeholder:"FILE"`
	Against  string  `name:"against" default:"logged" help:"What to compare with: logged, which is what was answered then, or a version." placeholder:"logged|N"`
	By       int     `name:"answered-by" help:"Only what this version answered then; all by default." placeholder:"N"`
	Top      int     `name:"top" default:"10" help:"How many of the rows that changed most to show."`
	MaxFlips float64 `name:"max-flips" default:"1" help:"Fail if more than this share of the labels turned."`
	MaxPSI   float64 `name:"max-psi" default:"0" help:"Fail if the PSI of the scores is greater; 0 means never."`
}

// Run answers a past period again and compares.
func (c backtestCmd) Run(r *run) error {
	against, err := c.other()
	if err != nil {
		return err
	}
	l, err := c.joinLoop(r, "backtest", c.Artifacts)
	if err != nil {
		return err
	}
	report, err := c.backtest(r, l, against)
	if err == nil {
		err = c.print(r, report)
	}
	if err == nil {
		err = c.verdict(report)
	}
	return closing(l.bus, err)
}

// other returns the version to compare with, -1 for what was logged.
func (c *backtestCmd) other() (int, error) {
	if c.Version != 0 && c.Bundle != "" {
		return 0, errors.New("--version and --bundle exclude each other")
	}
	if c.Version < 0 || c.By < 0 || c.Top < 0 {
		return 0, errors.New("--version, --answered-by and --top must not be negative")
	}
	if !(c.MaxFlips >= 0 && c.MaxFlips <= 1) || !(c.MaxPSI >= 0) {
		return 0, errors.New("--max-flips must be from 0 to 1, and --max-psi not negative")
	}
	if c.Against == "logged" {
		return -1, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(c.Against, "v"))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("--against %q: want logged or the number of a version", c.Against)
	}
	return n, nil
}

func (c *backtestCmd) backtest(r *run, l *loop, against int) (*backtest.Report, error) {
	candidate, err := c.candidate(r.ctx, l)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	show := newProgress(r)
	began := now
	config := backtest.Config{Bus: l.bus, Model: c.Model, From: c.From.when(now), To: c.To.when(now), Candidate: candidate, Answered: c.By, Top: c.Top,
		Progress: func(p backtest.Progress) {
			done := float64(p.Sequence-p.From+1) / float64(max(1, p.Through-p.From+1))
			show.line("%3.0f %%  %d rows, %.0f a second", 100*done, p.Rows, float64(p.Rows)/time.Since(began).Seconds())
		}}
	if against > 0 {
		other, err := backtest.Find(r.ctx, l.bus, l.store, c.Model, against)
		if err != nil {
			return nil, err
		}
		config.Against = &other
	}
	report, err := backtest.Run(r.ctx, config)
	show.end()
	if errors.Is(err, backtest.ErrNothing) {
		err = fmt.Errorf("model %s: %w", c.Model, err)
	}
	return report, err
}

func (c *backtestCmd) candidate(ctx context.Context, l *loop) (backtest.Candidate, error) {
	if c.Bundle == "" {
		return backtest.Find(ctx, l.bus, l.store, c.Model, c.Version)
	}
	data, err := os.ReadFile(c.Bundle)
	if err != nil {
		return backtest.Candidate{}, fmt.Errorf("read bundle: %w", err)
	}
	candidate, err := backtest.Open(data)
	if err != nil {
		return candidate, fmt.Errorf("%s: %w", c.Bundle, err)
	}
	if name := candidate.Bundle.Manifest.Model; name != c.Model {
		return candidate, fmt.Errorf("%s is a bundle of the model %s, not of %s", c.Bundle, name, c.Model)
	}
	return candidate, nil
}

// verdict is the error of a report that is not what was asked for.
func (c *backtestCmd) verdict(rep *backtest.Report) error {
	switch flips := float64(rep.Flips) / float64(max(1, rep.Rows)); {
	case rep.Rows == 0:
		return errors.New("no row of the period could be compared")
	case rep.Own.Differing > 0:
		return fmt.Errorf("%d of the %d rows that version %d answered itself did not come again to the bit, the first of them prediction %s",
			rep.Own.Differing, rep.Own.Rows, rep.Candidate.Version, rep.Own.First)
	case flips > c.MaxFlips:
		return fmt.Errorf("%.4g of the labels turned, at most %.4g may (--max-flips)", flips, c.MaxFlips)
	case c.MaxPSI > 0 && rep.PSI > c.MaxPSI:
		return fmt.Errorf("the PSI of the scores is %.4g, at most %.4g is allowed (--max-psi)", rep.PSI, c.MaxPSI)
	}
	return nil
}
