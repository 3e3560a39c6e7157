package inference

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome is how a record, or a whole request, ended; the label of churn_predictions_total.
type outcome uint8

const (
	outcomeOK       outcome = iota // answered with a score
	outcomeRefused                 // at fault itself: 4xx, or a faulty record of a partial list
	outcomeDeadline                // its deadline passed while it was in work
	outcomeError                   // ours: 5xx
	outcomes
)

// String returns the label.
func (o outcome) String() string { return [outcomes]string{"ok", "refused", "deadline", "error"}[o] }

// outcomeOf returns the outcome of a request by its status code.
func outcomeOf(code int) outcome {
	switch {
	case code < http.StatusBadRequest:
		return outcomeOK
	case code == http.StatusGatewayTimeout:
		return outcomeDeadline
	case code < http.StatusInternalServerError:
		return outcomeRefused
	}
	return outcomeError
}

// transportIndex tells the two transports apart in arrays.
func transportIndex(transport string) int {
	if transport == transportNATS {
		return 1
	}
	return 0
}

// series are the metrics of one version, resolved: nothing is looked up by a label while a request is answered. Safe for concurrent use.
type series struct {
	book     uint64 // generation of the book in which they are valid
	outcomes [2][outcomes]prometheus.Counter
	scores   prometheus.Histogram
}

// count adds n records, or one request, with an outcome.
func (x *series) count(transport string, o outcome, n int) {
	x.outcomes[transportIndex(transport)][o].Add(float64(n))
}

// score counts the probability of one record.
func (x *series) score(p float64) { x.scores.Observe(p) }

// seriesBook knows which versions have series. A version that is not held any more loses them when the next one is resolved.
type seriesBook struct {
	model string
	held  func(version int) bool

	generation atomic.Uint64
	mu         sync.Mutex
	versions   map[int]bool
	durations  [2]prometheus.Observer
	predict    prometheus.Observer
	ok         [2]prometheus.Counter // answers of 200: POST /predict, and NATS
}

// resolve prepares what needs no version, and the book for those that do.
func (m *metrics) resolve(model string, held func(version int) bool) {
	b := &m.series
	b.model, b.held, b.versions = model, held, map[int]bool{}
	b.durations = [2]prometheus.Observer{m.duration.WithLabelValues(transportHTTP), m.duration.WithLabelValues(transportNATS)}
	b.predict = m.httpDuration.WithLabelValues(routePredict)
	b.ok = [2]prometheus.Counter{m.httpRequests.WithLabelValues(routePredict, http.MethodPost, "200"), m.natsRequests.WithLabelValues("200")}
}

// of returns the series of the predictor's version. All but the first call for a predictor cost two atomic loads.
func (m *metrics) of(p *Predictor) *series {
	if x := p.series.Load(); x != nil && x.book == m.series.generation.Load() {
		return x
	}
	b := &m.series
	b.mu.Lock()
	defer b.mu.Unlock()
	version := p.promotion.Version
	for v := range b.versions {
		if v != version && !b.held(v) {
			gone := prometheus.Labels{"version": strconv.Itoa(v)}
			m.predictions.DeletePartialMatch(gone)
			m.score.DeletePartialMatch(gone)
			delete(b.versions, v)
			b.generation.Add(1) // should it come back, its predictor must not count into what was removed
		}
	}
	b.versions[version] = true
	label := strconv.Itoa(version)
	x := &series{book: b.generation.Load(), scores: m.score.WithLabelValues(b.model, label).(prometheus.Histogram)}
	for i, transport := range []string{transportHTTP, transportNATS} {
		for o := range outcomes {
			x.outcomes[i][o] = m.predictions.WithLabelValues(b.model, label, transport, o.String())
		}
	}
	p.series.Store(x)
	return x
}

// took counts how long the engine worked on a request.
func (m *metrics) took(transport string, d time.Duration) {
	m.series.durations[transportIndex(transport)].Observe(d.Seconds())
}

// predicted counts a request to POST /predict.
func (m *metrics) predicted(code int, d time.Duration) {
	m.series.predict.Observe(d.Seconds())
	if code == http.StatusOK {
		m.series.ok[0].Inc()
		return
	}
	m.httpRequests.WithLabelValues(routePredict, http.MethodPost, strconv.Itoa(code)).Inc()
}

// asked counts a request over NATS.
func (m *metrics) asked(code int) {
	if code == http.StatusOK {
		m.series.ok[1].Inc()
		return
	}
	m.natsRequests.WithLabelValues(strconv.Itoa(code)).Inc()
	m.failures.Lock()
	defer m.failures.Unlock()
	m.failures.byCode[code]++
}

// errorsByCode returns how many requests over NATS were answered with each code that is not 200.
func (m *metrics) errorsByCode() map[int]uint64 {
	m.failures.Lock()
	defer m.failures.Unlock()
	return maps.Clone(m.failures.byCode)
}

// routed counts a request to any other route. method is one of a fixed set.
func (m *metrics) routed(route, method string, code int, d time.Duration) {
	m.httpDuration.WithLabelValues(route).Observe(d.Seconds())
	m.httpRequests.WithLabelValues(route, method, strconv.Itoa(code)).Inc()
}
