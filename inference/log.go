package inference

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	logPage     = 1024                 // answers of a page
	logPageSize = 512 << 10            // their bytes, beyond which a page is full, too
	logLinger   = 5 * time.Millisecond // that a page which is not full waits for more answers
	logAckWait  = 5 * time.Second      // per page, from when it was sent; what has no ack by then is published again
	logFlush    = 5 * time.Second      // for what is queued when the service stops
	logPauseMin = 50 * time.Millisecond
	logPauseMax = 2 * time.Second
	logSpare    = 4 // empty pages kept for later
)

// logEntry is one answer on its way to PREDICTIONS.
type logEntry struct {
	id       predictionID
	at       time.Time
	from, to int // of its data in the page
}

// page holds encoded answers one behind the other, so that they are no garbage, and are published together.
type page struct {
	data    []byte
	entries []logEntry
}

func (p *page) full() bool { return len(p.entries) >= logPage || len(p.data) >= logPageSize }

// predictionLog publishes answers in the order of their ordinals. add never blocks: what does not fit the two bounds is dropped, counted, and
// alarmed. Answers are encoded by who adds them, into pages, which are acknowledged message by message; while the acks of one are awaited a full one
// behind it is under way, so that the stream always has work, and never more than that. What was not acknowledged is sent again, page after page, with
// the same message id, so that an outage shorter than the stream's dedupe window leaves no row twice; after a longer one
// a row whose ack was lost can stand twice, under the same prediction id.
type predictionLog struct {
	model   string
	source  string
	origin  []byte
	log     *slog.Logger
	metrics *metrics
	drops   map[string]prometheus.Counter // by reason
	now     func() time.Time
	most    int   // answers
	mostLen int64 // bytes of their events

	mu      sync.Mutex
	filling *page   // what answers are added to; nil: none
	full    []*page // oldest first
	spare   []*page // empty
	queued  int     // answers in all pages, the one that is being published included
	bytes   int64
	wake    chan struct{} // there is something to publish

	ordinal atomic.Uint64 // of the last answer of this boot
	dropped atomic.Uint64
	alarm   alarm // of drops
}

func newPredictionLog(c Config, boot string, m *metrics) *predictionLog {
	l := &predictionLog{model: c.Model, source: c.source(), origin: origin(c.Instance, boot), log: c.Log, metrics: m, now: c.Now,
		most: c.LogQueue, mostLen: c.LogBytes, wake: make(chan struct{}, 1), drops: map[string]prometheus.Counter{}}
	for _, reason := range []string{dropQueueFull, dropInvalid, dropStopped} {
		l.drops[reason] = m.logDropped.WithLabelValues(reason)
	}
	c.Health.Note("prediction_log", logState{l})
	return l
}

// logState shows in /health how the log is at the moment of asking.
type logState struct{ l *predictionLog }

// MarshalJSON writes how many answers wait and how many were dropped since the start.
func (s logState) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]uint64{"queued": uint64(s.l.waiting()), "dropped": s.l.dropped.Load()})
}

// waiting returns how many answers are queued or under way.
func (l *predictionLog) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queued
}

// add queues the answers of a request or drops them. buf is used for their encoding, and returned as it has grown; nothing of rows is kept.
func (l *predictionLog) add(rows []scored, q loggedRequest, buf []byte) []byte {
	for i := range rows {
		r := &rows[i]
		buf = appendMade(buf[:0], r, &q, l.origin)
		cut := len(buf)
		buf = appendMadeEnd(buf, r, &q)
		l.enqueue(r, &q, buf[:cut], buf[cut:])
	}
	return buf
}

