package inference

import (
	"context"
	"encoding/json"
	"fmt"
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

	flushWait  = time.Second
	drainQuiet = 10 * time.Millisecond
)

// registration is what the instance tells the world that it serves over NATS. The library's metadata can't change, so each exchange is a new
// registration.
type registration struct {
	production Promotion
	revision   int
	versions   string // that can be named, "3,2"
}

// registration returns what there is to register; false without a Production.
func (v *serving) registration() (registration, bool) {
	if v.production == nil {
		return registration{}, false
	}
	r := registration{production: v.production.promotion, revision: v.revision}
	var versions []string
	for _, h := range v.named {
		versions = append(versions, strconv.Itoa(h.predictor.promotion.Version))
	}
	r.versions = strings.Join(versions, ",")
	return r, true
}

// membership is the instance's part in the queue groups of predict.<model> and predict.<model>.v<version>, under one registration.
type membership struct {
	registration
	service *Service
	nc      *nats.Conn
	micro   micro.Service
	pool    *replyPool
	arrived atomic.Uint64 // requests that the handlers saw
	passed  atomic.Uint64 // requests that they have handed over or refused
}

// overlap is how long a registration stays beside its successor: the server may have looked up the members for a request before the successor
// joined, and must still find one of them when it hands the request over.
const overlap = 100 * time.Millisecond

// serveNATS is in the queue groups while there is a verified model, until ctx ends. What was registered before an exchange leaves after its
// successor has joined, so that there is no moment without a member and no request is lost.
func (s *Service) serveNATS(ctx context.Context) error {
	b, _, err := s.link.wait(ctx)
	if err != nil {
		return nil
	}
	var (
		joined  *membership
		leaving sync.WaitGroup
		pool    = newReplyPool(s, b.Conn())
	)
	leave := func(after time.Duration) {
		if m := joined; m != nil {
			leaving.Go(func() {
				sleep(ctx, after)
				m.leave()
			})
			joined = nil
		}
	}
	defer func() {
		leave(0)
		leaving.Wait()
		pool.close()
		if joined == nil {
			s.cfg.Log.Info("left the queue group", "model", s.cfg.Model)
		}
	}()
	for {
		reg, serving := s.slot.now().registration()
		switch {
		case !serving:
			leave(0)
		case joined == nil || joined.registration != reg:
			m, err := s.join(b.Conn(), pool, reg)
			if err != nil {
				s.cfg.Log.Error("queue group not joined", "model", s.cfg.Model, "err", err)
				if !sleep(ctx, time.Second) {
					return nil
				}
				continue
			}
			leave(overlap)
			joined = m
		}
		select {
		case <-s.slot.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// join registers the micro service and its endpoints.
func (s *Service) join(nc *nats.Conn, pool *replyPool, reg registration) (*membership, error) {
	token, err := events.Token(s.cfg.Model)
	if err != nil {
		return nil, err
	}
	m := &membership{registration: reg, service: s, nc: nc, pool: pool}
	metadata := map[string]string{
		"model": s.cfg.Model, "instance": s.cfg.Instance, "boot": s.boot, "version": strconv.Itoa(reg.production.Version), "digest": reg.production.Digest,
		"promotion_sequence": strconv.FormatUint(reg.production.Sequence, 10), "rollout_revision": strconv.Itoa(reg.revision), "versions": reg.versions,
		"loaded_at": s.metrics.loaded(reg.production, s.cfg.Now()).UTC().Format(time.RFC3339Nano),
	}
	m.micro, err = micro.AddService(nc, micro.Config{
		Name: microName, Version: microVersion, Description: "churn predictions: the raw record in, probability and label out",
		Metadata: metadata, StatsHandler: func(*micro.Endpoint) any { return s.microStats() },
	})
	if err != nil {
		return nil, fmt.Errorf("add micro service: %w", err)
	}
	subject := events.PredictPrefix + "." + token
	add := func(name, subject string, version int) error {
		about := map[string]string{"model": s.cfg.Model, "headers": strings.Join([]string{HeaderRequestID, HeaderDeadline,
			HeaderStrict, HeaderPartial, HeaderExplain}, ",")}
		if version > 0 {
			about["version"] = strconv.Itoa(version)
		}
		err := m.micro.AddEndpoint(name, micro.HandlerFunc(func(r micro.Request) { m.handle(version, r) }), micro.WithEndpointSubject(subject),
			micro.WithEndpointMetadata(about))
		if err != nil {
			return fmt.Errorf("add micro endpoint %s: %w", subject, err)
		}
		return nil
	}
	err = add("predict", subject, 0)
	for v := range strings.SplitSeq(reg.versions, ",") {
		if n, bad := strconv.Atoi(v); bad == nil && err == nil {
			err = add("predict-v"+v, subject+".v"+v, n)
		}
	}
	if err != nil {
		m.leave()
		return nil, err
	}
	m.flush() // the server knows the subscriptions before anyone is told
	s.cfg.Log.Info("joined the queue group", "model", s.cfg.Model, "subject", subject, "version", reg.production.Version, "versions", reg.versions)
	return m, nil
}

// microStats is what "nats micro stats" shows beside the library's counts. Its errors are by code, of all endpoints since the start.
func (s *Service) microStats() json.RawMessage {
	data := map[string]any{"instance": s.cfg.Instance, "predictions": s.plog.ordinal.Load(), "in_flight": s.gate.inFlight(),
		"errors": s.metrics.errorsByCode()}
	if p := s.slot.predictor(); p != nil {
		data["version"], data["digest"], data["promotion_sequence"] = p.promotion.Version, p.promotion.Digest, p.promotion.Sequence
	}
	b, err := json.Marshal(data)
	if err != nil {
		panic("inference: encode statistics: " + err.Error()) // strings and numbers always encode
	}
	return b
}

// handle runs on the subscription's one goroutine.
func (m *membership) handle(version int, r micro.Request) {
	m.arrived.Add(1)
	defer m.passed.Add(1)
	j := job{request: r, version: version}
	if len(r.Headers()) > 0 { // a deadline counts from here
		j.arrived = m.service.cfg.Now()
	}
	m.pool.take(j)
}

// leave takes the instance out of the queue groups and returns when everything that was delivered is answered or has reached the workers. The library
// drains in the background and does not say when it is done; but once the server has confirmed (the flush) no further request can arrive, and
// the handlers take one after the other so fast that a moment in which none was begun, ended or in work means that none is left.
func (m *membership) leave() {
	if err := m.micro.Stop(); err != nil {
		m.service.cfg.Log.Warn("queue group not left cleanly", "model", m.service.cfg.Model, "err", err)
	}
	m.flush()
	for before := m.passed.Load(); ; {
		time.Sleep(drainQuiet)
		passed := m.passed.Load()
		if passed == before && m.arrived.Load() == passed {
			return
		}
		before = passed
	}
}

func (m *membership) flush() { flush(m.nc, m.service.cfg) }

// flush waits until the server has seen what was sent. Without a connection there is nobody to wait for.
func flush(nc *nats.Conn, c Config) {
	if !nc.IsConnected() {
		return
	}
	if err := nc.FlushTimeout(flushWait); err != nil {
		c.Log.Warn("not flushed to NATS", "model", c.Model, "err", err)
	}
}
