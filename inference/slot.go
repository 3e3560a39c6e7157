package inference

import (
	"encoding/json"
	"fmt"
	"sync/atomic"

	"telco-churn-mlops/internal/app"
)

// state is what is served at one moment: a predictor, or none because there was none yet or because the model is withdrawn.
type state struct {
	predictor *Predictor
	withdrawn bool
	none      *RequestError // why there is none, where that is neither of these
}

// slot holds what is served. Reading it is one atomic load; exchanging is done by the loader alone.
type slot struct {
	model   string
	current atomic.Pointer[state]
	changed chan struct{} // something was exchanged; one reader
	health  *app.Health
	left    uint64 // sequence of the unservable promotion that is shown, 0 for none; the loader's alone
}

// newSlot returns an empty slot, and says so to health.
func newSlot(model string, h *app.Health, up func() bool) *slot {
	s := &slot{model: model, changed: make(chan struct{}, 1), health: h}
	s.current.Store(&state{})
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

func (s *slot) predictor() *Predictor { return s.current.Load().predictor }

// take returns the predictor, or the 503 that says why there is none.
func (s *slot) take() (*Predictor, *RequestError) {
	switch now := s.current.Load(); {
	case now.predictor != nil:
		return now.predictor, nil
	case now.withdrawn:
		return nil, errWithdrawn(s.model)
	case now.none != nil:
		return nil, now.none
	}
	return nil, errNoModel(s.model)
}

// exchange makes p answer from now on and returns what answered until now, nil for nothing.
func (s *slot) exchange(p *Predictor) (former *Predictor) {
	former = s.current.Swap(&state{predictor: p}).predictor
	s.servable()
	s.health.Note("version", p.promotion.Version)
	s.health.Note("digest", p.promotion.Digest)
	s.health.Note("promotion_sequence", p.promotion.Sequence)
	s.health.Note("load_failed", nil)
	s.health.Set("model", true, fmt.Sprintf("version %d", p.promotion.Version))
	s.notify()
	return former
}

// withdraw leaves the slot empty.
func (s *slot) withdraw(p Promotion) (former *Predictor) {
	former = s.current.Swap(&state{withdrawn: true}).predictor
	s.servable()
	s.health.Note("version", 0)
	s.health.Note("digest", nil)
	s.health.Note("promotion_sequence", p.Sequence)
	s.health.Note("load_failed", nil)
	s.health.Set("model", false, errWithdrawn(s.model).Text)
	s.notify()
	return former
}

// failed shows a promotion that could not be loaded, beside what is served.
func (s *slot) failed(p Promotion, cause error) {
	s.health.Note("load_failed", map[string]any{"version": p.Version, "digest": p.Digest, "promotion_sequence": p.Sequence, "reason": cause.Error()})
	if s.predictor() == nil && !s.current.Load().withdrawn {
		s.health.Set("model", false, fmt.Sprintf("version %d was promoted and can't be loaded: %s", p.Version, cause))
	}
}

func (s *slot) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
