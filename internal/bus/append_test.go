package bus_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

func TestAppendRacesGiveOneWinnerEach(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Connect(t)
	ctx := testContext(t)
	const writers, each = 16, 8
	var wg sync.WaitGroup
	won := make([][]uint64, writers)
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			expected := uint64(0)
			for len(won[w]) < each {
				seq, err := b.Append(ctx, started("telco", fmt.Sprintf("%d-%d@%d", w, len(won[w]), expected)), expected)
				conflict, lost := bus.AsConflict(err)
				switch {
				case err == nil:
					won[w] = append(won[w], seq)
					expected = seq
				case lost:
					expected = conflict.Last.Sequence
				default:
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	owner := make(map[uint64]int)
	for w := range writers {
		require.NoError(t, errs[w])
		for _, seq := range won[w] {
			_, twice := owner[seq]
			require.False(t, twice, "sequence %d won twice", seq)
			owner[seq] = w
		}
	}
	require.Len(t, owner, writers*each)
	var n uint64
	require.NoError(t, b.Read(ctx, bus.ReadConfig{Stream: events.Lifecycle}, func(m bus.Message) error {
		n++
		require.Equal(t, n, m.Sequence)
		w, _, _ := strings.Cut(m.Event.Payload.(*events.RunStarted).RunID, "-")
		require.Equal(t, w, fmt.Sprint(owner[m.Sequence]))
		return nil
	}))
	require.EqualValues(t, writers*each, n)
}

func TestAppendWithLostAnswerIsWon(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	direct := s.Connect(t)
	ctx := testContext(t)
	for name, rival := range map[string]bool{"alone": false, "another appended on top": true} {
		t.Run(name, func(t *testing.T) {
			model := strings.ReplaceAll(name, " ", "-")
			p := bustest.StartProxy(t, s.URL())
			b := s.Dial(t, bus.Config{Name: "far", URL: p.URL()})
			p.Swallow()
			type result struct {
				seq uint64
				err error
			}
			got := make(chan result, 1)
			go func() {
				seq, err := b.Append(ctx, started(model, "ours"), 0)
				got <- result{seq, err}
			}()
			var stored bus.Message
			bustest.Eventually(t, func() bool {
				m, ok, err := direct.Last(ctx, events.TypeRunStarted, model)
				stored = m
				return err == nil && ok
			}, "stored although the answer is lost")
			if rival {
				_, err := direct.Append(ctx, started(model, "rival"), stored.Sequence)
				require.NoError(t, err)
			}
			p.Cut()
			r := <-got
			require.NoError(t, r.err)
			require.Equal(t, stored.Sequence, r.seq)
		})
	}
}

func TestAppendUnknownWhenTheStoreStaysAway(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Connect(t)
	s.Stop(t)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := b.Append(ctx, started("telco", "a"), 0)
	require.Error(t, err)
	require.True(t, bus.Unknown(err), err)
	require.NotErrorIs(t, err, bus.ErrConflict)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = b.Append(testContext(t), started("", "a"), 0)
	require.True(t, bus.IsPermanent(err), "a broken event is known not to be stored: %v", err)
	require.False(t, bus.Unknown(err))
}

func TestAppendAgainWithTheSameEventIsWonOnce(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	seq, err := b.Append(ctx, started("telco", "a"), 0)
	require.NoError(t, err)
	again, err := b.Append(ctx, started("telco", "a"), 0)
	require.NoError(t, err)
	require.Equal(t, seq, again)
	last, err := b.LastSequence(ctx, events.Lifecycle)
	require.NoError(t, err)
	require.EqualValues(t, 1, last)
	_, err = b.Append(ctx, started("telco", "a"), seq) // the id of the first occurrence
	require.True(t, bus.IsPermanent(err), "%v", err)
}

func TestAppendExpectingWhatIsNotThereConflicts(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	_, err := b.Append(ctx, started("telco", "a"), 0)
	require.NoError(t, err)
	_, err = b.Append(ctx, started("telco", "b"), 99)
	conflict, ok := bus.AsConflict(err)
	require.True(t, ok, "%v", err)
	require.EqualValues(t, 1, conflict.Last.Sequence)
	require.ErrorIs(t, err, bus.ErrConflict)
}

func TestPublishTwiceIsStoredOnce(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Connect(t)
	ctx := testContext(t)
	first, err := b.Publish(ctx, requested("telco", "a"))
	require.NoError(t, err)
	second, err := b.Publish(ctx, requested("telco", "a"))
	require.NoError(t, err)
	require.Equal(t, bus.Receipt{Sequence: first.Sequence, Duplicate: true}, second)
	s.Restart(t)
	third, err := b.Publish(ctx, requested("telco", "a"))
	require.NoError(t, err)
	require.Equal(t, second, third)
}

func TestDuplicateThatIsNotOursIsNoSuccess(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	squatter := nats.NewMsg("drift.alert.telco")
	squatter.Data = []byte("{}")
	squatter.Header.Set(events.HeaderMsgID, requested("telco", "a").ID)
	_, err := b.JetStream().PublishMsg(ctx, squatter)
	require.NoError(t, err)
	_, err = b.Publish(ctx, requested("telco", "a"))
	require.ErrorContains(t, err, "not ours")
	require.True(t, bus.IsPermanent(err))

	// A duplicate of a message that was removed is stored nowhere; Publish goes on trying and says so in the end.
	_, err = b.Publish(ctx, requested("telco", "b"))
	require.NoError(t, err)
	st, err := b.JetStream().Stream(ctx, "CAUSES")
	require.NoError(t, err)
	require.NoError(t, st.Purge(ctx))
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, err = b.Publish(short, requested("telco", "b"))
	require.ErrorContains(t, err, "duplicate of a message that is gone")
}

func TestPublishOutlivesARestart(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Connect(t)
	ctx := testContext(t)
	s.Stop(t)
	done := make(chan error, 1)
	go func() {
		_, err := b.Publish(ctx, requested("telco", "a"))
		done <- err
	}()
	bustest.Eventually(t, func() bool { return !b.Connected() }, "disconnected")
	s.Resume(t)
	require.NoError(t, <-done)
	last, err := b.LastSequence(ctx, events.Causes)
	require.NoError(t, err)
	require.EqualValues(t, 1, last)
}

func TestBrokenEventsArePermanent(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	_, err := b.Publish(ctx, events.New("telco", "test/local", "a", time.Now(), &events.RunStarted{}))
	require.True(t, bus.IsPermanent(err))
	require.ErrorIs(t, err, events.ErrInvalid)
	huge := events.New("telco", "test/local", "a", time.Now(), &events.RetrainRequested{Reason: strings.Repeat("x", 2<<20)})
	_, err = b.Publish(ctx, huge)
	require.True(t, bus.IsPermanent(err), "%v", err)
}

func TestWhatIsTooLargeIsSaidInBytes(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	huge := events.New("r", "test/local", "huge", time.Now(), &events.RunTracked{RunID: "r", Params: []events.Pair{{Key: "p", Value: strings.Repeat("x", 9<<20)}}})
	_, err := b.Append(ctx, huge, 0)
	require.True(t, bus.IsPermanent(err), "%v", err)
	require.ErrorContains(t, err, "the data make a message of 9437")
	_, err = b.Publish(ctx, huge)
	require.True(t, bus.IsPermanent(err), "%v", err)
	require.ErrorContains(t, err, "are possible")
}
