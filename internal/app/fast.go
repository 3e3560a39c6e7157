package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// FastLimits bound what clients of a [FastServer] can hold and for how long. The zero value is not usable: start from DefaultFastLimits.
type FastLimits struct {
	// Read bounds a whole request from its first byte, header and body together, however slowly they come. Write bounds the sending of one
	// answer to a client that does not read. Idle bounds the wait for the next request of a kept-alive connection.
	Read, Write, Idle time.Duration
	// HeaderBytes bounds the request line and the header fields together; more is answered 431. Each connection holds a buffer of this size.
	HeaderBytes int
	// Body is the largest body in bytes, of any route. A client that announces more and waits for leave to send it (Expect: 100-continue) is
	// refused with 413; the handler refuses the others.
	Body int64
	// Connections bounds the open connections; one more is answered 503 and closed.
	Connections int
	// DrainDelay is how long a stopping server goes on as before, but for answers that say "Connection: close" and a readiness that says no: what
	// a balancer needs until it sends nobody here any more. 0 is right where clients know where else to go. In either case connections that are
	// in use are given a moment (TellTime at most) to ask once more and hear it, before the port and the idle connections are closed.
	DrainDelay time.Duration
	// Drain bounds the wait for the requests in flight after that.
	Drain time.Duration
}

// DefaultFastLimits returns the limits of a [Server], room for 16,384 connections with 8 KiB of header each, bodies of up to 1 MiB, and no
// DrainDelay.
func DefaultFastLimits() FastLimits {
	return FastLimits{Read: ReadTimeout, Write: WriteTimeout, Idle: IdleTimeout, HeaderBytes: 8 << 10, Body: 1 << 20, Connections: 16 << 10, Drain: DrainTimeout}
}

// Validate returns every limit that is not positive, at once; DrainDelay may be 0, and Body is not looked at by the server.
func (l FastLimits) Validate() error {
	var errs []error
	for _, d := range []struct {
		name string
		ok   bool
	}{
		{"read timeout", l.Read > 0}, {"write timeout", l.Write > 0}, {"idle timeout", l.Idle > 0}, {"header bytes", l.HeaderBytes > 0},
		{"connections", l.Connections > 0}, {"drain timeout", l.Drain > 0},
	} {
		if !d.ok {
			errs = append(errs, fmt.Errorf("http %s must be positive", d.name))
		}
	}
	if l.DrainDelay < 0 {
		errs = append(errs, errors.New("http drain delay must not be negative"))
	}
	return errors.Join(errs...)
}

// FastServer serves HTTP/1.x by fasthttp on a bound listener: several times the requests per second of [Server], for handlers that know what
// they may keep of a request (nothing). Bodies are never read by the server: a handler reads ctx.RequestBodyStream() as far as it wants to, so that
// what bodies hold is the handler's to bound. A panic of the handler is logged and answered 500.
type FastServer struct {
	// Refuse, if set before Run, writes the answer to a request that the handler does not see. Its path may be unknown. It must not keep ctx. By default the
	// answer is {"detail": text}.
	Refuse func(ctx *fasthttp.RequestCtx, code int, text string)

	ln     *fastListener
	fast   *fasthttp.Server
	limits FastLimits
	log    *slog.Logger
	handle fasthttp.RequestHandler

	draining atomic.Bool
	close    sync.Once
}

// NewFastServer takes over ln: Run or Close closes it. h must not keep ctx nor anything of it after it has returned.
func NewFastServer(ln net.Listener, h fasthttp.RequestHandler, l FastLimits, log *slog.Logger) *FastServer {
	s := &FastServer{ln: newFastListener(ln), limits: l, log: log, handle: h}
	s.fast = &fasthttp.Server{
		Handler:                      s.serve,
		ErrorHandler:                 s.refuse,
		ExpectHandler:                s.expect,
		ConnState:                    s.changed,
		Logger:                       fastLogger{log},
		Concurrency:                  l.Connections,
		ReadBufferSize:               l.HeaderBytes,
		ReadTimeout:                  l.Read,
		WriteTimeout:                 l.Write,
		IdleTimeout:                  l.Idle,
		StreamRequestBody:            true,
		MaxRequestBodySize:           1, // what is read before the handler: the handler's reads are counted, these are not
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		LazyRequestTime:              true,
		SecureErrorLogMessage:        true,
	}
	return s
}

// Addr is the bound address, with the real port if port 0 was asked for.
func (s *FastServer) Addr() string { return s.ln.Addr().String() }

// Connections returns the number of open connections.
func (s *FastServer) Connections() int { return s.ln.open() }

// TurnedAway returns the number of connections that were closed at once because there were Connections of them.
func (s *FastServer) TurnedAway() int { return int(s.fast.GetRejectedConnectionsCount()) }

// Draining reports whether the server has begun to stop.
func (s *FastServer) Draining() bool { return s.draining.Load() }

