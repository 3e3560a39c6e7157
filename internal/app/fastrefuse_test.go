package app_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"telco-churn-mlops/internal/app"
)

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestFastServerLogsNothingOfARequest sends what is no HTTP in several ways, with something in it that must not get out.
func TestFastServerLogsNothingOfARequest(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	ln, err := app.Listen("127.0.0.1:0", "")
	require.NoError(t, err)
	var log lines
	s := app.NewFastServer(ln, echo, short(), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	f := &fast{FastServer: s}
	const header = "Host: x\r\nAuthorization: Bearer " + secret + "\r\n"
	for request, code := range map[string]int{
		"POST / HTTP/1.1\r\n" + header + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n" + secret:      http.StatusBadRequest,
		"POST / HTTP/1.1\r\n" + header + "Content-Length: " + secret + "\r\n\r\n" + secret:              http.StatusBadRequest,
		"POST / HTTP/9\r\n" + header + "\r\n" + secret:                                                  http.StatusBadRequest,
		"POST / HTTP/1.1\r\n" + header + secret + "\r\n\r\n" + secret:                                   http.StatusBadRequest,
		"POST /" + secret + " /x HTTP/1.1\r\n" + header + "\r\n" + secret:                               http.StatusBadRequest,
		"POST / HTTP/1.1\r\nHost: [" + secret + "\r\n\r\n" + secret:                                     http.StatusBadRequest,
		"POST / HTTP/1.1\r\n" + header + "X-A: " + string(bytes.Repeat([]byte("a"), 9000)) + "\r\n\r\n": http.StatusRequestHeaderFieldsTooLarge,
		"POST / HTTP/1.1\r\n" + header + "Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n":      http.StatusRequestEntityTooLarge,
		"POST / HTTP/1.1\r\n" + header:                                                                  http.StatusRequestTimeout,
	} {
		c, r := f.dial(t)
		send(t, c, "%s", request)
		resp, body := receive(t, r, "POST")
		require.Equal(t, code, resp.StatusCode, request)
		require.Contains(t, body, `{"detail":"`)
		closed(t, r)
	}
	stop()
	require.NoError(t, <-ended)
	require.NotContains(t, log.String(), secret)
	require.Contains(t, log.String(), "http request refused")
}

// TestAfterAnswer asks for an answer that does not fit into the buffers of the system, and reads it late.
func TestAfterAnswer(t *testing.T) {
	large := bytes.Repeat([]byte("a"), 16<<20)
	var held atomic.Int64
	f := startFast(t, app.DefaultFastLimits(), func(ctx *fasthttp.RequestCtx) {
		held.Add(1)
		app.AfterAnswer(ctx, func() { held.Add(-1) })
		ctx.Response.SetBodyRaw(large)
	})
	reads, r := f.dial(t)
	leaves, _ := f.dial(t)
	for range 2 {
		send(t, reads, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		send(t, leaves, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	require.Eventually(t, func() bool { return held.Load() == 2 }, 20*time.Second, time.Millisecond)
	require.NoError(t, leaves.Close())
	require.Eventually(t, func() bool { return held.Load() == 1 }, 20*time.Second, time.Millisecond, "who has gone holds nothing")
	for range 2 { // what is not read was held until now
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.Equal(t, int64(len(large)), n)
	}
	require.Eventually(t, func() bool { return held.Load() == 0 }, 20*time.Second, time.Millisecond)
}
