package inference

import (
	"fmt"
	"net/http"
)

// leave lets a promotion be that nobody can serve: what answers goes on, nothing is fetched, and nothing failed. It is said in /health, in a
// metric, in the log and, with nothing to answer with, in the 503.
func (l *loader) leave(t *target) {
	l.metrics.unservable.Set(1)
	former := l.slot.unservable(t.Promotion, t.unservable)
	if former == t.Sequence { // read again
		return
	}
	still := 0
	if p := l.slot.predictor(); p != nil {
		still = p.promotion.Version
	}
	l.log.Warn("promoted version can't be served and is left alone", "model", l.cfg.Model, "version", t.Version,
		"promotion_sequence", t.Sequence, "still_serving", still, "reason", t.unservable)
}

// unservable shows a promotion that can't be served beside what is. It returns the sequence of the one that was shown before, 0 for none.
func (s *slot) unservable(p Promotion, reason string) (former uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	former, s.left = s.left, p.Sequence
	s.health.Note("unservable", map[string]any{"version": p.Version, "promotion_sequence": p.Sequence, "reason": reason})
	s.health.Note("load_failed", nil) // of an older promotion
	if s.predictor() == nil {
		none := errUnservable(s.model, p.Version, reason)
		s.compose(&serving{none: none, others: s.now().others})
		s.health.Set("model", false, none.Text)
	}
	return former
}

// servable takes back what unservable said. mu is held.
func (s *slot) servable() {
	s.left = 0
	s.health.Note("unservable", nil)
}

func errUnservable(model string, version int, reason string) *RequestError {
	return &RequestError{Code: http.StatusServiceUnavailable,
		Text: fmt.Sprintf("model %s has nothing loaded: version %d was promoted and can't be served: %s", model, version, reason)}
}
