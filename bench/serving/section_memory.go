package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"telco-churn-mlops/bench/measure"
)

// sample is the memory of the instance after a number of answers.
type sample struct{ answers, resident, heap float64 }

// flat is the growth over the last four fifths of a run, by a straight line through it, up to which memory counts as flat.
const flat = 0.05

// memorySection watches the memory of an instance over very many requests.
func memorySection(ctx context.Context, b *bench) (found chapter, err error) {
	w, err := b.theWorld(ctx)
	if err != nil {
		return chapter{}, err
	}
	i, err := b.serve(ctx, w, true)
	if err != nil {
		return chapter{}, err
	}
	defer func() { err = errors.Join(err, i.stop()) }()

	n, spent := measure.Watch(), b.spent
	var l load
	ended := make(chan error, 1)
	go func() {
		ended <- b.ask(ctx, task{Task: "load-http", URL: i.url + "/predict", Bodies: bodiesFile, Clients: b.config.Connections, Requests: b.config.Requests}, &l)
	}()
	samples, err := i.sample(ctx, b, ended)
	if err != nil {
		return chapter{}, err
	}
	b.spent += l.CPU
	others := n.Others(b.spent - spent)
	_, dropped, err := i.drain(ctx)
	if err != nil {
		return chapter{}, err
	}
	late := samples[len(samples)/5:]
	resident := func(s sample) float64 { return s.resident }
	heap := func(s sample) float64 { return s.heap }
	most := 0.0
	for _, s := range samples {
		most = max(most, s.resident)
	}
	growth := 0.0
	slope, start := line(late, resident)
	end := late[len(late)-1].answers
	if first := start + slope*late[0].answers; first > 0 {
		growth = slope * (end - late[0].answers) / first
	}
	heapSlope, _ := line(late, heap)
	found.findings = []finding{{what: fmt.Sprintf("Memory over %s requests: growth over the last four fifths", measure.Thousands(float64(l.Requests))), ours: fmt.Sprintf("%+.1f %%", 100*growth),
		beside: mebibytes(most) + " at most", value: growth, goal: goal{text: "at most 5 %", least: -1, most: flat, ofValue: true}, others: others},
		{what: "Requests that failed meanwhile", ours: measure.Thousands(float64(l.Failed)), beside: fmt.Sprintf("%s a second", measure.Thousands(l.PerSecond)), value: float64(l.Failed), goal: goal{text: "none", ofValue: true}}}
	found.detail = fmt.Sprintf("%d connections, prediction log on, our own generator; %d samples. Resident memory and live heap with garbage by the instance's own metrics. A straight line through the last four fifths rises %.1f KiB resident and %.1f KiB of heap per million requests. Dropped predictions: %s.\n\n",
		b.config.Connections, len(samples), slope*1e6/1024, heapSlope*1e6/1024, measure.Thousands(dropped))
	found.detail += "| requests answered | resident | heap |\n|---:|---:|---:|\n"
	for k := range 11 {
		s := samples[k*(len(samples)-1)/10]
		found.detail += fmt.Sprintf("| %s | %s | %s |\n", measure.Thousands(s.answers), mebibytes(s.resident), mebibytes(s.heap))
	}
	return found, nil
}

// sample takes samples until the load has ended.
func (i *instance) sample(ctx context.Context, b *bench, ended <-chan error) ([]sample, error) {
	tick := time.NewTicker(min(time.Second, b.config.Round/4))
	defer tick.Stop()
	var samples []sample
	for {
		text, err := i.metrics(ctx)
		if err != nil {
			return nil, err
		}
		resident, _ := measure.Memory(i.pid())
		samples = append(samples, sample{answers: sumOf(text, "churn_predictions_total"), resident: float64(resident), heap: sumOf(text, metricHeap)})
		if s := samples[len(samples)-1]; len(samples)%30 == 0 {
			b.Say("%s requests, %s resident", measure.Thousands(s.answers), mebibytes(s.resident))
		}
		select {
		case err := <-ended:
			return samples, err
		case <-tick.C:
		}
	}
}

// line fits a straight line through a quantity over the answers given, by least squares.
func line(samples []sample, quantity func(sample) float64) (slope, start float64) {
	var x, y, xx, xy float64
	n := float64(len(samples))
	for _, s := range samples {
		v := quantity(s)
		x, y = x+s.answers/n, y+v/n
	}
	for _, s := range samples {
		d := s.answers - x
		xx, xy = xx+d*d, xy+d*(quantity(s)-y)
	}
	if xx == 0 {
		return 0, y
	}
	return xy / xx, y - xy/xx*x
}
