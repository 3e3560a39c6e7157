package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

// consume runs Consume until the returned function is called, which waits for it and is called at the end of the test in any case.
func consume(t *testing.T, b *bus.Bus, c bus.ConsumerConfig, handle func(context.Context, bus.Message) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Consume(ctx, c, handle) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-done)
	}
	t.Cleanup(stop)
	return stop
}

func publish(t *testing.T, b *bus.Bus, keys ...string) {
	t.Helper()
	for _, k := range keys {
		_, err := b.Publish(testContext(t), requested("telco", k))
		require.NoError(t, err)
	}
}

func junk(t *testing.T, b *bus.Bus, data string) {
	t.Helper()
	_, err := b.JetStream().PublishMsg(testContext(t), &nats.Msg{Subject: "retrain.requested.telco", Data: []byte(data)})
	require.NoError(t, err)
}

func deadLetters(t *testing.T, b *bus.Bus) (seqs []uint64, ds []events.DeadLetter) {
	t.Helper()
	require.NoError(t, b.DeadLetters(testContext(t), func(seq uint64, d events.DeadLetter) error {
		seqs, ds = append(seqs, seq), append(ds, d)
		return nil
	}))
	return seqs, ds
}

func reason(m bus.Message) string { return m.Event.Payload.(*events.RetrainRequested).Reason }

func TestConsumeOutcomesInOrder(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	publish(t, b, "ok", "flaky", "hopeless", "panics")
	junk(t, b, "{")
	publish(t, b, "last")
	got := make(chan string, 20)
	consume(t, b, bus.ConsumerConfig{Durable: "c", Stream: events.Causes}, func(_ context.Context, m bus.Message) error {
		got <- fmt.Sprintf("%s %d", reason(m), m.Deliveries)
		switch {
		case reason(m) == "flaky" && m.Deliveries < 3:
			return errors.New("not yet")
		case reason(m) == "hopeless":
			return fmt.Errorf("handle: %w", bus.Permanent(errors.New("never")))
		case reason(m) == "panics":
			panic("boom")
		}
		return nil
	})
	for _, want := range []string{"ok 1", "flaky 1", "flaky 2", "flaky 3", "hopeless 1", "panics 1", "last 1"} {
		require.Equal(t, want, <-got)
	}
	_, ds := deadLetters(t, b)
	require.Len(t, ds, 3)
	for i, says := range []string{"never", "boom", "invalid event"} {
		require.Contains(t, ds[i].Reason, says)
		require.EqualValues(t, i+3, ds[i].Sequence)
		require.Equal(t, "c", ds[i].Consumer)
	}
}

func TestConsumeRetryAfterAndDelays(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	publish(t, b, "a")
	at := make(chan time.Time, 10)
	consume(t, b, bus.ConsumerConfig{Durable: "c", Stream: events.Causes}, func(_ context.Context, m bus.Message) error {
		at <- time.Now()
		switch m.Deliveries {
		case 1:
			return bus.RetryAfter(errors.New("later"), 400*time.Millisecond)
		case 2:
			return errors.New("once more")
		}
		return nil
	})
	first, second, third := <-at, <-at, <-at
	require.GreaterOrEqual(t, second.Sub(first), 390*time.Millisecond)
	require.GreaterOrEqual(t, third.Sub(second), 190*time.Millisecond)
}

func TestJunkSeenByManyIsOneDeadLetter(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	junk(t, b, "not json")
	publish(t, b, "fine")
	for _, name := range []string{"one", "two"} {
		got := make(chan string, 2)
		consume(t, b, bus.ConsumerConfig{Durable: name, Stream: events.Causes}, func(_ context.Context, m bus.Message) error {
			got <- reason(m)
			return nil
		})
		require.Equal(t, "fine", <-got)
	}
	for range 2 {
		ctx, cancel := context.WithCancel(testContext(t))
		err := b.Follow(ctx, bus.FollowConfig{Name: "f", Stream: events.Causes, DeadLetterJunk: true, OnCaughtUp: cancel},
			func(context.Context, bus.Message) error { return nil })
		require.NoError(t, err)
	}
	_, ds := deadLetters(t, b)
	require.Len(t, ds, 1)
	require.Equal(t, "not json", string(ds[0].Data))
}

