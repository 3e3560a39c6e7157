package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"telco-churn-mlops/events"
)

const (
	// DefaultLeaseTTL is how long a lease holds without a renewal.
	DefaultLeaseTTL = 10 * time.Second
	// DefaultLeaseRenew is how often a lease is renewed.
	DefaultLeaseRenew = 3 * time.Second
)

// LeaseConfig names a lease. Bucket, Key and Holder are required.
type LeaseConfig struct {
	// Bucket is the key-value bucket, made if it is not there. It should belong to one service.
	Bucket string
	// Key names what is leased, for instance a model's token.
	Key string
	// Holder says who asks, for people; two processes may use the same.
	Holder string
	// TTL: 0 means DefaultLeaseTTL. Renew: 0 means DefaultLeaseRenew; it must be under half of TTL.
	TTL, Renew time.Duration
}

func (c *LeaseConfig) complete() error {
	if c.Bucket == "" || c.Key == "" || c.Holder == "" {
		return errors.New("lease: bucket, key and holder are required")
	}
	if c.TTL <= 0 {
		c.TTL = DefaultLeaseTTL
	}
	if c.Renew <= 0 {
		c.Renew = min(DefaultLeaseRenew, c.TTL*3/10)
	}
	if c.Renew > c.TTL/2 {
		return fmt.Errorf("lease %s: renew %s is more than half of ttl %s", c.Key, c.Renew, c.TTL)
	}
	return nil
}

// Lease is the right to work on something, held until it is released or not renewed in time. It saves work and proves nothing: after a long pause of the
// process two may believe to hold it, so what they write must be safe by itself (compare-and-set on a stream).
//
// It is one key, taken and renewed by compare-and-set. A follower takes it after it saw no new revision for TTL on its own clock; the holder
// counts TTL from the moment it sent the last renewal that succeeded, which is earlier, so no two clocks are compared.
type Lease struct {
	b     *Bus
	c     LeaseConfig
	kv    jetstream.KeyValue
	token string

	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}
	once   sync.Once

	rev  uint64    // of our last write; owned by the renewing goroutine until done
	sent time.Time // when that was sent
}

// leaseValue is what the key holds. Token tells one taking from every other.
type leaseValue struct {
	Holder string    `json:"holder"`
	Token  string    `json:"token"`
	At     time.Time `json:"at"`
}

// sighting is what this process saw last of a lease that another holds.
type sighting struct {
	rev   uint64
	since time.Time
}

// Lease blocks until it has taken the lease or ctx ends. It retries while the store is away.
func (b *Bus) Lease(ctx context.Context, c LeaseConfig) (*Lease, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	for {
		l, ok, err := b.TryLease(ctx, c)
		if ctx.Err() != nil && !ok {
			return nil, fmt.Errorf("take lease %s: %w", c.Key, context.Cause(ctx))
		}
		if err != nil && !transient(err) {
			return nil, err
		}
		if ok {
			return l, nil
		}
		pause(ctx, min(c.Renew/3, time.Second))
	}
}

// TryLease takes the lease if it is free, and otherwise returns false without waiting. A lease whose holder is gone becomes free for a process
// that called TryLease before, once it has seen no renewal for TTL.
func (b *Bus) TryLease(ctx context.Context, c LeaseConfig) (*Lease, bool, error) {
	if err := c.complete(); err != nil {
		return nil, false, err
	}
	l := &Lease{b: b, c: c, token: nuid.Next(), done: make(chan struct{})}
	ok, err := l.take(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("take lease %s: %w", c.Key, err)
	}
	if !ok {
		return nil, false, nil
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	go l.hold()
	return l, true, nil
}

// take makes one attempt.
func (l *Lease) take(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, min(tryTimeout, l.c.TTL/2))
	defer cancel()
	var err error
	if l.kv, err = l.b.bucket(ctx, jetstream.KeyValueConfig{Bucket: l.c.Bucket, Description: "Leases.", MaxBytes: 1 << 20}); err != nil {
		return false, err
	}
	rev, value, err := l.read(ctx)
	if err != nil {
		return false, err
	}
	if value != nil && !l.expired(rev) {
		return false, nil
	}
	ok, err := l.write(ctx, rev)
	if wrongSequence(err) {
		return false, nil // another was first; a leader refuses us for what it has accepted before it has applied it, so the key may still read as free
	}
	return ok, err
}

