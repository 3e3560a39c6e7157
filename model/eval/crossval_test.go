package eval

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCompareCVAgreesWithScipy(t *testing.T) {
	var file struct {
		Folds []struct {
			K                  int
			A, B               []float64
			Mean, SD, SE, T, P float64
			Low, High          float64
		}
	}
	load(t, "inference/cases.json", &file)
	require.Len(t, file.Folds, 3)
	for _, c := range file.Folds {
		got, err := CompareCV(c.A, c.B, c.K)
		require.NoError(t, err)
		require.InDelta(t, c.Mean, got.Mean, 1e-14)
		require.InDelta(t, c.SD, got.SD.Float(), 1e-14)
		require.InDelta(t, c.SE, got.SE.Float(), 1e-14)
		require.InDelta(t, c.T, got.T.Float(), 1e-8)
		require.InDelta(t, c.P, got.P.Float(), 1e-9)
		require.InDelta(t, c.Low, got.Low.Float(), 1e-11)
		require.InDelta(t, c.High, got.High.Float(), 1e-11)
		require.InDelta(t, got.A-got.B, got.Mean, 1e-14)
		require.Equal(t, len(c.A)-1, got.DF)
		wins := 0
		for i := range c.A {
			if c.A[i] > c.B[i] {
				wins++
			}
		}
		require.Equal(t, wins, got.Wins)

		turned, err := CompareCV(c.B, c.A, c.K)
		require.NoError(t, err)
		require.InDelta(t, -got.T.Float(), turned.T.Float(), 1e-12)
		require.InDelta(t, got.P.Float(), turned.P.Float(), 1e-12)
	}
}

func TestCrossValidationAtTheEdges(t *testing.T) {
	s, err := CrossValidation([]float64{0.1, 0.1, 0.1}, 3)
	require.NoError(t, err)
	require.Equal(t, CVSummary{Mean: 0.1, SD: NewFigure(0), SE: NewFigure(0), DF: 2, Folds: 3, Interval: interval(0.1, 0.1)}, s)

	same, err := CompareCV([]float64{0.8, 0.7}, []float64{0.8, 0.7}, 2)
	require.NoError(t, err)
	require.Equal(t, 1.0, same.P.Float())
	require.True(t, same.T.IsZero())
	shifted, err := CompareCV([]float64{0.75, 0.5}, []float64{0.5, 0.25}, 2)
	require.NoError(t, err)
	require.True(t, shifted.P.IsZero(), "no spread, so nothing to test with")
	require.Equal(t, 2, shifted.Wins)

	for text, f := range map[string]func() error{
		"1 folds, want 2":              func() error { _, err := CrossValidation([]float64{1}, 1); return err },
		"no rows":                      func() error { _, err := CrossValidation(nil, 5); return err },
		"7 values are no repeats of 5": func() error { _, err := CrossValidation(make([]float64, 7), 5); return err },
		"fold 1: value NaN":            func() error { _, err := CrossValidation([]float64{1, math.NaN()}, 2); return err },
		"2 values but 1":               func() error { _, err := CompareCV([]float64{1, 2}, []float64{1}, 2); return err },
		"fold 0: value +Inf":           func() error { _, err := CompareCV([]float64{math.Inf(1), 2}, []float64{1, 2}, 2); return err },
	} {
		require.ErrorContains(t, f(), text)
	}
}

