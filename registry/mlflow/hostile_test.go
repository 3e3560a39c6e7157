package mlflow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry"
)

// calls is a good call of each route; a GET's fields go into the query. EXP, OTHER, RUN and KEPT stand for what is there.
var calls = []struct {
	method, path string
	in           fields
}{
	{"POST", api20 + "experiments/create", fields{"name": "new", "artifact_location": "s3://x/y", "tags": keysAndValues("a", "b")}},
	{"GET", api20 + "experiments/get", fields{"experiment_id": "EXP"}},
	{"GET", api20 + "experiments/get-by-name", fields{"experiment_name": "Default"}},
	{"GET", api20 + "experiments/search", fields{"filter": "name LIKE 'D%'", "max_results": 5, "order_by": []string{"name"}}},
	{"POST", api20 + "experiments/search", fields{"filter": "name LIKE 'D%'", "max_results": 5, "view_type": "ALL", "order_by": []string{"name"}, "page_token": ""}},
	{"GET", api20 + "experiments/list", fields{"view_type": "ALL"}},
	{"POST", api20 + "experiments/update", fields{"experiment_id": "EXP", "new_name": "renamed"}},
	{"POST", api20 + "experiments/set-experiment-tag", fields{"experiment_id": "EXP", "key": "k", "value": "v"}},
	{"POST", api20 + "experiments/delete-experiment-tag", fields{"experiment_id": "EXP", "key": "k"}},
	{"POST", api20 + "experiments/delete", fields{"experiment_id": "OTHER"}},
	{"POST", api20 + "experiments/restore", fields{"experiment_id": "OTHER"}},
	{"POST", api20 + "runs/create", fields{"experiment_id": "EXP", "user_id": "u", "run_name": "n", "start_time": 5, "tags": keysAndValues("a", "b")}},
	{"GET", api20 + "runs/get", fields{"run_id": "RUN"}},
	{"POST", api20 + "runs/update", fields{"run_id": "RUN", "status": "FINISHED", "end_time": 7, "run_name": "m"}},
	{"POST", api20 + "runs/search", fields{
		"experiment_ids": []string{"EXP"}, "filter": "metrics.m < 3 AND params.p = 'x'", "run_view_type": "ALL", "max_results": 5,
		"order_by": []string{"metrics.m DESC"}, "page_token": "",
	}},
	{"POST", api20 + "runs/log-metric", fields{"run_id": "RUN", "key": "m", "value": 1.5, "timestamp": 2, "step": 3, "model_id": "x", "dataset_name": "d"}},
	{"POST", api20 + "runs/log-parameter", fields{"run_id": "RUN", "key": "p", "value": "x"}},
	{"POST", api20 + "runs/log-batch", fields{
		"run_id": "RUN", "metrics": []fields{{"key": "m", "value": "NaN", "timestamp": "2", "step": 3}}, "params": keysAndValues("q", "y"), "tags": keysAndValues("t", "z"),
	}},
	{"POST", api20 + "runs/set-tag", fields{"run_id": "RUN", "key": "tag", "value": "x"}},
	{"POST", api20 + "runs/delete-tag", fields{"run_id": "RUN", "key": "tag"}},
	{"POST", api20 + "runs/log-inputs", fields{"run_id": "RUN", "datasets": []fields{{
		"tags": keysAndValues("mlflow.data.context", "training"), "dataset": fields{"name": "d", "digest": "x", "source_type": "local", "source": "s", "schema": "{}", "profile": "{}"},
	}}}},
	{"POST", api20 + "runs/outputs", fields{"run_id": "RUN", "models": []fields{{"model_id": "KEPT", "step": 1}}}},
	{"POST", api20 + "runs/log-model", fields{"run_id": "RUN", "model_json": `{"run_id": "r", "artifact_path": "m", "utc_time_created": "t", "flavors": {}}`}},
	{"GET", api20 + "metrics/get-history", fields{"run_id": "RUN", "metric_key": "m", "max_results": 5, "page_token": ""}},
	{"GET", api20 + "metrics/get-history-bulk", fields{"run_id": []string{"RUN"}, "metric_key": "m", "max_results": 5}},
	{"GET", api20 + "metrics/get-history-bulk-interval", fields{"run_ids": []string{"RUN"}, "metric_key": "m", "start_step": 0, "end_step": 9, "max_results": 5}},
	{"GET", api20 + "artifacts/list", fields{"run_id": "RUN", "path": "folder"}},
	{"PUT", proxy + "EXP/RUN/artifacts/folder/file.txt", fields{"content": "any"}},
	{"GET", "/get-artifact", fields{"run_id": "RUN", "path": "folder/file.txt"}},
	{"GET", "/version", nil},
	{"GET", proxy + "EXP/RUN/artifacts/folder/file.txt", nil},
	{"GET", strings.TrimSuffix(proxy, "/"), fields{"path": "EXP/RUN/artifacts"}},
	{"DELETE", proxy + "EXP/RUN/artifacts/folder", nil},
	{"POST", "/api/2.0/mlflow-artifacts/mpu/create/x", nil},
	{"POST", "/api/2.0/mlflow-artifacts/mpu/complete/x", nil},
	{"POST", "/api/2.0/mlflow-artifacts/mpu/abort/x", nil},
	{"POST", models20 + "create", fields{"name": "made", "description": "d", "tags": keysAndValues("a", "b")}},
	{"GET", models20 + "get", fields{"name": "MODEL"}},
	{"PUT", proxy + "EXP/RUN/artifacts/kept/file.txt", fields{"content": "any"}},
	{"GET", api20 + "databricks/registered-models/get", fields{"name": "MODEL"}},
	{"PATCH", models20 + "update", fields{"name": "MODEL", "description": "d"}},
	{"GET", models20 + "search", fields{"filter": "name LIKE 'M%'", "max_results": 5, "order_by": []string{"name"}, "page_token": ""}},
	{"GET", models20 + "list", fields{"max_results": 5, "page_token": ""}},
	{"POST", models20 + "set-tag", fields{"name": "MODEL", "key": "k", "value": "v"}},
	{"DELETE", models20 + "delete-tag", fields{"name": "MODEL", "key": "k"}},
	{"POST", versions20 + "create", fields{
		"name": "MODEL", "source": "mlflow-artifacts:/EXP/RUN/artifacts/kept", "run_id": "RUN", "run_link": "l", "description": "d", "model_id": "", "tags": keysAndValues("a", "b"),
	}},
	{"GET", versions20 + "get", fields{"name": "MODEL", "version": "1"}},
	{"PATCH", versions20 + "update", fields{"name": "MODEL", "version": "1", "description": "d"}},
	{"GET", versions20 + "search", fields{"filter": "name = 'MODEL'", "max_results": 5, "order_by": []string{"version_number DESC"}, "page_token": ""}},
	{"GET", versions20 + "get-download-uri", fields{"name": "MODEL", "version": "1"}},
	{"GET", "/model-versions/get-artifact", fields{"name": "MODEL", "version": "1", "path": "file.txt"}},
	{"POST", versions20 + "set-tag", fields{"name": "MODEL", "version": "1", "key": "k", "value": "v"}},
	{"DELETE", versions20 + "delete-tag", fields{"name": "MODEL", "version": "1", "key": "k"}},
	{"POST", versions20 + "transition-stage", fields{
		"name": "MODEL", "version": "1", "stage": "Production", "archive_existing_versions": true, "expected_version": 0, "override": false, "reason": "r",
	}},
	{"POST", api20 + "databricks/model-versions/transition-stage", fields{"name": "MODEL", "version": "1", "stage": "Production", "comment": "c"}},
	{"POST", models20 + "get-latest-versions", fields{"name": "MODEL", "stages": []string{"Production"}}},
	{"GET", models20 + "get-latest-versions", fields{"name": "MODEL", "stages": []string{"Production"}}},
	{"POST", models20 + "alias", fields{"name": "MODEL", "alias": "next", "version": "1"}},
	{"GET", models20 + "alias", fields{"name": "MODEL", "alias": "next"}},
	{"DELETE", models20 + "alias", fields{"name": "MODEL", "alias": "next"}},
	{"GET", "/api/v1/models/MODEL/history", fields{"at": "2030-01-01T00:00:00Z"}},
	{"GET", "/api/v1/models/MODEL/audit", fields{"max_results": 5, "page_token": ""}},
	{"GET", "/api/v1/models/MODEL/lineage", fields{"version": "1"}},
	{"GET", "/api/v1/models/MODEL/files", fields{"version": "1"}},
	{"GET", "/api/v1/models/MODEL/diff", fields{"a": "1", "b": "1"}},
	{"POST", "/api/v1/models/MODEL/withdraw", fields{"reason": "r", "expected_version": 1}},
	{"POST", "/api/v1/models/MODEL/rollback", fields{"version": 1, "reason": "r", "expected_version": 0}},
	{"POST", "/api/v1/models/GATED/rollout", fields{
		"version": 2, "mode": "canary", "plan": "canary 5% -> 100%", "watch": fields{"requests": 1000, "duration": "1h"}, "expected_version": 1, "override": true, "reason": "r",
	}},
	{"GET", "/api/v1/models/GATED/rollout", nil},
	{"POST", "/api/v1/models/GATED/rollout/abort", fields{"expected_revision": 1, "reason": "r"}},
	{"POST", "/api/v1/models/GATED/rollout", fields{"version": "2", "mode": "shadow"}},
	{"POST", "/api/v1/models/GATED/rollout/promote", fields{"expected_revision": "3", "reason": "r"}},
	{"GET", "/api/v1/models/MODEL/gates", nil},
	{"PUT", "/api/v1/models/EMPTY/gates", fields{"staging": []fields{{"metric": "roc_auc", "min": 0.5}}, "promotion": "manual", "target": "y", "positive": "1"}},
	{"DELETE", "/api/v1/models/EMPTY/gates", nil},
	{"POST", "/api/v1/gc", fields{"dry_run": true}},
	{"DELETE", versions20 + "delete", fields{"name": "MODEL", "version": "1"}},
	{"POST", models20 + "rename", fields{"name": "MODEL", "new_name": "MODEL of another name"}},
	{"DELETE", models20 + "delete", fields{"name": "EMPTY"}},
	{"POST", api20 + "logged-models", fields{
		"experiment_id": "EXP", "name": "n", "model_type": "t", "source_run_id": "RUN", "params": keysAndValues("a", "b"), "tags": keysAndValues("a", "b"),
	}},
	{"GET", api20 + "logged-models/KEPT", nil},
	{"PATCH", api20 + "logged-models/KEPT", fields{"status": "LOGGED_MODEL_READY"}},
	{"PATCH", api20 + "logged-models/KEPT/tags", fields{"tags": keysAndValues("k", "v")}},
	{"DELETE", api20 + "logged-models/KEPT/tags/k", nil},
	{"POST", api20 + "logged-models/KEPT/params", fields{"params": keysAndValues("p", "v")}},
	{"GET", api20 + "logged-models/KEPT/artifacts/directories", fields{"artifact_directory_path": "a"}},
	{"POST", api20 + "logged-models/search", fields{
		"experiment_ids": []string{"EXP"}, "filter": "params.p = 'v'", "max_results": 5, "order_by": []fields{{"field_name": "creation_time", "ascending": true}},
		"page_token": "",
	}},
	{"DELETE", api20 + "logged-models/KEPT", nil},

	{"POST", api20 + "runs/delete", fields{"run_id": "RUN"}},
	{"POST", api20 + "runs/restore", fields{"run_id": "RUN"}},
}

