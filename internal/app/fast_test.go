package app_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"telco-churn-mlops/internal/app"
)

// fast is a running FastServer.
type fast struct {
	*app.FastServer
	begin func()       // tells it to stop
	ended func() error // waits until it has
}

// startFast serves h within limits; echo for nil.
func startFast(t *testing.T, l app.FastLimits, h fasthttp.RequestHandler) *fast {
	t.Helper()
	ln, err := app.Listen("127.0.0.1:0", "")
	require.NoError(t, err)
	if h == nil {
		h = echo
	}
	s := app.NewFastServer(ln, h, l, quiet())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	f := &fast{FastServer: s, begin: cancel, ended: sync.OnceValue(func() error { return <-ended })}
	t.Cleanup(func() {
		cancel()
		require.NoError(t, f.ended())
	})
	return f
}

// echo answers with the body, of at most 1 MiB.
func echo(ctx *fasthttp.RequestCtx) {
	if ctx.Request.Header.ContentLength() > 1<<20 {
		ctx.SetStatusCode(http.StatusRequestEntityTooLarge)
		ctx.SetBodyString("too large")
		app.LeaveUnread(ctx)
		return
	}
	var body []byte
	if r := ctx.RequestBodyStream(); r != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r, 1<<20)); err != nil {
			ctx.SetStatusCode(http.StatusRequestTimeout)
			app.LeaveUnread(ctx)
			return
		}
	}
	ctx.SetBody(append([]byte("echo "), body...))
}

// short are limits that a test can wait for.
func short() app.FastLimits {
	l := app.DefaultFastLimits()
	l.Read, l.Idle = time.Second, 300*time.Millisecond // a connection has to say its first word within Read, on a busy machine, too
	return l
}

func (f *fast) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", f.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() }) // the server may have closed it already
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c, bufio.NewReader(c)
}

// receive reads one answer.
func receive(t *testing.T, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// closed requires that the server ends the connection, after whatever it still says.
func closed(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	rest, err := io.ReadAll(r)
	if err != nil {
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	return string(rest)
}

func send(t *testing.T, c net.Conn, format string, args ...any) {
	t.Helper()
	_, err := fmt.Fprintf(c, format, args...)
	require.NoError(t, err)
}

func TestFastServerSpeaksHTTP(t *testing.T) {
	f := startFast(t, app.DefaultFastLimits(), nil)

	t.Run("pipelining", func(t *testing.T) {
		c, r := f.dial(t)
		send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\naPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nbGET / HTTP/1.1\r\nHost: x\r\n\r\n")
		for _, want := range []string{"echo a", "echo b", "echo "} {
			_, body := receive(t, r, "POST")
			require.Equal(t, want, body)
		}
	})
	t.Run("chunked", func(t *testing.T) {
		c, r := f.dial(t)
		for range 2 {
			send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
			_, body := receive(t, r, "POST")
			require.Equal(t, "echo abcde", body)
		}
	})
	t.Run("HTTP/1.0", func(t *testing.T) {
		c, r := f.dial(t)
		send(t, c, "POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\na")
		resp, body := receive(t, r, "POST")
		require.Equal(t, "echo a", body)
		require.True(t, resp.Close)
		closed(t, r)
		c, r = f.dial(t)
		for range 2 {
			send(t, c, "POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na")
			_, body = receive(t, r, "POST")
			require.Equal(t, "echo a", body)
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		c, r := f.dial(t)
		for range 2 {
			send(t, c, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, body := receive(t, r, "HEAD")
			require.Equal(t, int64(5), resp.ContentLength)
			require.Empty(t, body)
		}
	})
	t.Run("Expect: 100-continue", func(t *testing.T) {
		c, r := f.dial(t)
		send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
		resp, _ := receive(t, r, "POST")
		require.Equal(t, http.StatusContinue, resp.StatusCode)
		send(t, c, "abc")
		_, body := receive(t, r, "POST")
		require.Equal(t, "echo abc", body)
	})
	t.Run("Expect: 100-continue of too much", func(t *testing.T) {
		c, r := f.dial(t)
		send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\nExpect: 100-continue\r\n\r\n")
		resp, body := receive(t, r, "POST")
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		require.JSONEq(t, `{"detail":"the body has more than 1048576 bytes"}`, body)
		closed(t, r)
	})
	t.Run("no HTTP", func(t *testing.T) {
		c, r := f.dial(t)
		send(t, c, "\x16\x03\x01 hello\r\n\r\n")
		resp, body := receive(t, r, "POST")
		require.Equal(t, http.StatusBadRequest, resp.StatusCode)
		require.JSONEq(t, `{"detail":"the request can't be read as HTTP"}`, body)
		closed(t, r)
	})
}

// TestFastServerCutsOff sends slowly, too much, or not at all.
func TestFastServerCutsOff(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, begin, drip string // drip is sent again and again
		code              int    // 0: cut without a word
	}{
		{"a slow header", "POST / HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n", http.StatusRequestTimeout},
		{"a slow request line", "POST /", "a", http.StatusRequestTimeout},
		{"a slow body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", "a", http.StatusRequestTimeout},
		{"slow chunks", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", http.StatusRequestTimeout},
		{"a flood of headers", "POST / HTTP/1.1\r\nHost: x\r\n", strings.Repeat("X-A: b\r\n", 100), http.StatusRequestHeaderFieldsTooLarge},
		{"a long header", "POST / HTTP/1.1\r\nHost: x\r\nX-A: ", strings.Repeat("a", 1000), http.StatusRequestHeaderFieldsTooLarge},
		{"a long address", "GET /", strings.Repeat("a", 1000), http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := startFast(t, short(), nil)
			c, r := f.dial(t)
			send(t, c, "%s", tc.begin)
			stop := make(chan struct{})
			var drips sync.WaitGroup
			drips.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(10 * time.Millisecond):
						if _, err := io.WriteString(c, tc.drip); err != nil {
							return
						}
					}
				}
			})
			resp, _ := receive(t, r, "POST")
			require.Equal(t, tc.code, resp.StatusCode)
			require.True(t, resp.Close)
			require.Equal(t, "", closed(t, r), "the connection ends")
			close(stop)
			drips.Wait()
		})
	}
}

