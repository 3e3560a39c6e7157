package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus/bustest"
)

// python logs and registers models as an MLflow client does.
type python struct {
	t    *testing.T
	addr string
}

// call sends a request that has to succeed and decodes the answer.
func (p python) call(method, path string, body any) map[string]json.RawMessage {
	p.t.Helper()
	var raw []byte
	switch body := body.(type) {
	case nil:
	case string:
		raw = []byte(body)
	default:
		var err error
		raw, err = json.Marshal(body)
		require.NoError(p.t, err)
	}
	req, err := http.NewRequest(method, "http://"+p.addr+path, bytes.NewReader(raw))
	require.NoError(p.t, err)
	resp, err := client.Do(req)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	require.Equal(p.t, http.StatusOK, resp.StatusCode, "%s %s: %s", method, path, answer)
	var out map[string]json.RawMessage
	require.NoError(p.t, json.Unmarshal(answer, &out), "%s", answer)
	return out
}

// object is a JSON object to be sent.
type object map[string]any

// log makes a finished run that holds a model's files below "model" and others at its top, and returns its id.
func (p python) log(model, top map[string]string) string {
	p.t.Helper()
	const api = "/api/2.0/mlflow/"
	var run struct{ Info struct{ Run_ID string } }
	require.NoError(p.t, json.Unmarshal(p.call("POST", api+"runs/create", object{"experiment_id": "0", "user_id": "ann", "start_time": 1_760_000_000_000})["run"], &run))
	id := run.Info.Run_ID
	put := func(path, content string) {
		p.call("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/"+id+"/artifacts/"+path, content)
	}
	for path, content := range model {
		put("model/"+path, content)
	}
	for path, content := range top {
		put(path, content)
	}
	p.call("POST", api+"runs/update", object{"run_id": id, "status": "FINISHED", "end_time": 1_760_000_009_000})
	return id
}

// register makes a version of a run's model and returns its number.
func (p python) register(name, run string) string {
	p.t.Helper()
	var v struct{ Version, Status string }
	require.NoError(p.t, json.Unmarshal(p.call("POST", "/api/2.0/mlflow/model-versions/create",
		object{"name": name, "run_id": run, "source": "mlflow-artifacts:/0/" + run + "/artifacts/model"})["model_version"], &v))
	require.Equal(p.t, "READY", v.Status)
	return v.Version
}

// promote moves a version to Production and archives the others that are there.
func (p python) promote(name, version string) {
	p.t.Helper()
	p.call("POST", "/api/2.0/mlflow/model-versions/transition-stage",
		object{"name": name, "version": version, "stage": "Production", "archive_existing_versions": true})
}

// folderOf reads a model's folder.
func folderOf(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(root, p))
		files[p] = string(data)
		return err
	}))
	return files
}

// maker is what the library that trained a model predicts.
type maker struct {
	Records    []json.RawMessage
	Prediction []float64
}

// agree asks an instance for all records at once and compares the scores.
func (m maker) agree(t *testing.T, addr string, threshold float64) {
	t.Helper()
	list, err := json.Marshal(m.Records)
	require.NoError(t, err)
	resp, err := client.Post("http://"+addr+"/predict", "application/json", bytes.NewReader(list))
	require.NoError(t, err)
	defer resp.Body.Close()
	var answers []struct {
		Probability float64 `json:"churn_probability"`
		Threshold   float64
		Label       string
	}
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answers))
	require.Len(t, answers, len(m.Prediction))
	for i, a := range answers {
		require.InDelta(t, m.Prediction[i], a.Probability, 1e-6, "record %d", i)
		require.Equal(t, threshold, a.Threshold)
	}
}

// cancer is LightGBM's model of the test data of the module leaves, with a signature, an example, a holdout, and LightGBM's predictions.
func cancer(t *testing.T) (files map[string]string, holdout string, want maker) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/dmitryikh/leaves").Output()
	if err != nil {
		t.Skipf("where the module leaves is can't be asked: %v", err)
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "testdata", name))
		if err != nil {
			t.Skipf("the module leaves has no such test data here: %v", err)
		}
		return string(data)
	}
	var inputs, names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("measure %d", i))
		inputs = append(inputs, fmt.Sprintf(`{"type": "double", "name": %q, "required": true}`, names[i]))
	}
	for _, p := range strings.Fields(read("lg_dart_breast_cancer_true_predictions.txt")) {
		v, err := strconv.ParseFloat(p, 64)
		require.NoError(t, err)
		want.Prediction = append(want.Prediction, v)
	}
	holdout = strings.Join(names, ",") + ",ill\n"
	var rows []string
	for line := range strings.Lines(read("breast_cancer_test.tsv")) {
		values, record := strings.Fields(line), object{}
		for k, v := range values {
			record[names[k]] = json.Number(v)
		}
		text, err := json.Marshal(record)
		require.NoError(t, err)
		holdout += strings.Join(values, ",") + "," + strconv.FormatBool(want.Prediction[len(rows)] > 0.5) + "\n"
		want.Records, rows = append(want.Records, text), append(rows, "["+strings.Join(values, ",")+"]")
	}
	return map[string]string{
		"model.lgb":          read("lg_dart_breast_cancer.model"),
		"input_example.json": `{"data": [` + strings.Join(rows[:10], ",") + `]}`,
		"MLmodel": "flavors:\n  lightgbm:\n    data: model.lgb\n    model_class: lightgbm.basic.Booster\nsaved_input_example_info:\n" +
			"  artifact_path: input_example.json\nsignature:\n  inputs: '[" + strings.Join(inputs, ", ") + "]'\n",
	}, holdout, want
}

