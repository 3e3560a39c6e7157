package trainer

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/spec"
)

// Defaults of [Config].
const (
	DefaultAddr      = "127.0.0.1:8081"
	DefaultAddrFlag  = "--trainer-addr"
	DefaultRecheck   = 30 * time.Second
	DefaultLeaseTTL  = 10 * time.Second
	DefaultTickGrace = time.Minute
)

// Config is what a trainer needs. Spec, Bus, Store, Log, Metrics, Health and Instance are required.
type Config struct {
	// Spec describes the one model that this trainer trains.
	Spec *spec.Spec
	// Dataset is the path of the spec's dataset. Empty means that there is none: training waits for labelled predictions and requests.
	Dataset string
	// Addr is where /health, /metrics and /status are served; AddrFlag is named in the error of a busy port.
	Addr, AddrFlag string
	// Recheck is how often a waiting trainer looks whether the dataset has changed.
	Recheck time.Duration
	// LeaseTTL is how long a dead trainer's run rests before another one takes it over.
	LeaseTTL time.Duration
	// TickGrace is how late a schedule's tick may be before the trainer asks for the run itself.
	TickGrace time.Duration
	// Threads bounds the goroutines of training; 0 means all processors. The result does not depend on it.
	Threads int

	Bus     *bus.Bus
	Store   artifact.Store
	Log     *slog.Logger
	Metrics *prometheus.Registry
	Health  *app.Health
	// Instance names this process in events and leases.
	Instance string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// DefaultConfig returns a Config with every default set and every required field empty.
func DefaultConfig() Config {
	return Config{Addr: DefaultAddr, AddrFlag: DefaultAddrFlag, Recheck: DefaultRecheck, LeaseTTL: DefaultLeaseTTL, TickGrace: DefaultTickGrace, Now: time.Now}
}

// Validate returns all that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	for name, missing := range map[string]bool{
		"Spec": c.Spec == nil, "Bus": c.Bus == nil, "Store": c.Store == nil, "Log": c.Log == nil,
		"Metrics": c.Metrics == nil, "Health": c.Health == nil, "Instance": c.Instance == "", "Now": c.Now == nil,
	} {
		if missing {
			errs = append(errs, fmt.Errorf("trainer: %s is required", name))
		}
	}
	if c.Recheck <= 0 || c.LeaseTTL <= 0 || c.TickGrace <= 0 {
		errs = append(errs, errors.New("trainer: Recheck, LeaseTTL and TickGrace must be positive"))
	}
	return errors.Join(errs...)
}
