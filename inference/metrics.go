package inference

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Values of the label "reason" of churn_prediction_log_dropped_total.
const (
	dropQueueFull = "queue_full" // more answers than the queue holds
	dropInvalid   = "invalid"    // the event can't be encoded, or is larger than a message may be
	dropStopped   = "stopped"    // not acknowledged before the end of the process
)

// Values of the label "reason" of churn_requests_rejected_total.
const (
	rejectInFlight = "in_flight" // more requests than may be in work
	rejectBodies   = "bodies"    // the bodies of other requests take all the room
	rejectAnswers  = "answers"   // large answers that nobody reads take all the room
	rejectNoReply  = "no_reply"  // published over NATS instead of requested
	rejectReply    = "reply"     // its reply subject is one of the loop's own or of the server's
	rejectDeadline = "deadline"  // its deadline had passed before any work
)

// metrics are this service's own. version is a label with few values at a time: those of versions that are no longer held are removed. What a
// request counts is in series, which are resolved ahead.
type metrics struct {
	httpRequests *prometheus.CounterVec   // route, method, code
	httpDuration *prometheus.HistogramVec // route
	natsRequests *prometheus.CounterVec   // code
	predictions  *prometheus.CounterVec   // model, version, transport, outcome
	duration     *prometheus.HistogramVec // transport
	score        *prometheus.HistogramVec // model, version
	warnings     *prometheus.CounterVec   // rule
	rejected     *prometheus.CounterVec   // reason
	series       seriesBook
	since        atomic.Pointer[loadedSince]
	failures     struct { // over NATS
		sync.Mutex
		byCode map[int]uint64
	}

	info         *prometheus.GaugeVec // model, version, digest
	loadedAt     prometheus.Gauge
	loadDuration prometheus.Histogram
	loadFailures *prometheus.CounterVec // class
	unservable   prometheus.Gauge
	junk         prometheus.Counter
	rolloutJunk  prometheus.Counter
	cacheErrors  prometheus.Counter

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
	latency := func(name, help string, buckets ...float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: "churn_" + name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour}
	}
	m := &metrics{
		httpRequests: prometheus.NewCounterVec(counter("http_requests_total", "HTTP requests answered."), []string{"route", "method", "code"}),
		httpDuration: prometheus.NewHistogramVec(latency("http_request_duration_seconds",
			"Time from an HTTP request's header to its answer, the reading of the body included.",
			.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1), []string{"route"}),
		natsRequests: prometheus.NewCounterVec(counter("nats_requests_total", "NATS requests answered, with HTTP's status codes."), []string{"code"}),
		predictions: prometheus.NewCounterVec(counter("predictions_total",
			"Records answered (outcome ok), and requests or records of a list that were not."), []string{"model", "version", "transport", "outcome"}),
		duration: prometheus.NewHistogramVec(latency("prediction_duration_seconds", "Time from the whole request to the answer's bytes.",
			.000005, .00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1), []string{"transport"}),
		score: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "churn_prediction_score",
			Help: "Probability of the positive class.", Buckets: []float64{.1, .2, .3, .4, .5, .6, .7, .8, .9, 1}}, []string{"model", "version"}),
		warnings: prometheus.NewCounterVec(counter("prediction_warnings_total", "Warnings given with answers."), []string{"rule"}),
		rejected: prometheus.NewCounterVec(counter("requests_rejected_total", "Requests refused for load, for their deadline, or as nobody would read the answer."), []string{"reason"}),

		info:     prometheus.NewGaugeVec(gauge("model_info", "1 for the version served."), []string{"model", "version", "digest"}),
		loadedAt: prometheus.NewGauge(gauge("model_loaded_timestamp_seconds", "When the version served was loaded.")),
		loadDuration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "churn_model_load_duration_seconds",
			Help: "Time from receiving a promotion to the exchange.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .5, 1, 5, 30}}),
		loadFailures: prometheus.NewCounterVec(counter("model_load_failures_total", "Attempts to load a promoted version that failed."), []string{"class"}),
		unservable:   prometheus.NewGauge(gauge("promotion_unservable", "1 while the newest promotion is of a version that can't be served.")),
		junk:         prometheus.NewCounter(counter("promotion_junk_total", "Messages on model.promoted that could not be read.")),
		rolloutJunk:  prometheus.NewCounter(counter("rollout_junk_total", "Messages on rollout.changed that could not be read or were no news.")),
		cacheErrors:  prometheus.NewCounter(counter("bundle_cache_errors_total", "Reads and writes of the local bundle folder that failed.")),

		logged:     prometheus.NewCounter(counter("prediction_log_published_total", "Answers published and acknowledged.")),
		logRetries: prometheus.NewCounter(counter("prediction_log_retries_total", "Publishes of answers that were repeated.")),
		logDropped: prometheus.NewCounterVec(counter("prediction_log_dropped_total", "Answers that were not published."), []string{"reason"}),
	}
	for _, c := range []prometheus.Collector{m.httpRequests, m.httpDuration, m.natsRequests, m.predictions, m.duration, m.score, m.warnings,
		m.rejected, m.info, m.loadedAt, m.loadDuration, m.loadFailures, m.unservable, m.junk, m.rolloutJunk, m.cacheErrors, m.logged, m.logRetries, m.logDropped} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	m.failures.byCode = map[int]uint64{}
	return m, nil
}

