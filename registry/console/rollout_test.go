package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/registry"
)

func TestARolloutIsBegunShownAndEndedByForms(t *testing.T) {
	r := two(t)
	const path = "/models/" + churn + "/versions/2/rollout"
	code, page := r.get(path + "?mode=canary")
	require.Equal(t, http.StatusOK, code)
	for _, want := range []string{"Begin a canary of version 2?", "beside version 1", `value="canary 5% -&gt; 25% -&gt; 100%"`, "500 records or 10m0s", "f1_churn &gt; production"} {
		require.Contains(t, page, want)
	}
	asked := form(t, page)
	asked.Set("plan", "canary 5% -> 2%")
	asked.Set("override", "1")
	asked.Set("reason", "try <it>")
	code, _, page = r.post(path, asked)
	require.Equal(t, http.StatusBadRequest, code)
	require.Contains(t, page, "shares must grow")
	asked.Set("plan", "canary 12.5% -> 100%")
	code, location, _ := r.post(path, asked)
	require.Equal(t, http.StatusSeeOther, code)
	require.Equal(t, "/models/"+churn+"/versions/2?done=rollout", location)
	for _, page := range []string{location, "/models/" + churn} {
		_, page = r.get(page)
		require.Contains(t, page, "answers <b>12.5%</b> of the customers beside version 1: <code>canary 12.5% -&gt; 100%</code>")
		require.Contains(t, page, "/models/"+churn+"/rollout/abort")
		require.Contains(t, page, "score_psi")
		require.Contains(t, page, "insufficient")
	}

	_, page = r.get(location)
	require.NotContains(t, page, "rollout?mode=canary", "a second one would be refused")
	require.Contains(t, page, "None: requests are answered by Production")
	serving := events.Serving{Instance: "one", Boot: "b", Version: 1, Digest: "sha256:" + strings.Repeat("1", 64), PromotionSequence: 1, RolloutRevision: 1, Candidate: 2}
	_, err := r.bus.Publish(t.Context(), events.New(churn, "inference/test", "one", time.Now(), &events.InstanceAlive{Serving: serving, StartedAt: time.Now()}))
	require.NoError(t, err)
	bustest.Eventually(t, func() bool {
		_, page = r.get(location)
		return strings.Contains(page, "version 1 <span class=\"good small\">Production</span>, and version 2 beside it")
	}, "the page of the candidate names who holds it")
	require.NotContains(t, page, "None: requests")

	// the page of before is refused
	code, _, _ = r.post(path, asked)
	require.Equal(t, http.StatusSeeOther, code, "asking for the same again changes nothing")
	_, page = r.get("/models/" + churn + "/rollout/abort")
	require.Contains(t, page, "Stop the canary of version 2?")
	stop := form(t, page)
	stop.Set("expected", "7")
	code, _, page = r.post("/models/"+churn+"/rollout/abort", stop)
	require.Equal(t, http.StatusConflict, code)
	require.Contains(t, page, "is at revision 1, expected was 7")
	stop.Set("expected", "1")
	stop.Set("reason", "enough")
	code, location, _ = r.post("/models/"+churn+"/rollout/abort", stop)
	require.Equal(t, http.StatusSeeOther, code)
	_, page = r.get(location)
	require.Contains(t, page, "The last one: canary of version 2")
	require.Contains(t, page, "aborted")
	require.Contains(t, page, "enough")
	_, page = r.get("/models/" + churn + "/audit")
	require.Contains(t, page, "began the canary of version 2: it answers 12.5 % beside version 1")
	require.Contains(t, page, "try &lt;it&gt;")
	_, page = r.get("/models/" + churn + "/rollout/promote")
	require.Contains(t, page, "No rollout of telco-churn runs")

	code, page = r.get(path + "?mode=shadow")
	require.Equal(t, http.StatusOK, code)
	code, _, _ = r.post(path, form(t, page))
	require.Equal(t, http.StatusSeeOther, code)
	_, page = r.get("/models/" + churn)
	require.NotContains(t, page, "found so far")
	r.publish("found", &events.ShadowEvaluated{Revision: 3, Version: 2, Production: 1, PredictionsSequence: 200, Rows: 217, Flips: 31, PSI: 0.045,
		Scores: make([]uint64, events.ScoreBins), ProductionScores: make([]uint64, events.ScoreBins)})
	r.shows("/models/"+churn, `data-name="Answers">217<`, `data-name="Other labels">31<`)
	_, page = r.get("/models/" + churn + "/rollout/abort")
	require.Contains(t, page, "Version 2 scores nothing any more; version 1 answers as it did.")
	_, page = r.get("/models/" + churn + "/rollout/promote")
	now := form(t, page)
	code, _, page = r.post("/models/"+churn+"/rollout/promote", now)
	require.Equal(t, http.StatusBadRequest, code, "the gates refuse it")
	require.Contains(t, page, "did not pass the gates")
}

func TestLinesOfRollouts(t *testing.T) {
	require.Equal(t, "ended the canary of version 3: breach", registry.RolloutWords(&events.RolloutChanged{
		State: events.RolloutRolledBack, Mode: events.RolloutCanary, Version: 3, Cause: events.RolloutBreach,
	}))
	require.Equal(t, "completed the watch of version 3 in Production", registry.RolloutWords(&events.RolloutChanged{
		State: events.RolloutCompleted, Mode: events.RolloutDirect, Version: 3,
	}))
}
