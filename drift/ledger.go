package drift

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// ledger writes events of one type, each id at most once, whoever writes and however often a writer is killed. It folds the type's subjects: the ids
// that are there and each subject's last sequence. An append expects that sequence, so it succeeds only if nothing is on the subject that
// the fold has not seen; if it does not, the fold reads on and looks for the id again. Safe for concurrent use.
type ledger struct {
	b    *bus.Bus
	kind events.Kind
	// keep bounds the ids that are remembered per subject, newest first; 0 means all.
	keep int
	// seen, if set, is called with each message as it is folded, our own among them.
	seen func(bus.Message)

	mu       sync.Mutex
	subjects map[string]*page
}

// page is the fold of one subject.
type page struct {
	last   uint64
	ids    map[uint64]struct{} // hashes: two ids in 2^32 events would have to meet for one to be taken as written
	recent []uint64            // in order, where keep is set
}

func newLedger(b *bus.Bus, t events.Type, keep int) *ledger {
	k, ok := events.KindOf(t)
	if !ok {
		panic("drift: unknown type " + string(t))
	}
	return &ledger{b: b, kind: k, keep: keep, subjects: map[string]*page{}}
}

// load folds what is stored.
func (l *ledger) load(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Read(ctx, bus.ReadConfig{Stream: l.kind.Stream, Filters: []string{l.kind.Wildcard()}}, func(m bus.Message) error {
		l.apply(m)
		return nil
	})
}

// refresh folds what others have stored for a model since.
func (l *ledger) refresh(ctx context.Context, model string) error {
	subject, err := l.kind.Subject(model)
	if err != nil {
		return bus.Permanent(err)
	}
	last, _, err := l.b.Last(ctx, l.kind.Type, model)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.catchUp(ctx, subject, last.Sequence)
}

func (l *ledger) page(subject string) *page {
	p := l.subjects[subject]
	if p == nil {
		p = &page{ids: map[uint64]struct{}{}}
		l.subjects[subject] = p
	}
	return p
}

func (l *ledger) apply(m bus.Message) {
	p := l.page(m.Subject)
	p.last = m.Sequence
	if l.seen != nil {
		l.seen(m)
	}
	if m.Err != nil {
		return
	}
	h := xxhash.Sum64String(m.Event.ID)
	p.ids[h] = struct{}{}
	if l.keep > 0 {
		p.recent = append(p.recent, h)
		if len(p.recent) > 2*l.keep {
			for _, old := range p.recent[:l.keep] {
				delete(p.ids, old)
			}
			p.recent = append(p.recent[:0], p.recent[l.keep:]...)
		}
	}
}

// once stores the event unless its id is there, and reports whether the id was not known here before: of two processes that write the same id at the
// same moment both are told so. It tries until it is certain that the id is there, or ctx ends.
func (l *ledger) once(ctx context.Context, ev events.Event) (stored bool, err error) {
	subject, err := l.kind.Subject(ev.Model)
	if err != nil {
		return false, bus.Permanent(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		p := l.page(subject)
		if _, there := p.ids[xxhash.Sum64String(ev.ID)]; there {
			return false, nil
		}
		seq, err := l.b.Append(ctx, ev, p.last)
		if err == nil {
			l.apply(bus.Message{Event: ev, Subject: subject, Sequence: seq})
			return true, nil
		}
		var conflict *bus.ConflictError
		if !errors.As(err, &conflict) {
			return false, fmt.Errorf("write %s once: %w", subject, err)
		}
		if err := l.catchUp(ctx, subject, conflict.Last.Sequence); err != nil {
			return false, err
		}
	}
}

// catchUp folds what was stored on a subject by others. A subject whose last sequence went back was emptied or re-created, and is folded anew.
func (l *ledger) catchUp(ctx context.Context, subject string, last uint64) error {
	from := l.page(subject).last + 1
	switch {
	case last == from-1:
		return nil
	case last < from:
		delete(l.subjects, subject)
		if from = 1; last == 0 {
			return nil
		}
	}
	return l.b.Read(ctx, bus.ReadConfig{Stream: l.kind.Stream, Filters: []string{subject}, From: from, Through: last}, func(m bus.Message) error {
		l.apply(m)
		return nil
	})
}
