package inference_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
)

const modelName = inference.DefaultModel

// world is one server with a store, and the hand that registers and promotes.
type world struct {
	server  *bustest.Server
	url     string // and the store's size: asked once, as instances dial while the server restarts
	size    int64
	bus     *bus.Bus
	store   artifact.Store
	last    uint64 // sequence of the last promotion
	version int

	mu     sync.Mutex
	dialed []*bus.Bus // by instances, which have ended before these are closed
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{server: bustest.Start(t)}
	w.url, w.size = w.server.URL(), w.server.StoreBytes()
	w.bus = w.server.Connect(t)
	store, err := objstore.Open(t.Context(), w.bus.JetStream(), objstore.DefaultConfig())
	require.NoError(t, err)
	w.store = store
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		for _, b := range w.dialed {
			if err := b.Close(ctx); err != nil {
				t.Logf("close bus: %v", err)
			}
		}
	})
	return w
}

// upload stores a bundle made from a seed and returns its reference as an event carries it.
func (w *world) upload(t testing.TB, seed uint64) events.Artifact {
	t.Helper()
	return w.put(t, encoded(t, seed))
}

func (w *world) put(t testing.TB, data []byte) events.Artifact {
	t.Helper()
	ref, err := artifact.PutBytes(t.Context(), w.store, data)
	require.NoError(t, err)
	return events.Artifact{Name: "bundle.tar", Digest: string(ref.Digest), SizeBytes: ref.Size}
}

// bundles are made once: fitting one takes longer than most tests.
var bundles sync.Map

func encoded(t testing.TB, seed uint64) []byte {
	t.Helper()
	if b, ok := bundles.Load(seed); ok {
		return b.([]byte)
	}
	b := modeltest.Encoded(t, modeltest.Options{Seed: seed, Relation: seed})
	bundles.Store(seed, b)
	return b
}

// promote writes the next version of the model and returns its number.
func (w *world) promote(t testing.TB, bundle events.Artifact) int {
	t.Helper()
	w.version++
	w.append(t, &events.ModelPromoted{Version: w.version, RunID: fmt.Sprint("run-", w.version), Bundle: bundle,
		PreviousVersion: w.version - 1, PreviousSequence: w.last, Cause: events.PromotedByGate})
	return w.version
}

// register says that the next version exists, as the registry does before it judges it.
func (w *world) register(t testing.TB, bundle events.Artifact) {
	t.Helper()
	n := w.version + 1
	_, err := w.bus.Publish(t.Context(), events.New(modelName, "test", fmt.Sprint("run-", n, "/", bundle.Digest), time.Now(),
		&events.ModelRegistered{Version: n, RunID: fmt.Sprint("run-", n), Bundle: bundle, TargetStage: events.StageProduction}))
	require.NoError(t, err)
}

func (w *world) withdraw(t testing.TB) {
	t.Helper()
	w.append(t, &events.ModelPromoted{PreviousVersion: w.version, PreviousSequence: w.last, Cause: events.PromotionWithdrawn})
}

func (w *world) append(t testing.TB, p *events.ModelPromoted) {
	t.Helper()
	seq, err := w.bus.Append(t.Context(), events.New(modelName, "test", fmt.Sprintf("v%d@%d", p.Version, w.last), time.Now(), p), w.last)
	require.NoError(t, err)
	w.last = seq
}

// instance is one running service.
type instance struct {
	*inference.Service
	stop func() // idempotent; fails the test if Run returned an error
}

// config is what instances of the world are made from.
func (w *world) config(t testing.TB, name string) inference.Config {
	t.Helper()
	c := inference.DefaultConfig()
	c.Addr, c.Instance, c.Log = "127.0.0.1:0", name, slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	c.Metrics, c.Health = app.NewRegistry(), app.NewHealth()
	c.Dial = func(ctx context.Context) (*bus.Bus, artifact.Store, error) {
		b, err := bus.Connect(ctx, bus.Config{URL: w.url, Name: name, StoreBytes: w.size})
		if err != nil {
			return nil, nil, err
		}
		w.mu.Lock()
		w.dialed = append(w.dialed, b)
		w.mu.Unlock()
		store, err := objstore.Open(ctx, b.JetStream(), objstore.DefaultConfig())
		return b, store, err
	}
	return c
}

// run starts an instance that ends with the test at the latest.
func run(t testing.TB, c inference.Config) *instance {
	t.Helper()
	s, err := inference.New(c)
	require.NoError(t, err)
	return start(t, s)
}

// start is run for a service that is made already.
func start(t testing.TB, s *inference.Service) *instance {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return &instance{Service: s, stop: stop}
}

// answer is what a client sees.
type answer struct {
	PredictionID string              `json:"prediction_id"`
	Model        string              `json:"model"`
	Version      int                 `json:"version"`
	Probability  json.Number         `json:"churn_probability"` // text, so that equal means equal bits
	Label        string              `json:"label"`
	Threshold    float64             `json:"threshold"`
	Warnings     []inference.Problem `json:"warnings"`
}

func (i *instance) post(t testing.TB, path string, body []byte) (int, http.Header, []byte) {
	t.Helper()
	resp, err := http.Post("http://"+i.Addr()+path, "", bytes.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, out
}

func (i *instance) predict(t testing.TB, record []byte) answer {
	t.Helper()
	code, _, body := i.post(t, "/predict", record)
	require.Equal(t, http.StatusOK, code, string(body))
	return decode(t, body)
}

func decode(t testing.TB, body []byte) answer {
	t.Helper()
	var a answer
	require.NoError(t, json.Unmarshal(body, &a), string(body))
	return a
}

func (i *instance) get(t testing.TB, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + i.Addr() + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(out)
}

// serves waits until the instance answers with a version.
func (i *instance) serves(t testing.TB, version int, record []byte) {
	t.Helper()
	bustest.Eventually(t, func() bool {
		code, _, body := i.post(t, "/predict", record)
		return code == http.StatusOK && decode(t, body).Version == version
	}, fmt.Sprintf("%s answers with version %d", i.Addr(), version))
}

// request asks over NATS.
func (w *world) request(t testing.TB, body []byte, header nats.Header) *nats.Msg {
	t.Helper()
	msg, err := w.bus.Conn().RequestMsg(&nats.Msg{Subject: "predict." + modelName, Data: body, Header: header}, 5*time.Second)
	require.NoError(t, err)
	return msg
}

// read returns the events of one type that are stored, in order.
func read[P events.Payload](t testing.TB, w *world, stream events.Stream) []P {
	t.Helper()
	var out []P
	require.NoError(t, w.bus.Read(t.Context(), bus.ReadConfig{Stream: stream}, func(m bus.Message) error {
		require.NoError(t, m.Err)
		if p, ok := m.Event.Payload.(P); ok {
			out = append(out, p)
		}
		return nil
	}))
	return out
}

func records(t testing.TB) [][]byte {
	t.Helper()
	return modeltest.Records(t, modeltest.Options{Rows: 60, Seed: 99})
}

// testWriter sends a log to the test's own.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Helper()
	w.t.Log(string(bytes.TrimRight(b, "\n")))
	return len(b), nil
}
