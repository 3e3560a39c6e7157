package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopWait is how long a program may take to end before it is killed.
const stopWait = 90 * time.Second

// process is a program that runs until it is stopped.
type process struct {
	cmd   *exec.Cmd
	tail  *tail
	ended chan struct{} // closed after err is set
	err   error
}

// prepare returns a program that is not started yet. said gets each line of its standard error and may be nil.
func prepare(ctx context.Context, dir string, said func(line string), argv ...string) *process {
	p := &process{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), tail: &tail{said: said}, ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stderr = dir, p.tail
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopWait
	return p
}

// begin starts it.
func (p *process) begin() error {
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return nil
}

// stop asks the program to end and waits for it. A second call does nothing.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	return p.wait()
}

// wait waits for the program's end; one that does not end is killed, which is an error.
func (p *process) wait() error {
	name := filepath.Base(p.cmd.Path)
	select {
	case <-p.ended:
	case <-time.After(stopWait):
		_ = p.cmd.Process.Kill() // it may have ended just now
		<-p.ended
		return fmt.Errorf("%s did not end: %s", name, p.tail.last())
	}
	var exit *exec.ExitError
	if p.err != nil && !(errors.As(p.err, &exit) && exit.ExitCode() == -1) { // -1 is by a signal, as it was told to
		return fmt.Errorf("%s: %w: %s", name, p.err, p.tail.last())
	}
	return nil
}

// pid returns the process's id.
func (p *process) pid() int { return p.cmd.Process.Pid }

// tail keeps the last lines that a program said.
type tail struct {
	said func(line string)

	mu    sync.Mutex
	rest  string
	lines []string
}

// Write takes what was said.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest += string(b)
	for {
		line, rest, ok := strings.Cut(t.rest, "\n")
		if !ok {
			return len(b), nil
		}
		t.rest = rest
		if t.lines = append(t.lines, line); len(t.lines) > 5 {
			t.lines = t.lines[1:]
		}
		if t.said != nil {
			t.said(line)
		}
	}
}

func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(append(t.lines[:len(t.lines):len(t.lines)], t.rest), " | ")
}

// helper is a worker of this program that serves until its input ends.
type helper struct {
	*process
	in    io.WriteCloser
	ready ready
}

// hire starts a worker and waits until it is ready.
func (b *bench) hire(ctx context.Context, t task) (*helper, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	h := &helper{process: prepare(ctx, b.dir, nil, b.self, "-worker", string(text))}
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	from, to, err := os.Pipe() // not StdoutPipe, which may not be read beside Wait
	if err != nil {
		return nil, err
	}
	defer from.Close()
	h.cmd.Stdout = to
	err = h.begin()
	_ = to.Close() // the process has its own
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(from).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &h.ready)
	}
	if err != nil {
		_ = h.stop() // the error to report is the first
		return nil, fmt.Errorf("worker %s: %w: %s", t.Task, err, h.tail.last())
	}
	return h, nil
}

// dismiss ends the worker.
func (h *helper) dismiss() error {
	_ = h.in.Close() // it may have ended already, which wait reports
	return h.wait()
}

// ask has a worker do a task that ends by itself, and decodes its one line of JSON into result.
func (b *bench) ask(ctx context.Context, t task, result any) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, b.self, "-worker", string(text))
	cmd.Dir = b.dir
	var said tail
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("worker %s: %w: %s", t.Task, err, said.last())
	}
	if err := json.Unmarshal(out, result); err != nil {
		return fmt.Errorf("worker %s: decode %.200q: %w", t.Task, out, err)
	}
	return nil
}
