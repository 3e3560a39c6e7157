package tracking

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
)

func TestCallersShareAQuestionThatWasAskedAfterThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := uint64(0)
		r := &refresher{ask: func(context.Context) (map[events.Stream]uint64, error) {
			mu.Lock()
			asked++
			n := asked
			mu.Unlock()
			time.Sleep(time.Second)
			return map[events.Stream]uint64{events.Tracking: n}, nil
		}}
		r.ctx, r.stop = context.WithCancel(t.Context())
		var wg sync.WaitGroup
		get := func(want uint64) {
			wg.Go(func() {
				got, err := r.get(t.Context())
				require.NoError(t, err)
				require.Equal(t, want, got[events.Tracking])
			})
			synctest.Wait()
		}
		get(1)
		for range 5 {
			get(2) // the first question is on its way: its answer may be older than these calls
		}
		time.Sleep(1500 * time.Millisecond)
		get(3)
		get(3)
		wg.Wait()
		require.EqualValues(t, 3, asked)
		r.close()
	})
}

func TestACallerThatGivesUpLeavesTheQuestionToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &refresher{ask: func(context.Context) (map[events.Stream]uint64, error) {
			time.Sleep(time.Minute)
			return nil, errors.New("away")
		}}
		r.ctx, r.stop = context.WithCancel(t.Context())
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := r.get(short)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
		_, err := r.get(t.Context())
		require.ErrorContains(t, err, "away")
		wg.Wait()
		r.close()
	})
}

func TestFreshSaysThatAStreamWasCreatedAgain(t *testing.T) {
	last := uint64(9)
	b := &Book{marks: map[events.Stream]*mark{events.Tracking: newMark()}}
	b.fresh.ctx, b.fresh.stop = context.WithCancel(t.Context())
	defer b.fresh.close()
	b.fresh.ask = func(context.Context) (map[events.Stream]uint64, error) {
		return map[events.Stream]uint64{events.Tracking: last}, nil
	}
	b.marks[events.Tracking].advance(9)
	require.NoError(t, b.Fresh(t.Context()))
	last = 3
	err := b.Fresh(t.Context())
	require.Equal(t, fault.Unavailable, fault.CodeOf(err))
	require.ErrorContains(t, err, "created again")
	b.marks[events.Tracking].reset()
	b.marks[events.Tracking].advance(3)
	require.NoError(t, b.Fresh(t.Context()), "the follower has noticed")
}

func TestAMarkIsReachedOrReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMark()
		require.NoError(t, m.reach(t.Context(), 0))
		done := make(chan error, 2)
		go func() { done <- m.reach(t.Context(), 5) }()
		go func() { done <- m.reach(t.Context(), 7) }()
		synctest.Wait()
		m.advance(4)
		synctest.Wait()
		require.Empty(t, done)
		m.advance(6)
		synctest.Wait()
		require.NoError(t, <-done)
		m.reset()
		require.ErrorIs(t, <-done, errReset)
		require.Zero(t, m.at())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, m.reach(ctx, 1), context.DeadlineExceeded)
	})
}
