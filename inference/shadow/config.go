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
	// DefaultEvery is the shortest time between two checkpoints, that of a young shadow.
	DefaultEvery = 5 * time.Second
	// DefaultLongest is the longest time between two checkpoints, that of one that is hours old: the stream keeps them for 90 days beside those of drift.
	DefaultLongest = 5 * time.Minute
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
	// Every and Longest bound the time between two checkpoints, which is a fiftieth of the shadow's age.
	Every, Longest time.Duration
	MaxBundle      int64
	Retry          time.Duration
	Log            *slog.Logger
	Metrics        prometheus.Registerer
}

// DefaultConfig returns a configuration that lacks what is required.
func DefaultConfig() Config {
	return Config{Every: DefaultEvery, Longest: DefaultLongest, MaxBundle: DefaultMaxBundle, Retry: DefaultRetry}
}

// Validate reports the first thing that is wrong.
func (c *Config) Validate() error {
	switch {
	case c.Bus == nil || c.Store == nil || c.Log == nil || c.Metrics == nil:
		return errors.New("shadow: bus, store, log and metrics are required")
	case c.Every <= 0 || c.Longest < c.Every:
		return fmt.Errorf("shadow: every must be over 0 and longest not shorter, they are %s and %s", c.Every, c.Longest)
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

// interval returns the time until the next checkpoint of a shadow that is so old.
func (c *Config) interval(age time.Duration) time.Duration {
	return min(max(age/50, c.Every), c.Longest)
}

// filter returns the subjects of a type that the worker reads.
func (c *Config) filter(t events.Type) (string, error) {
	if c.Model == "" {
		return events.WildcardOf(t), nil
	}
	return events.SubjectOf(t, c.Model)
}
