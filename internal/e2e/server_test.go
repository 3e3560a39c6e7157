//go:build processes

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// tool returns the path of an installed program.
func tool(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", ".tools"))
	require.NoError(t, err)
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	path, err = exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is neither in %s nor in $PATH: run make tools", name, dir)
	}
	return path
}

// startServer starts nats-server with JetStream and returns its address, which stays the same when it is started again.
func startServer(t *testing.T, dir string) (p *process, url string) {
	t.Helper()
	port := freePort(t)
	url = fmt.Sprintf("nats://127.0.0.1:%d", port)
	p = launch(t, dir, "nats-server", tool(t, "nats-server"), "-js", "-a", "127.0.0.1", "-p", strconv.Itoa(port), "-sd", filepath.Join(dir, "nats"))
	await(t, patience, "nats-server accepts clients", func() error {
		nc, err := nats.Connect(url)
		if err == nil {
			nc.Close()
		}
		return err
	})
	return p, url
}

// loop is every service as a process of its own, with two inference instances.
type loop struct {
	dir, url, data, spec                 string
	server                               *process
	trainer, registry, drift, one, other *process
}

// newLoop starts nats-server; the services are started one by one.
func newLoop(t *testing.T) *loop {
	t.Helper()
	dir := t.TempDir()
	l := &loop{dir: dir, data: filepath.Join(dir, "customers.csv"), spec: writeSpec(t, dir)}
	l.server, l.url = startServer(t, dir)
	return l
}

func (l *loop) flags(extra ...string) []string {
	return append([]string{"--nats", l.url, "--store-bytes", strconv.Itoa(storeBytes), "--log-level", "info"}, extra...)
}

func (l *loop) startTrainer(t *testing.T, addr string) {
	t.Helper()
	argv := append([]string{churn(t), "trainer"}, l.flags("--spec", l.spec, "--data", l.data, "--trainer-addr", addr)...)
	l.trainer = launch(t, l.dir, "trainer", argv...)
}

func (l *loop) startRegistry(t *testing.T, addr string) {
	t.Helper()
	l.registry = launch(t, l.dir, "registry", append([]string{churn(t), "registry"}, l.flags("--spec", l.spec, "--registry-addr", addr)...)...)
}

func (l *loop) startDrift(t *testing.T, addr string) {
	t.Helper()
	l.drift = launch(t, l.dir, "drift", append([]string{churn(t), "drift"}, l.flags("--drift-addr", addr)...)...)
}

// startInference starts one instance with each of the two programs that serve.
func (l *loop) startInference(t *testing.T) {
	t.Helper()
	l.one = launch(t, l.dir, "one", append([]string{churn(t), "inference"},
		l.flags("--instance", "one", "--inference-addr", "127.0.0.1:0", "--cache-dir", filepath.Join(l.dir, "cache-one"))...)...)
	l.other = launch(t, l.dir, "other", append([]string{program(t, "inference")},
		l.flags("--instance", "other", "--addr", "127.0.0.1:0", "--cache-dir", filepath.Join(l.dir, "cache-other"))...)...)
}

// cli runs a command of an operator.
func (l *loop) cli(t *testing.T, args ...string) string {
	t.Helper()
	return call(t, l.dir, "", append(append([]string{churn(t)}, args...), "--nats", l.url)...)
}
