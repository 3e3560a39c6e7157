package inference

import (
	"context"
	"slices"
	"sync"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/model"
)

// shelfSize is how many bundles lie ready beside those that the slot holds: the newest registered one and the last candidate.
const shelfSize = 2

// opened is a bundle that was fetched, decoded and verified.
type opened struct {
	digest   string
	bundle   *model.Bundle
	fromDisk bool
}

// shelf holds bundles that are ready to be served, so that a promotion costs one pointer swap: the registry registers a version before it judges
// it, and that time is enough to open it; and a candidate whose canary has ended may be promoted. Nothing hangs on it: what is not
// there is opened when it is needed. Safe for concurrent use.
type shelf struct {
	mu      sync.Mutex
	ready   []opened // oldest first
	opening map[string]chan struct{}
	next    chan string // digest of the newest registered version
}

func newShelf() *shelf {
	return &shelf{opening: map[string]chan struct{}{}, next: make(chan string, 1)}
}

// announce names a bundle that may be promoted soon; one that was announced before and not looked at yet is forgotten. Only one goroutine calls it.
func (s *shelf) announce(digest string) {
	select {
	case <-s.next:
	default:
	}
	s.next <- digest
}

// begin says that the caller opens a bundle. It returns false if it is ready or somebody does so already. Else the caller must call end.
func (s *shelf) begin(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opening[digest] != nil || s.find(digest) >= 0 {
		return false
	}
	s.opening[digest] = make(chan struct{})
	return true
}

// end puts what was opened on the shelf; nil if it could not be.
func (s *shelf) end(digest string, o *opened) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o != nil {
		s.put(*o)
	}
	close(s.opening[digest])
	delete(s.opening, digest)
}

// add puts a bundle on the shelf that is open for another reason.
func (s *shelf) add(o opened) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(o)
}

func (s *shelf) put(o opened) {
	if i := s.find(o.digest); i >= 0 {
		s.ready = slices.Delete(s.ready, i, i+1)
	}
	s.ready = append(s.ready, o)
	if len(s.ready) > shelfSize {
		s.ready = slices.Delete(s.ready, 0, 1)
	}
}

func (s *shelf) find(digest string) int {
	return slices.IndexFunc(s.ready, func(o opened) bool { return o.digest == digest })
}

// wait returns a ready bundle and leaves it on the shelf. One that is being opened is waited for until ctx ends.
func (s *shelf) wait(ctx context.Context, digest string) (opened, bool) {
	s.mu.Lock()
	coming := s.opening[digest]
	s.mu.Unlock()
	if coming != nil {
		select {
		case <-coming:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(digest)
	if i < 0 {
		return opened{}, false
	}
	return s.ready[i], true
}

// remove takes a bundle off the shelf that is held by the slot now.
func (s *shelf) remove(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.find(digest); i >= 0 {
		s.ready = slices.Delete(s.ready, i, i+1)
	}
}

// prepare opens announced bundles until ctx ends. What can't be opened is left to the promotion, which says why.
func (l *loader) prepare(ctx context.Context, store artifact.Store) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case digest := <-l.shelf.next:
			if l.slot.held(digest) != nil || !l.shelf.begin(digest) {
				continue
			}
			o, err := l.openBundle(ctx, store, digest)
			if err != nil {
				l.log.Info("registered bundle not prepared", "model", l.cfg.Model, "digest", digest, "err", err)
			}
			l.shelf.end(digest, o)
		}
	}
}
