package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Scorer writes the score of each row of a batch. batch is row-major, len(score) rows; it must not be changed nor kept. It must be safe for
// concurrent use and give a row the same score in whatever batch it stands.
type Scorer func(batch, score []float64)

// Permutation says how permutation importance is measured. The zero value is not usable; start from DefaultPermutation.
type Permutation struct {
	Repeats int    // shuffles of each group of columns, 1 at least
	Seed    uint64 // the same seed gives the same shuffles
	Threads int    // goroutines; 0 is as many as run at once. The result does not depend on it
	// Groups are the columns that are shuffled together, as the indicators of one category should be. nil stands for each column by itself.
	Groups [][]int
}

// DefaultPermutation returns 5 shuffles of each column by itself, of seed 1.
func DefaultPermutation() Permutation { return Permutation{Repeats: 5, Seed: 1} }

// Examples are the rows that importance is measured on. They should be rows that the model was not trained on.
type Examples struct {
	Matrix []float64 // row-major, Width values a row; any values that the scorer takes, NaN included
	Width  int
	Label  []float64
	Weight []float64 // nil for 1 each
}

// Importance is how much a metric falls when a group of columns is shuffled.
type Importance struct {
	Mean float64 `json:"mean"` // over the repeats, of the metric less the metric after shuffling; near 0 or below for a column of no use
	SD   Figure  `json:"sd,omitzero"`
}

// Importance returns the permutation importance (Breiman 2001; Fisher, Rudin and Dominici 2019) of each group of columns, in order, and the
// metric of the rows as they are. More of the metric must be better: wrap a loss in Negative. A shuffle moves the group's values between
// rows, all of a row's values together and nothing else; shuffle r of group g uses its own generator, of Seed, g and r.
//
// Columns that say the same share their importance, down to nothing, since each is known from the other: group them.
//
// The matrix is read in place, a block of rows at a time is copied; a thread needs 12 bytes per row beside. The metric is called
// Repeats times per group and the scorer for all rows as often. Errors: input of wrong lengths, a column that does not exist, what the
// metric returns (with the group), a metric that is not finite, and ctx's cause once ctx is done.
func (p Permutation) Importance(ctx context.Context, e Examples, model Scorer, metric Metric) ([]Importance, float64, error) {
	groups, err := p.check(e)
	if err != nil {
		return nil, 0, err
	}
	rows := len(e.Label)
	job := permuted{examples: e, model: model, metric: metric}
	base, err := job.measure(newScratch(rows, e.Width), nil, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("metric: %w", err)
	}
	jobs := len(groups) * p.Repeats
	threads := workers(p.Threads, jobs)
	memory := make([]*scratch, threads)
	drop := make([]float64, jobs)
	err = parallel(ctx, threads, jobs, func(worker, i int) error {
		if memory[worker] == nil {
			memory[worker] = newScratch(rows, e.Width)
		}
		s := memory[worker]
		g, repeat := i/p.Repeats, i%p.Repeats
		r := rand.New(rand.NewPCG(p.Seed, uint64(g)<<32|uint64(repeat)))
		from := s.shuffle(r)
		v, err := job.measure(s, groups[g], from)
		if err != nil {
			return fmt.Errorf("metric with group %d shuffled: %w", g, err)
		}
		drop[i] = base - v
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	out := make([]Importance, len(groups))
	for g := range out {
		out[g] = importance(drop[g*p.Repeats : (g+1)*p.Repeats])
	}
	return out, base, nil
}

func importance(drop []float64) Importance {
	mean, sum := meanOf(drop), 0.0
	for _, d := range drop {
		sum += float64((d - mean) * (d - mean))
	}
	return Importance{Mean: mean, SD: NewFigure(math.Sqrt(sum / float64(len(drop)-1)))}
}

// check returns the groups, or the first fault.
func (p Permutation) check(e Examples) ([][]int, error) {
	switch {
	case p.Repeats < 1:
		return nil, fmt.Errorf("%d repeats, want 1 at least", p.Repeats)
	case p.Threads < 0:
		return nil, fmt.Errorf("%d threads", p.Threads)
	case e.Width < 1:
		return nil, fmt.Errorf("width %d, want 1 at least", e.Width)
	case len(e.Label) == 0:
		return nil, ErrEmpty
	case len(e.Label) > math.MaxInt32:
		return nil, fmt.Errorf("%d rows are more than the %d that fit", len(e.Label), math.MaxInt32)
	case len(e.Matrix)/e.Width != len(e.Label) || len(e.Matrix)%e.Width != 0:
		return nil, fmt.Errorf("%d values of width %d for %d labels", len(e.Matrix), e.Width, len(e.Label))
	}
	groups := p.Groups
	if groups == nil {
		for c := range e.Width {
			groups = append(groups, []int{c})
		}
	}
	for g, columns := range groups {
		if len(columns) == 0 {
			return nil, fmt.Errorf("group %d has no columns", g)
		}
		for _, c := range columns {
			if c < 0 || c >= e.Width {
				return nil, fmt.Errorf("group %d: no column %d in a width of %d", g, c, e.Width)
			}
		}
	}
	if len(groups) == 0 {
		return nil, errors.New("no groups of columns")
	}
	return groups, nil
}

// permuted measures a model on rows whose columns were moved.
type permuted struct {
	examples Examples
	model    Scorer
	metric   Metric
}

// batchRows is how many rows are copied and scored at a time.
const batchRows = 512

// scratch is one thread's memory.
type scratch struct {
	batch []float64
	score []float64
	from  []int32
}

func newScratch(rows, width int) *scratch {
	return &scratch{batch: make([]float64, min(rows, batchRows)*width), score: make([]float64, rows), from: make([]int32, rows)}
}

func (s *scratch) shuffle(r *rand.Rand) []int32 {
	for i := range s.from {
		s.from[i] = int32(i)
	}
	r.Shuffle(len(s.from), func(i, j int) { s.from[i], s.from[j] = s.from[j], s.from[i] })
	return s.from
}

// measure scores all rows, row i with the columns of row from[i], and returns the metric. Without columns nothing is copied.
func (p permuted) measure(s *scratch, columns []int, from []int32) (float64, error) {
	e := p.examples
	for low := 0; low < len(s.score); low += batchRows {
		high := min(low+batchRows, len(s.score))
		batch := e.Matrix[low*e.Width : high*e.Width]
		if columns != nil {
			batch = s.batch[:copy(s.batch, batch)]
			for i := low; i < high; i++ {
				for _, c := range columns {
					batch[(i-low)*e.Width+c] = e.Matrix[int(from[i])*e.Width+c]
				}
			}
		}
		p.model(batch, s.score[low:high])
	}
	v, err := p.metric(s.score, e.Label, e.Weight)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = fmt.Errorf("value %v is not finite", v)
	}
	return v, err
}
