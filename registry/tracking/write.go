package tracking

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/fault"
)

const (
	// writeTimeout bounds a write whose context has no nearer end, so that no client waits for ever while the bus is away or full.
	writeTimeout = 30 * time.Second
	// stripes is the number of locks that the subjects share.
	stripes = 1024
)

// locks lets one writer of this process at a time work on a subject; writers of different subjects seldom meet. A lock is a channel so that who
// waits can give up.
type locks [stripes]struct{ ch chan struct{} }

func newLocks() (l locks) {
	for i := range l {
		l[i].ch = make(chan struct{}, 1)
	}
	return l
}

// lock waits for a subject's lock and returns what releases it.
func (l *locks) lock(ctx context.Context, t events.Type, subject string) (func(), error) {
	ch := l[xxhash.Sum64String(string(t)+"/"+subject)%stripes].ch
	select {
	case ch <- struct{}{}:
		return func() { <-ch }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// draft is what a writer decides on: the payload, and the sequence that its subject must still end with. No payload means that nothing is to be done.
type draft struct {
	payload  events.Payload
	expected uint64
}

// write decides with the fold under its read lock, stores what was decided if the subject still ends with what was expected, and folds it. What another
// writer stored meanwhile is folded, and decided again. A refusal counts only if everything was folded that had been stored before, and so does it that
// nothing is to be done. Other subjects than its own may have changed since, in another process: see writeFresh.
func (b *Book) write(ctx context.Context, t events.Type, subject string, decide func(*state) (draft, error)) error {
	return b.decideAndStore(ctx, t, subject, false, decide)
}

// writeFresh is write for what is accepted on the strength of other subjects, too: everything is folded first that had been stored before the call.
func (b *Book) writeFresh(ctx context.Context, t events.Type, subject string, decide func(*state) (draft, error)) error {
	return b.decideAndStore(ctx, t, subject, true, decide)
}

func (b *Book) decideAndStore(ctx context.Context, t events.Type, subject string, first bool, decide func(*state) (draft, error)) error {
	ctx, cancel := context.WithTimeout(asStored(ctx), writeTimeout)
	defer cancel()
	unlock, err := b.locks.lock(ctx, t, subject)
	if err != nil {
		return fault.New(fault.Unavailable, "wait for other writers: %w", err)
	}
	defer unlock()
	if first {
		if err := b.Fresh(ctx); err != nil {
			return err
		}
	}
	for fresh := first; ; {
		d, epoch, err := b.decide(decide)
		if (err != nil || d.payload == nil) && !fresh {
			if err := b.Fresh(ctx); err != nil {
				return err
			}
			fresh = true
			continue
		}
		if err != nil || d.payload == nil {
			return err
		}
		ev := events.New(subject, b.source, b.occurrence(d.expected), b.now(), d.payload)
		seq, err := b.bus.Append(ctx, ev, d.expected)
		if _, lost := bus.AsConflict(err); lost {
			if err := b.Fresh(ctx); err != nil {
				return err
			}
			fresh = true
			continue
		}
		if err != nil {
			return wrap("store", err)
		}
		b.state.own(fact{stream: events.Tracking, typ: t, subject: subject, seq: seq, at: ev.Time.UnixMilli(), source: b.source, payload: d.payload}, epoch)
		return nil
	}
}

func (b *Book) decide(decide func(*state) (draft, error)) (draft, uint64, error) {
	b.state.mu.RLock()
	defer b.state.mu.RUnlock()
	d, err := decide(b.state)
	return d, b.state.epoch, err
}

// occurrence returns the key of an event that no other write has, of any process.
func (b *Book) occurrence(expected uint64) string {
	return fmt.Sprintf("%d/%s-%d", expected, b.nonce, b.count.Add(1))
}

// wrap gives an error of the bus its code.
func wrap(step string, err error) error {
	return fault.New(fault.CodeOf(err), "%s: %w", step, err)
}

// invalid returns a refusal.
func invalid(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }

// randomHex returns n random bytes as hexadecimal digits.
func randomHex(n int) (string, error) {
	raw := make([]byte, n)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("random id: %w", err)
	}
	return hex.EncodeToString(raw), nil
}

// newID returns the id of a run: 32 random hexadecimal digits.
func newID() (string, error) {
	id, err := randomHex(16)
	if err != nil {
		return "", fault.New(fault.Internal, "%w", err)
	}
	return id, nil
}

// nextExperiment returns the id that the next experiment gets.
func (s *state) nextExperiment() string { return strconv.Itoa(s.lastID + 1) }
