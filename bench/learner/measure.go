package main

import (
	"context"
	"fmt"
	"path/filepath"

	"telco-churn-mlops/bench/measure"
)

// measurement is the column of one side in one row.
type measurement struct {
	side string
	// value is what the row is about, in its unit.
	value measure.Figures
	// cpu is the processor time in the same unit, 0 where it says nothing.
	cpu float64
	// peak, before and quantized are bytes: the process at its peak and before the work, and the quantized data.
	peak, before, quantized int64
	trainLoss, holdoutLoss  float64
	others                  float64 // the greatest share of the processors that others used in a round
}

// entrant is a side with its task.
type entrant struct {
	side side
	task request
}

// take runs every entrant in turn, rounds times, and returns the samples of each.
func (b *bench) take(ctx context.Context, what string, rounds int, pinned bool, entrants ...entrant) ([][]sample, error) {
	samples := make([][]sample, len(entrants))
	for round := range rounds {
		for i, e := range entrants {
			e.task.Losses = round == 0
			got, err := b.do(ctx, e.side, e.task, pinned)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			samples[i] = append(samples[i], got)
			if len(got.Seconds) > 0 {
				b.Say("%s, %s, round %d of %d: %.4g s (others %.0f %%)", what, e.side.name, round+1, rounds, measure.Summarize(got.Seconds).Median, 100*got.others)
			}
		}
	}
	return samples, b.profile(ctx, what, pinned, entrants)
}

// profile runs our entrants once more with a CPU profile, if profiles are asked for.
func (b *bench) profile(ctx context.Context, what string, pinned bool, entrants []entrant) error {
	if b.config.Profiles == "" {
		return nil
	}
	folder, err := filepath.Abs(b.config.Profiles)
	if err != nil {
		return err
	}
	for _, e := range entrants {
		if e.side.name != b.ours.name {
			continue
		}
		e.task.CPUProfile = filepath.Join(folder, slug(what)+".pprof")
		if _, err := b.do(ctx, e.side, e.task, pinned); err != nil {
			return fmt.Errorf("profile %s: %w", what, err)
		}
	}
	return nil
}

// slug makes a file's name of a row's.
func slug(what string) string {
	out := []byte{}
	for _, c := range []byte(what) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			out = append(out, c)
		case len(out) > 0 && out[len(out)-1] != '-' && c != ',':
			out = append(out, '-')
		}
	}
	return string(out)
}

// measure takes the samples of the entrants and makes a measurement of each in seconds.
func (b *bench) measure(ctx context.Context, what string, rounds int, pinned bool, entrants ...entrant) ([]measurement, error) {
	samples, err := b.take(ctx, what, rounds, pinned, entrants...)
	if err != nil {
		return nil, err
	}
	all := make([]measurement, len(entrants))
	for i, e := range entrants {
		all[i] = gather(e.side.name, samples[i])
	}
	return all, nil
}

// gather makes one measurement of a side's samples: of the median of each process's repetitions.
func gather(name string, samples []sample) measurement {
	m := measurement{side: name}
	var wall, cpu []float64
	for _, s := range samples {
		wall = append(wall, measure.Summarize(s.Seconds).Median)
		cpu = append(cpu, measure.Summarize(s.CPUSeconds).Median)
		m.peak, m.before = max(m.peak, s.PeakBytes), max(m.before, s.BeforeBytes)
		m.quantized, m.trainLoss, m.holdoutLoss = max(m.quantized, s.QuantizedBytes), max(m.trainLoss, s.TrainLoss), max(m.holdoutLoss, s.HoldoutLoss)
		m.others = max(m.others, s.others)
	}
	m.value, m.cpu = measure.Summarize(wall), measure.Summarize(cpu).Median
	return m
}
