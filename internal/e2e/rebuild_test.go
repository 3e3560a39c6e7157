//go:build processes

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/synth"
)

// question is a call that only reads.
type question struct {
	method, path string
	body         fields
}

// TestEverythingIsRebuiltFromTheStreams takes every bucket but that of the artifacts away, every consumer with what it knows, and the registry's
// memory: what is left are the streams. The answers are the same bytes.
func TestEverythingIsRebuiltFromTheStreams(t *testing.T) {
	t.Parallel()
	l, m := startTracking(t)
	writeData(t, l.data, synth.Config{Rows: 2000, Seed: 1, Regime: synth.Original})
	l.startTrainer(t, "127.0.0.1:0")
	b := connect(t, l.url)
	experiment, runs, questions := m.logs(t)
	questions = append(questions, m.registers(t, experiment, runs[:3])...)
	await(t, patience, "the trainer's first version is promoted", func() error {
		f := lifecycle(t, b)
		if err := f.unfinished(0); err != nil {
			return err
		}
		if f.production().Version != 1 {
			return fmt.Errorf("%d versions", len(f.versions))
		}
		return nil
	})
	l.trainer.stop(t)
	questions = append(questions, m.questionsOfTheTrainer(t, b)...)

	before := m.answers(t, questions)
	l.registry.stop(t)
	dropped := dropBuckets(t, b)
	require.Contains(t, dropped, "KV_BUS_SUSPECTS")
	require.Contains(t, dropped, "KV_trainer")
	l.registry.start(t)
	m.awaitReady(t)
	after := m.answers(t, questions)
	require.Equal(t, len(before), len(after))
	for i := range before {
		require.Equal(t, before[i], after[i])
	}
	l.registry.stop(t)
}

// answers returns each question, and the bytes it is answered with, on all pages.
func (m mlflow) answers(t *testing.T, questions []question) []string {
	t.Helper()
	var all []string
	for _, q := range questions {
		for {
			var body any
			if q.body != nil {
				body = q.body
			}
			raw, err := m.send(q.method, q.path, body)
			require.NoError(t, err)
			require.NotEqual(t, "{}", string(raw), "%s says nothing", q.path)
			all = append(all, fmt.Sprintf("%s %s %v: %s", q.method, q.path, q.body, raw))
			var page struct {
				Next string `json:"next_page_token"`
			}
			if q.body == nil || json.Unmarshal(raw, &page) != nil || page.Next == "" {
				break
			}
			next := fields{"page_token": page.Next}
			for k, v := range q.body {
				if k != "page_token" {
					next[k] = v
				}
			}
			q.body = next
		}
	}
	return all
}

// dropBuckets removes the buckets of keys and all consumers, and returns the names of the buckets.
func dropBuckets(t *testing.T, b *bus.Bus) []string {
	t.Helper()
	js := b.JetStream()
	var buckets, streams []string
	names := js.StreamNames(t.Context())
	for name := range names.Name() {
		if strings.HasPrefix(name, "KV_") {
			buckets = append(buckets, name)
		} else {
			streams = append(streams, name)
		}
	}
	require.NoError(t, names.Err())
	for _, name := range buckets {
		require.NoError(t, js.DeleteStream(t.Context(), name))
	}
	for _, name := range streams {
		s, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		consumers := s.ConsumerNames(t.Context())
		for c := range consumers.Name() {
			if err := s.DeleteConsumer(t.Context(), c); err != nil {
				require.ErrorIs(t, err, jetstream.ErrConsumerNotFound) // it ended by itself
			}
		}
		require.NoError(t, consumers.Err())
	}
	return buckets
}

// of asks with a query of names and values in turn.
func of(path string, query ...string) question {
	v := url.Values{}
	for i := 0; i < len(query); i += 2 {
		v.Add(query[i], query[i+1])
	}
	return question{http.MethodGet, api + path + "?" + v.Encode(), nil}
}

