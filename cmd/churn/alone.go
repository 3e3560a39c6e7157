package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"telco-churn-mlops/drift"
	"telco-churn-mlops/inference"
	"telco-churn-mlops/inference/scorer"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/connect"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/trainer"
)

// alone are the flags of a service that runs by itself.
type alone struct {
	remote
	connect.Artifacts
	Instance   string `name:"instance" env:"CHURN_INSTANCE" help:"Name of this process in events; the host's name by default." placeholder:"NAME"`
	StoreBytes int64  `name:"store-bytes" env:"CHURN_STORE_BYTES" help:"Budget of all streams and the artifact bucket in bytes, used when they are made." default:"${store_bytes}"`
}

func (f alone) process(r *run, name string) (*process, error) {
	s, err := f.settings(r, name)
	if err != nil {
		return nil, err
	}
	s.Artifacts, s.StoreBytes = f.Artifacts, f.StoreBytes
	return newProcess(s, f.Instance), nil
}

// serve runs one service until it is told to stop.
func serve(r *run, p *process, make func(ctx context.Context) (app.Component, error)) error {
	c, err := make(r.ctx)
	if err != nil {
		return err
	}
	return app.Run(r.ctx, p.log, stopTimeout, c)
}

type trainerCmd struct {
	alone
	specFlags
	Addr string `name:"trainer-addr" env:"CHURN_TRAINER_ADDR" default:"${trainer_addr}" help:"Address of the trainer's health, metrics and status."`
}

// Run trains until stopped.
func (c trainerCmd) Run(r *run) error {
	p, err := c.process(r, "trainer")
	if err != nil {
		return err
	}
	sp, data, err := c.load()
	if err != nil {
		return err
	}
	return serve(r, p, func(ctx context.Context) (app.Component, error) {
		comp, _, err := p.trainer(ctx, sp, data, c.Addr)
		return comp, err
	})
}

type registryCmd struct {
	alone
	specFlag
	guard
	Addr string `name:"registry-addr" env:"CHURN_REGISTRY_ADDR" default:"${registry_addr}" help:"Address of the registry's pages, health and metrics."`
}

// Run registers, gates and promotes until stopped.
func (c registryCmd) Run(r *run) error {
	p, err := c.process(r, "registry")
	if err != nil {
		return err
	}
	sp, _, err := specFlags{specFlag: c.specFlag}.load()
	if err != nil {
		return err
	}
	return serve(r, p, func(ctx context.Context) (app.Component, error) {
		comp, _, err := p.registry(ctx, sp, c.Addr, c.guard)
		return comp, err
	})
}

// serving are the bounds of an inference instance.
type serving struct {
	InFlight   int `name:"in-flight" env:"CHURN_IN_FLIGHT" default:"${in_flight}" help:"Requests in work at a time; one more is answered 429."`
	MaxRecords int `name:"max-records" env:"CHURN_MAX_RECORDS" default:"${max_records}" help:"Most records in one request."`

	PredictionLog string        `name:"prediction-log" env:"CHURN_PREDICTION_LOG" default:"on" enum:"on,off" help:"Publish every answer as prediction.made: on or off. Drift, shadows and labels need it."`
	DrainDelay    time.Duration `name:"drain-delay" env:"CHURN_DRAIN_DELAY" default:"0s" help:"How long HTTP still answers after a stop was asked for, while readiness says no: what a balancer needs to notice."`
}

type inferenceCmd struct {
	alone
	serving
	Model    string `name:"model" env:"CHURN_MODEL" default:"${model}" help:"Model to use."`
	Addr     string `name:"inference-addr" env:"CHURN_INFERENCE_ADDR" default:"${inference_addr}" help:"Address of /predict, health and metrics."`
	CacheDir string `name:"cache-dir" env:"CHURN_CACHE_DIR" default:".churn/cache" help:"Folder of the last verified bundles, so that a restart needs neither NATS nor the store; empty keeps none."`
}

// Run serves until stopped.
func (c inferenceCmd) Run(r *run) error {
	app.RoomForGarbage(inference.GarbageRoom)
	if c.Instance == "" { // two instances on one host differ by their port
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("name the instance: %w", err)
		}
		_, port, err := net.SplitHostPort(c.Addr)
		if err != nil {
			return fmt.Errorf("--inference-addr %q: %w", c.Addr, err)
		}
		c.Instance = host + "-" + port
	}
	p, err := c.process(r, "inference")
	if err != nil {
		return err
	}
	return serve(r, p, func(context.Context) (app.Component, error) {
		comp, _, err := p.inference(c.Model, c.Addr, c.CacheDir, c.serving)
		return comp, err
	})
}

// driftCmd is a service with one command of an operator beside it.
type driftCmd struct {
	Serve driftServeCmd `cmd:"" default:"withargs" help:"Run drift alone against --nats (the default)."`
	Show  driftShowCmd  `cmd:"" help:"Show the last evaluation of each model."`
}

type driftServeCmd struct {
	alone
	Addr string `name:"drift-addr" env:"CHURN_DRIFT_ADDR" default:"${drift_addr}" help:"Address of drift's health, metrics and status."`
}

// Run watches predictions until stopped.
func (c driftServeCmd) Run(r *run) error {
	p, err := c.process(r, "drift")
	if err != nil {
		return err
	}
	return serve(r, p, func(ctx context.Context) (app.Component, error) {
		comp, _, err := p.drift(ctx, c.Addr)
		return comp, err
	})
}

// vars are the defaults that the services state, for the flags.
func vars() map[string]string {
	return map[string]string{
		"trainer_addr": trainer.DefaultAddr, "registry_addr": registry.DefaultAddr, "inference_addr": inference.DefaultAddr,
		"drift_addr": drift.DefaultAddr, "scorer_addr": scorer.DefaultAddr, "scratch_dir": scorer.DefaultScratch, "model": inference.DefaultModel,
		"in_flight": strconv.Itoa(inference.DefaultInFlight), "max_records": strconv.Itoa(inference.DefaultMaxRecords),
		"store_bytes": strconv.FormatInt(bus.DefaultStoreBytes, 10),
	}
}
