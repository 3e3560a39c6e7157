package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// instance is the program under test, in a process of its own.
type instance struct {
	*process
	url string
}

// readyWait is how long a server may take until it answers.
const readyWait = 90 * time.Second

// serve starts an instance on the world's server, with the prediction log on or off, and waits until it answers with the version that is promoted.
func (b *bench) serve(ctx context.Context, w *world, logging bool) (*instance, error) {
	dir, err := os.MkdirTemp(b.dir, "instance-")
	if err != nil {
		return nil, err
	}
	argv := []string{filepath.Join(b.config.Bin, "inference"), "--nats=" + w.server.ready.URL, "--addr=127.0.0.1:0", "--log-format=json", "--instance=bench",
		"--cache-dir=" + filepath.Join(dir, "cache"), fmt.Sprintf("--store-bytes=%d", int64(storeBytes))}
	if !logging {
		argv = append(argv, "--prediction-log=off")
	}
	addr := make(chan string, 1)
	p := prepare(ctx, dir, func(line string) {
		var said struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "serving" {
			select {
			case addr <- said.Addr:
			default:
			}
		}
	}, argv...)
	if err := p.begin(); err != nil {
		return nil, err
	}
	i := &instance{process: p}
	select {
	case a := <-addr:
		i.url = "http://" + a
	case <-p.ended:
		return nil, fmt.Errorf("inference ended: %w: %s", p.err, p.tail.last())
	case <-time.After(readyWait):
		return nil, errors.Join(errors.New("inference does not say where it serves"), p.stop())
	}
	err = until(ctx, func() error {
		_, got, err := post(ctx, i.url+"/predict", b.records[0])
		if err == nil && got.Get("Model-Version") != strconv.Itoa(w.version) {
			err = fmt.Errorf("version %s answers, not %d", got.Get("Model-Version"), w.version)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return i, nil
}

// until calls fn until it returns nil, for no longer than readyWait.
func until(ctx context.Context, fn func() error) error {
	for begin := time.Now(); ; {
		err := fn()
		if err == nil {
			return nil
		}
		if time.Since(begin) > readyWait {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// post asks once and returns the body and the headers of an answer that is 200.
func post(ctx context.Context, url string, body []byte) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", url, resp.Status, answer)
	}
	return answer, resp.Header, err
}

// metrics returns what the instance tells of itself, in Prometheus' text form.
func (i *instance) metrics(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url+"/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// metric returns the sum of the series of a metric; 0 where it has none.
func (i *instance) metric(ctx context.Context, name string) (float64, error) {
	text, err := i.metrics(ctx)
	return sumOf(text, name), err
}

// sumOf adds the series of one metric in Prometheus' text form.
func sumOf(text, name string) (sum float64) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		fields := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:])
		if len(fields) == 0 {
			continue
		}
		if v, err := strconv.ParseFloat(fields[0], 64); err == nil {
			sum += v
		}
	}
	return sum
}

// Metrics of the prediction log.
const (
	metricQueued    = "churn_prediction_log_queued"
	metricDropped   = "churn_prediction_log_dropped_total"
	metricPublished = "churn_prediction_log_published_total"
	metricHeap      = "go_memstats_heap_alloc_bytes"
)

// drain waits until the prediction log is empty and returns how long that took and how many predictions were dropped so far.
func (i *instance) drain(ctx context.Context) (took time.Duration, dropped float64, err error) {
	begin := time.Now()
	err = until(ctx, func() error {
		queued, err := i.metric(ctx, metricQueued)
		if err == nil && queued > 0 {
			err = fmt.Errorf("%.0f predictions wait to be published", queued)
		}
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	took = time.Since(begin)
	dropped, err = i.metric(ctx, metricDropped)
	return took, dropped, err
}

// canSwitchLogOff reports whether the program has the option.
func (b *bench) canSwitchLogOff(ctx context.Context) bool {
	out, err := exec.CommandContext(ctx, filepath.Join(b.config.Bin, "inference"), "--help").Output()
	return err == nil && bytes.Contains(out, []byte("--prediction-log"))
}
