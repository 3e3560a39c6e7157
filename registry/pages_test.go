package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
)

// get returns the answer of a page.
func get(t *testing.T, s *running, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + s.Addr() + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err, path)
	return resp.StatusCode, string(body)
}

// story fills the streams with one of everything that the pages show.
func story(t *testing.T) *running {
	t.Helper()
	r := newRig(t)
	s := r.start()
	r.publish("open", &events.RunStarted{
		RunID: "open-run", Causes: []events.Cause{{Kind: events.CauseDrift, Detail: "psi of MonthlyCharges 1.42 > 0.2"}}, TargetStage: events.StageProduction,
	})
	r.publish("failed", &events.RunFailed{RunID: "failed-run", Step: "validate", Reason: "single class", Report: []byte(`{"rows":3}`)})
	r.complete(modeltest.Options{Seed: 1}, func(run *events.RunCompleted) { run.Params["note"] = "<script>alert(1)</script>" })
	c := r.production(1)
	one, _ := c.Version(churn, 1)
	p, _ := c.Promotion(churn)
	r.report("west", one, p.Sequence, "")
	r.complete(modeltest.Options{Seed: 1, RunID: "same-again"})
	r.judged(2)
	bad := r.run(modeltest.Options{Seed: 3, RunID: "refused-run"})
	bad.Artifacts[0].Digest = digest(3)
	r.publish(bad.RunID, bad)
	r.wait("refusal", func(c *Catalog) bool {
		run, _ := c.Run("refused-run")
		return run.State == RunRefused
	})
	r.evaluations(p.Sequence)
	_, err := r.bus.Publish(t.Context(), events.New("a model/with <odd> name", "test", "x", time.Now(), &events.RunFailed{RunID: "odd", Step: "x", Reason: "y"}))
	require.NoError(t, err)
	return s
}

func (r *rig) evaluations(promotion uint64) {
	r.t.Helper()
	for n := range 5 {
		value := 0.04 + 0.2*float64(n)
		state := events.StateOK
		if value > 0.2 {
			state = events.StateFiring
		}
		at := time.Now()
		e := &events.DriftEvaluated{
			Kind: events.DriftData, Evaluation: uint64(n + 1), Version: 1, PromotionSequence: promotion, Rows: 1000, WindowFrom: at.Add(-time.Hour), WindowTo: at,
			Columns: []events.ColumnEvaluation{
				{Column: "MonthlyCharges", Statistic: "psi", Value: value, Threshold: 0.2, Bound: 0.03, N: 1000, State: state, Action: events.ActionRetrain},
				{Column: events.ColumnScore, Statistic: "psi", Value: value / 4, Threshold: 0.2, Bound: 0.03, N: 1000, State: events.StateOK, Action: events.ActionReport},
			},
		}
		_, err := r.bus.Publish(r.t.Context(), events.New(churn, "drift/test", fmt.Sprintf("data/%d", n+1), at, e))
		require.NoError(r.t, err)
	}
}

var href = regexp.MustCompile(`href="([^"]+)"`)

func TestEveryPageAndLinkWorks(t *testing.T) {
	s := story(t)
	bustest.Eventually(t, func() bool {
		_, body := get(t, s, "/models/"+churn)
		return strings.Contains(body, "west") && strings.Contains(body, "live")
	}, "the instance is shown")
	bustest.Eventually(t, func() bool {
		_, body := get(t, s, "/runs/refused-run")
		return strings.Contains(body, "not found")
	}, "the refusal is shown")
	pages := map[string]string{}
	todo := []string{"/"}
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		if _, done := pages[path]; done {
			continue
		}
		code, body := get(t, s, path)
		pages[path] = body
		if strings.Contains(path, "/artifacts/") {
			if !strings.HasPrefix(path, "/runs/refused-run/") {
				require.Equal(t, http.StatusOK, code, path)
			}
			continue // bytes of a run
		}
		require.Equal(t, http.StatusOK, code, path)
		require.NotContains(t, body, "<script>", path)
		for _, m := range href.FindAllStringSubmatch(body, -1) {
			todo = append(todo, m[1])
		}
	}
	for path, want := range map[string][]string{
		"/":                                 {churn, "version 1", "a model/with &lt;odd&gt; name", "1 of 1 live instance"},
		"/experiments/telco-churn-training": {"open-run", "failed-run", "same-again", "refused"},
		"/runs/failed-run":                  {"single class", "validate", "&#34;rows&#34;: 3"},
		"/runs/open-run":                    {"psi of MonthlyCharges"},
		"/runs/run-1":                       {"&lt;script&gt;", "holdout.csv", "roc_auc"},
		"/models/telco-churn":               {"Production", "Staging", "not_promoted", "not_better", "west", "gate"},
		"/models/telco-churn/versions/2":    {"f1_churn &gt; production", "not passed", "Production then, version 1"},
		"/drift/telco-churn":                {"MonthlyCharges", "firing", "0.8400", "_score"},
		"/style.css":                        {"color-scheme"},
	} {
		for _, w := range want {
			require.Contains(t, pages[path], w, path)
		}
	}
	for _, path := range []string{"/nothing", "/runs/nobody", "/models/nobody", "/models/telco-churn/versions/9", "/models/telco-churn/versions/x",
		"/experiments/none", "/drift/none", "/runs/run-1/artifacts/none", "/runs/open-run/artifacts/bundle.tar", "/models/..%2f"} {
		code, _ := get(t, s, path)
		require.Equal(t, http.StatusNotFound, code, path)
	}
	resp, err := http.Post("http://"+s.Addr()+"/models/"+churn, "text/plain", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode, "the pages only read")
	for path, want := range map[string]string{"/health": `"status":"ok"`, "/livez": "ok", "/readyz": "ok", "/metrics": "churn_registry_production_version"} {
		code, body := get(t, s, path)
		require.Equal(t, http.StatusOK, code, path)
		require.Contains(t, body, want, path)
	}
}

