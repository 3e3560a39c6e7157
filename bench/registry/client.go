package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// client calls one server over connections that it keeps.
type client struct {
	base string
	http *http.Client
}

func newClient(addr string, connections int) *client {
	return &client{base: "http://" + addr, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}}
}

// post sends a body and returns the answer, which must be 200.
func (c *client) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", path, resp.Status, answer)
	}
	return answer, nil
}

// latencies are how long calls took.
type latencies struct{ P50, P95, P99, Max time.Duration }

// quantiles orders the times and takes from them, by the nearest rank. times must not be empty.
func quantiles(times []time.Duration) latencies {
	slices.Sort(times)
	rank := func(percent int) time.Duration { return times[(len(times)*percent+99)/100-1] }
	return latencies{rank(50), rank(95), rank(99), times[len(times)-1]}
}

// search is a query and what it is about.
type search struct {
	what    string
	request map[string]any
}

// searches returns what is asked for the first page of all runs of the experiment.
func searches() []search {
	ask := func(filter, order string, max int) map[string]any {
		r := map[string]any{"experiment_ids": []string{experiment}, "max_results": max}
		if filter != "" {
			r["filter"] = filter
		}
		if order != "" {
			r["order_by"] = []string{order}
		}
		return r
	}
	return []search{
		{"newest first, no filter", ask("", "", 100)},
		{"a metric over a bound, best first: a tenth matches", ask("metrics.metric_0 > 0.9", "metrics.metric_0 DESC", 100)},
		{"metric, parameter and tag, ordered by another metric: 1 in 40", ask("metrics.metric_1 < 0.5 and params.param_0 = '7' and tags.tag_3 LIKE 'value%'", "metrics.metric_2 ASC", 100)},
		{"all match, ordered by a parameter as text", ask("attributes.status = 'FINISHED'", "params.param_4 DESC", 100)},
		{"the Python client's page of 1,000, best first", ask("metrics.metric_0 > 0.1", "metrics.metric_0 DESC", 1000)},
	}
}

// ask asks a query n times, after once to warm up, and returns the times and the number of runs on the page.
func (c *client) ask(ctx context.Context, s search, n int) (latencies, int, error) {
	body, err := json.Marshal(s.request)
	if err != nil {
		return latencies{}, 0, err
	}
	times := make([]time.Duration, n)
	var page struct {
		Runs []json.RawMessage `json:"runs"`
	}
	for i := -1; i < n; i++ {
		begin := time.Now()
		answer, err := c.post(ctx, "/api/2.0/mlflow/runs/search", body)
		if err != nil {
			return latencies{}, 0, fmt.Errorf("%s: %w", s.what, err)
		}
		if i >= 0 {
			times[i] = time.Since(begin)
		} else if err := json.Unmarshal(answer, &page); err != nil {
			return latencies{}, 0, fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return quantiles(times), len(page.Runs), nil
}

// newRun creates a run through the API and returns its id.
func (c *client) newRun(ctx context.Context) (string, error) {
	body := fmt.Appendf(nil, `{"experiment_id":%q,"start_time":%d}`, experiment, firstStart)
	answer, err := c.post(ctx, "/api/2.0/mlflow/runs/create", body)
	if err != nil {
		return "", err
	}
	var out struct {
		Run struct {
			Info struct {
				RunID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return "", fmt.Errorf("runs/create: %w", err)
	}
	return out.Run.Info.RunID, nil
}

// rate is what a round of log-batch calls came to.
type rate struct {
	perSecond float64
	latencies
}

// batches has one client for each run call log-batch with 10 metrics for d, each call after the answer of the former.
func (c *client) batches(ctx context.Context, runs []string, d time.Duration, steps *atomic.Int64) (rate, error) {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		times  []time.Duration
		failed error
	)
	begin := time.Now()
	for _, run := range runs {
		wg.Go(func() {
			var own []time.Duration
			var err error
			for time.Since(begin) < d && err == nil {
				body := batchBody(run, steps.Add(1))
				sent := time.Now()
				_, err = c.post(ctx, "/api/2.0/mlflow/runs/log-batch", body)
				own = append(own, time.Since(sent))
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, own...)
			if err != nil && failed == nil {
				failed = err
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return rate{}, failed
	}
	return rate{float64(len(times)) / time.Since(begin).Seconds(), quantiles(times)}, nil
}

// batchBody returns the body of a log-batch call of 10 metrics, as the Python client writes it.
func batchBody(run string, step int64) []byte {
	b := fmt.Appendf(nil, `{"run_id": %q, "metrics": [`, run)
	for i := range 10 {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = fmt.Appendf(b, `{"key": "metric_%d", "value": %g, "timestamp": %d, "step": %d}`, i, 1/float64(step+int64(i)), firstStart+step, step)
	}
	return append(b, `], "params": [], "tags": []}`...)
}
