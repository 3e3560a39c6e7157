package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"telco-churn-mlops/bench/measure"
	"telco-churn-mlops/internal/block"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/embedded"
)

// step is what was measured at one number of runs.
type step struct {
	runs int
	ready
	stored   uint64  // bytes of TRACKING
	others   float64 // share of the processors that others had while it searched
	searches []found
}

// found is a query with its times and the number of runs on its page.
type found struct {
	search
	latencies
	page int
}

// duel is log-batch against the handler that only reads: the medians of the rounds.
type duel struct {
	api, empty rate
	ratio      float64
	low, high  float64 // of the rounds' ratios
	runs       int     // that were stored before
	others     float64 // share of the processors that others had
}

// drive measures everything and prints the report, and rewrites the block that c names.
func drive(ctx context.Context, c Config, out, progress io.Writer) (err error) {
	host := measure.Host()
	dir := c.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "bench-registry-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	srv, err := embedded.Start(embedded.Config{Port: -1, StoreDir: dir, StoreBytes: c.StoreBytes})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Stop(context.Background())) }()
	b, err := bus.Connect(ctx, bus.Config{URL: srv.URL(), Name: "bench", StoreBytes: srv.StoreBytes()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close(context.Background())) }()
	if err := b.Provision(ctx); err != nil {
		return err
	}
	s := &suite{config: c, url: srv.URL(), loader: newLoader(b), progress: progress}
	if err := s.measure(ctx); err != nil {
		return err
	}
	text := s.report(host)
	if _, err := io.WriteString(out, text); err != nil {
		return err
	}
	if c.Out == "" {
		return nil
	}
	return block.Rewrite(c.Out, "bench-registry", text)
}

// suite is one run of the benchmark.
type suite struct {
	config   Config
	url      string
	loader   *loader
	progress io.Writer
	steps    []step
	duel     duel
}

func (s *suite) say(format string, args ...any) {
	fmt.Fprintf(s.progress, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

func (s *suite) measure(ctx context.Context) error {
	if err := s.loader.experiment(ctx); err != nil {
		return err
	}
	for i, runs := range s.config.Runs {
		from := 0
		if i > 0 {
			from = s.config.Runs[i-1]
		}
		if err := s.loader.load(ctx, from, runs); err != nil {
			return err
		}
		st := step{runs: runs}
		var err error
		if st.stored, err = s.loader.stored(ctx); err != nil {
			return err
		}
		s.say("%d runs stored in %s", runs, mebibytes(st.stored))
		err = s.with(ctx, fmt.Sprintf("registry-%d.pprof", runs), func(r ready) error {
			st.ready = r
			s.say("%d runs folded in %.2f s, %s live, %s at the peak", runs, r.FoldSeconds, mebibytes(r.HeapBytes), mebibytes(r.PeakBytes))
			c, n := newClient(r.API, s.config.Clients), measure.Watch()
			for _, q := range searches() {
				times, page, err := c.ask(ctx, q, s.config.Searches)
				if err != nil {
					return err
				}
				s.say("%s: p50 %s, p95 %s", q.what, milliseconds(times.P50), milliseconds(times.P95))
				st.searches = append(st.searches, found{q, times, page})
			}
			st.others = n.Others(0)
			if i != len(s.config.Runs)-1 { // what it stores would be in the figures that follow
				return nil
			}
			return s.contest(ctx, r, runs)
		})
		if err != nil {
			return err
		}
		s.steps = append(s.steps, st)
	}
	return nil
}

// contest takes rounds of log-batch calls by turns from the handler that only reads and from the API.
func (s *suite) contest(ctx context.Context, r ready, stored int) error {
	api, empty := newClient(r.API, s.config.Clients), newClient(r.Empty, s.config.Clients)
	runs := make([]string, s.config.Clients)
	for i := range runs {
		var err error
		if runs[i], err = api.newRun(ctx); err != nil {
			return err
		}
	}
	n := measure.Watch()
	var steps atomic.Int64
	var apis, empties []rate
	var ratios []float64
	for round := range s.config.Rounds {
		e, err := empty.batches(ctx, runs, s.config.Round, &steps)
		if err != nil {
			return err
		}
		a, err := api.batches(ctx, runs, s.config.Round, &steps)
		if err != nil {
			return err
		}
		s.say("log-batch, round %d of %d: %.0f a second, empty %.0f", round+1, s.config.Rounds, a.perSecond, e.perSecond)
		apis, empties, ratios = append(apis, a), append(empties, e), append(ratios, a.perSecond/e.perSecond)
	}
	slices.Sort(ratios)
	s.duel = duel{runs: stored, others: n.Others(0), api: medianRate(apis), empty: medianRate(empties), ratio: ratios[len(ratios)/2], low: ratios[0], high: ratios[len(ratios)-1]}
	return nil
}

// medianRate returns the round with the middle rate, the upper one of an even number.
func medianRate(rounds []rate) rate {
	slices.SortFunc(rounds, func(a, b rate) int { return int(a.perSecond - b.perSecond) })
	return rounds[len(rounds)/2]
}

// with starts a registry in a process of its own, calls fn once it can answer, and ends it. profile is the file of its CPU profile, if profiles are wanted.
func (s *suite) with(ctx context.Context, profile string, fn func(ready) error) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"-worker", s.url}
	if s.config.Profiles != "" {
		args = append(args, "-cpuprofile", filepath.Join(s.config.Profiles, profile))
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = s.progress
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = func() error {
		defer func() { _ = in.Close() }() // ends the process
		line, err := bufio.NewReader(out).ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("registry: %w", err)
		}
		var r ready
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("registry: %w", err)
		}
		return fn(r)
	}()
	return errors.Join(err, cmd.Wait())
}
