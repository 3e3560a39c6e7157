package model_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/modeltest"
)

func TestScorer(t *testing.T) {
	b := modeltest.Bundle(t, modeltest.Options{})
	row := b.Schema.NewRow()
	for i := range b.Golden {
		_, err := b.Schema.DecodeJSON(b.Golden[i].Record, row, dataset.DecodeOptions{})
		require.NoError(t, err)
		p := b.NewScorer().Score(row)
		require.Equal(t, b.Golden[i].Margin, p.Margin)
		require.Equal(t, b.Golden[i].Probability, p.Probability)
		require.Equal(t, p.Probability >= b.Manifest.Threshold, p.Positive)
		require.Equal(t, map[bool]string{true: "Yes", false: "No"}[p.Positive], p.Label)
	}
	b.Manifest.Threshold = b.Golden[0].Probability
	_, err := b.Schema.DecodeJSON(b.Golden[0].Record, row, dataset.DecodeOptions{})
	require.NoError(t, err)
	scorer := b.NewScorer()
	require.True(t, scorer.Score(row).Positive, "a probability equal to the threshold is positive")
	require.Zero(t, testing.AllocsPerRun(100, func() { scorer.Score(row) }))
}

func TestScoreTable(t *testing.T) {
	b := modeltest.Bundle(t, modeltest.Options{})
	tab := modeltest.Table(t, modeltest.Options{Rows: 5000, Seed: 4})
	all := b.ScoreTable(tab, nil)
	require.Len(t, all, 5000)
	rows := rand.New(rand.NewPCG(1, 1)).Perm(5000)[:2500]
	var wait sync.WaitGroup
	for range 3 { // one bundle, many callers
		wait.Go(func() {
			for i, v := range b.ScoreTable(tab, rows) {
				if v != all[rows[i]] {
					t.Errorf("row %d scores %v, then %v", rows[i], all[rows[i]], v)
				}
			}
		})
	}
	wait.Wait()
	require.Empty(t, b.ScoreTable(tab, []int{}))
}

func TestScoreHoldout(t *testing.T) {
	o := modeltest.Options{}
	b, csv := modeltest.Bundle(t, o), modeltest.HoldoutCSV(t, o)
	score, label, err := b.ScoreHoldout(bytes.NewReader(csv))
	require.NoError(t, err)
	parts := modeltest.Parts(t, o)
	require.Equal(t, b.ScoreTable(parts.Holdout, parts.HoldoutRows), score)
	for i, r := range parts.HoldoutRows {
		require.Equal(t, parts.Holdout.Label(r), label[i])
	}

	_, _, err = b.ScoreHoldout(bytes.NewReader(modeltest.HoldoutCSV(t, tiny())))
	require.ErrorContains(t, err, "score holdout")
	require.ErrorContains(t, err, "tenure", "the missing column is named")
	t.Run("values outside their bounds are scored as in a request", func(t *testing.T) {
		header, rest, _ := strings.Cut(string(csv), "\n")
		first, rest, _ := strings.Cut(rest, "\n")
		fields := strings.Split(first, ",")
		fields[slices.Index(strings.Split(header, ","), "tenure")] = "161" // of at most 120
		odd, _, err := b.ScoreHoldout(strings.NewReader(header + "\n" + strings.Join(fields, ",") + "\n" + rest))
		require.NoError(t, err)
		require.Len(t, odd, len(score))
		require.Equal(t, score[1:], odd[1:])
	})
	_, _, err = b.ScoreHoldout(strings.NewReader(""))
	require.Error(t, err)
	_, _, err = b.ScoreHoldout(bytes.NewReader(csv[:bytes.IndexByte(csv, '\n')+1]))
	require.Error(t, err, "a header and no rows")
	broken := errors.New("broken")
	_, _, err = b.ScoreHoldout(io.MultiReader(bytes.NewReader(csv[:len(csv)/2]), failing{broken}))
	require.ErrorIs(t, err, broken)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func BenchmarkScore(b *testing.B) {
	m := modeltest.Bundle(b, modeltest.Options{Trees: 200})
	row := m.Schema.NewRow()
	_, err := m.Schema.DecodeJSON(m.Golden[0].Record, row, dataset.DecodeOptions{})
	require.NoError(b, err)
	s := m.NewScorer()
	b.ReportAllocs()
	for b.Loop() {
		s.Score(row)
	}
}
