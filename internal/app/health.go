package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Values of "status" in the body of /health.
const (
	StatusOK          = "ok"
	StatusUnavailable = "unavailable"
)

// Check is one named condition of a process. Detail says what is wrong, or how well it is; it may be empty.
type Check struct {
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Health is what /health shows. Checks decide whether the process is ready; notes are shown beside them and decide nothing
// (the model served, or NATS being away where the service goes on without it). Make one with NewHealth; it is safe for
// concurrent use.
type Health struct {
	mu     sync.RWMutex
	checks map[string]Check
	asked  map[string]func() Check
	notes  map[string]any
}

// NewHealth returns a Health with no checks. It is not ready: a process that has said nothing yet can't promise anything.
func NewHealth() *Health {
	return &Health{checks: map[string]Check{}, asked: map[string]func() Check{}, notes: map[string]any{}}
}

// Set records the condition of the check called name, replacing the former one. A component that will matter should set its
// check to false when it is made, so that readiness waits for it.
func (h *Health) Set(name string, ok bool, detail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name] = Check{OK: ok, Detail: detail}
}

// Ask has fn say how the check called name is, whenever health is looked at, in place of Set. It must be quick, and safe for concurrent use, and not use h.
func (h *Health) Ask(name string, fn func() Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked[name] = fn
}

// all returns the checks as they are now.
func (h *Health) all() map[string]Check {
	checks := maps.Clone(h.checks)
	for name, fn := range h.asked {
		checks[name] = fn()
	}
	return checks
}

// Note shows value under name at the top of the body of /health, without any effect on readiness. The value must be one
// that encoding/json can encode; nil takes the note away. The names "status" and "checks" are taken: a note so called is
// not shown.
func (h *Health) Note(name string, value any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if value == nil {
		delete(h.notes, name)
		return
	}
	h.notes[name] = value
}

// Ready reports whether there is at least one check and all of them are OK.
func (h *Health) Ready() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return ready(h.all())
}

func ready(checks map[string]Check) bool {
	for _, c := range checks {
		if !c.OK {
			return false
		}
	}
	return len(checks) > 0
}

// Checks returns a copy of the checks.
func (h *Health) Checks() map[string]Check {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.all()
}

// MarshalJSON writes the body of /health: the notes, "status" (StatusOK or StatusUnavailable) and "checks".
func (h *Health) MarshalJSON() ([]byte, error) {
	_, body, err := h.report()
	return body, err
}

// report returns readiness and the body that says the same, taken in one moment.
func (h *Health) report() (bool, []byte, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	checks := h.all()
	ready := ready(checks)
	body := maps.Clone(h.notes)
	body["status"] = StatusUnavailable
	if ready {
		body["status"] = StatusOK
	}
	body["checks"] = checks
	b, err := json.Marshal(body)
	if err != nil {
		return ready, nil, fmt.Errorf("encode health: %w", err)
	}
	return ready, b, nil
}

// Mount adds three GET endpoints to mux: /livez answers 200 as long as the process answers at all; /readyz answers 200 when
// Ready, else 503 with one line per failing check; /health has the same codes and the JSON of MarshalJSON.
func (h *Health) Mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeBody(w, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", h.serveReady)
	mux.HandleFunc("GET /health", h.serveHealth)
}

func (h *Health) serveReady(w http.ResponseWriter, _ *http.Request) {
	checks := h.Checks()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		if c := checks[name]; !c.OK {
			fmt.Fprintf(&b, "%s: %s\n", name, c.Detail)
		}
	}
	switch {
	case len(checks) == 0:
		writeBody(w, http.StatusServiceUnavailable, "text/plain; charset=utf-8", []byte("starting\n"))
	case b.Len() > 0:
		writeBody(w, http.StatusServiceUnavailable, "text/plain; charset=utf-8", []byte(b.String()))
	default:
		writeBody(w, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	}
}

func (h *Health) serveHealth(w http.ResponseWriter, _ *http.Request) {
	ready, body, err := h.report()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	code := http.StatusServiceUnavailable
	if ready {
		code = http.StatusOK
	}
	writeBody(w, code, "application/json", append(body, '\n'))
}

func writeBody(w http.ResponseWriter, code int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client has gone: nobody is left to tell
}
