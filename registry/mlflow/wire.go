package mlflow

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// callTime bounds a call from its first byte to its answer, transfers of files excepted. It is shorter than the time that clients wait (120 s),
// and longer than a server of NATS takes to come back.
const callTime = 15 * time.Second

// prefixes are where every path is served: for programs, and for pages.
var prefixes = [...]string{"/api/2.0", "/ajax-api/2.0"}

// api holds what the handlers work on. It is immutable once the routes are registered, but for a fold with a lock of its own, and safe for concurrent use.
type api struct {
	s       *registry.Service
	book    *tracking.Book
	log     *slog.Logger
	router  router
	metrics *metrics
	// collecting holds a value while garbage is collected.
	collecting chan struct{}
	// callTime bounds each call.
	callTime time.Duration
	// manifests holds what was registered, for downloads.
	manifests manifests
}

// Mount serves the API on mux. It is called once, before the service runs. It returns an error if metrics of the same name are registered already.
func Mount(s *registry.Service, mux *http.ServeMux) error {
	a, err := newAPI(s, callTime)
	if err != nil {
		return err
	}
	a.mount(mux)
	return nil
}

func (a *api) mount(mux *http.ServeMux) {
	for _, p := range []string{"/api/", "/ajax-api/", "/get-artifact", "/model-versions/get-artifact", "/version"} {
		mux.Handle(p, a)
	}
}

func newAPI(s *registry.Service, callTime time.Duration) (*api, error) {
	m, err := newMetrics(s.Registerer())
	if err != nil {
		return nil, err
	}
	a := &api{s: s, book: s.Tracking(), log: s.Log().With("component", "mlflow"), metrics: m, callTime: callTime, collecting: make(chan struct{}, 1)}
	a.experiments()
	a.runs()
	a.histories()
	a.artifacts()
	a.models()
	return a, nil
}

// operation answers one call: a value to encode as JSON, nil for {}, or [sent] if it wrote the answer itself. Its error is described by [describe].
type operation func(*call) (any, error)

// sent is what an operation returns that has written its answer.
var sent any = new(struct{})

// handle registers an operation on a path below both prefixes. A segment {x} of the path matches one segment, which [call.path] returns;
// {x...} at the end matches the rest. Only principals with the role may call it.
func (a *api) handle(method, path string, role access.Role, op operation) {
	for _, p := range prefixes {
		a.router.add(method, p+path, path, route{role: role, op: op, limit: a.callTime})
	}
}

// handleRaw is handle for transfers of files, which last as long as bytes flow.
func (a *api) handleRaw(method, path string, role access.Role, op operation) {
	for _, p := range prefixes {
		a.router.add(method, p+path, path, route{role: role, op: op})
	}
}

// ServeHTTP implements [http.Handler].
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	out := &recorder{ResponseWriter: w}
	label := "unknown"
	defer func() { a.metrics.observe(label, out.status, time.Since(started)) }()

	match, err := a.router.find(r)
	if match.endpoint != nil {
		label = match.endpoint.label
	}
	c := &call{api: a, w: out, r: r, ctx: r.Context(), vars: match.vars}
	if err != nil {
		if match.endpoint != nil {
			w.Header().Set("Allow", match.endpoint.allow())
		}
		a.refuse(c, err)
		return
	}
	if match.route.limit > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), match.route.limit)
		defer cancel()
		c.ctx = ctx
	}
	a.run(c, match.route)
}

// run calls the operation and writes what it returned. A panic is answered as one of our own faults.
func (a *api) run(c *call, rt route) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p) // the way to cut a transfer that went wrong half way
		default:
			a.log.Error("call panicked", "path", c.r.URL.Path, "err", p, "stack", string(debug.Stack()))
			a.refuse(c, fault.New(fault.Internal, "internal error; the log says more"))
		}
	}()
	if err := access.Allow(c.ctx, rt.role); err != nil {
		a.refuse(c, err)
		return
	}
	answer, err := rt.op(c)
	switch {
	case err != nil:
		a.refuse(c, err)
	case answer != sent:
		writeJSON(c.w, http.StatusOK, answer)
	}
}

// call is one request on its way. It belongs to one goroutine.
type call struct {
	*api
	w    *recorder
	r    *http.Request
	ctx  context.Context
	vars []string // names and values in turn
}

// path returns the decoded segment of the path that the route calls name.
func (c *call) path(name string) string {
	for i := 0; i < len(c.vars); i += 2 {
		if c.vars[i] == name {
			return c.vars[i+1]
		}
	}
	return ""
}

// actor is the name of who calls, for the record.
func (c *call) actor() string { return access.From(c.ctx).Name }

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int // 0 until the header was written
}

// WriteHeader implements [http.ResponseWriter].
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets [http.ResponseController] find what it needs.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
