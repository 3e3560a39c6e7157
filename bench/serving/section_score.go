package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"telco-churn-mlops/bench/measure"
)

// scoreSection times the trees alone against leaves.
func scoreSection(ctx context.Context, b *bench) (found chapter, err error) {
	data, err := b.generated(b.config.Customers)
	if err != nil {
		return chapter{}, err
	}
	var all []scores
	if err := b.ask(ctx, task{Task: "scores", Bodies: filepath.Base(data), Rounds: b.config.Rounds, For: b.config.Round / 10}, &all); err != nil {
		return chapter{}, err
	}
	lines := []string{"| trees | one row, ours | leaves | rows at a time, ours | leaves | allocations a row |", "|---|---:|---:|---:|---:|---:|"}
	for _, s := range all {
		for _, way := range []struct {
			name         string
			ours, theirs []float64
		}{{"one row after another", s.Single, s.SingleThem}, {fmt.Sprintf("%d rows at a time", rowsScored), s.Batch, s.BatchThem}} {
			var each []float64
			for i := range way.ours {
				each = append(each, way.ours[i]/way.theirs[i])
			}
			found.findings = append(found.findings, finding{what: fmt.Sprintf("Scoring alone, %d trees of %s, %s: time a row", s.Trees, s.Shape, way.name), ours: nanos(way.ours),
				beside: "leaves: " + nanos(way.theirs), ratio: measure.Summarize(each), goal: goal{text: "at most 0.50", most: 0.50}})
		}
		lines = append(lines, fmt.Sprintf("| %d of %s | %s | %s | %s | %s | %.3g |", s.Trees, s.Shape, nanos(s.Single), nanos(s.SingleThem), nanos(s.Batch), nanos(s.BatchThem), s.Allocations))
	}
	found.detail = fmt.Sprintf("%d rows of the Telco features, in a process of its own, on one goroutine; both sides score the same trees and agree within 1e-9.\n\n", rowsScored) + strings.Join(lines, "\n") + "\n"
	return found, nil
}

// nanos writes the median of times in nanoseconds.
func nanos(values []float64) string { return fmt.Sprintf("%.0f ns", measure.Summarize(values).Median) }
