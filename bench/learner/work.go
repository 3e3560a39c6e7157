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
	"strconv"
	"strings"
	"syscall"
	"time"
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
	r.BeforeBytes = statusBytes("VmRSS")
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
	r.PeakBytes = statusBytes("VmHWM")
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

// statusBytes returns a size in /proc/self/status, 0 where there is none.
func statusBytes(field string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return kilobytes * 1024
		}
	}
	return 0
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
