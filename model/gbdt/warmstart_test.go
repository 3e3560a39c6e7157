package gbdt_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

func TestWarmStartGoesOn(t *testing.T) {
	m, names := generate(13, 3000, 8)
	valid, _ := generate(14, 1000, 8)
	p := gbdt.DefaultParams()
	p.Trees = 30
	whole, wholeReport, err := gbdt.Train(context.Background(), p, names, m, &valid, nil)
	require.NoError(t, err)
	p.Trees = 12
	first := train(t, p, names, m)
	// What is read back goes on as well as what was trained.
	first, err = gbdt.ParseText(bytes.NewReader(text(t, first)))
	require.NoError(t, err)
	p.Trees, p.Init = 18, first
	second, report, err := gbdt.Train(context.Background(), p, names, m, &valid, nil)
	require.NoError(t, err)
	requireNear(t, whole, second, m, 0)
	require.Equal(t, 18, report.Trees)
	require.Equal(t, 30, second.Trees())
	require.Equal(t, wholeReport.TrainLoss[12:], report.TrainLoss)
	require.Equal(t, wholeReport.ValidLoss[12:], report.ValidLoss)

	// Other rows, early stopping, and labels of a single class.
	p.EarlyStoppingRounds, p.LearningRate, p.Trees = 3, 0.7, 100
	stopped, report, err := gbdt.Train(context.Background(), p, names, valid, &m, nil)
	require.NoError(t, err)
	require.Equal(t, 12+report.BestTree, stopped.Trees())
	p.EarlyStoppingRounds = 0
	for i := range m.Label {
		m.Label[i] = 1
	}
	p.Trees = 5
	ones, _, err := gbdt.Train(context.Background(), p, names, m, nil, nil)
	require.NoError(t, err)
	require.Greater(t, ones.Margin(m.Row(0)), first.Margin(m.Row(0)))
	p.MinGain = 1e9
	same, report, err := gbdt.Train(context.Background(), p, names, m, nil, nil)
	require.NoError(t, err)
	requireNear(t, first, same, m, 0)
	require.Zero(t, report.Trees)
	require.Empty(t, report.TrainLoss)
}

func TestEarlyStoppingMayKeepInitAlone(t *testing.T) {
	m, names := generate(17, 300, 6)
	valid, _ := generate(18, 3000, 6)
	p := gbdt.DefaultParams()
	p.EarlyStoppingRounds, p.MaxDepth = 10, 2
	first, before, err := gbdt.Train(context.Background(), p, names, m, &valid, nil)
	require.NoError(t, err)
	require.Zero(t, before.InitLoss)

	// Large steps fit the noise of so few rows: every tree makes it worse.
	p.Init, p.LearningRate, p.MaxDepth, p.MinChildRows = first, 1, 8, 1
	same, report, err := gbdt.Train(context.Background(), p, names, m, &valid, nil)
	require.NoError(t, err)
	require.Equal(t, before.ValidLoss[before.BestTree-1], report.InitLoss)
	require.Greater(t, slices.Min(report.ValidLoss), report.InitLoss)
	require.Zero(t, report.BestTree)
	require.Zero(t, report.Trees)
	require.Len(t, report.ValidLoss, p.EarlyStoppingRounds)
	requireNear(t, first, same, valid, 0)
	p.EarlyStoppingRounds, p.Trees = 0, 3
	worse, report, err := gbdt.Train(context.Background(), p, names, m, &valid, nil)
	require.NoError(t, err)
	require.Equal(t, first.Trees()+3, worse.Trees(), "without early stopping all are kept")
	require.Equal(t, 3, report.Trees)
	require.Zero(t, report.BestTree, "and the report says that none was better")
}
