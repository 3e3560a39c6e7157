package registry

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
)

// sweepable is a store that tells of every sweep, of which the first fails and the second finds three uploads.
type sweepable struct {
	artifact.Store
	swept chan int
	n     int
}

func (s *sweepable) Sweep(ctx context.Context) (int, error) {
	s.n++
	select {
	case s.swept <- s.n:
	case <-ctx.Done():
	}
	switch s.n {
	case 1:
		return 0, errors.New("the store is away")
	case 2:
		return 3, nil
	}
	return 0, nil
}

func TestTheStoreIsSweptAtTheStartAndAgain(t *testing.T) {
	r := newRig(t)
	store := &sweepable{Store: r.store, swept: make(chan int)}
	s := r.start(func(c *Config) { c.Store, c.SweepEvery = store, time.Millisecond })
	require.Equal(t, 1, <-store.swept)
	require.Equal(t, 2, <-store.swept, "a failure is not the last word")
	require.Equal(t, 3, <-store.swept)
	require.Equal(t, 3.0, counter(t, s.metrics.swept))
}
