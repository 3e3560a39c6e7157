package mlflow

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
)

func TestWithoutNATSEveryCallEndsInTimeAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const limit = 400 * time.Millisecond
	store, err := objstore.Open(t.Context(), r.bus.JetStream(), objstore.Config{RetryFor: limit})
	require.NoError(t, err)
	s := r.start(func(c *registry.Config) {
		c.Store = store
		c.Mounts = []registry.Mount{func(s *registry.Service, mux *http.ServeMux) error {
			a, err := newAPI(s, limit)
			if err == nil {
				a.mount(mux)
			}
			return err
		}}
	})
	run := s.newRun("0")
	s.call("PUT", proxy+"shared/f", "content")
	r.srv.Stop(t)
	for _, c := range []struct {
		method, path string
		in           any
	}{
		{"GET", api20 + "runs/get?run_id=" + run, nil},
		{"POST", api20 + "runs/search", fields{"experiment_ids": []string{"0"}}},
		{"POST", api20 + "runs/log-batch", fields{"run_id": run, "tags": keysAndValues("a", "b")}},
		{"POST", api20 + "experiments/create", fields{"name": "x"}},
		{"GET", api20 + "metrics/get-history?metric_key=m&run_id=" + run, nil},
		{"PUT", proxy + "shared/f", "other"},
		{"GET", proxy + "shared/f", nil},
	} {
		began := time.Now()
		s.refused(c.method, c.path, c.in, http.StatusServiceUnavailable, "TEMPORARILY_UNAVAILABLE")
		require.Less(t, time.Since(began), 10*limit, "%s %s", c.method, c.path)
	}
	s.refused("POST", api20+"runs/log-metric", fields{"run_id": run}, 400, "INVALID_PARAMETER_VALUE") // what is wrong is wrong without NATS too
	r.srv.Resume(t)
	require.Eventually(t, func() bool {
		status, _ := s.do("POST", api20+"runs/set-tag", fields{"run_id": run, "key": "after", "value": "x"})
		return status == http.StatusOK
	}, 20*time.Second, 20*time.Millisecond)
	status, out := s.do("GET", proxy+"shared/f", nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "content", string(out))
}

func TestRolesOfTheCalls(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users.yaml")
	var users strings.Builder
	users.WriteString("users:\n")
	for _, role := range access.Roles() {
		users.WriteString("  - {name: " + string(role) + "er, role: " + string(role) + ", token_sha256: " + access.TokenDigest("token-of-"+string(role)) + "}\n")
	}
	require.NoError(t, os.WriteFile(file, []byte(users.String()), 0o600))
	policy, err := access.Load(file)
	require.NoError(t, err)
	s := newRig(t).start(func(c *registry.Config) { c.Access = policy })
	send := func(role access.Role, method, path, body string) (int, string) {
		req, err := http.NewRequest(method, s.base+path, strings.NewReader(body))
		require.NoError(t, err)
		if role != "" {
			req.Header.Set("Authorization", "Bearer token-of-"+string(role))
		}
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		out, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(out)
	}
	for _, test := range []struct {
		method, path, body string
		least              access.Role
	}{
		{"GET", api20 + "experiments/get?experiment_id=0", "", access.Read},
		{"POST", api20 + "runs/search", `{"experiment_ids": ["0"]}`, access.Read},
		{"POST", api20 + "runs/create", `{"experiment_id": "0"}`, access.Log},
		{"PUT", proxy + "shared/f", "x", access.Log},
		{"GET", proxy + "shared/f", "", access.Read},
		{"DELETE", proxy + "shared/f", "", access.Log},
		{"PUT", proxy + "shared/f", "x", access.Log},
	} {
		status, out := send("", test.method, test.path, test.body)
		require.Equal(t, http.StatusUnauthorized, status, "%s: %s", test.path, out)
		require.Contains(t, out, "UNAUTHENTICATED")
		for _, role := range access.Roles() {
			status, out := send(role, test.method, test.path, test.body)
			if role.Includes(test.least) {
				require.Contains(t, []int{http.StatusOK, http.StatusNotFound}, status, "%s %s: %s", role, test.path, out)
				continue
			}
			require.Equal(t, http.StatusForbidden, status, "%s %s: %s", role, test.path, out)
			require.Contains(t, out, "PERMISSION_DENIED")
		}
	}
}

