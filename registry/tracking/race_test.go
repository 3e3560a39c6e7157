package tracking_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// twoBooks returns two books of different connections on one server.
func twoBooks(t *testing.T) (*bustest.Server, [2]*tracking.Book) {
	t.Helper()
	srv := bustest.Start(t)
	one, _ := start(t, srv.Connect(t))
	two, _ := start(t, srv.Connect(t))
	return srv, [2]*tracking.Book{one, two}
}

func TestTwoRegistriesWriteTheSameRuns(t *testing.T) {
	t.Parallel()
	srv, books := twoBooks(t)
	ctx := within(t)
	const runs, writers, rounds = 4, 8, 12
	var ids []string
	for range runs {
		ids = append(ids, newRun(t, books[0]).ID)
	}
	var won [runs][rounds]atomic.Int64 // the writer, from 1, whose parameter stands
	var twice, wrong atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		book := books[w%2]
		wg.Go(func() {
			for i := range rounds {
				for r, id := range ids {
					err := book.Log(ctx, id, tracking.Batch{
						Metrics: []events.MetricPoint{point("m", float64(w), int64(i), int64(w*rounds+i))}, Params: pairs(fmt.Sprint("p", i), fmt.Sprint(w))})
					switch {
					case err == nil && !won[r][i].CompareAndSwap(0, int64(w+1)):
						twice.Add(1)
					case err != nil && fault.CodeOf(err) != fault.Invalid:
						wrong.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, twice.Load(), "a parameter was written twice")
	require.Zero(t, wrong.Load())
	third, _ := start(t, srv.Connect(t))
	for r, id := range ids {
		points, err := third.MetricHistory(ctx, id, "m")
		require.NoError(t, err)
		require.Len(t, points, rounds, "one batch for each parameter, all of it, and nothing of those that were refused")
		got, err := third.RunByID(ctx, id)
		require.NoError(t, err)
		for i := range rounds {
			require.Contains(t, got.Params, events.Pair{Key: fmt.Sprint("p", i), Value: fmt.Sprint(won[r][i].Load() - 1)})
		}
		for _, book := range books {
			same, err := book.RunByID(ctx, id)
			require.NoError(t, err)
			require.Equal(t, got, same)
		}
	}
}

func TestTwoRegistriesGiveANameOnce(t *testing.T) {
	t.Parallel()
	_, books := twoBooks(t)
	ctx := within(t)
	const writers, names = 6, 8
	var made [names]atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range names {
				_, err := books[w%2].CreateExperiment(ctx, tracking.NewExperiment{Name: fmt.Sprint("e", i)})
				if err == nil {
					made[i].Add(1)
				} else if fault.CodeOf(err) != fault.Exists {
					t.Errorf("create: %v", err)
				}
			}
		})
	}
	wg.Wait()
	ids := map[string]bool{}
	for i := range names {
		require.EqualValues(t, 1, made[i].Load())
		e, err := books[i%2].ExperimentByName(ctx, fmt.Sprint("e", i))
		require.NoError(t, err)
		ids[e.ID] = true
	}
	for i := range names {
		require.True(t, ids[fmt.Sprint(i+1)], "ids are consecutive: %v", ids)
	}
}

func TestAWriteIsReadAtOnceByBoth(t *testing.T) {
	t.Parallel()
	_, books := twoBooks(t)
	ctx := within(t)
	id := newRun(t, books[0]).ID
	for i := range 50 {
		value := fmt.Sprint(i)
		require.NoError(t, books[i%2].Log(tracking.AsFolded(ctx), id, tracking.Batch{Tags: pairs("t", value)}))
		got, err := books[1-i%2].RunByID(ctx, id)
		require.NoError(t, err)
		require.Contains(t, got.Tags, events.Pair{Key: "t", Value: value})
		page, err := books[1-i%2].SearchRuns(ctx, tracking.RunQuery{ExperimentIDs: []string{"0"}, Filter: "tags.t = '" + value + "'"})
		require.NoError(t, err)
		require.Len(t, page.Items, 1)
	}
}

func TestLostAnswersLoseNothing(t *testing.T) {
	t.Parallel()
	srv := bustest.Start(t)
	direct := srv.Connect(t)
	proxy := bustest.StartProxy(t, srv.URL())
	book, _ := start(t, srv.Dial(t, bus.Config{Name: "far", URL: proxy.URL()}))
	ctx := within(t)
	id := newRun(t, book).ID
	const losses = 4
	for i := range losses {
		proxy.Swallow()
		done := make(chan error, 1)
		go func() {
			done <- book.Log(ctx, id, tracking.Batch{Params: pairs(fmt.Sprint("p", i), "v"), Metrics: []events.MetricPoint{point("m", 1, 0, int64(i))}})
		}()
		bustest.Eventually(t, func() bool {
			m, ok, err := direct.Last(ctx, events.TypeRunTracked, id)
			if err != nil || !ok {
				return false
			}
			params := m.Event.Payload.(*events.RunTracked).Params
			return len(params) == 1 && params[0].Key == fmt.Sprint("p", i)
		}, "stored although the answer is lost")
		proxy.Cut()
		require.NoError(t, <-done, "what was stored is a success, whatever became of the answer")
	}
	points, err := book.MetricHistory(ctx, id, "m")
	require.NoError(t, err)
	require.Len(t, points, losses)
	var messages int
	subject, err := events.SubjectOf(events.TypeRunTracked, id)
	require.NoError(t, err)
	require.NoError(t, direct.Read(ctx, bus.ReadConfig{Stream: events.Tracking, Filters: []string{subject}}, func(bus.Message) error { messages++; return nil }))
	require.Equal(t, 1+losses, messages, "nothing was stored twice")
}

func TestJunkOnARunsSubjectIsPassedOver(t *testing.T) {
	t.Parallel()
	srv, books := twoBooks(t)
	ctx := within(t)
	id := newRun(t, books[0]).ID
	nc, err := nats.Connect(srv.URL())
	require.NoError(t, err)
	defer nc.Close()
	want := map[string]int{}
	for _, junk := range []string{"", "null", "{", `{"run_id":""}`, `{"run_id":"` + id + `","status":"DONE"}`, `{"run_id":"other"}`} {
		for _, subject := range []string{"run.tracked." + id, "experiment.changed.all", "experiment.changed.other", "model.logged.x", "artifact.stored.shared", "artifact.stored.=="} {
			_, err := nc.Request(subject, []byte(junk), patience)
			require.NoError(t, err)
			if _, err := events.Decode(subject, nil, []byte(junk)); err != nil {
				want[subject]++
			}
		}
	}
	for i, book := range books {
		require.NoError(t, book.Log(ctx, id, tracking.Batch{Metrics: []events.MetricPoint{point("m", 1, 0, int64(i))}}))
		_, err := book.CreateExperiment(ctx, tracking.NewExperiment{Name: fmt.Sprint("e", i)})
		require.NoError(t, err)
	}
	points, err := books[0].MetricHistory(ctx, id, "m")
	require.NoError(t, err)
	require.Len(t, points, 2)
	again, _ := start(t, srv.Connect(t))
	got, err := again.RunByID(ctx, id)
	require.NoError(t, err)
	other, err := books[1].RunByID(ctx, id)
	require.NoError(t, err)
	require.Equal(t, other, got)

	// Three have folded it, and each message has one dead letter.
	letters := map[string]int{}
	require.NoError(t, srv.Connect(t).DeadLetters(ctx, func(_ uint64, d events.DeadLetter) error {
		require.NotEmpty(t, d.Reason)
		letters[d.Subject]++
		return nil
	}))
	require.Equal(t, want, letters)
	require.Greater(t, len(letters), 4)
}

func TestAStreamWithoutItsLastMessagesIsFolded(t *testing.T) {
	t.Parallel()
	srv := bustest.Start(t)
	b := srv.Connect(t)
	book, stop := start(t, b)
	newRun(t, book)
	stop()
	ctx := within(t)
	stream, err := b.JetStream().Stream(ctx, string(events.Tracking))
	require.NoError(t, err)
	require.Error(t, stream.Purge(ctx), "who folds it would go on with what is no more")
	require.Error(t, stream.DeleteMsg(ctx, 1))
	emptied := stream.CachedInfo().Config
	emptied.FirstSeq = stream.CachedInfo().State.LastSeq + 1 // as if all of it had been purged
	require.NoError(t, b.JetStream().DeleteStream(ctx, string(events.Tracking)))
	_, err = b.JetStream().CreateStream(ctx, emptied)
	require.NoError(t, err)
	again, _ := start(t, b)
	page, err := again.SearchRuns(within(t), tracking.RunQuery{ExperimentIDs: []string{"0"}})
	require.NoError(t, err)
	require.Empty(t, page.Items)
}

func TestWithoutTheBusNothingIsAnsweredAsCurrent(t *testing.T) {
	t.Parallel()
	srv := bustest.Start(t)
	book, _ := start(t, srv.Connect(t))
	id := newRun(t, book).ID
	srv.Stop(t)
	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := book.RunByID(short, id)
	refused(t, err, fault.Unavailable)
	refused(t, book.Fresh(short), fault.Unavailable)
	refused(t, book.Log(short, id, tracking.Batch{Tags: pairs("a", "b")}), fault.Unavailable)
	srv.Resume(t)
	ctx := within(t)
	require.NoError(t, book.Log(ctx, id, tracking.Batch{Tags: pairs("a", "c")}))
	got, err := book.RunByID(ctx, id)
	require.NoError(t, err)
	require.Contains(t, got.Tags, events.Pair{Key: "a", Value: "c"})
}
