package inference_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
)

// load is clients that post one record after the other, each on a connection of its own, until they are told to stop.
type load struct {
	answered atomic.Int64
	stop     chan struct{}
	clients  sync.WaitGroup

	mu     sync.Mutex
	faults []string
	times  []sample
}

// sample is when an answer was there and how long it took.
type sample struct{ at, took time.Duration }

func startLoad(t testing.TB, i *instance, clients int, bodies [][]byte) *load {
	t.Helper()
	l := &load{stop: make(chan struct{})}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	began := time.Now()
	for c := range clients {
		l.clients.Go(func() {
			var times []sample
			newest := 0
			for n := c; ; n++ {
				select {
				case <-l.stop:
					l.mu.Lock()
					l.times = append(l.times, times...)
					l.mu.Unlock()
					return
				default:
				}
				sent := time.Now()
				version, err := ask(client, "http://"+i.Addr()+"/predict", bodies[n%len(bodies)])
				if err != nil || version < newest {
					l.mu.Lock()
					l.faults = append(l.faults, fmt.Sprintf("version %d after %d: %v", version, newest, err))
					l.mu.Unlock()
				}
				newest = version
				times = append(times, sample{time.Since(began), time.Since(sent)})
				l.answered.Add(1)
			}
		})
	}
	t.Cleanup(client.CloseIdleConnections)
	return l
}

// end stops the clients and returns what went wrong for them: no answer, or one by an older version than the one before it.
func (l *load) end() []string {
	close(l.stop)
	l.clients.Wait()
	return l.faults
}

func ask(client *http.Client, url string, body []byte) (version int, err error) {
	resp, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d: %s: %w", resp.StatusCode, data, err)
	}
	var a answer
	if err := json.Unmarshal(data, &a); err != nil {
		return 0, err
	}
	return a.Version, nil
}

// TestPromotionsUnderLoad lets no client fail, hang, or be thrown back to an older version. (The benchmark of serving does it with a hundred promotions.)
func TestPromotionsUnderLoad(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	var artifacts []events.Artifact
	for seed := range uint64(4) {
		artifacts = append(artifacts, w.upload(t, seed+1))
	}
	i.serves(t, w.promote(t, artifacts[0]), records(t)[0])
	l := startLoad(t, i, 4, records(t))
	const promotions = 30
	for n := range promotions {
		before := l.answered.Load()
		version := w.promote(t, artifacts[n%len(artifacts)])
		bustest.Eventually(t, func() bool { return i.Holds(version) && l.answered.Load() > before }, "the promotion is served")
	}
	require.Empty(t, l.end())
	require.Equal(t, promotions+1, i.predict(t, records(t)[0]).Version)
	require.Empty(t, read[*events.ModelLoadFailed](t, w, events.Fleet))
}

// TestCanariesUnderLoad begins, widens and ends canaries, and promotes the candidate of each third one.
func TestCanariesUnderLoad(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	var artifacts []events.Artifact
	for seed := range uint64(4) {
		artifacts = append(artifacts, w.upload(t, seed+1))
	}
	i.serves(t, w.promote(t, artifacts[0]), records(t)[0])
	l := startLoad(t, i, 4, records(t)[:1]) // one customer, who may go back when a canary ends
	r := w.rollouts(t, artifacts[1])
	for n := range 12 {
		r.candidate, r.version = artifacts[(n+1)%4], w.version+1
		r.run(t, 0.25, i)
		r.run(t, 0.6, i)
		if n%3 == 2 {
			version := w.promote(t, r.candidate)
			bustest.Eventually(t, func() bool { return i.Route("") == version }, "the candidate is Production")
			r.change(t, events.RolloutCompleted, 1)
		} else {
			r.change(t, events.RolloutAborted, 0)
		}
		i.splits(t, 0, 0)
	}
	for _, f := range l.end() {
		require.Contains(t, f, "<nil>", "every request is answered")
	}
	require.NotZero(t, l.answered.Load())
	require.Empty(t, read[*events.ModelLoadFailed](t, w, events.Fleet))
}

// BenchmarkTailAroundASwap compares the 99th percentile of latency within half a second of an exchange with that of quiet seconds, 64 clients beside
// it. Each promoted bundle is of the size of Telco's and new to the instance: it is fetched, decoded and verified.
func BenchmarkTailAroundASwap(b *testing.B) {
	const swaps = 8
	w := newWorld(b)
	i := run(b, w.config(b, "one"))
	var artifacts []events.Artifact
	for n := range swaps + 1 {
		artifacts = append(artifacts, w.put(b, modeltest.Encoded(b, modeltest.Options{Rows: 7043, Trees: 200, Seed: 1, Relation: uint64(n % 2), RunID: fmt.Sprint(n)})))
	}
	i.serves(b, w.promote(b, artifacts[0]), records(b)[0])
	for b.Loop() {
		l := startLoad(b, i, 64, records(b))
		began := time.Now()
		var at []time.Duration
		for _, a := range artifacts[1:] {
			time.Sleep(1500 * time.Millisecond) // a quiet second between the seconds around two exchanges
			at = append(at, time.Since(began))
			version := w.promote(b, a)
			bustest.Eventually(b, func() bool { return i.Holds(version) }, "the promotion is served")
		}
		time.Sleep(time.Second)
		require.Empty(b, l.end())
		var quiet, around []time.Duration
		for _, s := range l.times {
			if slices.ContainsFunc(at, func(swap time.Duration) bool { return (s.at - swap).Abs() < 500*time.Millisecond }) {
				around = append(around, s.took)
			} else if s.at > 500*time.Millisecond {
				quiet = append(quiet, s.took)
			}
		}
		p99 := func(d []time.Duration) float64 {
			slices.Sort(d)
			return float64(d[len(d)*99/100]) / float64(time.Millisecond)
		}
		q, a := p99(quiet), p99(around)
		b.ReportMetric(q, "quiet-p99-ms")
		b.ReportMetric(a, "around-p99-ms")
		b.ReportMetric(a/q, "ratio")
		b.ReportMetric(float64(l.answered.Load())/time.Since(began).Seconds(), "req/s")
	}
}
