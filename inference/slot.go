package inference

import (
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
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

// seedBuckets returns a hash that holds the salt of a split: xxhash64 of the model, a slash, the candidate's version and a zero byte comes before
// the entity. So each candidate has a draw of its own, and within it a smaller share is a subset of a greater one.
func seedBuckets(model string, version int) xxhash.Digest {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(fmt.Sprintf("%s/%d\x00", model, version)) // a hash takes everything
	return d
}

// bucketBound returns the first bucket that is not in the share: share times 2^64, and the greatest number where that does not fit.
func bucketBound(share float64) uint64 {
	switch {
	case !(share > 0):
		return 0
	case share >= 1:
		return math.MaxUint64
	}
	return uint64(math.Ldexp(share, 64))
}

// slot holds what is served. Reading it is one atomic load; it is exchanged by the loader and by the fold of the rollouts, under mu.
type slot struct {
	model   string
	current atomic.Pointer[serving]
	changed chan struct{} // something was exchanged; one reader
	health  *app.Health
	book    *meterBook

	mu        sync.Mutex
	left      uint64 // sequence of the unservable promotion that is shown, 0 for none
	split     *split // as the stream says; nil for none
	candidate *opened
}

// newSlot returns an empty slot, and says so to health.
func newSlot(model string, h *app.Health, up func() bool, book *meterBook) *slot {
	s := &slot{model: model, changed: make(chan struct{}, 1), health: h, book: book}
	s.current.Store(&serving{})
	h.Note("model", model)
	h.Note("nats", upOrDown(up))
	h.Note("version", 0)
	h.Set("model", false, errNoModel(model).Text)
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

// exchange makes p answer from now on and returns what answered until now, nil for nothing.
func (s *slot) exchange(p *Predictor) (former *Predictor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now()
	former = before.production
	s.compose(&serving{production: p, others: succeed(p, former, before.others)})
	s.servable()
	s.health.Note("version", p.promotion.Version)
	s.health.Note("digest", p.promotion.Digest)
	s.health.Note("promotion_sequence", p.promotion.Sequence)
	s.health.Note("load_failed", nil)
	s.health.Set("model", true, fmt.Sprintf("version %d", p.promotion.Version))
	return former
}

// withdraw leaves the slot empty. What answered stays held, as a rollback may go there.
func (s *slot) withdraw(p Promotion) (former *Predictor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now()
	former = before.production
	s.compose(&serving{withdrawn: true, others: succeed(nil, former, before.others)})
	s.servable()
	s.health.Note("version", 0)
	s.health.Note("digest", nil)
	s.health.Note("promotion_sequence", p.Sequence)
	s.health.Note("load_failed", nil)
	s.health.Set("model", false, errWithdrawn(s.model).Text)
	return former
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
	if c := s.canary(v.production); c != nil {
		v.candidate, v.revision, v.share = c, s.split.revision, s.split.share
		v.salt, v.bound = seedBuckets(s.model, s.split.version), bucketBound(s.split.share)
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
	s.notify()
}

// canary returns the candidate's predictor if the split is in force beside this Production and the candidate is loaded, else nil. The one that
// answers already is kept. mu is held.
func (s *slot) canary(production *Predictor) *Predictor {
	switch {
	case s.split == nil || s.candidate == nil || production == nil:
		return nil
	case s.split.digest != s.candidate.digest || s.split.production != production.promotion.Sequence:
		return nil
	}
	p := s.split.promotion()
	if c := s.now().candidate; c != nil && c.promotion == p {
		return c
	}
	return NewPredictor(s.model, s.candidate.bundle, p)
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
