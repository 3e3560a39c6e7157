package openinference

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Options of a handler.
type Options struct {
	// Server and Version name the server at /v2. Server is required.
	Server, Version string
	// MaxBody bounds a body in bytes, and MaxRows the rows of a request. Both are required.
	MaxBody int64
	MaxRows int
}

// Headers that are read and written here, beside those that the service sets on every answer.
const (
	headerRequestID    = "Request-Id"
	headerXRequestID   = "X-Request-Id"
	headerModelVersion = "Model-Version"
	headerPredictionID = "Prediction-Id"
	headerRevision     = "Rollout-Revision"
)

type handler struct {
	engine Engine
	o      Options
}

// Handler returns the handler of /v2 and everything under it. It is safe for concurrent use and keeps nothing between requests. A deadline is that of
// the request's context.
func Handler(e Engine, o Options) http.Handler {
	h := &handler{engine: e, o: o}
	mux := http.NewServeMux()
	on := func(method, path string, serve http.HandlerFunc) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
				w.Header().Set("Allow", method)
				fail(w, &Error{Code: http.StatusMethodNotAllowed, Text: "the method " + r.Method + " is not allowed, want " + method})
				return
			}
			serve(w, r)
		})
	}
	on(http.MethodGet, "/v2", h.server)
	on(http.MethodGet, "/v2/{$}", h.server)
	on(http.MethodGet, "/v2/health/live", h.live)
	on(http.MethodGet, "/v2/health/ready", h.ready)
	for _, path := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		on(http.MethodGet, path, h.model)
		on(http.MethodGet, path+"/ready", h.modelReady)
		on(http.MethodPost, path+"/infer", h.infer)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, &Error{Code: http.StatusNotFound, Text: "there is nothing at this path"})
	})
	return mux
}

// find returns what is served and the version that the path names: the one in Production where it names none.
func (h *handler) find(r *http.Request) (*Served, *Version, int, error) {
	served := h.engine.Served()
	if name := r.PathValue("model"); name != served.Model {
		return nil, nil, 0, &Error{Code: http.StatusNotFound, Text: "there is no model " + strconv.Quote(cut(name)) + " here"}
	}
	number := 0
	if text := r.PathValue("version"); text != "" {
		var err error
		if number, err = strconv.Atoi(text); err != nil || number < 1 || strconv.Itoa(number) != text {
			return nil, nil, 0, &Error{Code: http.StatusNotFound, Text: "there is no version " + strconv.Quote(cut(text)) + ": versions are numbers from 1"}
		}
	}
	if len(served.Versions) == 0 {
		return &served, nil, number, &Error{Code: http.StatusServiceUnavailable, Text: reasonOf(&served)}
	}
	v := served.version(number)
	if v == nil {
		return nil, nil, number, &Error{Code: http.StatusNotFound, Text: "version " + strconv.Itoa(number) + " is not held by this instance"}
	}
	return &served, v, number, nil
}

func reasonOf(s *Served) string {
	if s.Reason != "" {
		return s.Reason
	}
	return "model " + s.Model + " has no version loaded"
}

func cut(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

func (h *handler) infer(w http.ResponseWriter, r *http.Request) {
	served, version, number, err := h.find(r)
	if err != nil {
		fail(w, err)
		return
	}
	if r.Header.Get("Inference-Header-Content-Length") != "" {
		fail(w, bad("the binary tensor extension is not spoken: send the tensors' data as JSON"))
		return
	}
	explain, err := queryBool(r, "explain")
	if err != nil {
		fail(w, err)
		return
	}
	strict, err := queryBool(r, "strict")
	if err != nil {
		fail(w, err)
		return
	}
	body, err := h.read(w, r)
	if err != nil {
		fail(w, err)
		return
	}
	release, err := h.engine.Admit(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	defer release()
	rq, err := parseRequest(body)
	if err != nil {
		fail(w, err)
		return
	}
	rq.explain, rq.strict = rq.explain || explain, rq.strict || strict
	h.answer(w, r, rq, served, version, number)
}

// answer scores a request that was understood.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, rq *request, served *Served, version *Version, number int) {
	chosen, err := choose(rq)
	if err != nil {
		fail(w, err)
		return
	}
	recs, err := buildRecords(rq, served, version, h.o.MaxRows)
	if err != nil {
		fail(w, err)
		return
	}
	id := requestID(r, rq)
	rs, err := h.engine.Infer(r.Context(), Call{Version: number, Records: recs.rows, Explain: rq.explain, Strict: rq.strict, RequestID: id})
	switch {
	case err != nil:
		fail(w, err)
		return
	case len(rs) != len(recs.rows):
		fail(w, errors.New("results for another number of rows"))
		return
	case rq.explain && !alike(rs):
		fail(w, bad("two versions with different columns answered: ask for the explanation of one, by its path"))
		return
	}
	if id != "" {
		w.Header().Set(headerRequestID, id)
	}
	if rs[0].Revision > 0 {
		w.Header().Set(headerRevision, strconv.Itoa(rs[0].Revision))
	}
	if v := oneVersion(rs); v > 0 {
		w.Header().Set(headerModelVersion, strconv.Itoa(v))
	}
	if len(rs) == 1 {
		w.Header().Set(headerPredictionID, rs[0].PredictionID)
	}
	write(w, http.StatusOK, encode(served.Model, rq.id, chosen, rs, recs.warnings))
}

// requestID returns the caller's own id of the request: the header, or the "id" of the body where it could be a header. The protocol allows any text.
func requestID(r *http.Request, rq *request) string {
	for _, name := range []string{headerRequestID, headerXRequestID} {
		if id := r.Header.Get(name); id != "" {
			return id
		}
	}
	const most = 128 // as for the header
	if len(rq.id) > most || strings.ContainsFunc(rq.id, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	return rq.id
}

// read returns the whole body.
func (h *handler) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.o.MaxBody))
	var tooLarge *http.MaxBytesError
	var refused *Error
	switch {
	case errors.As(err, &tooLarge):
		return nil, &Error{Code: http.StatusRequestEntityTooLarge, Text: "the body has more than " + strconv.FormatInt(h.o.MaxBody, 10) + " bytes"}
	case errors.As(err, &refused): // of whoever bounds the bodies of all requests
		return nil, refused
	case err != nil:
		return nil, bad("read body: %s", err)
	}
	return body, nil
}

// queryBool reads ?name=true.
func queryBool(r *http.Request, name string) (bool, error) {
	query := r.URL.Query()
	if !query.Has(name) {
		return false, nil
	}
	v, err := strconv.ParseBool(query.Get(name))
	if err != nil {
		return false, bad("%s in the query must be true or false", name)
	}
	return v, nil
}

// fail answers with an error. One that is no *Error is the context's, or our own fault.
func fail(w http.ResponseWriter, err error) {
	var e *Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.DeadlineExceeded):
		e = &Error{Code: http.StatusGatewayTimeout, Text: "the deadline has passed"}
	case errors.Is(err, context.Canceled):
		e = &Error{Code: http.StatusServiceUnavailable, Text: "the request was given up"}
	default:
		e = &Error{Code: http.StatusInternalServerError, Text: "internal error"} // whoever made it logs it; its words are not for strangers
	}
	if e.Code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	write(w, e.Code, e.Body())
}

func write(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client has gone: nobody is left to tell
}
