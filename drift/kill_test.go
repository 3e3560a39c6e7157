package drift

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// loop is traffic with everything in it that moves a state.
type loop struct {
	*world
	spec   *spec.Spec
	refs   map[uint64]*Reference
	made   []*events.PredictionMade
	labels int
}

func newLoop(t *testing.T) *loop {
	t.Helper()
	l := &loop{world: newWorld(t), spec: smallSpec(), refs: map[uint64]*Reference{}}
	l.spec.Drift.Performance.Consecutive = 1
	return l
}

// play publishes all of the traffic. Versions 1 and 2 are fitted on unshifted rows, 3 is version 1 again.
func (l *loop) play() {
	p1, b1 := l.promote(1, modeltest.Options{Spec: l.spec, Rows: 1500, Seed: 1})
	l.refs[p1] = NewReference(b1, 1, p1)
	add := func(ps ...*events.PredictionMade) {
		l.made = append(l.made, ps...)
		l.predict(l.spec.Name, ps...)
	}
	add(l.answers(b1, 1, p1, records(l.t, l.spec, 320, 11, 1))...)
	l.junk("prediction.made."+l.spec.Name, `{"prediction_id":"x"}`)
	l.predict(l.spec.Name, l.prediction([]byte(`{"customerID":"ghost"}`), 7, 9999, 0.5)) // no such promotion: counts nowhere
	add(l.answers(b1, 1, p1, records(l.t, l.spec, 330, 12, 1.7))...)
	l.made = append(l.made, l.prediction([]byte(`{"customerID":"torn"}`), 1, p1, 0.5)) // a record that does not fit its schema: counts, for the score
	l.predict(l.spec.Name, l.made[len(l.made)-1])
	p2, b2 := l.promote(2, modeltest.Options{Spec: l.spec, Rows: 1500, Seed: 2})
	l.refs[p2] = NewReference(b2, 2, p2)
	late, fresh := l.answers(b1, 1, p1, records(l.t, l.spec, 60, 13, 1.7)), l.answers(b2, 2, p2, records(l.t, l.spec, 260, 14, 1.7))
	for i := range late { // an instance that has not heard of version 2 yet
		add(fresh[i], late[i])
	}
	add(fresh[len(late):]...)
	add(l.answers(b2, 2, p2, records(l.t, l.spec, 240, 15, 1))...)
	p3 := l.promoteDigest(l.spec.Name, 1, l.digestOf(p1))
	l.refs[p3] = NewReference(b1, 1, p3)
	add(l.answers(b1, 1, p3, records(l.t, l.spec, 130, 16, 1))...)
	// Labels say the opposite of the prediction half of the time, so live F1 falls.
	var labels []*events.LabelObserved
	for i, p := range l.made {
		if i%2 == 0 || p.EntityID == "torn" {
			outcome := events.Outcome("Yes")
			if p.Positive == (i%4 == 0) {
				outcome = "No"
			}
			labels = append(labels, &events.LabelObserved{PredictionID: p.PredictionID, Outcome: outcome})
		}
	}
	l.labels = len(labels)
	l.label(l.spec.Name, labels...)
	l.label(l.spec.Name, labels[:20]...) // reported twice
	l.junk("label.observed."+l.spec.Name, `{"outcome":"Yes"}`)
}

func (l *loop) junk(subject, data string) {
	l.t.Helper()
	_, err := l.bus.JetStream().Publish(l.t.Context(), subject, []byte(data))
	require.NoError(l.t, err)
}

func (l *loop) digestOf(promotion uint64) string {
	l.t.Helper()
	m, ok, err := l.bus.Get(l.t.Context(), events.Lifecycle, promotion)
	require.NoError(l.t, err)
	require.True(l.t, ok)
	return m.Event.Payload.(*events.ModelPromoted).Bundle.Digest
}

