package tracking

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// FuzzFold looks for messages that the fold can't take, before and after a run and an experiment that are right, and for any that it counts twice.
func FuzzFold(f *testing.F) {
	id := hexID(1)
	subjects := []string{"run.tracked." + id, "experiment.changed.all", "model.logged.m-" + id, "artifact.stored." + id, "artifact.stored.=", "run.completed.m", "run.started.m", "what.ever"}
	w := newWorld(1)
	for i, stream := range []events.Stream{events.Tracking, events.Lifecycle} {
		for _, fact := range w.all[stream][:20] {
			if data, err := json.Marshal(fact.payload); err == nil && fact.payload != nil {
				f.Add(uint8(i*5), data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, subject uint8, data []byte) {
		s := newState("mlflow-artifacts:")
		m := bus.Message{Stream: events.Tracking, Subject: subjects[int(subject)%len(subjects)], Data: data, Time: time.UnixMilli(1)}
		if subject%8 > 4 {
			m.Stream = events.Lifecycle
		}
		for seq := range uint64(3) {
			m.Sequence = 2*seq + 1
			fact, _ := decode(m)
			s.follow(fact)
			before := picture(s)
			s.follow(fact)
			if after := picture(s); after != before {
				t.Fatalf("told again, %s became %s", before, after)
			}
			created, err := decode(bus.Message{Stream: m.Stream, Sequence: 2*seq + 2, Subject: "run.tracked." + id,
				Data: []byte(`{"run_id":"` + id + `","created":{"experiment_id":"0","artifact_uri":"mlflow-artifacts:/0"}}`)})
			require.NoError(t, err)
			s.follow(created)
		}
		if _, err := s.knownRun(id); m.Stream == events.Tracking && err != nil && len(s.runs[id].tags) == 0 {
			t.Fatalf("a run that is right was left out: %v", err)
		}
	})
}
