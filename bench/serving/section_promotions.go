package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"telco-churn-mlops/bench/measure"
)

const (
	promoteEvery = 1500 * time.Millisecond
	// around is half of the span about an exchange.
	around = 500 * time.Millisecond
)

// promotionsSection promotes again and again while the instance is under full load.
func promotionsSection(ctx context.Context, b *bench) (found chapter, err error) {
	w, err := b.theWorld(ctx)
	if err != nil {
		return chapter{}, err
	}
	i, err := b.serve(ctx, w, true)
	if err != nil {
		return chapter{}, err
	}
	defer func() { err = errors.Join(err, i.stop()) }()
	quiet := min(10*time.Second, 5*b.config.Round)
	whole := 2*quiet + time.Duration(b.config.Promotions)*promoteEvery
	n, spent := measure.Watch(), b.spent
	var l load
	ended := make(chan error, 1)
	go func() {
		ended <- b.ask(ctx, task{Task: "load-http", URL: i.url + "/predict", Bodies: bodiesFile, Clients: b.config.Connections, For: whole, Rounds: 1}, &l)
	}()
	failed := b.promotions(ctx, w, quiet)
	if err := errors.Join(<-ended, failed); err != nil {
		return chapter{}, err
	}
	b.spent += l.CPU
	others := n.Others(b.spent - spent)
	_, dropped, err := i.drain(ctx)
	if err != nil {
		return chapter{}, err
	}
	still, swapped, worst := l.aroundSwaps()
	ratio := measure.Figures{}
	if still > 0 {
		ratio = measure.Summarize([]float64{swapped.Seconds() / still.Seconds()})
	}
	what := fmt.Sprintf("%d promotions under full load: ", b.config.Promotions)
	found.findings = []finding{
		{what: what + "failed, hanging (over 1 s)", ours: fmt.Sprintf("%d, %d", l.Failed, l.Hanging), beside: "of " + measure.Thousands(float64(l.Requests)), value: float64(l.Failed + l.Hanging), goal: goal{text: "none", ofValue: true}},
		{what: what + "p99 of the second around the exchange", ours: micros(swapped), beside: "quiet: " + micros(still), ratio: ratio, goal: goal{text: "at most 3", most: 3}, others: others},
	}
	found.detail = fmt.Sprintf("%d connections, prediction log on, our own generator, %s requests at %s a second; a promotion every %s, of models registered just before. The answers showed %d exchanges. p99 of all requests in the second around an exchange: %s, of the worst such second: %s; quiet before and after: %s. Dropped predictions: %s.\n",
		b.config.Connections, measure.Thousands(float64(l.Requests)), measure.Thousands(l.PerSecond), promoteEvery, len(l.Swaps), micros(swapped), micros(worst), micros(still), measure.Thousands(dropped))
	if l.Failed > 0 {
		found.detail += fmt.Sprintf("\nThe first failure: %s.\n", l.First)
	}
	if len(l.Swaps) != b.config.Promotions {
		b.Remark("Of %d promotions the answers showed %d.", b.config.Promotions, len(l.Swaps))
	}
	return found, nil
}

// promotions waits for the quiet time to pass and then promotes once every promoteEvery.
func (b *bench) promotions(ctx context.Context, w *world, quiet time.Duration) error {
	select {
	case <-time.After(quiet):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	tick := time.NewTicker(promoteEvery)
	defer tick.Stop()
	for range b.config.Promotions {
		if err := w.promote(ctx); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// aroundSwaps returns the p99 of the quiet time before the first and after the last exchange, without its first tenth; that of the seconds around the exchanges
// taken together; and that of the worst of them.
func (l *load) aroundSwaps() (still, swapped, worst time.Duration) {
	if len(l.Swaps) == 0 {
		return 0, 0, 0
	}
	merged := func(from, to time.Duration, into *counts) {
		for k := max(0, int(from/slotWidth)); k < int(to/slotWidth) && k < len(l.Slots); k++ {
			for bucket, n := range l.Slots[k] {
				into[bucket] += n
			}
		}
	}
	var quiet, all counts
	merged(l.Swaps[0]/10, l.Swaps[0]-around, &quiet)
	merged(l.Swaps[len(l.Swaps)-1]+2*around, l.Wall, &quiet)
	for _, at := range l.Swaps {
		var one counts
		merged(at-around, at+around, &one)
		merged(at-around, at+around, &all)
		worst = max(worst, one.quantile(0.99))
	}
	return quiet.quantile(0.99), all.quantile(0.99), worst
}
