package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/fatih/color"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// TestMain takes the settings of the machine out of the environment: a test sets its own.
func TestMain(m *testing.M) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "CHURN_") {
			os.Unsetenv(name)
		}
	}
	color.NoColor = true
	os.Exit(m.Run())
}

// screen is what a command prints, readable while it runs.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// command runs a command line as main does, but for the process's own streams.
func command(ctx context.Context, in string, out, errs io.Writer, args ...string) error {
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		return err
	}
	parser.Stdout, parser.Stderr = out, errs
	parsed, err := parser.Parse(args)
	if err != nil {
		return err
	}
	return parsed.Run(&run{ctx: ctx, globals: c.globals, out: out, errs: errs, in: strings.NewReader(in)})
}

// churn runs a command to its end and returns what it printed.
func churn(t *testing.T, args ...string) (out, notes string, err error) {
	t.Helper()
	var o, e screen
	err = command(t.Context(), "", &o, &e, args...)
	return o.String(), e.String(), err
}

// live is a running "churn up" with all its services in this process.
type live struct {
	t       *testing.T
	screen  *screen
	log     *screen
	stop    func() error
	predict string
	trainer string
	nats    string

	registry string
}

// up starts "churn up" on free ports and a store of its own unless the arguments name one, and waits for its banner. It ends with the test.
func up(t *testing.T, args ...string) *live {
	t.Helper()
	l := &live{t: t, screen: &screen{}, log: &screen{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	free := "127.0.0.1:0"
	line := []string{"up", "--port=-1", "--inference-addr", free, "--registry-addr", free, "--trainer-addr", free, "--drift-addr", free, "--scorer-addr", free,
		"--store-bytes", "1073741824", "--log-level", "warn"}
	if !strings.Contains(strings.Join(args, " "), "--store-dir") {
		line = append(line, "--store-dir", filepath.Join(t.TempDir(), "store"))
	}
	go func() { done <- command(ctx, "", l.screen, l.log, append(line, args...)...) }()
	var once sync.Once
	var ended error
	l.stop = func() error {
		once.Do(func() {
			cancel()
			ended = <-done
		})
		return ended
	}
	t.Cleanup(func() {
		require.NoError(t, l.stop())
		if t.Failed() {
			t.Logf("the screen:\n%s\nthe log:\n%s", l.screen, l.log)
		}
	})
	l.wait("stop with Ctrl-C")
	find := func(pattern string) string {
		m := regexp.MustCompile(pattern).FindStringSubmatch(l.screen.String())
		require.Len(t, m, 2, "%s in:\n%s", pattern, l.screen)
		return m[1]
	}
	l.predict, l.trainer, l.nats = find(`predict +(http://\S+)`), find(`trainer +(http://\S+)/status`), find(`NATS +(nats://\S+)`)
	l.registry = find(`registry +(https?://\S+)`)
	require.Contains(t, squeezed(l.screen.String()), "churn status --nats "+l.nats+" --trainer-url "+l.trainer, "what is to be tried works with these addresses")
	return l
}

// wait blocks until the screen shows a text, written with single spaces.
func (l *live) wait(text string) {
	l.t.Helper()
	bustest.Eventually(l.t, func() bool { return strings.Contains(squeezed(l.screen.String()), text) }, "the screen shows: "+text)
}

// squeezed makes one space of many, so that a test need not know a column's width.
func squeezed(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }

// ask posts a record and returns the status and the body.
func (l *live) ask(record string) (int, string) {
	l.t.Helper()
	resp, err := http.Post(l.predict, "application/json", strings.NewReader(record))
	require.NoError(l.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(l.t, err)
	return resp.StatusCode, string(body)
}

// waiting returns why the trainer waits, as its /status says.
func (l *live) waiting() string {
	l.t.Helper()
	resp, err := http.Get(l.trainer + "/status")
	require.NoError(l.t, err)
	defer resp.Body.Close()
	var s struct {
		Decision struct{ Why string } `json:"decision"`
	}
	require.NoError(l.t, json.NewDecoder(resp.Body).Decode(&s))
	return s.Decision.Why
}

// readRows loads a dataset.
func readRows(t *testing.T, sp *spec.Spec, sch *dataset.Schema, path string) *dataset.Table {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	o := dataset.LoadOptions{MaxQuarantined: sp.Expectations.MaxQuarantined}
	o.Delimiter, o.RequireLabel = sp.Dataset.Comma(), true
	table, _, err := dataset.Load(t.Context(), f, sch, o)
	require.NoError(t, err)
	return table
}
