package inference_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus/bustest"
)

// requireWholeLog holds the log of one boot to the answers given: each once, ordinals from 1 without a gap.
func requireWholeLog(t testing.TB, w *world, i *instance, given map[string]answer) {
	t.Helper()
	seen := map[uint64]bool{}
	logged := map[string]*events.PredictionMade{}
	for _, p := range read[*events.PredictionMade](t, w, events.Predictions) {
		if p.Boot != i.Boot() {
			continue
		}
		require.False(t, seen[p.Ordinal], "ordinal %d stands twice", p.Ordinal)
		seen[p.Ordinal] = true
		logged[p.PredictionID] = p
	}
	for n := range uint64(len(seen)) {
		require.True(t, seen[n+1], "ordinal %d of %d is missing", n+1, len(seen))
	}
	for id, a := range given {
		p, ok := logged[id]
		require.True(t, ok, "answer %s is not logged", id)
		require.Equal(t, a.Version, p.Version)
		require.Equal(t, a.Probability.String(), fmt.Sprint(p.Score))
		require.Equal(t, a.Label, p.Label)
		require.Equal(t, a.Threshold, p.Threshold)
	}
}

func TestEveryAnswerIsLogged(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	all := records(t)
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, all[0])
	given := map[string]answer{}
	for _, record := range all {
		a := i.predict(t, record)
		given[a.PredictionID] = a
	}
	code, _, body := i.post(t, "/predict", []byte("["+string(all[1])+","+string(all[2])+"]"))
	require.Equal(t, http.StatusOK, code, string(body))
	i.stop() // flushes
	requireWholeLog(t, w, i, given)

	made := read[*events.PredictionMade](t, w, events.Predictions)
	last := made[len(made)-1]
	require.JSONEq(t, string(all[2]), string(last.Record), "the raw record")
	require.Equal(t, "id-00002", last.EntityID)
	require.Equal(t, w.last, last.PromotionSequence)
	require.Equal(t, "one", last.Instance)
	alive := read[*events.InstanceAlive](t, w, events.Fleet)
	require.NotEmpty(t, alive)
	require.Equal(t, i.Addr(), alive[0].Address)
}

func TestLogOutlivesAnOutageAndAnswersDoNotWait(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	all := records(t)
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, all[0])
	given := map[string]answer{}
	ask := func() {
		for _, record := range all {
			a := i.predict(t, record)
			given[a.PredictionID] = a
		}
	}
	ask()
	w.server.Stop(t)
	ask()
	w.server.Resume(t)
	ask()
	bustest.Eventually(t, func() bool {
		logged := map[string]bool{}
		for _, p := range read[*events.PredictionMade](t, w, events.Predictions) {
			logged[p.PredictionID] = true
		}
		for id := range given {
			if !logged[id] {
				return false
			}
		}
		return true
	}, "all answers are logged after the outage")
	i.stop()
	requireWholeLog(t, w, i, given)
}

// TestPagesUnderWayOutliveAnOutage has more pages than are under way at a time, before, during and after an outage.
func TestPagesUnderWayOutliveAnOutage(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	all := records(t)
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, all[0])
	list := append(append([]byte("["), bytes.Join(all, []byte(","))...), ']')
	answered := 1
	ask := func() {
		for range 5000/len(all) + 1 {
			code, _, body := i.post(t, "/predict", list)
			require.Equal(t, http.StatusOK, code, string(body))
			answered += len(all)
		}
	}
	ask()
	w.server.Stop(t)
	ask()
	w.server.Resume(t)
	ask()
	bustest.Eventually(t, func() bool { return metric(t, i, "churn_prediction_log_queued") == 0 }, "all is logged after the outage")
	i.stop()
	requireWholeLog(t, w, i, nil)
	logged := 0
	for _, p := range read[*events.PredictionMade](t, w, events.Predictions) {
		if p.Boot == i.Boot() {
			logged++
		}
	}
	require.Equal(t, answered, logged)
}

func TestFullLogDropsAndCounts(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	c.LogQueue = 10
	i := run(t, c)
	all := records(t)
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, all[0])
	w.server.Stop(t)
	i.predict(t, all[0])
	bustest.Eventually(t, func() bool { return metric(t, i, "churn_prediction_log_retries_total") > 0 }, "one is under way")
	for range 3 {
		for _, record := range all {
			i.predict(t, record)
		}
	}
	dropped := metric(t, i, `churn_prediction_log_dropped_total{reason="queue_full"}`)
	require.Greater(t, dropped, 100)
	require.Equal(t, 10, metric(t, i, "churn_prediction_log_queued"), "as it is, with nothing published")
	answered := metric(t, i, `churn_predictions_total{model="telco-churn",outcome="ok",transport="http",version="1"}`)
	w.server.Resume(t)
	i.stop()

	logged := map[uint64]bool{}
	for _, p := range read[*events.PredictionMade](t, w, events.Predictions) {
		logged[p.Ordinal] = true
		require.LessOrEqual(t, p.Ordinal, uint64(answered))
	}
	require.Equal(t, answered-dropped, len(logged), "each answer is logged or counted as dropped")
}

// metric reads one series of the instance's /metrics; 0 if it is not there.
func metric(t testing.TB, i *instance, series string) int {
	t.Helper()
	_, metrics := i.get(t, "/metrics")
	for line := range strings.Lines(metrics) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			var v float64
			_, err := fmt.Sscan(rest, &v)
			require.NoError(t, err)
			return int(v)
		}
	}
	return 0
}

func TestBytesBoundTheLogToo(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	c.LogBytes = 1
	i := run(t, c)
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, records(t)[0])
	require.Equal(t, 1, metric(t, i, `churn_prediction_log_dropped_total{reason="queue_full"}`))
	i.stop()
	require.Empty(t, read[*events.PredictionMade](t, w, events.Predictions))
}

// TestAnEventThatIsTooLargeHoldsNobodyUp has the stream refuse one for good.
func TestAnEventThatIsTooLargeHoldsNobodyUp(t *testing.T) {
	w, i, good := answering(t, nil)
	stream, err := w.bus.JetStream().Stream(t.Context(), string(events.Predictions))
	require.NoError(t, err)
	c := stream.CachedInfo().Config
	c.MaxMsgSize = 3000
	_, err = w.bus.JetStream().UpdateStream(t.Context(), c)
	require.NoError(t, err)
	published := metric(t, i, "churn_prediction_log_published_total")
	i.predict(t, record(t, map[string]any{"Remark": string(bytes.Repeat([]byte("x"), 3000))}))
	i.predict(t, good)
	bustest.Eventually(t, func() bool { return metric(t, i, "churn_prediction_log_published_total") > published }, "what comes behind is logged")
	bustest.Eventually(t, func() bool { return metric(t, i, `churn_prediction_log_dropped_total{reason="invalid"}`) == 1 }, "it is dropped and counted")
}
