package tracking_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/registry/tracking"
)

// seed stores n runs as clients do: creation with tags, a batch of 10 metrics and 5 parameters, the end.
func seed(t testing.TB, url string, b *bus.Bus, n int) {
	t.Helper()
	nc, err := nats.Connect(url)
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1000))
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 2))
	publish := func(id, key string, p events.Payload) {
		msg, err := b.Msg(events.New(id, "registry/test", key, time.UnixMilli(1_700_000_000_000), p))
		require.NoError(t, err)
		msg.Header.Del(events.HeaderMsgID)
		_, err = js.PublishMsgAsync(msg)
		require.NoError(t, err)
		if js.PublishAsyncPending() >= 900 {
			<-js.PublishAsyncComplete()
		}
	}
	for i := range n {
		id := fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
		name := fmt.Sprint("run ", i)
		publish(id, "1", &events.RunTracked{RunID: id, Name: &name, Created: &events.RunCreation{ExperimentID: "0", UserID: "ann", StartTime: int64(i), ArtifactURI: "mlflow-artifacts:/0/" + id + "/artifacts"},
			Tags: pairs("mlflow.user", "ann", "mlflow.source.name", "train.py", "mlflow.source.type", "LOCAL")})
		batch := &events.RunTracked{RunID: id}
		for m := range 10 {
			batch.Metrics = append(batch.Metrics, point(fmt.Sprint("metric_", m), r.Float64(), int64(i), 1))
		}
		for p := range 5 {
			batch.Params = append(batch.Params, events.Pair{Key: fmt.Sprint("param_", p), Value: fmt.Sprint(r.IntN(20))})
		}
		publish(id, "2", batch)
		end := int64(i + 1000)
		publish(id, "3", &events.RunTracked{RunID: id, Status: events.StatusFinished, EndTime: &end})
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		require.Fail(t, "not all was stored")
	}
}

// BenchmarkBook reports the start-up fold, its memory, and the first pages of filtered and ordered searches, with as many runs as the sub-benchmark says.
func BenchmarkBook(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			srv := bustest.Start(b)
			conn := srv.Connect(b)
			seed(b, srv.URL(), conn, n)
			before := heap()
			began := time.Now()
			book, err := tracking.New(tracking.Config{Bus: conn, Source: "registry/test"})
			require.NoError(b, err)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- book.Run(ctx) }()
			<-book.Ready()
			folded, held := time.Since(began), heap()-before
			var took []time.Duration
			for b.Loop() {
				at := time.Now()
				page, err := book.SearchRuns(ctx, tracking.RunQuery{ExperimentIDs: []string{"0"}, MaxResults: 100,
					Filter: "metrics.metric_3 > 0.2 AND params.param_1 != '7' AND attributes.status = 'FINISHED'", OrderBy: []string{"metrics.metric_5 DESC"}})
				took = append(took, time.Since(at))
				require.NoError(b, err)
				require.Len(b, page.Items, 100)
			}
			slices.Sort(took)
			b.ReportMetric(folded.Seconds(), "fold-s")
			b.ReportMetric(float64(held)/(1<<20), "heap-MiB")
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
			cancel()
			require.NoError(b, <-done)
		})
	}
}

// BenchmarkLog measures batches of 10 metrics by as many clients as there are processors, each into a run of its own.
func BenchmarkLog(b *testing.B) {
	book, _ := open(b)
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		id, err := book.CreateRun(b.Context(), tracking.NewRun{})
		require.NoError(b, err)
		for i := int64(0); pb.Next(); i++ {
			var batch tracking.Batch
			for m := range 10 {
				batch.Metrics = append(batch.Metrics, point(fmt.Sprint("m", m), 1, i, i))
			}
			require.NoError(b, book.Log(b.Context(), id.ID, batch))
		}
	})
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
