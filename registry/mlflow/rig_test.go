package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry"
)

// rig is a server of NATS with a store of artifacts.
type rig struct {
	t     testing.TB
	srv   *bustest.Server
	bus   *bus.Bus
	store artifact.Store
}

func newRig(t testing.TB) *rig {
	t.Helper()
	srv := bustest.Start(t)
	b := srv.Connect(t)
	store, err := objstore.Open(t.Context(), b.JetStream(), objstore.DefaultConfig())
	require.NoError(t, err)
	return &rig{t: t, srv: srv, bus: b, store: store}
}

// running is a registry with this API that runs until stop or the end of the test.
type running struct {
	*registry.Service
	t    testing.TB
	base string
	stop func()
}

// start runs a registry on a connection of its own, and returns once it is ready.
func (r *rig) start(change ...func(*registry.Config)) *running {
	r.t.Helper()
	c := registry.DefaultConfig()
	c.Spec, c.Addr, c.Store, c.Log = spec.Telco(), "127.0.0.1:0", r.store, slog.New(slog.DiscardHandler)
	c.Mounts = []registry.Mount{Mount}
	for _, f := range change {
		f(&c)
	}
	if c.Bus == nil {
		c.Bus = r.srv.Dial(r.t, bus.Config{Name: "registry", Source: "registry/test"})
	}
	s, err := registry.New(c)
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	r.t.Cleanup(stop)
	select {
	case <-s.Tracking().Ready():
	case err := <-done:
		done <- err
		require.NoError(r.t, err)
	}
	return &running{Service: s, t: r.t, base: "http://" + s.Addr(), stop: stop}
}

// do sends a request, with a body that is a string, bytes, a reader or what is encoded as JSON, and returns the status and the body of the answer.
func (s *running) do(method, path string, body any) (int, []byte) {
	s.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case io.Reader:
		in = b
	case string:
		in = strings.NewReader(b)
	case []byte:
		in = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		require.NoError(s.t, err)
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, in)
	require.NoError(s.t, err)
	res, err := http.DefaultTransport.RoundTrip(req) // redirects are answers
	require.NoError(s.t, err)
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res.StatusCode, out
}

// fields is a JSON object.
type fields = map[string]any

// call sends a request that must succeed, and decodes its answer.
func (s *running) call(method, path string, body any) fields {
	s.t.Helper()
	status, out := s.do(method, path, body)
	require.Equal(s.t, http.StatusOK, status, "%s %s: %s", method, path, out)
	var answer fields
	require.NoError(s.t, json.Unmarshal(out, &answer))
	return answer
}

// refused sends a request that must be answered with a status and an error_code.
func (s *running) refused(method, path string, body any, status int, code string) {
	s.t.Helper()
	got, out := s.do(method, path, body)
	require.Equal(s.t, status, got, "%s %s: %s", method, path, out)
	var answer wireError
	require.NoError(s.t, json.Unmarshal(out, &answer))
	require.Equal(s.t, code, string(answer.Code), "%s %s: %s", method, path, out)
	require.NotEmpty(s.t, answer.Message)
}

const (
	api20 = "/api/2.0/mlflow/"
	proxy = "/api/2.0/mlflow-artifacts/artifacts/"
)

// newExperiment returns the id of a new experiment.
func (s *running) newExperiment(name string) string {
	s.t.Helper()
	return s.call("POST", api20+"experiments/create", fields{"name": name})["experiment_id"].(string)
}

// newRun returns the id of a new run.
func (s *running) newRun(experiment string, tags ...fields) string {
	s.t.Helper()
	answer := s.call("POST", api20+"runs/create", fields{"experiment_id": experiment, "start_time": 1700000000000, "tags": tags})
	return answer["run"].(fields)["info"].(fields)["run_id"].(string)
}

// run returns a run as runs/get shows it.
func (s *running) run(id string) fields {
	s.t.Helper()
	return s.call("GET", api20+"runs/get?run_id="+id, nil)["run"].(fields)
}

// keyedValues returns the values of a list of keys and values.
func keyedValues(list any) map[string]string {
	out := map[string]string{}
	items, _ := list.([]any)
	for _, item := range items {
		f := item.(fields)
		out[f["key"].(string)] = fmt.Sprint(f["value"])
	}
	return out
}
