package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"telco-churn-mlops/bench/measure"
)

// side takes part in a contest.
type side struct {
	name string
	pids []int // whose processor time is the server's
	// bus are those of the NATS server, where it has a part in the work.
	bus []int
	hit func(context.Context) (load, error)
	// up starts what is hit for one turn alone and returns its processes and what ends them; it may be nil.
	up func(context.Context) (pids []int, down func() error, err error)
	// after is called after each round, for what must not go on during another's; it may be nil.
	after func(context.Context) error
}

// turn is one round of one side.
type turn struct {
	load
	cpu, busCPU float64 // microseconds a request
	others      float64
}

// contest has the sides take turns, and the order turned round every other round. The first turn of each side warms it up and does not count.
func (b *bench) contest(ctx context.Context, sides []side) ([][]turn, error) {
	turns := make([][]turn, len(sides))
	for round := range b.config.Rounds + 1 {
		order := make([]int, len(sides))
		for i := range order {
			order[i] = i
		}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, i := range order {
			t, err := b.turn(ctx, sides[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", sides[i].name, err)
			}
			if round == 0 && b.config.Rounds > 1 {
				continue
			}
			turns[i] = append(turns[i], t)
			b.Say("%s, round %d of %d: %s a second, p99 %s, %.1f µs of CPU each, %d failed (others %.0f %%)", sides[i].name, max(1, round), b.config.Rounds, measure.Thousands(t.PerSecond), micros(t.P99),
				t.cpu, t.Failed, 100*t.others)
		}
		if b.config.Rounds == 1 {
			break
		}
	}
	return turns, nil
}

// turn measures one round of a side.
func (b *bench) turn(ctx context.Context, s side) (t turn, err error) {
	if s.up != nil {
		pids, down, err := s.up(ctx)
		if err != nil {
			return turn{}, err
		}
		s.pids = pids
		defer func() { err = errors.Join(err, down()) }()
	}
	n, spent := measure.Watch(), b.spent
	cpu, bus := measure.CPU(s.pids...), measure.CPU(s.bus...)
	l, err := s.hit(ctx)
	if err != nil {
		return turn{}, err
	}
	t = turn{load: l}
	if s.after != nil {
		if err := s.after(ctx); err != nil {
			return turn{}, err
		}
	}
	each := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(max(1, l.Requests)) }
	t.cpu = each(measure.CPU(s.pids...) - cpu)
	if len(s.bus) > 0 {
		t.busCPU = each(measure.CPU(s.bus...) - bus)
	}
	t.others = n.Others(b.spent - spent)
	return t, nil
}

// of takes one quantity out of the turns.
func of(turns []turn, quantity func(turn) float64) measure.Figures {
	values := make([]float64, len(turns))
	for i, t := range turns {
		values[i] = quantity(t)
	}
	return measure.Summarize(values)
}

// ratios divides one quantity of two sides, round by round.
func ratios(a, b []turn, quantity func(turn) float64) measure.Figures {
	values := make([]float64, len(a))
	for i := range a {
		values[i] = quantity(a[i]) / quantity(b[i])
	}
	return measure.Summarize(values)
}

func perSecond(t turn) float64 { return t.PerSecond }
func p99(t turn) float64       { return float64(t.P99) }
func cpuEach(t turn) float64   { return t.cpu }

// worst returns the greatest share that others had.
func worst(all ...[]turn) (most float64) {
	for _, turns := range all {
		for _, t := range turns {
			most = max(most, t.others)
		}
	}
	return most
}

// failed adds what failed.
func failed(turns []turn) (n int) {
	for _, t := range turns {
		n += t.Failed
	}
	return n
}

// contestTable is the Markdown of a contest.
func contestTable(sides []side, turns [][]turn) string {
	lines := []string{"| server | requests a second | least to greatest | p50 | p99 | greatest | CPU of the server a request | of NATS | failed | others |", "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"}
	for i, s := range sides {
		t := turns[i]
		rate, bus := of(t, perSecond), ""
		if len(s.bus) > 0 {
			bus = fmt.Sprintf("%.1f µs", of(t, func(t turn) float64 { return t.busCPU }).Median)
		}
		duration := func(q func(turn) float64) string { return micros(time.Duration(of(t, q).Median)) }
		lines = append(lines, fmt.Sprintf("| %s | %s | %s to %s | %s | %s | %s | %.1f µs | %s | %d | %.0f %% |", s.name, measure.Thousands(rate.Median), measure.Thousands(rate.Min), measure.Thousands(rate.Max),
			duration(func(t turn) float64 { return float64(t.P50) }), duration(p99), micros(time.Duration(of(t, func(t turn) float64 { return float64(t.Max) }).Max)),
			of(t, cpuEach).Median, bus, failed(t), 100*worst(t)))
	}
	return strings.Join(lines, "\n") + "\n"
}
