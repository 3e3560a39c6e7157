package main

import (
	"context"
	"fmt"

	"telco-churn-mlops/bench/measure"
)

// recordSection times one record from its bytes to those of the answer, without a transport.
func recordSection(ctx context.Context, b *bench) (found chapter, err error) {
	w, err := b.theWorld(ctx)
	if err != nil {
		return chapter{}, err
	}
	n := measure.Watch()
	var got records
	if err := b.ask(ctx, task{Task: "record", URL: w.server.ready.URL, Bodies: bodiesFile, Rounds: b.config.Rounds, For: b.config.Round / 4}, &got); err != nil {
		return chapter{}, err
	}
	others := n.Others(got.CPU)
	ns, allocations := measure.Summarize(got.NS), measure.Summarize(got.Allocations)
	found.findings = []finding{
		{what: "One record in process, decoded JSON to encoded answer, prediction log off", ours: fmt.Sprintf("%.2f µs", ns.Median/1000), value: ns.Median, goal: goal{text: "3 µs", most: 3000, ofValue: true}, others: others},
		{what: "Allocations of it", ours: fmt.Sprintf("%.2g", allocations.Median), value: allocations.Median, goal: goal{text: "none", most: 0.01, ofValue: true}},
	}
	found.detail = fmt.Sprintf("A whole instance in a process of its own answers the records of %d customers by `Service.Ask`, on one goroutine: reading, transforming, %d trees, metrics, the answer's bytes. %.0f to %.0f ns in %d rounds; up to %.2g allocations of the whole process a record, its other goroutines included.\n",
		customers, trees, ns.Min, ns.Max, ns.N, allocations.Max)
	return found, nil
}
