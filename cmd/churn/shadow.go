package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/inference/scorer"
	"telco-churn-mlops/inference/shadow"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

// shadows makes the worker that counts what candidates in the shadow would have answered, of all models.
func (p *process) shadows(b *bus.Bus, store artifact.Store, reg *prometheus.Registry) (*shadow.Worker, error) {
	c := shadow.DefaultConfig()
	c.Bus, c.Store, c.Log, c.Metrics = b, store, p.log, reg
	return shadow.New(c)
}

// scoringAndShadows are one service: they share a connection and an address for health and metrics.
type scoringAndShadows struct {
	*scorer.Service
	shadows *shadow.Worker
}

// Run runs both until ctx ends or one of them fails.
func (s *scoringAndShadows) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Service.Run(ctx) })
	g.Go(func() error { return s.shadows.Run(ctx) })
	return g.Wait()
}
