package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

// followed is what a Follow in a test reports, in order.
type followed struct {
	seen chan string
	stop func()
}

func follow(t *testing.T, b *bus.Bus, f bus.FollowConfig, fn func(bus.Message) error) followed {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := followed{seen: make(chan string, 1000)}
	f.Name, f.Stream = "test", events.Causes
	f.OnCaughtUp = func() { w.seen <- "caught up" }
	f.OnReset = func() { w.seen <- "reset" }
	done := make(chan error, 1)
	go func() {
		done <- b.Follow(ctx, f, func(_ context.Context, m bus.Message) error {
			if fn != nil {
				if err := fn(m); err != nil {
					return err
				}
			}
			if m.Err != nil {
				w.seen <- "junk"
				return nil
			}
			w.seen <- reason(m)
			return nil
		})
	}()
	stopped := false
	w.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(w.stop)
	return w
}

func (w followed) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, s := range want {
		select {
		case got := <-w.seen:
			require.Equal(t, s, got)
		case <-time.After(10 * time.Second):
			require.Fail(t, "nothing came", "waiting for %q", s)
		}
	}
}

func TestFollowCatchesUpAndGoesOn(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	publish(t, b, "a", "b")
	w := follow(t, b, bus.FollowConfig{}, nil)
	w.expect(t, "a", "b", "caught up")
	publish(t, b, "c")
	w.expect(t, "c")
	from := follow(t, b, bus.FollowConfig{From: 3}, nil)
	from.expect(t, "c", "caught up")
	nothing := follow(t, b, bus.FollowConfig{From: 4}, nil)
	nothing.expect(t, "caught up")
	other := follow(t, b, bus.FollowConfig{Filters: []string{"drift.alert.*", "drift.cleared.*"}}, nil)
	other.expect(t, "caught up")
}

func TestFollowOverRestart(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Connect(t)
	publish(t, b, "a")
	w := follow(t, b, bus.FollowConfig{}, nil)
	w.expect(t, "a", "caught up")
	for i := range 3 {
		s.Restart(t)
		publish(t, b, fmt.Sprint(i))
		w.expect(t, fmt.Sprint(i))
	}
}

func TestFollowStartsAnewOnARecreatedStream(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Connect(t)
	ctx := testContext(t)
	publish(t, b, "a", "b")
	w := follow(t, b, bus.FollowConfig{}, nil)
	w.expect(t, "a", "b", "caught up")
	require.NoError(t, b.JetStream().DeleteStream(ctx, "CAUSES"))
	require.NoError(t, b.Provision(ctx))
	publish(t, b, "c", "d", "e")
	w.expect(t, "reset")
	var got []string
	for caught := false; len(got) < 3 || !caught; { // it may catch up before the first one is there
		if r := <-w.seen; r == "caught up" {
			caught = true
		} else {
			got = append(got, r)
		}
	}
	require.Equal(t, []string{"c", "d", "e"}, got)
}

func TestFollowNoticesARecreationWhileDisconnected(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	direct := s.Connect(t)
	p := bustest.StartProxy(t, s.URL())
	far := s.Dial(t, bus.Config{Name: "far", URL: p.URL()})
	publish(t, direct, "a", "b")
	w := follow(t, far, bus.FollowConfig{}, nil)
	w.expect(t, "a", "b", "caught up")
	p.Swallow()
	ctx := testContext(t)
	require.NoError(t, direct.JetStream().DeleteStream(ctx, "CAUSES"))
	require.NoError(t, direct.Provision(ctx))
	publish(t, direct, "c")
	p.Cut()
	w.expect(t, "reset", "c", "caught up")
}

func TestFollowFromBeyondTheEndIsAReset(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	publish(t, b, "a")
	w := follow(t, b, bus.FollowConfig{From: 100}, nil)
	w.expect(t, "reset", "a", "caught up")
}