func TestFastServerCutsOffWhoSaysNothing(t *testing.T) {
	t.Parallel()
	f := startFast(t, short(), nil)
	_, silent := f.dial(t)
	c, idle := f.dial(t)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_, body := receive(t, idle, "GET")
	require.Equal(t, "echo ", body)
	require.Empty(t, closed(t, idle), "an idle connection ends without a word")
	require.Empty(t, closed(t, silent), "and so does one that never asked")
}

// TestFastServerCutsOffWhoDoesNotRead pipelines requests for large answers and reads none.
func TestFastServerCutsOffWhoDoesNotRead(t *testing.T) {
	l := app.DefaultFastLimits()
	l.Write = 200 * time.Millisecond
	large := bytes.Repeat([]byte("a"), 1<<20)
	var answered atomic.Int64
	f := startFast(t, l, func(ctx *fasthttp.RequestCtx) {
		answered.Add(1)
		ctx.SetBody(large)
	})
	c, _ := f.dial(t)
	const requests = 200
	send(t, c, "%s", strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", requests))
	require.Eventually(t, func() bool { return answered.Load() > 0 && f.Connections() == 0 }, 20*time.Second, time.Millisecond)
	require.Less(t, answered.Load(), int64(requests), "what fits in the system's buffers and no more")
}

// TestFastServerRefusesLargeBodiesEarly sends 100 MB, announced and in chunks, and reads the answer while it still has most of it to send.
func TestFastServerRefusesLargeBodiesEarly(t *testing.T) {
	var read atomic.Int64
	f := startFast(t, app.DefaultFastLimits(), func(ctx *fasthttp.RequestCtx) {
		if r := ctx.RequestBodyStream(); ctx.Request.Header.ContentLength() < 0 && r != nil {
			n, err := io.CopyN(io.Discard, r, 1<<20)
			require.NoError(t, err)
			read.Add(n)
		}
		ctx.SetStatusCode(http.StatusRequestEntityTooLarge)
		app.LeaveUnread(ctx)
	})
	for _, framing := range []string{"Content-Length: 104857600", "Transfer-Encoding: chunked"} {
		c, r := f.dial(t)
		send(t, c, "POST / HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", framing)
		var sent atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			chunk := []byte("10000\r\n" + strings.Repeat("a", 1<<16) + "\r\n")
			for sent.Load() < 100<<20 {
				n, err := c.Write(chunk)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
		resp, _ := receive(t, r, "POST")
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode, framing)
		<-done
		require.Less(t, sent.Load(), int64(50<<20), framing)
	}
	require.Equal(t, int64(1<<20), read.Load())
}

func TestFastServerAnswersAPanic(t *testing.T) {
	f := startFast(t, app.DefaultFastLimits(), func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/panic" {
			panic("our own bug")
		}
		echo(ctx)
	})
	c, r := f.dial(t)
	send(t, c, "POST /panic HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na")
	resp, body := receive(t, r, "POST")
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	require.JSONEq(t, `{"detail":"internal error"}`, body)
	closed(t, r)
	c, r = f.dial(t)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_, body = receive(t, r, "GET")
	require.Equal(t, "echo ", body)
}