func TestConsumeExtendsTheLeaseOfALongHandler(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	publish(t, b, "long", "next")
	var running, most atomic.Int32
	got := make(chan string, 10)
	handle := func(ctx context.Context, m bus.Message) error {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		got <- fmt.Sprintf("%s %d", reason(m), m.Deliveries)
		if reason(m) == "long" {
			select {
			case <-time.After(1200 * time.Millisecond): // the work itself
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	c := bus.ConsumerConfig{Durable: "c", Stream: events.Causes, AckWait: 300 * time.Millisecond}
	consume(t, b, c, handle)
	consume(t, b, c, handle) // a second worker would get it if the lease ran out
	require.Equal(t, "long 1", <-got)
	require.Equal(t, "next 1", <-got)
	require.EqualValues(t, 1, most.Load())
}

func TestHandlerEndsWhenItsLeaseCannotBeExtended(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Connect(t)
	publish(t, b, "a")
	begun, ended := make(chan struct{}, 10), make(chan error, 10)
	consume(t, b, bus.ConsumerConfig{Durable: "c", Stream: events.Causes, AckWait: 300 * time.Millisecond},
		func(ctx context.Context, m bus.Message) error {
			begun <- struct{}{}
			if m.Deliveries > 1 {
				return nil
			}
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return ctx.Err()
		})
	<-begun
	s.Stop(t)
	require.ErrorContains(t, <-ended, "lease")
	s.Resume(t)
	<-begun // it comes again
}

func TestConsumeStopGivesBackWhatWasNotBegun(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	publish(t, b, "0", "1", "2", "3", "4")
	c := bus.ConsumerConfig{Durable: "c", Stream: events.Causes, MaxAckPending: 10, AckWait: time.Minute}
	first, hold := make(chan string, 10), make(chan struct{})
	stop := consume(t, b, c, func(_ context.Context, m bus.Message) error {
		first <- reason(m)
		<-hold
		return nil
	})
	require.Equal(t, "0", <-first)
	go close(hold)
	stop()
	handled := map[string]bool{"0": true}
	for len(first) > 0 {
		handled[<-first] = true
	}
	rest := make(chan string, 10)
	began := time.Now()
	consume(t, b, c, func(_ context.Context, m bus.Message) error {
		rest <- reason(m)
		return nil
	})
	for len(handled) < 5 {
		r := <-rest
		require.False(t, handled[r], "%s was acked", r)
		handled[r] = true
	}
	require.Less(t, time.Since(began), 20*time.Second, "nothing waits for a lease to run out")
}

func TestConsumeGoesOnAfterDeletionAndRestart(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Connect(t)
	ctx := testContext(t)
	publish(t, b, "a")
	got := make(chan string, 20)
	consume(t, b, bus.ConsumerConfig{Durable: "c", Stream: events.Causes, AckWait: time.Second}, func(_ context.Context, m bus.Message) error {
		got <- reason(m)
		return nil
	})
	require.Equal(t, "a", <-got)
	require.NoError(t, b.JetStream().DeleteConsumer(ctx, "CAUSES", "c"))
	require.Equal(t, "a", <-got, "a consumer made anew begins anew")
	require.NoError(t, b.JetStream().DeleteStream(ctx, "CAUSES"))
	require.NoError(t, b.Provision(ctx))
	publish(t, b, "b")
	require.Equal(t, "b", <-got)
	s.Restart(t)
	publish(t, b, "c")
	for r := range got { // the last ack may not have reached the disk
		if r == "c" {
			break
		}
		require.Equal(t, "b", r)
	}
}

func TestConsumeRefusesABadConfig(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	require.Error(t, b.Consume(testContext(t), bus.ConsumerConfig{Durable: "a.b", Stream: events.Causes}, nil))
	require.Error(t, b.Consume(testContext(t), bus.ConsumerConfig{Durable: "a"}, nil))
}

func TestFailingMessageIsNoPoison(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	publish(t, b, "flaky")
	done := make(chan uint64, 1)
	consume(t, b, bus.ConsumerConfig{Durable: "c", Stream: events.Causes, MaxPoison: 3}, func(_ context.Context, m bus.Message) error {
		if m.Deliveries < 8 {
			return bus.RetryAfter(errors.New("away"), time.Millisecond)
		}
		done <- m.Deliveries
		return nil
	})
	require.EqualValues(t, 8, <-done)
	_, ds := deadLetters(t, b)
	require.Empty(t, ds)
}

func TestRetryDeadLetter(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	publish(t, b, "a")
	m, _, err := b.Get(ctx, events.Causes, 1)
	require.NoError(t, err)
	require.NoError(t, b.DeadLetter(ctx, m, "c", "store was broken"))
	require.NoError(t, b.DeadLetter(ctx, m, "d", "store was broken"))
	seqs, ds := deadLetters(t, b)
	require.Len(t, ds, 1)
	require.NoError(t, b.RetryDeadLetter(ctx, seqs[0]))
	again, ok, err := b.Get(ctx, events.Causes, 2)
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, again.Err)
	require.Equal(t, m.Event.ID, again.Event.ID)
	require.NotEqual(t, m.Header.Get(events.HeaderMsgID), again.Header.Get(events.HeaderMsgID))
	_, ds = deadLetters(t, b)
	require.Empty(t, ds, "what was published again is no dead letter any more")
	require.ErrorIs(t, b.RetryDeadLetter(ctx, seqs[0]), bus.ErrNotRetriable)

	_, err = b.Append(ctx, started("telco", "a"), 0)
	require.NoError(t, err)
	m, _, err = b.Get(ctx, events.Lifecycle, 1)
	require.NoError(t, err)
	require.NoError(t, b.DeadLetter(ctx, m, "c", "junk"))
	seqs, _ = deadLetters(t, b)
	err = b.RetryDeadLetter(ctx, seqs[0])
	require.ErrorIs(t, err, bus.ErrNotRetriable)
	require.ErrorContains(t, err, "compare-and-set")
}

func TestLargeDeadLetterIsRetriedWhole(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	big := make([]byte, 100<<10)
	for i := range big {
		big[i] = 'x'
	}
	junk(t, b, string(big))
	m, _, err := b.Get(ctx, events.Causes, 1)
	require.NoError(t, err)
	require.NoError(t, b.DeadLetter(ctx, m, "c", "junk"))
	seqs, ds := deadLetters(t, b)
	require.True(t, ds[0].Truncated)
	require.Len(t, ds[0].Data, 64<<10)
	require.NoError(t, b.RetryDeadLetter(ctx, seqs[0]))
	again, _, err := b.Get(ctx, events.Causes, 2)
	require.NoError(t, err)
	require.Equal(t, big, again.Data)
}
