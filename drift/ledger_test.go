package drift

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

func alertEvent(evaluation uint64) events.Event {
	return events.New("m", "test", fmt.Sprintf("data/tenure/%d", evaluation), time.Unix(0, 0), &events.DriftAlert{Measurement: events.Measurement{
		Kind: events.DriftData, Column: "tenure", Statistic: statisticPSI, Version: 1, Evaluation: evaluation, Action: events.ActionReport,
	}})
}

func evaluationsOf(w *world) []uint64 {
	var out []uint64
	for _, a := range of[events.DriftAlert](w.stored(events.Causes)) {
		out = append(out, a.Evaluation)
	}
	return out
}

// forgetIDs makes the server forget the message ids of CAUSES that were used so far, and returns when it has.
func forgetIDs(w *world) {
	w.t.Helper()
	js := w.bus.JetStream()
	s, err := js.Stream(w.t.Context(), string(events.Causes))
	require.NoError(w.t, err)
	c := s.CachedInfo().Config
	// The server may look for ids that are too old just before it takes the new window, and then again only after the old one. Two updates make it look twice.
	for _, window := range []time.Duration{101 * time.Millisecond, 100 * time.Millisecond} {
		c.Duplicates = window
		_, err = js.UpdateStream(w.t.Context(), c)
		require.NoError(w.t, err)
	}
	probe := func() bool {
		ack, err := js.Publish(w.t.Context(), "retrain.requested.probe", []byte("{}"), jetstream.WithMsgID("probe"))
		require.NoError(w.t, err)
		return !ack.Duplicate
	}
	require.True(w.t, probe())
	eventually(w.t, probe, "the id is forgotten")
}

func TestLedgerWritesOnceBeyondTheDedupeWindow(t *testing.T) {
	w := newWorld(t)
	a, b := newLedger(w.bus, events.TypeDriftAlert, 0), newLedger(w.bus, events.TypeDriftAlert, 0)
	for n := range uint64(3) {
		stored, err := a.once(t.Context(), alertEvent(n+1))
		require.NoError(t, err)
		require.True(t, stored)
	}
	forgetIDs(w)
	// b knows of none of them.
	stored, err := b.once(t.Context(), alertEvent(2))
	require.NoError(t, err)
	require.False(t, stored)
	stored, err = b.once(t.Context(), alertEvent(4))
	require.NoError(t, err)
	require.True(t, stored)
	_, err = a.once(t.Context(), alertEvent(4)) // told that it is there, whoever wrote it
	require.NoError(t, err)
	require.Equal(t, []uint64{1, 2, 3, 4}, evaluationsOf(w))
}

func TestLedgersRace(t *testing.T) {
	w := newWorld(t)
	const writers, each = 4, 50
	var wait sync.WaitGroup
	for range writers {
		wait.Go(func() {
			l := newLedger(w.bus, events.TypeDriftAlert, 0)
			for n := range uint64(each) {
				if _, err := l.once(t.Context(), alertEvent(n+1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	got := evaluationsOf(w)
	require.Len(t, got, each)
	for i, n := range got {
		require.Equal(t, uint64(i+1), n)
	}
}

func TestLedgerGoesOnAfterJunkAndPurge(t *testing.T) {
	w := newWorld(t)
	l := newLedger(w.bus, events.TypeDriftAlert, 2)
	once := func(n uint64, want bool) {
		t.Helper()
		stored, err := l.once(t.Context(), alertEvent(n))
		require.NoError(t, err)
		require.Equal(t, want, stored)
	}
	once(1, true)
	_, err := w.bus.JetStream().Publish(t.Context(), "drift.alert.m", []byte("junk"))
	require.NoError(t, err)
	once(2, true)
	once(1, false)
	for n := uint64(3); n < 20; n++ {
		once(n, true)
	}
	require.LessOrEqual(t, len(l.page("drift.alert.m").ids), 4, "only the newest ids are remembered")
	once(19, false)
	stream, err := w.bus.JetStream().Stream(t.Context(), string(events.Causes))
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	once(20, true)
	once(20, false)
	fresh := newLedger(w.bus, events.TypeDriftAlert, 2)
	require.NoError(t, fresh.load(t.Context()))
	stored, err := fresh.once(t.Context(), alertEvent(20))
	require.NoError(t, err)
	require.False(t, stored)
}