func keysAndValues(all ...string) []fields {
	var out []fields
	for i := 0; i < len(all); i += 2 {
		out = append(out, fields{"key": all[i], "value": all[i+1]})
	}
	return out
}

// hostile is what a field may be that it should not.
var hostile = []any{
	nil, "", true, -1, 1.5, json.RawMessage(`9223372036854775808`), json.RawMessage(`1e999`), []any{nil}, fields{},
	[]any{fields{"key": nil, "value": fields{}}}, "\x00\u202e\ufffd", "../../etc/passwd", strings.Repeat("長", 3000), "'; DROP TABLE runs; --", "%%%",
	strings.Repeat("metrics.a > 1 AND ", 2000) + "metrics.b > 1", strings.Repeat("0", 32),
}

// target is the handler alone, with what the calls name, and what tells whether anything was stored.
type target struct {
	t       testing.TB
	s       *running
	handler *api
	names   *strings.Replacer
	last    *[2]uint64 // where the streams ended after the last request
}

func newTarget(t testing.TB) *target {
	t.Helper()
	var a *api
	s := newRig(t).start(func(c *registry.Config) {
		c.Mounts = []registry.Mount{func(s *registry.Service, mux *http.ServeMux) (err error) {
			if a, err = newAPI(s, callTime); err == nil {
				a.mount(mux)
			}
			return err
		}}
	})
	exp, other := s.newExperiment("target"), s.newExperiment("other")
	run := s.newRun(exp)
	s.newModel("MODEL")
	s.newModel("EMPTY")
	s.gatedPair("GATED")
	logged := s.call("POST", api20+"logged-models", fields{"experiment_id": exp, "name": "logged"})
	id := logged["model"].(fields)["info"].(fields)["model_id"].(string)
	g := &target{t: t, s: s, handler: a, last: new([2]uint64), names: strings.NewReplacer("EXP", exp, "OTHER", other, "RUN", run, "KEPT", id)}
	*g.last = g.stored()
	return g
}