// loopback returns a free address of this machine.
func loopback(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// page returns what a service answers a GET with, which must be 200.
func page(addr, path string) (string, error) {
	resp, err := client.Get("http://" + addr + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// TestModelsFromPythonAreServed registers what Python trained through the MLflow API and has each of the two programs that serve answer with it: an
// XGBoost model by stages alone, and a LightGBM model through gates.
func TestModelsFromPythonAreServed(t *testing.T) {
	t.Parallel()
	const xgb, lgb = "Отток клиентов / XGBoost", "breast_cancer"
	server, dir := bustest.Start(t), t.TempDir()
	flags := func(program []string, more ...string) []string {
		return append(append(program, "--nats", server.URL(), "--store-bytes", strconv.FormatInt(server.StoreBytes(), 10)), more...)
	}
	p := python{t, loopback(t)}
	launch(t, dir, "registry", flags([]string{churn(t), "registry"}, "--registry-addr", p.addr)...)
	await(t, patience, "the registry is ready", func() error {
		_, err := page(p.addr, "/readyz")
		return err
	})
	one, other := loopback(t), loopback(t)
	launch(t, dir, "one", flags([]string{churn(t), "inference"}, "--model", xgb, "--inference-addr", one, "--cache-dir", filepath.Join(dir, "one"))...)
	launch(t, dir, "other", flags([]string{program(t, "inference")}, "--model", lgb, "--addr", other, "--cache-dir", filepath.Join(dir, "other"))...)

	// Stages are labels, as in MLflow.
	root := filepath.Join("..", "..", "model", "imported", "testdata", "xgboost")
	var want maker
	scores, err := os.ReadFile(filepath.Join(root, "categories.scores.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(scores, &want))
	files := folderOf(t, filepath.Join(root, "categories"))
	p.call("POST", "/api/2.0/mlflow/registered-models/create", object{"name": xgb})
	require.Equal(t, "1", p.register(xgb, p.log(files, nil)))
	p.promote(xgb, "1")
	serves(t, one, 1, want.Records[0])
	want.agree(t, one, 0.42)

	// A version that nobody can serve takes its place, and changes no answer.
	delete(files, "model.json")
	files["model.pkl"], files["MLmodel"] = "\x80\x04", strings.ReplaceAll(strings.ReplaceAll(files["MLmodel"], "model.json", "model.pkl"), "xgboost:", "sklearn:")
	require.Equal(t, "2", p.register(xgb, p.log(files, nil)))
	p.promote(xgb, "2")
	await(t, patience, "the instance says what it leaves alone", func() error {
		health, err := page(one, "/health")
		if err == nil && !strings.Contains(health, "only lightgbm and xgboost models can be served") {
			err = errors.New("not yet")
		}
		return err
	})
	require.Equal(t, 1, serves(t, one, 1, want.Records[0]).Version)
	want.agree(t, one, 0.42)
	p.promote(xgb, "1")

	// Gates are the registry's own: the holdout is scored, and what passes is promoted.
	files, holdout, want := cancer(t)
	p.call("POST", "/api/2.0/mlflow/registered-models/create", object{"name": lgb})
	p.call("PUT", "/api/v1/models/"+lgb+"/gates", `{"staging": [{"metric": "roc_auc", "min": 0.9}], "production": {"metric": "roc_auc"},
		"promotion": "auto", "target": "ill", "positive": "true", "signature": "compatible"}`)
	require.Equal(t, "1", p.register(lgb, p.log(files, map[string]string{"holdout.csv": holdout})))
	serves(t, other, 1, want.Records[0])
	want.agree(t, other, 0.5)
	b := connect(t, server.URL())
	require.Zero(t, messages(t, b, string(events.Dead)), "dead letters")
}
