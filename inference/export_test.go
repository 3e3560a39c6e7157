package inference

// Ready reports whether a bundle lies open on the shelf.
func (s *Service) Ready(digest string) bool {
	s.loader.shelf.mu.Lock()
	defer s.loader.shelf.mu.Unlock()
	return s.loader.shelf.find(digest) >= 0
}

// Admit takes a permit as a request does; nil where there is none left.
func (s *Service) Admit() (done func()) { return s.admit() }