// stored is where the streams end.
func (g *target) stored() [2]uint64 {
	g.t.Helper()
	tracking, err := g.s.Bus().LastSequence(g.t.Context(), events.Tracking)
	require.NoError(g.t, err)
	lifecycle, err := g.s.Bus().LastSequence(g.t.Context(), events.Lifecycle)
	require.NoError(g.t, err)
	return [2]uint64{tracking, lifecycle}
}

// send gives the handler a request, and checks what holds for every one: an answer in time, that is not the server's fault, and if it refuses then nothing
// was stored.
func (g *target) send(method, path string, body string) int {
	g.t.Helper()
	u, err := url.Parse(g.names.Replace(path))
	if err != nil {
		return 0 // no client can send it
	}
	what := fmt.Sprintf("%s %s %.300q", method, path, body)
	ctx, cancel := context.WithTimeout(access.With(g.t.Context(), access.Principal{Name: "fuzz", Role: access.Admin}), 20*time.Second)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader(g.names.Replace(body)))
	r.Method, r.URL, r.RequestURI = method, u, u.RequestURI()
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	require.NoError(g.t, ctx.Err(), "no answer in time: %s", what)
	now := *g.last
	if method != http.MethodGet { // what a GET stores shows at the next refusal
		now = g.stored()
		defer func() { *g.last = now }()
	}
	require.True(g.t, w.Code < 500 || w.Code == http.StatusNotImplemented, "%s answered %d %s", what, w.Code, w.Body)
	if w.Code >= 400 {
		require.Equal(g.t, *g.last, now, "%s answered %d %s, and stored something", what, w.Code, w.Body)
		var refusal wireError
		require.NoError(g.t, json.Unmarshal(w.Body.Bytes(), &refusal), "%s answered %s", what, w.Body)
		require.NotEmpty(g.t, refusal.Code, what)
	}
	return w.Code
}

