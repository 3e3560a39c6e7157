package eval

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Metric is a figure of scored rows, as ROCAUC or LogLoss are. It must be safe for concurrent use, leave its arguments alone and not keep them.
type Metric func(score, label, weight []float64) (float64, error)

// Negative returns the metric with its sign turned, so that a loss becomes a figure of which more is better.
func Negative(m Metric) Metric {
	return func(score, label, weight []float64) (float64, error) {
		v, err := m(score, label, weight)
		return -v, err
	}
}

// Bootstrap says how rows are drawn again. The zero value is not usable; start from DefaultBootstrap.
type Bootstrap struct {
	Samples int     // how often, 10 at least; 1000 or more for the ends of a 95 % interval
	Seed    uint64  // the same seed gives the same draws
	Level   float64 // confidence, between 0 and 1
	Threads int     // goroutines; 0 is as many as run at once. The result does not depend on it
}

// DefaultBootstrap returns 1000 samples of seed 1 for an interval at Level.
func DefaultBootstrap() Bootstrap { return Bootstrap{Samples: 1000, Seed: 1, Level: Level} }

// Validate reports too few samples, a level outside (0, 1) and negative threads.
func (b Bootstrap) Validate() error {
	if b.Samples < 10 {
		return fmt.Errorf("%d bootstrap samples, want 10 at least", b.Samples)
	}
	if b.Threads < 0 {
		return fmt.Errorf("%d threads", b.Threads)
	}
	return checkLevel(b.Level)
}

// BootstrapEstimate is a figure with the spread of its bootstrap samples.
type BootstrapEstimate struct {
	Value float64 `json:"value"` // on the rows themselves
	SE    float64 `json:"se"`    // standard deviation over the samples
	// Interval holds the (1-level)/2 quantiles of the samples at either end (Efron's percentile interval), with linear interpolation.
	Interval
	Samples int `json:"samples"`
}

// Estimate returns the metric of the rows with its percentile interval. Each sample draws, with replacement, as many positive rows as there
// are and as many negative ones, so that no sample lacks a class; rows of weight 0 are left out and a row keeps its weight. Sample
// i uses its own generator, of seed and i.
//
// It reads the metric Samples+1 times and needs one copy of the rows per thread. Errors are those of the input and of the metric,
// with the number of the sample, and ctx's cause once ctx is done.
func (b Bootstrap) Estimate(ctx context.Context, score, label, weight []float64, metric Metric) (BootstrapEstimate, error) {
	if err := b.Validate(); err != nil {
		return BootstrapEstimate{}, err
	}
	if err := check(score, label, weight); err != nil {
		return BootstrapEstimate{}, err
	}
	value, err := metric(score, label, weight)
	if err != nil {
		return BootstrapEstimate{}, fmt.Errorf("metric: %w", err)
	}
	var classes [2][]int32
	for i, y := range label {
		if weightAt(weight, i) > 0 {
			classes[int(y)] = append(classes[int(y)], int32(i))
		}
	}
	n := len(classes[0]) + len(classes[1])
	threads := workers(b.Threads, b.Samples)
	drawn := make([]draws, threads)
	values := make([]float64, b.Samples)
	err = parallel(ctx, threads, b.Samples, func(worker, i int) error {
		d := &drawn[worker]
		d.reset(n, weight != nil)
		r := rand.New(rand.NewPCG(b.Seed, uint64(i)))
		for _, rows := range classes {
			for range rows {
				row := rows[r.IntN(len(rows))]
				d.score, d.label = append(d.score, score[row]), append(d.label, label[row])
				if weight != nil {
					d.weight = append(d.weight, weight[row])
				}
			}
		}
		v, err := metric(d.score, d.label, d.weight)
		if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
			err = fmt.Errorf("value %v is not finite", v)
		}
		if err != nil {
			return fmt.Errorf("metric of bootstrap sample %d: %w", i, err)
		}
		values[i] = v
		return nil
	})
	if err != nil {
		return BootstrapEstimate{}, err
	}
	return b.summary(value, values), nil
}

func (b Bootstrap) summary(value float64, values []float64) BootstrapEstimate {
	mean, sum := meanOf(values), 0.0
	for _, v := range values {
		sum += float64((v - mean) * (v - mean))
	}
	slices.Sort(values)
	tail := (1 - b.Level) / 2
	return BootstrapEstimate{
		Value: value, SE: math.Sqrt(sum / float64(len(values)-1)), Samples: len(values),
		Interval: interval(quantile(values, tail), quantile(values, 1-tail)),
	}
}

// draws is one thread's sample.
type draws struct{ score, label, weight []float64 }

func (d *draws) reset(n int, weighted bool) {
	if d.score == nil {
		d.score, d.label = make([]float64, 0, n), make([]float64, 0, n)
		if weighted {
			d.weight = make([]float64, 0, n)
		}
	}
	d.score, d.label, d.weight = d.score[:0], d.label[:0], d.weight[:0]
}

// quantile returns the p-quantile of ascending values by linear interpolation (Hyndman and Fan's type 7, numpy's default).
func quantile(sorted []float64, p float64) float64 {
	at := float64(p * float64(len(sorted)-1))
	low := int(math.Floor(at))
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[low] + float64((at-float64(low))*(sorted[low+1]-sorted[low]))
}
