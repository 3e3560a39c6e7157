package registry

import (
	"github.com/prometheus/client_golang/prometheus"

	"telco-churn-mlops/events"
)

// Labels of alarms_total.
const (
	alarmRetrying  = "retrying"  // a step fails again and again because the store or the network is away
	alarmRefused   = "refused"   // a run got no version
	alarmOvertaken = "overtaken" // a version passed its gates, but another promotion came first
	alarmJunk      = "junk"      // model.promoted ended in junk
	alarmLoad      = "load"      // instances can't load what is Production, and it was not rolled back
	alarmRollback  = "rollback"  // a rollback was made
	alarmRollout   = "rollout"   // a rollout can't go on, or a fresh Production broke a limit and there is nowhere to go back to
	alarmAstray    = "astray"    // what was promoted was deleted, or passed by gates, and Production was put back
)

type metrics struct {
	versions   *prometheus.CounterVec
	promotions *prometheus.CounterVec
	alarms     *prometheus.CounterVec
	rollouts   *prometheus.CounterVec
	production *prometheus.GaugeVec
	gate       prometheus.Histogram
	swept      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		versions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "churn_registry_verdicts_total", Help: "Verdicts written by this registry.",
		}, []string{"model", "verdict", "reason"}),
		promotions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "churn_registry_promotions_total", Help: "Promotions written by this registry.",
		}, []string{"model", "cause"}),
		alarms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "churn_registry_alarms_total", Help: "Things a person should look at.",
		}, []string{"reason"}),
		rollouts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "churn_registry_rollouts_total", Help: "Changes of rollouts written by this registry.",
		}, []string{"model", "mode", "state", "cause"}),
		production: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "churn_registry_production_version", Help: "Version in Production, 0 for none.",
		}, []string{"model"}),
		gate: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "churn_registry_gate_duration_seconds", Help: "Time to score and judge one version.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 30},
		}),
		swept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "churn_registry_swept_uploads_total", Help: "Killed uploads whose remains were removed from the store.",
		}),
	}
	for _, c := range []prometheus.Collector{m.versions, m.promotions, m.alarms, m.rollouts, m.production, m.gate, m.swept} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	for _, reason := range []string{alarmRetrying, alarmRefused, alarmOvertaken, alarmJunk, alarmLoad, alarmRollback, alarmRollout, alarmAstray} {
		m.alarms.WithLabelValues(reason)
	}
	return m, nil
}

func (m *metrics) observe(c *Catalog) {
	for _, name := range c.Models() {
		if p, ok := c.Promotion(name); ok {
			m.production.WithLabelValues(name).Set(float64(p.Version))
		}
	}
}

func (m *metrics) verdict(name string, g *events.ModelGated) {
	m.versions.WithLabelValues(name, string(g.Verdict), g.Reason).Inc()
}
