package registry

import (
	"context"
	"sync"
)

// turn is a lock that can be waited for with a context.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) lock(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t turn) unlock() { <-t }

// turns let one writer of this process at a time decide about a model. Writers elsewhere are not held back; the fold and amend deal with those. The zero value is ready.
type turns struct {
	mu    sync.Mutex
	lines map[string]*line
}

// line is a turn and how many hold it or wait for it.
type line struct {
	turn turn
	n    int
}

// take waits for the turn of a model and returns what ends it.
func (t *turns) take(ctx context.Context, key string) (done func(), err error) {
	l := t.join(key)
	if err := l.turn.lock(ctx); err != nil {
		t.leave(key, l)
		return nil, err
	}
	return func() {
		l.turn.unlock()
		t.leave(key, l)
	}, nil
}

func (t *turns) join(key string) *line {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines == nil {
		t.lines = map[string]*line{}
	}
	l := t.lines[key]
	if l == nil {
		l = &line{turn: newTurn()}
		t.lines[key] = l
	}
	l.n++
	return l
}

func (t *turns) leave(key string, l *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.n--; l.n == 0 {
		delete(t.lines, key)
	}
}
