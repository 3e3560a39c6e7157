package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"telco-churn-mlops/events"
)

// checkTail is how often Follow compares what it saw with the stream's tail.
const checkTail = 30 * time.Second

// FollowConfig says what to follow. Name and Stream are required.
type FollowConfig struct {
	// Name names the follower in dead letters and logs, for instance "inference".
	Name   string
	Stream events.Stream
	// Filters are subjects, wildcards allowed; none means all of the stream.
	Filters []string
	// From is the first sequence; 0 and 1 mean the first there is.
	From uint64
	// OnCaughtUp, if set, is called after everything that was in the stream when Follow started has been handled, also if that was
	// nothing, and again after each OnReset.
	OnCaughtUp func()
	// OnReset, if set, is called when the stream was re-created or lost messages that had been handled: the fold must start from empty, and every message
	// comes again, from the first one.
	OnReset func()
	// Raw leaves decoding to the handler: Event and Err of its messages are zero.
	Raw bool
	// DeadLetterJunk has messages that do not decode dead-lettered, rather than passed to the handler with Err set.
	DeadLetterJunk bool
}

// Follow calls fn with each message of a stream in order, for ever, and blocks until ctx ends (then it returns nil) or the bus is closed. It keeps no
// position: a fold starts from the first message or from a sequence that the caller kept.
//
// An error of fn is tried again on the same message with capped back-off, so that order holds; a permanent one, and a panic, is dead-lettered and the next
// message follows. On every reconnect and every 30 s the stream's tail and its creation time are compared with what was seen, so that a
// stream that was re-created is noticed.
func (b *Bus) Follow(ctx context.Context, f FollowConfig, fn func(context.Context, Message) error) error {
	if f.Name == "" || f.Stream == "" {
		return errors.New("follow: name and stream are required")
	}
	w := &follower{b: b, f: f, fn: fn, look: time.NewTicker(checkTail)}
	defer w.look.Stop()
	w.o = &ordered{b: b, stream: f.Stream, filters: f.Filters, next: max(f.From, 1), raw: f.Raw}
	w.seen = w.o.next - 1
	defer func() { w.o.close() }()
	for n := uint64(0); ; {
		before := w.o.next
		err := w.turn(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case b.nc.IsClosed():
			return fmt.Errorf("follow %s: %w", f.Stream, ErrClosed)
		case err == nil || w.o.next > before:
			n = 0
			continue
		}
		n++
		if n == 5 {
			b.log.Error("stream cannot be followed, still trying", "consumer", f.Name, "stream", string(f.Stream), "err", err)
		}
		pause(ctx, backoff(n, retryFirst, retryLimit))
	}
}

type follower struct {
	b    *Bus
	f    FollowConfig
	fn   func(context.Context, Message) error
	o    *ordered
	look *time.Ticker

	created  time.Time // of the stream that is followed
	seen     uint64    // last sequence handled, or that the caller had handled before
	goal     uint64    // the tail when the stream was (re-)opened
	caughtUp bool
}

// turn checks the stream, and then handles messages until another look is due or something breaks.
func (w *follower) turn(ctx context.Context) error {
	if err := w.check(ctx); err != nil {
		return err
	}
	w.arrived()
	for {
		m, err := w.o.read(ctx, w.look.C)
		if errors.Is(err, errLook) || errors.Is(err, errReconnected) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.handle(ctx, m); err != nil {
			w.o.close() // so that m comes again
			return err
		}
		w.o.next, w.seen = m.Sequence+1, m.Sequence
		w.arrived()
	}
}

// arrived reports once that everything there was has been handled.
func (w *follower) arrived() {
	if w.caughtUp || w.seen < w.goal {
		return
	}
	w.caughtUp = true
	if w.f.OnCaughtUp != nil {
		w.f.OnCaughtUp()
	}
}

