package scorer

import "time"

// Watch has step called with what was done to a job, and a checkpoint written behind every block.
func (s *Service) Watch(step func(what string)) { s.step, s.checkpoint = step, time.Nanosecond }
