package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/tracking"
)

// Back-off of the supervisor, and the tries after which it raises an alarm.
const (
	retryFirst  = 100 * time.Millisecond
	retryLimit  = 30 * time.Second
	alarmAfter  = 5
	healthCheck = "registry"
)

// Service is one registry. Make it by New.
type Service struct {
	cfg        Config
	log        *slog.Logger
	metrics    *metrics
	ledger     *ledger
	server     *app.Server
	desk       *desk
	book       *tracking.Book
	held       holds
	outcomes   *outcomes
	read       caughtUp
	references *references
	rolls      rolls
	model      string
	source     string
	specDigest string
	wake       chan struct{}
	caughtUp   chan struct{} // closed once LIFECYCLE was folded for the first time

	// work is held while something is decided and written, so that the consumer and the supervisor do not do the same work twice. Other
	// processes may; the compare-and-set decides then. It guards what follows.
	work       turn
	bundles    []verified
	missed     map[string]int
	considered map[string]string // by model: the state that the last decision about a rollback was made on
}

// New checks the configuration and binds the address. Run or Close frees it.
func New(c Config) (*Service, error) {
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	ln, err := app.Listen(c.Addr, c.Flag)
	if err != nil {
		return nil, err
	}
	s, err := wire(c)
	if err != nil {
		_ = ln.Close() // the error that matters is the other one
		return nil, err
	}
	handler, err := s.handler()
	if err != nil {
		_ = ln.Close() // as above
		return nil, err
	}
	served, err := c.TLS.Listen(ln, s.log)
	if err != nil {
		_ = ln.Close() // as above
		return nil, err
	}
	s.server = app.NewServer(served, handler, s.log)
	c.Health.Set(healthCheck, false, "folding the streams")
	return s, nil
}

func wire(c Config) (*Service, error) {
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, fmt.Errorf("registry metrics: %w", err)
	}
	s := &Service{
		cfg: c, log: c.Log.With("component", "registry"), metrics: m, ledger: newLedger(c.Bus), model: c.Spec.Name,
		source: "registry/" + c.Instance, specDigest: c.Spec.Digest(), wake: make(chan struct{}, 1), caughtUp: make(chan struct{}),
		work:   newTurn(),
		missed: map[string]int{}, considered: map[string]string{},
		outcomes: newOutcomes(), references: newReferences(), rolls: rolls{checks: map[uint64]OwnCheck{}, held: map[string]string{}},
	}
	s.ledger.champion, s.ledger.spec = c.Champion, s.model
	s.ledger.reset(events.Lifecycle)
	s.desk = &desk{bus: c.Bus, ledger: s.ledger, source: s.source, actor: c.Actor, now: c.Now, promoted: s.promotedByHand, amended: s.promotionAnswered}
	s.book, err = tracking.New(tracking.Config{Bus: c.Bus, Log: s.log, Source: s.source, Now: c.Now, Metrics: c.Metrics})
	if err != nil {
		return nil, err
	}
	s.book.SetFrozen(s.ledger.refresh, s.frozen)
	return s, nil
}

// promotedByHand counts and logs what a person or program asked for.
func (s *Service) promotedByHand(key string, p *events.ModelPromoted) {
	s.metrics.promotions.WithLabelValues(key, string(p.Cause)).Inc()
	s.log.Info("production changed on request", "model", key, "version", p.Version, "previous", p.PreviousVersion, "cause", p.Cause,
		"override", p.Override, "actor", p.Actor, "reason", p.Reason)
}

// promotionAnswered counts and logs the answer to a promotion that went astray.
func (s *Service) promotionAnswered(key string, p *events.ModelPromoted) {
	s.metrics.alarms.WithLabelValues(alarmAstray).Inc()
	s.metrics.promotions.WithLabelValues(key, string(p.Cause)).Inc()
	s.log.Error("contradictory promotion answered", "model", key, "astray", p.PreviousVersion, "version", p.Version, "reason", p.Reason)
}

// Addr is the bound address of the pages.
func (s *Service) Addr() string { return s.server.Addr() }

// Close frees the address of a registry that will not be run. After Run it does nothing.
func (s *Service) Close() { s.server.Close() }

