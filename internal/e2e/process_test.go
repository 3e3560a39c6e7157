package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a program that runs until it is told to stop, and can be killed and started again.
type process struct {
	name string
	dir  string
	argv []string
	log  string // of all its lives

	mu   sync.Mutex
	life *life
}

type life struct {
	cmd   *exec.Cmd
	due   bool          // its end was asked for
	ended chan struct{} // closed after err is set
	err   error
}

// crash begins what the Go runtime says of a program that is at fault.
var crash = regexp.MustCompile(`(?m)^(WARNING: DATA RACE|panic: |fatal error: )`)

// launch starts a program whose output goes to a file. It is gone when the test ends; one that ends before it was told to fails the test.
func launch(t *testing.T, dir, name string, argv ...string) *process {
	t.Helper()
	p := &process{name: name, dir: dir, argv: argv, log: filepath.Join(dir, name+".log")}
	t.Cleanup(func() {
		p.kill(t)
		if t.Failed() {
			t.Logf("%s said last:\n%s", name, p.tail(t, 4000))
		}
		out := p.output(t)
		if at := crash.FindIndex(out); at != nil {
			t.Errorf("%s: %s", name, out[at[0]:min(len(out), at[0]+3000)])
		}
	})
	p.start(t)
	return p
}

func (p *process) start(t *testing.T) {
	t.Helper()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer out.Close() // the process has its own
	l := &life{cmd: exec.Command(p.argv[0], p.argv[1:]...), ended: make(chan struct{})}
	l.cmd.Dir, l.cmd.Env, l.cmd.Stdout, l.cmd.Stderr = p.dir, environment(p.dir), out, out
	require.NoError(t, l.cmd.Start(), p.name)
	p.mu.Lock()
	p.life = l
	p.mu.Unlock()
	go func() {
		l.err = l.cmd.Wait()
		p.mu.Lock()
		due := l.due
		p.mu.Unlock()
		if !due {
			t.Errorf("%s ended by itself: %v", p.name, l.err)
		}
		close(l.ended)
	}()
}

// end marks the end as asked for and returns the present life, nil if there is none.
func (p *process) end() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != nil {
		p.life.due = true
	}
	return p.life
}

// kill ends the process at once, with nothing written that was not.
func (p *process) kill(t *testing.T) {
	t.Helper()
	l := p.end()
	if l == nil {
		return
	}
	if err := l.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("kill %s: %v", p.name, err)
	}
	<-l.ended
}

// stop asks the process to end, which is no failure and takes no long time.
func (p *process) stop(t *testing.T) {
	t.Helper()
	l := p.end()
	require.NoError(t, l.cmd.Process.Signal(syscall.SIGTERM), p.name)
	select {
	case <-l.ended:
		require.NoError(t, l.err, "%s after SIGTERM", p.name)
	case <-time.After(patience):
		t.Fatalf("%s does not stop", p.name)
	}
}

func (p *process) output(t *testing.T) []byte {
	b, err := os.ReadFile(p.log)
	if err != nil {
		t.Errorf("read log of %s: %v", p.name, err)
	}
	return b
}

func (p *process) tail(t *testing.T, n int) []byte {
	b := p.output(t)
	return b[max(0, len(b)-n):]
}

// says waits for the first match of a pattern in the output and returns its first group.
func (p *process) says(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var found string
	await(t, patience, p.name+" says "+pattern, func() error {
		m := re.FindSubmatch(p.output(t))
		if m == nil {
			return errors.New("not yet")
		}
		found = string(m[len(m)-1])
		return nil
	})
	return found
}

// call runs a program to its end and returns its standard output, which must come with exit code 0.
func call(t *testing.T, dir, stdin string, argv ...string) string {
	t.Helper()
	out, err := try(t, dir, stdin, argv...)
	require.NoError(t, err)
	return out
}

// try is call with the failure, which holds the standard error, returned.
func try(t *testing.T, dir, stdin string, argv ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, environment(dir), &out, &errs
	if stdin != "" {
		cmd.Stdin = bytes.NewBufferString(stdin)
	}
	if err := cmd.Run(); err != nil {
		return out.String(), &callError{argv: argv, err: err, stderr: errs.String()}
	}
	return out.String(), nil
}

type callError struct {
	argv   []string
	err    error
	stderr string
}

// Error implements error.
func (e *callError) Error() string {
	return filepath.Base(e.argv[0]) + ": " + e.err.Error() + ": " + e.stderr
}

// Unwrap returns how the program ended.
func (e *callError) Unwrap() error { return e.err }
