package drift

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/model/modeltest"
)

// awayStore is a store that does not answer while away is set.
type awayStore struct {
	artifact.Store
	away  atomic.Bool
	asked atomic.Int64
}

func (s *awayStore) Open(ctx context.Context, d artifact.Digest) (io.ReadCloser, error) {
	s.asked.Add(1)
	if s.away.Load() {
		return nil, errors.New("store is away")
	}
	return s.Store.Open(ctx, d)
}

func TestStoreAwayStopsAndSkipsNothing(t *testing.T) {
	w := newWorld(t)
	store := &awayStore{Store: w.store}
	store.away.Store(true)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp})
	w.startOn(w.bus, store)
	w.predict(sp.Name, w.answers(b1, 1, p1, records(t, sp, 60, 7, 1))...)
	eventually(t, func() bool { return store.asked.Load() >= 2 }, "the bundle is asked for again")
	require.Empty(t, w.stored(events.Drift))
	store.away.Store(false)
	e := awaitCount[events.DriftEvaluated](w, events.Drift, 1)[0]
	require.Equal(t, 50, e.Rows)
	require.Equal(t, uint64(1), e.WindowFirst)
	require.Empty(t, deadLetters(w))
}

func TestUnusableBundleLeavesTheFormerReference(t *testing.T) {
	w := newWorld(t)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp})
	s, _ := w.start()
	for _, c := range []struct {
		name, digest string
	}{
		{"not in the store", string(artifact.DigestOf([]byte("nothing")))},
		{"no bundle", func() string {
			ref, err := artifact.PutBytes(t.Context(), w.store, []byte("no bundle"))
			require.NoError(t, err)
			return string(ref.Digest)
		}()},
	} {
		before := len(w.stored(events.Drift))
		w.predict(sp.Name, w.answers(b1, 1, p1, records(t, sp, 25, 7, 1))...)
		p := w.promoteDigest(sp.Name, 2, c.digest)
		w.predict(sp.Name, w.answers(b1, 2, p, records(t, sp, 25, 8, 1))...)
		e := awaitCount[events.DriftEvaluated](w, events.Drift, before+1)[before]
		require.Equal(t, 1, e.Version, c.name)
		require.Equal(t, p1, e.PromotionSequence, c.name)
	}
	require.Empty(t, deadLetters(w))
	// Once the object is there, the reference is used.
	data := modeltest.Encoded(t, modeltest.Options{Spec: sp, Seed: 9})
	p := w.promoteDigest(sp.Name, 3, string(artifact.DigestOf(data)))
	w.predict(sp.Name, w.answers(b1, 3, p, records(t, sp, 1, 9, 1))...)
	eventually(t, func() bool { return s.status.status().Models[0].Ordinal == 101 }, "the prediction is taken")
	_, err := artifact.PutBytes(t.Context(), w.store, data)
	require.NoError(t, err)
	eventually(t, func() bool {
		w.predict(sp.Name, w.answers(b1, 3, p, records(t, sp, 1, 9, 1))...)
		return s.status.status().Models[0].Version == 3
	}, "the reference is tried again")
}

func TestJunkIsDeadLettered(t *testing.T) {
	w := newWorld(t)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp})
	w.start()
	publish := func(subject, data string) {
		_, err := w.bus.JetStream().Publish(t.Context(), subject, []byte(data))
		require.NoError(t, err)
	}
	publish("prediction.made."+sp.Name, "not json")
	publish("prediction.made.=!", "{}")
	publish("example.joined."+sp.Name, `{"prediction_id":"x"}`)
	publish("label.observed."+sp.Name, `{"entity_id":"x","outcome":null}`)
	w.predict(sp.Name,
		w.prediction([]byte(`{"customerID":"a"}`), 1, 0, 0.5),   // no promotion
		w.prediction([]byte(`{"customerID":"b"}`), 1, 999, 0.5), // none of that sequence
		w.prediction([]byte(`{"customerID":"c"}`), 2, p1, 0.5),  // of another version
		w.prediction([]byte(`{"customerID":"d"}`), 1, p1, 0.5),  // a record without its columns
	)
	w.predict("stranger", w.prediction([]byte(`{"customerID":"e"}`), 1, p1, 0.5)) // another model's promotion
	w.predict(sp.Name, w.answers(b1, 1, p1, records(t, sp, 49, 7, 1))...)
	e := awaitCount[events.DriftEvaluated](w, events.Drift, 1)[0]
	require.Equal(t, 50, e.Rows, "the torn record and the 49 good ones")
	require.Equal(t, 49, column(t, e, "tenure").N)
	eventually(t, func() bool { return len(deadLetters(w)) >= 9 }, "nine letters")
	reasons := map[string]int{}
	for _, d := range deadLetters(w) {
		reasons[d.Stream]++
		if d.Stream == string(events.Predictions) && strings.Contains(string(d.Data), `"c"`) {
			require.Contains(t, d.Reason, "it is of version 1")
		}
	}
	require.Equal(t, map[string]int{"PREDICTIONS": 7, "TRAINING": 1, "LABELS": 1}, reasons)
}