// Run provisions the streams and works until ctx ends. The pages answer from the start. When ctx ends the consumers stop first, then the
// supervisor, the followers and the pages. It returns nil after such a stop, and an error if it can't go on, for instance because
// LIFECYCLE lacks a protection.
func (s *Service) Run(ctx context.Context) error {
	defer s.server.Close()
	token, err := events.Token(s.model)
	if err != nil {
		return err
	}
	runs, err := events.SubjectOf(events.TypeRunCompleted, s.model)
	if err != nil {
		return err
	}
	p := provision{ready: make(chan struct{})}
	parts := []app.Component{
		{Name: "registry pages", Run: s.server.Run},
		{Name: "registry provisioning", Run: func(ctx context.Context) error { return p.run(ctx, s) }},
		p.then("lifecycle fold", s.followLifecycle),
		p.then("tracking fold", s.book.Run),
		p.then("fleet fold", func(ctx context.Context) error { return s.followFleet(ctx, p.loads+1) }),
		p.then("refusals fold", s.followRefusals),
		p.then("outcomes fold", s.followOutcomes),
		p.then("supervisor", s.supervise),
		p.then("rollouts", s.conduct),
		p.then("sweeper", s.sweep),
		p.then("fact check", s.consume("registry", events.Lifecycle, factsPending, wildcards(events.Lifecycle), s.checkFact)),
		p.then("fleet check", s.consume("registry-fleet", events.Fleet, factsPending, wildcards(events.Fleet), ignore)),
		p.then("runs", s.consume(refusedBy+token, events.Lifecycle, 1, []string{runs}, s.handleRun)),
	}
	if err := app.Run(ctx, s.log, app.DefaultStopTimeout, parts...); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}

// provision holds the other parts back until the streams are there.
type provision struct {
	ready chan struct{}
	loads uint64 // FLEET is folded through here
}

func (p *provision) run(ctx context.Context, s *Service) error {
	err := s.cfg.Bus.Provision(ctx)
	if err == nil {
		p.loads, err = s.ledger.loads(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return nil // stopped while the store was away
	case err != nil:
		return err
	}
	close(p.ready)
	return nil
}

func (p *provision) then(name string, run func(context.Context) error) app.Component {
	return app.Component{Name: "registry " + name, Run: func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-p.ready:
			return run(ctx)
		}
	}}
}

func (s *Service) followLifecycle(ctx context.Context) error {
	defer s.ledger.follow(false)
	var once sync.Once
	return s.cfg.Bus.Follow(ctx, bus.FollowConfig{
		Name: "registry", Stream: events.Lifecycle, OnReset: func() { s.ledger.reset(events.Lifecycle) },
		OnCaughtUp: func() {
			s.ledger.follow(true)
			s.cfg.Health.Set(healthCheck, true, "catalog is up to date")
			once.Do(func() { close(s.caughtUp) })
			s.nudge()
		},
	}, s.onLifecycle)
}

func (s *Service) followFleet(ctx context.Context, from uint64) error {
	return s.cfg.Bus.Follow(ctx, bus.FollowConfig{
		Name: "registry", Stream: events.Fleet, From: from, OnReset: func() {
			s.read.fleet.Store(false)
			s.ledger.reset(events.Fleet)
		},
		OnCaughtUp: func() {
			s.read.fleet.Store(true)
			s.nudge()
		},
	}, s.onFleet)
}

func (s *Service) followRefusals(ctx context.Context) error {
	return s.cfg.Bus.Follow(ctx, bus.FollowConfig{Name: "registry", Stream: events.Dead, Filters: []string{deadFilter}},
		func(_ context.Context, m bus.Message) error { return s.ledger.apply(m) })
}

func (s *Service) consume(
	durable string, stream events.Stream, pending int, filters []string, handle func(context.Context, bus.Message) error,
) func(context.Context) error {
	return func(ctx context.Context) error {
		return s.cfg.Bus.Consume(ctx, bus.ConsumerConfig{
			Durable: durable, Stream: stream, Filters: filters, MaxAckPending: pending, AckWait: s.cfg.AckWait,
		}, handle)
	}
}

// ignore is for consumers that are there for the junk.
func ignore(context.Context, bus.Message) error { return nil }

// factsPending bounds what the consumers that only look for junk hold at once.
const factsPending = 256

