package drift

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/modeltest"
)

// TestJunkAmongEvaluations holds that what is no evaluation becomes a dead letter, of every kind of message that drift reads, and that
// evaluations go on.
func TestJunkAmongEvaluations(t *testing.T) {
	for _, only := range []string{"", "telco-churn"} {
		t.Run("model "+only, func(t *testing.T) {
			w := newWorld(t)
			sp := smallSpec()
			p1, b1 := w.promote(1, modeltest.Options{Spec: sp})
			w.start(func(s *Service) { s.cfg.Model = only })
			w.predict(sp.Name, w.answers(b1, 1, p1, records(t, sp, 60, 7, 1))...)
			awaitCount[events.DriftEvaluated](w, events.Drift, 1)
			ack, err := w.bus.JetStream().Publish(t.Context(), "drift.evaluated."+sp.Name, []byte("junk"))
			require.NoError(t, err)
			eventually(t, func() bool { return len(deadLetters(w)) == 1 }, "a dead letter")
			d := deadLetters(w)[0]
			require.Equal(t, string(events.Drift), d.Stream)
			require.Equal(t, ack.Sequence, d.Sequence)
			require.NotEmpty(t, d.Reason)
			w.predict(sp.Name, w.answers(b1, 1, p1, records(t, sp, 60, 8, 1))...)
			eventually(t, func() bool { return len(of[events.DriftEvaluated](w.stored(events.Drift))) == 2 }, "the next evaluation")
		})
	}
}
