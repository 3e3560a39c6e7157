package trainer

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/spec"
)

// TestJunkOnTheScheduleDoesNotEndIt holds that ticks go on after junk has taken the place of the schedule, which the server drops then.
func TestJunkOnTheScheduleDoesNotEndIt(t *testing.T) {
	w := newWorld(t)
	w.spec.Retrain.Schedule = &spec.Schedule{Cron: "* * * * * *", TimeZone: "UTC", TargetStage: "staging"}
	stop := w.start("a")
	first := w.completed(1)[0]
	w.promote(1, digestOf(first))
	junk := func() uint64 {
		ack, err := w.bus.JetStream().Publish(t.Context(), "schedule.retrain."+w.spec.Name, []byte("junk"))
		require.NoError(t, err)
		return ack.Sequence
	}
	ticks := func(after uint64) {
		bustest.Eventually(t, func() bool {
			n := 0
			require.NoError(t, w.bus.Read(t.Context(), bus.ReadConfig{Stream: events.Causes, From: after + 1}, func(m bus.Message) error {
				if _, ok := events.ScheduleKey(m.Header); ok {
					n++
				}
				return nil
			}))
			return n >= 2
		}, "ticks after the junk")
	}
	ticks(junk())
	stop()
	at := junk()
	w.start("b")
	ticks(at)
	require.NoError(t, RemoveSchedule(t.Context(), w.bus, w.spec.Name))
}
