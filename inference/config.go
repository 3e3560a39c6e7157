package inference

import (
	"context"
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

// mostInFlight bounds the in-flight bound: a queue of so many places is made at the start.
const mostInFlight = 1 << 20

// Defaults of Config.
const (
	DefaultModel       = "telco-churn"
	DefaultAddr        = "127.0.0.1:8080"
	DefaultInFlight    = 256
	DefaultLogQueue    = 65536
	DefaultLogBytes    = 64 << 20
	DefaultMaxBody     = 1 << 20
	DefaultMaxRecords  = 1000
	DefaultMaxBundle   = 256 << 20
	DefaultAliveEvery  = 15 * time.Second
	DefaultReloadEvery = 30 * time.Second
	DefaultStopTimeout = 15 * time.Second
)

// GarbageRoom is for [app.RoomForGarbage] in a process that only serves, in bytes: what a second or so of full load leaves behind, and as much for the
// prediction log when the stream is slow for a moment.
const GarbageRoom = 96 << 20

// Config says what one instance serves and how. Dial, or Bus with Store, is required, and so are Log, Metrics, Health and Instance; the
// rest has its default in DefaultConfig.
type Config struct {
	// Model is the real name of the model served.
	Model string
	// Addr is where HTTP is served; AddrFlag is the flag that sets it, for the error of a busy port.
	Addr     string
	AddrFlag string
	// CacheDir keeps the last verified bundles. Empty keeps none: after a restart the instance then needs NATS and the store to answer.
	CacheDir string
	// Instance names this process, stable over restarts and unique among the instances of the model.
	Instance string
	// InFlight bounds the requests that are in work or wait for a worker, HTTP and NATS together; one more is answered 429. A request whose
	// body is still on its way is not in flight; but the bodies of all HTTP requests hold at most InFlight times MaxBody bytes together.
	InFlight int
	// PredictionLog has every answer published as prediction.made. Without it nothing that reads the predictions (drift, shadows, labels) has any.
	PredictionLog bool
	// LogQueue and LogBytes bound the answers that wait to be published: their number, and the bytes of their events.
	LogQueue int
	LogBytes int64
	// MaxBody is the largest request in bytes, MaxRecords the most records in a list.
	MaxBody    int64
	MaxRecords int
	// MaxBundle is the largest bundle that is fetched, in bytes.
	MaxBundle int64
	// AliveEvery is the pause between signs of life. ReloadEvery is the longest pause between two attempts at a failed load.
	AliveEvery  time.Duration
	ReloadEvery time.Duration
	// StopTimeout bounds the whole stop: draining requests, then flushing the prediction log. HTTP.DrainDelay is not within it.
	StopTimeout time.Duration
	// HTTP are the limits of the port; its Body is set from MaxBody.
	HTTP app.FastLimits

	// Bus and Store are used where Dial is nil. Both stay the caller's, who closes them after Run has returned.
	Bus   *bus.Bus
	Store artifact.Store
	// Dial connects in the background while HTTP answers from disk already. It is called again, with growing pauses, until it succeeds. What
	// it returns is not closed by the service: who dialled closes it, after Run has returned.
	Dial func(ctx context.Context) (*bus.Bus, artifact.Store, error)

	Log *slog.Logger
	// Metrics takes the service's metrics. /metrics shows Gatherer, or Metrics itself where that is nil.
	Metrics  prometheus.Registerer
	Gatherer prometheus.Gatherer
	Health   *app.Health
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// DefaultConfig returns a Config with every default set and nothing that is required.
func DefaultConfig() Config {
	return Config{
		Model:         DefaultModel,
		Addr:          DefaultAddr,
		AddrFlag:      "--inference-addr",
		InFlight:      DefaultInFlight,
		PredictionLog: true,
		LogQueue:      DefaultLogQueue,
		LogBytes:      DefaultLogBytes,
		MaxBody:       DefaultMaxBody,
		MaxRecords:    DefaultMaxRecords,
		MaxBundle:     DefaultMaxBundle,
		AliveEvery:    DefaultAliveEvery,
		ReloadEvery:   DefaultReloadEvery,
		StopTimeout:   DefaultStopTimeout,
		HTTP:          app.DefaultFastLimits(),
	}
}

// Validate returns every broken rule of the Config at once.
func (c Config) Validate() error {
	var errs []error
	rule := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	if _, err := events.Token(c.Model); err != nil {
		errs = append(errs, err)
	}
	rule(c.Instance != "", "instance is required")
	rule(c.Addr != "", "address is required")
	rule(c.InFlight > 0 && c.InFlight <= mostInFlight, "in-flight bound must be 1 to %d, is %d", mostInFlight, c.InFlight)
	rule(c.LogQueue > 0, "log queue must be positive, is %d", c.LogQueue)
	rule(c.LogBytes > 0, "log bytes must be positive, is %d", c.LogBytes)
	rule(c.MaxBody > 0, "largest body must be positive, is %d", c.MaxBody)
	rule(c.MaxRecords > 0, "most records must be positive, is %d", c.MaxRecords)
	rule(c.MaxBundle > 0, "largest bundle must be positive, is %d", c.MaxBundle)
	rule(c.AliveEvery > 0, "alive interval must be positive, is %s", c.AliveEvery)
	rule(c.ReloadEvery > 0, "reload interval must be positive, is %s", c.ReloadEvery)
	rule(c.StopTimeout > 0, "stop timeout must be positive, is %s", c.StopTimeout)
	if err := c.HTTP.Validate(); err != nil {
		errs = append(errs, err)
	}
	rule(c.Dial != nil || c.Bus != nil && c.Store != nil, "a bus with a store, or a way to dial them, is required")
	rule(c.Log != nil, "a logger is required")
	rule(c.Metrics != nil, "a metrics registerer is required")
	rule(c.Health != nil, "a health is required")
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("inference config: %w", err)
	}
	return nil
}

// source is the CloudEvents source of the instance.
func (c Config) source() string { return "inference/" + c.Instance }