func wildcards(s events.Stream) []string {
	var out []string
	for _, k := range events.KindsOn(s) {
		out = append(out, k.Wildcard())
	}
	return out
}

// checkFact sends facts that contradict an earlier one to the dead letters; junk goes there before it comes here.
func (s *Service) checkFact(ctx context.Context, m bus.Message) error {
	if err := s.ledger.refresh(ctx); err != nil {
		return err
	}
	var fault error
	s.ledger.view(func(c *Catalog, _ *Fleet) { fault = c.Fault(m.Sequence) })
	return bus.Permanent(fault)
}

// onLifecycle keeps the fold up to date and wakes the supervisor for what it may have to do.
func (s *Service) onLifecycle(ctx context.Context, m bus.Message) error {
	switch err := s.ledger.apply(m); {
	case errors.Is(err, errGap):
		if err := s.ledger.read(ctx, m.Sequence); err != nil {
			return err
		}
	case err != nil:
		s.log.Error("event contradicts an earlier one", "subject", m.Subject, "sequence", m.Sequence, "err", err)
	}
	if m.Err != nil {
		s.log.Warn("junk", "subject", m.Subject, "sequence", m.Sequence, "err", m.Err)
		s.nudge()
		return nil
	}
	switch p := m.Event.Payload.(type) {
	case *events.ModelPromoted:
		s.metrics.production.WithLabelValues(m.Event.Model).Set(float64(p.Version))
		s.nudge()
	case *events.ModelRegistered, *events.ModelGated, *events.RolloutChanged:
		s.nudge()
	case *events.ModelChanged:
		if p.Change == events.ChangeGates {
			s.nudge()
		}
	}
	return nil
}

func (s *Service) onFleet(_ context.Context, m bus.Message) error {
	if err := s.ledger.apply(m); err != nil {
		return bus.Permanent(err)
	}
	if m.Err != nil {
		return nil
	}
	switch p := m.Event.Payload.(type) {
	case *events.ModelLoadFailed:
		s.log.Warn("load failed", "model", m.Event.Model, "version", p.Version, "instance", p.Instance, "class", p.Class, "reason", p.Reason)
		s.nudge()
	case *events.InstanceAlive:
		// Nothing tells of a death. As long as an instance that can't load Production lives, its signs of life are when the others are
		// counted again.
		if s.failing(m.Event.Model, p.Instance) {
			s.nudge()
		}
	}
	return nil
}

// failing reports whether an instance can't load what is Production.
func (s *Service) failing(name, instance string) (yes bool) {
	s.ledger.view(func(c *Catalog, f *Fleet) {
		if p, ok := c.Settled(name); ok {
			yes = slices.ContainsFunc(f.Failures(name, p.Version, p.Bundle.Digest), func(i Instance) bool { return i.Serving.Instance == instance })
		}
	})
	return yes
}

// nudge wakes the supervisor; one wake-up stands for all that came before it.
func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// supervise brings the streams to the state they should be in: at the start, and each time something happened that could need it.
func (s *Service) supervise(ctx context.Context) error {
	timer := time.NewTimer(0) // the first round needs no reason
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case <-timer.C:
		}
		err := s.reconcile(ctx)
		switch {
		case err == nil:
			failures = 0
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		}
		failures++
		if failures >= alarmAfter {
			s.metrics.alarms.WithLabelValues(alarmRetrying).Inc()
			s.log.Error("unfinished work is retried", "failures", failures, "err", err)
		}
		timer.Reset(min(retryFirst<<min(failures, 10), retryLimit))
	}
}

// reconcile repairs, finishes, rolls out and rolls back, whatever is due. One that fails does not keep the others from being tried.
func (s *Service) reconcile(ctx context.Context) error {
	if err := s.work.lock(ctx); err != nil {
		return err
	}
	defer s.work.unlock()
	if err := s.ledger.refresh(ctx); err != nil {
		return err
	}
	var models []string
	s.ledger.view(func(c *Catalog, _ *Fleet) { models = c.Models() })
	var errs []error
	for _, name := range models {
		errs = append(errs, s.repair(ctx, name), s.considerRollback(ctx, name), s.considerRollout(ctx, name), s.finish(ctx, name))
	}
	return errors.Join(errs...)
}
