package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

const suspects = "KV_BUS_SUSPECTS"

// suspectsState is what the stream under the bucket of suspects holds now.
func suspectsState(t *testing.T, b *bus.Bus) jetstream.StreamState {
	t.Helper()
	st, err := b.JetStream().Stream(testContext(t), suspects)
	require.NoError(t, err)
	return st.CachedInfo().State
}

// reconfigure changes the bucket of suspects.
func reconfigure(t *testing.T, b *bus.Bus, change func(*jetstream.StreamConfig)) {
	t.Helper()
	st, err := b.JetStream().Stream(testContext(t), suspects)
	require.NoError(t, err)
	c := st.CachedInfo().Config
	change(&c)
	_, err = b.JetStream().UpdateStream(testContext(t), c)
	require.NoError(t, err)
}

// tries has the one message of CAUSES fail with the errors given, one delivery after the other, and be done at the next. It stops the consumer.
func tries(t *testing.T, b *bus.Bus, failures ...error) {
	t.Helper()
	done := make(chan uint64, 1)
	stop := consume(t, b, bus.ConsumerConfig{Durable: "c", Stream: events.Causes}, func(_ context.Context, m bus.Message) error {
		if m.Deliveries <= uint64(len(failures)) {
			return failures[m.Deliveries-1]
		}
		done <- m.Deliveries
		return nil
	})
	select {
	case n := <-done:
		require.EqualValues(t, len(failures)+1, n)
	case <-testContext(t).Done():
		require.Fail(t, "not done")
	}
	stop()
	_, ds := deadLetters(t, b)
	require.Empty(t, ds)
}

// errSoon is an error that is none of RetryAfter's.
var errSoon = errors.New("away")

func TestSuspectThatIsDoneLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	publish(t, b, "flaky")
	tries(t, b, errSoon, errSoon, errSoon)
	require.NotZero(t, suspectsState(t, b).LastSeq, "its failures were recorded")
	bustest.Eventually(t, func() bool { return suspectsState(t, b).Msgs == 0 }, "neither record nor marker")
}

func TestWaitIsNeitherRecordedNorWarnedOf(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	b := s.Dial(t, bus.Config{Name: "test", Metrics: reg, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	require.NoError(t, b.Provision(testContext(t)))
	publish(t, b, "early")
	wait := bus.RetryAfter(errors.New("not there yet"), time.Millisecond)
	tries(t, b, wait, wait, wait, wait, wait, wait, wait, wait, wait, wait, wait, wait)
	require.Zero(t, suspectsState(t, b).LastSeq, "nothing was ever written")
	require.Empty(t, log.String())
	require.Equal(t, 12.0, handled(t, reg, "wait"))
	require.Zero(t, handled(t, reg, "retry"))
	require.Equal(t, 1.0, handled(t, reg, "done"))
}

// handled reads how many messages had an outcome.
func handled(t *testing.T, reg *prometheus.Registry, outcome string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != "churn_bus_handled_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == outcome {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}

func TestWaitsInManyProcessesAreNoPoison(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	publish(t, b, "early")
	for range 8 { // each process sees one delivery, knows nothing of the former, and ends well
		got := make(chan uint64, 1)
		stop := consume(t, b, bus.ConsumerConfig{Durable: "c", Stream: events.Causes, MaxPoison: 3}, func(_ context.Context, m bus.Message) error {
			select {
			case got <- m.Deliveries:
			default:
			}
			return bus.RetryAfter(errors.New("not there yet"), 200*time.Millisecond)
		})
		bustest.Eventually(t, func() bool { return len(got) > 0 }, "it comes again")
		stop()
	}
	_, ds := deadLetters(t, b)
	require.Empty(t, ds)
}

func TestFullBucketOfSuspectsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	reconfigure(t, b, func(c *jetstream.StreamConfig) { c.MaxBytes = 400 })
	var api *jetstream.APIError
	for err := error(nil); err == nil; { // until it is full
		_, err = b.JetStream().Publish(testContext(t), "$KV.BUS_SUSPECTS.other."+time.Now().Format("150405.000000000"), nil)
		if err != nil {
			require.ErrorAs(t, err, &api)
			require.EqualValues(t, 10077, api.ErrorCode)
		}
	}
	publish(t, b, "flaky")
	began := time.Now()
	tries(t, b, errSoon, errSoon, errSoon, errSoon)
	require.Less(t, time.Since(began), 6*time.Second, "the delays of four tries are 1.5 s")
}

func TestSilentBucketOfSuspectsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	reconfigure(t, b, func(c *jetstream.StreamConfig) {
		c.Subjects, c.AllowDirect = []string{"$KV.BUS_SUSPECTS.elsewhere"}, false
	})
	sub, err := b.Conn().SubscribeSync("$KV.BUS_SUSPECTS.c.>") // somebody listens and does not answer
	require.NoError(t, err)
	publish(t, b, "flaky")
	began := time.Now()
	tries(t, b, errSoon, errSoon, errSoon, errSoon)
	require.Less(t, time.Since(began), 6*time.Second, "the delays of four tries are 1.5 s")
	n, _, err := sub.Pending()
	require.NoError(t, err)
	require.Equal(t, 1, n, "after a try without an answer it is left alone for a while")
	require.NoError(t, sub.Unsubscribe())
}

func TestBucketOfSuspectsThatKeepsMarkersIsPutRight(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Dial(t, bus.Config{Name: "test"})
	_, err := b.JetStream().CreateKeyValue(testContext(t), jetstream.KeyValueConfig{Bucket: "BUS_SUSPECTS", MaxBytes: 1 << 20})
	require.NoError(t, err)
	require.NoError(t, b.Provision(testContext(t)))
	publish(t, b, "flaky")
	tries(t, b, errSoon, errSoon)
	bustest.Eventually(t, func() bool { return suspectsState(t, b).Msgs == 0 }, "neither record nor marker")
	st, err := b.JetStream().Stream(testContext(t), suspects)
	require.NoError(t, err)
	require.EqualValues(t, 1<<20, st.CachedInfo().Config.MaxBytes, "the limit is the operator's")
}
