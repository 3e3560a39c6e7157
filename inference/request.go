package inference

import (
	"sync"
	"time"
)

// Values of the label "transport".
const (
	transportHTTP = "http"
	transportNATS = "nats"
)

// request is one request, as every transport hands it to the engine. body is the transport's: it is valid until answer returns, and what outlives
// it is copied.
type request struct {
	body      []byte
	strict    bool   // what is otherwise a warning about a value is refused
	partial   bool   // of a list, faulty records get their faults in their place instead of refusing the list
	explain   bool   // contributions beside the score
	version   int    // the version that the caller named; 0 for none: the split decides
	id        string // the caller's id of the request, "" for none
	deadline  time.Time
	transport string
	room      int // for the answer's bytes: one that is longer refuses the request; 0 for no bound
	// began is when the work on it begins, for who has just looked at the clock; the engine looks itself otherwise, and writes into ended when it is done.
	began, ended time.Time
}

// named reports whether the answer has to name the request, and gives one that failed an id if it has none yet.
func (rq *request) named(a *answer) bool {
	if rq.id == "" && a.err != nil {
		rq.id = newRequestID()
	}
	return rq.id != ""
}

// answer is the answer to one request, in buffers that are used again: what it holds is valid until release.
type answer struct {
	code         int
	body         []byte
	version      int    // that answered; 0 for none. Of a list under a split Production's
	revision     int    // of the split in force, 0 for none
	predictionID []byte // of a single record; empty for a list
	list         bool
	records      int
	err          *RequestError // nil unless the whole request failed
}

// keepAnswer is the largest buffer that is kept for the next request.
const keepAnswer = 64 << 10

var answers = sync.Pool{New: func() any { return &answer{body: make([]byte, 0, 1024), predictionID: make([]byte, 0, 40)} }}

// newAnswer returns an empty answer from the pool.
func newAnswer() *answer { return answers.Get().(*answer) }

// release gives the buffers back.
func (a *answer) release() {
	a.reset()
	answers.Put(a)
}

// reset makes a empty for the next request.
func (a *answer) reset() {
	body := a.body
	if cap(body) > keepAnswer {
		body = make([]byte, 0, 1024)
	}
	*a = answer{body: body[:0], predictionID: a.predictionID[:0]}
}

// refuse makes a the answer of a request that failed.
func (a *answer) refuse(err *RequestError) {
	a.code, a.err, a.records, a.version, a.list = err.Code, err, 0, 0, false
	a.body, a.predictionID = append(a.body[:0], err.Body()...), a.predictionID[:0]
}
