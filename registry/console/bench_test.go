package console_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/internal/bus/embedded"
	"telco-churn-mlops/registry/tracking"
)

// BenchmarkPages measures pages of an experiment of 100,000 runs with 10 metrics and 5 params each.
func BenchmarkPages(b *testing.B) {
	const runs = 100_000
	r := newRigOn(b, bustest.Start(b, bustest.WithConfig(func(c *embedded.Config) { c.StoreBytes = 8 << 30 })))
	e, err := r.Tracking().CreateExperiment(b.Context(), tracking.NewExperiment{Name: "many"})
	require.NoError(b, err)
	js := r.bus.JetStream()
	for i := range runs {
		id := fmt.Sprintf("%032x", i+1)
		name, at := fmt.Sprint("run ", i), time.Now().UnixMilli()-int64(i)
		p := &events.RunTracked{RunID: id, Created: &events.RunCreation{ExperimentID: e.ID, UserID: "ana", StartTime: at, ArtifactURI: "mlflow-artifacts:/" + e.ID + "/" + id + "/artifacts"},
			Status: events.StatusFinished, EndTime: &at, Name: &name}
		for k := range 10 {
			p.Metrics = append(p.Metrics, events.MetricPoint{Key: fmt.Sprint("metric", k), Value: events.Number(float64((i*7919+k)%runs) / runs), Timestamp: at})
		}
		for k := range 5 {
			p.Params = append(p.Params, events.Pair{Key: fmt.Sprint("param", k), Value: fmt.Sprint((i + k) % 17)})
		}
		msg, err := r.bus.Msg(events.New(id, "bench", id, time.Now(), p))
		require.NoError(b, err)
		_, err = js.PublishMsgAsync(msg)
		require.NoError(b, err)
		if i%2000 == 0 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
	require.NoError(b, r.Tracking().Fresh(b.Context()))
	folded := 0
	for q := (tracking.RunQuery{ExperimentIDs: []string{e.ID}, MaxResults: 50_000}); folded == 0 || q.PageToken != ""; {
		page, err := r.Tracking().SearchRuns(b.Context(), q)
		require.NoError(b, err)
		folded += len(page.Items)
		q.PageToken = page.Next
	}
	require.Equal(b, runs, folded)
	for name, path := range map[string]string{
		"runs": "/experiments/" + e.ID, "filtered": "/experiments/" + e.ID + "?q=metrics.metric3+%3E+0.5+AND+params.param1+%3D+%273%27&sort=metrics.metric1&dir=desc",
		"run": "/runs/" + fmt.Sprintf("%032x", 77), "compare": fmt.Sprintf("/runs/compare?run=%032x&run=%032x&run=%032x", 5, 6, 7), "home": "/", "experiments": "/experiments",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				resp, err := http.Get("http://" + r.Addr() + path)
				require.NoError(b, err)
				_, err = io.Copy(io.Discard, resp.Body)
				require.NoError(b, err)
				require.NoError(b, resp.Body.Close())
				require.Equal(b, http.StatusOK, resp.StatusCode)
			}
		})
	}
}
