package inference

import (
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Headers of an answer, the same over HTTP and NATS.
const (
	HeaderPredictionID = "Prediction-Id" // of a single record
	HeaderModelVersion = "Model-Version"
)

// handler returns the routes of the instance's port.
func (s *Service) handler() http.Handler {
	mux := http.NewServeMux()
	s.cfg.Health.Mount(mux)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelError),
	}))
	mux.HandleFunc("/predict", s.servePredict)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, refused(&RequestError{Code: http.StatusNotFound, Text: "Not Found"}))
	})
	return mux
}

// servePredict answers POST /predict. The content type is not looked at: the body is JSON or it is refused. The body is read whole before the
// request takes a permit, so that clients who send slowly keep nobody else out; what they can hold is bound by bodies, and for how long by
// the server's read timeout.
func (s *Service) servePredict(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		s.refuse(w, &RequestError{Code: http.StatusMethodNotAllowed, Text: "Method Not Allowed: POST a record"})
		return
	}
	strict, err := strictOf(r.URL.Query())
	if err != nil {
		s.refuse(w, err)
		return
	}
	in := &body{of: s.bodies, r: http.MaxBytesReader(w, r.Body, s.cfg.MaxBody)}
	defer in.free()
	data, err := s.read(in)
	if err != nil {
		s.refuse(w, err)
		return
	}
	done := s.admit()
	if done == nil {
		s.refuse(w, errTooMany(s.cfg.InFlight))
		return
	}
	defer done()
	reply(w, s.answer(transportHTTP, data, strict))
}

// bodies bounds the bytes that all bodies hold together, from their first byte until they are answered.
type bodies struct {
	held atomic.Int64
	most int64
}

// newBodies leaves room for as many of the largest bodies as requests may be in flight.
func newBodies(c Config) *bodies {
	most := int64(math.MaxInt64)
	if n := int64(c.InFlight); c.MaxBody <= most/n {
		most = n * c.MaxBody
	}
	return &bodies{most: most}
}

// errNoRoom ends the reading of the body with which all bodies hold more than they may.
var errNoRoom = errors.New("no room for the body")

// body counts what is read of one request.
type body struct {
	of   *bodies
	r    io.Reader
	held int64
}

// Read returns errNoRoom beside the bytes that were too many.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.held += int64(n)
	if b.of.held.Add(int64(n)) > b.of.most {
		return n, errNoRoom
	}
	return n, err
}

// free gives back what the body held.
func (b *body) free() { b.of.held.Add(-b.held) }

// read returns the whole body.
func (s *Service) read(in *body) ([]byte, *RequestError) {
	data, err := io.ReadAll(in)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge(s.cfg.MaxBody)
	case errors.Is(err, errNoRoom):
		s.metrics.rejected.WithLabelValues("bodies").Inc()
		return nil, errBodies()
	case err != nil:
		return nil, &RequestError{Code: http.StatusBadRequest, Text: "read body: " + err.Error()}
	}
	return data, nil
}

// strictOf reads ?strict=true.
func strictOf(q url.Values) (bool, *RequestError) {
	v := q.Get("strict")
	if v == "" {
		return false, nil
	}
	strict, err := strconv.ParseBool(v)
	if err != nil {
		return false, unprocessable(Problem{Loc: []any{"query", "strict"}, Msg: "must be true or false", Type: "bool_parsing"})
	}
	return strict, nil
}

// refuse answers and counts a request that did not reach the predictor.
func (s *Service) refuse(w http.ResponseWriter, err *RequestError) {
	s.metrics.requests.WithLabelValues(transportHTTP, strconv.Itoa(err.Code)).Inc()
	if err.Code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	reply(w, refused(err))
}

func reply(w http.ResponseWriter, r result) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(r.body)))
	for _, kv := range r.headers() {
		h.Set(kv[0], kv[1])
	}
	w.WriteHeader(r.code)
	_, _ = w.Write(r.body) // the client has gone: nobody is left to tell
}

// headers returns what an answer says outside of its body.
func (r result) headers() [][2]string {
	if r.batch == nil {
		return nil
	}
	first := r.batch.Answers[0]
	h := [][2]string{{HeaderModelVersion, strconv.Itoa(first.Version)}}
	if !r.batch.List {
		h = append(h, [2]string{HeaderPredictionID, first.PredictionID})
	}
	return h
}
