package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"telco-churn-mlops/bench/measure"
)

// httpSection puts POST /predict beside handlers that read the same bodies and answer with as many bytes.
func httpSection(ctx context.Context, b *bench) (found chapter, err error) {
	w, err := b.theWorld(ctx)
	if err != nil {
		return chapter{}, err
	}
	on, err := b.serve(ctx, w, true)
	if err != nil {
		return chapter{}, err
	}
	defer func() { err = errors.Join(err, on.stop()) }()
	answer, _, err := post(ctx, on.url+"/predict", b.records[0])
	if err != nil {
		return chapter{}, err
	}
	var drains []float64
	var dropped float64
	sides := []side{{name: "ours, prediction log on", pids: []int{on.pid()}, bus: []int{w.server.pid()}, hit: b.hits(on.url + "/predict"), after: func(ctx context.Context) error {
		took, lost, err := on.drain(ctx)
		drains, dropped = append(drains, took.Seconds()), lost
		return err
	}}}
	if b.quiet {
		off, err := b.serve(ctx, w, false)
		if err != nil {
			return chapter{}, err
		}
		defer func() { err = errors.Join(err, off.stop()) }()
		sides = append(sides, side{name: "ours, prediction log off", pids: []int{off.pid()}, hit: b.hits(off.url + "/predict")})
	}
	for _, kind := range []struct{ task, name string }{{"nethttp", "net/http, reads and answers"}, {"fasthttp", "fasthttp, reads and answers"}} {
		h, err := b.hire(ctx, task{Task: kind.task, Bytes: len(answer)})
		if err != nil {
			return chapter{}, err
		}
		defer func() { err = errors.Join(err, h.dismiss()) }()
		sides = append(sides, side{name: kind.name, pids: []int{h.pid()}, hit: b.hits(h.ready.URL + "/predict")})
	}
	turns, err := b.contest(ctx, sides)
	if err != nil {
		return chapter{}, err
	}
	floor := turns[len(turns)-2]
	name := []string{"prediction log on", "prediction log off"}
	for i := range len(sides) - 2 {
		share := []goal{{text: "at least 0.60", least: 0.60}, {text: "at least 0.85", least: 0.85}}[i]
		found.findings = append(found.findings,
			versus(fmt.Sprintf("HTTP /predict, %d connections, %s: requests a second", b.config.Connections, name[i]), "net/http", turns[i], floor, perSecond, measure.Thousands[float64], share),
			versus(fmt.Sprintf("HTTP /predict, %s: p99", name[i]), "net/http", turns[i], floor, p99, func(v float64) string { return micros(time.Duration(v)) }, goal{text: "at most 2", most: 2}))
	}
	drain := measure.Summarize(drains)
	found.findings = append(found.findings, finding{what: "HTTP /predict, prediction log on: predictions dropped", ours: measure.Thousands(dropped), beside: fmt.Sprintf("of %s", measure.Thousands(total(turns[0]))),
		value: dropped, goal: goal{text: "none", ofValue: true}, others: worst(turns[0])})
	found.detail = fmt.Sprintf("Load by %s over %d connections, rounds of %s, one server after another; the handlers answer with %d bytes as ours does.\n\n", b.generator(), b.config.Connections, b.config.Round, len(answer)) +
		contestTable(sides, turns) +
		fmt.Sprintf("\nAfter a round the prediction log was empty within %.2f s (%.2f to %.2f s); its CPU until then is counted above.\n", drain.Median, drain.Min, drain.Max)
	return found, nil
}

// hits returns what puts a URL under load.
func (b *bench) hits(url string) func(context.Context) (load, error) {
	return func(ctx context.Context) (load, error) { return b.hit(ctx, url) }
}

// versus makes a finding of one quantity of two sides.
func versus(what, beside string, ours, theirs []turn, quantity func(turn) float64, write func(float64) string, g goal) finding {
	return finding{what: what, ours: write(of(ours, quantity).Median), beside: beside + ": " + write(of(theirs, quantity).Median), ratio: ratios(ours, theirs, quantity), goal: g, others: worst(ours, theirs)}
}

func total(turns []turn) (n float64) {
	for _, t := range turns {
		n += float64(t.Requests)
	}
	return n
}
