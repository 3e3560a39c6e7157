package inference

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/model"
)

// formerVersions is how many versions stay held after they were Production: a rollback goes there, and callers may name them.
const formerVersions = 1

// arm says why a predictor answers a record.
type arm uint8

const (
	armProduction arm = iota // it is Production, and no split or the entity's bucket gave it the record
	armCanary                // it is the candidate of the split in force, and the entity's bucket is in its share
	armNamed                 // the caller named the version
)

// event returns the arm's word in events.
func (a arm) event() events.Arm {
	return [...]events.Arm{events.ArmProduction, events.ArmCanary, events.ArmDirect}[a]
}

// serving is what answers at one moment. It is immutable: a request takes it once and uses it from its start to its end, so that the versions, the
// split and the revision that it names belong together.
type serving struct {
	production *Predictor   // nil: none
	candidate  *Predictor   // answers its share of the entities; nil unless a split is in force
	others     []*Predictor // were Production a moment ago; newest first
	revision   int          // of the split in force, 0 for none
	share      float64      // of the entities the candidate answers, 0 to 1
	since      time.Time    // when production began to answer

	salt   xxhash.Digest // holds the salt of the buckets
	bound  uint64        // a bucket below it is the candidate's; share times 2^64
	meters [2]*meter     // of Production and of the candidate, under this revision
	named  []held        // production, candidate and others, each with the meter for callers who name it

	withdrawn bool
	none      *RequestError // why there is no Production, where that is neither a start nor a withdrawal
}

// held is a predictor that a caller can name.
type held struct {
	predictor *Predictor
	meter     *meter
}

// route returns who answers the records of an entity. The same entity always gets the same version under one revision, on every instance; "" is
// an entity that is not known and goes to Production. It allocates nothing.
func (v *serving) route(entity string) (*Predictor, arm) {
	if v.candidate == nil || entity == "" {
		return v.production, armProduction
	}
	d := v.salt
	_, _ = d.WriteString(entity) // a hash takes everything
	if d.Sum64() < v.bound || v.share >= 1 {
		return v.candidate, armCanary
	}
	return v.production, armProduction
}

// version returns the predictor of a version that is held (Production, the candidate, the former Production), and nil for any other.
func (v *serving) version(n int) *Predictor {
	for i := range v.named {
		if p := v.named[i].predictor; p.promotion.Version == n {
			return p
		}
	}
	return nil
}

// meter returns where the answers of p on an arm are counted. p must be of this snapshot. It allocates nothing.
func (v *serving) meter(p *Predictor, a arm) *meter {
	if a != armNamed {
		return v.meters[a]
	}
	for i := range v.named {
		if v.named[i].predictor == p {
			return v.named[i].meter
		}
	}
	return nil // counts nothing
}

// namedMeters returns the meters for callers who name a version.
func (v *serving) namedMeters() []*meter {
	out := make([]*meter, len(v.named))
	for i := range v.named {
		out[i] = v.named[i].meter
	}
	return out
}

// slot holds what is served. Reading it is one atomic load; it is exchanged by the loader and by the fold of the rollouts, under mu.
type slot struct {
	model   string
	current atomic.Pointer[serving]
	changed chan struct{} // something was exchanged; one reader
	health  *app.Health
	book    *meterBook

	mu        sync.Mutex
	left      uint64    // sequence of the unservable promotion that is shown, 0 for none
	told      bool      // rollout is what the stream says
	rollout   standing  // of which the split may be in force or not
	candidate *opened   // of the rollout; nil while it is not loaded
	refusal   string    // why it is not
	suspended bool      // the split is not in force because NATS is away
	turned    time.Time // when rollout was last set
}

// newSlot returns an empty slot, and says so to health.
func newSlot(model string, h *app.Health, up func() bool, book *meterBook) *slot {
	s := &slot{model: model, changed: make(chan struct{}, 1), health: h, book: book}
	s.current.Store(&serving{})
	h.Note("model", model)
	h.Note("nats", upOrDown(up))
	h.Note("version", 0)
	h.Set("model", false, errNoModel(model).Text)
	s.show()
	return s
}

// upOrDown shows in /health how NATS is at the moment of asking.
type upOrDown func() bool

// MarshalJSON writes "up" or "down".
func (u upOrDown) MarshalJSON() ([]byte, error) {
	if u() {
		return json.Marshal("up")
	}
	return json.Marshal("down")
}

// now returns the snapshot, with or without a Production.
func (s *slot) now() *serving { return s.current.Load() }

// predictor returns Production, nil for none.
func (s *slot) predictor() *Predictor { return s.current.Load().production }

// take returns the snapshot that a request is answered from, or the 503 that says why there is none. Production is never nil in it.
func (s *slot) take() (*serving, *RequestError) {
	switch now := s.current.Load(); {
	case now.production != nil:
		return now, nil
	case now.withdrawn:
		return nil, errWithdrawn(s.model)
	case now.none != nil:
		return nil, now.none
	}
	return nil, errNoModel(s.model)
}

// exchange makes p answer from now on. What answered until now stays held.
func (s *slot) exchange(p *Predictor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now()
	// Who has the first answer of a version finds it in /health; but it is not ready before it answers.
	s.servable()
	s.health.Note("version", p.promotion.Version)
	s.health.Note("digest", p.promotion.Digest)
	s.health.Note("promotion_sequence", p.promotion.Sequence)
	s.health.Note("load_failed", nil)
	s.compose(&serving{production: p, others: succeed(p, before.production, before.others), since: s.book.now()})
	s.health.Set("model", true, fmt.Sprintf("version %d", p.promotion.Version))
}