// logs makes experiments, runs with files and logged models, changes and deletes some of them, and returns what to ask about them.
func (m mlflow) logs(t *testing.T) (experiment string, runs []string, questions []question) {
	t.Helper()
	experiment = m.post(t, "experiments/create", fields{"name": "Kündigung / 解約 *.>", "tags": []fields{{"key": "team", "value": "retention"}}})["experiment_id"].(string)
	gone := m.post(t, "experiments/create", fields{"name": "gone"})["experiment_id"].(string)
	m.post(t, "experiments/update", fields{"experiment_id": experiment, "new_name": "Kündigung 2 / 解約 *.>"})
	m.post(t, "experiments/set-experiment-tag", fields{"experiment_id": experiment, "key": "team", "value": "churn"})
	m.post(t, "experiments/delete", fields{"experiment_id": gone})
	for i := range 5 {
		runs = append(runs, m.logsRun(t, experiment, i))
	}
	m.post(t, "runs/delete", fields{"run_id": runs[4]})
	m.post(t, "runs/delete", fields{"run_id": runs[3]})
	m.post(t, "runs/restore", fields{"run_id": runs[3]})
	m.post(t, "runs/delete-tag", fields{"run_id": runs[2], "key": "a b"})
	m.must(t, http.MethodDelete, "/api/2.0/mlflow-artifacts/artifacts/"+experiment+"/"+runs[1]+"/artifacts/notes.txt", nil)
	logged := m.post(t, "logged-models", fields{"experiment_id": experiment, "name": "m", "source_run_id": runs[0], "params": []fields{{"key": "k", "value": "v"}}})
	loggedID := logged["model"].(fields)["info"].(fields)["model_id"].(string)
	m.must(t, http.MethodPatch, api+"logged-models/"+loggedID, fields{"model_id": loggedID, "status": "LOGGED_MODEL_READY"})

	questions = []question{
		{http.MethodPost, api + "experiments/search", fields{"view_type": "ALL", "max_results": 1, "order_by": []string{"name"}}},
		{http.MethodPost, api + "runs/search", fields{"experiment_ids": []string{experiment}, "run_view_type": "ALL", "max_results": 2, "order_by": []string{"metrics.`val/auc` DESC"}}},
		{http.MethodPost, api + "runs/search", fields{"experiment_ids": []string{experiment}, "filter": "params.depth != '0' and tags.`a b` LIKE '%&%'"}},
		{http.MethodPost, api + "logged-models/search", fields{"experiment_ids": []string{experiment}}},
		of("experiments/get", "experiment_id", gone), of("experiments/get-by-name", "experiment_name", "Kündigung 2 / 解約 *.>"), of("logged-models/" + loggedID),
	}
	for _, run := range runs {
		questions = append(questions, of("runs/get", "run_id", run), of("metrics/get-history", "run_id", run, "metric_key", "val/auc"),
			of("metrics/get-history", "run_id", run, "metric_key", "odd"), of("artifacts/list", "run_id", run), of("artifacts/list", "run_id", run, "path", "model"))
	}
	return experiment, runs, questions
}

// logsRun makes a finished run with all that a run can have, and returns its id.
func (m mlflow) logsRun(t *testing.T, experiment string, i int) string {
	t.Helper()
	run := m.newRun(t, experiment, fmt.Sprintf("run %d", i))
	for step := range 3 {
		m.post(t, "runs/log-batch", fields{"run_id": run, "metrics": []fields{{"key": "val/auc", "value": 0.7 + float64(i*step)/100, "timestamp": step, "step": step},
			{"key": "odd", "value": "NaN", "timestamp": 1, "step": -1}}})
	}
	m.post(t, "runs/log-batch", fields{"run_id": run, "params": []fields{{"key": "depth", "value": fmt.Sprint(i)}}, "tags": []fields{{"key": "a b", "value": "<&>\u2028"}}})
	m.post(t, "runs/log-inputs", fields{"run_id": run, "datasets": []fields{{"dataset": fields{"name": "telco", "digest": "9f", "source_type": "local", "source": "{}"},
		"tags": []fields{{"key": "mlflow.data.context", "value": "training"}}}}})
	m.upload(t, experiment, run, "model/weights.bin", fmt.Sprint("weights of ", i))
	m.upload(t, experiment, run, "notes.txt", "notes")
	m.post(t, "runs/update", fields{"run_id": run, "status": "FINISHED", "end_time": 1_760_000_100_000})
	return run
}

