package drift

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

// Defaults of [Config].
const (
	DefaultAddr      = "127.0.0.1:8082"
	DefaultAddrFlag  = "--drift-addr"
	DefaultIndexSize = 5_000_000
	DefaultEarly     = 30 * time.Second
	DefaultMaxBundle = 256 << 20
	DefaultRetry     = 30 * time.Second
)

// Config is what drift needs. Bus, Store, Log, Metrics, Health and Instance are required; the rest has its default in DefaultConfig. How
// a model's traffic is judged is not said here: it stands in the spec inside each bundle.
type Config struct {
	// Model is the one model to watch; empty means every model that has predictions.
	Model string
	// Addr is where /health, /metrics and /status are served; AddrFlag is named in the error of a busy port.
	Addr, AddrFlag string
	// IndexSize is how many of a model's newest predictions can be joined with a label; one takes about 100 bytes of memory (BenchmarkIndex).
	IndexSize int
	// Early is how long a label waits for its prediction, which may be stored a little later than the label.
	Early time.Duration
	// MaxBundle is the largest bundle that is fetched, in bytes.
	MaxBundle int64
	// Retry is the pause between two attempts at a bundle that the store does not have.
	Retry time.Duration

	Bus     *bus.Bus
	Store   artifact.Store
	Log     *slog.Logger
	Metrics *prometheus.Registry
	Health  *app.Health
	// Instance names this process.
	Instance string
	// Now is the clock; nil means time.Now. It dates events and bounds waiting; everything that is measured goes by the streams' time.
	Now func() time.Time
}

// DefaultConfig returns a Config with every default set and every required field empty.
func DefaultConfig() Config {
	return Config{
		Addr: DefaultAddr, AddrFlag: DefaultAddrFlag, IndexSize: DefaultIndexSize, Early: DefaultEarly, MaxBundle: DefaultMaxBundle,
		Retry: DefaultRetry, Now: time.Now,
	}
}

// Validate returns all that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	rule := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	if c.Model != "" {
		if _, err := events.Token(c.Model); err != nil {
			errs = append(errs, err)
		}
	}
	rule(c.Addr != "", "address is required")
	rule(c.IndexSize > 0, "index size must be positive, is %d", c.IndexSize)
	rule(c.Early >= 0, "wait of early labels must not be negative, is %s", c.Early)
	rule(c.MaxBundle > 0, "largest bundle must be positive, is %d", c.MaxBundle)
	rule(c.Retry > 0, "retry pause must be positive, is %s", c.Retry)
	rule(c.Bus != nil, "a bus is required")
	rule(c.Store != nil, "a store is required")
	rule(c.Log != nil, "a logger is required")
	rule(c.Metrics != nil, "a metrics registry is required")
	rule(c.Health != nil, "a health is required")
	rule(c.Instance != "", "instance is required")
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("drift config: %w", err)
	}
	return nil
}

// filter returns the subject of a type for what is watched.
func (c Config) filter(t events.Type) string {
	if c.Model == "" {
		return events.WildcardOf(t)
	}
	subject, err := events.SubjectOf(t, c.Model)
	if err != nil {
		panic(fmt.Sprintf("drift: %v", err)) // Validate has encoded the name
	}
	return subject
}

// consumer returns a durable consumer of a type, of the one model that is watched if there is one.
func (c Config) consumer(durable string, s events.Stream, t events.Type) (bus.ConsumerConfig, error) {
	cc := bus.ConsumerConfig{Durable: durable, Stream: s}
	if c.Model == "" {
		return cc, nil
	}
	token, err := events.Token(c.Model)
	if err != nil {
		return cc, fmt.Errorf("name consumer %s: %w", durable, err)
	}
	cc.Durable, cc.Filters = durable+"-"+token, []string{c.filter(t)}
	return cc, nil
}
