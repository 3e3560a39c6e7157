package inference

import (
	"time"

	"telco-churn-mlops/model"
)

// Spoil has every bundle that is opened from now on replaced after it was verified: a fault of the loader, or one that a bundle's own proof can't
// see. Call it before Run.
func (s *Service) Spoil(f func(digest string, b *model.Bundle) *model.Bundle) { s.loader.spoil = f }

// MeasureEvery sets the pause between measurements. Call it before Run.
func (s *Service) MeasureEvery(d time.Duration) { s.measurer.every = d }

// Unheard sets how often is looked whether NATS is there, and how long a split goes on without it. Call it before Run.
func (s *Service) Unheard(look, limit time.Duration) {
	s.loader.listenEvery, s.loader.unheard = look, limit
}

// Split returns the revision, candidate and share of the split in force; all 0 for none.
func (s *Service) Split() (revision, candidate int, share float64) {
	v := s.slot.now()
	if v.candidate == nil {
		return 0, 0, 0
	}
	return v.revision, v.candidate.promotion.Version, v.share
}

// Route returns the version that the split in force gives an entity to.
func (s *Service) Route(entity string) int {
	p, _ := s.slot.now().route(entity)
	return p.promotion.Version
}

// Holds reports whether callers can name a version.
func (s *Service) Holds(version int) bool { return s.slot.now().version(version) != nil }
