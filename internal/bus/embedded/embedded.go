// Package embedded runs a NATS server with JetStream inside the process, so that one machine needs nothing else. It is the only package that imports
// the server.
//
// The server listens on the loopback address unless told otherwise, so that the nats tool and other processes can join. Its folder is guarded by a lock
// file of our own, because the server has none: two of them on one folder both accept messages and destroy each other's. Messages are
// written to the page cache at once and to the disk every SyncInterval: a kill of the process loses none, a power loss can lose the messages of the last
// interval, unless SyncAlways is set.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	// DefaultHost is the address listened on when Config.Host is empty.
	DefaultHost = "127.0.0.1"
	// DefaultPort is NATS's own.
	DefaultPort = 4222
	// DefaultSyncInterval is the time between two syncs when Config.SyncInterval is 0.
	DefaultSyncInterval = time.Second
	// DefaultStoreBytes is the store's size when Config.StoreBytes is 0.
	DefaultStoreBytes int64 = 10 << 30

	lockName     = "churn.lock"
	readyTimeout = 30 * time.Second
	maxMemory    = 64 << 20 // for the ephemeral consumers; no stream is in memory
)

// ErrStoreInUse is returned when another process holds the folder. Nothing was changed.
var ErrStoreInUse = errors.New("store is in use by another process")

// ErrPortInUse is returned when the port is taken. Nothing was started.
var ErrPortInUse = errors.New("port is in use")

// Config says where to listen and store. StoreDir is required.
type Config struct {
	// Host: empty means DefaultHost.
	Host string
	// Port: 0 means DefaultPort, -1 any free one.
	Port int
	// StoreDir is made if it is not there.
	StoreDir string
	// SyncInterval: 0 means DefaultSyncInterval. SyncAlways syncs before each ack instead.
	SyncInterval time.Duration
	SyncAlways   bool
	// StoreBytes: 0 means DefaultStoreBytes. Less is used when the disk has less, see Server.StoreBytes.
	StoreBytes int64
	// User and Password, or Token, are asked of every client if set, in-process ones included.
	User, Password, Token string
	// HTTPPort serves the server's monitoring pages on Host; 0 means off, -1 any free port.
	HTTPPort int
	// FlagPort names the setting of the port in errors, for instance "--nats-port".
	FlagPort string
	// Log may be nil.
	Log *slog.Logger
}

// Validate returns an error that names the first field that cannot be used.
func (c Config) Validate() error {
	switch {
	case c.StoreDir == "":
		return errors.New("embedded NATS: StoreDir is required")
	case c.Port < -1 || c.Port > 65535:
		return fmt.Errorf("embedded NATS: port %d is out of range", c.Port)
	case c.HTTPPort < -1 || c.HTTPPort > 65535:
		return fmt.Errorf("embedded NATS: monitoring port %d is out of range", c.HTTPPort)
	case c.StoreBytes < 0:
		return fmt.Errorf("embedded NATS: StoreBytes %d is negative", c.StoreBytes)
	case c.Token != "" && c.User != "":
		return errors.New("embedded NATS: set User and Password or Token, not both")
	}
	return nil
}

// Server is a running server.
type Server struct {
	srv        *server.Server
	lock       *flock.Flock
	storeBytes int64
	once       sync.Once
	stopped    chan struct{}
}

// Start locks the folder, starts the server and returns when it accepts clients.
func Start(c Config) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.defaults()
	if err := os.MkdirAll(c.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("make store folder: %w", err)
	}
	lock, err := lockStore(c.StoreDir)
	if err != nil {
		return nil, err
	}
	s, err := start(c, lock)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return s, nil
}

