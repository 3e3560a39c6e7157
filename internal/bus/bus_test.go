package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func started(model, key string) events.Event {
	return events.New(model, "test/local", key, time.Now(), &events.RunStarted{RunID: key, TargetStage: events.StageProduction,
		Causes: []events.Cause{{Kind: events.CauseFirst}}})
}

func requested(model, key string) events.Event {
	return events.New(model, "test/local", key, time.Now(), &events.RetrainRequested{Actor: "test", Reason: key})
}

func TestPublishAndReadBack(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	for i := range 10 {
		r, err := b.Publish(ctx, requested("telco", fmt.Sprint(i)))
		require.NoError(t, err)
		require.Equal(t, bus.Receipt{Sequence: uint64(i + 1)}, r)
	}
	var got []string
	require.NoError(t, b.Read(ctx, bus.ReadConfig{Stream: events.Causes, From: 3, Through: 8}, func(m bus.Message) error {
		require.NoError(t, m.Err)
		got = append(got, m.Event.Payload.(*events.RetrainRequested).Reason)
		return nil
	}))
	require.Equal(t, []string{"2", "3", "4", "5", "6", "7"}, got)
	last, ok, err := b.Last(ctx, events.TypeRetrainRequested, "telco")
	require.NoError(t, err)
	require.True(t, ok)
	require.EqualValues(t, 10, last.Sequence)
	require.Equal(t, requested("telco", "9").ID, last.Event.ID)
	_, ok, err = b.Last(ctx, events.TypeRunStarted, "telco")
	require.NoError(t, err)
	require.False(t, ok)
	seq, err := b.LastSequence(ctx, events.Causes)
	require.NoError(t, err)
	require.EqualValues(t, 10, seq)
	require.NoError(t, b.Read(ctx, bus.ReadConfig{Stream: events.Lifecycle}, func(bus.Message) error { return fmt.Errorf("none expected") }))
}

func TestConsumeAndFollowPlain(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx, cancel := context.WithCancel(testContext(t))
	consumed, followed, caught := make(chan uint64, 10), make(chan uint64, 10), make(chan struct{})
	done := make(chan error, 2)
	go func() {
		done <- b.Consume(ctx, bus.ConsumerConfig{Durable: "c", Stream: events.Causes}, func(_ context.Context, m bus.Message) error {
			consumed <- m.Sequence
			return nil
		})
	}()
	go func() {
		done <- b.Follow(ctx, bus.FollowConfig{Name: "f", Stream: events.Causes, OnCaughtUp: func() { close(caught) }}, func(_ context.Context, m bus.Message) error {
			followed <- m.Sequence
			return nil
		})
	}()
	<-caught
	for i := range 3 {
		_, err := b.Publish(ctx, requested("telco", fmt.Sprint(i)))
		require.NoError(t, err)
	}
	for i := range 3 {
		require.EqualValues(t, i+1, <-consumed)
		require.EqualValues(t, i+1, <-followed)
	}
	cancel()
	require.NoError(t, <-done)
	require.NoError(t, <-done)
}

func TestLeasePlain(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	c := bus.LeaseConfig{Bucket: "TRAINER", Key: "telco", Holder: "a"}
	l, err := b.Lease(ctx, c)
	require.NoError(t, err)
	_, ok, err := b.TryLease(ctx, c)
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, l.Release(ctx))
	require.Error(t, l.Context().Err())
	l, err = b.Lease(ctx, c)
	require.NoError(t, err)
	require.NoError(t, l.Release(ctx))
}