// registers makes models of some of the runs, with versions in several stages, and returns what to ask about them.
func (m mlflow) registers(t *testing.T, experiment string, runs []string) []question {
	t.Helper()
	const name = "Modell / モデル"
	m.post(t, "registered-models/create", fields{"name": "first name", "description": "d", "tags": []fields{{"key": "k", "value": "v"}}})
	for _, run := range runs {
		m.register(t, "first name", experiment, run, "model")
	}
	m.post(t, "registered-models/rename", fields{"name": "first name", "new_name": name})
	transition := func(version, stage string, archive bool) {
		m.post(t, "model-versions/transition-stage", fields{"name": name, "version": version, "stage": stage, "archive_existing_versions": archive})
	}
	transition("1", "Production", false)
	transition("2", "Production", false)
	transition("3", "Staging", false)
	transition("3", "Production", true)
	transition("1", "Staging", true)
	m.post(t, "registered-models/alias", fields{"name": name, "alias": "best", "version": "2"})
	m.post(t, "model-versions/set-tag", fields{"name": name, "version": "2", "key": "reviewed", "value": "yes"})
	m.must(t, http.MethodPatch, api+"model-versions/update", fields{"name": name, "version": "2", "description": "the second"})
	m.post(t, "registered-models/create", fields{"name": "gated"})
	m.must(t, http.MethodPut, "/api/v1/models/gated/gates", fields{"staging": []fields{{"metric": "roc_auc", "min": 0.6}}, "promotion": "manual", "target": "churned"})
	m.post(t, "registered-models/create", fields{"name": "short-lived"})
	m.must(t, http.MethodDelete, api+"registered-models/delete", fields{"name": "short-lived"})

	questions := []question{
		of("registered-models/get", "name", name), of("registered-models/search", "max_results", "100"), of("registered-models/get-latest-versions", "name", name),
		of("registered-models/alias", "name", name, "alias", "best"), of("model-versions/get-download-uri", "name", name, "version", "2"),
		of("model-versions/search", "filter", "name = '"+name+"'", "order_by", "version_number DESC"),
		beyond(name, "history"), beyond(name, "audit"), beyond(name, "diff?a=1&b=2"), beyond("gated", "gates"), beyond("gated", "audit"),
	}
	for _, version := range []string{"1", "2", "3"} {
		questions = append(questions, of("model-versions/get", "name", name, "version", version), beyond(name, "lineage?version="+version),
			beyond(name, "files?version="+version))
	}
	return questions
}

// questionsOfTheTrainer asks for what the trainer made, as clients of MLflow see it.
func (m mlflow) questionsOfTheTrainer(t *testing.T, b *bus.Bus) []question {
	t.Helper()
	run := lifecycle(t, b).completed[0]
	get := func(path string) question { return question{http.MethodGet, api + path, nil} }
	info := m.must(t, http.MethodGet, api+"runs/get?run_id="+run.RunID, nil)["run"].(fields)["info"].(fields)
	return []question{
		get("runs/get?run_id=" + run.RunID), get("metrics/get-history?metric_key=f1_churn&run_id=" + run.RunID), get("artifacts/list?run_id=" + run.RunID),
		get("experiments/get?experiment_id=" + info["experiment_id"].(string)),
		{http.MethodPost, api + "runs/search", fields{"experiment_ids": []any{info["experiment_id"]}}},
		get("registered-models/get?name=" + model), get("model-versions/get?version=1&name=" + model), get("registered-models/alias?alias=champion&name=" + model),
		beyond(model, "history"), beyond(model, "audit"), beyond(model, "gates"), beyond(model, "lineage?version=1"), beyond(model, "files?version=1"),
	}
}

// beyond asks for what MLflow has no call for.
func beyond(name, path string) question {
	return question{http.MethodGet, "/api/v1/models/" + url.PathEscape(name) + "/" + path, nil}
}
