package registry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/tracking"
)

// Mount adds a part of what a registry serves to its mux. It is called once, by [New], before anything runs; a request may come before the folds
// are up to date. Handlers ask [access] who may do what; the policy is wrapped around all of them.
type Mount func(s *Service, mux *http.ServeMux) error

// handler is what the registry serves: its own health and metrics, and what is mounted.
func (s *Service) handler() (http.Handler, error) {
	mux := http.NewServeMux()
	s.cfg.Health.Mount(mux)
	if g, ok := s.cfg.Metrics.(prometheus.Gatherer); ok {
		mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	}
	for _, mount := range s.cfg.Mounts {
		if err := mount(s, mux); err != nil {
			return nil, fmt.Errorf("registry: mount: %w", err)
		}
	}
	return s.cfg.Access.Wrap(asSent(mux)), nil
}

// View gives fn the folds to read. It must neither keep nor change them, nor block, nor call the service.
func (s *Service) View(fn func(*Catalog, *Fleet)) { s.ledger.view(fn) }

// Fresh returns once everything that LIFECYCLE held before the call is folded: after one question to its leader, where nothing came since. The error is
// a [*fault.Error].
func (s *Service) Fresh(ctx context.Context) error { return faultOf(s.ledger.refresh(ctx)) }

// Ready returns nil once the folds of LIFECYCLE and TRACKING have caught up, or ctx's error.
func (s *Service) Ready(ctx context.Context) error {
	for _, ready := range []<-chan struct{}{s.caughtUp, s.book.Ready()} {
		select {
		case <-ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Tracking returns the book of what MLflow clients log.
func (s *Service) Tracking() *tracking.Book { return s.book }

// Store returns the artifact store.
func (s *Service) Store() artifact.Store { return s.cfg.Store }

// Bus returns the connection.
func (s *Service) Bus() *bus.Bus { return s.cfg.Bus }

// Log returns the registry's logger.
func (s *Service) Log() *slog.Logger { return s.log }

// Now returns the registry's time.
func (s *Service) Now() time.Time { return s.cfg.Now() }

// Access returns who may do what; nil is a policy too, see [access.Policy].
func (s *Service) Access() *access.Policy { return s.cfg.Access }

// Registerer returns where metrics are registered.
func (s *Service) Registerer() prometheus.Registerer { return s.cfg.Metrics }
