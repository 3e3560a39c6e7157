package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBootstrapIsNearDeLong(t *testing.T) {
	w := newWorld(5, 400)
	b := DefaultBootstrap()
	got, err := b.Estimate(t.Context(), w.score, w.label, nil, ROCAUC)
	require.NoError(t, err)
	exact, err := DeLong(w.score, w.label, nil)
	require.NoError(t, err)
	require.Equal(t, 1000, got.Samples)
	require.InDelta(t, exact.AUC, got.Value, 1e-12)
	require.InEpsilon(t, exact.SE.Float(), got.SE, 0.1)
	require.InDelta(t, exact.Low.Float(), got.Low.Float(), 0.01)
	require.InDelta(t, exact.High.Float(), got.High.Float(), 0.01)
}

func TestBootstrapIsTheSameOnAnyNumberOfThreads(t *testing.T) {
	w := newWorld(6, 200)
	for _, weight := range [][]float64{nil, w.weight} {
		var all []BootstrapEstimate
		for _, threads := range []int{1, 2, 8, 0} {
			b := Bootstrap{Samples: 50, Seed: 4, Level: 0.9, Threads: threads}
			got, err := b.Estimate(t.Context(), w.score, w.label, weight, LogLoss)
			require.NoError(t, err)
			all = append(all, got)
		}
		for _, got := range all[1:] {
			require.Equal(t, all[0], got)
		}
		other, err := Bootstrap{Samples: 50, Seed: 5, Level: 0.9}.Estimate(t.Context(), w.score, w.label, weight, LogLoss)
		require.NoError(t, err)
		require.NotEqual(t, all[0].SE, other.SE)
	}
}

func TestBootstrapKeepsTheClasses(t *testing.T) {
	score, label := []float64{0.1, 0.2, 0.3, 0.9, 0.5}, []float64{0, 0, 0, 1, 0}
	weight := []float64{1, 2, 3, 4, 0}
	var mutex sync.Mutex
	seen := map[float64]bool{}
	_, err := Bootstrap{Samples: 200, Seed: 1, Level: 0.5}.Estimate(t.Context(), score, label, weight, func(s, y, w []float64) (float64, error) {
		mutex.Lock()
		defer mutex.Unlock()
		if len(s) == len(score) { // the rows themselves
			return 0, nil
		}
		require.Len(t, s, 4)
		require.Equal(t, []float64{0, 0, 0, 1}, y)
		for i := range s {
			seen[s[i]] = true
			require.Equal(t, weight[slices.Index(score, s[i])], w[i], "a row keeps its weight")
		}
		return 0, nil
	})
	require.NoError(t, err)
	require.Equal(t, map[float64]bool{0.1: true, 0.2: true, 0.3: true, 0.9: true}, seen, "rows of weight 0 are left out")
}

