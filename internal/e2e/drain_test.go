package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
)

// freePort returns a port that a killed process can have again: below those that the system gives to whoever asks for any.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			require.NoError(t, l.Close())
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// retrying asks as docs/serving.md tells clients to: where nobody answers in time, nobody is there, or the answer is 429 or 503, again after a short
// and growing pause with the same request id; over HTTP at the next address.
type retrying struct {
	nc    *nats.Conn
	http  *http.Client
	addrs []string

	stop chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	began    map[string]time.Time // of the requests that were answered, by request id
	answered map[string]string    // prediction id by request id
	retries  int
	bad      []string
}

// errAgain is a try that may be repeated.
var errAgain = errors.New("again")

const (
	tryFor   = time.Second
	retryFor = 30 * time.Second
)

func (r *retrying) overNATS(record []byte, id string, _ int) (answer, error) {
	msg, err := r.nc.RequestMsg(&nats.Msg{Subject: events.PredictPrefix + "." + model, Data: record, Header: nats.Header{"Request-Id": {id}}}, tryFor)
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrTimeout):
		return answer{}, fmt.Errorf("%w: %w", errAgain, err)
	case err != nil:
		return answer{}, err
	}
	switch code := msg.Header.Get("Nats-Service-Error-Code"); code {
	case "":
		return decode(msg.Data)
	case "429", "503":
		return answer{}, fmt.Errorf("%w: %s", errAgain, msg.Data)
	}
	return answer{}, fmt.Errorf("%s", msg.Data)
}

func (r *retrying) overHTTP(record []byte, id string, attempt int) (answer, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+r.addrs[attempt%len(r.addrs)]+"/predict", bytes.NewReader(record))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Request-Id", id)
	resp, err := r.http.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errAgain, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("%w: %w", errAgain, err)
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable:
		return answer{}, fmt.Errorf("%w: %s", errAgain, body)
	case resp.StatusCode != http.StatusOK:
		return answer{}, fmt.Errorf("%s: %s", resp.Status, body)
	}
	return decode(body)
}

// ask sends one request after the other until it is ended, each until it is answered.
func (r *retrying) ask(name string, all [][]byte, one func(record []byte, id string, attempt int) (answer, error)) {
	for n := 0; ; n++ {
		select {
		case <-r.stop:
			return
		default:
		}
		id, began, pause := fmt.Sprintf("%s-%d", name, n), time.Now(), 5*time.Millisecond
		for attempt := n; ; attempt++ {
			a, err := one(all[n%len(all)], id, attempt)
			if errors.Is(err, errAgain) && time.Since(began) < retryFor {
				r.mu.Lock()
				r.retries++
				r.mu.Unlock()
				time.Sleep(pause) // the rule of the client
				pause = min(2*pause, 200*time.Millisecond)
				continue
			}
			r.mu.Lock()
			if err != nil {
				r.bad = append(r.bad, name+": "+err.Error())
			} else {
				r.began[id], r.answered[id] = began, a.PredictionID
			}
			r.mu.Unlock()
			break
		}
	}
}

// more waits until so many more requests are answered.
func (r *retrying) more(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.answered)
	}
	from := count()
	await(t, patience, "requests are answered", func() error {
		if now := count(); now < from+n {
			return fmt.Errorf("%d of %d", now-from, n)
		}
		return nil
	})
}

// TestKillAndDrainLoseNoRequest has two instances under load over NATS and HTTP. One is killed and comes back, then the other drains.
func TestKillAndDrainLoseNoRequest(t *testing.T) {
	t.Parallel()
	server := bustest.Start(t)
	b := server.Connect(t)
	promoteBundle(t, b)
	dir := t.TempDir()
	instances, addrs := map[string]*process{}, map[string]string{}
	for _, name := range []string{"one", "other"} {
		addrs[name] = net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
		instances[name] = launch(t, dir, name, program(t, "inference"), "--nats", server.URL(), "--store-bytes", strconv.FormatInt(server.StoreBytes(), 10),
			"--instance", name, "--addr", addrs[name], "--cache-dir", name)
	}
	all := modeltest.Records(t, modeltest.Options{Rows: 60, Seed: 99})
	for _, addr := range addrs {
		serves(t, addr, 1, all[0])
	}
	nc, err := nats.Connect(server.URL())
	require.NoError(t, err)
	defer nc.Close()
	r := &retrying{nc: nc, http: &http.Client{Timeout: tryFor, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}, addrs: []string{addrs["one"], addrs["other"]},
		stop: make(chan struct{}), began: map[string]time.Time{}, answered: map[string]string{}}
	defer r.http.CloseIdleConnections()
	for k := range 4 {
		r.wg.Go(func() { r.ask(fmt.Sprintf("nats-%d", k), all, r.overNATS) })
	}
	for k := range 2 {
		r.wg.Go(func() { r.ask(fmt.Sprintf("http-%d", k), all, r.overHTTP) })
	}
	const some = 300
	r.more(t, some)
	instances["one"].kill(t)
	killed := time.Now()
	r.more(t, some)
	instances["one"].start(t)
	serves(t, addrs["one"], 1, all[0])
	r.more(t, some)
	instances["other"].stop(t) // with exit code 0
	r.more(t, some)
	close(r.stop)
	r.wg.Wait()
	instances["one"].stop(t)

	require.Empty(t, r.bad, "requests that failed, of %d", len(r.answered))
	logged := map[string]int{}
	read(t, b, events.Predictions, func(m bus.Message) {
		if p, ok := m.Event.Payload.(*events.PredictionMade); ok {
			logged[p.PredictionID]++
		}
	})
	late := 0
	for id, prediction := range r.answered {
		require.LessOrEqual(t, logged[prediction], 1, "request %s is logged once, however often it was sent", id)
		if r.began[id].After(killed) {
			late++
			require.Equal(t, 1, logged[prediction], "request %s was answered by an instance that drained, and is not in the log", id)
		}
	}
	require.Greater(t, late, 2*some)
	t.Logf("%d requests answered, %d of them after the kill, %d repeated, none failed", len(r.answered), late, r.retries)
}

// promoteBundle makes a bundle Production, as the registry does.
func promoteBundle(t *testing.T, b *bus.Bus) {
	t.Helper()
	require.NoError(t, b.Provision(t.Context()))
	store, err := objstore.Open(t.Context(), b.JetStream(), objstore.DefaultConfig())
	require.NoError(t, err)
	ref, err := artifact.PutBytes(t.Context(), store, modeltest.Encoded(t, modeltest.Options{Seed: 1, Relation: 1}))
	require.NoError(t, err)
	_, err = b.Append(t.Context(), events.New(model, b.Source(), "1@0", time.Now(), &events.ModelPromoted{Version: 1, RunID: "run-1", Cause: events.PromotedByGate,
		Bundle: events.Artifact{Name: events.ArtifactBundle, Digest: string(ref.Digest), SizeBytes: ref.Size}}), 0)
	require.NoError(t, err)
}
