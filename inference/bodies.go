package inference

import (
	"errors"
	"io"
	"math"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"telco-churn-mlops/internal/app"
)

const (
	bodyBuffer = 2 << 10  // of a request, to begin with
	keepBody   = 64 << 10 // the largest buffer that is kept for the next request
)

// bodies bounds the bytes that all bodies hold together, from their first byte until they are answered.
type bodies struct {
	held atomic.Int64
	most int64
	pool sync.Pool // of *body

	unsent atomic.Int64 // bytes of large answers that their clients have not taken yet; no more are made while there are most of them
}

// newBodies leaves room for as many of the largest bodies as requests may be in flight.
func newBodies(c Config) *bodies {
	b := &bodies{most: math.MaxInt64}
	if n := int64(c.InFlight); c.MaxBody <= b.most/n {
		b.most = n * c.MaxBody
	}
	b.pool.New = func() any { return &body{of: b, data: make([]byte, 0, bodyBuffer)} }
	return b
}

// body is what was read of one request.
type body struct {
	of   *bodies
	data []byte
	held int64
}

// get returns an empty body.
func (b *bodies) get() *body { return b.pool.Get().(*body) }

// free gives back what the body held. Nothing may use its data after that.
func (b *body) free() {
	b.of.held.Add(-b.held)
	b.held = 0
	if cap(b.data) > keepBody {
		b.data = make([]byte, 0, bodyBuffer)
	}
	b.data = b.data[:0]
	b.of.pool.Put(b)
}

// errNoRoom ends the reading of the body with which all bodies hold more than they may.
var errNoRoom = errors.New("no room for the body")

// errBodyTooLarge ends the reading of a body of unknown length.
var errBodyTooLarge = errors.New("body too large")

// fill reads r to its end, at most so many bytes.
func (b *body) fill(r io.Reader, most int64) error {
	for {
		if len(b.data) == cap(b.data) {
			b.data = append(b.data, 0)[:len(b.data)]
		}
		n, err := r.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		b.held += int64(n)
		switch {
		case b.of.held.Add(int64(n)) > b.of.most:
			return errNoRoom
		case int64(len(b.data)) > most:
			return errBodyTooLarge
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// hold counts an answer of n bytes until its client has taken it, or refuses it: a client that reads nothing keeps its answer in memory until the
// server's write timeout, and a small request can have a large answer. Those that fit into a connection's own buffer are not counted.
func (s *Service) hold(ctx *fasthttp.RequestCtx, n int) *RequestError {
	unsent := &s.bodies.unsent
	if unsent.Load() >= s.bodies.most {
		s.metrics.rejected.WithLabelValues(rejectAnswers).Inc()
		return errAnswers()
	}
	unsent.Add(int64(n))
	app.AfterAnswer(ctx, func() { unsent.Add(-int64(n)) })
	return nil
}

func errAnswers() *RequestError {
	return &RequestError{Code: http.StatusTooManyRequests, Text: "large answers that their clients do not read take all the room there is; try again"}
}

// readBody reads the whole body into b, or as much of it as is needed to refuse it; the connection ends then, after the answer.
func (s *Service) readBody(ctx *fasthttp.RequestCtx, b *body) *RequestError {
	announced := int64(ctx.Request.Header.ContentLength())
	if announced > s.cfg.MaxBody {
		app.LeaveUnread(ctx)
		return errTooLarge(s.cfg.MaxBody)
	}
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return nil
	}
	err := b.fill(stream, s.cfg.MaxBody)
	if err == nil && announced >= 0 && int64(len(b.data)) < announced {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		return nil
	}
	app.LeaveUnread(ctx)
	switch {
	case errors.Is(err, errBodyTooLarge):
		return errTooLarge(s.cfg.MaxBody)
	case errors.Is(err, errNoRoom):
		s.metrics.rejected.WithLabelValues(rejectBodies).Inc()
		return errBodies()
	case app.OutOfTime(ctx):
		return &RequestError{Code: http.StatusRequestTimeout, Text: "the body did not come in time"}
	}
	return &RequestError{Code: http.StatusBadRequest, Text: "read body: " + err.Error()}
}
