package inference

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Values of the label "transport".
const (
	transportHTTP = "http"
	transportNATS = "nats"
)

// Values of the label "reason" of churn_prediction_log_dropped_total.
const (
	dropQueueFull = "queue_full" // more answers than the queue holds
	dropInvalid   = "invalid"    // the event can't be encoded, or is larger than a message may be
	dropStopped   = "stopped"    // not acknowledged before the end of the process
)

// metrics are this service's own. version is a label with few values at a time: those of a version that is no longer served are removed.
type metrics struct {
	requests    *prometheus.CounterVec   // transport, code
	duration    *prometheus.HistogramVec // transport
	predictions *prometheus.CounterVec   // model, version, transport
	score       *prometheus.HistogramVec // model, version
	warnings    *prometheus.CounterVec   // rule
	inFlight    prometheus.Gauge
	rejected    *prometheus.CounterVec // reason

	info         *prometheus.GaugeVec // model, version, digest
	loadedAt     prometheus.Gauge
	loadDuration prometheus.Histogram
	loadFailures *prometheus.CounterVec // class
	unservable   prometheus.Gauge
	junk         prometheus.Counter
	cacheErrors  prometheus.Counter

	logQueued  prometheus.Gauge
	logged     prometheus.Counter
	logRetries prometheus.Counter
	logDropped *prometheus.CounterVec // reason
}

// newMetrics makes the metrics and registers them; a name that is taken is an error.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "churn_" + name, Help: help}
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Name: "churn_" + name, Help: help}
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(counter("inference_requests_total",
			"Requests answered, with HTTP's status code over both transports."), []string{"transport", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "churn_prediction_duration_seconds",
			Help:    "Time from the whole request to the answer's bytes.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1}}, []string{"transport"}),
		predictions: prometheus.NewCounterVec(counter("predictions_total", "Records answered."), []string{"model", "version", "transport"}),
		score: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "churn_prediction_score",
			Help: "Probability of the positive class.", Buckets: prometheus.LinearBuckets(0.1, 0.1, 10)}, []string{"model", "version"}),
		warnings: prometheus.NewCounterVec(counter("prediction_warnings_total", "Warnings given with answers."), []string{"rule"}),
		inFlight: prometheus.NewGauge(gauge("inference_in_flight", "Requests in work or waiting for a worker.")),
		rejected: prometheus.NewCounterVec(counter("requests_rejected_total", "Requests refused before they were read as records."), []string{"reason"}),

		info:     prometheus.NewGaugeVec(gauge("model_info", "1 for the version served."), []string{"model", "version", "digest"}),
		loadedAt: prometheus.NewGauge(gauge("model_loaded_timestamp_seconds", "When the version served was loaded.")),
		loadDuration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "churn_model_load_duration_seconds",
			Help: "Time from receiving a promotion to the exchange.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .5, 1, 5, 30}}),
		loadFailures: prometheus.NewCounterVec(counter("model_load_failures_total", "Attempts to load a promoted version that failed."), []string{"class"}),
		unservable:   prometheus.NewGauge(gauge("promotion_unservable", "1 while the newest promotion is of a version that can't be served.")),
		junk:         prometheus.NewCounter(counter("promotion_junk_total", "Messages on model.promoted that could not be read.")),
		cacheErrors:  prometheus.NewCounter(counter("bundle_cache_errors_total", "Reads and writes of the local bundle folder that failed.")),

		logQueued:  prometheus.NewGauge(gauge("prediction_log_queued", "Answers that wait to be published.")),
		logged:     prometheus.NewCounter(counter("prediction_log_published_total", "Answers published and acknowledged.")),
		logRetries: prometheus.NewCounter(counter("prediction_log_retries_total", "Publishes of answers that were repeated.")),
		logDropped: prometheus.NewCounterVec(counter("prediction_log_dropped_total", "Answers that were not published."), []string{"reason"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.predictions, m.score, m.warnings, m.inFlight, m.rejected, m.info, m.loadedAt,
		m.loadDuration, m.loadFailures, m.unservable, m.junk, m.cacheErrors, m.logQueued, m.logged, m.logRetries, m.logDropped} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// serving moves churn_model_info to p, or takes it away for nil, and drops the former version's series.
func (m *metrics) serving(model string, former, p *Predictor, at time.Time) {
	m.info.Reset()
	m.unservable.Set(0)
	if former != nil && (p == nil || former.promotion.Version != p.promotion.Version) {
		version := prometheus.Labels{"version": strconv.Itoa(former.promotion.Version)}
		m.predictions.DeletePartialMatch(version)
		m.score.DeletePartialMatch(version)
	}
	if p == nil {
		m.loadedAt.Set(0)
		return
	}
	m.info.WithLabelValues(model, strconv.Itoa(p.promotion.Version), p.promotion.Digest).Set(1)
	m.loadedAt.Set(float64(at.UnixNano()) / 1e9)
}

// answered counts one request and, where it was answered, its records.
func (m *metrics) answered(transport string, code int, took time.Duration, b *Batch) {
	m.requests.WithLabelValues(transport, strconv.Itoa(code)).Inc()
	m.duration.WithLabelValues(transport).Observe(took.Seconds())
	if b == nil {
		return
	}
	model, version := b.Answers[0].Model, strconv.Itoa(b.Answers[0].Version)
	m.predictions.WithLabelValues(model, version, transport).Add(float64(len(b.Answers)))
	score := m.score.WithLabelValues(model, version)
	for i := range b.Answers {
		score.Observe(b.Answers[i].Probability)
		for _, w := range b.Answers[i].Warnings {
			m.warnings.WithLabelValues(w.Type).Inc()
		}
	}
}
