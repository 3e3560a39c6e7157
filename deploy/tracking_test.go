//go:build processes

package deploy

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
)

// tracks does, logged in as the registry, all that its API, pages and collector of garbage need: it states what MLflow clients log, reads the
// streams that it shows, and keeps, lists and deletes files in the artifact bucket.
func (s *stack) tracks() {
	s.t.Helper()
	const run = "7d0c0c4a2c4b4c0f9a5c8d1e2f3a4b5c"
	ctx := s.t.Context()
	b, err := bus.Connect(ctx, bus.Config{Name: "registry-test", URL: s.url(), User: "registry", Password: s.password("registry")})
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, b.Close(ctx)) }()

	at, before := time.Now(), s.last(events.Tracking)
	event := func(subject, key string, p events.Payload) events.Event {
		return events.New(subject, "registry/test", key, at, p)
	}
	first, err := b.Append(ctx, event(run, "0", &events.RunTracked{RunID: run,
		Created: &events.RunCreation{ExperimentID: "0", StartTime: at.UnixMilli(), ArtifactURI: "mlflow-artifacts:/0/" + run + "/artifacts"}}), 0)
	require.NoError(s.t, err)
	_, err = b.Append(ctx, event(run, "1", &events.RunTracked{RunID: run, Metrics: []events.MetricPoint{{Key: "auc", Value: 0.8}}}), first)
	require.NoError(s.t, err)
	last, _, err := b.Last(ctx, events.TypeExperimentChanged, events.AllExperiments)
	require.NoError(s.t, err)
	_, err = b.Append(ctx, event(events.AllExperiments, "test", &events.ExperimentChanged{ExperimentID: "901", Created: true, Name: "permissions",
		Lifecycle: events.StageActive}), last.Sequence)
	require.NoError(s.t, err)
	_, err = b.Append(ctx, event("m-"+run, "0", &events.ModelLogged{ModelID: "m-" + run,
		Created: &events.LoggedModelCreation{ExperimentID: "0", Name: "model", ArtifactURI: "mlflow-artifacts:/0/models/m-" + run + "/artifacts"}}), 0)
	require.NoError(s.t, err)
	_, err = b.Publish(ctx, event(run, "file", &events.ArtifactStored{Path: "0/" + run + "/artifacts/a.txt", Removed: true}))
	require.NoError(s.t, err)
	require.GreaterOrEqual(s.t, s.last(events.Tracking), before+5)

	for _, stream := range []events.Stream{events.Lifecycle, events.Causes, events.Fleet, events.Predictions, events.Drift, events.Tracking, events.Dead} {
		n := 0
		require.NoError(s.t, b.Read(ctx, bus.ReadConfig{Stream: stream}, func(bus.Message) error { n++; return nil }), "%s", stream)
		require.Positive(s.t, n, "%s", stream)
	}
	if s.nats {
		s.collects(b)
	}
	s.clientLogs()
}

// clientLogs has a client of MLflow log a run with a file, register it and promote it, and looks at the pages.
func (s *stack) clientLogs() {
	s.t.Helper()
	base := "http://" + s.addr("registry", "5000")
	call := func(method, path, body string) string {
		s.t.Helper()
		req, err := http.NewRequestWithContext(s.t.Context(), method, base+path, strings.NewReader(body))
		require.NoError(s.t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(s.t, err)
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		require.NoError(s.t, err)
		require.Equal(s.t, http.StatusOK, resp.StatusCode, "%s %s: %s", method, path, answer)
		return string(answer)
	}
	const api = "/api/2.0/mlflow/"
	var made struct {
		Run struct {
			Info struct {
				RunID       string `json:"run_id"`
				ArtifactURI string `json:"artifact_uri"`
			}
		}
	}
	require.NoError(s.t, json.Unmarshal([]byte(call("POST", api+"runs/create", `{"experiment_id":"0","start_time":1}`)), &made))
	run := made.Run.Info
	call("POST", api+"runs/log-batch", `{"run_id":"`+run.RunID+`","metrics":[{"key":"auc","value":0.8,"timestamp":1}]}`)
	file := "/api/2.0/mlflow-artifacts/artifacts/0/" + run.RunID + "/artifacts/model/weights.bin"
	call("PUT", file, "no model of ours")
	require.Equal(s.t, "no model of ours", call("GET", file, ""))
	call("POST", api+"registered-models/create", `{"name":"a client's"}`)
	call("POST", api+"model-versions/create", `{"name":"a client's","run_id":"`+run.RunID+`","source":"`+run.ArtifactURI+`/model"}`)
	call("POST", api+"model-versions/transition-stage", `{"name":"a client's","version":"1","stage":"Production"}`)
	require.Contains(s.t, call("GET", api+"metrics/get-history?metric_key=auc&run_id="+run.RunID, ""), "0.8")
	require.Contains(s.t, call("POST", api+"runs/search", `{"experiment_ids":["0"]}`), run.RunID)
	for _, page := range []string{"/", "/models", "/drift/" + model} {
		call("GET", page, "")
	}
}

// collects keeps a file, finds it in the list and deletes it.
func (s *stack) collects(b *bus.Bus) {
	s.t.Helper()
	ctx := s.t.Context()
	store, err := objstore.Open(ctx, b.JetStream(), objstore.DefaultConfig())
	require.NoError(s.t, err)
	ref, err := store.Put(ctx, strings.NewReader("a file that nothing points to"))
	require.NoError(s.t, err)
	found := map[artifact.Digest]bool{}
	require.NoError(s.t, store.List(ctx, func(r artifact.Ref, _ time.Time) error { found[r.Digest] = true; return nil }))
	require.True(s.t, found[ref.Digest])
	require.ErrorIs(s.t, store.Delete(ctx, ref.Digest, time.Now().Add(-time.Hour)), artifact.ErrRecent)
	require.NoError(s.t, store.Delete(ctx, ref.Digest, time.Now().Add(time.Hour)))
	_, err = store.Open(ctx, ref.Digest)
	require.ErrorIs(s.t, err, artifact.ErrNotFound)
	_, err = store.Sweep(ctx)
	require.NoError(s.t, err)
}
