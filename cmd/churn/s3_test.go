//go:build s3

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact/artifacttest"
)

// TestTheLoopOnS3 trains, serves and logs with S3 for a store, and moves the store to JetStream and back.
func TestTheLoopOnS3(t *testing.T) {
	g := artifacttest.StartGateway(t)
	t.Setenv("AWS_ACCESS_KEY_ID", g.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", g.SecretKey)
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://"+g.Addr)
	const bucket = "s3://models/loop"
	l := small(t, "--artifacts", bucket+"?create=true")
	found := regexp.MustCompile(`registry +(http://\S+)`).FindStringSubmatch(l.screen.String())
	require.Len(t, found, 2, l.screen)

	// A file by the artifact proxy.
	answer, err := http.Post(found[1]+"/api/2.0/mlflow/runs/create", "application/json", bytes.NewReader([]byte(`{"experiment_id":"0","start_time":1}`)))
	require.NoError(t, err)
	var created struct {
		Run struct {
			Info struct {
				RunID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&created))
	require.NoError(t, answer.Body.Close())
	file := found[1] + "/api/2.0/mlflow-artifacts/artifacts/0/" + created.Run.Info.RunID + "/artifacts/weights.bin"
	content := artifacttest.Content(300_000)
	put, err := http.NewRequest(http.MethodPut, file, bytes.NewReader(content))
	require.NoError(t, err)
	answer, err = http.DefaultClient.Do(put)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
	fetch := func() []byte {
		answer, err := http.Get(file)
		require.NoError(t, err)
		defer answer.Body.Close()
		got, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return got
	}
	require.True(t, bytes.Equal(content, fetch()))

	do := func(args ...string) string {
		t.Helper()
		out, notes, err := churn(t, append(args, "--nats", l.nats)...)
		require.NoError(t, err, "%s\n%s", out, notes)
		return out
	}
	stored := regexp.MustCompile(`(\d+) objects`).FindStringSubmatch(do("artifacts", "verify", "--artifacts", bucket))[1]
	require.Contains(t, squeezed(do("gc", "--artifacts", bucket)), "removed 0 objects")
	_, _, err = churn(t, "gc", "--nats", l.nats)
	require.ErrorContains(t, err, "--artifacts", "a store that isn't there is not made")
	require.Contains(t, do("artifacts", "move", "--from", bucket, "--to", "nats", "--store-bytes", "1073741824"), stored+" objects copied")
	require.Contains(t, do("artifacts", "move", "--from", bucket, "--to", "nats"), "0 objects copied (0 B), "+stored+" there already")
	require.Contains(t, do("artifacts", "verify"), "0 corrupt, 0 missing")
	require.Contains(t, do("artifacts", "move", "--from", bucket, "--to", "nats", "--delete-source"), stored+" objects deleted from the source")
	_, _, err = churn(t, "artifacts", "verify", "--artifacts", bucket, "--nats", l.nats)
	require.ErrorContains(t, err, "missing from s3://models/loop")
	require.Contains(t, do("artifacts", "move", "--from", "nats", "--to", bucket), stored+" objects copied")
	require.True(t, bytes.Equal(content, fetch()), "the registry reads it again")
}
