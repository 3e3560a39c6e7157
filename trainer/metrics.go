package trainer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	runs        *prometheus.CounterVec
	steps       *prometheus.HistogramVec
	lastSuccess prometheus.Gauge
	pending     prometheus.Gauge
	newRows     prometheus.Gauge
	skipped     *prometheus.CounterVec
	quarantined prometheus.Counter
	retries     prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		runs: f.NewCounterVec(prometheus.CounterOpts{Name: "churn_pipeline_runs_total",
			Help: "Runs that ended, by outcome (completed, failed) of this trainer."}, []string{"outcome"}),
		steps: f.NewHistogramVec(prometheus.HistogramOpts{Name: "churn_pipeline_step_duration_seconds",
			Help: "Time per step of a run.", Buckets: prometheus.ExponentialBuckets(0.01, 3, 10)}, []string{"step"}),
		lastSuccess: f.NewGauge(prometheus.GaugeOpts{Name: "churn_pipeline_last_success_timestamp_seconds",
			Help: "When this trainer last completed a run, Unix seconds."}),
		pending: f.NewGauge(prometheus.GaugeOpts{Name: "churn_retrain_causes_pending",
			Help: "Causes that no run has taken yet."}),
		newRows: f.NewGauge(prometheus.GaugeOpts{Name: "churn_retrain_new_rows",
			Help: "Distinct labelled entities predicted after the oldest pending alert."}),
		skipped: f.NewCounterVec(prometheus.CounterOpts{Name: "churn_retrain_causes_skipped_total",
			Help: "Causes that started nothing, by reason."}, []string{"reason"}),
		quarantined: f.NewCounter(prometheus.CounterOpts{Name: "churn_quarantined_rows_total",
			Help: "Dataset rows left out as faulty."}),
		retries: f.NewCounter(prometheus.CounterOpts{Name: "churn_pipeline_retries_total",
			Help: "Attempts of a run that ended because the bus or the store was away."}),
	}
}

func (m *metrics) step(name string, began time.Time, now time.Time) {
	m.steps.WithLabelValues(name).Observe(now.Sub(began).Seconds())
}