// expectData computes the evaluations and notices of PREDICTIONS as it is stored, each from the raw rows of its window, by nothing that was
// kept from the evaluation before but that evaluation itself.
func (l *loop) expectData() (evaluations []*events.DriftEvaluated, notices []events.Payload) {
	var rows []bus.Message
	var greatest uint64
	for _, m := range l.stored(events.Predictions) {
		p, ok := m.Event.Payload.(*events.PredictionMade)
		if !ok || l.refs[p.PromotionSequence] == nil {
			continue
		}
		rows = append(rows, m)
		greatest = max(greatest, p.PromotionSequence)
		if len(rows)%l.spec.Drift.Every != 0 {
			continue
		}
		w := NewWindow(l.refs[greatest])
		for _, m := range rows[max(0, len(rows)-l.spec.Drift.Window):] {
			p := m.Event.Payload.(*events.PredictionMade)
			_ = w.Add(Row{Sequence: m.Sequence, At: m.Time.UTC(), Version: p.Version, Score: p.Score, Record: p.Record}) // the torn one
		}
		var last *events.DriftEvaluated
		if n := len(evaluations); n > 0 {
			last = evaluations[n-1]
		}
		e, ns := w.Evaluate(last, Position{Evaluation: uint64(len(evaluations) + 1), Ordinal: uint64(len(rows))})
		evaluations, notices = append(evaluations, e), append(notices, ns...)
	}
	return evaluations, notices
}

// expectPerformance does the same for TRAINING as it is stored.
func (l *loop) expectPerformance() (evaluations []*events.DriftEvaluated, notices []events.Payload) {
	rows := map[int][]Example{}
	var greatest uint64
	rules := l.spec.Drift.Performance
	for _, m := range l.stored(events.Training) {
		p := m.Event.Payload.(*events.ExampleJoined)
		greatest = max(greatest, p.PromotionSequence)
		ref := l.refs[greatest]
		if ref.Version != p.Version {
			continue
		}
		rows[p.Version] = append(rows[p.Version], Example{m.Sequence, p.PredictionsSequence, m.Time.UTC(), p.Predicted, p.Observed})
		all := rows[p.Version]
		if len(all)%rules.Every != 0 {
			continue
		}
		var o Outcomes
		o.Resize(rules.Window)
		for _, x := range all[max(0, len(all)-rules.Window):] {
			o.Add(x)
		}
		var last *events.DriftEvaluated
		if n := len(evaluations); n > 0 {
			last = evaluations[n-1]
		}
		e, ns := o.Evaluate(ref, last, Position{Evaluation: uint64(len(evaluations) + 1), Ordinal: uint64(len(all))})
		evaluations, notices = append(evaluations, e), append(notices, ns...)
	}
	return evaluations, notices
}

// check holds the streams to what an uninterrupted computation gives. It waits until everything was handled.
func (l *loop) check() {
	l.t.Helper()
	l.await(func() bool { return l.count(events.Training) >= l.labels }, "every label joined")
	data, notices := l.expectData()
	live, more := l.expectPerformance()
	l.await(func() bool { return l.count(events.Drift) >= len(data)+len(live) }, "every evaluation made")
	l.await(func() bool { return len(deadLetters(l.world)) >= 4 }, "every junk told")

	joined := map[string]int{}
	examples := of[events.ExampleJoined](l.stored(events.Training))
	for _, x := range examples {
		joined[x.PredictionID]++
	}
	require.Len(l.t, examples, l.labels)
	require.Len(l.t, joined, l.labels, "a prediction was joined twice")

	var gotData, gotLive []*events.DriftEvaluated
	for _, e := range of[events.DriftEvaluated](l.stored(events.Drift)) {
		if e.Kind == events.DriftData {
			gotData = append(gotData, e)
		} else {
			gotLive = append(gotLive, e)
		}
	}
	equalJSON(l.t, data, gotData)
	equalJSON(l.t, live, gotLive)
	var gotNotices, gotMore []events.Payload
	for _, m := range l.stored(events.Causes) {
		var x *events.Measurement
		switch p := m.Event.Payload.(type) {
		case *events.DriftAlert:
			x = &p.Measurement
		case *events.DriftCleared:
			x = &p.Measurement
		}
		if x.Kind == events.DriftPerformance {
			gotMore = append(gotMore, m.Event.Payload)
		} else {
			gotNotices = append(gotNotices, m.Event.Payload)
		}
	}
	equalJSON(l.t, notices, gotNotices)
	equalJSON(l.t, more, gotMore)
	require.NotEmpty(l.t, notices)
	require.NotEmpty(l.t, more)
	require.Len(l.t, deadLetters(l.world), 4, "each junk once: a prediction, a promotion that is none, a torn record, a label")
}

// count returns how many messages a stream holds, of which none was removed.
func (l *loop) count(s events.Stream) int {
	l.t.Helper()
	n, err := l.bus.LastSequence(l.t.Context(), s)
	require.NoError(l.t, err)
	return int(n)
}

func (l *loop) await(cond func() bool, msg string) {
	l.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !cond(); {
		require.True(l.t, time.Now().Before(deadline), msg)
		<-time.After(20 * time.Millisecond)
	}
}

