package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"telco-churn-mlops/drift"
	"telco-churn-mlops/inference"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/connect"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/console"
	"telco-churn-mlops/registry/mlflow"
	"telco-churn-mlops/trainer"
)

// stopTimeout bounds how long a process takes to stop all its services.
const stopTimeout = 30 * time.Second

// remote are the flags of a command that joins an external server.
type remote struct {
	NATS string `name:"nats" env:"CHURN_NATS" default:"nats://127.0.0.1:4222" help:"NATS server or cluster, comma-separated." placeholder:"URL"`
	connect.Login
}

func (f remote) settings(r *run, name string) (connect.Settings, error) {
	log, err := r.logger()
	return connect.Settings{Login: f.Login, URL: f.NATS, Name: name, Log: log}, err
}

// specFlag chooses the model.
type specFlag struct {
	Spec string `name:"spec" env:"CHURN_SPEC" help:"Spec of the model, YAML; the Telco one is built in." placeholder:"FILE"`
}

// specFlags choose the model and its data.
type specFlags struct {
	specFlag
	Data string `name:"data" env:"CHURN_DATA" help:"Dataset that replaces the spec's." placeholder:"FILE"`
}

// load returns the spec and the path of its dataset, which is empty if it has none. A relative path is taken from the current folder or, if
// nothing is there, from the spec's.
func (f specFlags) load() (*spec.Spec, string, error) {
	if f.Spec == "" {
		return spec.Telco(), f.Data, nil
	}
	raw, err := os.ReadFile(f.Spec)
	if err != nil {
		return nil, "", fmt.Errorf("read spec: %w", err)
	}
	s, err := spec.Parse(raw)
	if err != nil {
		return nil, "", fmt.Errorf("spec %s:\n%w", f.Spec, err)
	}
	path := s.Dataset.Path
	switch {
	case f.Data != "":
		path = f.Data
	case path != "" && !filepath.IsAbs(path):
		beside := filepath.Join(filepath.Dir(f.Spec), path)
		if _, err := os.Stat(path); err == nil {
			break
		}
		if _, err := os.Stat(beside); err == nil {
			path = beside
		}
	}
	return s, path, nil
}

// service is what all four have in common.
type service interface {
	Run(ctx context.Context) error
	Addr() string
}

// process builds services that share one connection setting, each with its own connection, metrics and health.
type process struct {
	settings connect.Settings
	log      *slog.Logger
	instance string
}

func newProcess(settings connect.Settings, instance string) *process {
	if instance == "" {
		instance, _ = os.Hostname()
	}
	settings.Instance = instance
	return &process{settings: settings, log: settings.Log, instance: instance}
}

// join opens a connection and the store for one service. close is called once the service has stopped.
func (p *process) join(ctx context.Context, name string, reg *prometheus.Registry) (*bus.Bus, artifact.Store, error) {
	s := p.settings
	s.Name, s.Metrics, s.Log = name, reg, p.log.With("component", name)
	b, err := s.Bus(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: connect to NATS: %w", name, err)
	}
	store, err := s.Store(ctx, b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, closing(b, err))
	}
	return b, store, nil
}

func closing(b *bus.Bus, err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if cerr := b.Close(ctx); cerr != nil {
		cerr = fmt.Errorf("close the connection: %w", cerr)
		return errors.Join(err, cerr)
	}
	return err
}

func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// component runs a service on its own connection, and closes that afterwards.
func (p *process) component(name string, b *bus.Bus, s service) app.Component {
	return app.Component{Name: name, Run: func(ctx context.Context) error {
		return closing(b, s.Run(ctx))
	}}
}

func (p *process) trainer(ctx context.Context, sp *spec.Spec, data, addr string) (app.Component, *trainer.Service, error) {
	reg := newRegistry()
	b, store, err := p.join(ctx, "trainer", reg)
	if err != nil {
		return app.Component{}, nil, err
	}
	c := trainer.DefaultConfig()
	c.Spec, c.Dataset, c.Addr, c.Instance = sp, data, addr, p.instance+"-trainer-"+fmt.Sprint(os.Getpid())
	c.Bus, c.Store, c.Log, c.Metrics, c.Health = b, store, p.log, reg, app.NewHealth()
	s, err := trainer.New(c)
	if err != nil {
		return app.Component{}, nil, closing(b, err)
	}
	return p.component("trainer", b, s), s, nil
}

func (p *process) registry(ctx context.Context, sp *spec.Spec, addr string, g guard) (app.Component, *registry.Service, error) {
	policy, err := g.policy(addr)
	if err != nil {
		return app.Component{}, nil, err
	}
	reg := newRegistry()
	b, store, err := p.join(ctx, "registry", reg)
	if err != nil {
		return app.Component{}, nil, err
	}
	c := registry.DefaultConfig()
	c.Spec, c.Addr, c.Instance, c.Access, c.TLS = sp, addr, p.instance, policy, g.tls()
	c.Mounts = []registry.Mount{mlflow.Mount, console.Mount}
	c.Bus, c.Store, c.Log, c.Metrics, c.Health = b, store, p.log, reg, app.NewHealth()
	s, err := registry.New(c)
	if err != nil {
		return app.Component{}, nil, closing(b, err)
	}
	log := p.log.With("component", "registry")
	g.say(log, policy, s.Addr())
	return p.component("registry", b, guarded{service: s, policy: policy, log: log}), s, nil
}

func (p *process) drift(ctx context.Context, addr string) (app.Component, *drift.Service, error) {
	reg := newRegistry()
	b, store, err := p.join(ctx, "drift", reg)
	if err != nil {
		return app.Component{}, nil, err
	}
	c := drift.DefaultConfig()
	c.Addr, c.Instance = addr, p.instance
	c.Bus, c.Store, c.Log, c.Metrics, c.Health = b, store, p.log, reg, app.NewHealth()
	s, err := drift.New(c)
	if err != nil {
		return app.Component{}, nil, closing(b, err)
	}
	return p.component("drift", b, s), s, nil
}

// inference makes an instance with the service's own bounds where none are given. It connects by itself, in the background: it answers from its local bundle while NATS is away.
func (p *process) inference(model, addr, cache string, bounds serving) (app.Component, *inference.Service, error) {
	reg := newRegistry()
	c := inference.DefaultConfig()
	c.Model, c.Addr, c.AddrFlag, c.CacheDir, c.Instance = model, addr, "--inference-addr", cache, p.instance
	if bounds != (serving{}) {
		c.InFlight, c.MaxRecords = bounds.InFlight, bounds.MaxRecords
		c.PredictionLog, c.HTTP.DrainDelay = bounds.PredictionLog == "on", bounds.DrainDelay
	}
	c.Log, c.Metrics, c.Health = p.log, reg, app.NewHealth()
	var joined *bus.Bus // set by the service's own goroutine, read after it has ended
	c.Dial = func(ctx context.Context) (b *bus.Bus, store artifact.Store, err error) {
		b, store, err = p.join(ctx, "inference", reg)
		joined = b
		return b, store, err
	}
	s, err := inference.New(c)
	if err != nil {
		return app.Component{}, nil, err
	}
	return app.Component{Name: "inference", Run: func(ctx context.Context) error {
		err := s.Run(ctx)
		if joined != nil {
			err = closing(joined, err)
		}
		return err
	}}, s, nil
}
