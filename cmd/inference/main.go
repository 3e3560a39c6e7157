// Command inference serves predictions of one model and nothing else: a small program for many copies, which links no training code and
// no server. It is the same service as "churn inference".
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"telco-churn-mlops/inference"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/connect"
)

// settings are the flags and their environment.
type settings struct {
	NATS  string `name:"nats" env:"CHURN_NATS" default:"${nats}" help:"NATS server or cluster: one URL, or several separated by commas."`
	Model string `env:"CHURN_MODEL" default:"${model}" help:"Name of the model to serve."`
	Addr  string `aliases:"inference-addr" env:"CHURN_INFERENCE_ADDR" default:"${addr}" help:"Where HTTP is served."`

	CacheDir      string        `env:"CHURN_CACHE_DIR" default:".churn/cache" help:"Keeps the last verified bundles, so that a restart needs neither NATS nor the store; empty keeps none."`
	Instance      string        `env:"CHURN_INSTANCE" placeholder:"NAME" help:"Name of this instance, stable over restarts; the host's name and the port by default."`
	InFlight      int           `env:"CHURN_IN_FLIGHT" default:"${inflight}" help:"Requests in work at a time; one more is answered 429."`
	MaxRecords    int           `env:"CHURN_MAX_RECORDS" default:"${records}" help:"Most records in one request."`
	PredictionLog string        `env:"CHURN_PREDICTION_LOG" default:"on" enum:"on,off" help:"Publish every answer as prediction.made: on or off. Drift, shadows and labels need it."`
	DrainDelay    time.Duration `env:"CHURN_DRAIN_DELAY" default:"0s" help:"How long HTTP still answers after a stop was asked for, while readiness says no: what a balancer needs to notice."`

	StoreBytes int64 `env:"CHURN_STORE_BYTES" default:"${store}" help:"Budget of all streams and the artifact bucket in bytes, used when they are made."`

	connect.Login     `embed:""`
	connect.Artifacts `embed:""`

	LogLevel  string           `env:"CHURN_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"Log level: ${enum}."`
	LogFormat string           `env:"CHURN_LOG_FORMAT" default:"text" enum:"text,json" help:"Log format: ${enum}."`
	Version   kong.VersionFlag `help:"Show the version."`
	Health    string           `placeholder:"URL" help:"Serve nothing: ask a running instance at URL (http://127.0.0.1:8080/readyz) whether it is ready, and say so by the exit code."`
}

func main() {
	if err := app.UnsetEmpty("CHURN_"); err != nil {
		fmt.Fprintln(os.Stderr, "inference:", err)
		os.Exit(2)
	}
	var s settings
	kong.Parse(&s, options()...)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	do := run
	if s.Health != "" {
		do = health
	}
	if err := do(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "inference:", err)
		os.Exit(1)
	}
}

// options describe the command line.
func options() []kong.Option {
	return []kong.Option{
		kong.Name("inference"),
		kong.Description("Serve predictions over HTTP and NATS; the model follows each promotion without a restart."),
		kong.Vars{
			"version": app.Version(), "nats": connect.DefaultURL, "model": inference.DefaultModel, "addr": inference.DefaultAddr,
			"inflight": fmt.Sprint(inference.DefaultInFlight), "records": fmt.Sprint(inference.DefaultMaxRecords),
			"store": fmt.Sprint(bus.DefaultStoreBytes),
		},
	}
}

// healthTimeout bounds how long a health check waits for an answer.
const healthTimeout = 3 * time.Second

// health is the health check of an image that has no shell.
func health(ctx context.Context, s settings) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	return app.Probe(ctx, s.Health)
}

// run serves until ctx ends.
func run(ctx context.Context, s settings) error {
	app.RoomForGarbage(inference.GarbageRoom)
	log, err := app.NewLogger(os.Stderr, s.LogLevel, s.LogFormat)
	if err != nil {
		return err
	}
	if s.Instance == "" {
		if s.Instance, err = instanceName(s.Addr); err != nil {
			return err
		}
	}
	d := &dialer{settings: connect.Settings{
		Login: s.Login, Artifacts: s.Artifacts, URL: s.NATS, StoreBytes: s.StoreBytes, Name: "inference", Instance: s.Instance, Log: log,
	}}
	c := inference.DefaultConfig()
	c.AddrFlag = "--addr"
	c.Model, c.Addr, c.CacheDir, c.Instance, c.InFlight, c.MaxRecords = s.Model, s.Addr, s.CacheDir, s.Instance, s.InFlight, s.MaxRecords
	c.PredictionLog, c.HTTP.DrainDelay = s.PredictionLog == "on", s.DrainDelay
	reg := app.NewRegistry()
	d.settings.Metrics = reg
	c.Dial, c.Log, c.Metrics, c.Health = d.dial, log, reg, app.NewHealth()
	service, err := inference.New(c)
	if err != nil {
		return err
	}
	log.Info("serving", "model", s.Model, "addr", service.Addr(), "instance", s.Instance)
	err = service.Run(ctx)
	d.close()
	return err
}

// instanceName is the host's name and the port, which tells two instances on one host apart.
func instanceName(addr string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name the instance: %w", err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("address %q: %w", addr, err)
	}
	return host + "-" + port, nil
}

// dialer connects once and keeps the bus, so that a store that is away for longer does not open a second connection.
type dialer struct {
	settings connect.Settings
	bus      *bus.Bus
}

func (d *dialer) dial(ctx context.Context) (*bus.Bus, artifact.Store, error) {
	if d.bus == nil {
		b, err := d.settings.Bus(ctx)
		if err != nil {
			return nil, nil, err
		}
		d.bus = b
	}
	store, err := d.settings.Store(ctx, d.bus)
	if err != nil {
		return nil, nil, err
	}
	return d.bus, store, nil
}

// close drains the connection after the service has ended.
func (d *dialer) close() {
	if d.bus == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := d.bus.Close(ctx); err != nil {
		d.settings.Log.Warn("connection not closed cleanly", "err", err)
	}
}
