package inference

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/model"
)

// bundleError is a bundle that has the right bytes and can't be used: no retry helps.
type bundleError struct{ cause error }

func (e *bundleError) Error() string { return e.cause.Error() }
func (e *bundleError) Unwrap() error { return e.cause }

// obtain returns an open bundle: one that is held, one from the shelf, one that is being opened for another reason, or else it opens it.
// What it opens is left on the shelf for others who ask.
func (l *loader) obtain(ctx context.Context, store artifact.Store, digest string) (*opened, error) {
	for ctx.Err() == nil {
		if b := l.slot.held(digest); b != nil {
			return &opened{digest: digest, bundle: b, fromDisk: true}, nil
		}
		if o, ready := l.shelf.wait(ctx, digest); ready {
			return &o, nil
		}
		if l.shelf.begin(digest) {
			o, err := l.openBundle(ctx, store, digest)
			l.shelf.end(digest, o)
			return o, err
		}
	}
	return nil, ctx.Err()
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
	l.decoding.Lock()
	defer l.decoding.Unlock()
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
	if l.spoil != nil {
		b = l.spoil(digest, b)
	}
	return b, nil
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

// keepCandidate writes the candidate of a split to the cache, so that a restart needs no store for it.
func (l *loader) keepCandidate(s *split, b *model.Bundle) {
	if l.cache == nil {
		return
	}
	data, err := b.Encode()
	if err == nil {
		err = l.cache.add(artifact.Digest(s.digest), data)
	}
	if err != nil {
		l.metrics.cacheErrors.Inc()
		l.log.Error("bundle not kept on disk", "model", l.cfg.Model, "version", s.version, "err", err)
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
