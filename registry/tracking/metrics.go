package tracking

import (
	"github.com/prometheus/client_golang/prometheus"
)

// register registers figures of the fold, which are read when they are asked for.
func (b *Book) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	figure := func(name, help string, read func(*state) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			b.state.mu.RLock()
			defer b.state.mu.RUnlock()
			return read(b.state)
		})
	}
	for _, c := range []prometheus.Collector{
		figure("churn_tracking_runs", "Runs in the fold, deleted ones too.", func(s *state) float64 { return float64(len(s.runs)) }),
		figure("churn_tracking_experiments", "Experiments in the fold, deleted ones too.", func(s *state) float64 { return float64(len(s.experiments)) }),
		figure("churn_tracking_junk_messages", "Messages of the streams that are no events, since they were folded from the start.",
			func(s *state) float64 { return float64(s.junk) }),
		figure("churn_tracking_contradictions", "Events that contradict earlier ones and were left out, since the streams were folded from the start.",
			func(s *state) float64 { return float64(s.contradictions) }),
	} {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}
