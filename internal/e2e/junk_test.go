package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/synth"
)

// place is where a message stands.
type place struct {
	stream   string
	sequence uint64
}

// junkOf returns messages for a subject that are no events, by what is wrong with them.
func junkOf(k events.Kind, subject string) map[string]*nats.Msg {
	other := events.TypeRunFailed
	if k.Type == other {
		other = events.TypeModelPromoted
	}
	m := map[string]*nats.Msg{
		"not JSON":        {Data: []byte("junk {")},
		"nothing":         {},
		"null":            {Data: []byte("null")},
		"a list":          {Data: []byte("[1, 2]")},
		"missing fields":  {Data: []byte("{}")},
		"NaN":             {Data: []byte(`{"version": NaN, "score": NaN, "value": NaN}`)},
		"a wrong field":   {Data: []byte(`{"run_id": 7, "instance": 7, "column": 7, "prediction_id": 7, "target_stage": 7, "sequence": "x", "kind": 7, "cron": 7, "version": "x"}`)},
		"an unknown type": {Data: []byte("{}"), Header: nats.Header{events.HeaderType: {"no.such.v1"}}},
		"another type":    {Data: []byte("{}"), Header: nats.Header{events.HeaderType: {string(other)}}},
		"a bad time":      {Data: []byte("{}"), Header: nats.Header{events.HeaderTime: {"yesterday"}}},
		"900 KB of bytes": {Data: bytes.Repeat([]byte{0xff, 0x00, '{'}, 300<<10)},
	}
	if k.Type == events.TypeModelPromoted {
		m["900 KB of spaces"] = &nats.Msg{Data: bytes.Repeat([]byte{' '}, 900<<10)}
	}
	for name, msg := range m {
		msg.Subject = subject
		if _, err := events.Decode(subject, msg.Header, msg.Data); err == nil {
			delete(m, name) // an event whose fields are all optional
		}
		if len(msg.Data) > 64<<10 && !strings.HasSuffix(subject, "."+model) {
			delete(m, name) // once is enough
		}
	}
	return m
}

// litter publishes junk on a subject of every kind and returns where it stands.
func (e *everything) litter(t *testing.T, of string) map[place]string {
	t.Helper()
	all := map[place]string{}
	for _, k := range events.Kinds() {
		subject, err := k.Subject(of)
		require.NoError(t, err)
		junk := junkOf(k, subject)
		require.GreaterOrEqual(t, len(junk), 8, subject)
		for name, msg := range junk {
			ack, err := e.bus.JetStream().PublishMsg(t.Context(), msg)
			require.NoError(t, err, "%s on %s", name, subject)
			all[place{ack.Stream, ack.Sequence}] = name + " on " + subject
		}
	}
	return all
}

// buried waits until each message has its dead letter, and returns the reasons by place.
func (e *everything) buried(t *testing.T, all map[place]string) map[place]string {
	t.Helper()
	reasons := map[place]string{}
	await(t, 2*patience, "dead letters of the junk", func() error {
		if n := e.letters(t); n < uint64(len(all)) {
			return fmt.Errorf("%d of %d", n, len(all))
		}
		clear(reasons)
		for _, d := range deadLetters(t, e.bus) {
			require.NotEmpty(t, d.Reason)
			reasons[place{d.Stream, d.Sequence}] = d.Reason
		}
		for p, what := range all {
			if reasons[p] == "" {
				return fmt.Errorf("%s has none", what)
			}
		}
		return nil
	})
	return reasons
}

// letters counts the dead letters without reading them.
func (e *everything) letters(t *testing.T) uint64 {
	t.Helper()
	s, err := e.bus.JetStream().Stream(t.Context(), string(events.Dead))
	require.NoError(t, err)
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(events.DeadPrefix+".>"))
	require.NoError(t, err)
	n := uint64(0)
	for _, of := range info.State.Subjects {
		n += of
	}
	return n
}