// The label of an entity is reported, joined, and delivered again after another prediction of the entity was stored: it joins no second one.
func TestRedeliveredEntityLabelJoinsOnce(t *testing.T) {
	w := newWorld(t)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp})
	rs := records(t, sp, 2, 7, 1)
	w.predict(sp.Name, w.answers(b1, 1, p1, rs)...)
	var joined atomic.Int64
	failing := make(chan struct{}, 100)
	w.start(func(s *Service) {
		s.step = func(what string) error {
			if what == "joined" && joined.Add(1) <= 2 { // written, and the process can't tell the server that it is done
				failing <- struct{}{}
				return errors.New("no ack")
			}
			return nil
		}
	})
	future := time.Now().Add(time.Minute)
	w.label(sp.Name, &events.LabelObserved{EntityID: "c7-00000", Outcome: "Yes", ObservedAt: future})
	<-failing
	w.predict(sp.Name, w.answers(b1, 1, p1, rs[:1])...)
	w.label(sp.Name, &events.LabelObserved{EntityID: "c7-00001", Outcome: "No", ObservedAt: future})
	got := awaitCount[events.ExampleJoined](w, events.Training, 2)
	require.Equal(t, "p000001", got[0].PredictionID)
	require.Equal(t, "p000002", got[1].PredictionID)
	eventually(t, func() bool {
		c, err := w.bus.JetStream().Consumer(t.Context(), string(events.Labels), "drift-labels")
		require.NoError(t, err)
		info, err := c.Info(t.Context())
		require.NoError(t, err)
		return info.NumAckPending == 0 && info.NumPending == 0
	}, "both labels are settled")
	require.Len(t, w.stored(events.Training), 2)
}

func TestRecreatedStreamStartsANewWindow(t *testing.T) {
	w := newWorld(t)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp})
	_, stop := w.start()
	w.predict(sp.Name, w.answers(b1, 1, p1, records(t, sp, 120, 7, 1))...)
	awaitCount[events.DriftEvaluated](w, events.Drift, 2)
	stop()
	require.NoError(t, w.bus.JetStream().DeleteStream(t.Context(), string(events.Predictions)))
	w.start()
	eventually(t, func() bool {
		_, err := w.bus.JetStream().Stream(t.Context(), string(events.Predictions))
		return err == nil
	}, "the stream is provisioned again")
	w.predict(sp.Name, w.answers(b1, 1, p1, records(t, sp, 60, 8, 1))...)
	e := awaitCount[events.DriftEvaluated](w, events.Drift, 3)[2]
	require.Equal(t, uint64(3), e.Evaluation)
	require.Equal(t, uint64(150), e.Ordinal, "the ordinal goes on from the checkpoint")
	require.Equal(t, 50, e.Rows)
	require.Equal(t, uint64(50), e.PredictionsSequence)
}

func TestOneModelOnly(t *testing.T) {
	w := newWorld(t)
	one, two := smallSpec(), smallSpec()
	one.Name, two.Name = "one", "two"
	s, _ := w.start(func(s *Service) { s.cfg.Model = "one" })
	p1, b1 := w.promote(1, modeltest.Options{Spec: one})
	seq := w.seq
	w.seq = 0
	p2, b2 := w.promote(1, modeltest.Options{Spec: two})
	w.seq = seq
	other, mine := w.answers(b2, 1, p2, records(t, two, 50, 7, 1)), w.answers(b1, 1, p1, records(t, one, 50, 7, 1))
	w.predict("two", other...)
	w.predict("one", mine...)
	w.label("two", &events.LabelObserved{PredictionID: other[0].PredictionID, Outcome: "Yes"})
	w.label("one", &events.LabelObserved{PredictionID: mine[0].PredictionID, Outcome: "Yes"})
	awaitCount[events.DriftEvaluated](w, events.Drift, 1)
	require.Equal(t, mine[0].PredictionID, awaitCount[events.ExampleJoined](w, events.Training, 1)[0].PredictionID)
	require.Len(t, s.status.status().Models, 1)
}

func TestStatusAndMetrics(t *testing.T) {
	w := newWorld(t)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp})
	s, stop := w.start()
	w.predict(sp.Name, w.answers(b1, 1, p1, records(t, sp, 120, 7, 1))...)
	awaitCount[events.DriftEvaluated](w, events.Drift, 2)
	eventually(t, func() bool { return s.cfg.Health.Ready() }, "ready")
	check := func(s *Service) {
		var st Status
		require.NoError(t, json.Unmarshal([]byte(get(t, "http://"+s.Addr()+"/status")), &st))
		require.Len(t, st.Models, 1)
		require.Equal(t, uint64(2), st.Models[0].Data.Evaluation)
		body := get(t, "http://"+s.Addr()+"/metrics")
		require.Contains(t, body, `churn_drift_state{column="MonthlyCharges",model="telco-churn",version="1"} 0`)
		require.Contains(t, body, `churn_feature_psi{column="tenure",model="telco-churn",version="1"}`)
	}
	eventually(t, func() bool { return s.status.status().Models[0].Ordinal == 120 }, "all taken")
	check(s)
	stop()
	again, _ := w.start()
	eventually(t, func() bool { return again.cfg.Health.Ready() }, "ready again")
	check(again)
	require.Len(t, w.stored(events.Drift), 2)

	c := s.cfg
	c.Addr, c.Metrics = again.Addr(), again.cfg.Metrics
	_, err := New(c)
	require.Error(t, err, "metrics are taken")
	c = DefaultConfig()
	require.ErrorContains(t, c.Validate(), "a bus is required")
}

func TestBusyPortNamesTheFlag(t *testing.T) {
	w := newWorld(t)
	s, _ := w.start()
	c := s.cfg
	c.Addr, c.Metrics = s.Addr(), prometheus.NewRegistry()
	_, err := New(c)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, "--drift-addr")
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return string(body)
}