func TestBootstrapFaults(t *testing.T) {
	score, label := []float64{0.1, 0.9}, []float64{0, 1}
	odd := errors.New("odd")
	calls := atomic.Int64{}
	tests := map[string]func() error{
		"9 bootstrap samples": func() error {
			_, err := Bootstrap{Samples: 9, Level: 0.9}.Estimate(t.Context(), score, label, nil, ROCAUC)
			return err
		},
		"level 1":    func() error { return Bootstrap{Samples: 10, Level: 1}.Validate() },
		"-1 threads": func() error { return Bootstrap{Samples: 10, Level: 0.5, Threads: -1}.Validate() },
		"no rows":    func() error { _, err := DefaultBootstrap().Estimate(t.Context(), nil, nil, nil, ROCAUC); return err },
		"metric: lab": func() error {
			_, err := DefaultBootstrap().Estimate(t.Context(), score, []float64{1, 1}, nil, ROCAUC)
			return err
		},
		"metric of bootstrap sample 0: odd": func() error {
			_, err := DefaultBootstrap().Estimate(t.Context(), score, label, nil, func(_, _, _ []float64) (float64, error) {
				if calls.Add(1) > 1 {
					return 0, odd
				}
				return 0, nil
			})
			return err
		},
		"sample 0: value NaN": func() error {
			_, err := DefaultBootstrap().Estimate(t.Context(), score, label, nil, func(_, _, _ []float64) (float64, error) { return math.NaN(), nil })
			return err
		},
	}
	for text, f := range tests {
		require.ErrorContains(t, f(), text)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(odd)
	_, err := DefaultBootstrap().Estimate(ctx, score, label, nil, ROCAUC)
	require.ErrorIs(t, err, odd)
}

func TestParallelReturnsTheLowestFailure(t *testing.T) {
	for range 50 {
		var done [40]atomic.Int64
		err := parallel(t.Context(), 8, len(done), func(worker, i int) error {
			if worker < 0 || worker >= 8 {
				return fmt.Errorf("worker %d", worker)
			}
			done[i].Add(1)
			if i == 7 || i == 5 || i == 30 {
				return fmt.Errorf("job %d", i)
			}
			return nil
		})
		require.EqualError(t, err, "job 5")
		for i := range 6 {
			require.EqualValues(t, 1, done[i].Load())
		}
	}
	require.Equal(t, 1, workers(3, 0))
	require.Equal(t, 2, workers(5, 2))
}

// plane is a linear model of three columns; the third is not used, the fourth is a copy of the first.
func plane(batch, score []float64) {
	for i := range score {
		row := batch[i*4 : i*4+4]
		score[i] = expit(row[0] + 0.5*row[1] + row[3])
	}
}

func examples(n int) Examples {
	r := rand.New(rand.NewPCG(81, 82))
	e := Examples{Width: 4}
	for range n {
		a, b, c := r.NormFloat64(), r.NormFloat64(), r.NormFloat64()
		e.Matrix = append(e.Matrix, a, b, c, a)
		y := 0.0
		if r.Float64() < expit(2*a+0.5*b) {
			y = 1
		}
		e.Label, e.Weight = append(e.Label, y), append(e.Weight, float64(1+r.IntN(3)))
	}
	return e
}

func TestPermutationImportance(t *testing.T) {
	e := examples(3000)
	p := DefaultPermutation()
	got, base, err := p.Importance(t.Context(), e, plane, ROCAUC)
	require.NoError(t, err)
	require.Len(t, got, 4)
	score := make([]float64, len(e.Label))
	plane(e.Matrix, score)
	want, err := ROCAUC(score, e.Label, e.Weight)
	require.NoError(t, err)
	require.Equal(t, want, base)
	require.Zero(t, got[2].Mean, "a column that is not used")
	require.Zero(t, got[2].SD.Float())
	require.Greater(t, got[0].Mean, 3*got[1].Mean)
	require.Greater(t, got[1].Mean, 5*got[1].SD.Float())
	require.InEpsilon(t, got[0].Mean, got[3].Mean, 0.2, "copies share")

	p.Groups = [][]int{{0, 3}, {1}, {0, 1, 2, 3}}
	grouped, _, err := p.Importance(t.Context(), e, plane, ROCAUC)
	require.NoError(t, err)
	require.Greater(t, grouped[0].Mean, 1.8*got[0].Mean, "and together they are all of it")
	require.InDelta(t, base-0.5, grouped[2].Mean, 0.02, "all columns shuffled together leave chance")

	loss, _, err := DefaultPermutation().Importance(t.Context(), e, plane, Negative(LogLoss))
	require.NoError(t, err)
	require.Greater(t, loss[0].Mean, 0.0)
}

// shuffled is importance by its definition: a whole matrix per shuffle.
func shuffled(t *testing.T, e Examples, p Permutation, g, repeat int) float64 {
	t.Helper()
	from := make([]int32, len(e.Label))
	for i := range from {
		from[i] = int32(i)
	}
	r := rand.New(rand.NewPCG(p.Seed, uint64(g)<<32|uint64(repeat)))
	r.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	m := slices.Clone(e.Matrix)
	for i := range from {
		m[i*e.Width+g] = e.Matrix[int(from[i])*e.Width+g]
	}
	score := make([]float64, len(e.Label))
	plane(m, score)
	v, err := Brier(score, e.Label, e.Weight)
	require.NoError(t, err)
	return -v
}

func TestPermutationIsTheDefinitionOnAnyNumberOfThreads(t *testing.T) {
	e := examples(1300) // two blocks and a part
	before := slices.Clone(e.Matrix)
	var first []Importance
	for _, threads := range []int{1, 2, 8, 0} {
		p := Permutation{Repeats: 3, Seed: 9, Threads: threads}
		got, base, err := p.Importance(t.Context(), e, plane, Negative(Brier))
		require.NoError(t, err)
		if first == nil {
			first = got
			for g := range got {
				sum := 0.0
				for repeat := range 3 {
					sum += base - shuffled(t, e, p, g, repeat)
				}
				require.InDelta(t, sum/3, got[g].Mean, 1e-12)
			}
		}
		require.Equal(t, first, got)
	}
	require.Equal(t, before, e.Matrix)
	one, _, err := Permutation{Repeats: 1}.Importance(t.Context(), e, plane, ROCAUC)
	require.NoError(t, err)
	require.True(t, one[0].SD.IsZero(), "one repeat has no spread")
}

func TestPermutationFaults(t *testing.T) {
	e := examples(10)
	run := func(p Permutation, e Examples) error {
		_, _, err := p.Importance(t.Context(), e, plane, ROCAUC)
		return err
	}
	for text, f := range map[string]func() error{
		"0 repeats":  func() error { return run(Permutation{}, e) },
		"-1 threads": func() error { return run(Permutation{Repeats: 1, Threads: -1}, e) },
		"width 0":    func() error { return run(DefaultPermutation(), Examples{Label: e.Label}) },
		"no rows":    func() error { return run(DefaultPermutation(), Examples{Width: 4}) },
		"39 values": func() error {
			return run(DefaultPermutation(), Examples{Width: 4, Matrix: e.Matrix[:39], Label: e.Label})
		},
		"no column 4":    func() error { return run(Permutation{Repeats: 1, Groups: [][]int{{0}, {4}}}, e) },
		"group 0 has no": func() error { return run(Permutation{Repeats: 1, Groups: [][]int{{}}}, e) },
		"no groups":      func() error { return run(Permutation{Repeats: 1, Groups: [][]int{}}, e) },
		"metric: 10 scores": func() error {
			return run(DefaultPermutation(), Examples{Width: 4, Matrix: e.Matrix, Label: e.Label, Weight: []float64{1}})
		},
		"group 0 shuffled: ": func() error {
			calls := 0
			_, _, err := Permutation{Repeats: 2, Threads: 1}.Importance(t.Context(), e, plane, func(_, _, _ []float64) (float64, error) {
				calls++
				return []float64{0, math.Inf(1), 0}[min(calls-1, 2)], nil
			})
			return err
		},
	} {
		require.ErrorContains(t, f(), text)
	}
	odd := errors.New("odd")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(odd)
	_, _, err := DefaultPermutation().Importance(ctx, e, plane, ROCAUC)
	require.ErrorIs(t, err, odd)
}

func BenchmarkPermutation(b *testing.B) {
	e := examples(50_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := (Permutation{Repeats: 2, Seed: 1}).Importance(b.Context(), e, plane, ROCAUC); err != nil {
			b.Fatal(err)
		}
	}
}
