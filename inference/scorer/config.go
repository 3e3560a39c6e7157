package scorer

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"telco-churn-mlops/inference/batch/place"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

// Defaults of [Config].
const (
	DefaultAddr      = "127.0.0.1:8083"
	DefaultAddrFlag  = "--scorer-addr"
	DefaultScratch   = ".churn/scorer"
	DefaultMaxBundle = 256 << 20
)

// Config is what a scorer needs. Bus, Store, Log, Metrics, Health, Instance and Places are required; the rest has its default in DefaultConfig.
type Config struct {
	// Addr is where /health and /metrics are served; AddrFlag is named in the error of a busy port.
	Addr, AddrFlag string
	// Places says which inputs and outputs a job may name.
	Places place.Places
	// Threads that decode and score; 0 is all processors.
	Threads int
	// MaxBundle is the largest bundle that is fetched, in bytes.
	MaxBundle int64
	// AckWait is how long the server waits for a sign of life before another scorer gets the job; 0 is the bus's default.
	AckWait time.Duration

	Bus     *bus.Bus
	Store   artifact.Store
	Log     *slog.Logger
	Metrics *prometheus.Registry
	Health  *app.Health
	// Instance names this process in events.
	Instance string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// DefaultConfig returns a Config with every default set and every required field empty.
func DefaultConfig() Config {
	return Config{Addr: DefaultAddr, AddrFlag: DefaultAddrFlag, MaxBundle: DefaultMaxBundle, Now: time.Now}
}

// Validate returns all that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	rule := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	rule(c.Addr != "", "address is required")
	rule(c.Threads >= 0, "threads must not be negative, are %d", c.Threads)
	rule(c.MaxBundle > 0, "largest bundle must be positive, is %d", c.MaxBundle)
	rule(c.Places.Scratch != "", "a scratch folder is required")
	rule(!c.Places.Anywhere, "jobs may not name any file of the machine")
	rule(c.Bus != nil, "a bus is required")
	rule(c.Store != nil, "a store is required")
	rule(c.Log != nil, "a logger is required")
	rule(c.Metrics != nil, "a metrics registry is required")
	rule(c.Health != nil, "a health is required")
	rule(c.Instance != "", "instance is required")
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("scorer config: %w", err)
	}
	return nil
}
