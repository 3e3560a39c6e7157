package tracking

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
)

// askTimeout bounds one question for the streams' ends; whoever asked may give up before.
const askTimeout = 30 * time.Second

type folded struct{}

// AsFolded returns a context with which reads answer from what is folded already: for a caller that has called Fresh itself, once for many reads, or that
// rather shows what was known before than nothing. Writes take no notice of it.
func AsFolded(ctx context.Context) context.Context { return context.WithValue(ctx, folded{}, true) }

// asStored takes AsFolded back.
func asStored(ctx context.Context) context.Context { return context.WithValue(ctx, folded{}, nil) }

// Fresh returns after everything that was stored before the call is folded. While nothing is missing that takes one round trip, which calls at the
// same time share: each relies on a question that was asked after it was called. It fails with fault.Unavailable when ctx ends before, or
// when a stream lacks what was folded of it, until the follower has noticed that it was created again.
func (b *Book) Fresh(ctx context.Context) error {
	if ctx.Value(folded{}) != nil {
		return nil
	}
	through := b.positions()
	last, err := b.fresh.get(ctx)
	if err != nil {
		return fault.New(fault.Unavailable, "ask for the end of the streams: %w", err)
	}
	for stream, seq := range last {
		if seq < through[stream] {
			return fault.New(fault.Unavailable, "stream %s was created again, and is not folded yet", stream)
		}
		if err := b.marks[stream].reach(ctx, seq); err != nil {
			return fault.New(fault.Unavailable, "fold %s through sequence %d: %w", stream, seq, err)
		}
	}
	return nil
}

// positions returns what the followers have folded.
func (b *Book) positions() map[events.Stream]uint64 {
	m := make(map[events.Stream]uint64, len(b.marks))
	for s, mark := range b.marks {
		m[s] = mark.at()
	}
	return m
}

// lastSequences asks the leaders for the last sequence of both streams.
func (b *Book) lastSequences(ctx context.Context) (map[events.Stream]uint64, error) {
	var tracking, lifecycle uint64
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		tracking, err = b.bus.LastSequence(ctx, events.Tracking)
		return err
	})
	g.Go(func() (err error) {
		lifecycle, err = b.bus.LastSequence(ctx, events.Lifecycle)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return map[events.Stream]uint64{events.Tracking: tracking, events.Lifecycle: lifecycle}, nil
}

// refresher lets callers share questions.
type refresher struct {
	ask  func(context.Context) (map[events.Stream]uint64, error)
	ctx  context.Context // of the questions
	stop context.CancelFunc

	mu      sync.Mutex
	running *question // asked already: too old for whoever comes now
	next    *question // asked as soon as the running one is answered
	group   sync.WaitGroup
}

type question struct {
	done chan struct{}
	last map[events.Stream]uint64
	err  error
}

// get returns the answer to a question that was asked after the call.
func (r *refresher) get(ctx context.Context) (map[events.Stream]uint64, error) {
	r.mu.Lock()
	q := r.next
	if q == nil {
		q = &question{done: make(chan struct{})}
		if r.running == nil {
			r.start(q)
		} else {
			r.next = q
		}
	}
	r.mu.Unlock()
	select {
	case <-q.done:
		return q.last, q.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// start asks. r.mu is held.
func (r *refresher) start(q *question) {
	r.running = q
	r.group.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, askTimeout)
		defer cancel()
		q.last, q.err = r.ask(ctx)
		close(q.done)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.running = nil
		if next := r.next; next != nil {
			r.next = nil
			r.start(next)
		}
	})
}

// close gives up what is being asked, and all that is asked from now on.
func (r *refresher) close() {
	r.stop()
	r.group.Wait()
}

// errReset ends the wait for a sequence of a stream that was created again.
var errReset = errors.New("stream was created again")

// mark is how far a follower has come.
type mark struct {
	mu      sync.Mutex
	seq     uint64
	resets  uint64
	changed chan struct{} // closed on the next change, if anybody waits
}

func newMark() *mark { return &mark{} }

func (m *mark) at() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seq
}

func (m *mark) advance(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq = max(m.seq, seq)
	m.wake()
}

func (m *mark) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq = 0
	m.resets++
	m.wake()
}

func (m *mark) wake() {
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// reach waits until the follower has come to seq.
func (m *mark) reach(ctx context.Context, seq uint64) error {
	m.mu.Lock()
	resets := m.resets
	for m.seq < seq {
		if m.resets != resets {
			m.mu.Unlock()
			return errReset
		}
		if m.changed == nil {
			m.changed = make(chan struct{})
		}
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("is at %d: %w", m.at(), context.Cause(ctx))
		}
		m.mu.Lock()
	}
	m.mu.Unlock()
	return nil
}
