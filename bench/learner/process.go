package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"telco-churn-mlops/bench/measure"
)

// side is a program that does tasks.
type side struct {
	name string
	// argv is the program with what comes before the request.
	argv []string
	// env gives the settings of a number of threads.
	env func(threads int) []string
}

func ours() (side, error) {
	self, err := os.Executable()
	if err != nil {
		return side{}, err
	}
	return side{name: "ours", argv: []string{self, "-worker"}, env: func(threads int) []string {
		return []string{"GOMAXPROCS=" + strconv.Itoa(threads)}
	}}, nil
}

// peer returns a side of Python. With two threads and more, OpenMP's are bound to processors and wait actively: on virtual machines its
// defaults can be many times slower.
func peer(name, python, script string) side {
	return side{name: name, argv: []string{python, script}, env: func(threads int) []string {
		n := strconv.Itoa(threads)
		env := []string{"OMP_NUM_THREADS=" + n, "OPENBLAS_NUM_THREADS=" + n, "PYTHONDONTWRITEBYTECODE=1"}
		if threads > 1 {
			env = append(env, "OMP_WAIT_POLICY=ACTIVE", "OMP_PROC_BIND=true")
		}
		return env
	}}
}

// sample is what one process measured.
type sample struct {
	result
	// others is the share of all processors that was used by other programs while the process ran, or withheld by the hypervisor; NaN-free:
	// 0 where /proc/stat is not there.
	others float64
}

// do runs one task in a process of its own. pinned keeps it to one processor.
func (b *bench) do(ctx context.Context, s side, q request, pinned bool) (sample, error) {
	if q.Repeat == 0 {
		q.Repeat = 1
	}
	text, err := json.Marshal(q)
	if err != nil {
		return sample{}, err
	}
	argv := append(append([]string{}, s.argv...), string(text))
	if pinned && b.taskset != "" {
		argv = append([]string{b.taskset, "-c", strconv.Itoa(b.processor)}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), s.env(max(1, q.Threads))...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	noise := measure.Watch()
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return sample{}, context.Cause(ctx)
		}
		return sample{}, fmt.Errorf("%s, task %s: %w: %s", s.name, q.Task, err, lastLines(errs.String()))
	}
	own := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	got := sample{others: noise.Others(own)}
	if err := json.Unmarshal(out.Bytes(), &got.result); err != nil {
		return sample{}, fmt.Errorf("%s, task %s: decode %q: %w", s.name, q.Task, out.String(), err)
	}
	return got, nil
}

// lastLines returns the end of what a process complained.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}

// versions asks the interpreter which peers it has. The error says that it can't be asked.
func (b *bench) versions(ctx context.Context) (map[string]string, error) {
	if _, err := exec.LookPath(b.config.Python); err != nil {
		return nil, err
	}
	got, err := b.do(ctx, b.python, request{Task: "versions"}, false)
	if err != nil {
		return nil, err
	}
	if got.Versions["numpy"] == "" {
		return nil, errors.New("numpy is not installed")
	}
	return got.Versions, nil
}

// lastProcessor returns the number of the last processor: pinned tasks go there, as interrupts tend to go to the first.
func lastProcessor() int { return runtime.NumCPU() - 1 }
