package app

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	lingerTime  = 500 * time.Millisecond // for a client to read why it was cut off
	lingerBytes = 4 << 20                // of it that are thrown away meanwhile
	newGrace    = 100 * time.Millisecond // from accepting a connection to its first request, when the server stops
	drainPoll   = 2 * time.Millisecond
	drainQuiet  = 30 * time.Millisecond // without a request on any connection, after which nobody is about to ask
	acceptPause = 20 * time.Millisecond // where the system has no descriptor or memory for a connection
)

// TellTime bounds how long a stopping [FastServer] goes on answering on connections that are in use, so that each is told to end.
const TellTime = 500 * time.Millisecond

// fastListener knows the connections that it accepted and has not seen closed.
type fastListener struct {
	net.Listener
	stirred atomic.Uint64 // changes of connections since the server began to stop
	mu      sync.Mutex
	conns   map[*fastConn]struct{}
}

func newFastListener(ln net.Listener) *fastListener {
	return &fastListener{Listener: ln, conns: map[*fastConn]struct{}{}}
}

// Accept waits where the system is short of something for the moment, which fasthttp would take for the end of the listener.
func (l *fastListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		switch {
		case err == nil:
			fc := &fastConn{Conn: c, of: l, since: time.Now()}
			l.mu.Lock()
			l.conns[fc] = struct{}{}
			l.mu.Unlock()
			return fc, nil
		case errors.Is(err, syscall.ECONNABORTED):
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
			time.Sleep(acceptPause)
		default:
			return nil, err
		}
	}
}

// open returns the number of connections that are not closed.
func (l *fastListener) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// quiet returns as soon as no connection is open or none has changed for a while, or after the time.
func (l *fastListener) quiet(most time.Duration) {
	seen, since := l.stirred.Load(), time.Now()
	l.poll(most, func() bool {
		if n := l.stirred.Load(); n != seen {
			seen, since = n, time.Now()
		}
		return l.open() == 0 || time.Since(since) >= drainQuiet
	})
}

// drained closes idle connections until none is open, and reports false if some are after the time.
func (l *fastListener) drained(most time.Duration) bool {
	return l.poll(most, func() bool {
		l.closeIdle()
		return l.open() == 0
	})
}

// poll returns true as soon as done says so, and false after the time.
func (l *fastListener) poll(most time.Duration, done func() bool) bool {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for deadline := time.Now().Add(most); ; <-tick.C {
		if done() {
			return true
		}
		if !time.Now().Before(deadline) {
			return false
		}
	}
}

// closeIdle closes the connections that wait for a request. One that was just made is given a moment, as its first request is on its way.
func (l *fastListener) closeIdle() {
	l.each(func(c *fastConn) bool {
		switch fasthttp.ConnState(c.state.Load()) {
		case fasthttp.StateIdle:
			return true
		case fasthttp.StateNew:
			return time.Since(c.since) > newGrace
		}
		return false
	})
}

func (l *fastListener) closeAll() { l.each(func(*fastConn) bool { return true }) }

// each closes the connections that it is told to.
func (l *fastListener) each(closes func(*fastConn) bool) {
	l.mu.Lock()
	var cs []*fastConn
	for c := range l.conns {
		if closes(c) {
			cs = append(cs, c)
		}
	}
	l.mu.Unlock()
	for _, c := range cs {
		c.linger.Store(false)
		_ = c.Close() // the client may have closed it already
	}
}

// fastConn is one accepted connection.
type fastConn struct {
	net.Conn
	of     *fastListener
	since  time.Time
	state  atomic.Int32 // a fasthttp.ConnState
	linger atomic.Bool  // the client is sending what nobody reads
	once   sync.Once

	// Of who serves the connection, and nobody else:
	after func() // once the answer is written
	late  bool   // a read took longer than it may
}

// Read notes that a read took too long.
func (c *fastConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		c.late = true
	}
	return n, err
}

// Close closes the connection. Data that was not read would make the system tell the client that the connection is reset, and the answer that
// is on its way to it be lost: so where that is known, what comes is thrown away for a while first.
func (c *fastConn) Close() error {
	err := error(nil)
	c.once.Do(func() {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() && half.CloseWrite() == nil {
			if c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
				_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // ends by the client, the time or the number
			}
		}
		err = c.Conn.Close()
		c.of.mu.Lock()
		delete(c.of.conns, c)
		c.of.mu.Unlock()
	})
	return err
}
