package inference

import "time"

// Ready reports whether a bundle lies open on the shelf.
func (s *Service) Ready(digest string) bool {
	s.loader.shelf.mu.Lock()
	defer s.loader.shelf.mu.Unlock()
	return s.loader.shelf.find(digest) >= 0
}

// Admit takes a place as a request does; nil where there is none left.
func (s *Service) Admit() (done func()) {
	if s.admit(time.Time{}) != nil {
		return nil
	}
	return s.gate.leave
}

// FillAnswers makes it look as if nobody read any answer.
func (s *Service) FillAnswers() (read func()) {
	s.bodies.unsent.Add(s.bodies.most)
	return func() { s.bodies.unsent.Add(-s.bodies.most) }
}
