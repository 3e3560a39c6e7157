package bustest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/embedded"
)

const (
	envStore = "BUSTEST_STORE"
	envPort  = "BUSTEST_PORT"
)

// Main is what a TestMain calls if the package uses [StartProcess]: `func TestMain(m *testing.M) { os.Exit(bustest.Main(m)) }`. In the server's
// process it runs the server; otherwise it runs the tests.
func Main(m *testing.M) int {
	dir := os.Getenv(envStore)
	if dir == "" {
		return m.Run()
	}
	port, err := strconv.Atoi(os.Getenv(envPort))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	srv, err := embedded.Start(embedded.Config{Port: port, StoreDir: dir, StoreBytes: storeBytes})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(srv.URL())
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the test's process, however that ends
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := srv.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Process is a server in a process of its own, which can be killed.
type Process struct {
	dir, url string
	cmd      *exec.Cmd
	stdin    io.Closer
}

// StartProcess starts this test binary once more as a server. It is killed when the test ends.
func StartProcess(t testing.TB) *Process {
	t.Helper()
	p := &Process{dir: t.TempDir()}
	p.start(t, -1)
	t.Cleanup(func() { p.Kill(t) })
	return p
}

func (p *Process) start(t testing.TB, port int) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, "-test.run=^$")
	cmd.Env = append(os.Environ(), envStore+"="+p.dir, envPort+"="+strconv.Itoa(port))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p.cmd, p.stdin = cmd, stdin
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err, "server did not say its address; does the package have a TestMain that calls bustest.Main?")
	p.url = strings.TrimSpace(line)
	require.True(t, strings.HasPrefix(p.url, "nats://"), p.url)
}

// URL returns the server's address, which stays the same after Kill and Resume.
func (p *Process) URL() string { return p.url }

// Kill ends the process at once, with nothing written that was not. Idempotent.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	if p.cmd == nil {
		return
	}
	require.NoError(t, p.cmd.Process.Kill())
	_ = p.stdin.Close()
	_ = p.cmd.Wait() // says that it was killed
	p.cmd = nil
}

// Resume starts a killed server again on the same store and port.
func (p *Process) Resume(t testing.TB) {
	t.Helper()
	u, err := url.Parse(p.url)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	p.start(t, port)
}

// Connect returns a bus named "test" whose streams are provisioned; it is closed when the test ends.
func (p *Process) Connect(t testing.TB) *bus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := bus.Connect(ctx, bus.Config{URL: p.url, Name: "test", Source: "test/local", StoreBytes: storeBytes})
	require.NoError(t, err)
	require.NoError(t, b.Provision(ctx))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = b.Close(ctx) // the server may be gone
	})
	return b
}
