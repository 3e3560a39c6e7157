package drift

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model"
)

const (
	// promotionsKept bounds the promotions remembered, referencesKept the decoded bundles.
	promotionsKept = 10_000
	referencesKept = 16
	// believedAfter is how often an object must have been missed or found damaged before that is believed: a replica may lag.
	believedAfter = 3
)

// errNoPromotion says that a prediction names a promotion that does not exist. No retry can help: a promotion is stored before it is served.
var errNoPromotion = errors.New("no such promotion")

// errUnusable says that a promotion exists and its bundle can't be read. The store answered: it is not away.
var errUnusable = errors.New("reference cannot be used")

// references reads promotions and the bundles that they name. Safe for concurrent use.
type references struct {
	b     *bus.Bus
	store artifact.Store
	limit int64
	retry time.Duration
	now   func() time.Time
	log   *slog.Logger

	mu         sync.Mutex
	promotions map[promotionKey]*events.ModelPromoted // nil: there is none
	loaded     []*loadedReference
	missed     map[promotionKey]*missedReference
}

type promotionKey struct {
	model    string
	sequence uint64
}

type loadedReference struct {
	key promotionKey
	ref *Reference
}

// missedReference is a bundle that the store did not have, or not whole.
type missedReference struct {
	tries int
	again time.Time // not asked for before that
	err   error
}

// promotion returns what a model's promotion with a sequence said, errNoPromotion (permanent) if there is none, or a transient error.
func (r *references) promotion(ctx context.Context, model string, seq uint64) (*events.ModelPromoted, error) {
	key := promotionKey{model, seq}
	r.mu.Lock()
	p, known := r.promotions[key]
	r.mu.Unlock()
	if !known {
		var err error
		if p, err = r.read(ctx, key); err != nil {
			return nil, err
		}
		r.mu.Lock()
		if len(r.promotions) >= promotionsKept {
			clear(r.promotions)
		}
		r.promotions[key] = p
		r.mu.Unlock()
	}
	if p == nil {
		return nil, bus.Permanent(fmt.Errorf("promotion %d of %s: %w", seq, model, errNoPromotion))
	}
	return p, nil
}

func (r *references) read(ctx context.Context, key promotionKey) (*events.ModelPromoted, error) {
	if key.sequence == 0 {
		return nil, nil
	}
	m, ok, err := r.b.Get(ctx, events.Lifecycle, key.sequence)
	if err != nil {
		return nil, err
	}
	if !ok || m.Err != nil || m.Event.Model != key.model {
		return nil, nil
	}
	p, ok := m.Event.Payload.(*events.ModelPromoted)
	if !ok || p.Version == 0 {
		return nil, nil
	}
	return p, nil
}

// served is what a prediction says of how it was made.
type served struct {
	promotion uint64
	version   int
	arm       events.Arm
}

// check returns an error unless the promotion exists and is of the version; what another than Production as such answered names the promotion beside
// which it stood. The error is permanent if no retry can help.
func (r *references) check(ctx context.Context, model string, by served) error {
	p, err := r.promotion(ctx, model, by.promotion)
	if err != nil {
		return err
	}
	if p.Version != by.version && by.arm == "" {
		return bus.Permanent(fmt.Errorf("promotion %d of %s: %w of version %d, it is of version %d", by.promotion, model, errNoPromotion, by.version, p.Version))
	}
	return nil
}

// load returns the reference of a promotion. Its error is errUnusable if the store answered and there is nothing to use, permanent
// if there is no such promotion, and else transient: the store or the network is away.
func (r *references) load(ctx context.Context, name string, seq uint64) (*Reference, error) {
	key := promotionKey{name, seq}
	p, err := r.promotion(ctx, name, seq)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	for _, l := range r.loaded {
		if l.key == key {
			r.mu.Unlock()
			return l.ref, nil
		}
	}
	if err := r.missing(key); err != nil {
		r.mu.Unlock()
		return nil, err
	}
	r.mu.Unlock()
	ref, err := r.fetch(ctx, key, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		return nil, r.believe(key, err)
	}
	delete(r.missed, key)
	r.loaded = append(r.loaded, &loadedReference{key, ref})
	if len(r.loaded) > referencesKept {
		r.loaded = r.loaded[1:]
	}
	return ref, nil
}

// fetch reads and decodes a bundle. The digest is checked on the way.
func (r *references) fetch(ctx context.Context, key promotionKey, p *events.ModelPromoted) (*Reference, error) {
	d, err := artifact.ParseDigest(p.Bundle.Digest)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	data, err := artifact.ReadAll(ctx, r.store, d, r.limit)
	if err != nil {
		return nil, fmt.Errorf("fetch bundle: %w", err)
	}
	b, err := model.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("decode bundle %s: %w: %w", p.Bundle.Digest, errUnusable, err)
	}
	if b.Manifest.Model != key.model {
		return nil, fmt.Errorf("bundle %s is of model %s: %w", p.Bundle.Digest, b.Manifest.Model, errUnusable)
	}
	return NewReference(b, p.Version, key.sequence), nil
}

// missing returns what was answered a moment ago, nil if the store is to be asked; the mutex is held.
func (r *references) missing(key promotionKey) error {
	m := r.missed[key]
	if m == nil {
		return nil
	}
	wait := m.again.Sub(r.now())
	switch {
	case wait <= 0:
		return nil
	case m.tries < believedAfter:
		return bus.RetryAfter(m.err, wait)
	}
	return m.err
}

// believe turns the answer of a store into errUnusable once it was given a few times, with a pause between them whoever asks; the mutex is held.
func (r *references) believe(key promotionKey, err error) error {
	if !errors.Is(err, errUnusable) && artifact.Transient(err) {
		return err
	}
	m := r.missed[key]
	if m == nil {
		m = &missedReference{}
		r.missed[key] = m
	}
	if !errors.Is(err, errUnusable) {
		if again := r.missing(key); again != nil {
			return again // another one asked at the same moment
		}
		if m.tries++; m.tries < believedAfter {
			m.again, m.err = r.now().Add(r.retry/believedAfter), err
			return bus.RetryAfter(err, r.retry/believedAfter)
		}
	}
	if !errors.Is(err, errUnusable) {
		err = fmt.Errorf("%w: %w", errUnusable, err)
	}
	m.tries, m.again, m.err = believedAfter, r.now().Add(r.retry), fmt.Errorf("promotion %d of %s: %w", key.sequence, key.model, err)
	r.log.Error("reference cannot be used, the former one goes on", "model", key.model, "promotion_sequence", key.sequence, "err", err)
	return m.err
}
