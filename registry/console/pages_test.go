package console_test

import (
	"crypto/sha256"
	"encoding/hex"
	"html"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/registry/tracking"
)

const evil = `<script>alert(1)</script>"'/..?%`

// story fills the streams with one of everything that the pages show.
func story(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.publish("open", &events.RunStarted{
		RunID: "open-run", Causes: []events.Cause{{Kind: events.CauseDrift, Detail: "psi of MonthlyCharges 1.42 > 0.2"}}, TargetStage: events.StageProduction,
	})
	r.publish("failed", &events.RunFailed{RunID: "failed-run", Step: "validate", Reason: "single class", Report: []byte(`{"rows":3}`)})
	r.complete(modeltest.Options{Seed: 1}, func(run *events.RunCompleted) { run.Params["note"] = evil })
	p := r.production(1)
	r.loads("west", p)
	r.complete(modeltest.Options{Seed: 1, RunID: "same-again"})
	r.version(2)
	r.evaluations(p.Sequence, 20)
	r.tracked(t)
	return r
}

// tracked logs an experiment of two runs, with names as hostile as the wire allows, and returns the ids of the runs.
func (r *rig) tracked(t *testing.T) (ids []string) {
	t.Helper()
	ctx, b := t.Context(), r.Tracking()
	e, err := b.CreateExperiment(ctx, tracking.NewExperiment{Name: "tuning " + evil})
	require.NoError(t, err)
	for i := range 2 {
		run, err := b.CreateRun(ctx, tracking.NewRun{ExperimentID: e.ID, UserID: "ana", Name: "trial " + evil, StartTime: time.Now().UnixMilli()})
		require.NoError(t, err)
		ids = append(ids, run.ID)
		batch := tracking.Batch{Params: []events.Pair{{Key: "depth", Value: []string{"3", "6"}[i]}, {Key: "loss/kind", Value: evil}}}
		for step := range 5 {
			batch.Metrics = append(batch.Metrics, events.MetricPoint{Key: "loss", Value: events.Number(1 / float64(1+step+i)), Step: int64(step), Timestamp: int64(1000 * step)})
		}
		batch.Metrics = append(batch.Metrics, events.MetricPoint{Key: "roc auc", Value: events.Number(0.8 + 0.05*float64(i)), Timestamp: 1})
		require.NoError(t, b.Log(ctx, run.ID, batch))
		require.NoError(t, b.LogInputs(ctx, run.ID, []events.DatasetInput{{Name: "telco " + evil, Digest: "d1", SourceType: "local", Source: "{}"}}, "ana"))
		root, ok := tracking.PathOf(run.ArtifactURI)
		require.True(t, ok)
		for name, data := range map[string]string{
			"a/b.csv": "x,y\n1,<b>2</b>\n", "page.html": evil, "pic.svg": `<svg xmlns="http://www.w3.org/2000/svg"/>`, "report.json": `{"auc":0.84}`,
			"model/MLmodel": "flavors:\n  lightgbm: {}\nsignature:\n  inputs: '[{\"type\": \"long\", \"name\": \"tenure\"}]'\n", "raw.bin": "\x00\x01",
		} {
			ref, err := artifact.PutBytes(ctx, r.store, []byte(data))
			require.NoError(t, err)
			require.NoError(t, b.PutFile(ctx, root+"/"+name, ref, "ana"))
		}
	}
	return ids
}

var href = regexp.MustCompile(`(?:href|src)="([^"]+)"`)

