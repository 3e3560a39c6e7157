package inference_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"testing"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus/bustest"
)

// slowly begins a request and returns once the instance reads its body. rest sends what is left and returns the status code.
func (i *instance) slowly(t testing.TB, begin, left []byte) (rest func() int) {
	t.Helper()
	conn, err := net.Dial("tcp", i.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // the connection may have ended already
	_, err = fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(begin)+len(left))
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusContinue, resp.StatusCode, "the server asks for the body when the handler reads it")
	_, err = conn.Write(begin)
	require.NoError(t, err)
	return func() int {
		_, err := conn.Write(left)
		require.NoError(t, err)
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
}

// TestSlowBodiesKeepNobodyWaiting has many more bodies on their way than requests may be in flight.
func TestSlowBodiesKeepNobodyWaiting(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	c.InFlight = 4
	i := run(t, c)
	good := records(t)[0]
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, good)
	answersNATS(t, w, good)
	var rest []func() int
	for range 4 * c.InFlight {
		rest = append(rest, i.slowly(t, good[:10], good[10:]))
	}
	require.Equal(t, 1, i.predict(t, good).Version)
	require.Empty(t, w.request(t, good, nil).Header.Get(micro.ErrorCodeHeader))
	for _, r := range rest {
		require.Equal(t, http.StatusOK, r())
	}
}

// TestBodiesAreBoundTogether lets the bodies that are being read hold no more bytes than those in flight could.
func TestBodiesAreBoundTogether(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	good := records(t)[0]
	c.InFlight, c.MaxBody = 2, int64(2*len(good))
	i := run(t, c)
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, good)

	padded := append(bytes.Repeat([]byte(" "), len(good)), good...)
	var rest []func() int
	for range 2 { // all but one byte of what there is
		rest = append(rest, i.slowly(t, padded[:2*len(good)-1], padded[2*len(good)-1:]))
	}
	bustest.Eventually(t, func() bool { return metric(t, i, "churn_inference_body_bytes") == 2*(2*len(good)-1) }, "both are read, but for what is not sent")
	code, header, _ := i.post(t, "/predict", good)
	require.Equal(t, http.StatusTooManyRequests, code)
	require.Equal(t, "1", header.Get("Retry-After"))
	require.Positive(t, metric(t, i, `churn_requests_rejected_total{reason="bodies"}`))
	for _, r := range rest {
		require.Equal(t, http.StatusOK, r())
	}
	require.Equal(t, 1, i.predict(t, good).Version, "what was held is given back")
}
