package scorer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model"
)

// Durable is the consumer that all scorers share.
const Durable = "scorer"

// jobsInHand bounds the jobs that all scorers together work on.
const jobsInHand = 1000

// Service is one scorer. Make one with New and call Run once.
type Service struct {
	cfg     Config
	log     *slog.Logger
	admin   *app.Admin
	metrics *metrics
	shelf   *shelf
	ledger  *ledger
	// step, if set by a test, is called with what has just been done to a job.
	step func(what string)
	// checkpoint is the least time between two checkpoints; 0 is the default of package batch.
	checkpoint time.Duration
}

// New checks the configuration and binds the admin port.
func New(c Config) (*Service, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, err
	}
	admin, err := app.NewAdmin(app.AdminConfig{Addr: c.Addr, Flag: c.AddrFlag}, c.Metrics, c.Health, c.Log)
	if err != nil {
		return nil, err
	}
	c.Health.Set("queue", false, "streams are not provisioned yet")
	c.Health.Ask("nats", func() app.Check {
		if !c.Bus.Connected() {
			return app.Check{Detail: "not connected: there is no queue to take work from"}
		}
		return app.Check{OK: true}
	})
	return &Service{cfg: c, log: c.Log.With("component", "scorer"), admin: admin, metrics: m,
		shelf: &shelf{store: c.Store, limit: c.MaxBundle, bundles: map[artifact.Digest]*model.Bundle{}}, ledger: newLedger(c.Bus), step: func(string) {}}, nil
}

// Addr returns the bound admin address.
func (s *Service) Addr() string { return s.admin.Addr() }

// Run works off the queue until ctx ends and returns nil then. A job in hand is left at a checkpoint.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.admin.Run(ctx) })
	g.Go(func() error {
		if err := s.cfg.Bus.Provision(ctx); err != nil {
			return fmt.Errorf("scorer: provision streams: %w", err)
		}
		s.cfg.Health.Set("queue", true, "")
		// The ends of jobs pass by as well: no one else would see junk among them.
		err := s.cfg.Bus.Consume(ctx, bus.ConsumerConfig{Durable: Durable, Stream: events.Scoring, Filters: []string{
			events.WildcardOf(events.TypeScoreRequested), events.WildcardOf(events.TypeScoreCompleted), events.WildcardOf(events.TypeScoreFailed)},
			MaxAckPending: jobsInHand, One: true, AckWait: s.cfg.AckWait}, func(own context.Context, m bus.Message) error {
			// A stop leaves the job at a checkpoint at once: its context would give it some seconds first.
			job, cancel := context.WithCancelCause(own)
			defer cancel(nil)
			defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
			return s.handle(job, m)
		})
		if err != nil {
			return fmt.Errorf("scorer: %w", err)
		}
		return nil
	})
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
