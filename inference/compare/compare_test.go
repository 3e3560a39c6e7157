package compare

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/modeltest"
)

func TestTally(t *testing.T) {
	var all Tally
	require.Zero(t, all.MeanAbs())
	require.Zero(t, all.PSI())
	all.Add(Answer{0.2, false}, Answer{0.2, false})
	all.Add(Answer{0.4, false}, Answer{0.6, true})
	all.Add(Answer{0.9, true}, Answer{0.1, false})
	all.Add(Answer{0.5, true}, Answer{math.Nextafter(0.5, 1), true})
	require.Equal(t, uint64(4), all.Rows)
	require.Equal(t, uint64(3), all.Differing, "a difference of one bit is one")
	require.Equal(t, uint64(1), all.ToPositive)
	require.Equal(t, uint64(1), all.ToNegative)
	require.Equal(t, uint64(2), all.Flips())
	require.InDelta(t, 0.8, all.MaxAbs, 1e-15)
	require.InDelta(t, 0.25, all.MeanAbs(), 1e-15)
	first, second := all.Means()
	require.InDelta(t, 0.5, first, 1e-15)
	require.InDelta(t, 0.35, second, 1e-15)
	require.Equal(t, uint64(1), all.First[events.ScoreBin(0.9)])
	require.Equal(t, uint64(1), all.Second[events.ScoreBin(0.1)])
}

func TestPSI(t *testing.T) {
	require.Zero(t, PSI([]uint64{5, 5}, []uint64{50, 50}), "of equal shares")
	require.Zero(t, PSI([]uint64{0, 0}, []uint64{1, 1}), "of nothing")
	// (0.5-0.25) ln 2 + (0.5-0.75) ln(2/3), by hand
	require.InDelta(t, 0.25*math.Log(2)-0.25*math.Log(2.0/3), PSI([]uint64{2, 2, 0}, []uint64{1, 3, 0}), 1e-15)
	require.InDelta(t, PSI([]uint64{2, 8}, []uint64{7, 3}), PSI([]uint64{7, 3}, []uint64{2, 8}), 1e-15, "sides do not matter")
	require.InDelta(t, 2*(1-1e-4)*math.Log(1e4), PSI([]uint64{9, 0}, []uint64{0, 9}), 1e-12, "an empty bin counts as 1e-4")
}

func TestJudgeAndF1(t *testing.T) {
	var c events.Confusion
	_, ok := F1(&c)
	require.False(t, ok)
	for i, n := range []int{3, 2, 4, 1} {
		for range n {
			Judge(&c, i < 2, i%2 == 0)
		}
	}
	require.Equal(t, events.Confusion{TruePositive: 3, FalsePositive: 2, FalseNegative: 4, TrueNegative: 1}, c)
	f1, ok := F1(&c)
	require.True(t, ok)
	require.Equal(t, 0.5, f1)
}

// The area by ranks is the exact one as long as no two scores share a bin, and near it otherwise.
func TestAUCEqualsTheExactOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	r := NewRanks()
	_, ok := r.AUC()
	require.False(t, ok)
	var scores, labels []float64
	for range 3000 {
		label := float64(rng.IntN(2))
		score := float64(int((rng.Float64()*0.8+label*0.2)*4096)) / 4096 // ties on purpose
		scores, labels = append(scores, score), append(labels, label)
		r.Add(score, label == 1)
	}
	want, err := eval.ROCAUC(scores, labels, nil)
	require.NoError(t, err)
	got, ok := r.AUC()
	require.True(t, ok)
	require.InDelta(t, want, got, 1e-12)
	one := NewRanks()
	one.Add(2, true)
	one.Add(-1, false)
	got, ok = one.AUC()
	require.True(t, ok)
	require.Equal(t, 1.0, got)
}

// The scorer answers a record as the bundle's own scorer does, refuses what the schema refuses, and survives a model that panics.
func TestScorer(t *testing.T) {
	b := modeltest.Bundle(t, modeltest.Options{})
	s, own, row := NewScorer(b), b.NewScorer(), b.Schema.NewRow()
	table := modeltest.Table(t, modeltest.Options{Rows: 50, Seed: 3})
	for i, record := range modeltest.Records(t, modeltest.Options{Rows: 50, Seed: 3}) {
		got, err := s.Score(record)
		require.NoError(t, err)
		want := own.Score(table.Row(i, row))
		require.Equal(t, math.Float64bits(want.Probability), math.Float64bits(got.Score))
		require.Equal(t, want.Positive, got.Positive)
	}
	_, err := s.Score([]byte(`{"tenure":[]}`))
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrPanic)
	s.scorer = nil
	_, err = s.Score(modeltest.Records(t, modeltest.Options{Rows: 50})[0])
	require.ErrorIs(t, err, ErrPanic)
}

func TestOpen(t *testing.T) {
	data := modeltest.Encoded(t, modeltest.Options{})
	_, err := Open(data)
	require.NoError(t, err)
	_, err = Open(data[:len(data)/2])
	require.ErrorContains(t, err, "decode bundle")
}
