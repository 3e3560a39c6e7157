package inference_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference"
)

// cpuTime is what this process has used: on a machine that others use too, the figure to compare.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkNATSAgainstEcho has 64 requests in flight over one connection, server and client in this process: answered by a bare micro service that
// returns bytes of the same size, by one that sets the headers beside them that a request with headers is answered with, and by an instance without and
// with the prediction log.
func BenchmarkNATSAgainstEcho(b *testing.B) {
	for _, logged := range []bool{false, true} {
		w, i, good := answering(b, func(c *inference.Config) { c.PredictionLog = logged })
		sample := w.request(b, good, nats.Header{"Traceparent": {"anything"}})
		echo := func(name string, header micro.Headers) string {
			nc, err := nats.Connect(w.url)
			require.NoError(b, err)
			b.Cleanup(nc.Close)
			service, err := micro.AddService(nc, micro.Config{Name: name, Version: "1.0.0"})
			require.NoError(b, err)
			require.NoError(b, service.AddEndpoint("echo", micro.HandlerFunc(func(r micro.Request) {
				var err error
				if header == nil {
					err = r.Respond(sample.Data)
				} else {
					err = r.Respond(sample.Data, micro.WithHeaders(header))
				}
				if err != nil {
					b.Error(err)
				}
			}), micro.WithEndpointSubject(name)))
			require.NoError(b, nc.Flush())
			return name
		}
		ask := func(name, subject string) {
			b.Run(name, func(b *testing.B) {
				b.SetParallelism(32)
				b.ResetTimer()
				began := cpuTime(b)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						msg, err := w.bus.Conn().Request(subject, good, 5*time.Second)
						require.NoError(b, err)
						require.Len(b, msg.Data, len(sample.Data))
					}
				})
				b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N)/1e3, "cpu-us/op")
			})
		}
		if logged {
			ask("predict-logged", "predict."+modelName)
			i.stop()
			continue
		}
		ask("echo", echo("bare", nil))
		ask("echo-headers", echo("headers", micro.Headers{"Model-Version": {"1"}, "Prediction-Id": {sample.Header.Get("Prediction-Id")}}))
		ask("predict", "predict."+modelName)
		i.stop()
	}
}
