package bus_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

// logged is a change of a run of about 2 KiB.
func logged(run string, n int) events.Event {
	return events.New(run, "test/local", fmt.Sprint(n), time.Now(), &events.RunTracked{RunID: run,
		Tags: []events.Pair{{Key: fmt.Sprint(n), Value: strings.Repeat("x", 2000)}}})
}

// storedFile is a file of the artifact proxy, published without a compare-and-set.
func storedFile(n int) events.Event {
	return events.New("shared", "test/local", fmt.Sprint(n), time.Now(), &events.ArtifactStored{Path: fmt.Sprint(n),
		Digest: "sha256:" + strings.Repeat("0a", 32), Actor: strings.Repeat("x", 2000)})
}

func resizeTracking(t *testing.T, b *bus.Bus, size int64) {
	t.Helper()
	st, err := b.JetStream().Stream(testContext(t), "TRACKING")
	require.NoError(t, err)
	c := st.CachedInfo().Config
	c.MaxBytes = size
	_, err = b.JetStream().UpdateStream(testContext(t), c)
	require.NoError(t, err)
}

func TestFullTrackingRefusesAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	resizeTracking(t, b, 64<<10)
	brief := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.Background(), 400*time.Millisecond)
	}

	var last, acked uint64
	var err error
	for err == nil {
		ctx, cancel := brief()
		var seq uint64
		if seq, err = b.Append(ctx, logged("r", int(acked)), last); err == nil {
			last, acked = seq, acked+1
		}
		cancel()
		require.Less(t, acked, uint64(100), "64 KiB hold no more")
	}
	require.Greater(t, acked, uint64(20))
	require.ErrorIs(t, err, context.DeadlineExceeded, "it was tried until the context ended")
	var api *jetstream.APIError
	require.ErrorAs(t, err, &api, "and says what the server said")
	require.True(t, bus.Full(err))
	require.False(t, bus.IsPermanent(err))
	require.NotErrorIs(t, err, bus.ErrConflict)
	require.True(t, bus.Unknown(err), "a try whose answer was lost may have been stored")

	ctx, cancel := brief()
	_, err = b.Publish(ctx, storedFile(0))
	cancel()
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, bus.Full(err))
	require.False(t, bus.IsPermanent(err))

	n, err := b.LastSequence(testContext(t), events.Tracking)
	require.NoError(t, err)
	require.Equal(t, acked, n, "what was acked is there, and nothing else")
	first := uint64(0)
	require.NoError(t, b.Read(testContext(t), bus.ReadConfig{Stream: events.Tracking}, func(m bus.Message) error {
		if first == 0 {
			first = m.Sequence
		}
		return m.Err
	}))
	require.EqualValues(t, 1, first, "nothing was forgotten to make room")

	_, err = b.Append(testContext(t), started("telco", "a"), 0)
	require.NoError(t, err, "LIFECYCLE is untouched by it")
	_, err = b.Publish(testContext(t), requested("telco", "a"))
	require.NoError(t, err)

	// A write that waits goes on once there is room.
	got := make(chan error, 2)
	waiting := testContext(t)
	go func() {
		_, err := b.Append(waiting, logged("r", int(acked)), last)
		got <- err
	}()
	go func() {
		_, err := b.Publish(waiting, storedFile(1))
		got <- err
	}()
	resizeTracking(t, b, 1<<20)
	require.NoError(t, <-got)
	require.NoError(t, <-got)
	n, err = b.LastSequence(testContext(t), events.Tracking)
	require.NoError(t, err)
	require.Equal(t, acked+2, n)
}
