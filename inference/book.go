package inference

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// Counts that have changed are published at this pace.
const (
	measureEvery = 2 * time.Second  // for a while after a promotion or a change of a canary, and when a meter has ended
	measureOften = 15 * time.Second // while a canary, or the watch of a fresh Production, may run for long
	measureIdle  = 5 * time.Minute  // otherwise
	freshFor     = 15 * time.Minute // how long the while is
	watchedFor   = 24 * time.Hour   // how long a Production is taken for one that may be watched
	meterKept    = 15 * time.Minute // how long a meter that has ended stays in the measurements
)

// meterBook holds the meters of what is served and of what was served a while ago. Safe for concurrent use.
type meterBook struct {
	now func() time.Time

	mu      sync.Mutex
	meters  map[meterKey]*meter
	current map[meterKey]bool // those that what is served counts in
}

func newMeterBook(now func() time.Time) *meterBook {
	return &meterBook{now: now, meters: map[meterKey]*meter{}, current: map[meterKey]bool{}}
}

// meter returns the meter of a predictor on an arm under a revision, the same one for the same key as long as it is kept.
func (k *meterBook) meter(p *Predictor, revision int, a arm) *meter {
	key := meterKey{version: p.promotion.Version, digest: p.promotion.Digest, promotion: p.promotion.Sequence, revision: revision, arm: a}
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.meters[key]
	if m == nil {
		m = newMeter(key, p.bundle, k.now().UTC())
		k.meters[key] = m
	}
	return m
}

// keep marks the meters that nothing in v counts in any more as ended.
func (k *meterBook) keep(v *serving) {
	at := k.now().UTC()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current = map[meterKey]bool{}
	for _, m := range append(v.meters[:], v.namedMeters()...) {
		if m != nil {
			k.current[m.key] = true
		}
	}
	for key, m := range k.meters {
		switch {
		case k.current[key]:
			m.ended = time.Time{}
		case m.ended.IsZero():
			m.ended = at
		}
	}
}

// reading is what the meters said at one moment.
type reading struct {
	at       time.Time
	counts   map[meterKey]uint64 // of everything that a meter counts, by which a change is seen
	versions []events.VersionMeasurement
}

// read returns the counts of every meter that counted anything, in the order of their keys.
func (k *meterBook) read() reading {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := reading{at: k.now().UTC(), counts: map[meterKey]uint64{}}
	for key, m := range k.meters {
		to := r.at
		if !m.ended.IsZero() {
			to = m.ended
		}
		if v, n := m.measure(to); n > 0 {
			r.counts[key] = n
			r.versions = append(r.versions, v)
		}
	}
	slices.SortFunc(r.versions, func(a, b events.VersionMeasurement) int {
		return cmp.Or(cmp.Compare(a.PromotionSequence, b.PromotionSequence), cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Version, b.Version),
			cmp.Compare(a.Arm, b.Arm), cmp.Compare(a.Digest, b.Digest))
	})
	return r
}

// forget drops the meters that ended a while before r, whose counts r holds, and whose key can't come back: a revision is never in force
// again, but a Production without a split may be, after a canary beside it.
func (k *meterBook) forget(r reading) {
	k.mu.Lock()
	defer k.mu.Unlock()
	promotions := map[uint64]bool{}
	for key := range k.current {
		promotions[key.promotion] = true
	}
	for key, m := range k.meters {
		_, n := m.measure(r.at)
		if !m.ended.IsZero() && r.at.Sub(m.ended) > meterKept && n == r.counts[key] && (key.revision > 0 || !promotions[key.promotion]) {
			delete(k.meters, key)
		}
	}
}

// measurer publishes the counts of the meters, as serving.measured: soon after they changed while a rollout or a fresh Production is watched, else now and
// then, and at the stop. They are cumulative, so that one that is lost costs nothing but time.
type measurer struct {
	fleet *fleet
	slot  *slot
	book  *meterBook
	every time.Duration

	published reading // last
}

func newMeasurer(f *fleet, s *slot, k *meterBook) *measurer {
	return &measurer{fleet: f, slot: s, book: k, every: measureEvery}
}

// run publishes until ctx ends, and then for up to fleetFlush what was counted since.
func (p *measurer) run(ctx context.Context, ln *link) error {
	b, _, err := ln.wait(ctx)
	if err != nil {
		return nil
	}
	p.published.at = p.book.now()
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if r := p.book.read(); p.due(r) {
				p.publish(ctx, b, r)
			}
		case <-ctx.Done():
			if r := p.book.read(); p.changed(r) && b.Connected() {
				p.publish(context.WithoutCancel(ctx), b, r)
			}
			return nil
		}
	}
}

// changed reports whether anything was counted since the last publication.
func (p *measurer) changed(r reading) bool {
	for key, n := range r.counts {
		if p.published.counts[key] != n {
			return true
		}
	}
	return false
}

// due reports whether r should be published now. A meter that has ended is told at once.
func (p *measurer) due(r reading) bool {
	if !p.changed(r) {
		return false
	}
	if r.at.Sub(p.published.at) >= p.slot.pace(r.at) {
		return true
	}
	p.book.mu.Lock()
	defer p.book.mu.Unlock()
	for key, n := range r.counts {
		if !p.book.current[key] && p.published.counts[key] != n {
			return true
		}
	}
	return false
}

// publish stores the reading. What fails is in the next one.
func (p *measurer) publish(ctx context.Context, b *bus.Bus, r reading) {
	f := p.fleet
	ctx, cancel := context.WithTimeout(ctx, fleetFlush)
	defer cancel()
	m := &events.ServingMeasured{Versions: r.versions}
	if now := p.slot.predictor(); now != nil {
		m.Serving = f.serving(now.promotion)
	} else {
		m.Serving = f.serving(Promotion{})
	}
	if _, err := b.Publish(ctx, events.New(f.model, f.source, fmt.Sprintf("%s/%s/%d", f.instance, f.boot, f.n.Add(1)), r.at, m)); err != nil {
		f.log.Warn("measurement not published, the next one holds it", "model", f.model, "err", err)
		return
	}
	p.published = r
	p.book.forget(r)
}
