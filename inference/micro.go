package inference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"telco-churn-mlops/events"
)

const (
	microName    = "churn-inference"
	microVersion = "1.0.0" // of the request and answer, not of the model
	// HeaderStrict set to "true" on a request refuses what is otherwise a warning.
	HeaderStrict = "Strict"

	flushWait  = time.Second
	drainQuiet = 10 * time.Millisecond
)

// job is one request on its way to a worker.
type job struct {
	request micro.Request
	done    func()
}

// endpoint is the instance's membership in the queue group of predict.<model>. The library calls the handler of an endpoint on one goroutine,
// so the handler only takes a permit and hands the request to workers; a request over the in-flight bound is answered 429 at once. The workers
// answer through the connection and not through the request, which the library reads after the handler has returned: its own counts
// of errors and processing time are therefore those of the hand-over, and ours are in the data of its statistics.
type endpoint struct {
	service *Service
	nc      *nats.Conn
	micro   micro.Service
	jobs    chan job
	workers sync.WaitGroup
	arrived atomic.Uint64 // requests that the handler saw

	mu     sync.RWMutex
	closed bool // jobs is closed
}

// serveNATS is in the queue group while there is a verified model, until ctx ends.
func (s *Service) serveNATS(ctx context.Context) error {
	b, _, err := s.link.wait(ctx)
	if err != nil {
		return nil
	}
	var joined *endpoint
	defer func() {
		if joined != nil {
			joined.leave()
		}
	}()
	for {
		switch serving := s.slot.predictor() != nil; {
		case serving && joined == nil:
			e, err := s.join(b.Conn())
			if err != nil {
				s.cfg.Log.Error("queue group not joined", "model", s.cfg.Model, "err", err)
				if !sleep(ctx, time.Second) {
					return nil
				}
				continue
			}
			joined = e
		case !serving && joined != nil:
			joined.leave()
			joined = nil
		}
		select {
		case <-s.slot.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// join registers the micro service.
func (s *Service) join(nc *nats.Conn) (*endpoint, error) {
	token, err := events.Token(s.cfg.Model)
	if err != nil {
		return nil, err
	}
	e := &endpoint{service: s, nc: nc, jobs: make(chan job, s.cfg.InFlight)}
	e.micro, err = micro.AddService(nc, micro.Config{
		Name: microName, Version: microVersion, Description: "churn predictions: the raw record in, probability and label out",
		Metadata:     map[string]string{"model": s.cfg.Model, "instance": s.cfg.Instance, "boot": s.boot},
		StatsHandler: func(*micro.Endpoint) any { return s.microStats() },
	})
	if err != nil {
		return nil, fmt.Errorf("add micro service: %w", err)
	}
	for range runtime.GOMAXPROCS(0) {
		e.workers.Go(e.work)
	}
	err = e.micro.AddEndpoint("predict", micro.HandlerFunc(e.handle), micro.WithEndpointSubject(events.PredictPrefix+"."+token),
		micro.WithEndpointMetadata(map[string]string{"model": s.cfg.Model, "strict_header": HeaderStrict}))
	if err != nil {
		e.leave()
		return nil, fmt.Errorf("add micro endpoint: %w", err)
	}
	e.flush() // the server knows the subscription before anyone is told
	s.cfg.Log.Info("joined the queue group", "model", s.cfg.Model, "subject", events.PredictPrefix+"."+token)
	return e, nil
}

// microStats is what "nats micro stats" shows beside the library's counts.
func (s *Service) microStats() json.RawMessage {
	data := map[string]any{"instance": s.cfg.Instance, "predictions": s.plog.ordinal.Load(), "in_flight": len(s.permits)}
	if p := s.slot.predictor(); p != nil {
		data["version"], data["digest"], data["promotion_sequence"] = p.promotion.Version, p.promotion.Digest, p.promotion.Sequence
	}
	b, err := json.Marshal(data)
	if err != nil {
		panic("inference: encode statistics: " + err.Error()) // strings and numbers always encode
	}
	return b
}

// handle runs on the subscription's goroutine and never blocks: there are as many places in jobs as permits.
func (e *endpoint) handle(r micro.Request) {
	e.arrived.Add(1)
	if r.Reply() == "" { // published, not requested: nobody would get the answer
		e.service.metrics.rejected.WithLabelValues("no_reply").Inc()
		return
	}
	done := e.service.admit()
	if done == nil {
		e.count(http.StatusTooManyRequests)
		e.respond(r, refused(errTooMany(e.service.cfg.InFlight)))
		return
	}
	e.mu.RLock()
	if !e.closed {
		e.jobs <- job{request: r, done: done}
	}
	closed := e.closed
	e.mu.RUnlock()
	if closed { // the last one of a drain that took long
		e.serve(r)
		done()
	}
}

func (e *endpoint) work() {
	for j := range e.jobs {
		e.serve(j.request)
		j.done()
	}
}

func (e *endpoint) serve(r micro.Request) {
	s := e.service
	if int64(len(r.Data())) > s.cfg.MaxBody {
		e.count(http.StatusRequestEntityTooLarge)
		e.respond(r, refused(errTooLarge(s.cfg.MaxBody)))
		return
	}
	e.respond(r, s.answer(transportNATS, r.Data(), strings.EqualFold(headerOf(r.Headers(), HeaderStrict), "true")))
}

// headerOf reads a header whatever the case that its sender chose.
func headerOf(h micro.Headers, name string) string {
	for k, v := range h {
		if len(v) > 0 && strings.EqualFold(k, name) {
			return v[0]
		}
	}
	return ""
}

func (e *endpoint) count(code int) {
	e.service.metrics.requests.WithLabelValues(transportNATS, strconv.Itoa(code)).Inc()
}

// respond sends the answer. Errors have the same body as over HTTP and the two headers of NATS services.
func (e *endpoint) respond(r micro.Request, res result) {
	msg := &nats.Msg{Subject: r.Reply(), Data: res.body, Header: nats.Header{"Content-Type": {"application/json"}}}
	for _, kv := range res.headers() {
		msg.Header.Set(kv[0], kv[1])
	}
	if res.err != nil {
		msg.Header.Set(micro.ErrorHeader, strings.Map(printable, res.err.Error()))
		msg.Header.Set(micro.ErrorCodeHeader, strconv.Itoa(res.code))
	}
	err := e.nc.PublishMsg(msg)
	if errors.Is(err, nats.ErrMaxPayload) && res.err == nil {
		e.respond(r, refused(&RequestError{Code: http.StatusRequestEntityTooLarge, Text: "the answer is larger than a NATS message may be: send fewer records"}))
		return
	}
	if err != nil {
		e.service.cfg.Log.Warn("answer not sent", "subject", r.Subject(), "err", err)
	}
}

// printable keeps a header on one line of ASCII.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

// leave takes the instance out of the queue group and answers what was delivered already. The library drains in the background and does not
// say when it is done; but once the server has confirmed (the flush) no further request can arrive, and the handler is so short that a moment
// without any means that none is left. One that should come still later is answered by the handler itself.
func (e *endpoint) leave() {
	s := e.service
	if err := e.micro.Stop(); err != nil {
		s.cfg.Log.Warn("queue group not left cleanly", "model", s.cfg.Model, "err", err)
	}
	e.flush()
	for seen := uint64(0); ; {
		time.Sleep(drainQuiet)
		now := e.arrived.Load()
		if now == seen {
			break
		}
		seen = now
	}
	e.mu.Lock()
	e.closed = true
	close(e.jobs)
	e.mu.Unlock()
	e.workers.Wait()
	e.flush()
	s.cfg.Log.Info("left the queue group", "model", s.cfg.Model)
}

// flush waits until the server has seen what was sent. Without a connection there is nobody to wait for.
func (e *endpoint) flush() {
	if !e.nc.IsConnected() {
		return
	}
	if err := e.nc.FlushTimeout(flushWait); err != nil {
		e.service.cfg.Log.Warn("not flushed to NATS", "model", e.service.cfg.Model, "err", err)
	}
}
