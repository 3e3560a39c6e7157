package bus

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	published   *prometheus.CounterVec // stream, result
	handled     *prometheus.CounterVec // consumer, outcome
	deadLetters *prometheus.CounterVec // stream
	failing     *prometheus.GaugeVec   // consumer: tries of the message in hand that failed, 0 if none
	reconnects  prometheus.Counter
	resets      *prometheus.CounterVec // stream
}

// newMetrics registers the metrics, or takes those that another bus of the process registered. reg may be nil.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		published: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "churn_bus_published_total",
			Help: "Events published, by stream and result: stored, duplicate, failed."}, []string{"stream", "result"}),
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "churn_bus_handled_total",
			Help: "Outcomes of handlers, by consumer: done, retry, wait, dead, poison."}, []string{"consumer", "outcome"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "churn_bus_dead_letters_total",
			Help: "Dead letters stored, by the stream of the message."}, []string{"stream"}),
		failing: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "churn_bus_failing_tries",
			Help: "Failed tries of the message that a consumer retries now, 0 if the last one succeeded."}, []string{"consumer"}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{Name: "churn_bus_reconnects_total",
			Help: "Restored connections to NATS."}),
		resets: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "churn_bus_stream_resets_total",
			Help: "Streams found re-created or cut short while they were followed."}, []string{"stream"}),
	}
	if reg == nil {
		return m, nil
	}
	var err error
	m.published = register(reg, m.published, &err)
	m.handled = register(reg, m.handled, &err)
	m.deadLetters = register(reg, m.deadLetters, &err)
	m.failing = register(reg, m.failing, &err)
	m.reconnects = register(reg, m.reconnects, &err)
	m.resets = register(reg, m.resets, &err)
	return m, err
}

func register[C prometheus.Collector](reg prometheus.Registerer, c C, err *error) C {
	e := reg.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(e, &already) {
		if old, ok := already.ExistingCollector.(C); ok {
			return old
		}
	}
	if e != nil && *err == nil {
		*err = fmt.Errorf("register bus metrics: %w", e)
	}
	return c
}