func TestJunkEverywhere(t *testing.T) {
	t.Parallel()
	e := up(t)
	asked := startAsking(t, e.bus.Conn(), e.addr)
	all := e.litter(t, model)
	for p, what := range e.litter(t, "no-such-model") {
		all[p] = what
	}
	e.refuses(t)
	reasons := e.buried(t, all)
	for p, reason := range reasons {
		require.Contains(t, all, p, "a dead letter of what is no junk: %s", reason)
	}
	require.NotEmpty(t, e.cli(t, "dead"))

	// the junk tail of model.promoted is repaired, so that who reads only the last message finds a valid one
	await(t, patience, "the registry repairs the tail", func() error {
		m, ok, err := e.bus.Last(t.Context(), events.TypeModelPromoted, model)
		if err != nil || !ok || m.Err != nil {
			return fmt.Errorf("last is %v (%v)", m.Err, err)
		}
		return nil
	})
	last := lifecycle(t, e.bus).production()
	require.Equal(t, events.PromotionRepair, last.Cause)
	require.Equal(t, 1, last.Version)

	// and everything goes on: a run, a promotion, an exchange, labels, drift
	writeData(t, e.data, synth.Config{Rows: 2000, Seed: 2, Regime: synth.Shifted, IDPrefix: "b-"})
	e.cli(t, "train", "--target", "production")
	c := customers(t, 1)[0]
	e.joins(t, serves(t, e.addr, 2, c.record), c)
	evaluated := messages(t, e.bus, string(events.Drift))
	await(t, patience, "drift evaluates", func() error {
		if n := messages(t, e.bus, string(events.Drift)); n <= evaluated {
			return fmt.Errorf("%d predictions", messages(t, e.bus, string(events.Predictions)))
		}
		return nil
	})
	t.Logf("%d junk messages, %d requests, none failed", len(all), asked.end(t))
	f := lifecycle(t, e.bus)
	require.NoError(t, f.unfinished(0))
	f.check(t)
	require.Len(t, f.versions, 2)
	e.stop(t)
}

// joins publishes the outcome of a prediction and waits until it has joined it.
func (e *everything) joins(t *testing.T, a answer, c customer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := e.bus.Publish(ctx, events.New(model, e.bus.Source(), a.PredictionID, time.Now(), &events.LabelObserved{
		PredictionID: a.PredictionID, Outcome: events.Outcome(c.outcome)}))
	require.NoError(t, err)
	await(t, patience, "the label joins its prediction", func() error {
		found := 0
		read(t, e.bus, events.Training, func(m bus.Message) {
			if p, ok := m.Event.Payload.(*events.ExampleJoined); ok && p.PredictionID == a.PredictionID {
				found++
			}
		})
		if found != 1 {
			return fmt.Errorf("joined %d times", found)
		}
		return nil
	})
}

// refuses asks for what can't be answered, over HTTP and over NATS: each gets the same clear answer.
func (e *everything) refuses(t *testing.T) {
	t.Helper()
	good := string(customers(t, 1)[0].record)
	for _, c := range []struct {
		name, body string
		code       int
		says       string
	}{
		{"not JSON", "junk {", http.StatusUnprocessableEntity, "json"},
		{"nothing", "", http.StatusUnprocessableEntity, ""},
		{"NaN", strings.Replace(good, `"tenure":`, `"tenure":NaN,"was":`, 1), http.StatusUnprocessableEntity, ""},
		{"NaN as text", strings.Replace(good, `"tenure":`, `"tenure":"NaN","was":`, 1), http.StatusUnprocessableEntity, "tenure"},
		{"missing fields", `{"customerID":"x"}`, http.StatusUnprocessableEntity, "tenure"},
		{"text in a number", strings.Replace(good, `"tenure":`, `"tenure":"many","was":`, 1), http.StatusUnprocessableEntity, "tenure"},
		{"900 KB", strings.Repeat("\xff", 900<<10), http.StatusUnprocessableEntity, ""},
	} {
		resp, err := client.Post("http://"+e.addr+"/predict", "application/json", strings.NewReader(c.body))
		require.NoError(t, err, c.name)
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, c.code, resp.StatusCode, "%s: %.500s", c.name, body.String())
		require.Contains(t, strings.ToLower(body.String()), strings.ToLower(c.says), c.name)
		m, err := e.bus.Conn().Request(events.PredictPrefix+"."+model, []byte(c.body), 10*time.Second)
		require.NoError(t, err, c.name)
		require.Equal(t, fmt.Sprint(c.code), m.Header.Get("Nats-Service-Error-Code"), c.name)
		require.JSONEq(t, body.String(), string(m.Data), c.name)
	}
	extra, err := post(e.addr, []byte(strings.Replace(good, "{", `{"shoe_size":44,`, 1)))
	require.NoError(t, err, "an extra field is no fault")
	plain, err := post(e.addr, []byte(good))
	require.NoError(t, err)
	require.Equal(t, plain.Probability, extra.Probability)
	require.NoError(t, e.bus.Conn().Publish(events.PredictPrefix+"."+model, []byte("junk without a reply subject")))
	_, err = e.bus.Conn().Request(events.PredictPrefix+".no-such-model", []byte(good), 10*time.Second)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}
