package embedded_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus/embedded"
)

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, c embedded.Config) *embedded.Server {
	t.Helper()
	if c.StoreDir == "" {
		c.StoreDir = t.TempDir()
	}
	if c.Port == 0 {
		c.Port = -1
	}
	s, err := embedded.Start(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(testContext(t))) })
	return s
}

func stream(t *testing.T, s *embedded.Server, maxBytes int64) jetstream.Stream {
	t.Helper()
	nc, err := nats.Connect(s.URL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	st, err := js.CreateOrUpdateStream(testContext(t), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, MaxBytes: maxBytes})
	require.NoError(t, err)
	_, err = js.Publish(testContext(t), "s", []byte("x"))
	require.NoError(t, err)
	return st
}

func TestStoreIsLocked(t *testing.T) {
	dir := t.TempDir()
	first := start(t, embedded.Config{StoreDir: dir})
	_, err := embedded.Start(embedded.Config{StoreDir: dir, Port: -1})
	require.ErrorIs(t, err, embedded.ErrStoreInUse)
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "process "+strconv.Itoa(os.Getpid()))
	require.NoError(t, first.Stop(testContext(t)))
	start(t, embedded.Config{StoreDir: dir})
}

func TestBusyPortNamesItsFlag(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	port := l.Addr().(*net.TCPAddr).Port
	dir := t.TempDir()
	_, err = embedded.Start(embedded.Config{StoreDir: dir, Port: port, FlagPort: "--nats-port"})
	require.ErrorIs(t, err, embedded.ErrPortInUse)
	require.ErrorContains(t, err, "--nats-port")
	require.ErrorContains(t, err, strconv.Itoa(port))
	start(t, embedded.Config{StoreDir: dir}) // the lock was given free

	began := time.Now()
	_, err = embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1, HTTPPort: port})
	require.Error(t, err)
	require.Less(t, time.Since(began), 10*time.Second, "a server that cannot run is not waited for")
}

func TestListensOnLoopbackOnly(t *testing.T) {
	s := start(t, embedded.Config{HTTPPort: -1})
	u, err := url.Parse(s.URL())
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", u.Hostname())
	m, err := url.Parse(s.MonitorURL())
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", m.Hostname())
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		ip, _, err := net.ParseCIDR(a.String())
		require.NoError(t, err)
		if ip.IsLoopback() || ip.To4() == nil {
			continue
		}
		c, err := net.DialTimeout("tcp", net.JoinHostPort(ip.String(), u.Port()), time.Second)
		require.Error(t, err, "reachable at %s", ip)
		if c != nil {
			_ = c.Close()
		}
	}
	resp, err := http.Get(s.MonitorURL() + "/healthz")
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestDataSurvivesARestartWithASmallerStore(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Config{StoreDir: dir, StoreBytes: 1 << 30})
	require.EqualValues(t, 1<<30, s.StoreBytes())
	stream(t, s, 800<<20)
	require.NoError(t, s.Stop(testContext(t)))
	s = start(t, embedded.Config{StoreDir: dir, StoreBytes: 100 << 20}) // less than the stream reserves
	nc, err := nats.Connect(s.URL())
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	st, err := js.Stream(testContext(t), "S")
	require.NoError(t, err)
	require.EqualValues(t, 1, st.CachedInfo().State.Msgs)
	_, err = js.Publish(testContext(t), "s", []byte("y"))
	require.NoError(t, err)
}

func TestStoreIsNoLargerThanTheDisk(t *testing.T) {
	s := start(t, embedded.Config{StoreBytes: 1 << 60})
	require.Positive(t, s.StoreBytes())
	require.Less(t, s.StoreBytes(), int64(1)<<60)
}

func TestStartLeavesNothingInTheWorkingFolder(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Config{StoreDir: filepath.Join(dir, "a", "b"), SyncAlways: true})
	stream(t, s, 1<<20)
	entries, err := os.ReadDir(filepath.Join(dir, "a", "b"))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.ElementsMatch(t, []string{"churn.lock", "jetstream"}, names)
}

func TestConfigIsChecked(t *testing.T) {
	for says, c := range map[string]embedded.Config{
		"StoreDir":        {},
		"port 70000":      {StoreDir: "x", Port: 70000},
		"monitoring port": {StoreDir: "x", HTTPPort: 70000},
		"StoreBytes":      {StoreDir: "x", StoreBytes: -1},
		"not both":        {StoreDir: "x", Token: "t", User: "u"},
	} {
		_, err := embedded.Start(c)
		require.ErrorContains(t, err, says)
	}
}
