package events_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// tracked is a run as a client logs it: creation, or a batch of ten metrics with five parameters and tags.
func tracked(created bool) *events.RunTracked {
	const id = "7d0c0c4a2c4b4c0f9a5c8d1e2f3a4b5c"
	p := &events.RunTracked{RunID: id, Actor: "ann"}
	if created {
		p.Created = &events.RunCreation{ExperimentID: "1", UserID: "ann", StartTime: noon.UnixMilli(), ArtifactURI: "mlflow-artifacts:/1/" + id + "/artifacts"}
		p.Status, p.Name = events.StatusRunning, ptr("tidy-owl-7")
		p.Tags = []events.Pair{{Key: "mlflow.user", Value: "ann"}, {Key: "mlflow.source.name", Value: "train.py"}, {Key: "mlflow.runName", Value: "tidy-owl-7"}}
		return p
	}
	for i := range 10 {
		p.Metrics = append(p.Metrics, events.MetricPoint{Key: fmt.Sprintf("metric_%d", i), Value: events.Number(0.8414709848078965 / float64(i+1)),
			Timestamp: noon.UnixMilli() + int64(i), Step: int64(i)})
	}
	for i := range 5 {
		p.Params = append(p.Params, events.Pair{Key: fmt.Sprintf("param_%d", i), Value: fmt.Sprint(i * 7)})
		p.Tags = append(p.Tags, events.Pair{Key: fmt.Sprintf("tag_%d", i), Value: fmt.Sprintf("value %d", i)})
	}
	return p
}

func BenchmarkDecodeRunTracked(b *testing.B) {
	for _, tt := range []struct {
		name    string
		payload *events.RunTracked
	}{{"creation", tracked(true)}, {"batch", tracked(false)}} {
		b.Run(tt.name, func(b *testing.B) {
			subject, header, data := encode(b, events.New(tt.payload.RunID, "registry/host-1", "1", noon, tt.payload))
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				_, err := events.Decode(subject, header, data)
				require.NoError(b, err)
			}
		})
	}
}