func TestDownloadGivesTheBytesOrBreaksOff(t *testing.T) {
	r := newRig(t)
	s := r.start()
	run := r.complete(modeltest.Options{Seed: 1}, func(run *events.RunCompleted) {
		run.Artifacts = append(run.Artifacts, r.put("big.bin", []byte(strings.Repeat("0123456789abcdef", 40_000))), r.put("empty", nil))
	})
	r.production(1)
	for _, a := range run.Artifacts {
		code, body := get(t, s, "/runs/"+run.RunID+"/artifacts/"+a.Name)
		require.Equal(t, http.StatusOK, code)
		sum := sha256.Sum256([]byte(body))
		require.Equal(t, a.Digest, "sha256:"+hex.EncodeToString(sum[:]), a.Name)
	}

	// Other bytes of the same length under the name of big.bin.
	big := run.Artifacts[2]
	r.damage(big)
	resp, err := http.Get("http://" + s.Addr() + "/runs/" + run.RunID + "/artifacts/big.bin")
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			_, err = io.ReadAll(resp.Body)
			require.Error(t, err, "a damaged artifact never looks whole")
		}
	}
	r.remove(big.Digest)
	code, _ := get(t, s, "/runs/"+run.RunID+"/artifacts/big.bin")
	require.Equal(t, http.StatusNotFound, code)
}

func TestPagesOutliveTheServer(t *testing.T) {
	r := newRig(t)
	s := r.start()
	r.complete(modeltest.Options{Seed: 1})
	r.production(1)
	bustest.Eventually(t, func() bool {
		_, body := get(t, s, "/models/"+churn)
		return strings.Contains(body, "version 1")
	}, "shown")
	r.srv.Stop(t)
	code, body := get(t, s, "/models/"+churn)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "version 1")
	require.Contains(t, body, "can't be read at the moment")
	r.srv.Resume(t)
	bustest.Eventually(t, func() bool {
		_, body := get(t, s, "/models/"+churn)
		return !strings.Contains(body, "at the moment")
	}, "caught up again")
}

func TestABusyPortNamesItsFlag(t *testing.T) {
	r := newRig(t)
	s := r.start()
	c := DefaultConfig()
	c.Spec, c.Bus, c.Store, c.Log, c.Addr, c.Metrics = r.spec, r.bus, r.store, s.log, s.Addr(), prometheus.NewRegistry()
	_, err := New(c)
	require.ErrorContains(t, err, DefaultFlag)
	c.Addr = "127.0.0.1:0"
	again, err := New(c)
	require.NoError(t, err)
	again.Close()
}

func TestLongTablesShowTheNewest(t *testing.T) {
	rows := make([]int, rowsShown+3)
	shown, more := newest(rows)
	require.Len(t, shown, rowsShown)
	require.Equal(t, 3, more)
	shown, more = newest(rows[:2])
	require.Len(t, shown, 2)
	require.Zero(t, more)
}

func TestConfigTellsEveryFaultAtOnce(t *testing.T) {
	err := Config{Grace: -1}.Validate()
	for _, want := range []string{"spec", "bus", "store", "log", "grace"} {
		require.ErrorContains(t, err, want)
	}
}
