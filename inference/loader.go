package inference

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
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

// target is a promotion that has to be served.
type target struct {
	Promotion
	received   time.Time
	unservable string // why nobody can serve it; "" if one can
}

// loader follows the model's promotions and rollouts. It brings the newest promotion into the slot, and beside it the candidate of a split.
type loader struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	slot    *slot
	cache   *cache // nil: none
	shelf   *shelf
	fleet   *fleet
	now     func() time.Time

	decoding sync.Mutex   // one bundle is decoded at a time: the requests need the processors
	revision atomic.Int64 // of the split that was told to be in force
	// spoil, if set, replaces a bundle after it was verified: a fault that the bundle's own proof can't see. Tests set it before Run.
	spoil func(digest string, b *model.Bundle) *model.Bundle

	up          func() bool   // NATS is connected
	listenEvery time.Duration // how often it is asked
	heard       time.Time     // when it was last; the candidates' alone
	unheard     time.Duration // without it a split is in force for so long

	mu        sync.Mutex
	newest    *target            // of the stream, while it is read for the first time
	caughtUp  bool               // the stream's end was reached
	wanted    *target            // to be loaded next
	interrupt context.CancelFunc // ends the attempts at the former one
	signal    chan struct{}      // wanted is set

	promoted uint64             // sequence of the last valid promotion
	rollout  standing           // the last valid rollout.changed
	recast   context.CancelFunc // ends the attempts at the former candidate
	turned   chan struct{}      // rollout has changed
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
	rollouts, err := events.SubjectOf(events.TypeRolloutChanged, l.cfg.Model)
	if err != nil {
		return err
	}
	for {
		err := b.Follow(ctx, bus.FollowConfig{
			Name: "inference", Stream: events.Lifecycle, Filters: []string{promoted, registered, rollouts},
			OnCaughtUp: l.onCaughtUp, OnReset: l.onReset,
		}, func(_ context.Context, m bus.Message) error {
			switch m.Subject {
			case registered:
				l.foresee(m)
			case rollouts:
				l.turn(m)
			default:
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
	l.promoted = m.Sequence
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
	if l.promoted == 0 {
		l.log.Info("no version of the model was promoted yet: requests are answered with 503 until one is", "model", l.cfg.Model)
	}
	l.offer()
	l.stage()
}

// onReset forgets the stream and keeps what is served.
func (l *loader) onReset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest, l.caughtUp, l.promoted, l.rollout = nil, false, 0, standing{}
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
	l.persist(ctx, func() error { return l.load(ctx, store, t) }, func(class events.LoadClass, again bool, err error) {
		still := 0
		if p := l.slot.predictor(); p != nil {
			still = p.promotion.Version
		}
		l.log.Error("promoted version not loaded", "model", l.cfg.Model, "version", t.Version, "digest", t.Digest,
			"class", class, "still_serving", still, "retry", again, "err", err)
		l.slot.failed(t.Promotion, err)
		l.fleet.failed(t.Promotion, class, err, still, 0)
	})
}

// persist calls load until it succeeds, never can, or ctx ends, and tell when it fails for the first time and when the class of the failure
// changes.
func (l *loader) persist(ctx context.Context, load func() error, tell func(class events.LoadClass, again bool, err error)) {
	var told events.LoadClass
	pause := reloadPauseMin
	for n := 1; ; n++ {
		err := load()
		if err == nil || ctx.Err() != nil {
			return
		}
		class, again := judge(err, n)
		l.metrics.loadFailures.WithLabelValues(string(class)).Inc()
		if class != told {
			told = class
			tell(class, again, err)
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
	o, err := l.obtain(ctx, store, t.Digest)
	if err != nil {
		return err
	}
	if ctx.Err() != nil { // a newer promotion came while this one was checked
		return ctx.Err()
	}
	l.exchange(NewPredictor(l.cfg.Model, o.bundle, t.Promotion), t.received, o.fromDisk)
	l.shelf.remove(t.Digest)
	l.keep(t.Promotion, o.bundle)
	return nil
}

// exchange is the one moment in which the version changes; then it is told.
func (l *loader) exchange(p *Predictor, received time.Time, fromDisk bool) {
	l.slot.exchange(p)
	at := l.now()
	took := at.Sub(received)
	l.fleet.loaded(p.promotion, took, fromDisk, 0)
	l.metrics.serving(l.cfg.Model, p, at)
	l.metrics.loadDuration.Observe(took.Seconds())
	l.toldSplit()
	l.log.Info("model loaded", "model", l.cfg.Model, "version", p.promotion.Version, "digest", p.promotion.Digest,
		"promotion_sequence", p.promotion.Sequence, "took", took.String(), "from_disk", fromDisk)
}

// withdraw takes the model away.
func (l *loader) withdraw(t *target) {
	l.slot.withdraw(t.Promotion)
	l.metrics.serving(l.cfg.Model, nil, l.now())
	l.toldSplit()
	l.log.Warn("model withdrawn, answering 503", "model", l.cfg.Model, "promotion_sequence", t.Sequence)
	l.keep(t.Promotion, nil)
}
