package shadow

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

const (
	// DefaultRows is how many predictions are counted between two checkpoints.
	DefaultRows = 1000
	// DefaultEvery is how long counts wait for a checkpoint.
	DefaultEvery = 5 * time.Second
	// DefaultMaxBundle is the largest bundle that is read, in bytes.
	DefaultMaxBundle = 256 << 20
	// DefaultRetry is the longest pause between two tries to fetch a bundle from a store that is away.
	DefaultRetry = 30 * time.Second
)

// Config configures a worker. Bus, Store, Log and Metrics are required; DefaultConfig gives the rest.
type Config struct {
	// Model is the one model to work for; empty means all.
	Model string
	Bus   *bus.Bus
	Store artifact.Store
	// Rows and Every say when a checkpoint is due: whichever comes first.
	Rows      uint64
	Every     time.Duration
	MaxBundle int64
	Retry     time.Duration
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

// DefaultConfig returns a configuration that lacks what is required.
func DefaultConfig() Config {
	return Config{Rows: DefaultRows, Every: DefaultEvery, MaxBundle: DefaultMaxBundle, Retry: DefaultRetry}
}

// Validate reports the first thing that is wrong.
func (c *Config) Validate() error {
	switch {
	case c.Bus == nil || c.Store == nil || c.Log == nil || c.Metrics == nil:
		return errors.New("shadow: bus, store, log and metrics are required")
	case c.Rows == 0:
		return errors.New("shadow: rows must be over 0")
	case c.Every <= 0:
		return fmt.Errorf("shadow: every must be over 0, is %s", c.Every)
	case c.MaxBundle <= 0:
		return fmt.Errorf("shadow: max bundle must be over 0, is %d", c.MaxBundle)
	case c.Retry <= 0:
		return fmt.Errorf("shadow: retry must be over 0, is %s", c.Retry)
	}
	if c.Model != "" {
		if _, err := events.Token(c.Model); err != nil {
			return fmt.Errorf("shadow: %w", err)
		}
	}
	return nil
}

// filter returns the subjects of a type that the worker reads.
func (c *Config) filter(t events.Type) (string, error) {
	if c.Model == "" {
		return events.WildcardOf(t), nil
	}
	return events.SubjectOf(t, c.Model)
}
