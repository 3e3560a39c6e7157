package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus/bustest"
)

// TestRolloutCommands runs them against a server without a registry: they decide by the streams, and whoever reads there next goes on.
func TestRolloutCommands(t *testing.T) {
	t.Parallel()
	srv := bustest.Start(t)
	b := srv.Connect(t)
	const model = "telco-churn"
	last := map[events.Type]uint64{}
	add := func(p events.Payload) {
		t.Helper()
		kind := p.EventType()
		seq, err := b.Append(t.Context(), events.New(model, "test", fmt.Sprintf("%s-%d", kind, last[kind]), time.Now(), p), last[kind])
		require.NoError(t, err)
		last[kind] = seq
	}
	for n := 1; n <= 2; n++ {
		bundle := events.Artifact{Name: events.ArtifactBundle, Digest: "sha256:" + strings.Repeat(fmt.Sprint(n), 64), SizeBytes: 1}
		add(&events.ModelRegistered{Version: n, RunID: fmt.Sprint("run-", n), Bundle: bundle, Artifacts: []events.Artifact{bundle}, TargetStage: events.StageProduction})
		if n == 1 {
			add(&events.ModelPromoted{Version: 1, RunID: "run-1", Bundle: bundle, Cause: events.PromotedByGate})
		}
	}
	do := func(args ...string) (string, error) {
		out, _, err := churn(t, append(append([]string{"rollout"}, args...), "--nats", srv.URL())...)
		return out, err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := do(args...)
		require.NoError(t, err)
		return out
	}
	require.Contains(t, must(), "telco-churn: version 1 is Production and watched: 0 records in")
	_, err := do("abort")
	require.ErrorContains(t, err, "model telco-churn: no rollout runs")
	_, err = do("start", "2")
	require.ErrorContains(t, err, "it has no verdict yet (--force with --reason tries it against the gates, and records that)")
	_, err = do("start", "2", "--force", "--reason", "try", "--watch", "requests=many")
	require.ErrorContains(t, err, `rollout.watch.requests: want a whole number, got "many"`)

	out := must("start", "2", "--force", "--reason", "try", "--actor", "op", "--plan", "canary 1% -> 100%", "--watch", "requests=1000,duration=5m", "--expect", "1")
	require.Equal(t, "telco-churn version 2 answers 1 % beside version 1, revision 1 (canary 1% -> 100%); each step ends after 1000 records or 5m0s\n", out)
	out = must("show")
	require.Contains(t, out, "telco-churn: canary of version 2, revision 1: 0 records in")
	require.Contains(t, out, "error_ratio")
	require.Regexp(t, `score_psi +insufficient .* judged by the registry, which reads the bundle: see its page of the model\n`, out)
	joined := events.New(model, "test", "p1", time.Now(), &events.ExampleJoined{PredictionID: "p1", EntityID: "c1", Record: json.RawMessage(`{}`), Version: 1, PromotionSequence: 2, PredictionsSequence: 1, LabelsSequence: 1,
		Predicted: true, Observed: true, Score: 0.9, PredictedAt: time.Now(), ObservedAt: time.Now()})
	_, err = b.Publish(t.Context(), joined)
	require.NoError(t, err)
	require.Contains(t, must("show"), "0 labelled rows against version 1's 1, 300 are needed of each", "whole, as nothing stands behind it")
	status, _, err := churn(t, "status", "--nats", srv.URL(), "--trainer-url", "http://127.0.0.1:1")
	require.NoError(t, err)
	require.Regexp(t, `rollout +canary of version 2 answers 1 %, revision 1: 0 records in`, status)
	require.Contains(t, out, "insufficient")
	require.Regexp(t, `1 +\S+ \S+ +canary +2 +1 +1 % +running +manual +op +try`, out)
	var shown rolloutShown
	require.NoError(t, json.Unmarshal([]byte(must("--json")), &shown))
	require.Len(t, shown.Changes, 1)
	require.True(t, shown.Changes[0].Override)
	require.Equal(t, 1000, shown.Changes[0].Watch.Requests)

	_, err = do("shadow", "2")
	require.ErrorContains(t, err, "the canary of version 2 of model telco-churn runs, at revision 1: abort it first")
	_, err = do("abort", "--revision", "5")
	require.ErrorContains(t, err, "is at revision 1, expected was 5")
	require.Equal(t, "telco-churn: the canary of version 2 is aborted, revision 2; version 1 answers everybody\n", must("abort", "--reason", "enough"))
	require.Equal(t, "telco-churn version 2 is a shadow of version 1, revision 3\n", must("shadow", "2"))
	add(&events.ShadowEvaluated{Revision: 3, Version: 2, Production: 1, PredictionsSequence: 200, Rows: 200, Skipped: map[string]uint64{"record": 2}, Flips: 3, PSI: 0.045,
		Scores: make([]uint64, events.ScoreBins), ProductionScores: make([]uint64, events.ScoreBins)})
	require.Contains(t, must("show"), "200 rows scored, 2 could not be; 3 have another label than version 1 gave; scores differ by 0.0000 in the mean and 0.0000 at most, PSI 0.0450\n")
	_, err = do("promote")
	require.ErrorContains(t, err, "(churn promote VERSION --force with --reason promotes it against the gates, and records that)")
	must("abort")
	must("start", "2", "--force", "--reason", "try")
	require.Equal(t, "telco-churn version 2 is Production (it was version 1), cause manual\n", must("promote", "--actor", "op"))
}