func TestEveryPageAndLinkWorks(t *testing.T) {
	r := story(t)
	r.shows("/models/"+churn, "west", "live")
	pages := map[string]string{}
	todo := []string{"/"}
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		if _, done := pages[path]; done || !strings.HasPrefix(path, "/") {
			continue
		}
		code, body := r.get(path)
		require.Equal(t, http.StatusOK, code, path)
		pages[path] = body
		if strings.Contains(path, "/artifacts/") || strings.Contains(path, "/static/") || strings.Contains(path, ".csv") {
			continue // bytes
		}
		require.NotContains(t, body, "<script>", path)
		require.NotContains(t, body, "alert(1)</", path)
		require.NotContains(t, body, "style=", path)
		require.NotContains(t, body, "ZgotmplZ", path)
		require.Contains(t, body, `<html lang="en">`, path)
		for _, m := range href.FindAllStringSubmatch(body, -1) {
			if link := html.UnescapeString(m[1]); !strings.HasPrefix(link, "#") {
				todo = append(todo, link)
			}
		}
	}
	require.Greater(t, len(pages), 60)
	for path, want := range map[string][]string{
		"/":                              {churn, "version 1", "1 of 1", "version 2 is not_promoted"},
		"/runs/failed-run":               {"single class", "validate", "&#34;rows&#34;: 3"},
		"/runs/open-run":                 {"psi of MonthlyCharges"},
		"/runs/run-1":                    {"&lt;script&gt;", "holdout.csv", "roc_auc", churn + " version 1"},
		"/models/telco-churn":            {"Production", "not_promoted", "not_better", "west", "gate", "<svg"},
		"/models/telco-churn/versions/2": {"f1_churn &gt; production", "not passed", "Production then", "bundle.tar"},
		"/drift/telco-churn":             {"MonthlyCharges", "firing", "alert above 0.2000", "_score", "(29.5, 55]"},
		"/drift":                         {"firing: MonthlyCharges"},
		"/models/telco-churn/audit":      {"promoted version 1 to Production (gate)"},
		"/events":                        {"run failed in step validate", "west serves version 1", "evaluation 20 of data"},
		"/experiments":                   {"tuning &lt;script&gt;"},
	} {
		for _, w := range want {
			require.Contains(t, pages[path], w, path)
		}
	}
	for _, path := range []string{"/nothing", "/runs/nobody", "/models/nobody", "/models/telco-churn/versions/9", "/models/telco-churn/versions/x",
		"/static/", "/static/%2e%2e/", "/static/nothing.css", "/experiments/none", "/drift/none", "/runs/run-1/artifacts/none", "/runs/open-run/artifacts/bundle.tar", "/models/..%2f", "/runs/run-1/files/no",
		"/models/telco-churn/diff?a=1&b=9"} {
		code, _ := r.get(path)
		require.Equal(t, http.StatusNotFound, code, path)
	}
	for _, w := range []string{`name="metric"`, "Compare the two</button>"} {
		page := pages["/models/telco-churn"]
		require.Less(t, strings.Index(page, w), strings.Index(page, `id="versions"`), "actions of a table stand above it")
	}
}

func TestPathsThatLeadNowhereHaveAPage(t *testing.T) {
	r := newRig(t)
	ask := func(method, path, accept string) (int, string, http.Header) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.Addr()+path, nil)
		require.NoError(t, err)
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body), resp.Header
	}
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, path := range []string{"/x", "/models/a/versions/1/zz", "/x%3Cscript%3E"} {
		code, page, _ := ask("GET", path, browser)
		require.Equal(t, http.StatusNotFound, code, path)
		require.Contains(t, page, "There is no page /", path)
		require.Contains(t, page, `href="/experiments"`, path)
		require.NotContains(t, page, "<script>", path)
	}
	code, page, _ := ask("GET", "/x", "*/*")
	require.Equal(t, http.StatusNotFound, code)
	require.Equal(t, "404 page not found\n", page, "programs get no page")
	code, _, header := ask("POST", "/experiments", browser)
	require.Equal(t, http.StatusMethodNotAllowed, code)
	require.Equal(t, "GET, HEAD", header.Get("Allow"))
	code, _, _ = ask("POST", "/x", browser)
	require.Equal(t, http.StatusNotFound, code)
}

