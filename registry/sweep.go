package registry

import (
	"context"
	"time"
)

// sweeper is a store that can hold parts of uploads whose writer was killed. Others clean up by themselves (S3 by a lifecycle rule).
type sweeper interface {
	// Sweep removes what no object names and no living upload can still need, and returns how many uploads it cleaned up after.
	Sweep(ctx context.Context) (int, error)
}

// sweep removes what killed uploads left behind, at the start and then once a day, until ctx ends. A failure waits for the next time: what
// stays costs room, and nothing else.
func (s *Service) sweep(ctx context.Context) error {
	store, ok := s.cfg.Store.(sweeper)
	if !ok {
		return nil
	}
	tick := time.NewTicker(s.cfg.SweepEvery)
	defer tick.Stop()
	for {
		n, err := store.Sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.log.Warn("artifact store not swept", "err", err)
		case n > 0:
			s.metrics.swept.Add(float64(n))
			s.log.Info("removed what killed uploads left", "uploads", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