func equalJSON[T any](t testing.TB, want, got []T) {
	t.Helper()
	for i := range min(len(want), len(got)) {
		a, err := json.Marshal(want[i])
		require.NoError(t, err)
		b, err := json.Marshal(got[i])
		require.NoError(t, err)
		require.Equal(t, string(a), string(b), "%T %d", want[i], i)
	}
	require.Len(t, got, len(want))
}

func TestUninterruptedRunEqualsBatchComputation(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	l.start()
	l.play()
	l.check()
}

// killed runs a service of its own connection that loses that connection, and everything in memory, at the n-th step.
func (l *loop) killed(n int64) {
	l.t.Helper()
	b := l.server.Dial(l.t, bus.Config{Name: "victim", Source: "victim"})
	c := serviceConfig(b, openStore(l.t, b))
	s, err := New(c)
	require.NoError(l.t, err)
	s.joiner.ackWait = 3 * time.Second
	ctx, cancel := context.WithCancel(l.t.Context())
	defer cancel()
	var left atomic.Int64
	left.Store(n)
	s.step = func(string) error {
		if left.Add(-1) > 0 {
			return nil
		}
		b.Conn().Close() // nothing leaves this process any more, acks neither
		cancel()
		return errors.New("killed")
	}
	go func() { // there may be less to do than steps
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for before := int64(-1); ; before = left.Load() {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if c.Health.Ready() && left.Load() == before {
				b.Conn().Close()
				cancel()
			}
		}
	}()
	if err := s.Run(ctx); err != nil {
		require.True(l.t, errors.Is(err, bus.ErrClosed) || errors.Is(err, nats.ErrConnectionClosed) || ctx.Err() != nil, "%v", err)
	}
}

// However often drift is killed and wherever, the streams end up as those of one run that nothing interrupted.
func TestKillsAtAnyPointChangeNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(killSeeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			l := newLoop(t)
			l.play()
			rng := rand.New(rand.NewPCG(seed, 0))
			for range 12 {
				l.killed(1 + rng.Int64N(700))
			}
			l.start(func(s *Service) { s.joiner.ackWait = 3 * time.Second })
			l.check()
		})
	}
}

// Every step around one alert is a kill point of its own.
func TestKillsAroundAnAlert(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	l.play()
	// 45 steps in all: the traffic has some 80, and a kill that waits for one more than there are would wait for ever
	for n := int64(1); n <= 9; n++ {
		l.killedAtPublish(n)
	}
	l.start(func(s *Service) { s.joiner.ackWait = 3 * time.Second })
	l.check()
}

// killedAtPublish is killed counting only the steps around alerts and evaluations.
func (l *loop) killedAtPublish(n int64) {
	b := l.server.Dial(l.t, bus.Config{Name: "victim", Source: "victim"})
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Minute)
	defer cancel()
	c := serviceConfig(b, openStore(l.t, b))
	s, err := New(c)
	require.NoError(l.t, err)
	s.joiner.ackWait = 3 * time.Second
	var left atomic.Int64
	left.Store(n)
	defer func() { require.LessOrEqual(l.t, left.Load(), int64(0), "step %d of this start never came", n) }()
	s.step = func(what string) error {
		if what == "prediction" || what == "example" || what == "joined" || left.Add(-1) > 0 {
			return nil
		}
		b.Conn().Close()
		cancel()
		return errors.New("killed")
	}
	_ = s.Run(ctx) // the connection is gone, and Run says so or not
}

// Two processes at once, and a server that restarts under them, are no different from one.
func TestTwoProcessesWriteEverythingOnce(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	second := l.server.Dial(t, bus.Config{Name: "second", Source: "second"})
	l.startOn(second, openStore(t, second))
	l.start()
	l.play()
	l.check()
}

func TestServerRestartLosesNothing(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	var steps atomic.Int64
	reached := make(chan struct{})
	own := l.server.Dial(t, bus.Config{Name: "own", Source: "own"})
	l.startOn(own, openStore(t, own), func(s *Service) {
		s.joiner.ackWait = 3 * time.Second
		s.step = func(string) error {
			if steps.Add(1) == 500 {
				close(reached)
			}
			return nil
		}
	})
	l.play()
	select {
	case <-reached:
	case <-time.After(2 * time.Minute):
		require.Fail(t, "the 500th step never came")
	}
	l.server.Restart(t)
	l.check()
}
