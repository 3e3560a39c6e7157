package scorer

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Values of the label "outcome" of churn_scoring_jobs_total.
const (
	outcomeCompleted = "completed"
	outcomeFailed    = "failed"
	outcomeRepeated  = "repeated" // it was done already
)

type metrics struct {
	jobs     *prometheus.CounterVec // outcome
	rows     prometheus.Counter
	faulty   prometheus.Counter
	resumed  prometheus.Counter
	running  prometheus.Gauge
	duration prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "churn_scoring_jobs_total",
			Help: "Scoring jobs that came to an end, by outcome."}, []string{"outcome"}),
		rows:    prometheus.NewCounter(prometheus.CounterOpts{Name: "churn_scoring_rows_total", Help: "Rows scored by completed jobs."}),
		faulty:  prometheus.NewCounter(prometheus.CounterOpts{Name: "churn_scoring_faulty_rows_total", Help: "Rows that completed jobs left out."}),
		resumed: prometheus.NewCounter(prometheus.CounterOpts{Name: "churn_scoring_jobs_resumed_total", Help: "Completed jobs that went on from a checkpoint."}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: "churn_scoring_jobs_running", Help: "Jobs in hand."}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "churn_scoring_job_duration_seconds", Help: "Time that completed jobs took.",
			Buckets: prometheus.ExponentialBuckets(.1, 4, 9), NativeHistogramBucketFactor: 1.1}),
	}
	for _, outcome := range []string{outcomeCompleted, outcomeFailed, outcomeRepeated} {
		m.jobs.WithLabelValues(outcome)
	}
	for _, c := range []prometheus.Collector{m.jobs, m.rows, m.faulty, m.resumed, m.running, m.duration} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
