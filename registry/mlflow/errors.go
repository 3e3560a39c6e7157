package mlflow

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry/fault"
)

// errMethod is a known path with a method that it doesn't have.
var errMethod = fault.New(fault.Endpoint, "the endpoint has no such method")

// statusGone is for a client that left before its answer: seldom one that still reads, so it is for the metrics first of all.
const statusGone = 499

// wireError is the body of every error.
type wireError struct {
	Code    fault.Code `json:"error_code"`
	Message string     `json:"message"`
}

// describe turns an error into what the client is told. Nothing of an error of our own (500) is shown.
func describe(err error) (int, wireError) {
	var large *http.MaxBytesError
	var f *fault.Error
	switch {
	case errors.Is(err, errMethod):
		return http.StatusMethodNotAllowed, wireError{fault.Endpoint, errMethod.Message}
	case errors.Is(err, access.ErrUnauthenticated):
		return fault.Unauthenticated.Status(), wireError{fault.Unauthenticated, err.Error()}
	case errors.Is(err, access.ErrForbidden):
		return fault.Denied.Status(), wireError{fault.Denied, err.Error()}
	case errors.As(err, &large):
		err = fault.New(fault.Invalid, "the request must be at most %d bytes", large.Limit)
	case errors.As(err, &f):
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		err = fault.New(fault.Unavailable, "no answer in time from what the registry stands on; the call may or may not have taken effect")
	}
	code := fault.CodeOf(err)
	if code == fault.Internal {
		return code.Status(), wireError{code, "internal error; the log of the registry says more"}
	}
	return code.Status(), wireError{code, err.Error()}
}

// refuse answers with an error. If part of an answer is out already the connection is cut, as nothing else tells the client.
func (a *api) refuse(c *call, err error) {
	status, body := describe(err)
	var cause error // which the client is not told
	if f := (*fault.Error)(nil); errors.As(err, &f) {
		cause = f.Err
	}
	switch {
	case status >= 500 && c.r.Context().Err() != nil:
		status, body = statusGone, wireError{"CANCELLED", "the client left before the answer"}
	case status == http.StatusInternalServerError:
		a.log.Error("call ended in an internal error", "method", c.r.Method, "path", c.r.URL.Path, "err", err, "cause", cause)
	case status >= 500 && status != http.StatusNotImplemented:
		a.log.Warn("call could not be served now", "method", c.r.Method, "path", c.r.URL.Path, "err", err, "cause", cause)
	}
	if c.w.status != 0 {
		c.w.status = status // what the metrics shall show
		panic(http.ErrAbortHandler)
	}
	writeJSON(c.w, status, body)
}

// storeFault turns an error of the artifact store into one for the client: what is away is 503; a store that is full
// is 507, which clients don't answer by sending the file again; what is damaged or gone though its event says
// that it is there is an error of ours.
func storeFault(err error, path string) error {
	var f *fault.Error
	switch {
	case err == nil || errors.As(err, &f):
		return err
	case errors.Is(err, artifact.ErrNotFound), errors.Is(err, artifact.ErrCorrupt):
		return &fault.Error{Code: fault.Internal, Message: "content of " + cut(path), Err: err}
	case errors.Is(err, artifact.ErrFull):
		return &fault.Error{Code: fault.Exhausted, Message: "the artifact store is full: no room for " + cut(path), Err: err}
	default:
		return &fault.Error{Code: fault.Unavailable, Message: "the artifact store can't be asked for " + cut(path) + " now; the log of the registry says why", Err: err}
	}
}

// writeJSON writes an answer; nil is {}.
func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	body := []byte("{}")
	if v != nil {
		var err error
		if body, err = json.Marshal(v); err != nil {
			panic(err) // our own types, which all can be encoded
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone: nobody is left to tell
}
