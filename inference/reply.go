package inference

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// job is one request over NATS on its way to a worker.
type job struct {
	request micro.Request
	version int       // that the subject names, 0 for none
	arrived time.Time // of a request with headers
}

const (
	shortBody = 8 << 10 // the largest request that is answered in a burst with others
	burst     = 64      // the most that are

	headerRoom = 512 // of a message for the headers of an answer, with the longest request id
)

// replyPool are the workers who answer requests over NATS, as the library calls the handlers of a subject on one goroutine. Single records are answered
// in bursts: a worker takes what has piled up, works it all out and then publishes the answers in a row, so that many share a write to the connection,
// which costs more than a record does. Lists and explanations, which take long, have workers of their own and keep nobody waiting. All answer
// through the connection and not through the request, which the library reads after the handler has returned: its own counts of errors and
// processing time are therefore those of the hand-over, and ours are in the data of its statistics.
type replyPool struct {
	service *Service
	nc      *nats.Conn
	long    chan job
	short   chan job
	workers sync.WaitGroup
	misused alarm // by reply subjects that are none

	mu     sync.RWMutex
	closed bool // the channels are closed
}

// newReplyPool starts the workers: for what takes long one for each processor, and for single records one for two, as the other has enough to
// do with the connection.
func newReplyPool(s *Service, nc *nats.Conn) *replyPool {
	p := &replyPool{service: s, nc: nc, long: make(chan job, s.cfg.InFlight), short: make(chan job, s.cfg.InFlight)}
	processors := runtime.GOMAXPROCS(0)
	for range processors {
		p.workers.Go(func() { newReplier(p, 1).run(p.long, 1) })
	}
	sharers := max(1, processors/2)
	for range sharers {
		p.workers.Go(func() { newReplier(p, burst).run(p.short, sharers) })
	}
	return p
}

// take admits a job and hands it to a worker, or answers it here with 429. It does not block: there are as many places as the gate has.
func (p *replyPool) take(j job) {
	s := p.service
	switch reply := j.request.Reply(); {
	case reply == "": // published, not requested: nobody would get the answer
		s.metrics.rejected.WithLabelValues(rejectNoReply).Inc()
		return
	case !answerable(reply):
		s.metrics.rejected.WithLabelValues(rejectReply).Inc()
		if !p.misused.quiet(s.cfg.Now()) {
			s.cfg.Log.Error("request not answered: its reply subject is none for answers", "model", s.cfg.Model, "subject", reply)
		}
		return
	case int64(len(j.request.Data())) > s.cfg.MaxBody: // before it waits for a worker, as what waits is held
		newReplier(p, 1).refuse(j, errTooLarge(s.cfg.MaxBody))
		return
	}
	if !s.gate.enter() {
		s.metrics.rejected.WithLabelValues(rejectInFlight).Inc()
		newReplier(p, 1).refuse(j, errTooMany(s.cfg.InFlight))
		return
	}
	to := p.long
	if single(j) {
		to = p.short
	}
	p.mu.RLock()
	if !p.closed {
		to <- j
		p.mu.RUnlock()
		return
	}
	p.mu.RUnlock()
	newReplier(p, 1).serve([]job{j}) // the last one of a drain that took long
}

// close returns when every job that was taken is answered and the server has the answers.
func (p *replyPool) close() {
	p.mu.Lock()
	p.closed = true
	close(p.long)
	close(p.short)
	p.mu.Unlock()
	p.workers.Wait()
	flush(p.nc, p.service.cfg)
}

// single reports whether a request is one record, without what takes long.
func single(j job) bool {
	data := j.request.Data()
	if len(data) > shortBody || len(data) == 0 || data[0] != '{' {
		return false
	}
	for k := range j.request.Headers() {
		if strings.EqualFold(k, HeaderExplain) {
			return false
		}
	}
	return true
}

// replier answers requests in buffers of its own, which the connection copies as it is given them.
type replier struct {
	pool     *replyPool
	jobs     []job
	requests []request
	answers  []*answer
	msg      nats.Msg  // of an answer with headers
	values   [6]string // of the headers, in the order in which they are set
	used     int
}

// newReplier returns a replier that answers up to most requests at a time.
func newReplier(p *replyPool, most int) *replier {
	w := &replier{pool: p, jobs: make([]job, 0, most), requests: make([]request, most), msg: nats.Msg{Header: nats.Header{}}}
	for range most {
		w.answers = append(w.answers, newAnswer())
	}
	return w
}

// run answers until the channel is closed and empty. Of what waits it takes at once what it can, or its part of it where it has sharers.
func (w *replier) run(from <-chan job, sharers int) {
	for j := range from {
		w.jobs = append(w.jobs[:0], j)
		for more := min(cap(w.jobs)-1, len(from)/sharers); more > 0; more-- {
			select {
			case j, open := <-from:
				if open {
					w.jobs = append(w.jobs, j)
				}
			default:
				more = 1 // a sharer was faster
			}
		}
		w.serve(w.jobs)
		clear(w.jobs) // nothing of a request is held on to
	}
}

