package inference

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"telco-churn-mlops/inference/openapi"
)

// Routes beside POST /predict, as the metrics name them.
const (
	routeOIP     = "/v2"
	routeOpenAPI = "/openapi.json"
	routeDocs    = "/docs"
	routeMetrics = "/metrics"
	routeOther   = "other"
)

// handler returns the routes beside POST /predict. They are ordinary handlers, for convenience and not for speed.
func (s *Service) handler() http.Handler {
	mux := http.NewServeMux()
	s.cfg.Health.Mount(mux)
	mux.Handle("GET "+routeMetrics, promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelError),
	}))
	v2, docs := oip{s}.handler(), openapi.Page()
	mux.Handle(routeOIP, v2)
	mux.Handle(routeOIP+"/", v2)
	mux.HandleFunc("GET "+routeOpenAPI, s.describe)
	mux.Handle(routeDocs, docs)
	mux.Handle(routeDocs+"/", docs)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentJSON)
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write((&RequestError{Code: http.StatusNotFound, Text: "Not Found"}).Body()) // the client has gone: nobody is left to tell
	})
	return identified(s.recovers(deadlines(mux)))
}

// recovers answers a panic of our own code, where its stack still is.
func (s *Service) recovers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			code, body := refusal(routeLabel(r.URL.Path), &RequestError{Code: http.StatusInternalServerError, Text: "internal error"})
			w.Header().Set("Content-Type", contentJSON)
			w.WriteHeader(code)
			_, _ = w.Write(body) // the client has gone: nobody is left to tell
			s.cfg.Log.Error("panic while a request was answered", "method", r.Method, "path", r.URL.Path,
				"request_id", w.Header().Get(HeaderRequestID), "err", v, "stack", string(debug.Stack()))
		}()
		next.ServeHTTP(w, r)
	})
}

// identified has every answer name its request where the caller did, and every error name it in any case; those that a client should repeat say when.
func identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(HeaderRequestID)
		if id == "" {
			id = r.Header.Get(headerXRequestID)
		}
		if id != "" && badRequestID(id) == nil {
			w.Header().Set(HeaderRequestID, id)
		}
		next.ServeHTTP(naming{w}, r)
	})
}

// naming adds what an error has to say before its header is written.
type naming struct{ http.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (n naming) WriteHeader(code int) {
	if code >= http.StatusBadRequest && n.Header().Get(HeaderRequestID) == "" {
		n.Header().Set(HeaderRequestID, newRequestID())
	}
	if retryable(code) {
		n.Header().Set(headerRetryAfter, retryAfter)
	}
	n.ResponseWriter.WriteHeader(code)
}

// refusal is what a route says of a request that it does not take: the Open Inference Protocol has words of its own.
func refusal(route string, err *RequestError) (code int, body []byte) {
	if route != routeOIP {
		return err.Code, err.Body()
	}
	e := oipError(err)
	return e.Code, e.Body()
}

// refuseRoute answers a request that did not reach its handler, in the words of its route.
func (s *Service) refuseRoute(ctx *fasthttp.RequestCtx, err *RequestError) {
	rq := request{}
	if id := callerID(&ctx.Request.Header); badRequestID(id) == nil {
		rq.id = string(id)
	}
	out := newAnswer()
	defer out.release()
	out.refuse(err)
	code, body := refusal(routeLabel(string(ctx.Path())), err)
	out.code, out.body = code, append(out.body[:0], body...)
	s.writeAnswer(ctx, &rq, out)
}

// deadlineKey is where the deadline of a request is, as its time began before its body was read.
type deadlineKey struct{}

// deadlines gives the context of a request the deadline that its caller set.
func deadlines(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if deadline, ok := r.Context().Value(deadlineKey{}).(time.Time); ok {
			ctx, cancel := context.WithDeadline(r.Context(), deadline)
			defer cancel()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// serveRoute answers what is not POST /predict.
func (s *Service) serveRoute(ctx *fasthttp.RequestCtx, began time.Time) {
	route, code := routeLabel(string(ctx.Path())), http.StatusInternalServerError // of a panic, which the server answers
	defer func() {
		s.metrics.routed(route, methodLabel(ctx), code, s.cfg.Now().Sub(began))
	}()
	if err := s.passOn(ctx, route, began); err != nil {
		s.refuseRoute(ctx, err)
	}
	code = ctx.Response.StatusCode()
}

// passOn has an ordinary handler answer, or says why not. The library would read a body of any size to hand it over, so it is read here first,
// within the same bounds as every body.
func (s *Service) passOn(ctx *fasthttp.RequestCtx, route string, began time.Time) *RequestError {
	in := s.bodies.get()
	defer in.free()
	if err := s.readBody(ctx, in); err != nil {
		return err
	}
	if _, err := url.ParseRequestURI(string(ctx.RequestURI())); err != nil { // on which the adapter would answer 500
		return &RequestError{Code: http.StatusBadRequest, Text: "the request's address can't be read"}
	}
	if v := ctx.Request.Header.PeekCanonical(keyDeadline); len(v) > 0 {
		deadline, err := parseDeadline(string(v), began)
		if err != nil {
			return err
		}
		ctx.SetUserValue(deadlineKey{}, deadline)
	}
	ctx.Request.SetBodyRaw(in.data)
	s.routes(ctx)
	ctx.Request.ResetBody() // in is used again
	if ctx.Response.IsBodyStream() || len(ctx.Response.Body()) <= keepResponse {
		return nil
	}
	if route == routeOIP {
		if err := s.hold(ctx, len(ctx.Response.Body())); err != nil {
			ctx.Response.Reset()
			return err
		}
	}
	ctx.Response.SetBodyRaw(ctx.Response.SwapBody(nil))
	return nil
}

// adapt makes an ordinary handler one of the HTTP library's.
func adapt(h http.Handler) fasthttp.RequestHandler { return fasthttpadaptor.NewFastHTTPHandler(h) }

// routeLabel keeps the label "route" to the routes that there are.
func routeLabel(path string) string {
	switch path {
	case "/health", "/livez", "/readyz", routeMetrics, routeOpenAPI, routeDocs:
		return path
	}
	if strings.HasPrefix(path, routeDocs+"/") {
		return routeDocs
	}
	if path == routeOIP || strings.HasPrefix(path, routeOIP+"/") {
		return routeOIP
	}
	return routeOther
}

// methodLabel keeps the label "method" to the methods that there are.
func methodLabel(ctx *fasthttp.RequestCtx) string {
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch} {
		if string(ctx.Method()) == m {
			return m
		}
	}
	return routeOther
}