// serving moves churn_model_info to p, or takes it away for nil.
func (m *metrics) serving(model string, p *Predictor, at time.Time) {
	if p != nil {
		m.since.Store(&loadedSince{of: p.promotion, at: at})
	}
	m.info.Reset()
	m.unservable.Set(0)
	if p == nil {
		m.loadedAt.Set(0)
		return
	}
	m.info.WithLabelValues(model, strconv.Itoa(p.promotion.Version), p.promotion.Digest).Set(1)
	m.loadedAt.Set(float64(at.UnixNano()) / 1e9)
}

// loadedSince says when a promotion was loaded.
type loadedSince struct {
	of Promotion
	at time.Time
}

// loaded returns when p began to be served; now where that is not known yet, because it begins at this moment.
func (m *metrics) loaded(p Promotion, now time.Time) time.Time {
	if s := m.since.Load(); s != nil && s.of == p {
		return s.at
	}
	return now
}

// watch adds what is read from the service when it is asked for.
func (m *metrics) watch(reg prometheus.Registerer, s *Service) error {
	for _, g := range []struct {
		name, help string
		value      func() float64
	}{
		{"inference_nats_connected", "1 while the connection to NATS stands, else 0.", func() float64 {
			if s.link.up() {
				return 1
			}
			return 0
		}},
		{"inference_in_flight", "Requests in work, HTTP and NATS together.", func() float64 { return float64(s.gate.inFlight()) }},
		{"inference_body_bytes", "Bytes that the bodies of HTTP requests hold.", func() float64 { return float64(s.bodies.held.Load()) }},
		{"inference_answer_bytes", "Bytes of large HTTP answers that their clients have not taken yet.", func() float64 { return float64(s.bodies.unsent.Load()) }},
		{"http_connections", "Open HTTP connections.", func() float64 { return float64(s.server.Connections()) }},
		{"prediction_log_queued", "Answers that wait to be published.", func() float64 { return float64(s.plog.waiting()) }},
		{"rollout_revision", "Revision of the split in force, 0 for none.", func() float64 { return float64(s.slot.now().revision) }},
		{"rollout_share", "Share of the entities that the candidate answers.", func() float64 { return s.slot.now().share }},
	} {
		if err := reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "churn_" + g.name, Help: g.help}, g.value)); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	if err := reg.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "churn_http_connections_rejected_total",
		Help: "HTTP connections closed at once because there were as many as may be."}, func() float64 { return float64(s.server.TurnedAway()) })); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if err := reg.Register(&candidateInfo{s.slot, prometheus.NewDesc("churn_rollout_candidate_info", "1 for the candidate of the split in force.",
		[]string{"model", "version", "digest"}, nil)}); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// unread counts a request that could not be read as one.
func (m *metrics) unread(code int) {
	m.httpRequests.WithLabelValues(routeOther, routeOther, strconv.Itoa(code)).Inc()
}

// candidateInfo is churn_model_info's counterpart for the candidate that answers a share. It is read from what is served when it is asked for.
type candidateInfo struct {
	slot *slot
	desc *prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (c *candidateInfo) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

// Collect implements [prometheus.Collector].
func (c *candidateInfo) Collect(to chan<- prometheus.Metric) {
	if p := c.slot.now().candidate; p != nil {
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, 1, c.slot.model, strconv.Itoa(p.promotion.Version), p.promotion.Digest)
	}
}
