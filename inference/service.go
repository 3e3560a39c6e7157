package inference

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
)

// Service is one instance. Make it with New; Run it once, or Close it.
type Service struct {
	cfg     Config
	boot    string
	started time.Time
	metrics *metrics
	link    *link
	slot    *slot
	book    *meterBook
	loader  *loader
	fleet   *fleet
	plog    *predictionLog
	permits chan struct{} // one for each request in flight
	bodies  *bodies
	server  *app.Server
}

// New wires the service and binds its address, so that a busy port is an error here that names the flag. It connects to nothing.
func New(c Config) (*Service, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if g, ok := c.Metrics.(prometheus.Gatherer); ok && c.Gatherer == nil {
		c.Gatherer = g
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Gatherer == nil {
		return nil, errors.New("inference config: a gatherer is required, as the metrics registerer is none")
	}
	c.Log = c.Log.With("component", "inference")
	cached, err := newCache(c.CacheDir, c.Model)
	if err != nil {
		return nil, err
	}
	ln, err := app.Listen(c.Addr, c.AddrFlag)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Metrics)
	if err != nil {
		_ = ln.Close() // it was never used
		return nil, err
	}
	return wire(c, cached, ln, m), nil
}

// wire builds the parts, none of which can fail any more.
func wire(c Config, cached *cache, ln net.Listener, m *metrics) *Service {
	boot := uuid.New()
	s := &Service{cfg: c, boot: hex.EncodeToString(boot[:]), started: c.Now().UTC(), metrics: m, link: newLink(c),
		plog: newPredictionLog(c, m), permits: make(chan struct{}, c.InFlight), bodies: newBodies(c)}
	s.book = newMeterBook(c.Now)
	s.slot = newSlot(c.Model, c.Health, s.link.up, s.book)
	s.fleet = &fleet{model: c.Model, source: c.source(), instance: c.Instance, boot: s.boot, every: c.AliveEvery, log: c.Log, now: c.Now,
		queue: make(chan events.Event, fleetQueue), alive: s.alive}
	s.loader = &loader{cfg: c, log: c.Log, metrics: m, slot: s.slot, cache: cached, fleet: s.fleet, now: c.Now, shelf: newShelf(), signal: make(chan struct{}, 1)}
	s.server = app.NewServer(ln, s.handler(), c.Log)
	return s
}

// Addr is where HTTP is served, with the real port.
func (s *Service) Addr() string { return s.server.Addr() }

// Boot identifies this start of the instance in its events.
func (s *Service) Boot() string { return s.boot }

// Close frees the address of a service that will not be run.
func (s *Service) Close() { s.server.Close() }

// Run answers until ctx ends, then stops taking requests, ends those in flight, publishes what the log holds, and returns nil; all within
// StopTimeout. HTTP answers from disk before NATS is connected, and whatever NATS does.
func (s *Service) Run(ctx context.Context) error {
	s.loader.restore()
	return app.Run(ctx, s.cfg.Log, s.cfg.StopTimeout,
		app.Component{Name: "nats link", Run: s.link.run},
		app.Component{Name: "fleet events", Run: func(ctx context.Context) error { return s.fleet.run(ctx, s.link) }},
		app.Component{Name: "prediction log", Run: func(ctx context.Context) error { return s.plog.run(ctx, s.link) }},
		app.Component{Name: "shelf", Run: s.prepare},
		app.Component{Name: "loader", Run: s.load},
		app.Component{Name: "promotions", Run: s.follow},
		app.Component{Name: "nats endpoint", Run: s.serveNATS},
		app.Component{Name: "http", Run: s.server.Run},
	)
}

func (s *Service) load(ctx context.Context) error {
	_, store, err := s.link.wait(ctx)
	if err != nil {
		return nil
	}
	return s.loader.run(ctx, store)
}

// prepare opens registered versions ahead of their promotion.
func (s *Service) prepare(ctx context.Context) error {
	_, store, err := s.link.wait(ctx)
	if err != nil {
		return nil
	}
	return s.loader.prepare(ctx, store)
}

