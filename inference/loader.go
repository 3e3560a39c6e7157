package inference

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model"
)

const (
	reloadPauseMin = 100 * time.Millisecond
	// missingTries is how often a missing object counts as late before it counts as lost: it is stored before its promotion is written,
	// but not on every replica at the same moment.
	missingTries = 4
)

// bundleError is a bundle that has the right bytes and can't be used: no retry helps.
type bundleError struct{ cause error }

func (e *bundleError) Error() string { return e.cause.Error() }
func (e *bundleError) Unwrap() error { return e.cause }

// target is a promotion that has to be served.
type target struct {
	Promotion
	received   time.Time
	unservable string // why nobody can serve it; "" if one can
}

// loader follows the model's promotions and brings the newest one into the slot.
type loader struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	slot    *slot
	cache   *cache // nil: none
	shelf   *shelf
	fleet   *fleet
	now     func() time.Time

	mu        sync.Mutex
	newest    *target            // of the stream, while it is read for the first time
	caughtUp  bool               // the stream's end was reached
	wanted    *target            // to be loaded next
	interrupt context.CancelFunc // ends the attempts at the former one
	signal    chan struct{}      // wanted is set
}

// follow reads the stream until ctx ends. Whatever ends the reading early is logged, and it begins again.
func (l *loader) follow(ctx context.Context, b *bus.Bus) error {
	promoted, err := events.SubjectOf(events.TypeModelPromoted, l.cfg.Model)
	if err != nil {
		return err
	}
	registered, err := events.SubjectOf(events.TypeModelRegistered, l.cfg.Model)
	if err != nil {
		return err
	}
	for {
		err := b.Follow(ctx, bus.FollowConfig{
			Name: "inference", Stream: events.Lifecycle, Filters: []string{promoted, registered},
			OnCaughtUp: l.onCaughtUp, OnReset: l.onReset,
		}, func(_ context.Context, m bus.Message) error {
			if m.Subject == registered {
				l.foresee(m)
			} else {
				l.see(m)
			}
			return nil
		})
		if ctx.Err() != nil {
			return nil
		}
		l.log.Error("promotions can't be followed, starting again", "model", l.cfg.Model, "err", err)
		l.onReset()
		if !sleep(ctx, time.Second) {
			return nil
		}
	}
}

// see takes one message of model.promoted. Junk is skipped: the registry repairs a junk tail, and until then the last valid one counts.
func (l *loader) see(m bus.Message) {
	p, ok := m.Event.Payload.(*events.ModelPromoted)
	if m.Err != nil || !ok {
		l.metrics.junk.Inc()
		l.log.Error("promotion skipped: it can't be read", "subject", m.Subject, "sequence", m.Sequence, "err", m.Err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest = &target{received: l.now(), unservable: p.Unservable, Promotion: Promotion{
		Version: p.Version, Digest: p.Bundle.Digest, RunID: p.RunID, Sequence: m.Sequence}}
	if l.caughtUp {
		l.offer()
	}
}

// foresee takes one message of model.registered: a version that may be promoted next. Those of the past are passed over, as is junk.
func (l *loader) foresee(m bus.Message) {
	p, ok := m.Event.Payload.(*events.ModelRegistered)
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok && l.caughtUp && p.Unservable == "" {
		l.shelf.announce(p.Bundle.Digest)
	}
}

func (l *loader) onCaughtUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.caughtUp = true
	l.offer()
}

// onReset forgets the stream and keeps what is served.
func (l *loader) onReset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest, l.caughtUp = nil, false
}

