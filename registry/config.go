package registry

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/spec"
)

// Defaults of Config.
const (
	DefaultAddr        = "127.0.0.1:5000"
	DefaultFlag        = "--registry-addr"
	DefaultActor       = "registry"
	DefaultInstance    = "registry"
	DefaultGrace       = 30 * time.Second
	DefaultMaxBundle   = model.MaxSize
	DefaultMaxArtifact = 4 << 30
	DefaultSweepEvery  = 24 * time.Hour
	DefaultRollout     = time.Second
)

// Config says what a registry judges by and what it stands on. Spec, Bus, Store and Log are required; everything else has a default.
type Config struct {
	// Spec holds the gates and names the model. Runs of other models are shown, not judged.
	Spec *spec.Spec
	// Champion is the alias that stands for Production in models with gates.
	Champion string
	// Access says who may do what; nil lets everybody in who reaches the address as localhost or by its number.
	Access *access.Policy
	// Mounts add what is served beside /health, /livez, /readyz and /metrics.
	Mounts []Mount
	// Addr is where the pages, /health and /metrics are served; Flag is the flag that sets it, for the error of a busy port.
	Addr string
	Flag string
	// TLS are the files of the certificate that the address is served with; the zero value means plain HTTP.
	TLS app.TLSFiles
	// Actor stands in the promotions that the registry writes by itself.
	Actor string
	// Instance tells this process from others in ce-source.
	Instance string
	// Grace is how long after its event an object may be missing or damaged in the store before that is believed.
	Grace time.Duration
	// AckWait is how long a run that a registry died over waits for another one.
	AckWait time.Duration
	// MaxBundle bounds the size in bytes of a bundle, MaxArtifact that of a holdout.
	MaxBundle   int64
	MaxArtifact int64
	// RolloutEvery is the time between two looks at what is tried or watched; 1 s by default.
	RolloutEvery time.Duration
	// SweepEvery is the time between two looks for what killed uploads left in the store; the first is at the start.
	SweepEvery time.Duration

	Bus   *bus.Bus
	Store artifact.Store
	Log   *slog.Logger
	// Metrics may be nil. If it is a prometheus.Gatherer as well, as a Registry is, /metrics shows it.
	Metrics prometheus.Registerer
	// Health may be nil.
	Health *app.Health
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// DefaultConfig returns a Config in which the required fields are still missing.
func DefaultConfig() Config {
	return Config{
		Champion: DefaultChampion, Addr: DefaultAddr, Flag: DefaultFlag, Actor: DefaultActor, Instance: DefaultInstance, Grace: DefaultGrace, AckWait: bus.DefaultAckWait,
		MaxBundle: DefaultMaxBundle, MaxArtifact: DefaultMaxArtifact, SweepEvery: DefaultSweepEvery, RolloutEvery: DefaultRollout, Now: time.Now,
	}
}

// withDefaults fills what may be left out.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&c.Champion, d.Champion)
	set(&c.Addr, d.Addr)
	set(&c.Flag, d.Flag)
	set(&c.Actor, d.Actor)
	set(&c.Instance, d.Instance)
	if c.Grace == 0 {
		c.Grace = d.Grace
	}
	if c.AckWait == 0 {
		c.AckWait = d.AckWait
	}
	if c.MaxBundle == 0 {
		c.MaxBundle = d.MaxBundle
	}
	if c.MaxArtifact == 0 {
		c.MaxArtifact = d.MaxArtifact
	}
	if c.RolloutEvery == 0 {
		c.RolloutEvery = d.RolloutEvery
	}
	if c.SweepEvery == 0 {
		c.SweepEvery = d.SweepEvery
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Health == nil {
		c.Health = app.NewHealth()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate returns every fault of the configuration at once, or nil.
func (c Config) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("registry config: "+format, args...))
		}
	}
	need(c.Spec != nil, "spec is required")
	need(c.Bus != nil, "bus is required")
	need(c.Store != nil, "store is required")
	need(c.Log != nil, "log is required")
	if c.Champion != "" {
		if err := checkAlias(c.Champion); err != nil {
			faults = append(faults, fmt.Errorf("registry config: champion: %w", err))
		}
	}
	need(c.Grace >= 0 && c.AckWait >= 0, "grace and ack wait must not be negative, are %s and %s", c.Grace, c.AckWait)
	need(c.SweepEvery >= 0, "sweep interval must not be negative, is %s", c.SweepEvery)
	need(c.RolloutEvery >= 0, "rollout interval must not be negative, is %s", c.RolloutEvery)
	need(c.MaxBundle >= 0 && c.MaxArtifact >= 0, "size limits must not be negative")
	if c.Spec != nil {
		if err := c.Spec.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("registry config: spec: %w", err))
		}
	}
	return errors.Join(faults...)
}
