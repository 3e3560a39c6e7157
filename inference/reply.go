package inference

import (
	"errors"
	"net/http"
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

// replyPool are the workers who answer requests over NATS that take long or are many: one for each processor, as the library calls the handlers of a
// subject on one goroutine. They answer through the connection and not through the request, which the library reads after the handler has returned: its own counts
// of errors and processing time are therefore those of the hand-over, and ours are in the data of its statistics.
type replyPool struct {
	service *Service
	nc      *nats.Conn
	jobs    chan job
	workers sync.WaitGroup

	mu     sync.RWMutex
	closed bool // jobs is closed
}

func newReplyPool(s *Service, nc *nats.Conn) *replyPool {
	p := &replyPool{service: s, nc: nc, jobs: make(chan job, s.cfg.InFlight)}
	for range runtime.GOMAXPROCS(0) {
		p.workers.Go(func() {
			w := newReplier(p)
			for j := range p.jobs {
				w.serve(j)
				s.gate.leave()
			}
		})
	}
	return p
}

// give hands an admitted job to a worker and returns how many now wait for one. It does not block: jobs has as many places as the gate.
func (p *replyPool) give(j job, here *replier) (waiting int) {
	p.mu.RLock()
	if !p.closed {
		p.jobs <- j
		p.mu.RUnlock()
		return len(p.jobs)
	}
	p.mu.RUnlock()
	here.serve(j) // the last one of a drain that took long
	p.service.gate.leave()
	return 0
}

// close returns when every job that was taken is answered and the server has the answers.
func (p *replyPool) close() {
	p.mu.Lock()
	p.closed = true
	close(p.jobs)
	p.mu.Unlock()
	p.workers.Wait()
	flush(p.nc, p.service.cfg)
}

const (
	laneBody  = 8 << 10  // the largest request that is answered on the library's goroutine
	laneFirst = 256      // requests that are, before it is looked at how many wait
	laneMost  = 16 << 10 // the same, after nobody had to wait for long
)

// lane takes the requests of one subject, on the goroutine on which the library delivers them. A single record is answered there: that takes no longer
// than waking a worker, and the connection then writes many answers at once. But how many requests have piled up behind it can't be seen
// from there. So from time to time as many as may be in flight are handed to the workers, which is done so fast that what has piled up is in their queue
// a moment later: if it is long, they go on, and what is beyond the bound is answered 429.
type lane struct {
	pool    *replyPool
	here    *replier
	version int
	inline  int // requests that are answered here before the next look
	allow   int // how many those will be after it
	looks   int // requests of this look that are still to be handed over
	longest int // queue of this look
}

func newLane(p *replyPool, version int) *lane {
	return &lane{pool: p, here: newReplier(p), version: version, inline: laneFirst, allow: laneFirst}
}

// long is the queue that workers are wanted for: with two processors one of them has enough to do with the connection.
func (l *lane) long() int {
	if runtime.GOMAXPROCS(0) > 2 {
		return 2
	}
	return max(1, l.pool.service.cfg.InFlight/2)
}

// take admits a job and has it answered, or answers it with 429. It does not block for longer than a record takes.
func (l *lane) take(j job) {
	s := l.pool.service
	if j.request.Reply() == "" { // published, not requested: nobody would get the answer
		s.metrics.rejected.WithLabelValues(rejectNoReply).Inc()
		return
	}
	if !s.gate.enter() {
		s.metrics.rejected.WithLabelValues(rejectInFlight).Inc()
		l.here.refuse(j, errTooMany(s.cfg.InFlight))
		l.look(s.cfg.InFlight)
		return
	}
	switch {
	case !single(j):
		l.pool.give(j, l.here)
	case l.inline > 0:
		l.inline--
		l.here.serve(j)
		s.gate.leave()
		if l.inline == 0 {
			l.looks, l.longest = s.cfg.InFlight, 0
		}
	default:
		l.look(l.pool.give(j, l.here))
	}
}

// look notes how many wait for a worker, and at its end decides who goes on.
func (l *lane) look(waiting int) {
	if l.inline > 0 {
		return
	}
	l.longest = max(l.longest, waiting)
	if l.looks--; l.looks > 0 {
		return
	}
	if l.longest >= l.long() {
		l.allow = laneFirst
		l.looks, l.longest = l.pool.service.cfg.InFlight, 0
		return
	}
	l.inline = l.allow
	l.allow = min(2*l.allow, laneMost)
}

// single reports whether a request is one record, without what takes long.
func single(j job) bool {
	data := j.request.Data()
	if len(data) > laneBody || len(data) == 0 || data[0] != '{' {
		return false
	}
	for k := range j.request.Headers() {
		if strings.EqualFold(k, HeaderExplain) {
			return false
		}
	}
	return true
}

// replier answers one request after the other with the same message and headers, which the connection copies as it is given them.
type replier struct {
	pool   *replyPool
	msg    nats.Msg
	values [6]string // of the headers, in the order in which they are set
	used   int
}

func newReplier(p *replyPool) *replier {
	return &replier{pool: p, msg: nats.Msg{Header: nats.Header{}}}
}

// serve answers one admitted request.
func (w *replier) serve(j job) {
	s := w.pool.service
	rq := request{transport: transportNATS, body: j.request.Data(), version: j.version}
	err := natsHeaders(j.request.Headers(), &rq, j.arrived)
	switch {
	case err != nil:
	case int64(len(rq.body)) > s.cfg.MaxBody:
		err = errTooLarge(s.cfg.MaxBody)
	case !rq.deadline.IsZero() && passed(rq.deadline, s.cfg.Now()):
		s.metrics.rejected.WithLabelValues(rejectDeadline).Inc()
		err = errDeadline()
	}
	out := newAnswer()
	defer out.release()
	if err != nil {
		out.refuse(err)
	} else {
		s.answer(&rq, out)
	}
	w.send(j.request, &rq, out)
}

// refuse answers a request that is not worked on.
func (w *replier) refuse(j job, err *RequestError) {
	rq := request{transport: transportNATS}
	if natsHeaders(j.request.Headers(), &rq, j.arrived) != nil {
		rq.id = "" // of no use
	}
	out := newAnswer()
	defer out.release()
	out.refuse(err)
	w.send(j.request, &rq, out)
}

// send publishes the answer. Errors have the same body as over HTTP and the two headers of NATS services.
func (w *replier) send(to micro.Request, rq *request, out *answer) {
	s := w.pool.service
	w.msg.Subject, w.msg.Data = to.Reply(), out.body
	w.headers(rq, out)
	err := w.pool.nc.PublishMsg(&w.msg)
	if errors.Is(err, nats.ErrMaxPayload) && out.err == nil {
		out.refuse(&RequestError{Code: http.StatusRequestEntityTooLarge, Text: "the answer is larger than a NATS message may be: send fewer records"})
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
	for k, v := range h {
		if err != nil || len(v) == 0 {
			continue
		}
		switch {
		case strings.EqualFold(k, HeaderRequestID), rq.id == "" && strings.EqualFold(k, headerXRequestID):
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
	return err
}
