package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"syscall"
	"time"

	"telco-churn-mlops/bench/measure"
)

// work does one task and writes its result.
func work(ctx context.Context, text string, out io.Writer) error {
	var q request
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		return fmt.Errorf("decode task: %w", err)
	}
	tasks := map[string]func(context.Context, request, *result) error{
		"fit": workFit, "telco": workTelco, "row": workRow, "batch": workBatch, "csv": workCSV, "ingest": workIngest, "folds": workFolds,
	}
	task, ok := tasks[q.Task]
	if !ok {
		return fmt.Errorf("unknown task %q", q.Task)
	}
	var r result
	if err := task(ctx, q, &r); err != nil {
		return fmt.Errorf("task %s: %w", q.Task, err)
	}
	return json.NewEncoder(out).Encode(r)
}

// timed runs job q.Repeat times and writes wall and processor times and memory to r. What was loaded before counts as BeforeBytes. The
// CPU profile, if one is asked for, covers the repetitions alone.
func timed(q request, r *result, job func() error) error {
	debug.FreeOSMemory()
	forgetPeak()
	r.BeforeBytes, _ = measure.Memory(os.Getpid())
	if q.CPUProfile != "" {
		f, err := os.Create(q.CPUProfile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for range max(1, q.Repeat) {
		runtime.GC() // what the last repetition left is not this one's work
		cpu, wall := cpuTime(), time.Now()
		if err := job(); err != nil {
			return err
		}
		r.Seconds = append(r.Seconds, time.Since(wall).Seconds())
		r.CPUSeconds = append(r.CPUSeconds, (cpuTime() - cpu).Seconds())
	}
	_, r.PeakBytes = measure.Memory(os.Getpid())
	return nil
}

// cpuTime returns the processor time of this process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// forgetPeak sets the peak of the resident memory to its present value, where the system lets it.
func forgetPeak() {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak then counts loading too
}

func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
