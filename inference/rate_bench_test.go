package inference_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus/bustest"
)

// serving returns an instance in a world of its own that answers over both transports.
func serving(b *testing.B) (*world, *instance, []byte) {
	b.Helper()
	w := newWorld(b)
	i := run(b, w.config(b, "one"))
	record := records(b)[0]
	w.promote(b, w.upload(b, 1))
	i.serves(b, 1, record)
	answersNATS(b, w, record)
	return w, i, record
}

// reportLog waits until every answer is published and says how many were dropped and how fast it went, log included.
func reportLog(b *testing.B, i *instance, began time.Time) {
	b.Helper()
	bustest.Eventually(b, func() bool { return metric(b, i, "churn_prediction_log_queued") == 0 }, "the log is published")
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "logged/s")
	b.ReportMetric(float64(metric(b, i, `churn_prediction_log_dropped_total{reason="queue_full"}`)), "dropped")
}

// BenchmarkNATS is a request over NATS with 32 clients a processor on one connection, each answer logged.
func BenchmarkNATS(b *testing.B) {
	w, i, record := serving(b)
	b.SetParallelism(32)
	began := time.Now()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			msg, err := w.bus.Conn().Request("predict."+modelName, record, 5*time.Second)
			require.NoError(b, err)
			require.Empty(b, msg.Header.Get("Nats-Service-Error"))
		}
	})
	b.StopTimer()
	reportLog(b, i, began)
}

// BenchmarkHTTP is a request over HTTP with 16 kept-alive clients a processor, each answer logged.
func BenchmarkHTTP(b *testing.B) {
	_, i, record := serving(b)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	b.SetParallelism(16)
	began := time.Now()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Post("http://"+i.Addr()+"/predict", "application/json", bytes.NewReader(record))
			require.NoError(b, err)
			require.Equal(b, http.StatusOK, resp.StatusCode)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(b, err)
			require.NoError(b, resp.Body.Close())
		}
	})
	b.StopTimer()
	reportLog(b, i, began)
}