// check opens the reader and compares the stream with what was seen of it.
func (w *follower) check(ctx context.Context) error {
	info, err := w.state(ctx)
	if err != nil {
		return err
	}
	if w.created.IsZero() {
		w.created = info.Created
	}
	if !info.Created.Equal(w.created) || info.State.LastSeq < w.seen {
		w.b.log.Error("stream was re-created or cut short, starting anew", "consumer", w.f.Name, "stream", string(w.f.Stream),
			"seen", w.seen, "last", info.State.LastSeq)
		w.b.metrics.resets.WithLabelValues(string(w.f.Stream)).Inc()
		w.o.close()
		w.created, w.seen, w.caughtUp, w.o.next = info.Created, 0, false, 1
		if w.f.OnReset != nil {
			w.f.OnReset()
		}
	}
	tail, err := w.b.tail(ctx, w.f.Stream, w.f.Filters)
	if err != nil {
		return err
	}
	if !w.caughtUp {
		w.goal = tail
	}
	if tail >= w.o.next {
		w.o.close() // a reader that is open should have had the tail; it costs nothing to open another
	}
	return w.b.retry(ctx, w.o.open)
}

// state asks for the stream's state. A state that lacks what was seen is asked for once more: a leader may be so new that it has not applied everything.
func (w *follower) state(ctx context.Context) (info streamInfo, err error) {
	for range 3 {
		err = w.b.retry(ctx, func(ctx context.Context) (err error) {
			info, err = w.b.infoOnce(ctx, w.f.Stream)
			return err
		})
		recreated := !w.created.IsZero() && !info.Created.Equal(w.created)
		if err != nil || recreated || info.State.LastSeq >= w.seen || !pause(ctx, 250*time.Millisecond) {
			break
		}
	}
	return info, err
}

// handle calls fn until it succeeds or never can. It returns an error only when ctx ends or a dead letter cannot be stored.
func (w *follower) handle(ctx context.Context, m Message) error {
	for n := uint64(1); ; n++ {
		err := m.Err
		if err == nil || !w.f.DeadLetterJunk {
			err = call(ctx, w.b, w.f.Name, m, w.fn)
		}
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if IsPermanent(err) {
			if err := w.b.DeadLetter(ctx, m, w.f.Name, err.Error()); err != nil {
				return err
			}
			w.b.metrics.handled.WithLabelValues(w.f.Name, "dead").Inc()
			break
		}
		w.b.failed(w.f.Name, m, n, err)
		if !pause(ctx, retryDelay(err, n)) {
			return context.Cause(ctx)
		}
	}
	w.b.metrics.failing.WithLabelValues(w.f.Name).Set(0)
	return nil
}

// call runs a handler; a panic becomes a permanent error.
func call(ctx context.Context, b *Bus, name string, m Message, fn func(context.Context, Message) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("handler panicked", "consumer", name, "subject", m.Subject, "sequence", m.Sequence,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = Permanent(fmt.Errorf("handler panicked: %v", p))
		}
	}()
	return fn(ctx, m)
}

const (
	handlerFirst = 100 * time.Millisecond
	handlerLimit = 30 * time.Second
	// alarmAfter is the number of failed tries of one message after which a person should look.
	alarmAfter = 5
)

// retryDelay returns when a message should be tried again after its n-th failure.
func retryDelay(err error, n uint64) time.Duration {
	var after *retryAfterError
	if errors.As(err, &after) {
		return after.d
	}
	return backoff(n, handlerFirst, handlerLimit)
}

// failed counts and logs the n-th transient failure of a message, or that it waits.
func (b *Bus) failed(consumer string, m Message, n uint64, err error) {
	if isWait(err) {
		b.metrics.handled.WithLabelValues(consumer, "wait").Inc()
		b.log.Debug("message waits", "consumer", consumer, "subject", m.Subject, "sequence", m.Sequence, "tries", n, "err", err)
		return
	}
	b.metrics.handled.WithLabelValues(consumer, "retry").Inc()
	b.metrics.failing.WithLabelValues(consumer).Set(float64(n))
	if n > alarmAfter {
		b.log.Error("message keeps failing", "consumer", consumer, "subject", m.Subject, "sequence", m.Sequence, "tries", n, "err", err)
		return
	}
	b.log.Warn("message will be tried again", "consumer", consumer, "subject", m.Subject, "sequence", m.Sequence, "tries", n, "err", err)
}
