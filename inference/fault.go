package inference

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"telco-churn-mlops/model/dataset"
)

// Problem is one entry of FastAPI's "detail" list: where in the request (a path that starts with "body" or "query"), what, and which kind.
type Problem struct {
	Loc  []any  `json:"loc"`
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

// RequestError is a request that can't be answered, with its HTTP status. Problems holds all faults at once where the status is 422; Text is
// the detail where there is no list.
type RequestError struct {
	Code     int
	Text     string
	Problems []Problem
	More     int // faults beside Problems, which are only counted
}

// Error returns the text, or the first problem and how many there are.
func (e *RequestError) Error() string {
	switch {
	case len(e.Problems) == 0:
		return e.Text
	case len(e.Problems) == 1:
		return fmt.Sprintf("%v: %s", e.Problems[0].Loc, e.Problems[0].Msg)
	}
	return fmt.Sprintf("%v: %s (and %d more)", e.Problems[0].Loc, e.Problems[0].Msg, len(e.Problems)-1+e.More)
}

// Body returns the JSON that goes to the client: {"detail": list} or {"detail": text}.
func (e *RequestError) Body() []byte {
	var detail any = e.Text
	switch {
	case e.More > 0:
		detail = append(slices.Clip(e.Problems), moreFaults(-1, e.More))
	case len(e.Problems) > 0:
		detail = e.Problems
	}
	b, err := json.Marshal(map[string]any{"detail": detail})
	if err != nil {
		panic("inference: encode a request error: " + err.Error()) // strings and ints always encode
	}
	return append(b, '\n')
}

// The reasons why there is nothing to answer with, as 503.
func errNoModel(model string) *RequestError {
	return &RequestError{Code: http.StatusServiceUnavailable, Text: "model " + model + " has no version loaded yet"}
}

func errWithdrawn(model string) *RequestError {
	return &RequestError{Code: http.StatusServiceUnavailable, Text: "model " + model + " is withdrawn: it has no Production version"}
}

func errTooMany(bound int) *RequestError {
	return &RequestError{Code: http.StatusTooManyRequests, Text: fmt.Sprintf("%d requests are in flight already; try again", bound)}
}

func errBodies() *RequestError {
	return &RequestError{Code: http.StatusTooManyRequests, Text: "the bodies of other requests take all the room there is; try again"}
}

func errTooLarge(most int64) *RequestError {
	return &RequestError{Code: http.StatusRequestEntityTooLarge, Text: fmt.Sprintf("the body has more than %d bytes", most)}
}

func errAnswerTooLarge() *RequestError {
	return &RequestError{Code: http.StatusRequestEntityTooLarge, Text: "the answer is larger than a NATS message may be: send fewer records"}
}

// fewFaults is how many of the faults are named where all of them would be more than a message may have.
const fewFaults = 100

// shorter returns what is said in the place of an answer, or of an error (nil for none), that is larger than a NATS message may be.
func shorter(err *RequestError) *RequestError {
	switch {
	case err == nil:
		return errAnswerTooLarge()
	case len(err.Problems) > fewFaults+1:
		more := Problem{Loc: location(-1, ""), Type: "too_long", Msg: fmt.Sprintf("and %d more faults, for which a NATS message has no room", len(err.Problems)-fewFaults+err.More)}
		return &RequestError{Code: err.Code, Problems: append(slices.Clip(err.Problems[:fewFaults]), more)}
	}
	return &RequestError{Code: err.Code, Text: fmt.Sprintf("the request has %d faults, for which a NATS message has no room", len(err.Problems)+err.More)}
}

// mostFaults is how many faults of one request are named. Each takes memory until the request is answered, and a list of records that hold nothing has
// many for its size.
const mostFaults = 1000

// faultList is what is wrong with the records of a request. Its zero value is empty.
type faultList struct {
	named  []Problem
	more   int // beside them
	beside int // faults of the records of a partial list
}

func (l *faultList) none() bool { return len(l.named) == 0 }

// add takes the faults of one record.
func (l *faultList) add(faults []Problem) {
	n := min(len(faults), mostFaults-len(l.named))
	l.named = append(l.named, faults[:n]...)
	l.more += len(faults) - n
}

// err returns the faults as an error, nil for none.
func (l *faultList) err() *RequestError {
	if l.none() {
		return nil
	}
	return &RequestError{Code: http.StatusUnprocessableEntity, Problems: l.named, More: l.more}
}

// ofRecord returns which faults of a record stand in its place in a partial list: all, until the list has mostFaults of them, and then the first.
func (l *faultList) ofRecord(faults []Problem, index int) []Problem {
	if l.beside += len(faults); l.beside <= mostFaults || len(faults) == 1 {
		return faults
	}
	return []Problem{faults[0], moreFaults(index, len(faults)-1)}
}

// moreFaults says how many faults are not named.
func moreFaults(index, n int) Problem {
	return Problem{Loc: location(index, ""), Type: "too_long", Msg: fmt.Sprintf("and %d more faults", n)}
}

func unprocessable(problems ...Problem) *RequestError {
	return &RequestError{Code: http.StatusUnprocessableEntity, Problems: problems}
}

// location is ["body"], the record's index in a list (none for index < 0), and the column if there is one.
func location(index int, column string) []any {
	loc := []any{"body"}
	if index >= 0 {
		loc = append(loc, index)
	}
	if column != "" {
		loc = append(loc, column)
	}
	return loc
}

// problemTypes are the rules of dataset.Fault that FastAPI and pydantic have a name for; the rest is "value_error." and the rule.
var problemTypes = map[string]string{
	"missing_column": "missing",
	"json":           "json_invalid",
	"type":           "type_error",
}

func problemOf(index int, f dataset.Fault) Problem {
	kind, ok := problemTypes[f.Rule]
	if !ok {
		kind = "value_error." + f.Rule
	}
	return Problem{Loc: location(index, f.Column), Msg: f.Message, Type: kind}
}

// problemsOf turns a record's error into entries. An error that is not about the record's content stays one entry.
func problemsOf(index int, faults []dataset.Fault) []Problem {
	ps := make([]Problem, len(faults))
	for i, f := range faults {
		ps[i] = problemOf(index, f)
	}
	return ps
}
