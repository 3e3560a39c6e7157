package mlflow

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// points returns a metric's history as "step/timestamp=value".
func (s *running) points(call string, pairs ...string) []string {
	s.t.Helper()
	var out []string
	list, _ := s.call("GET", "/ajax-api/2.0/mlflow/metrics/"+call+query(pairs...), nil)["metrics"].([]any)
	for _, p := range list {
		f := p.(fields)
		out = append(out, fmt.Sprintf("%v/%v=%v", f["step"], f["timestamp"], f["value"]))
	}
	return out
}

func (s *running) logMetric(run, key string, value any, timestamp, step int) {
	s.t.Helper()
	s.call("POST", api20+"runs/log-metric", fields{"run_id": run, "key": key, "value": value, "timestamp": timestamp, "step": step})
}

func TestTheGreatestStepIsShownAndTheHistoryKeepsAll(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	run := s.newRun("0")
	s.logMetric(run, "loss", 1, 10, 2)
	s.logMetric(run, "loss", 2, 30, 1)
	s.logMetric(run, "loss", 3, 5, 2)
	s.logMetric(run, "loss", 1, 10, 2) // a repeat of the first: the same point
	s.logMetric(run, "odd", "NaN", 1, 0)
	s.logMetric(run, "odd", "-Infinity", 2, 0) // kept as the nearest finite number, as in MLflow
	s.logMetric(run, "odd", "Infinity", 3, 0)
	require.Equal(t, map[string]string{"loss": "1", "odd": "1.7976931348623157e+308"}, keyedValues(s.run(run)["data"].(fields)["metrics"]))
	require.ElementsMatch(t, []string{"2/10=1", "1/30=2", "2/5=3"}, s.points("get-history", "run_id", run, "metric_key", "loss"))
	require.ElementsMatch(t, []string{"0/1=NaN", "0/2=-1.7976931348623157e+308", "0/3=1.7976931348623157e+308"}, s.points("get-history", "run_id", run, "metric_key", "odd"))
}

func TestAHistoryComesInPages(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	run := s.newRun("0")
	var metrics []fields
	for i := range 25 {
		metrics = append(metrics, fields{"key": "m", "value": i, "timestamp": 1000 + i, "step": i})
	}
	s.call("POST", api20+"runs/log-batch", fields{"run_id": run, "metrics": metrics})
	var got []any
	token := ""
	for {
		page := s.call("GET", api20+"metrics/get-history"+query("run_id", run, "metric_key", "m", "max_results", "10", "page_token", token), nil)
		got = append(got, page["metrics"].([]any)...)
		next, more := page["next_page_token"].(string)
		if !more {
			break
		}
		require.Len(t, page["metrics"], 10)
		token = next
	}
	require.Len(t, got, 25)
	for i, p := range got {
		require.Equal(t, fields{"key": "m", "value": float64(i), "timestamp": float64(1000 + i), "step": float64(i)}, p)
	}
	s.refused("GET", api20+"metrics/get-history"+query("run_id", run, "metric_key", "other", "max_results", "10", "page_token", token), nil, 400, "INVALID_PARAMETER_VALUE")
	s.refused("GET", api20+"metrics/get-history"+query("run_id", run, "metric_key", "m", "page_token", "junk"), nil, 400, "INVALID_PARAMETER_VALUE")
}

func TestChartsOfSeveralRuns(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	first, second := s.newRun("0"), s.newRun("0")
	for i := range 9 {
		s.logMetric(first, "m", i, 100+i, i)
	}
	s.logMetric(second, "m", 50, 500, 3)
	bulk := s.call("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk"+query("run_id", first, "run_id", second, "metric_key", "m"), nil)["metrics"].([]any)
	require.Len(t, bulk, 10)
	for _, p := range bulk {
		id := p.(fields)["run_id"]
		require.True(t, id == first || id == second)
	}
	require.Len(t, s.points("get-history-bulk", "run_id", first, "run_id", second, "metric_key", "m", "max_results", "4"), 4)
	require.Equal(t, []string{"0/100=0", "4/104=4", "8/108=8"}, s.points("get-history-bulk-interval", "run_ids", first, "metric_key", "m", "max_results", "3"))
	require.Equal(t, []string{"2/102=2", "3/103=3", "4/104=4"},
		s.points("get-history-bulk-interval", "run_ids", first, "metric_key", "m", "start_step", "2", "end_step", "4"))
	require.Empty(t, s.points("get-history-bulk-interval", "run_ids", first, "metric_key", "other"))
	for _, bad := range [][]string{{"start_step", "1"}, {"start_step", "3", "end_step", "1"}, {"max_results", "2501"}} {
		s.refused("GET", api20+"metrics/get-history-bulk-interval"+query(append(bad, "run_ids", first, "metric_key", "m")...), nil, 400, "INVALID_PARAMETER_VALUE")
	}
	many := []string{"metric_key", "m"}
	for i := range bulkRuns + 1 {
		many = append(many, "run_id", fmt.Sprintf("%032x", i))
	}
	s.refused("GET", api20+"metrics/get-history-bulk"+query(many...), nil, 400, "INVALID_PARAMETER_VALUE")
}

