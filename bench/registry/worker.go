package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/bench/measure"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/mlflow"
)

// ready is what a registry says of itself when it can answer, as one line of JSON.
type ready struct {
	// API and Empty are the addresses of the registry and of the handler that only reads.
	API   string `json:"api"`
	Empty string `json:"empty"`
	PID   int    `json:"pid"`
	// FoldSeconds is the time from the start of the service to its first answer; HeapBytes is the live heap, ResidentBytes and PeakBytes are the
	// process's memory then and at its greatest.
	FoldSeconds   float64 `json:"fold_seconds"`
	HeapBytes     uint64  `json:"heap_bytes"`
	ResidentBytes int64   `json:"resident_bytes"`
	PeakBytes     int64   `json:"peak_bytes"`
}

// work is a registry on a NATS server. It writes its ready line to out once it can answer, and ends with in. profile names the file of a CPU
// profile, empty for none.
func work(ctx context.Context, url, profile string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, err := bus.Connect(ctx, bus.Config{URL: url, Name: "registry", Source: "registry/bench"})
	if err != nil {
		return err
	}
	store, err := objstore.Open(ctx, b.JetStream(), objstore.DefaultConfig())
	if err != nil {
		return err
	}
	begin := time.Now()
	c := registry.DefaultConfig()
	c.Spec, c.Addr, c.Bus, c.Store, c.Log = spec.Telco(), "127.0.0.1:0", b, store, slog.New(slog.DiscardHandler)
	c.Mounts = []registry.Mount{mlflow.Mount}
	s, err := registry.New(c)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	empty := &http.Server{Handler: http.HandlerFunc(readOnly), ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error {
		if err := empty.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		defer cancel()
		defer func() { _ = empty.Close() }() // the process ends with it
		select {
		case <-s.Tracking().Ready():
		case <-ctx.Done():
			return nil
		}
		r := ready{API: s.Addr(), Empty: listener.Addr().String(), PID: os.Getpid(), FoldSeconds: time.Since(begin).Seconds()}
		r.ResidentBytes, r.PeakBytes = measure.Memory(os.Getpid())
		r.HeapBytes = heap()
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return err
		}
		return profiled(profile, func() error {
			_, err := io.Copy(io.Discard, in)
			return err
		})
	})
	return errors.Join(g.Wait(), b.Close(context.Background()))
}

// profiled calls fn with a CPU profile written to a file, if one is named.
func profiled(path string, fn func() error) error {
	if path == "" {
		return fn()
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = fn()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

// readOnly is the least that a handler of such a call can do: it reads the body and answers.
func readOnly(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}") // the client may be gone
}

// heap returns the bytes that are live on the heap.
func heap() uint64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
