package inference

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

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

// servePredict answers POST /predict. The content type is not looked at: the body is JSON or it is refused.
func (s *Service) servePredict(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		s.refuse(w, &RequestError{Code: http.StatusMethodNotAllowed, Text: "Method Not Allowed: POST a record"})
		return
	}
	done := s.admit()
	if done == nil {
		w.Header().Set("Retry-After", "1")
		s.refuse(w, errTooMany(s.cfg.InFlight))
		return
	}
	defer done()
	strict, err := strictOf(r.URL.Query())
	if err != nil {
		s.refuse(w, err)
		return
	}
	body, err := s.read(w, r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	reply(w, s.answer(transportHTTP, body, strict))
}

// read returns the whole body.
func (s *Service) read(w http.ResponseWriter, r *http.Request) ([]byte, *RequestError) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.cfg.MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge(s.cfg.MaxBody)
	case err != nil:
		return nil, &RequestError{Code: http.StatusBadRequest, Text: "read body: " + err.Error()}
	}
	return body, nil
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