func TestBothPrefixesAnswerTheSame(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	for _, path := range []string{"mlflow/experiments/get?experiment_id=0", "mlflow-artifacts/artifacts?path=", "mlflow/nothing", "mlflow/runs/create"} {
		status, out := s.do("GET", "/api/2.0/"+path, nil)
		other, same := s.do("GET", "/ajax-api/2.0/"+path, nil)
		require.Equal(t, status, other, path)
		require.Equal(t, strings.ReplaceAll(string(out), "/api/", "/ajax-api/"), strings.ReplaceAll(string(same), "/api/", "/ajax-api/"))
	}
	status, _ := s.do("GET", "/health", nil)
	require.Equal(t, http.StatusOK, status)
}

func TestCallsAreCounted(t *testing.T) {
	t.Parallel()
	s := newRig(t).start(func(c *registry.Config) { c.Metrics = prometheus.NewRegistry() })
	s.newRun("0")
	s.refused("POST", api20+"runs/create", fields{"experiment_id": "none"}, 404, "RESOURCE_DOES_NOT_EXIST")
	s.refused("GET", "/api/2.0/mlflow/any/"+strings.Repeat("x", 50), nil, 404, "ENDPOINT_NOT_FOUND")
	_, out := s.do("GET", "/metrics", nil)
	for _, line := range []string{
		`churn_mlflow_requests_total{code="200",route="/mlflow/runs/create"} 1`,
		`churn_mlflow_requests_total{code="404",route="/mlflow/runs/create"} 1`,
		`churn_mlflow_requests_total{code="404",route="unknown"} 1`,
		`churn_mlflow_request_duration_seconds_count{route="/mlflow/runs/create"} 2`,
	} {
		require.Contains(t, string(out), line)
	}
}

// alone is an api without a registry, whose one route does what the test says.
func alone(t *testing.T, op operation) *api {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	a := &api{log: slog.New(slog.DiscardHandler), metrics: m, callTime: 50 * time.Millisecond}
	a.handle("GET", "/x", access.Read, op)
	return a
}

func TestEveryEndOfACallIsAnswered(t *testing.T) {
	for _, test := range []struct {
		name   string
		op     operation
		status int
		body   string
	}{
		{"nothing", func(*call) (any, error) { return nil, nil }, 200, `{}`},
		{"a value", func(*call) (any, error) { return fields{"a": 1}, nil }, 200, `{"a": 1}`},
		{"a refusal", func(*call) (any, error) { return nil, fault.New(fault.Conflict, "version 3 is there") }, 409,
			`{"error_code": "RESOURCE_CONFLICT", "message": "version 3 is there"}`},
		{"time is up", func(c *call) (any, error) { <-c.ctx.Done(); return nil, c.ctx.Err() }, 503,
			`{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "no answer in time from what the registry stands on; the call may or may not have taken effect"}`},
		{"a fault of ours", func(*call) (any, error) { return nil, fault.New(fault.Internal, "secret detail") }, 500,
			`{"error_code": "INTERNAL_ERROR", "message": "internal error; the log of the registry says more"}`},
		{"a panic", func(*call) (any, error) { panic("secret detail") }, 500,
			`{"error_code": "INTERNAL_ERROR", "message": "internal error; the log of the registry says more"}`},
		{"damaged content", func(*call) (any, error) { return nil, storeFault(artifact.ErrCorrupt, "p") }, 500,
			`{"error_code": "INTERNAL_ERROR", "message": "internal error; the log of the registry says more"}`},
		{"a store that is away", func(*call) (any, error) { return nil, storeFault(io.ErrUnexpectedEOF, "p") }, 503,
			`{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "the artifact store can't be asked for p now; the log of the registry says why"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", "/api/2.0/x", nil)
			alone(t, test.op).ServeHTTP(w, r.WithContext(access.With(r.Context(), access.Principal{Name: "a", Role: access.Read})))
			require.Equal(t, test.status, w.Code)
			require.JSONEq(t, test.body, w.Body.String())
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		})
	}
}

func TestAnAnswerThatFailsHalfWayIsCut(t *testing.T) {
	a := alone(t, func(c *call) (any, error) {
		_, err := c.w.Write([]byte("half"))
		require.NoError(t, err)
		return nil, fault.New(fault.Unavailable, "gone")
	})
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/api/2.0/x", nil)
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		a.ServeHTTP(w, r.WithContext(access.With(r.Context(), access.Principal{Name: "a", Role: access.Read})))
	})
	require.Equal(t, "half", w.Body.String())
}
