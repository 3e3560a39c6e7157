package trainer

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// TestJunkOnTheRunsStopsNothing holds that the next run expects what stands on its subjects, be it junk.
func TestJunkOnTheRunsStopsNothing(t *testing.T) {
	w := newWorld(t)
	junk := func() {
		for _, subject := range []string{"run.started.", "run.completed.", "run.failed.", "model.promoted."} {
			_, err := w.bus.JetStream().Publish(t.Context(), subject+w.spec.Name, []byte("junk"))
			require.NoError(t, err)
		}
	}
	junk() // before there is any run
	stop := w.start("a")
	w.completed(1)
	junk()
	w.publish("second", &events.RetrainRequested{})
	w.completed(2)
	junk()
	stop()
	w.start("b")
	w.publish("third", &events.RetrainRequested{})
	w.completed(3)
	require.Len(t, all[*events.RunStarted](w, events.TypeRunStarted), 3)
}