func TestThinKeepsTheEnds(t *testing.T) {
	steps := func(n int) []events.MetricPoint {
		out := make([]events.MetricPoint, n)
		for i := range out {
			out[i].Step = int64(i)
		}
		return out
	}
	for _, test := range []struct {
		have, most int
		want       []int64
	}{
		{0, 3, nil}, {3, 3, []int64{0, 1, 2}}, {4, 3, []int64{0, 1, 3}}, {100, 2, []int64{0, 99}}, {100, 1, []int64{99}}, {11, 3, []int64{0, 5, 10}},
	} {
		var got []int64
		for _, p := range thin(steps(test.have), test.most) {
			got = append(got, p.Step)
		}
		require.Equal(t, test.want, got, "%d of %d", test.most, test.have)
	}
}

func TestABatchIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	run := s.newRun("0")
	s.call("POST", api20+"runs/log-parameter", fields{"run_id": run, "key": "fixed", "value": "1"})
	good := fields{"key": "m", "value": 1, "timestamp": 1}
	list := func(n int) (out []fields) {
		for i := range n {
			out = append(out, fields{"key": fmt.Sprint("k", i), "value": "1", "timestamp": 1})
		}
		return out
	}
	before := s.run(run)
	for _, test := range []struct {
		name string
		in   fields
	}{
		{"a parameter written once has another value", fields{"metrics": []fields{good}, "tags": keysAndValues("t", "1"), "params": keysAndValues("new", "1", "fixed", "2")}},
		{"a parameter twice with two values", fields{"params": keysAndValues("new", "1", "new", "2")}},
		{"a metric without a value", fields{"metrics": []fields{good, {"key": "m", "timestamp": 1}}}},
		{"a metric without a time", fields{"metrics": []fields{good, {"key": "m", "value": 1}}}},
		{"a metric without a key", fields{"metrics": []fields{good, {"value": 1, "timestamp": 1}}}},
		{"a metric whose value is no number", fields{"metrics": []fields{good, {"key": "m", "value": "high", "timestamp": 1}}}},
		{"a tag without a key", fields{"metrics": []fields{good}, "tags": keysAndValues("", "x")}},
		{"1001 metrics", fields{"metrics": list(1001)}},
		{"101 parameters", fields{"params": list(101)}},
		{"101 tags", fields{"tags": list(101)}},
		{"1001 in all", fields{"metrics": list(901), "params": list(50), "tags": list(50)}},
		{"a key of 251 characters", fields{"metrics": []fields{good}, "params": keysAndValues(strings.Repeat("ю", 251), "x")}},
		{"a value of 6001 characters", fields{"metrics": []fields{good}, "params": keysAndValues("new", strings.Repeat("x", 6001))}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.in["run_id"] = run
			s.refused("POST", api20+"runs/log-batch", test.in, 400, "INVALID_PARAMETER_VALUE")
			require.Equal(t, before, s.run(run))
		})
	}
	_, answer := s.do("POST", api20+"runs/log-batch", strings.Repeat(" ", maxBody+1))
	require.JSONEq(t, `{"error_code": "INVALID_PARAMETER_VALUE",
		"message": "Batched logging API requests must be at most 1000000 bytes, got a request of size 1000001"}`, string(answer))
	var separators []string // in the stream each takes six bytes, here three
	for i := range 90 {
		separators = append(separators, fmt.Sprintf(`{"key": "tag%d", "value": "%s"}`, i, strings.Repeat("\u2028", 2600)))
	}
	status, out := s.do("POST", api20+"runs/log-batch", fmt.Sprintf(`{"run_id": "%s", "tags": [%s]}`, run, strings.Join(separators, ",")))
	require.Equal(t, http.StatusBadRequest, status, "%s", out)
	require.Contains(t, string(out), "INVALID_PARAMETER_VALUE")
	require.Contains(t, string(out), "bytes, at most")
	require.Equal(t, before, s.run(run))
	markup := strings.ReplaceAll(strings.Join(separators, ","), "\u2028", "<p>")
	s.call("POST", api20+"runs/log-batch", fmt.Sprintf(`{"run_id": "%s", "tags": [%s]}`, run, markup))
	s.call("POST", api20+"runs/log-batch", fields{"run_id": run, "metrics": list(800), "params": list(100), "tags": list(100)})
	require.Len(t, s.run(run)["data"].(fields)["metrics"], 800)
}

