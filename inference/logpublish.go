package inference

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unsafe"

	"github.com/nats-io/nats.go"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// logPublisher is what the publishing goroutine needs.
type logPublisher struct {
	bus     *bus.Bus
	windows [2]*bus.Window // in turn: no more pages are under way
	turn    int
	msg     nats.Msg
	id      []byte // the event id; from idAt on the prediction id
	idAt    int
	at      []byte
}

// flight is a page under way.
type flight struct {
	*page
	window *bus.Window
	count  int // of the answers that it began with
	size   int64
	sent   time.Time
	err    error // why nothing was sent
}

// flight gives a page the window that is free.
func (t *logPublisher) flight(p *page) *flight {
	t.turn = 1 - t.turn
	return &flight{page: p, window: t.windows[t.turn], count: len(p.entries), size: int64(len(p.data))}
}

func (t *logPublisher) close() {
	for _, w := range t.windows {
		if w != nil {
			w.Close()
		}
	}
}

// publisher prepares the message that all events of this log share: subject and headers are those that package events gives one of them.
func (l *predictionLog) publisher(b *bus.Bus) (*logPublisher, error) {
	const key = "00000000-0000-7000-8000-000000000000"
	sample, err := b.Msg(events.New(l.model, l.source, key, time.Unix(0, 0), &events.PredictionMade{PredictionID: key, Version: 1, Record: json.RawMessage("{}")}))
	if err != nil {
		return nil, err
	}
	id := sample.Header[events.HeaderID][0]
	t := &logPublisher{bus: b, msg: *sample, id: []byte(id), idAt: len(id) - len(key)}
	for i := range t.windows {
		if t.windows[i], err = b.NewWindow(); err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

// message returns the message of an entry, which holds until the next one.
func (t *logPublisher) message(p *page, e *logEntry) *nats.Msg {
	copy(t.id[t.idAt:], e.id[:])
	t.at = e.at.UTC().AppendFormat(t.at[:0], time.RFC3339Nano)
	id := unsafe.String(unsafe.SliceData(t.id), len(t.id)) // the connection copies them before the next message
	t.msg.Header[events.HeaderID][0], t.msg.Header[events.HeaderMsgID][0] = id, id
	t.msg.Header[events.HeaderTime][0] = unsafe.String(unsafe.SliceData(t.at), len(t.at))
	t.msg.Data = p.data[e.from:e.to]
	return &t.msg
}

// settle waits for the acks of a page that was sent, and sends it again until every answer is acknowledged or can never be, or ctx ends: then it
// returns how many are left.
func (l *predictionLog) settle(ctx context.Context, to *logPublisher, f *flight) (left int) {
	pause := logPauseMin
	for attempt := 1; ; attempt++ {
		err := l.collect(ctx, f)
		if left = len(f.entries); left == 0 || ctx.Err() != nil {
			l.done(f.page, f.count, f.size)
			return left
		}
		if attempt == 1 || attempt%20 == 0 {
			l.log.Warn("predictions not acknowledged, publishing again", "model", l.model, "count", left, "attempt", attempt, "err", err)
		}
		l.metrics.logRetries.Add(float64(left))
		sleep(ctx, pause)
		pause = min(2*pause, logPauseMax)
		l.send(to, f)
	}
}

// send publishes a page once.
func (l *predictionLog) send(to *logPublisher, f *flight) {
	f.sent, f.err = time.Now(), nil
	if !to.bus.Connected() {
		f.err = nats.ErrDisconnected
		return
	}
	f.window.Begin(len(f.entries))
	for i := range f.entries {
		_ = f.window.Publish(i, to.message(f.page, &f.entries[i])) // Err has it
	}
}

// collect awaits the acks of what was sent. The answers that have none stay in the page, in their order; one of the errors is returned.
func (l *predictionLog) collect(ctx context.Context, f *flight) (last error) {
	if f.err != nil {
		return f.err
	}
	wait, cancel := context.WithDeadline(ctx, f.sent.Add(logAckWait))
	defer cancel()
	f.window.Wait(wait)
	kept := f.entries[:0]
	logged := 0
	for i, e := range f.entries {
		switch err := f.window.Err(i); {
		case err == nil:
			logged++
		case errors.Is(err, nats.ErrMaxPayload), bus.IsPermanent(err):
			l.drop(dropInvalid, 1)
			l.log.Error("prediction can't be logged", "prediction_id", string(e.id[:]), "model", l.model, "err", err)
		default:
			kept, last = append(kept, e), err
		}
	}
	f.entries = kept
	l.metrics.logged.Add(float64(logged))
	return last
}
