//go:build processes

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

const (
	loggers = 8
	// batches is the number of log-batch calls of each logger, turns that of promotions: a thousand calls in all.
	batches = 110
	turns   = 120
	// kills is how often the registry is killed meanwhile, every second time with the NATS server.
	kills = 5
)

// logging is clients that log to runs of their own, and one that promotes, while the registry is killed.
type logging struct {
	mlflow
	t     *testing.T
	acked atomic.Int64
	again atomic.Int64 // of them, those that were sent more than once
	mu    sync.Mutex
	bad   []string
}

func (l *logging) complain(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad = append(l.bad, err.Error())
}

// call sends a call until it is answered.
func (l *logging) call(path string, body fields) bool {
	raw, err := json.Marshal(body)
	sent := 0
	if err == nil {
		sent, err = l.untilAnswered(http.MethodPost, api+path, raw)
	}
	if err != nil {
		l.complain(err)
		return false
	}
	l.acked.Add(1)
	if sent > 1 {
		l.again.Add(1)
	}
	return true
}

// log writes the batches of one run: each has a point of a metric that all share, a point of its own metric, a parameter and a tag.
func (l *logging) log(run string) {
	for i := range batches {
		ok := l.call("runs/log-batch", fields{"run_id": run,
			"metrics": []fields{{"key": "loss", "value": 1 / float64(i+1), "timestamp": 1000 + i, "step": i}, {"key": fmt.Sprintf("m%d", i), "value": i, "timestamp": 1000, "step": 0}},
			"params":  []fields{{"key": fmt.Sprintf("p%d", i), "value": strconv.Itoa(i)}},
			"tags":    []fields{{"key": "last", "value": strconv.Itoa(i)}}})
		if !ok {
			return
		}
	}
}

// promote takes the versions to Production in turns, so that each call changes something: nothing may stand twice, even of a call that was sent again.
func (l *logging) promote(name string, versions []string) {
	for i := range turns {
		if !l.call("model-versions/transition-stage", fields{"name": name, "version": versions[i%len(versions)], "stage": "Production", "archive_existing_versions": true}) {
			return
		}
	}
}

func TestRegistryKilledWhileClientsLog(t *testing.T) {
	t.Parallel()
	l, m := startTracking(t)
	lg := &logging{mlflow: m, t: t}
	experiment := m.post(t, "experiments/create", fields{"name": "kills"})["experiment_id"].(string)
	runs := make([]string, loggers)
	for i := range runs {
		runs[i] = m.newRun(t, experiment, fmt.Sprintf("run %d", i))
	}
	m.upload(t, experiment, runs[0], "model/weights.bin", "no model that anybody can serve")
	m.post(t, "registered-models/create", fields{"name": "a model"})
	var versions []string
	for range 3 {
		versions = append(versions, m.register(t, "a model", experiment, runs[0], "model"))
	}
	require.Equal(t, []string{"1", "2", "3"}, versions)

	var wg sync.WaitGroup
	for _, run := range runs {
		wg.Go(func() { lg.log(run) })
	}
	wg.Go(func() { lg.promote("a model", versions) })
	for n := range int64(kills) {
		due := (n + 1) * (loggers*batches + turns) / (kills + 1)
		await(t, patience, "calls are answered", func() error {
			lg.mu.Lock()
			defer lg.mu.Unlock()
			require.Empty(t, lg.bad)
			if n := lg.acked.Load(); n < due {
				return fmt.Errorf("%d of %d", n, due)
			}
			return nil
		})
		l.registry.kill(t)
		if n%2 == 1 { // as when both are one process
			l.server.kill(t)
			l.server.start(t)
		}
		l.registry.start(t)
	}
	wg.Wait()
	require.Empty(t, lg.bad)
	require.EqualValues(t, loggers*batches+turns, lg.acked.Load())
	require.Greater(t, lg.again.Load(), int64(kills), "calls that a kill took the answer from")
	l.registry.kill(t)
	l.registry.start(t)
	m.awaitReady(t)

	for _, run := range runs {
		lg.checkRun(run)
	}
	found := m.post(t, "runs/search", fields{"experiment_ids": []string{experiment}})["runs"].([]any)
	require.Len(t, found, loggers, "no run stands twice")
	lg.checkPromotions(connect(t, l.url))
	latest := m.post(t, "registered-models/get-latest-versions", fields{"name": "a model", "stages": []string{"Production"}})["model_versions"].([]any)
	require.Len(t, latest, 1)
	require.Equal(t, versions[(turns-1)%len(versions)], latest[0].(fields)["version"])
	t.Logf("%d calls were sent again", lg.again.Load())
	l.registry.stop(t)
}

// checkRun holds that a run has all that was acknowledged, and each of it once.
func (l *logging) checkRun(run string) {
	t := l.t
	t.Helper()
	data := l.must(t, http.MethodGet, api+"runs/get?run_id="+run, nil)["run"].(fields)["data"].(fields)
	require.Len(t, data["metrics"], batches+1)
	require.Len(t, data["params"], batches)
	for _, p := range data["params"].([]any) {
		require.Equal(t, p.(fields)["key"], "p"+p.(fields)["value"].(string))
	}
	for _, tag := range data["tags"].([]any) {
		if tag.(fields)["key"] == "last" {
			require.Equal(t, strconv.Itoa(batches-1), tag.(fields)["value"])
		}
	}
	history := l.must(t, http.MethodGet, api+"metrics/get-history?metric_key=loss&run_id="+run, nil)["metrics"].([]any)
	require.Len(t, history, batches, "every point once")
	for i, p := range history {
		require.EqualValues(t, i, p.(fields)["step"])
	}
}

// checkPromotions holds that the promotions are one line without a break, in the order of the calls, none of them twice.
func (l *logging) checkPromotions(b *bus.Bus) {
	t := l.t
	t.Helper()
	last, n := uint64(0), 0
	read(t, b, events.Lifecycle, func(m bus.Message) {
		require.NoError(t, m.Err)
		p, ok := m.Event.Payload.(*events.ModelPromoted)
		if !ok {
			return
		}
		require.Equal(t, last, p.PreviousSequence, "promotion %d", n)
		require.Equal(t, n%3+1, p.Version, "promotion %d", n)
		last = m.Sequence
		n++
	})
	require.Equal(t, turns, n)
}
