package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
)

// scoreFiles writes a bundle and a file of 200 good rows and a faulty one.
func scoreFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bundle.tar"), modeltest.Encoded(t, modeltest.Options{Trees: 5}), 0o600))
	var b bytes.Buffer
	require.NoError(t, modeltest.Table(t, modeltest.Options{Rows: 200, Seed: 3}).WriteCSV(&b, nil))
	b.WriteString("broken\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "in.csv"), b.Bytes(), 0o600))
	return dir
}

// codeOf is the exit code that main would end with.
func codeOf(t *testing.T, err error) int {
	t.Helper()
	code, _ := ending(t.Context(), "score", err)
	return code
}

func TestScoreWithABundle(t *testing.T) {
	dir := scoreFiles(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	line := func(more ...string) []string {
		return append([]string{"score", "--bundle", at("bundle.tar"), "--in", at("in.csv"), "--out", at("out.csv")}, more...)
	}
	out, _, err := churn(t, line()...)
	require.ErrorContains(t, err, "1 of 201 rows are faulty and left out: see "+at("out.csv.faults.csv"))
	require.Equal(t, faultyRows, codeOf(t, err))
	require.Contains(t, out, "200 rows scored with bundle bundle.tar")
	first, err := os.ReadFile(at("out.csv"))
	require.NoError(t, err)
	require.Equal(t, 201, bytes.Count(first, []byte("\n")))

	_, _, err = churn(t, line()...)
	require.ErrorContains(t, err, "--force")
	require.Equal(t, 1, codeOf(t, err))
	out, _, err = churn(t, append(line("--force", "--max-faults=1"), "--json")...)
	require.NoError(t, err)
	var result struct {
		Scored, Faulty int
		Output, Digest string
		OutputDigest   string `json:"output_digest"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &result))
	bundle, err := os.ReadFile(at("bundle.tar"))
	require.NoError(t, err)
	require.Equal(t, string(artifact.DigestOf(bundle)), result.Digest, "as the events name it")
	require.Equal(t, string(artifact.DigestOf(first)), result.OutputDigest)
	require.Equal(t, 200, result.Scored)
	require.Equal(t, at("out.csv"), result.Output)
	_, _, err = churn(t, line("--force", "--max-faults=0")...)
	require.ErrorContains(t, err, "row 201")
	require.Equal(t, 1, codeOf(t, err))
	again, err := os.ReadFile(at("out.csv"))
	require.NoError(t, err)
	require.Equal(t, first, again)

	_, _, err = churn(t, "score", "--bundle", at("bundle.tar"), "--in", at("in.csv"), "--out", at("out.paruqet"))
	require.ErrorContains(t, err, `the name "out.paruqet" says no format: it ends in .paruqet, and not in .csv, .jsonl, .ndjson, .json or .parquet (--out-format says it)`)
	require.NoFileExists(t, at("out.paruqet.checkpoint"))
	_, _, err = churn(t, "score", "--bundle", at("bundle.tar"), "--in", at("bundle.tar"), "--out", at("x.csv"))
	require.ErrorContains(t, err, "--in-format says it")
	_, _, err = churn(t, "score", "--bundle", at("bundle.tar"), "--in", at("in.csv"), "--out", at("out.txt"), "--out-format=csv", "--max-faults=1")
	require.NoError(t, err)

	for _, bad := range [][]string{line("--version=2"), line("--queue"), line("--wait"), line("--max-faults=-2"), line("--delimiter=ab"), line("--reasons=0"),
		{"score", "--bundle", at("bundle.tar"), "--in", at("in.csv"), "--out", dir, "--force"},
		{"score", "--bundle", at("bundle.tar"), "--in", at("in.csv"), "--out", at("new") + "/"},
		{"score", "--bundle", at("bundle.tar"), "--in", at("in.csv"), "--out", "-"},
		{"score", "--bundle", at("bundle.tar"), "--in", at("in.csv"), "--out", at("in.csv"), "--force"},
		{"score", "--bundle", at("in.csv"), "--in", at("in.csv"), "--out", at("x.csv")},
		{"score", "--bundle", at("bundle.tar"), "--in", at("nothing.csv"), "--out", at("x.csv")}} {
		_, _, err := churn(t, bad...)
		require.Error(t, err, bad)
		require.Equal(t, 1, codeOf(t, err))
	}
}

// Who waits for a job that ends its scorers is told that it became a dead letter.
func TestWaitForADeadLetter(t *testing.T) {
	server := bustest.Start(t)
	b := server.Connect(t)
	require.NoError(t, b.Provision(t.Context()))
	require.NoError(t, b.DeadLetter(t.Context(), bus.Message{Stream: events.Scoring, Sequence: 1, Subject: "score.requested.telco-churn", Time: time.Now()}, "scorer", "poison"))
	_, _, err := churn(t, "score", "--queue", "--nats", server.URL(), "--in", "a.csv", "--out", "b.csv", "--job-id", "a", "--wait", "--timeout", "1m")
	require.ErrorContains(t, err, "job a became a dead letter (churn dead list): poison")
}

// A scorer does what is asked for, and a version is found by the events.
func TestScoreByEvents(t *testing.T) {
	dir := scoreFiles(t)
	server := bustest.Start(t)
	b := server.Connect(t)
	require.NoError(t, b.Provision(t.Context()))
	store, err := objstore.Open(t.Context(), b.JetStream(), objstore.DefaultConfig())
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(dir, "bundle.tar"))
	require.NoError(t, err)
	ref, err := artifact.PutBytes(t.Context(), store, raw)
	require.NoError(t, err)
	bundle := events.Artifact{Name: "bundle.tar", Digest: string(ref.Digest), SizeBytes: ref.Size}
	const name = "telco-churn"
	_, err = b.Append(t.Context(), events.New(name, "test", "v1@0", time.Now(),
		&events.ModelPromoted{Version: 1, RunID: "r1", Bundle: bundle, Cause: events.PromotedByGate}), 0)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var log screen
	go func() {
		ended <- command(ctx, "", &log, &log, "scorer", "--nats", server.URL(), "--scorer-addr", "127.0.0.1:0", "--data-root", dir, "--scratch-dir", filepath.Join(dir, "scratch"),
			"--instance", "worker")
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("scorer: %v\n%s", err, log.String())
		}
	})
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "queued.csv")
	line := []string{"score", "--queue", "--nats", server.URL(), "--in", in, "--out", out, "--job-id", "a", "--wait", "--timeout", "1m"}
	text, _, err := churn(t, line...)
	require.ErrorContains(t, err, "1 rows are faulty")
	require.Equal(t, faultyRows, codeOf(t, err))
	require.Contains(t, text, "200 rows scored with version 1 by worker")
	_, _, err = churn(t, line...) // is done, and says so at once
	require.Equal(t, faultyRows, codeOf(t, err))
	_, _, err = churn(t, "score", "--queue", "--nats", server.URL(), "--in", "../x", "--out", out, "--wait", "--timeout", "1m")
	require.ErrorContains(t, err, "not in the data folder")
	text, _, err = churn(t, "score", "--queue", "--nats", server.URL(), "--in", in, "--out", out, "--json")
	require.NoError(t, err)
	require.Contains(t, text, `"job_id"`)

	direct := filepath.Join(dir, "direct.csv")
	text, _, err = churn(t, "score", "--nats", server.URL(), "--in", in, "--out", direct, "--max-faults=1")
	require.NoError(t, err)
	require.Contains(t, text, "with version 1")
	one, err := os.ReadFile(direct)
	require.NoError(t, err)
	require.Equal(t, 201, strings.Count(string(one), "\n"))
	bustest.Eventually(t, func() bool {
		other, err := os.ReadFile(out)
		return err == nil && bytes.Equal(one, other)
	}, "both ways give the same bytes")
	_, _, err = churn(t, "score", "--nats", server.URL(), "--in", in, "--out", direct+"2", "--version=7")
	require.ErrorContains(t, err, "no version 7")
}