// expired reports whether no new revision was seen for TTL.
func (l *Lease) expired(rev uint64) bool {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	id := l.c.Bucket + "/" + l.c.Key
	s, ok := l.b.sightings[id]
	if !ok || s.rev != rev {
		l.b.sightings[id] = sighting{rev, time.Now()}
		return false
	}
	return time.Since(s.since) >= l.c.TTL
}

// read returns the key's last revision through the leader, 0 if it never had one, and a nil value if it is free.
func (l *Lease) read(ctx context.Context) (uint64, *leaseValue, error) {
	m, ok, err := l.b.getOnce(ctx, events.Stream("KV_"+l.c.Bucket), getRequest{LastFor: "$KV." + l.c.Bucket + "." + l.c.Key})
	if err != nil || !ok {
		return 0, nil, err
	}
	var v leaseValue
	if m.Header.Get("KV-Operation") != "" || json.Unmarshal(m.Data, &v) != nil || v.Token == "" {
		return m.Sequence, nil, nil
	}
	return m.Sequence, &v, nil
}

// write puts our value in place of revision rev. An unanswered or refused write is looked up: it may have been stored.
func (l *Lease) write(ctx context.Context, rev uint64) (bool, error) {
	data, err := json.Marshal(leaseValue{Holder: l.c.Holder, Token: l.token, At: time.Now().UTC()})
	if err != nil {
		return false, fmt.Errorf("encode lease: %w", err)
	}
	sent := time.Now()
	next, err := l.kv.Update(ctx, l.c.Key, data, rev)
	if err != nil {
		now, value, readErr := l.read(ctx)
		switch {
		case readErr != nil:
			return false, fmt.Errorf("%w (reading it: %w)", err, readErr)
		case value == nil || value.Token != l.token || now <= rev:
			if now > rev {
				return false, nil
			}
			return false, err
		}
		next = now
	}
	l.rev, l.sent = next, sent
	return true, nil
}

// hold renews the lease until it is lost or released.
func (l *Lease) hold() {
	defer close(l.done)
	for {
		deadline := l.sent.Add(l.c.TTL)
		wait := l.c.Renew
		ok := false
		for !ok {
			if !pause(l.ctx, min(wait, max(time.Until(deadline), 0))) {
				return
			}
			if !time.Now().Before(deadline) {
				l.lose("not renewed in time")
				return
			}
			ctx, cancel := context.WithDeadline(l.ctx, earlier(deadline, time.Now().Add(l.c.Renew)))
			var err error
			ok, err = l.write(ctx, l.rev)
			cancel()
			if l.ctx.Err() != nil {
				return
			}
			if !ok && err == nil {
				l.lose("taken by another")
				return
			}
			wait = l.c.Renew / 3
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (l *Lease) lose(reason string) {
	l.b.log.Warn("lease lost", "key", l.c.Key, "holder", l.c.Holder, "reason", reason)
	l.cancel(fmt.Errorf("%w: %s", ErrLeaseLost, reason))
}

// Context ends when the lease is lost, with [ErrLeaseLost] as cause, or released.
func (l *Lease) Context() context.Context { return l.ctx }

// Release gives the lease up, so that another may take it at once. If that does not reach the server it runs out by itself. Release is idempotent.
func (l *Lease) Release(ctx context.Context) error {
	var err error
	l.once.Do(func() {
		lost := errors.Is(context.Cause(l.ctx), ErrLeaseLost)
		l.cancel(context.Canceled)
		<-l.done
		if lost {
			return
		}
		err = l.b.retry(ctx, func(ctx context.Context) error {
			// A renewal may have been stored without an answer, so ask which revision is ours.
			rev, value, err := l.read(ctx)
			if err != nil || value == nil || value.Token != l.token {
				return err
			}
			if err := l.kv.Delete(ctx, l.c.Key, jetstream.LastRevision(rev)); !wrongSequence(err) {
				return err
			}
			return errRaced
		})
		if err != nil {
			err = fmt.Errorf("release lease %s: %w", l.c.Key, err)
		}
	})
	return err
}