// enqueue gives one answer its ordinal and its place.
func (l *predictionLog) enqueue(r *scored, q *loggedRequest, head, tail []byte) {
	l.mu.Lock()
	ordinal := l.ordinal.Add(1)
	size := int64(len(head) + len(tail))
	if l.queued >= l.most || l.bytes+size > l.mostLen {
		l.mu.Unlock()
		l.drop(dropQueueFull, 1)
		return
	}
	p := l.filling
	if p == nil {
		p = l.fresh()
		l.filling = p
	}
	from := len(p.data)
	p.data = append(p.data, head...)
	p.data = strconv.AppendUint(p.data, ordinal, 10)
	p.data = append(p.data, tail...)
	p.entries = append(p.entries, logEntry{id: r.id, at: q.at, from: from, to: len(p.data)})
	l.queued++
	l.bytes += int64(len(p.data) - from)
	first := len(p.entries) == 1
	full := p.full()
	if full {
		l.full, l.filling = append(l.full, p), nil
	}
	l.mu.Unlock()
	if first || full {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// fresh returns an empty page. mu is held.
func (l *predictionLog) fresh() *page {
	n := len(l.spare)
	if n == 0 {
		return &page{}
	}
	p := l.spare[n-1]
	l.spare = l.spare[:n-1]
	return p
}

// done gives back a page of which so many answers are left behind.
func (l *predictionLog) done(p *page, n int, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queued -= n
	l.bytes -= size
	p.data, p.entries = p.data[:0], p.entries[:0]
	if len(l.spare) < logSpare && cap(p.data) <= 2*logPageSize {
		l.spare = append(l.spare, p)
	}
}

// drop counts answers that will not be published, and alarms, at most every logAlarm.
func (l *predictionLog) drop(reason string, n int) {
	total := l.dropped.Add(uint64(n))
	l.drops[reason].Add(float64(n))
	if l.alarm.quiet(l.now()) {
		return
	}
	l.log.Error("predictions are answered and not logged", "model", l.model, "reason", reason, "dropped_since_start", total)
}

// run publishes until ctx ends, then for up to logFlush what is left. What is left after that is dropped, counted and logged.
func (l *predictionLog) run(ctx context.Context, ln *link) error {
	b, _, err := ln.wait(ctx)
	if err != nil { // stopped before the first connection
		l.abandon(0)
		return nil
	}
	publish, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(logFlush, cancel)
		context.AfterFunc(publish, func() { timer.Stop() })
	})
	defer stop()
	to, err := l.publisher(b)
	if err != nil {
		l.abandon(0)
		return err
	}
	defer to.close()
	var ahead, behind *flight
	for {
		if ahead == nil {
			p := l.take(ctx)
			if p == nil {
				return nil
			}
			ahead = to.flight(p)
			l.send(to, ahead)
		}
		if p := l.takeFull(); p != nil {
			behind = to.flight(p)
			l.send(to, behind)
		}
		left := l.settle(publish, to, ahead)
		if left > 0 {
			if behind != nil { // publish has ended: what of it has acks is known at once
				left += l.settle(publish, to, behind)
			}
			l.abandon(left)
			return nil
		}
		ahead, behind = behind, nil
	}
}

// takeFull returns the oldest page that is full, nil for none.
func (l *predictionLog) takeFull() *page {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.oldest()
}

// oldest takes the oldest page that is full, nil for none. mu is held.
func (l *predictionLog) oldest() *page {
	if len(l.full) == 0 {
		return nil
	}
	p := l.full[0]
	l.full = append(l.full[:0], l.full[1:]...)
	return p
}

// take waits for answers and returns the oldest page; nil when ctx has ended and nothing is queued.
func (l *predictionLog) take(ctx context.Context) *page {
	for lingered := false; ; {
		l.mu.Lock()
		p := l.oldest()
		if p == nil && l.filling != nil && (lingered || ctx.Err() != nil) {
			p, l.filling = l.filling, nil
		}
		waiting := l.filling != nil
		l.mu.Unlock()
		switch {
		case p != nil:
			return p
		case waiting:
			sleep(ctx, logLinger)
			lingered = true
			continue
		case ctx.Err() != nil:
			return nil
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
		}
		lingered = false
	}
}

// abandon drops what is left and what is queued, when the service ends.
func (l *predictionLog) abandon(left int) {
	l.mu.Lock()
	n := left + l.queued
	l.queued, l.bytes, l.full, l.filling = 0, 0, nil, nil
	l.mu.Unlock()
	if n == 0 {
		return
	}
	l.drop(dropStopped, n)
	l.log.Error("predictions lost at the stop: the stream could not be reached in time", "count", n, "model", l.model)
}
