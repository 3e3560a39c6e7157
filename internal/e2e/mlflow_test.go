//go:build processes

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fields is a JSON object.
type fields = map[string]any

// mlflow calls the registry's API for MLflow clients.
type mlflow struct {
	addr string
}

const api = "/api/2.0/mlflow/"

// send sends one request and returns the answer, which must be 200. Whatever else happens is an error that says nothing of whether the call took effect.
func (m mlflow) send(method, path string, body any) ([]byte, error) {
	var raw []byte
	switch body := body.(type) {
	case nil:
	case []byte:
		raw = body
	default:
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequest(method, "http://"+m.addr+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = &refusal{method + " " + path, resp.StatusCode, string(answer)}
	}
	return answer, err
}

// refusal is an answer with another status than 200.
type refusal struct {
	call   string
	status int
	answer string
}

// Error implements error.
func (r *refusal) Error() string { return fmt.Sprintf("%s: %d: %s", r.call, r.status, r.answer) }

// must is send for a call that has to succeed; it returns the answer as an object.
func (m mlflow) must(t *testing.T, method, path string, body any) fields {
	t.Helper()
	answer, err := m.send(method, path, body)
	require.NoError(t, err)
	var out fields
	require.NoError(t, json.Unmarshal(answer, &out), "%s", answer)
	return out
}

func (m mlflow) post(t *testing.T, path string, body fields) fields {
	t.Helper()
	return m.must(t, http.MethodPost, api+path, body)
}

// newRun creates a run and returns its id.
func (m mlflow) newRun(t *testing.T, experiment, name string) string {
	t.Helper()
	run := m.post(t, "runs/create", fields{"experiment_id": experiment, "run_name": name, "start_time": 1_760_000_000_000, "user_id": "ann",
		"tags": []fields{{"key": "mlflow.source.type", "value": "LOCAL"}}})
	return run["run"].(fields)["info"].(fields)["run_id"].(string)
}

// upload puts a file of a run into the proxy.
func (m mlflow) upload(t *testing.T, experiment, run, path, content string) {
	t.Helper()
	m.must(t, http.MethodPut, "/api/2.0/mlflow-artifacts/artifacts/"+experiment+"/"+run+"/artifacts/"+path, []byte(content))
}

// register makes a version of what is below a path of a run and returns its number.
func (m mlflow) register(t *testing.T, name, experiment, run, path string) string {
	t.Helper()
	v := m.post(t, "model-versions/create", fields{"name": name, "run_id": run, "source": "mlflow-artifacts:/" + experiment + "/" + run + "/artifacts/" + path})
	return v["model_version"].(fields)["version"].(string)
}

// awaitReady returns once a registry answers that it is ready.
func (m mlflow) awaitReady(t *testing.T) {
	t.Helper()
	await(t, patience, "the registry is ready", func() error {
		_, err := get("http://" + m.addr + "/readyz")
		return err
	})
}

// startTracking starts a NATS server and a registry, and returns it ready.
func startTracking(t *testing.T) (*loop, mlflow) {
	t.Helper()
	l := newLoop(t)
	m := mlflow{fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	l.startRegistry(t, m.addr)
	m.awaitReady(t)
	return l, m
}

// untilAnswered sends a request again and again, as clients of MLflow do where no answer comes or one of a server in trouble.
// It returns how often it was sent.
func (m mlflow) untilAnswered(method, path string, body any) (sent int, err error) {
	for began := time.Now(); ; {
		_, err := m.send(method, path, body)
		sent++
		var no *refusal
		if err == nil || errors.As(err, &no) && no.status < 500 || time.Since(began) > patience {
			return sent, err
		}
		<-time.After(20 * time.Millisecond) // between two tries
	}
}