// withdraw leaves the slot empty. What answered stays held, as a rollback may go there.
func (s *slot) withdraw(p Promotion) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now()
	s.compose(&serving{withdrawn: true, others: succeed(nil, before.production, before.others)})
	s.servable()
	s.health.Note("version", 0)
	s.health.Note("digest", nil)
	s.health.Note("promotion_sequence", p.Sequence)
	s.health.Note("load_failed", nil)
	s.health.Set("model", false, errWithdrawn(s.model).Text)
}

// succeed returns the versions to hold beside p: the one that answered until now and those before it, without p's own.
func succeed(p, former *Predictor, others []*Predictor) []*Predictor {
	var out []*Predictor
	for _, o := range append([]*Predictor{former}, others...) {
		if o != nil && (p == nil || o.promotion.Version != p.promotion.Version) && len(out) < formerVersions {
			out = append(out, o)
		}
	}
	return out
}

// compose completes what is to be served by the split, where that is in force, and the meters, and makes it answer. mu is held.
func (s *slot) compose(v *serving) {
	if s.inForce(v.production) {
		to := s.rollout.split
		v.revision, v.share, v.salt, v.bound = to.revision, to.share, seedBuckets(s.model, to.version), bucketBound(to.share)
		if v.candidate = s.now().candidate; v.candidate == nil || v.candidate.promotion != to.promotion() { // else the one that answers goes on
			v.candidate = NewPredictor(s.model, s.candidate.bundle, to.promotion())
		}
	}
	for _, p := range append([]*Predictor{v.production, v.candidate}, v.others...) {
		if p != nil {
			v.named = append(v.named, held{predictor: p, meter: s.book.meter(p, 0, armNamed)})
		}
	}
	if v.production != nil {
		v.meters[armProduction] = s.book.meter(v.production, v.revision, armProduction)
	}
	if v.candidate != nil {
		v.meters[armCanary] = s.book.meter(v.candidate, v.revision, armCanary)
	}
	s.book.keep(v)
	s.current.Store(v)
	s.show()
	s.notify()
}

// inForce reports whether the rollout's split holds beside a Production and its candidate is loaded. mu is held.
func (s *slot) inForce(production *Predictor) bool {
	to := s.rollout.split
	return to != nil && !s.suspended && s.candidate != nil && s.candidate.digest == to.digest &&
		production != nil && production.promotion.Sequence == to.production
}

// turn makes the slot follow a rollout: at once where it ends a split or where its candidate is loaded, else when the candidate joins.
func (s *slot) turn(r standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rollout, s.told, s.refusal, s.turned = r, true, "", s.book.now()
	if s.candidate != nil && (r.split == nil || r.split.digest != s.candidate.digest) {
		s.candidate = nil
	}
	s.recompose()
	s.show()
}

// join sets the candidate of the rollout, which answers its share from now on if the split is in force. It reports false if the rollout has another
// one, or none.
func (s *slot) join(o *opened) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rollout.split == nil || s.rollout.split.digest != o.digest {
		return false
	}
	s.candidate, s.refusal = o, ""
	s.recompose()
	s.show()
	return true
}

// suspend takes the split out of force, or lets it be in force again, and reports whether that is a change.
func (s *slot) suspend(on bool) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.suspended == on {
		return false
	}
	s.suspended = on
	s.recompose()
	s.show()
	return true
}

// recompose applies the rollout to what is served, if that makes a difference. mu is held.
func (s *slot) recompose() {
	v, to := s.now(), s.rollout.split
	if s.inForce(v.production) {
		if v.candidate != nil && v.candidate.promotion == to.promotion() && v.revision == to.revision && v.share == to.share {
			return
		}
	} else if v.candidate == nil {
		return
	}
	s.compose(&serving{production: v.production, others: v.others, since: v.since, withdrawn: v.withdrawn, none: v.none})
}

// miscast shows why the candidate of a split is not loaded.
func (s *slot) miscast(of *split, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rollout.split == of {
		s.refusal = cause.Error()
		s.show()
	}
}

// cast returns the loaded candidate, nil for none.
func (s *slot) cast() *opened {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.candidate
}

// held returns the bundle of a digest if it is Production's, the candidate's or that of a version held beside them, else nil.
func (s *slot) held(digest string) *model.Bundle {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.now()
	for _, p := range append([]*Predictor{v.production}, v.others...) {
		if p != nil && p.promotion.Digest == digest {
			return p.bundle
		}
	}
	if s.candidate != nil && s.candidate.digest == digest {
		return s.candidate.bundle
	}
	return nil
}

// pace returns how soon counts have to be published at a time: at once for a while after a promotion or a change of a canary, often while a canary
// runs and for a day after a promotion, else now and then.
func (s *slot) pace(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, canary := s.now(), s.rollout.split != nil
	switch {
	case v.production != nil && now.Sub(v.since) < freshFor, canary && now.Sub(s.turned) < freshFor:
		return 0
	case canary, v.production != nil && now.Sub(v.since) < watchedFor:
		return measureOften
	}
	return measureIdle
}

// failed shows a promotion that could not be loaded, beside what is served.
func (s *slot) failed(p Promotion, cause error) {
	s.health.Note("load_failed", map[string]any{"version": p.Version, "digest": p.Digest, "promotion_sequence": p.Sequence, "reason": cause.Error()})
	if now := s.now(); now.production == nil && !now.withdrawn {
		s.health.Set("model", false, fmt.Sprintf("version %d was promoted and can't be loaded: %s", p.Version, cause))
	}
}

func (s *slot) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