func TestFoldsAreStratified(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		n, k := 40+r.IntN(200), 2+r.IntN(8)
		label, id := make([]float64, n), make([]string, n)
		for i := range label {
			label[i], id[i] = float64(min(i%4, 1)), "c"+strconv.Itoa(i)
		}
		for name, make := range map[string]func(seed uint64) ([]int, error){
			"Folds":      func(seed uint64) ([]int, error) { return Folds(label, k, seed) },
			"GroupFolds": func(seed uint64) ([]int, error) { return GroupFolds(id, label, k, seed) },
		} {
			fold, err := make(5)
			require.NoError(t, err)
			again, err := make(5)
			require.NoError(t, err)
			require.Equal(t, fold, again)
			other, err := make(6)
			require.NoError(t, err)
			require.NotEqual(t, fold, other, "the seed matters")
			var sizes [3][]int
			for y := range sizes {
				sizes[y] = slices.Repeat([]int{0}, k)
			}
			for i, f := range fold {
				sizes[int(label[i])][f]++
				sizes[2][f]++
			}
			for _, s := range sizes {
				require.LessOrEqual(t, slices.Max(s)-slices.Min(s), 1, name)
			}
			train, test := Split(fold, k-1)
			require.Len(t, test, sizes[2][k-1])
			require.Len(t, train, n-len(test))
			for _, i := range test {
				require.Equal(t, k-1, fold[i])
			}
		}
	}
}

func TestGroupFoldsKeepAnEntityTogether(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	id, label := make([]string, 600), make([]float64, 600)
	for i := range id {
		id[i], label[i] = strconv.Itoa(r.IntN(150)), float64(r.IntN(10)/8)
	}
	fold, err := GroupFolds(id, label, 5, 9)
	require.NoError(t, err)
	of := map[string]int{}
	sizes := make([]int, 5)
	for i, g := range id {
		if f, seen := of[g]; seen {
			require.Equal(t, f, fold[i])
		}
		of[g] = fold[i]
		sizes[fold[i]]++
	}
	require.Less(t, slices.Max(sizes)-slices.Min(sizes), 60)

	p := r.Perm(len(id))
	id2, label2 := make([]string, len(p)), pick(label, p)
	for k, i := range p {
		id2[k] = id[i]
	}
	mixed, err := GroupFolds(id2, label2, 5, 9)
	require.NoError(t, err)
	for k, i := range p {
		require.Equal(t, fold[i], mixed[k], "the order of rows is nothing")
	}
}

func TestHashFold(t *testing.T) {
	sizes := make([]int, 5)
	moved := 0
	for i := range 20_000 {
		id := strconv.Itoa(i)
		f := HashFold(id, 5, 1)
		require.Equal(t, f, HashFold(id, 5, 1))
		sizes[f]++
		if f != HashFold(id, 5, 2) {
			moved++
		}
		require.Zero(t, HashFold(id, 1, 7))
	}
	for _, n := range sizes {
		require.InDelta(t, 4000, n, 250, "four standard deviations")
	}
	require.InDelta(t, 16_000, moved, 250, "seeds are independent")
	require.Equal(t, []int{4, 2, 1}, []int{HashFold("7590-VHVEG", 5, 0), HashFold("5575-GNVDE", 5, 0), HashFold("", 5, 0)}, "the hash never changes")
}

func TestFoldsFaults(t *testing.T) {
	for text, f := range map[string]func() error{
		"1 folds, want 2":               func() error { _, err := Folds([]float64{0, 1}, 1, 0); return err },
		"row 1: label 2":                func() error { _, err := Folds([]float64{0, 2}, 2, 0); return err },
		"1 rows of class 1 for 2 folds": func() error { _, err := Folds([]float64{0, 0, 1}, 2, 0); return err },
		"0 rows of class 0 for 2 folds": func() error { _, err := Folds(nil, 2, 0); return err },
		"1 ids but 2 labels":            func() error { _, err := GroupFolds([]string{"a"}, []float64{0, 1}, 2, 0); return err },
		"0 folds, want 2":               func() error { _, err := GroupFolds([]string{"a"}, []float64{0}, 0, 0); return err },
		"row 0: label NaN":              func() error { _, err := GroupFolds([]string{"a"}, []float64{math.NaN()}, 2, 0); return err },
		"1 ids of class 0 for 2 folds": func() error {
			_, err := GroupFolds([]string{"a", "a", "b", "c"}, []float64{0, 0, 1, 1}, 2, 0)
			return err
		},
	} {
		require.ErrorContains(t, f(), text)
	}
}