// serve answers admitted requests, no more than the replier has room for.
func (w *replier) serve(jobs []job) {
	room := int(w.pool.nc.MaxPayload()) - headerRoom
	var at time.Time // the end of one is the beginning of the next
	for i := range jobs {
		w.requests[i] = request{transport: transportNATS, body: jobs[i].request.Data(), version: jobs[i].version, began: at, room: room}
		w.work(&jobs[i], &w.requests[i], w.answers[i])
		at = w.requests[i].ended
	}
	for i := range jobs {
		w.send(jobs[i].request, &w.requests[i], w.answers[i])
		w.answers[i].reset()
		w.requests[i] = request{}
		w.pool.service.gate.leave()
	}
}

// work works out the answer to a request.
func (w *replier) work(j *job, rq *request, out *answer) {
	s := w.pool.service
	err := natsHeaders(j.request.Headers(), rq, j.arrived)
	switch {
	case err != nil:
	case !rq.deadline.IsZero() && passed(rq.deadline, s.cfg.Now()):
		s.metrics.rejected.WithLabelValues(rejectDeadline).Inc()
		err = errDeadline()
	}
	if err != nil {
		out.refuse(err)
	} else {
		s.answer(rq, out)
	}
}

// refuse answers a request that is not worked on.
func (w *replier) refuse(j job, err *RequestError) {
	rq := request{transport: transportNATS}
	if natsHeaders(j.request.Headers(), &rq, j.arrived) != nil {
		rq.id = "" // of no use
	}
	w.answers[0].refuse(err)
	w.send(j.request, &rq, w.answers[0])
	w.answers[0].reset()
}

// send publishes the answer. Errors have the same body as over HTTP and the two headers of NATS services. A good answer has headers only where the
// request had some: they would cost more than the record does, and what they say is in its body.
func (w *replier) send(to micro.Request, rq *request, out *answer) {
	s := w.pool.service
	var err error
	if out.err == nil && len(to.Headers()) == 0 {
		err = w.pool.nc.Publish(to.Reply(), out.body)
	} else {
		w.msg.Subject, w.msg.Data = to.Reply(), out.body
		w.headers(rq, out)
		err = w.pool.nc.PublishMsg(&w.msg)
	}
	if errors.Is(err, nats.ErrMaxPayload) && (out.err == nil || len(out.err.Problems) > 0) {
		out.refuse(shorter(out.err))
		w.send(to, rq, out)
		return
	}
	s.metrics.asked(out.code)
	if err != nil {
		s.cfg.Log.Warn("answer not sent", "subject", to.Subject(), "request_id", rq.id, "err", err)
	}
}

func (w *replier) headers(rq *request, out *answer) {
	clear(w.msg.Header)
	w.used = 0
	if out.version > 0 {
		w.set(HeaderModelVersion, strconv.Itoa(out.version))
	}
	if out.revision > 0 {
		w.set(HeaderRolloutRevision, strconv.Itoa(out.revision))
	}
	if len(out.predictionID) > 0 {
		w.set(HeaderPredictionID, string(out.predictionID))
	}
	if rq.named(out) {
		w.set(HeaderRequestID, rq.id)
	}
	if out.err != nil {
		w.set(micro.ErrorHeader, strings.Map(printable, out.err.Error()))
		w.set(micro.ErrorCodeHeader, strconv.Itoa(out.code))
	}
	if retryable(out.code) {
		w.msg.Header[headerRetryAfter] = []string{retryAfter}
	}
}

// set adds a header without another allocation than the value's.
func (w *replier) set(key, value string) {
	w.values[w.used] = value
	w.msg.Header[key] = w.values[w.used : w.used+1 : w.used+1]
	w.used++
}

// printable keeps a header on one line of ASCII.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

// natsHeaders reads what a request says outside of its body, whatever the case in which its sender wrote the names.
func natsHeaders(h micro.Headers, rq *request, arrived time.Time) (err *RequestError) {
	second := "" // for a request id
	for k, v := range h {
		if err != nil || len(v) == 0 {
			continue
		}
		switch {
		case strings.EqualFold(k, headerXRequestID):
			second = v[0]
		case strings.EqualFold(k, HeaderRequestID):
			if err = badRequestID(v[0]); err == nil {
				rq.id = v[0]
			}
		case strings.EqualFold(k, HeaderDeadline):
			rq.deadline, err = parseDeadline(v[0], arrived)
		case strings.EqualFold(k, HeaderStrict):
			rq.strict, err = parseFlag(strings.ToLower(v[0]), "header", HeaderStrict)
		case strings.EqualFold(k, HeaderPartial):
			rq.partial, err = parseFlag(strings.ToLower(v[0]), "header", HeaderPartial)
		case strings.EqualFold(k, HeaderExplain):
			rq.explain, err = parseFlag(strings.ToLower(v[0]), "header", HeaderExplain)
		}
	}
	if err == nil && rq.id == "" && second != "" {
		if err = badRequestID(second); err == nil {
			rq.id = second
		}
	}
	return err
}