// offer makes the newest promotion the wanted one and ends the attempts at its predecessor. The mutex is held.
func (l *loader) offer() {
	if l.newest == nil {
		return
	}
	l.wanted, l.newest = l.newest, nil
	if l.interrupt != nil {
		l.interrupt()
	}
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// next waits for a promotion to serve. Its context ends with ctx or when a newer one is wanted.
func (l *loader) next(ctx context.Context) (*target, context.Context) {
	for {
		select {
		case <-l.signal:
		case <-ctx.Done():
			return nil, ctx
		}
		l.mu.Lock()
		t := l.wanted
		l.wanted = nil
		attempts, cancel := context.WithCancel(ctx)
		l.interrupt = cancel
		l.mu.Unlock()
		if t != nil {
			return t, attempts
		}
		cancel()
	}
}

// run loads what is wanted until ctx ends.
func (l *loader) run(ctx context.Context, store artifact.Store) error {
	for {
		t, attempts := l.next(ctx)
		if t == nil {
			return nil
		}
		l.reach(attempts, store, t)
	}
}

// reach brings t into the slot. It returns when that is done, can never be, or ctx has ended.
func (l *loader) reach(ctx context.Context, store artifact.Store, t *target) {
	switch {
	case t.Version == 0:
		l.withdraw(t)
		return
	case t.unservable != "":
		l.leave(t)
		return
	}
	if p := l.slot.predictor(); p != nil && p.promotion == t.Promotion {
		return
	}
	var told events.LoadClass
	pause := reloadPauseMin
	for n := 1; ; n++ {
		err := l.load(ctx, store, t)
		if err == nil || ctx.Err() != nil {
			return
		}
		class, again := judge(err, n)
		l.metrics.loadFailures.WithLabelValues(string(class)).Inc()
		if class != told {
			told = class
			still := 0
			if p := l.slot.predictor(); p != nil {
				still = p.promotion.Version
			}
			l.log.Error("promoted version not loaded", "model", l.cfg.Model, "version", t.Version, "digest", t.Digest,
				"class", class, "still_serving", still, "retry", again, "err", err)
			l.slot.failed(t.Promotion, err)
			l.fleet.failed(t.Promotion, class, err, still)
		}
		if !again {
			return
		}
		if class == events.LoadPermanent {
			pause = l.cfg.ReloadEvery
		}
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, l.cfg.ReloadEvery)
	}
}

// judge says of the n-th failed attempt which class it has and whether another one makes sense.
func judge(err error, n int) (class events.LoadClass, again bool) {
	var unusable *bundleError
	switch {
	case errors.As(err, &unusable):
		return events.LoadPermanent, false
	case errors.Is(err, artifact.ErrNotFound) && n < missingTries:
		return events.LoadTransient, true
	case errors.Is(err, artifact.ErrNotFound), errors.Is(err, artifact.ErrCorrupt):
		return events.LoadPermanent, true
	case artifact.Transient(err):
		return events.LoadTransient, true
	}
	return events.LoadPermanent, false
}

// load does all that can fail, and then the exchange.
func (l *loader) load(ctx context.Context, store artifact.Store, t *target) error {
	if p := l.slot.predictor(); p != nil && p.promotion.Digest == t.Digest {
		l.exchange(NewPredictor(l.cfg.Model, p.bundle, t.Promotion), t.received, false) // the same bundle, promoted again
		l.keep(t.Promotion, p.bundle)
		return nil
	}
	o, ready := l.shelf.take(ctx, t.Digest)
	if !ready {
		fresh, err := l.openBundle(ctx, store, t.Digest)
		if err != nil {
			return err
		}
		o = *fresh
	}
	if ctx.Err() != nil { // a newer promotion came while this one was checked
		return ctx.Err()
	}
	former := l.exchange(NewPredictor(l.cfg.Model, o.bundle, t.Promotion), t.received, o.fromDisk)
	l.keep(t.Promotion, o.bundle)
	if former != nil { // a rollback would go there
		l.shelf.add(opened{digest: former.promotion.Digest, bundle: former.bundle, fromDisk: true})
	}
	return nil
}

// fetch returns the verified bytes from the cache or the store.
func (l *loader) fetch(ctx context.Context, store artifact.Store, digest artifact.Digest) (data []byte, fromDisk bool, err error) {
	if l.cache != nil {
		data, err := l.cache.bundle(digest)
		if err == nil {
			return data, true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			l.metrics.cacheErrors.Inc()
			l.log.Warn("cached bundle not used", "digest", digest, "err", err)
		}
	}
	data, err = artifact.ReadAll(ctx, store, digest, l.cfg.MaxBundle)
	if err != nil {
		return nil, false, fmt.Errorf("fetch bundle: %w", err)
	}
	return data, false, nil
}