// TestFastServerHoldsManyIdleConnections says what one costs.
func TestFastServerHoldsManyIdleConnections(t *testing.T) {
	const many = 1500
	var files syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	require.Greater(t, files.Cur, uint64(2*many+100), "descriptors for both ends")
	f := startFast(t, app.DefaultFastLimits(), nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range many {
		c, err := net.Dial("tcp", f.Addr())
		require.NoError(t, err)
		defer c.Close()
		send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		buf := make([]byte, 512)
		n, err := c.Read(buf)
		require.NoError(t, err)
		require.Contains(t, string(buf[:n]), "200 OK")
	}
	require.Equal(t, many, f.Connections())
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapInuse + after.StackInuse - before.HeapInuse - before.StackInuse) / many
	t.Logf("%d bytes a connection", each)
	require.Less(t, each, uint64(48<<10))
}

func TestFastServerBoundsConnections(t *testing.T) {
	l := app.DefaultFastLimits()
	l.Connections = 2
	f := startFast(t, l, nil)
	var first net.Conn
	for n := range 2 {
		c, r := f.dial(t)
		send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		receive(t, r, "GET")
		if n == 0 {
			first = c
		}
	}
	_, r := f.dial(t)
	resp, _ := receive(t, r, "GET")
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Equal(t, 1, f.TurnedAway())
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool {
		c, r := f.dial(t)
		send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		return err == nil && resp.StatusCode == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond, "a place is free again")
}

// TestFastServerDrains holds a request in flight, an idle connection and one that goes on asking while the server stops.
func TestFastServerDrains(t *testing.T) {
	t.Parallel() // it takes the delay
	l := app.DefaultFastLimits()
	l.DrainDelay = 3 * time.Second
	entered, release := make(chan struct{}), make(chan struct{})
	f := startFast(t, l, func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/slow" {
			close(entered)
			<-release
		}
		echo(ctx)
	})
	slow, slowR := f.dial(t)
	send(t, slow, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	asking, askingR := f.dial(t)
	send(t, asking, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, _ := receive(t, askingR, "GET")
	require.False(t, resp.Close)
	<-entered
	f.begin()
	require.Eventually(t, f.Draining, 10*time.Second, time.Millisecond)

	send(t, asking, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, _ = receive(t, askingR, "GET")
	require.True(t, resp.Close, "a kept-alive connection is told to go")
	closed(t, askingR)
	late, lateR := f.dial(t)
	send(t, late, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, body := receive(t, lateR, "GET")
	require.Equal(t, "echo ", body, "who has not heard of it is answered during the delay")
	require.True(t, resp.Close)
	close(release)
	resp, body = receive(t, slowR, "GET")
	require.Equal(t, "echo ", body)
	require.True(t, resp.Close)
	require.NoError(t, f.ended())
	_, err := net.Dial("tcp", f.Addr())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestFastServerCutsWhatDoesNotEnd(t *testing.T) {
	l := app.DefaultFastLimits()
	l.Drain = 100 * time.Millisecond
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	f := startFast(t, l, func(ctx *fasthttp.RequestCtx) {
		close(entered)
		<-release
	})
	idle, idleR := f.dial(t)
	_ = idle
	c, r := f.dial(t)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	f.begin()
	require.NoError(t, f.ended())
	closed(t, r)
	closed(t, idleR)
}

func TestFastServerReportsALostListener(t *testing.T) {
	ln, err := app.Listen("127.0.0.1:0", "")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	err = app.NewFastServer(ln, echo, app.DefaultFastLimits(), quiet()).Run(t.Context())
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestFastLimitsNameWhatIsWrong(t *testing.T) {
	require.NoError(t, app.DefaultFastLimits().Validate())
	err := app.FastLimits{DrainDelay: -1}.Validate()
	for _, part := range []string{"read timeout", "write timeout", "idle timeout", "header bytes", "connections", "drain timeout", "drain delay"} {
		require.ErrorContains(t, err, part)
	}
}