// sendFields puts fields where the method has them.
func (g *target) sendFields(method, path string, in fields) int {
	g.t.Helper()
	if method != "GET" || in == nil {
		body := ""
		if in != nil {
			text, err := json.Marshal(in)
			require.NoError(g.t, err)
			body = string(text)
		}
		return g.send(method, path, body)
	}
	q := url.Values{}
	for name, value := range in {
		switch v := value.(type) {
		case []string:
			q[name] = v
		case nil:
		default:
			q.Set(name, fmt.Sprint(v))
		}
	}
	return g.send(method, path+"?"+q.Encode(), "")
}

func TestEveryRouteAnswersAGoodCall(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	called := map[string]bool{}
	for _, c := range calls {
		f, err := g.handler.router.find(httptest.NewRequest(c.method, c.path, nil))
		require.NoError(t, err, "%s %s", c.method, c.path)
		called[c.method+" "+f.endpoint.label] = true
		want := http.StatusOK
		if strings.Contains(c.path, "/mpu/") {
			want = http.StatusNotImplemented
		}
		require.Equal(t, want, g.sendFields(c.method, c.path, c.in), "%s %s", c.method, c.path)
	}
	for _, e := range slices.Concat(slices.Collect(maps.Values(g.handler.router.fixed)), g.handler.router.shaped) {
		for method := range e.methods {
			require.True(t, called[method+" "+e.label], "no call of %s %s", method, e.label)
		}
	}
}