func TestDeletedRunsTakeNothing(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	run := s.newRun("0")
	s.call("POST", api20+"runs/set-tag", fields{"run_id": run, "key": "t", "value": "1"})
	s.call("POST", api20+"runs/delete", fields{"run_id": run})
	before := s.run(run)
	require.Equal(t, "deleted", before["info"].(fields)["lifecycle_stage"])
	for call, in := range map[string]fields{
		"log-metric":    {"key": "m", "value": 1, "timestamp": 1},
		"log-parameter": {"key": "p", "value": "1"},
		"set-tag":       {"key": "t", "value": "2"},
		"delete-tag":    {"key": "t"},
		"log-batch":     {"tags": keysAndValues("t", "2")},
		"update":        {"status": "FINISHED"},
		"log-model":     {"model_json": `{"run_id": "r", "artifact_path": "m", "utc_time_created": "t", "flavors": {}}`},
		"log-inputs":    {"datasets": []fields{{"dataset": fields{"name": "d", "digest": "x", "source_type": "local", "source": "s"}}}},
	} {
		in["run_id"] = run
		s.refused("POST", api20+"runs/"+call, in, 400, "INVALID_PARAMETER_VALUE")
		require.Equal(t, before, s.run(run), call)
	}
	s.call("POST", api20+"runs/restore", fields{"run_id": run})
	require.Equal(t, "active", s.run(run)["info"].(fields)["lifecycle_stage"])
}

func TestRunsInADeletedExperiment(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	exp := s.newExperiment("short-lived")
	s.call("POST", api20+"experiments/delete", fields{"experiment_id": exp})
	s.refused("POST", api20+"runs/create", fields{"experiment_id": exp}, 400, "INVALID_PARAMETER_VALUE")
	s.refused("POST", api20+"experiments/create", fields{"name": "short-lived"}, 400, "RESOURCE_ALREADY_EXISTS")
}

func TestModelsLoggedByManyClientsAreAllInTheTag(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registries := []*running{r.start(), r.start()}
	s := registries[0]
	run := s.newRun("0")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			registries[i%2].call("POST", api20+"runs/log-model", fields{
				"run_id": run, "model_json": fmt.Sprintf(`{"run_id": "r", "artifact_path": "model-%d", "utc_time_created": "t", "flavors": {}, "signature": {}}`, i),
			})
		})
	}
	wg.Wait()
	history := keyedValues(s.run(run)["data"].(fields)["tags"])[historyTag]
	list, ok := parseJSON([]byte(history))
	require.True(t, ok, history)
	seen := map[any]bool{}
	for _, m := range list.([]any) {
		seen[m.(fields)["artifact_path"]] = true
		require.NotContains(t, m, "signature")
	}
	require.Len(t, seen, 8)
}

func TestManyClientsLogToOneRun(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	run := s.newRun("0")
	var wg sync.WaitGroup
	for client := range 16 {
		wg.Go(func() {
			for step := range 5 {
				s.logMetric(run, fmt.Sprint("m", client), client, 1, step)
			}
		})
	}
	wg.Wait()
	require.Len(t, s.run(run)["data"].(fields)["metrics"], 16)
	for client := range 16 {
		require.Len(t, s.points("get-history", "run_id", run, "metric_key", fmt.Sprint("m", client)), 5)
	}
}

func TestAClientReadsItsOwnWritesFromAnotherRegistry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	writer, reader := r.start(), r.start()
	run := writer.newRun("0")
	for i := range 20 {
		writer.call("POST", api20+"runs/set-tag", fields{"run_id": run, "key": "n", "value": fmt.Sprint(i)})
		require.Equal(t, fmt.Sprint(i), keyedValues(reader.run(run)["data"].(fields)["tags"])["n"])
	}
	status, _ := reader.do("POST", api20+"runs/search", fields{"experiment_ids": []string{"0"}, "filter": "tags.n = '19'"})
	require.Equal(t, http.StatusOK, status)
}