func TestFollowHandlesErrorsInOrder(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	publish(t, b, "a", "b")
	junk(t, b, "{")
	publish(t, b, "c", "d")
	tries := 0
	w := follow(t, b, bus.FollowConfig{}, func(m bus.Message) error {
		switch {
		case m.Err != nil:
			return nil
		case reason(m) == "a":
			if tries++; tries < 3 {
				return errors.New("away")
			}
		case reason(m) == "b":
			return bus.Permanent(errors.New("never"))
		case reason(m) == "c":
			panic("boom")
		}
		return nil
	})
	w.expect(t, "a", "junk", "d", "caught up")
	require.Equal(t, 3, tries)
	_, ds := deadLetters(t, b)
	require.Len(t, ds, 2)
	require.EqualValues(t, []uint64{2, 4}, []uint64{ds[0].Sequence, ds[1].Sequence})
	require.Contains(t, ds[1].Reason, "panicked: boom")
}

func TestLastValidWalksBackOverJunk(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	_, ok, err := b.LastValid(ctx, events.TypeRetrainRequested, "telco")
	require.NoError(t, err)
	require.False(t, ok)
	junk(t, b, "1")
	_, ok, err = b.LastValid(ctx, events.TypeRetrainRequested, "telco")
	require.NoError(t, err)
	require.False(t, ok)
	publish(t, b, "good")
	junk(t, b, "2")
	junk(t, b, "3")
	m, ok, err := b.LastValid(ctx, events.TypeRetrainRequested, "telco")
	require.NoError(t, err)
	require.True(t, ok)
	require.EqualValues(t, 2, m.Sequence)
	last, ok, err := b.Last(ctx, events.TypeRetrainRequested, "telco")
	require.NoError(t, err)
	require.True(t, ok)
	require.Error(t, last.Err)
}

func TestSinceFindsTheFirstOfAModel(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	_, ok, err := b.Since(ctx, events.TypeRetrainRequested, "telco", time.Time{})
	require.NoError(t, err)
	require.False(t, ok, "an empty stream")
	publish(t, b, "a", "b")
	_, err = b.Publish(ctx, events.New("other", "test", "x", time.Now(), &events.RetrainRequested{Reason: "x"}))
	require.NoError(t, err)
	publish(t, b, "c")
	all := map[string]time.Time{}
	require.NoError(t, b.Read(ctx, bus.ReadConfig{Stream: events.Causes}, func(m bus.Message) error {
		all[reason(m)] = m.Time
		return nil
	}))
	for at, want := range map[time.Time]uint64{{}: 1, all["a"]: 1, all["b"]: 2, all["b"].Add(1): 4, all["x"]: 4, all["c"]: 4} {
		m, ok, err := b.Since(ctx, events.TypeRetrainRequested, "telco", at)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, want, m.Sequence, "since %s", at)
	}
	_, ok, err = b.Since(ctx, events.TypeRetrainRequested, "telco", all["c"].Add(1))
	require.NoError(t, err)
	require.False(t, ok)
}

func TestReadEndsWhereMessagesWereRemoved(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	publish(t, b, "a", "b", "c", "d")
	st, err := b.JetStream().Stream(ctx, "CAUSES")
	require.NoError(t, err)
	require.NoError(t, st.DeleteMsg(ctx, 2))
	var got []string
	collect := func(m bus.Message) error { got = append(got, reason(m)); return nil }
	require.NoError(t, b.Read(ctx, bus.ReadConfig{Stream: events.Causes, Through: 2}, collect))
	require.Equal(t, []string{"a"}, got)
	got = nil
	// The last one goes while the first is handled: the read must end nevertheless.
	require.NoError(t, b.Read(ctx, bus.ReadConfig{Stream: events.Causes, Filters: []string{"retrain.requested.*"}}, func(m bus.Message) error {
		if len(got) == 0 {
			require.NoError(t, st.Purge(ctx))
		}
		return collect(m)
	}))
	require.Equal(t, "a", got[0])
	require.NoError(t, b.Read(ctx, bus.ReadConfig{Stream: events.Causes}, func(bus.Message) error { return errors.New("none left") }))
	stop := errors.New("stop")
	publish(t, b, "e")
	require.ErrorIs(t, b.Read(ctx, bus.ReadConfig{Stream: events.Causes}, func(bus.Message) error { return stop }), stop)
}