func (c Config) defaults() Config {
	if c.Host == "" {
		c.Host = DefaultHost
	}
	if c.Port == 0 {
		c.Port = DefaultPort
	}
	if c.SyncInterval <= 0 {
		c.SyncInterval = DefaultSyncInterval
	}
	if c.StoreBytes == 0 {
		c.StoreBytes = DefaultStoreBytes
	}
	if c.FlagPort == "" {
		c.FlagPort = "Port"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// lockStore takes the folder's lock and writes our process id into it, for the error of the next one.
func lockStore(dir string) (*flock.Flock, error) {
	path := filepath.Join(dir, lockName)
	lock := flock.New(path)
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock store %s: %w", dir, err)
	}
	if !ok {
		who := ""
		if pid, err := os.ReadFile(path); err == nil && len(strings.TrimSpace(string(pid))) > 0 {
			who = " (process " + strings.TrimSpace(string(pid)) + ")"
		}
		return nil, fmt.Errorf("lock store %s: %w%s", dir, ErrStoreInUse, who)
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("lock store %s: %w", dir, err), lock.Unlock())
	}
	return lock, nil
}

// checkPort fails if the port cannot be listened on. The server itself would only log that and never become ready.
func checkPort(host string, port int, flag string) error {
	if port <= 0 {
		return nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("listen for NATS on %s: %w: %w; choose another with %s", net.JoinHostPort(host, strconv.Itoa(port)), ErrPortInUse, err, flag)
	}
	return l.Close()
}

func start(c Config, lock *flock.Flock) (*Server, error) {
	if err := checkPort(c.Host, c.Port, c.FlagPort); err != nil {
		return nil, err
	}
	store, err := storeSize(c)
	if err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName:             "churn-" + strconv.Itoa(os.Getpid()),
		Host:                   c.Host,
		Port:                   c.Port,
		JetStream:              true,
		StoreDir:               c.StoreDir,
		JetStreamMaxStore:      store,
		JetStreamMaxMemory:     maxMemory,
		SyncInterval:           c.SyncInterval,
		SyncAlways:             c.SyncAlways,
		Username:               c.User,
		Password:               c.Password,
		Authorization:          c.Token,
		HTTPHost:               c.Host,
		HTTPPort:               c.HTTPPort,
		NoSigs:                 true, // signals are the process's own business
		DisableJetStreamBanner: true,
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("configure NATS: %w", err)
	}
	l := &logger{log: c.Log.With("component", "nats-server"), fatal: make(chan struct{}, 1)}
	srv.SetLoggerV2(l, false, false, false)
	srv.Start()
	if !ready(srv, l) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, fmt.Errorf("start NATS on %s, store %s: not ready: %s", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), c.StoreDir, l.last())
	}
	return &Server{srv: srv, lock: lock, storeBytes: store, stopped: make(chan struct{})}, nil
}

// ready waits until the server accepts clients and JetStream runs, and returns false as soon as the server says that it cannot.
func ready(srv *server.Server, l *logger) bool {
	deadline := time.Now().Add(readyTimeout)
	for time.Now().Before(deadline) {
		select {
		case <-l.fatal:
			return false
		default:
		}
		if srv.ReadyForConnections(50 * time.Millisecond) {
			return srv.JetStreamEnabled()
		}
	}
	return false
}

// URL returns the address for clients, for instance "nats://127.0.0.1:4222".
func (s *Server) URL() string { return s.srv.ClientURL() }

// InProcess returns what a client in this process connects through without a socket.
func (s *Server) InProcess() nats.InProcessConnProvider { return s.srv }

// StoreBytes returns the size of the store: what was configured, or less if the disk has less.
func (s *Server) StoreBytes() int64 { return s.storeBytes }

// MonitorURL returns the address of the monitoring pages, empty if they are off.
func (s *Server) MonitorURL() string {
	addr := s.srv.MonitorAddr()
	if addr == nil {
		return ""
	}
	return "http://" + addr.String()
}

// Stop ends the server, waits until everything is on disk, and gives the folder free. Clients should be closed before: they would
// wait for answers in vain. It returns ctx's error if that ends earlier; the server goes on stopping. Stop is idempotent.
func (s *Server) Stop(ctx context.Context) error {
	var unlock error
	s.once.Do(func() {
		go func() {
			defer close(s.stopped)
			s.srv.Shutdown()
			s.srv.WaitForShutdown()
			unlock = s.lock.Unlock()
		}()
	})
	select {
	case <-s.stopped:
	case <-ctx.Done():
		return fmt.Errorf("stop NATS: %w", context.Cause(ctx))
	}
	if unlock != nil {
		return fmt.Errorf("unlock store: %w", unlock)
	}
	return nil
}