// Run serves until ctx ends. Then every answer says "Connection: close"; after DrainDelay, and once nobody asks any more or TellTime has passed,
// the port and the connections without a request are closed, and requests in flight end for up to Drain; what is open after that is cut and
// logged. It returns nil after such a stop. Call it once.
func (s *FastServer) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.fast.Serve(s.ln) }()
	select {
	case err := <-served:
		if err == nil {
			err = net.ErrClosed
		}
		return fmt.Errorf("serve http on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	time.Sleep(s.limits.DrainDelay)
	s.ln.quiet(TellTime)
	_ = s.ln.Close() // a listener that is gone is what we want
	if !s.ln.drained(s.limits.Drain) {
		s.log.Warn("http requests cut off", "addr", s.Addr(), "connections", s.ln.open())
		s.ln.closeAll()
	}
	<-served
	return nil
}

// Close cuts everything off at once. It is for a server that was made and will not be run, and may be called any number of times, also after
// Run.
func (s *FastServer) Close() {
	s.close.Do(func() {
		_ = s.ln.Close()
		s.ln.closeAll()
	})
}

// LeaveUnread ends the connection after the answer, without reading the rest of the request. The client is given a moment to read the answer
// before the connection is cut.
func LeaveUnread(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if c, ok := ctx.Conn().(*fastConn); ok {
		c.linger.Store(true)
	}
}

// AfterAnswer calls then once the answer to the request of ctx has been written, or can't be any more. The last call for a request is the one that
// counts.
func AfterAnswer(ctx *fasthttp.RequestCtx, then func()) {
	if c, ok := ctx.Conn().(*fastConn); ok {
		c.after = then
	}
}

// OutOfTime reports whether the time for a request ran out while it was read, of which not every error that comes of it says so.
func OutOfTime(ctx *fasthttp.RequestCtx) bool {
	c, ok := ctx.Conn().(*fastConn)
	return ok && c.late
}

// changed notes what a connection is doing. It is called by who serves the connection.
func (s *FastServer) changed(c net.Conn, state fasthttp.ConnState) {
	fc := c.(*fastConn)
	fc.state.Store(int32(state))
	if then := fc.after; then != nil && state != fasthttp.StateActive {
		fc.after = nil
		then()
	}
	if s.draining.Load() {
		s.ln.stirred.Add(1)
	}
}

// serve keeps a handler's panic to its request.
func (s *FastServer) serve(ctx *fasthttp.RequestCtx) {
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("panic in an http handler", "method", string(ctx.Method()), "path", string(ctx.Path()), "err", v, "stack", string(debug.Stack()))
			ctx.Response.Reset()
			writeDetail(ctx, http.StatusInternalServerError, "internal error")
			LeaveUnread(ctx)
		}
		if s.draining.Load() {
			ctx.SetConnectionClose()
		}
	}()
	s.handle(ctx)
}

// expect answers a client that asks before it sends a body.
func (s *FastServer) expect(ctx *fasthttp.RequestCtx) int {
	if int64(ctx.Request.Header.ContentLength()) > s.limits.Body {
		s.say(ctx, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", s.limits.Body))
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusContinue
}

// refuse answers what could not be read as a request. Who asked for nothing gets no answer, which could be taken for that to a request that is on
// its way.
func (s *FastServer) refuse(ctx *fasthttp.RequestCtx, err error) {
	code, text := http.StatusBadRequest, "the request can't be read as HTTP"
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &small):
		code, text = http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the header has more than %d bytes", s.limits.HeaderBytes)
	case errors.As(err, &timeout) && timeout.Timeout():
		code, text = http.StatusRequestTimeout, "the request did not come in time"
	}
	if c, ok := ctx.Conn().(*fastConn); ok && fasthttp.ConnState(c.state.Load()) == fasthttp.StateNew {
		_ = c.Close() // the client may have closed it already
		return
	}
	s.say(ctx, code, text)
	LeaveUnread(ctx)
}

// say answers a request that the handler does not see. What the client sent is not logged: there are records and credentials in it.
func (s *FastServer) say(ctx *fasthttp.RequestCtx, code int, text string) {
	s.log.Debug("http request refused", "remote", ctx.RemoteAddr(), "code", code, "reason", text)
	if s.Refuse != nil {
		s.Refuse(ctx, code, text)
		return
	}
	writeDetail(ctx, code, text)
}

// writeDetail answers with {"detail": text}.
func writeDetail(ctx *fasthttp.RequestCtx, code int, text string) {
	body, err := json.Marshal(map[string]string{"detail": text})
	if err != nil {
		panic("app: encode a detail: " + err.Error()) // a string always encodes
	}
	ctx.SetStatusCode(code)
	ctx.SetContentType("application/json")
	ctx.SetBody(append(body, '\n'))
}

// fastLogger takes what fasthttp has to say.
type fastLogger struct{ log *slog.Logger }

// ofConnections begins what fasthttp says of every connection that did not end well. It quotes what the client sent, and refuse has seen the error.
const ofConnections = "error when serving connection"

// Printf logs one line.
func (l fastLogger) Printf(format string, args ...any) {
	if strings.HasPrefix(format, ofConnections) {
		return
	}
	l.log.Warn("http server", "err", fmt.Sprintf(format, args...))
}
