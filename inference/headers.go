package inference

import (
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Headers, the same over HTTP and NATS. Over NATS their case does not matter, and an answer that is no error has them only if the request had some:
// who sends none reads prediction id and version in the body.
const (
	// HeaderRequestID is the caller's id of a request: up to 128 printable ASCII characters. It is in the answer, in log lines about failures, and
	// in prediction.made; a request that comes again with it has the same prediction ids and is logged once. X-Request-Id is taken, too. An answer
	// that is an error has one even where the caller gave none.
	HeaderRequestID = "Request-Id"
	// HeaderDeadline is until when the caller waits: an RFC 3339 time, or a duration such as 250ms from when the request arrives. A request
	// whose deadline has passed is answered 504 and not worked on any further.
	HeaderDeadline = "Deadline"
	// HeaderStrict, HeaderPartial and HeaderExplain set to "true" on a NATS request are what ?strict=true, ?partial=true and ?explain=true are over
	// HTTP: refuse what is otherwise a warning; answer the sound records of a list that has faulty ones; explain each score.
	HeaderStrict  = "Strict"
	HeaderPartial = "Partial"
	HeaderExplain = "Explain"

	HeaderPredictionID    = "Prediction-Id"    // of a single record
	HeaderModelVersion    = "Model-Version"    // that answered; of a list under a split, Production's
	HeaderRolloutRevision = "Rollout-Revision" // of the split in force, if there is one

	headerXRequestID = "X-Request-Id"
	headerRetryAfter = "Retry-After"
)

// retryAfter is how long a client that is refused for load should wait, in seconds.
const retryAfter = "1"

// maxRequestID is the longest request id, in bytes.
const maxRequestID = 128

// badRequestID returns what is wrong with a caller's request id, nil for nothing.
func badRequestID[T string | []byte](id T) *RequestError {
	ok := len(id) <= maxRequestID
	for i := 0; ok && i < len(id); i++ {
		ok = id[i] > ' ' && id[i] <= '~'
	}
	if ok {
		return nil
	}
	return unprocessable(Problem{Loc: []any{"header", HeaderRequestID}, Msg: "must be at most 128 printable ASCII characters without spaces", Type: "value_error"})
}

// newRequestID makes an id for a request that failed and had none.
func newRequestID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString() // panics where there are no random numbers, which does not happen
	}
	return id.String()
}

// parseDeadline reads HeaderDeadline; now is when the request arrived.
func parseDeadline(v string, now time.Time) (time.Time, *RequestError) {
	if d, err := time.ParseDuration(v); err == nil {
		return now.Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil || t.IsZero() {
		return time.Time{}, unprocessable(Problem{Loc: []any{"header", HeaderDeadline},
			Msg: "must be an RFC 3339 time or a duration such as 250ms", Type: "datetime_parsing"})
	}
	return t, nil
}

// passed reports whether there is a deadline and it is not ahead.
func passed(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }

// errDeadline is the 504 of a request whose caller waits no longer.
func errDeadline() *RequestError {
	return &RequestError{Code: http.StatusGatewayTimeout, Text: "the deadline of the request has passed"}
}

// parseFlag reads a yes or no of the request; where names the place for the error.
func parseFlag[T string | []byte](v T, in, name string) (bool, *RequestError) {
	switch string(v) {
	case "false":
		return false, nil
	case "true":
		return true, nil
	}
	yes, err := strconv.ParseBool(string(v))
	if err != nil {
		return false, unprocessable(Problem{Loc: []any{in, name}, Msg: "must be true or false", Type: "bool_parsing"})
	}
	return yes, nil
}

// retryable reports whether a client that gets the code should ask again.
func retryable(code int) bool {
	return code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable
}
