package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/backtest"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/modeltest"
)

func TestMoment(t *testing.T) {
	now := time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2h": now.Add(-2 * time.Hour), "7d": now.AddDate(0, 0, -7), "2026-03-01T10:00:00Z": time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
		"2026-03-01": time.Date(2026, 3, 1, 0, 0, 0, 0, time.Local),
	} {
		var m moment
		require.NoError(t, m.UnmarshalText([]byte(text)), text)
		require.True(t, want.Equal(m.when(now)), "%s is %s", text, m.when(now))
	}
	var none moment
	require.Zero(t, none.when(now))
	for _, text := range []string{"", "yesterday", "-2h", "2026-13-01"} {
		require.Error(t, new(moment).UnmarshalText([]byte(text)), text)
	}
}

func TestBacktestCommand(t *testing.T) {
	server := bustest.Start(t)
	b := server.Connect(t)
	store, err := objstore.Open(t.Context(), b.JetStream(), objstore.DefaultConfig())
	require.NoError(t, err)
	dir := t.TempDir()
	const name = "telco-churn"
	var last uint64
	for v := 1; v <= 2; v++ {
		data := modeltest.Encoded(t, modeltest.Options{Seed: uint64(v)})
		require.NoError(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(v)+".tar"), data, 0o600))
		ref, err := artifact.PutBytes(t.Context(), store, data)
		require.NoError(t, err)
		last, err = b.Append(t.Context(), events.New(name, "test", strconv.Itoa(v), time.Now(), &events.ModelRegistered{Version: v, RunID: "r", TargetStage: events.StageProduction,
			Bundle: events.Artifact{Name: events.ArtifactBundle, Digest: string(ref.Digest), SizeBytes: ref.Size}}), last)
		require.NoError(t, err)
	}
	one := modeltest.Bundle(t, modeltest.Options{Seed: 1})
	scorer, row := one.NewScorer(), one.Schema.NewRow()
	publish := func(id string, record []byte, off float64) {
		_, err := one.Schema.DecodeJSON(record, row, dataset.DecodeOptions{})
		require.NoError(t, err)
		a := scorer.Score(row)
		_, err = b.Publish(t.Context(), events.New(name, "test", id, time.Now(), &events.PredictionMade{PredictionID: id, Version: 1, PromotionSequence: 1,
			Record: record, Score: a.Probability + off, Threshold: one.Manifest.Threshold, Positive: a.Positive, Label: a.Label}))
		require.NoError(t, err)
	}
	records := modeltest.Records(t, modeltest.Options{Rows: 60, Seed: 9})
	for i, r := range records {
		publish("p"+strconv.Itoa(i), r, 0)
	}
	do := func(args ...string) (string, error) {
		out, _, err := churn(t, append([]string{"backtest", "--nats", server.URL(), "--log-level", "error"}, args...)...)
		return out, err
	}

	out, err := do("--version", "1", "--from", "1h")
	require.NoError(t, err, out)
	require.Contains(t, squeezed(out), "version 1 against what was answered: 60 rows")
	require.Contains(t, squeezed(out), "came again 60 of 60 rows that version 1 answered itself, to the bit")
	var rep backtest.Report
	out, err = do("--version", "2", "--json", "--top", "2")
	require.NoError(t, err, out)
	require.NoError(t, json.Unmarshal([]byte(out), &rep))
	require.Equal(t, uint64(60), rep.Rows)
	require.Len(t, rep.Changed, 2)
	require.Positive(t, rep.Flips)
	out, err = do("--bundle", filepath.Join(dir, "2.tar"), "--against", "1")
	require.NoError(t, err, out)
	require.Contains(t, squeezed(out), "against version 1: 60 rows")
	require.True(t, strings.HasPrefix(out, "bundle "), out)
	require.Contains(t, out, "CHANGED MOST")

	_, err = do("--version", "2", "--max-flips", "0")
	require.ErrorContains(t, err, "of the labels turned")
	_, err = do("--version", "2", "--max-psi", "0.0001")
	require.ErrorContains(t, err, "the PSI of the scores is")
	show := func(args ...string) (string, error) {
		out, _, err := churn(t, append([]string{"predictions", "show", "--nats", server.URL(), "--log-level", "error"}, args...)...)
		return out, err
	}
	out, err = show("p7")
	require.NoError(t, err)
	require.Contains(t, squeezed(out), "prediction p7, PREDICTIONS 8, stored")
	require.Contains(t, squeezed(out), "proof version 1 gives the same score again, to the bit")
	require.Contains(t, out, "bundle sha256:")
	_, err = show("p7", "--from", "2026-13-01")
	require.Error(t, err)
	_, err = show("nobody")
	require.ErrorContains(t, err, "nobody of model telco-churn: no such prediction is stored")
	publish("off", records[0], 1e-9)
	_, err = show("off")
	require.ErrorContains(t, err, "the record, the bundle or the code is not what it was")
	_, err = do("--version", "1")
	require.ErrorContains(t, err, "1 of the 61 rows that version 1 answered itself did not come again to the bit, the first of them prediction off")
	for says, args := range map[string][]string{
		"no Production":                {},
		"has no version 7":             {"--version", "7"},
		"exclude each other":           {"--version", "1", "--bundle", "x"},
		"want logged or the number":    {"--against", "yesterday"},
		"no such file":                 {"--bundle", filepath.Join(dir, "3.tar")},
		"is not before to":             {"--version", "1", "--from", "1h", "--to", "2h"},
		"model other has no version 1": {"--version", "1", "--model", "other"},
		"no prediction was made in":    {"--version", "1", "--to", "1h"},
		"--max-flips must be from 0":   {"--version", "1", "--max-flips", "2"},
		"want how long ago, such as 2": {"--from", "then"},
	} {
		_, err := do(args...)
		require.ErrorContains(t, err, says)
	}
}
