package inference

// Ready reports whether a bundle lies open on the shelf.
func (s *Service) Ready(digest string) bool {
	s.loader.shelf.mu.Lock()
	defer s.loader.shelf.mu.Unlock()
	return s.loader.shelf.find(digest) >= 0
}