func TestPagesTellWhatAClientLogged(t *testing.T) {
	r := newRig(t)
	ids := r.tracked(t)
	body := r.shows("/experiments/1", "loss", "roc auc", "depth")
	require.Less(t, strings.Index(body, ids[1]), strings.Index(body, ids[0]), "the newest first")
	_, body = r.get("/experiments/1?sort=params.depth&dir=asc")
	require.Less(t, strings.Index(body, ids[0]), strings.Index(body, ids[1]))
	require.Contains(t, body, `aria-sort="ascending"`)
	_, body = r.get("/experiments/1?q=" + "metrics.%60roc+auc%60+%3E+0.82")
	require.NotContains(t, body, ids[0])
	require.Contains(t, body, ids[1])
	_, body = r.get("/experiments/1?q=nonsense+%3E%3E")
	require.Contains(t, body, `role="alert"`)
	_, body = r.get("/experiments/1?q=params.depth+%3D+%27nowhere%27")
	require.Contains(t, body, "No run matches")
	_, body = r.get("/experiments/1?col=metrics.loss")
	require.NotContains(t, body, `title="Sort by params.depth"`)
	require.Contains(t, body, `title="Sort by metrics.loss"`)
	_, body = r.get("/experiments/1/runs.csv?sort=params.depth&dir=asc")
	lines := strings.Split(strings.TrimSpace(body), "\n")
	require.Len(t, lines, 3)
	require.Equal(t, "run_id,run_name,status,start_time,end_time,user_id,metrics.loss,metrics.roc auc,params.depth,params.loss/kind,tags.mlflow.runName", lines[0])
	require.Contains(t, lines[1], ids[0])
	require.Contains(t, lines[1], ",0.2,0.8,3,")

	_, body = r.get("/runs/compare?run=" + ids[0] + "&run=" + ids[1])
	require.Equal(t, 5, strings.Count(body, "<figure>"), "two of bars, history, points, parallel")
	require.Contains(t, body, "loss/kind")
	_, body = r.get("/runs/compare?only=differences&over=time&run=" + ids[0] + "&run=" + ids[1] + "&run=nobody")
	require.NotContains(t, body, "loss/kind")
	require.Contains(t, body, "Not found: nobody")
	_, body = r.get("/runs/compare")
	require.Contains(t, body, "No run was chosen")

	body = r.shows("/runs/"+ids[0], "RUNNING", "ana", "5 points", "telco &lt;script&gt;", "page.html")
	require.Contains(t, body, "history of loss")
	for path, want := range map[string]string{
		"a/b.csv": "&lt;b&gt;2&lt;/b&gt;", "report.json": "&#34;auc&#34;: 0.84", "model/MLmodel": "tenure", "pic.svg": "<img src=", "page.html": "&lt;script&gt;",
		"raw.bin": "No preview", "model": "MLmodel",
	} {
		_, body := r.get("/runs/" + ids[0] + "/files/" + path)
		require.Contains(t, body, want, path)
	}
	resp, err := http.Get("http://" + r.Addr() + "/runs/" + ids[0] + "/artifacts/page.html")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "application/octet-stream", resp.Header.Get("Content-Type"), "nothing that a client logged runs here")
	require.Contains(t, resp.Header.Get("Content-Disposition"), "attachment")
}

func TestEmptyPagesSayTheNextStep(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]string{
		"/": "No model yet", "/models": "churn up", "/experiments/0": "mlflow.log_metric", "/drift": "nothing to watch", "/events": "Nothing has happened yet",
	} {
		code, body := r.get(path)
		require.Equal(t, http.StatusOK, code, path)
		require.Contains(t, body, want, path)
	}
}

func TestDownloadGivesTheBytesOrBreaksOff(t *testing.T) {
	r := newRig(t)
	run := r.complete(modeltest.Options{Seed: 1}, func(run *events.RunCompleted) {
		run.Artifacts = append(run.Artifacts, r.put("big.bin", []byte(strings.Repeat("0123456789abcdef", 40_000))), r.put("empty", nil))
	})
	r.production(1)
	for _, a := range run.Artifacts {
		for _, path := range []string{"/runs/" + run.RunID + "/artifacts/", "/models/" + churn + "/versions/1/artifacts/"} {
			code, body := r.get(path + a.Name)
			require.Equal(t, http.StatusOK, code)
			sum := sha256.Sum256([]byte(body))
			require.Equal(t, a.Digest, "sha256:"+hex.EncodeToString(sum[:]), a.Name)
		}
	}
	big := run.Artifacts[2]
	damage(t, r, big)
	resp, err := http.Get("http://" + r.Addr() + "/runs/" + run.RunID + "/artifacts/big.bin")
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			_, err = io.ReadAll(resp.Body)
			require.Error(t, err, "a damaged artifact never looks whole")
		}
	}
}

func TestPagesOutliveTheServer(t *testing.T) {
	r := newRig(t)
	r.complete(modeltest.Options{Seed: 1})
	r.production(1)
	ids := r.tracked(t)
	r.shows("/models/"+churn, "version 1")
	r.srv.Stop(t)
	for _, path := range []string{"/", "/models", "/models/" + churn, "/models/" + churn + "/versions/1", "/experiments", "/drift", "/drift/" + churn, "/events", "/runs/run-1", "/runs/" + ids[0],
		"/runs/compare?run=" + ids[0] + "&run=" + ids[1], "/experiments/1", "/models/" + churn + "/versions/1/stage?to=Archived", "/runs/" + ids[0] + "/files/report.json"} {
		began := time.Now()
		code, body := r.get(path)
		require.Equal(t, http.StatusOK, code, path)
		require.Contains(t, body, "may be stale", path)
		require.Less(t, time.Since(began), 5*time.Second, path)
	}
	_, body := r.get("/models/" + churn)
	require.Contains(t, body, "version 1")
	code, body := r.get("/models/" + churn + "/diff?a=1&b=1")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "Not possible at the moment")
	r.srv.Resume(t)
	bustest.Eventually(t, func() bool {
		_, body := r.get("/models/" + churn)
		return !strings.Contains(body, "may be stale")
	}, "caught up again")
}
