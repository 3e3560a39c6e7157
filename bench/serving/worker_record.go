package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"telco-churn-mlops/bench/measure"
	"telco-churn-mlops/inference"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
)

// records is what one record costs in process, one figure for each round.
type records struct {
	NS          []float64 `json:"ns"`
	Allocations []float64 `json:"allocations"`
	// CPU is the processor time of the whole process.
	CPU time.Duration `json:"cpu_ns"`
}

// measureRecord is an instance on the NATS server at URL that answers the records of Bodies in process, one after another on one goroutine: rounds of For, and one before that warms up. The prediction log is off: a loop without clients would outrun it.
func measureRecord(ctx context.Context, t task) (_ any, err error) {
	bodies, err := requestsOf(t.Bodies, func(body []byte) []byte { return append([]byte(nil), body...) })
	if err != nil {
		return nil, err
	}
	b, err := bus.Connect(ctx, bus.Config{URL: t.URL, Name: "inference", StoreBytes: storeBytes})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close(context.Background())) }()
	store, err := objstore.Open(ctx, b.JetStream(), objstore.Config{MaxBytes: bus.ArtifactMaxBytes(storeBytes), Replicas: 1})
	if err != nil {
		return nil, err
	}
	c := inference.DefaultConfig()
	c.Addr, c.Instance, c.CacheDir, c.Bus, c.Store = "127.0.0.1:0", "bench", "", b, store
	c.PredictionLog = false
	c.Log, c.Metrics, c.Health = slog.New(slog.NewTextHandler(io.Discard, nil)), app.NewRegistry(), app.NewHealth()
	s, err := inference.New(c)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	dst := make([]byte, 0, 4096)
	err = until(ctx, func() error {
		if out, code := s.Ask(dst, bodies[0]); code != http.StatusOK {
			return fmt.Errorf("answer %d: %s", code, out)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	job := func() error {
		for _, body := range bodies {
			if out, code := s.Ask(dst, body); code != http.StatusOK {
				return fmt.Errorf("answer %d: %s", code, out)
			}
		}
		return nil
	}
	var got records
	for round := range t.Rounds + 1 {
		ns, allocations, err := repeat(job, len(bodies), t.For)
		if err != nil {
			return nil, err
		}
		if round > 0 { // the first warms up
			got.NS, got.Allocations = append(got.NS, ns), append(got.Allocations, allocations)
		}
	}
	got.CPU = measure.CPU(os.Getpid())
	return got, nil
}
