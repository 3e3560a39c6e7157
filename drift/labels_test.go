package drift

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/modeltest"
)

// counted returns how many labels of a model ended in a way.
func counted(s *Service, model, outcome string) uint64 {
	for _, m := range s.status.status().Models {
		if m.Model == model {
			return m.Labels[outcome]
		}
	}
	return 0
}

// LABELS is created anew while TRAINING stays: new labels stand where old ones were joined.
func TestLabelsOfARecreatedStreamJoin(t *testing.T) {
	w := newWorld(t)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp, Seed: 1})
	_, stop := w.start()
	ps := w.answers(b1, 1, p1, records(t, sp, 5, 7, 1))
	w.predict(sp.Name, ps...)
	at := time.Now().Add(time.Minute).UTC()
	w.label(sp.Name,
		&events.LabelObserved{PredictionID: ps[0].PredictionID, Outcome: "Yes"},
		&events.LabelObserved{EntityID: ps[1].EntityID, Outcome: "Yes", ObservedAt: at},
		&events.LabelObserved{EntityID: ps[2].EntityID, Outcome: "Yes", ObservedAt: at},
	)
	awaitCount[events.ExampleJoined](w, events.Training, 3)
	stop()
	require.NoError(t, w.bus.JetStream().DeleteStream(t.Context(), string(events.Labels)))
	s, _ := w.start()
	eventually(t, func() bool { return s.cfg.Health.Ready() }, "ready")
	w.label(sp.Name,
		&events.LabelObserved{PredictionID: ps[3].PredictionID, Outcome: "Yes"},
		&events.LabelObserved{EntityID: ps[4].EntityID, Outcome: "Yes", ObservedAt: at}, // of the same batch
		&events.LabelObserved{EntityID: ps[2].EntityID, Outcome: "Yes", ObservedAt: at}, // the very same
		&events.LabelObserved{PredictionID: ps[0].PredictionID, Outcome: "No"},
	)
	eventually(t, func() bool { return counted(s, sp.Name, labelCorrection) == 1 }, "the last is handled")
	require.Equal(t, uint64(2), counted(s, sp.Name, labelJoined))
	require.Equal(t, uint64(1), counted(s, sp.Name, labelDuplicate))
	got := awaitCount[events.ExampleJoined](w, events.Training, 5)
	require.Equal(t, ps[3].PredictionID, got[3].PredictionID)
	require.Equal(t, ps[4].PredictionID, got[4].PredictionID)
}

// A bundle that is gone for good takes its labels with it, and holds up no others.
func TestLabelsOfAnUnusableReferenceBecomeDeadLetters(t *testing.T) {
	w := newWorld(t)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp, Seed: 1})
	p2 := w.promoteDigest(sp.Name, 2, string(artifact.DigestOf([]byte("nothing"))))
	ref, err := artifact.PutBytes(t.Context(), w.store, []byte("no bundle"))
	require.NoError(t, err)
	p3 := w.promoteDigest(sp.Name, 3, string(ref.Digest))
	s, _ := w.start()
	rs := records(t, sp, 5, 7, 1)
	good, gone, broken := w.answers(b1, 1, p1, rs[:1]), w.answers(b1, 2, p2, rs[1:3]), w.answers(b1, 3, p3, rs[3:])
	w.predict(sp.Name, append(append(good, gone...), broken...)...)
	at := time.Now().Add(time.Minute)
	w.label(sp.Name,
		&events.LabelObserved{PredictionID: gone[0].PredictionID, Outcome: "Yes"},
		&events.LabelObserved{EntityID: gone[1].EntityID, Outcome: "Yes", ObservedAt: at},
		&events.LabelObserved{PredictionID: broken[0].PredictionID, Outcome: "Yes"},
		&events.LabelObserved{EntityID: broken[1].EntityID, Outcome: "Yes", ObservedAt: at},
		&events.LabelObserved{PredictionID: good[0].PredictionID, Outcome: "Yes"},
	)
	eventually(t, func() bool { return len(deadLetters(w)) == 4 }, "four letters")
	for _, d := range deadLetters(w) {
		require.Equal(t, string(events.Labels), d.Stream)
		require.Contains(t, d.Reason, "reference cannot be used")
	}
	require.Equal(t, uint64(4), counted(s, sp.Name, labelDead))
	require.Equal(t, good[0].PredictionID, awaitCount[events.ExampleJoined](w, events.Training, 1)[0].PredictionID)
	eventually(t, func() bool {
		c, err := w.bus.JetStream().Consumer(t.Context(), string(events.Labels), "drift-labels")
		require.NoError(t, err)
		info, err := c.Info(t.Context())
		require.NoError(t, err)
		return info.NumAckPending == 0 && info.NumPending == 0
	}, "nothing waits")
}

// Many ask for a bundle at once; the store is given time between two answers that it has none, and rest after the last.
func TestMissingBundleIsBelievedAfterAWhile(t *testing.T) {
	w := newWorld(t)
	store := &awayStore{Store: w.store}
	p := w.promoteDigest("m", 1, string(artifact.DigestOf([]byte("nothing"))))
	c := serviceConfig(w.bus, store)
	now := time.Unix(1_700_000_000, 0)
	c.Now, c.Retry = func() time.Time { return now }, 30*time.Second
	s, err := New(c)
	require.NoError(t, err)
	defer s.admin.Close()
	for try := range believedAfter {
		for range 5 {
			_, err = s.refs.load(t.Context(), "m", p)
			require.ErrorIs(t, err, artifact.ErrNotFound)
			require.Equal(t, try == believedAfter-1, errors.Is(err, errUnusable), "try %d", try)
		}
		require.EqualValues(t, try+1, store.asked.Load())
		now = now.Add(c.Retry / believedAfter)
	}
	_, err = s.refs.load(t.Context(), "m", p)
	require.ErrorIs(t, err, errUnusable)
	require.EqualValues(t, believedAfter, store.asked.Load(), "a pause")
	now = now.Add(c.Retry)
	_, err = s.refs.load(t.Context(), "m", p)
	require.ErrorIs(t, err, errUnusable)
	require.EqualValues(t, believedAfter+1, store.asked.Load(), "asked again now and then")
}

// logbook is a log that a test reads while others write it.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A label whose prediction is stored but not in the index yet waits, and nobody is alarmed.
func TestLabelWaitsQuietlyForTheIndex(t *testing.T) {
	w := newWorld(t)
	sp := smallSpec()
	p1, b1 := w.promote(1, modeltest.Options{Spec: sp, Seed: 1})
	ps := w.answers(b1, 1, p1, records(t, sp, 1, 7, 1))
	w.predict(sp.Name, ps...)
	w.label(sp.Name, &events.LabelObserved{PredictionID: ps[0].PredictionID, Outcome: "Yes"})
	log := &logbook{}
	b := w.server.Dial(t, bus.Config{Name: "own", Source: "own", Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	s, err := New(serviceConfig(b, w.store))
	require.NoError(t, err)
	defer s.admin.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	ended := make(chan error, 2)
	running.Go(func() { ended <- s.joiner.consume(ctx) })
	eventually(t, func() bool { return strings.Contains(log.String(), errIndexBehind.Error()) }, "the label waits")
	require.NotContains(t, log.String(), "level=WARN")
	require.NotContains(t, log.String(), "level=ERROR")
	running.Go(func() { ended <- s.joiner.follow(ctx) })
	require.Equal(t, ps[0].PredictionID, awaitCount[events.ExampleJoined](w, events.Training, 1)[0].PredictionID)
	cancel()
	for range 2 {
		require.NoError(t, <-ended)
	}
}
