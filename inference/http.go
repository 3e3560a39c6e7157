package inference

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	routePredict = "/predict"
	contentJSON  = "application/json"

	// keepResponse is the largest body that a connection's own buffer may take: such a buffer stays with the connection.
	keepResponse = 16 << 10
)

// Names of headers, as the HTTP library takes them without another conversion.
var (
	keyRequestID       = []byte(HeaderRequestID)
	keyXRequestID      = []byte(headerXRequestID)
	keyDeadline        = []byte(HeaderDeadline)
	keyPredictionID    = []byte(HeaderPredictionID)
	keyModelVersion    = []byte(HeaderModelVersion)
	keyRolloutRevision = []byte(HeaderRolloutRevision)
	valueJSON          = []byte(contentJSON)
)

// serveHTTP answers every request of the instance's port. POST /predict does without anything that costs: nothing of ours is allocated for
// a request that is answered.
func (s *Service) serveHTTP(ctx *fasthttp.RequestCtx) {
	began := s.cfg.Now()
	if string(ctx.Path()) != routePredict {
		s.serveRoute(ctx, began)
		return
	}
	code := http.StatusInternalServerError // of a panic, which the server answers
	defer func() {
		if ctx.IsPost() {
			s.metrics.predicted(code, s.cfg.Now().Sub(began))
		} else {
			s.metrics.routed(routePredict, methodLabel(ctx), code, s.cfg.Now().Sub(began))
		}
	}()
	s.servePredict(ctx, began)
	code = ctx.Response.StatusCode()
}

// servePredict answers POST /predict. The content type is not looked at: the body is JSON or it is refused. The body is read whole before the
// request takes a place among those in flight, so that clients who send slowly keep nobody else out; what they can hold is bound by bodies, and
// for how long by the server's read timeout. It is also read whole before the request is refused for anything else, as a client that is cut off
// in the middle of sending may never read why.
func (s *Service) servePredict(ctx *fasthttp.RequestCtx, began time.Time) {
	rq := request{transport: transportHTTP}
	fault := requestOf(ctx, &rq, began)
	if !ctx.IsPost() {
		ctx.Response.Header.Set("Allow", http.MethodPost)
		fault = &RequestError{Code: http.StatusMethodNotAllowed, Text: "Method Not Allowed: POST a record"}
	}
	in := s.bodies.get()
	defer in.free()
	if err := s.readBody(ctx, in); err != nil {
		s.refuseHTTP(ctx, &rq, err)
		return
	}
	if fault != nil {
		s.refuseHTTP(ctx, &rq, fault)
		return
	}
	if err := s.admit(rq.deadline); err != nil {
		s.refuseHTTP(ctx, &rq, err)
		return
	}
	defer s.gate.leave()
	rq.body = in.data
	out := newAnswer()
	defer out.release()
	s.answer(&rq, out)
	s.writeAnswer(ctx, &rq, out)
}

// requestOf reads what a request says outside of its body.
func requestOf(ctx *fasthttp.RequestCtx, rq *request, began time.Time) (err *RequestError) {
	h := &ctx.Request.Header
	id := callerID(h)
	if err := badRequestID(id); err != nil {
		return err
	}
	if len(id) > 0 {
		rq.id = string(id)
	}
	if v := h.PeekCanonical(keyDeadline); len(v) > 0 {
		if rq.deadline, err = parseDeadline(string(v), began); err != nil {
			return err
		}
	}
	if len(ctx.URI().QueryString()) == 0 {
		return nil
	}
	return rq.options(ctx.QueryArgs())
}

// callerID returns the caller's id of the request, as it stands in the header; none is empty.
func callerID(h *fasthttp.RequestHeader) []byte {
	if id := h.PeekCanonical(keyRequestID); len(id) > 0 {
		return id
	}
	return h.PeekCanonical(keyXRequestID)
}

// options takes the options from a query, whatever the case of their names, as over NATS; of one that stands there twice the first counts. Others are
// nothing to us.
func (rq *request) options(query *fasthttp.Args) (err *RequestError) {
	flags := [...]struct {
		name string
		set  *bool
		seen bool
	}{{name: "strict", set: &rq.strict}, {name: "partial", set: &rq.partial}, {name: "explain", set: &rq.explain}}
	for name, value := range query.All() {
		for i := range flags {
			f := &flags[i]
			if f.seen || !strings.EqualFold(string(name), f.name) {
				continue
			}
			if *f.set, err = parseFlag(value, "query", f.name); err != nil {
				return err
			}
			f.seen = true
		}
	}
	return nil
}

// admit takes a place for a request, or says why it gets none: 429 over the bound, 504 where nobody waits for the answer any more.
func (s *Service) admit(deadline time.Time) *RequestError {
	if !deadline.IsZero() && passed(deadline, s.cfg.Now()) {
		s.metrics.rejected.WithLabelValues(rejectDeadline).Inc()
		return errDeadline()
	}
	if !s.gate.enter() {
		s.metrics.rejected.WithLabelValues(rejectInFlight).Inc()
		return errTooMany(s.cfg.InFlight)
	}
	return nil
}

// refuseHTTP answers a request that did not reach the engine.
func (s *Service) refuseHTTP(ctx *fasthttp.RequestCtx, rq *request, err *RequestError) {
	out := newAnswer()
	defer out.release()
	out.refuse(err)
	s.writeAnswer(ctx, rq, out)
}

// writeAnswer copies the answer into the response; one for which there is no room becomes a refusal.
func (s *Service) writeAnswer(ctx *fasthttp.RequestCtx, rq *request, out *answer) {
	if len(out.body) > keepResponse {
		if err := s.hold(ctx, len(out.body)); err != nil {
			out.refuse(err)
		}
	}
	r := &ctx.Response
	r.SetStatusCode(out.code)
	r.Header.SetContentTypeBytes(valueJSON)
	var number [20]byte
	if out.version > 0 {
		r.Header.SetCanonical(keyModelVersion, strconv.AppendInt(number[:0], int64(out.version), 10))
	}
	if out.revision > 0 {
		r.Header.SetCanonical(keyRolloutRevision, strconv.AppendInt(number[:0], int64(out.revision), 10))
	}
	if len(out.predictionID) > 0 {
		r.Header.SetCanonical(keyPredictionID, out.predictionID)
	}
	if rq.named(out) {
		r.Header.SetBytesK(keyRequestID, rq.id)
	}
	if retryable(out.code) {
		r.Header.Set(headerRetryAfter, retryAfter)
	}
	if len(out.body) > keepResponse {
		r.SetBodyRaw(bytes.Clone(out.body))
		return
	}
	r.SetBody(out.body)
}
