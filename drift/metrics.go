package drift

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"telco-churn-mlops/events"
)

// Values of the label "outcome" of churn_labels_total.
const (
	labelJoined     = "joined"
	labelDuplicate  = "duplicate"  // the prediction has this outcome already, or this very label was joined before
	labelCorrection = "correction" // the prediction has another outcome already: the first one stays
	labelUnmatched  = "unmatched"  // no prediction came within Config.Early
	labelExpired    = "expired"    // the prediction is not in the stream any more
	labelDead       = "dead"       // a dead letter says why no prediction can take it
)

// metrics are this service's own. Series of a version that is no longer judged are removed.
type metrics struct {
	psi         *prometheus.GaugeVec   // model, version, column
	rows        *prometheus.GaugeVec   // model, version, column
	state       *prometheus.GaugeVec   // model, version, column
	f1          *prometheus.GaugeVec   // model, version, kind
	evaluations *prometheus.CounterVec // model, kind
	notices     *prometheus.CounterVec // model, kind, event
	predictions *prometheus.CounterVec // model
	labels      *prometheus.CounterVec // outcome
	reference   *prometheus.GaugeVec   // model
	lag         prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "churn_" + name, Help: help}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "churn_" + name, Help: help}, labels)
	}
	m := &metrics{
		psi:         gauge("feature_psi", "Population stability index at the last evaluation.", "model", "version", "column"),
		rows:        gauge("feature_psi_window_rows", "Rows behind the last evaluation of the column.", "model", "version", "column"),
		state:       gauge("drift_state", "0 ok, 1 pending, 2 firing, 3 insufficient data.", "model", "version", "column"),
		f1:          gauge("model_f1", "F1 of the positive class, by kind: holdout, or live on labelled predictions.", "model", "version", "kind"),
		evaluations: counter("drift_evaluations_total", "Evaluations made.", "model", "kind"),
		notices:     counter("drift_events_total", "Alerts, repeated alerts and clearings published.", "model", "kind", "event"),
		predictions: counter("drift_predictions_total", "Predictions taken into the window.", "model"),
		reference:   gauge("drift_reference", "1 if the version judged has a reference to be compared with, 0 if its columns are not evaluated.", "model"),
		labels:      counter("labels_total", "Labels handled, by outcome.", "outcome"),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{Name: "churn_drift_lag_seconds",
			Help: "Age by the stream's time of the last prediction taken into a window, when it was taken."}),
	}
	for _, c := range []prometheus.Collector{m.psi, m.rows, m.state, m.f1, m.evaluations, m.notices, m.predictions, m.labels, m.reference, m.lag} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	for _, outcome := range []string{labelJoined, labelDuplicate, labelCorrection, labelUnmatched, labelExpired, labelDead} {
		m.labels.WithLabelValues(outcome)
	}
	return m, nil
}

var stateValues = map[events.ColumnState]float64{
	events.StateOK: 0, events.StatePending: 1, events.StateFiring: 2, events.StateInsufficient: 3,
}

// evaluated shows an evaluation; last is the one before, whose version's series go where the version has changed.
func (m *metrics) evaluated(model string, last, e *events.DriftEvaluated) {
	if last != nil {
		for _, c := range last.Columns {
			former := prometheus.Labels{"model": model, "version": strconv.Itoa(last.Version), "column": c.Column}
			if last.Version != e.Version {
				m.psi.Delete(former)
				m.rows.Delete(former)
				m.state.Delete(former)
			}
		}
	}
	version := strconv.Itoa(e.Version)
	for _, c := range e.Columns {
		if c.Statistic == statisticPSI {
			m.psi.WithLabelValues(model, version, c.Column).Set(c.Value)
		}
		m.rows.WithLabelValues(model, version, c.Column).Set(float64(c.N))
		m.state.WithLabelValues(model, version, c.Column).Set(stateValues[c.State])
	}
}

// live shows both figures of a version's performance.
func (m *metrics) live(model string, ref *Reference, live float64) {
	m.f1.DeletePartialMatch(prometheus.Labels{"model": model})
	version := strconv.Itoa(ref.Version)
	m.f1.WithLabelValues(model, version, "live").Set(live)
	if holdout, ok := ref.Holdout["f1_churn"]; ok {
		m.f1.WithLabelValues(model, version, "holdout").Set(holdout)
	}
}

// referenced shows whether a model's columns are evaluated.
func (m *metrics) referenced(model string, has bool) {
	v := 0.0
	if has {
		v = 1
	}
	m.reference.WithLabelValues(model).Set(v)
}