// openBundle fetches, decodes and verifies.
func (l *loader) openBundle(ctx context.Context, store artifact.Store, digest string) (*opened, error) {
	data, fromDisk, err := l.fetch(ctx, store, artifact.Digest(digest))
	if err != nil {
		return nil, err
	}
	b, err := l.open(data, digest)
	if err != nil {
		return nil, err
	}
	return &opened{digest, b, fromDisk}, nil
}

// open decodes and verifies a bundle. A panic on the way is one more way to be unusable: a bad bundle must not end a process that answers
// with a good one, and those of all other instances with it.
func (l *loader) open(data []byte, digest string) (_ *model.Bundle, err error) {
	defer func() {
		if r := recover(); r != nil {
			l.log.Error("panic while a bundle was opened", "model", l.cfg.Model, "digest", digest, "err", r, "stack", string(debug.Stack()))
			err = &bundleError{fmt.Errorf("open bundle: panic: %v", r)}
		}
	}()
	b, err := model.Decode(data)
	if err != nil {
		return nil, &bundleError{fmt.Errorf("decode bundle: %w", err)}
	}
	if err := b.Verify(); err != nil {
		return nil, &bundleError{err}
	}
	return b, nil
}

// exchange is the one moment in which the version changes; then it is told. It returns what answered until then, nil for nothing.
func (l *loader) exchange(p *Predictor, received time.Time, fromDisk bool) (former *Predictor) {
	former = l.slot.exchange(p)
	at := l.now()
	took := at.Sub(received)
	l.fleet.loaded(p.promotion, took, fromDisk)
	l.metrics.serving(l.cfg.Model, former, p, at)
	l.metrics.loadDuration.Observe(took.Seconds())
	l.log.Info("model loaded", "model", l.cfg.Model, "version", p.promotion.Version, "digest", p.promotion.Digest,
		"promotion_sequence", p.promotion.Sequence, "took", took.String(), "from_disk", fromDisk)
	return former
}

// withdraw takes the model away.
func (l *loader) withdraw(t *target) {
	former := l.slot.withdraw(t.Promotion)
	l.metrics.serving(l.cfg.Model, former, nil, l.now())
	l.log.Warn("model withdrawn, answering 503", "model", l.cfg.Model, "promotion_sequence", t.Sequence)
	l.keep(t.Promotion, nil)
}

// keep writes to the cache what is served now; b is nil for a withdrawn model. The version answers already, so a full disk changes nothing but
// the next start.
func (l *loader) keep(p Promotion, b *model.Bundle) {
	if l.cache == nil {
		return
	}
	var data []byte
	var err error
	if b != nil { // a decoded bundle gives the bytes that it came from
		data, err = b.Encode()
	}
	if err == nil {
		err = l.cache.save(note{Promotion: p, SavedAt: l.now().UTC()}, data)
	}
	if err != nil {
		l.metrics.cacheErrors.Inc()
		l.log.Error("bundle not kept on disk", "model", l.cfg.Model, "version", p.Version, "err", err)
	}
}

// restore serves what the cache holds. What can't be used is logged, and the stream decides alone.
func (l *loader) restore() {
	if l.cache == nil {
		return
	}
	began := l.now()
	n, err := l.cache.current()
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var p *Predictor
	if err == nil && n.Version > 0 {
		var data []byte
		if data, err = l.cache.bundle(artifact.Digest(n.Digest)); err == nil {
			var b *model.Bundle
			if b, err = l.open(data, n.Digest); err == nil {
				p = NewPredictor(l.cfg.Model, b, n.Promotion)
			}
		}
	}
	switch {
	case err != nil:
		l.metrics.cacheErrors.Inc()
		l.log.Warn("nothing restored from disk", "model", l.cfg.Model, "err", err)
	case p == nil:
		l.slot.withdraw(n.Promotion)
	default:
		l.exchange(p, began, true)
	}
}
