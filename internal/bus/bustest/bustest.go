// Package bustest gives tests a real server: embedded, on a random port of the loopback address, in the test's own folder.
package bustest

import (
	"context"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/embedded"
)

const (
	// storeBytes is small, so that many servers at once fit any disk.
	storeBytes = 1 << 30
	patience   = 30 * time.Second
)

// Option adjusts the server.
type Option func(*embedded.Config)

// WithConfig changes the server's configuration before it starts.
func WithConfig(change func(*embedded.Config)) Option { return func(c *embedded.Config) { change(c) } }

// Server is a server that ends with its test.
type Server struct {
	cfg embedded.Config
	srv *embedded.Server
}

// Start starts a server that is stopped when the test ends.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := &Server{cfg: embedded.Config{Port: -1, StoreDir: t.TempDir(), StoreBytes: storeBytes}}
	for _, o := range opts {
		o(&s.cfg)
	}
	s.start(t)
	t.Cleanup(func() { s.Stop(t) })
	return s
}

func (s *Server) start(t testing.TB) {
	t.Helper()
	srv, err := embedded.Start(s.cfg)
	require.NoError(t, err)
	s.srv = srv
}

// URL returns the server's address.
func (s *Server) URL() string { return s.srv.URL() }

// StoreBytes returns the size of the server's store.
func (s *Server) StoreBytes() int64 { return s.srv.StoreBytes() }

// InProcess returns what a client connects through without a socket. It does not outlive a Restart.
func (s *Server) InProcess() nats.InProcessConnProvider { return s.srv.InProcess() }

// Connect returns a bus named "test" over TCP whose streams are provisioned; it is closed before the server stops.
func (s *Server) Connect(t testing.TB) *bus.Bus {
	t.Helper()
	b := s.Dial(t, bus.Config{Name: "test", Source: "test/local"})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, b.Provision(ctx))
	return b
}

// Dial connects with a configuration, whose URL and StoreBytes (unless set) and credentials are filled in, and closes the bus when the test ends. It provisions nothing.
func (s *Server) Dial(t testing.TB, c bus.Config) *bus.Bus {
	t.Helper()
	if c.URL == "" {
		c.URL = s.URL()
	}
	if c.StoreBytes == 0 {
		c.StoreBytes = s.StoreBytes()
	}
	c.User, c.Password, c.Token = s.cfg.User, s.cfg.Password, s.cfg.Token
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := bus.Connect(ctx, c)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Logf("close bus: %v", err)
		}
	})
	return b
}

// Stop stops the server. Clients go on trying to reconnect.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, s.srv.Stop(ctx))
}

// Resume starts a stopped server again on the same store and port.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	u, err := url.Parse(s.srv.URL())
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	s.cfg.Port = port
	s.start(t)
}

// Restart stops the server and starts it again on the same store and port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.Resume(t)
}

// Eventually polls cond until it is true, and fails the test with msg after half a minute, which a busy machine may take.
func Eventually(t testing.TB, cond func() bool, msg string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, msg)
		}
		timer := time.NewTimer(5 * time.Millisecond)
		<-timer.C
	}
}
