package inference

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

const (
	logBatch    = 512             // answers published before their acks are awaited
	logAckWait  = 5 * time.Second // per batch; what has no ack by then is published again
	logFlush    = 5 * time.Second // for what is queued when the service stops
	logPauseMin = 50 * time.Millisecond
	logPauseMax = 2 * time.Second
)

// A batch is given up by the log before the client gives its publishes up: this does not compile otherwise.
const _ = uint64(bus.PublishAckTimeout - logAckWait)

// entry is one answer on its way to PREDICTIONS.
type entry struct {
	at   time.Time
	made *events.PredictionMade
}

// predictionLog publishes answers in the order of their ordinals, asynchronously. add never blocks: what does not fit the two bounds is
// dropped and counted. Each batch is acknowledged before the next is sent, and what was not is sent again with the same message id, so that
// an outage shorter than the stream's dedupe window leaves no row twice; after a longer one a row whose ack was lost can stand twice, under
// the same prediction id.
type predictionLog struct {
	model    string
	source   string
	log      *slog.Logger
	metrics  *metrics
	queue    chan entry
	maxBytes int64

	bytes   atomic.Int64  // of the records queued
	ordinal atomic.Uint64 // of the last answer of this boot
	dropped atomic.Uint64
}

func newPredictionLog(c Config, m *metrics) *predictionLog {
	return &predictionLog{model: c.Model, source: c.source(), log: c.Log, metrics: m, queue: make(chan entry, c.LogQueue), maxBytes: c.LogBytes}
}

// next returns the ordinal of an answer, from 1.
func (l *predictionLog) next() uint64 { return l.ordinal.Add(1) }

// add queues an answer or drops it.
func (l *predictionLog) add(e entry) {
	size := int64(len(e.made.Record))
	if l.bytes.Add(size) <= l.maxBytes {
		select {
		case l.queue <- e:
			return
		default:
		}
	}
	l.bytes.Add(-size)
	l.drop(dropQueueFull, 1)
}

func (l *predictionLog) drop(reason string, n int) {
	l.dropped.Add(uint64(n))
	l.metrics.logDropped.WithLabelValues(reason).Add(float64(n))
}

// run publishes until ctx ends, then for up to logFlush what is left. What is left after that is dropped, counted and logged.
func (l *predictionLog) run(ctx context.Context, ln *link) error {
	b, _, err := ln.wait(ctx)
	if err != nil { // stopped before the first connection
		l.abandon(nil)
		return nil
	}
	publish, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(logFlush, cancel)
		context.AfterFunc(publish, func() { timer.Stop() })
	})
	defer stop()
	for {
		batch := l.take(ctx)
		if batch == nil {
			return nil
		}
		if left := l.publish(publish, b, batch); left != nil {
			l.abandon(left)
			return nil
		}
	}
}

// take waits for one answer and returns it with what else is queued, at most logBatch; nil when ctx has ended and nothing is queued.
func (l *predictionLog) take(ctx context.Context) []entry {
	var batch []entry
	select {
	case e := <-l.queue:
		batch = append(batch, e)
	case <-ctx.Done():
	}
	for len(batch) < logBatch {
		select {
		case e := <-l.queue:
			batch = append(batch, e)
			continue
		default:
		}
		break
	}
	l.metrics.logQueued.Set(float64(len(l.queue) + len(batch)))
	return batch
}

// publish sends the batch until every answer is acknowledged or can never be, or ctx ends: then it returns what is left.
func (l *predictionLog) publish(ctx context.Context, b *bus.Bus, batch []entry) []entry {
	pause := logPauseMin
	for attempt := 1; ; attempt++ {
		failed, err := l.attempt(ctx, b, batch)
		l.metrics.logQueued.Set(float64(len(l.queue) + len(failed)))
		if len(failed) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return failed
		}
		if attempt == 1 || attempt%20 == 0 {
			l.log.Warn("predictions not acknowledged, publishing again", "count", len(failed), "attempt", attempt, "err", err)
		}
		l.metrics.logRetries.Add(float64(len(failed)))
		batch = failed
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return failed
		}
		pause = min(2*pause, logPauseMax)
	}
}

// attempt publishes the batch once and awaits the acks. It returns the answers that have none, and one of the errors.
func (l *predictionLog) attempt(ctx context.Context, b *bus.Bus, batch []entry) (failed []entry, last error) {
	if !b.Connected() {
		return batch, nats.ErrDisconnected
	}
	acks := make([]jetstream.PubAckFuture, len(batch))
	for i, e := range batch {
		msg, err := b.Msg(events.New(l.model, l.source, e.made.PredictionID, e.at, e.made))
		if err == nil {
			acks[i], err = b.JetStream().PublishMsgAsync(msg)
		}
		switch {
		case err == nil:
		case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, events.ErrInvalid), bus.IsPermanent(err):
			l.drop(dropInvalid, 1)
			l.log.Error("prediction can't be logged", "prediction_id", e.made.PredictionID, "model", l.model, "err", err)
			l.bytes.Add(-int64(len(e.made.Record)))
		default:
			failed, last = append(failed, e), err
		}
	}
	timeout := time.NewTimer(logAckWait)
	defer timeout.Stop()
	expired := false
	for i, ack := range acks {
		if ack == nil {
			continue
		}
		if err := awaitAck(ctx, ack, timeout.C, &expired); err != nil {
			failed, last = append(failed, batch[i]), err
			continue
		}
		l.metrics.logged.Inc()
		l.bytes.Add(-int64(len(batch[i].made.Record)))
	}
	slices.SortFunc(failed, func(a, b entry) int { return cmp.Compare(a.made.Ordinal, b.made.Ordinal) })
	return failed, last
}

var errNoAck = errors.New("no acknowledgement in time")

// awaitAck waits for one ack. After the timeout or the end of ctx it takes only what is there already.
func awaitAck(ctx context.Context, ack jetstream.PubAckFuture, timeout <-chan time.Time, expired *bool) error {
	if !*expired {
		select {
		case <-ack.Ok():
			return nil
		case err := <-ack.Err():
			return err
		case <-timeout:
			*expired = true
		case <-ctx.Done():
			*expired = true
		}
	}
	select {
	case <-ack.Ok():
		return nil
	case err := <-ack.Err():
		return err
	default:
		return errNoAck
	}
}

// abandon drops what is left and what is queued, when the service ends.
func (l *predictionLog) abandon(left []entry) {
	n := len(left)
	for {
		select {
		case <-l.queue:
			n++
			continue
		default:
		}
		break
	}
	if n == 0 {
		return
	}
	l.drop(dropStopped, n)
	l.log.Error("predictions lost at the stop: the stream could not be reached in time", "count", n, "model", l.model)
}
