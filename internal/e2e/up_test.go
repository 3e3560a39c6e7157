package e2e

import (
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/synth"
)

// everything is "churn up" on free ports with its own folder, and a reader of its streams.
type everything struct {
	*process
	dir, data           string
	url, addr, registry string
	bus                 *bus.Bus
}

// up starts everything on generated customers and returns once version 1 answers.
func up(t *testing.T) *everything {
	t.Helper()
	dir := t.TempDir()
	e := &everything{dir: dir, data: filepath.Join(dir, "customers.csv")}
	writeData(t, e.data, synth.Config{Rows: 2000, Seed: 1, Regime: synth.Original})
	e.process = launch(t, dir, "up", churn(t), "up", "--spec", writeSpec(t, dir), "--data", e.data, "--store-dir", filepath.Join(dir, "store"),
		"--store-bytes", strconv.Itoa(storeBytes), "--port=-1", "--instance", "up", "--inference-addr", "127.0.0.1:0",
		"--registry-addr", "127.0.0.1:0", "--trainer-addr", "127.0.0.1:0", "--drift-addr", "127.0.0.1:0", "--scorer-addr", "127.0.0.1:0")
	e.url = e.says(t, `(?m)^ +NATS +(nats://\S+)`)
	e.addr = e.says(t, `(?m)^ +predict +http://(\S+)/predict`)
	e.registry = e.says(t, `(?m)^ +registry +http://(\S+)`)
	e.bus = connect(t, e.url)
	serves(t, e.addr, 1, customers(t, 1)[0].record)
	return e
}

// cli runs a command of an operator.
func (e *everything) cli(t *testing.T, args ...string) string {
	t.Helper()
	return call(t, e.dir, "", append(append([]string{churn(t)}, args...), "--nats", e.url)...)
}

// newest returns the first group of the last match in the output, for what is said anew at each start.
func newest(t *testing.T, e *everything, pattern string) string {
	t.Helper()
	all := regexp.MustCompile(pattern).FindAllSubmatch(e.output(t), -1)
	require.NotEmpty(t, all, pattern)
	return string(all[len(all)-1][1])
}
