package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"telco-churn-mlops/bench/measure"
)

// batchSection scores a file of customers to another.
func batchSection(ctx context.Context, b *bench) (found chapter, err error) {
	if _, err := b.models(ctx); err != nil {
		return chapter{}, err
	}
	data, err := b.generated(b.config.BatchRows)
	if err != nil {
		return chapter{}, err
	}
	job := task{Bodies: data, Bundle: filepath.Join(b.dir, bundleFile)}
	threads := []int{1, 2}
	if runtime.NumCPU() == 1 {
		threads = threads[:1]
	}
	runs := make([][]batchResult, len(threads))
	others := 0.0
	for round := range b.config.Rounds {
		for i, n := range threads {
			var r batchResult
			job.Task, job.Clients = "batch", n
			noise, spent := measure.Watch(), b.spent
			if err := b.ask(ctx, job, &r); err != nil {
				return chapter{}, err
			}
			b.spent += r.CPU
			others = max(others, noise.Others(b.spent-spent))
			runs[i] = append(runs[i], r)
			b.Say("batch, %d threads, round %d of %d: %s rows a second, %.2f µs of CPU each (others %.0f %%)", n, round+1, b.config.Rounds, measure.Thousands(r.rate()), r.each(), 100*others)
		}
	}
	var floor batchResult
	job.Task, job.Bytes = "copy", int(runs[0][0].Written)
	if err := b.ask(ctx, job, &floor); err != nil {
		return chapter{}, err
	}
	parts := map[string]*batchResult{}
	job.Task = "parts"
	if err := b.ask(ctx, job, &parts); err != nil {
		return chapter{}, err
	}
	lines := []string{"| what | rows a second | a core | CPU a row | peak memory |", "|---|---:|---:|---:|---:|"}
	row := func(name string, rs []batchResult, cores float64) measure.Figures {
		rate := measure.Summarize(each(rs, (*batchResult).rate))
		lines = append(lines, fmt.Sprintf("| %s | %s | %s | %.2f µs | %s |", name, measure.Thousands(rate.Median), measure.Thousands(rate.Median/cores), measure.Summarize(each(rs, (*batchResult).each)).Median, mebibytes(float64(rs[0].Peak))))
		return rate
	}
	for i, n := range threads {
		rate := row(fmt.Sprintf("CSV file to CSV file, %d threads", n), runs[i], float64(n))
		found.findings = append(found.findings, finding{what: fmt.Sprintf("Batch scoring, CSV file to file, %d threads: rows a second a core", n), ours: measure.Thousands(rate.Median / float64(n)),
			beside: "", value: -rate.Median / float64(n), goal: goal{text: "aim 1,000,000", least: -1e12, most: -1e6, ofValue: true}, others: others})
	}
	row("read and count lines, write as many bytes, sync", []batchResult{floor}, 1)
	row("records decoded by the reader that training uses", []batchResult{*parts["decode"]}, 1)
	row("records in memory transformed and scored one at a time", []batchResult{*parts["score"]}, 1)
	found.detail = fmt.Sprintf("%s generated customers, a model of %d trees of depth %d, each run a process of its own on so many processors, medians of %d. Below are the parts by themselves, on one processor, once each: they say what bounds it.\n\n",
		measure.Thousands(float64(b.config.BatchRows)), trees, depth, b.config.Rounds) + strings.Join(lines, "\n") + "\n"
	return found, nil
}

func (r *batchResult) rate() float64 { return float64(r.Rows) / r.Wall.Seconds() }

// each returns microseconds of processor time a row.
func (r *batchResult) each() float64 { return r.CPU.Seconds() * 1e6 / float64(max(1, r.Rows)) }

func each(rs []batchResult, quantity func(*batchResult) float64) []float64 {
	out := make([]float64, len(rs))
	for i := range rs {
		out[i] = quantity(&rs[i])
	}
	return out
}