func TestHostileFieldsAreRefusedWithoutATrace(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	for _, c := range calls {
		for _, name := range slices.Sorted(maps.Keys(c.in)) {
			for _, bad := range hostile {
				in := maps.Clone(c.in)
				in[name] = bad
				g.sendFields(c.method, c.path, in)
			}
			in := maps.Clone(c.in)
			delete(in, name)
			g.sendFields(c.method, c.path, in)
		}
	}
	// whatever was deleted on the way can be restored, and whatever was left can be read
	require.Equal(t, http.StatusOK, g.sendFields("GET", api20+"runs/get", fields{"run_id": "RUN"}))
}

func TestHostilePathsOfFiles(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	for _, path := range []string{
		"", "/", "..", "a/../b", "a/..", "../a", ".", "./a", "a//b", "a/", "%2e%2e/a", "a%2f..%2fb", "%00", "a%0Ab", "a%5c..%5cb", "%ff%fe", "a%2F%2Fb",
		strings.Repeat("a/", 2000) + "a", strings.Repeat("a", 300), strings.Repeat("%E9%95%B7", 100),
	} {
		require.Equal(t, http.StatusBadRequest, g.send("PUT", proxy+path, "content"), "PUT %s", path)
		code := g.send("DELETE", proxy+path, "")
		require.True(t, code == http.StatusBadRequest || code == http.StatusNotFound, "DELETE %s answered %d", path, code)
		code = g.send("GET", proxy+path, "")
		require.True(t, code == http.StatusBadRequest || code == http.StatusNotFound, "GET %s answered %d", path, code)
	}
	// through the server in front, too, which sends nobody elsewhere
	before := g.stored()
	for _, path := range []string{"a/../b", "../../b", "a//b", "a/./b"} {
		status, out := g.s.do("PUT", proxy+path, "content")
		require.Equal(t, http.StatusBadRequest, status, "%s: %s", path, out)
	}
	require.Equal(t, before, g.stored())
}

func FuzzHandler(f *testing.F) {
	for _, c := range calls {
		text, err := json.Marshal(c.in)
		require.NoError(f, err)
		f.Add(c.method, c.path, string(text))
		if c.method == "GET" {
			f.Add(c.method, c.path+"?run_id=RUN&experiment_id=EXP&path=a&metric_key=m", "")
		}
	}
	f.Add("BREW", "/api/2.0/mlflow//..//%2f?%%%", "\xff")
	f.Add("DELETE", api20+"registered-models/delete?name=x", "{")
	g := newTarget(f)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		own := *g
		own.t = t
		own.send(method, path, body)
	})
}
