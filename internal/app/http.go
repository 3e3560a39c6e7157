package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Time limits of a Server. A handler that needs longer to answer sets a deadline of its own with http.ResponseController.
const (
	ReadHeaderTimeout = 15 * time.Second
	ReadTimeout       = 30 * time.Second
	WriteTimeout      = time.Minute
	IdleTimeout       = 2 * time.Minute
	DrainTimeout      = 5 * time.Second

	maxHeaderBytes = 64 << 10
)

// listenError reads as "listen on ADDR: cause (set FLAG)" and unwraps to what the system said.
type listenError struct {
	addr, flag string
	cause      error
}

func (e *listenError) Error() string {
	cause := e.cause.Error()
	var op *net.OpError
	switch {
	case errors.Is(e.cause, syscall.EADDRINUSE):
		cause = "address in use"
	case errors.As(e.cause, &op):
		cause = op.Err.Error()
	}
	if e.flag == "" {
		return fmt.Sprintf("listen on %s: %s", e.addr, cause)
	}
	return fmt.Sprintf("listen on %s: %s (set %s)", e.addr, cause, e.flag)
}

func (e *listenError) Unwrap() error { return e.cause }

// Listen binds the TCP address addr at once. Its error names the flag that sets the address, written as the user types it
// ("--trainer-addr"); an empty flag leaves the hint out. errors.Is(err, syscall.EADDRINUSE) tells a busy port.
func Listen(addr, flag string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, &listenError{addr: addr, flag: flag, cause: err}
	}
	return ln, nil
}

// Server serves HTTP on a bound listener with time limits, and drains when it is told to stop.
type Server struct {
	ln    net.Listener
	http  *http.Server
	log   *slog.Logger
	close sync.Once
}

// NewServer takes over ln: Run or Close closes it.
func NewServer(ln net.Listener, h http.Handler, log *slog.Logger) *Server {
	s := &Server{ln: ln, log: log, http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: ReadHeaderTimeout,
		ReadTimeout:       ReadTimeout,
		WriteTimeout:      WriteTimeout,
		IdleTimeout:       IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
	tellDraining(s.http)
	return s
}

// Addr is the bound address, with the real port if port 0 was asked for.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Run serves until ctx ends, then takes no new connections and lets requests in flight end for up to DrainTimeout;
// what is open after that is cut and logged. It returns nil after such a stop. Call it once.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve http on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), DrainTimeout)
	defer cancel()
	if err := s.http.Shutdown(drain); err != nil {
		s.log.Warn("http requests cut off", "addr", s.Addr(), "err", err)
		s.Close()
	}
	<-served
	return nil
}

// Close cuts everything off at once. It is for a server that was made and will not be run, and may be called any number of
// times, also after Run.
func (s *Server) Close() {
	s.close.Do(func() {
		_ = s.http.Close() // closing a socket that is gone is what we want
		_ = s.ln.Close()
	})
}

// AdminConfig says where an Admin listens. Addr is required. Flag is the flag that sets it, as the user types it, for the
// error of a busy port; it may be empty.
type AdminConfig struct {
	Addr string
	Flag string
}

// Admin serves /health, /livez, /readyz and /metrics, and what Handle adds, on a listener of its own.
type Admin struct {
	*Server
	mux *http.ServeMux
}

// NewAdmin binds the address at once, so a busy port is an error here that names the flag, and not a surprise later. The caller
// either runs the Admin or closes it.
func NewAdmin(cfg AdminConfig, reg *prometheus.Registry, h *Health, log *slog.Logger) (*Admin, error) {
	ln, err := Listen(cfg.Addr, cfg.Flag)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	h.Mount(mux)
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError),
	}))
	return &Admin{Server: NewServer(ln, mux, log), mux: mux}, nil
}

// Handle adds a handler under a net/http pattern ("GET /models/{name}"). It may be called before or during Run. It panics on a
// pattern that is malformed or taken, as http.ServeMux does.
func (a *Admin) Handle(pattern string, h http.Handler) { a.mux.Handle(pattern, h) }
