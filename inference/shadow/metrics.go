package shadow

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	rows        *prometheus.CounterVec
	checkpoints *prometheus.CounterVec
	running     prometheus.Gauge
	lag         prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "churn_shadow_rows_total",
			Help: "Predictions that a shadow looked at, by outcome: scored, or why not."}, []string{"outcome"}),
		checkpoints: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "churn_shadow_checkpoints_total",
			Help: "Checkpoints by outcome: stored, or lost to another worker's."}, []string{"outcome"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: "churn_shadow_running", Help: "Shadows that this worker counts."}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{Name: "churn_shadow_lag_seconds",
			Help: "Age of the prediction that was counted last, when it was."}),
	}
	for _, c := range []prometheus.Collector{m.rows, m.checkpoints, m.running, m.lag} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("shadow: register metrics: %w", err)
		}
	}
	return m, nil
}
