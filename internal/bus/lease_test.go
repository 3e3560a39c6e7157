package bus_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

func leaseConfig(holder string) bus.LeaseConfig {
	return bus.LeaseConfig{Bucket: "TRAINER", Key: "telco", Holder: holder, TTL: 600 * time.Millisecond, Renew: 150 * time.Millisecond}
}

func TestLeaseHasOneHolderAtATime(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	ctx := testContext(t)
	var mu sync.Mutex
	holders, turns := 0, 0
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		b := s.Dial(t, bus.Config{Name: "test"})
		wg.Go(func() {
			l, err := b.Lease(ctx, leaseConfig("same name"))
			if err != nil {
				errs[i] = err
				return
			}
			mu.Lock()
			holders++
			turns++
			alone := holders == 1
			mu.Unlock()
			if !alone {
				t.Error("two holders")
			}
			select {
			case <-l.Context().Done():
				t.Error("lost while renewed")
			case <-time.After(700 * time.Millisecond): // longer than the lease holds without renewal
			}
			mu.Lock()
			holders--
			mu.Unlock()
			errs[i] = l.Release(ctx)
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, 4, turns)
}

func TestLeaseIsTakenOverAfterItsHolderWentAway(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	ctx := testContext(t)
	p := bustest.StartProxy(t, s.URL())
	far, near := s.Dial(t, bus.Config{Name: "far", URL: p.URL()}), s.Dial(t, bus.Config{Name: "near"})
	lost, err := far.Lease(ctx, leaseConfig("far"))
	require.NoError(t, err)
	_, ok, err := near.TryLease(ctx, leaseConfig("near"))
	require.NoError(t, err)
	require.False(t, ok)
	p.Swallow() // its renewals arrive, the answers do not; the next ones it can't make
	l, err := near.Lease(ctx, leaseConfig("near"))
	require.NoError(t, err)
	select {
	case <-lost.Context().Done():
	default:
		require.Fail(t, "taken over while the other still believed to hold it")
	}
	require.ErrorIs(t, context.Cause(lost.Context()), bus.ErrLeaseLost)
	p.Cut()
	require.NoError(t, lost.Release(ctx), "releasing what was lost takes nothing from the new holder")
	require.NoError(t, l.Context().Err())
	require.NoError(t, l.Release(ctx))
}

func TestLeaseOutlivesAShortOutage(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Connect(t)
	ctx := testContext(t)
	c := leaseConfig("a")
	c.TTL, c.Renew = 5*time.Second, 100*time.Millisecond
	l, err := b.Lease(ctx, c)
	require.NoError(t, err)
	s.Restart(t)
	bustest.Eventually(t, b.Connected, "reconnected")
	other := s.Dial(t, bus.Config{Name: "other"})
	_, ok, err := other.TryLease(ctx, c)
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, l.Context().Err())
	require.NoError(t, l.Release(ctx))
	taken, ok, err := other.TryLease(ctx, c)
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, taken.Release(ctx))
	require.NoError(t, taken.Release(ctx))
}

func TestLeaseWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Connect(t)
	l, err := b.Lease(testContext(t), leaseConfig("a"))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
	defer cancel()
	_, err = b.Lease(ctx, leaseConfig("b"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, l.Release(testContext(t)))
	_, err = b.Lease(testContext(t), bus.LeaseConfig{Bucket: "X", Key: "y", Holder: "z", TTL: time.Second, Renew: time.Second})
	require.Error(t, err)
}

func TestLeaseThatAnotherIsJustTakingIsNotFree(t *testing.T) {
	t.Parallel()
	for _, code := range []jetstream.ErrorCode{jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			b := bustest.Start(t).Connect(t)
			ctx := testContext(t)
			// What a leader answers that has accepted another's write and not applied it yet: the write is refused, and the key reads as free.
			stream, err := b.JetStream().CreateStream(ctx, jetstream.StreamConfig{Name: "KV_TRAINER", Subjects: []string{"$KV.TRAINER.elsewhere"}, MaxMsgsPerSubject: 1})
			require.NoError(t, err)
			refused := make(chan struct{}, 100)
			leader, err := b.Conn().Subscribe("$KV.TRAINER.telco", func(m *nats.Msg) {
				refused <- struct{}{}
				_ = m.Respond(fmt.Appendf(nil, `{"error":{"code":400,"err_code":%d,"description":"wrong last sequence"},"stream":"KV_TRAINER","seq":0}`, code))
			})
			require.NoError(t, err)
			_, ok, err := b.TryLease(ctx, leaseConfig("late"))
			require.NoError(t, err)
			require.False(t, ok)
			<-refused

			taken := make(chan error, 1)
			go func() {
				l, err := b.Lease(ctx, leaseConfig("late"))
				if err == nil {
					err = l.Release(ctx)
				}
				taken <- err
			}()
			<-refused // it waits on, and takes the lease once that is free in truth
			require.NoError(t, leader.Unsubscribe())
			c := stream.CachedInfo().Config
			c.Subjects = []string{"$KV.TRAINER.>"}
			_, err = b.JetStream().UpdateStream(ctx, c)
			require.NoError(t, err)
			require.NoError(t, <-taken)
		})
	}
}
