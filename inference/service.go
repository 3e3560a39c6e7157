package inference

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
)

// Service is one instance. Make it with New; Run it once, or Close it.
type Service struct {
	cfg      Config
	boot     string
	started  time.Time
	metrics  *metrics
	link     *link
	slot     *slot
	book     *meterBook
	loader   *loader
	fleet    *fleet
	measurer *measurer
	plog     *predictionLog
	gate     gate
	bodies   *bodies
	routes   fasthttp.RequestHandler // all but POST /predict
	server   *app.FastServer
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
	s := wire(c, cached, ln, m)
	if err := m.watch(c.Metrics, s); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// wire builds the parts, none of which can fail any more.
func wire(c Config, cached *cache, ln net.Listener, m *metrics) *Service {
	boot := uuid.New()
	s := &Service{cfg: c, boot: hex.EncodeToString(boot[:]), started: c.Now().UTC(), metrics: m, link: newLink(c),
		plog: newPredictionLog(c, hex.EncodeToString(boot[:]), m), gate: gate{most: int64(c.InFlight)}, bodies: newBodies(c)}
	s.book = newMeterBook(c.Now)
	s.slot = newSlot(c.Model, c.Health, s.link.up, s.book)
	s.fleet = &fleet{model: c.Model, source: c.source(), instance: c.Instance, boot: s.boot, every: c.AliveEvery, log: c.Log, now: c.Now,
		queue: make(chan events.Event, fleetQueue), soon: make(chan struct{}, 1), alive: s.alive, snapshot: s.slot.now}
	s.measurer = newMeasurer(s.fleet, s.slot, s.book)
	s.loader = &loader{cfg: c, log: c.Log, metrics: m, slot: s.slot, cache: cached, fleet: s.fleet, now: c.Now, shelf: newShelf(),
		signal: make(chan struct{}, 1), turned: make(chan struct{}, 1), up: s.link.up, listenEvery: listenEvery, unheard: unheardFor}
	m.resolve(c.Model, func(version int) bool { return s.slot.now().version(version) != nil })
	s.routes = adapt(s.handler())
	c.HTTP.Body = c.MaxBody
	s.server = app.NewFastServer(ln, s.serveHTTP, c.HTTP, c.Log)
	s.server.Refuse = func(ctx *fasthttp.RequestCtx, code int, text string) {
		m.unread(code)
		s.refuseRoute(ctx, &RequestError{Code: code, Text: text})
	}
	return s
}

// Addr is where HTTP is served, with the real port.
func (s *Service) Addr() string { return s.server.Addr() }

// Boot identifies this start of the instance in its events.
func (s *Service) Boot() string { return s.boot }

// Close frees the address of a service that will not be run.
func (s *Service) Close() { s.server.Close() }

// Run answers until ctx ends, and then stops without losing a request: readiness says no, the instance leaves the queue group and answers what
// it was sent, HTTP clients are told to go elsewhere (see [app.FastLimits]) and requests in flight end, and what the prediction log holds is
// published. It returns nil after that; all within StopTimeout and twice the drain delay. HTTP answers from disk before NATS is connected, and
// whatever NATS does.
func (s *Service) Run(ctx context.Context) error {
	s.loader.restore()
	return app.Run(ctx, s.cfg.Log, s.cfg.StopTimeout+2*s.cfg.HTTP.DrainDelay, // one step may take half of it
		app.Component{Name: "nats link", Run: s.link.run},
		app.Component{Name: "fleet events", Run: func(ctx context.Context) error { return s.fleet.run(ctx, s.link) }},
		app.Component{Name: "measurements", Run: func(ctx context.Context) error { return s.measurer.run(ctx, s.link) }},
		app.Component{Name: "prediction log", Run: func(ctx context.Context) error { return s.plog.run(ctx, s.link) }},
		app.Component{Name: "shelf", Run: s.prepare},
		app.Component{Name: "loader", Run: s.load},
		app.Component{Name: "candidates", Run: s.audition},
		app.Component{Name: "promotions", Run: s.follow},
		app.Component{Name: "http", Run: s.server.Run},
		app.Component{Name: "nats endpoint", Run: s.serveNATS},
		app.Component{Name: "readiness", Run: s.ready},
	)
}

// ready says, as the first of all that stops, that nothing new should come.
func (s *Service) ready(ctx context.Context) error {
	<-ctx.Done()
	s.cfg.Health.Set("running", false, "the instance is stopping")
	return nil
}

func (s *Service) load(ctx context.Context) error {
	_, store, err := s.link.wait(ctx)
	if err != nil {
		return nil
	}
	return s.loader.run(ctx, store)
}

// audition loads the candidates of rollouts.
func (s *Service) audition(ctx context.Context) error {
	_, store, err := s.link.wait(ctx)
	if err != nil {
		return nil
	}
	return s.loader.candidates(ctx, store)
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