// follow provisions the streams and then reads the promotions. Streams that can't be provisioned are a reason to alarm and none to stop
// answering.
func (s *Service) follow(ctx context.Context) error {
	b, _, err := s.link.wait(ctx)
	if err != nil {
		return nil
	}
	if err := b.Provision(ctx); err != nil && ctx.Err() == nil {
		s.cfg.Log.Error("streams not provisioned", "err", err)
	}
	return s.loader.follow(ctx, b)
}

// alive is the content of a sign of life.
func (s *Service) alive() events.InstanceAlive {
	a := events.InstanceAlive{StartedAt: s.started, Predictions: s.plog.ordinal.Load(), Dropped: s.plog.dropped.Load(), Address: s.Addr()}
	var p Promotion
	if now := s.slot.predictor(); now != nil {
		p = now.promotion
	}
	a.Serving = s.fleet.serving(p)
	return a
}

// admit takes a permit for one request and returns what gives it back, or nil over the in-flight bound.
func (s *Service) admit() (done func()) {
	select {
	case s.permits <- struct{}{}:
		s.metrics.inFlight.Inc()
		return func() {
			<-s.permits
			s.metrics.inFlight.Dec()
		}
	default:
		s.metrics.rejected.WithLabelValues("in_flight").Inc()
		return nil
	}
}

// result is the answer to one request over any transport.
type result struct {
	code  int
	body  []byte
	batch *Batch // nil unless code is 200
	err   *RequestError
}

func refused(err *RequestError) result { return result{code: err.Code, body: err.Body(), err: err} }

// answer is the whole way from a body to a body, the same for HTTP and NATS. It logs and counts, and blocks on nothing.
func (s *Service) answer(transport string, body []byte, strict bool) result {
	began := s.cfg.Now()
	r := s.predict(body, strict, began)
	s.metrics.answered(transport, r.code, s.cfg.Now().Sub(began), r.batch)
	return r
}

// predict answers with 500 where our own code panics, over NATS too, where a panic would end the process.
func (s *Service) predict(body []byte, strict bool, began time.Time) (r result) {
	defer func() {
		if v := recover(); v != nil {
			s.cfg.Log.Error("panic while a request was answered", "model", s.cfg.Model, "err", v, "stack", string(debug.Stack()))
			r = refused(&RequestError{Code: http.StatusInternalServerError, Text: "internal error"})
		}
	}()
	now, none := s.slot.take()
	if none != nil {
		return refused(none)
	}
	p := now.production
	batch, err := p.Predict(body, Options{Strict: strict, MaxRecords: s.cfg.MaxRecords, NewID: newPredictionID})
	var re *RequestError
	if errors.As(err, &re) {
		return refused(re)
	}
	if err == nil {
		var out []byte
		if out, err = batch.Body(); err == nil {
			s.record(p, batch, began)
			return result{code: http.StatusOK, body: out, batch: batch}
		}
	}
	s.cfg.Log.Error("request not answered", "model", s.cfg.Model, "version", p.promotion.Version, "err", err)
	return refused(&RequestError{Code: http.StatusInternalServerError, Text: "internal error"})
}

// record hands the answers to the prediction log.
func (s *Service) record(p *Predictor, batch *Batch, began time.Time) {
	at := s.cfg.Now()
	took := at.Sub(began).Microseconds()
	for i := range batch.Answers {
		a := &batch.Answers[i]
		s.plog.add(entry{at: at, made: &events.PredictionMade{
			PredictionID: a.PredictionID, EntityID: a.EntityID, Version: a.Version, PromotionSequence: p.promotion.Sequence,
			Record: a.Record, Score: a.Probability, Threshold: a.Threshold, Positive: a.Positive, Label: a.Label, LatencyUS: took,
			Instance: s.cfg.Instance, Boot: s.boot, Ordinal: s.plog.next(),
		}})
	}
}

// newPredictionID returns an id that is unique and grows with time.
func newPredictionID() string {
	id, err := uuid.NewV7()
	if err != nil {
		panic(fmt.Sprintf("inference: no random numbers: %v", err)) // crypto/rand ends the process itself before this
	}
	return id.String()
}
