package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/dataset"
)

// Service is a trainer for one model. Make one with New and call Run once.
type Service struct {
	cfg     Config
	log     logger
	schema  *dataset.Schema
	digest  string
	admin   *app.Admin
	metrics *metrics
	fold    *fold
	source  *source

	restored uint64 // the junk after which the schedule was stored again; the loop's own

	mu     sync.Mutex
	status Status
}

// Status is what a trainer is doing, as GET /status shows it.
type Status struct {
	Model    string   `json:"model"`
	Instance string   `json:"instance"`
	Decision Decision `json:"decision"`
	// Running is the run that this trainer executes, empty while it waits.
	Running string `json:"running,omitempty"`
	Step    string `json:"step,omitempty"`
	Tree    int    `json:"tree,omitempty"`
	// NewRows counts the labelled entities predicted after the oldest pending alert.
	NewRows int       `json:"new_rows"`
	At      time.Time `json:"at"`
}

const stepReady = "trainer"

// New checks the configuration and binds the admin port.
func New(c Config) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	schema, err := dataset.NewSchema(c.Spec)
	if err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	admin, err := app.NewAdmin(app.AdminConfig{Addr: c.Addr, Flag: c.AddrFlag}, c.Metrics, c.Health, c.Log)
	if err != nil {
		return nil, err
	}
	s := &Service{
		cfg: c, log: logger{c.Log.With("component", "trainer", "model", c.Spec.Name)}, schema: schema, digest: c.Spec.Digest(),
		admin: admin, metrics: newMetrics(c.Metrics), fold: newFold(), source: &source{path: c.Dataset},
	}
	s.status = Status{Model: c.Spec.Name, Instance: c.Instance}
	c.Health.Set(stepReady, false, "reading the streams")
	admin.Handle("GET /status", http.HandlerFunc(s.serveStatus))
	return s, nil
}

// Addr returns the bound admin address.
func (s *Service) Addr() string { return s.admin.Addr() }

// Run works until ctx ends and returns nil then. A run in hand is left open for whoever takes over.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.admin.Run(ctx) })
	g.Go(func() error {
		if err := s.cfg.Bus.Provision(ctx); err != nil {
			return fmt.Errorf("trainer: provision streams: %w", err)
		}
		if err := s.checkHorizon(ctx); err != nil {
			return fmt.Errorf("trainer: %w", err)
		}
		return s.work(ctx)
	})
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s *Service) work(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, stream := range foldedStreams {
		g.Go(func() error { return s.follow(ctx, stream) })
	}
	g.Go(func() error { return s.guardCauses(ctx) })
	g.Go(func() error { return s.loop(ctx) })
	return g.Wait()
}

// follow keeps the fold of one stream.
func (s *Service) follow(ctx context.Context, stream events.Stream) error {
	f := bus.FollowConfig{Name: "trainer", Stream: stream,
		OnCaughtUp: func() { s.fold.setCaughtUp(stream) },
		OnReset:    func() { s.fold.reset(stream) }}
	for _, t := range consumed[stream] {
		subject, err := events.SubjectOf(t, s.cfg.Spec.Name)
		if err != nil {
			return err
		}
		f.Filters = append(f.Filters, subject)
	}
	return s.cfg.Bus.Follow(ctx, f, func(_ context.Context, m bus.Message) error {
		s.fold.apply(m)
		return nil
	})
}

var consumed = map[events.Stream][]events.Type{
	events.Lifecycle: {events.TypeRunStarted, events.TypeRunCompleted, events.TypeRunFailed, events.TypeModelPromoted},
	events.Causes:    {events.TypeDriftAlert, events.TypeRetrainRequested, events.TypeRetrainSkipped, events.TypeScheduleRetrain},
	events.Training:  {events.TypeExampleJoined},
}

// guardCauses dead-letters what on the stream of causes is none. The decision itself is made on the fold.
func (s *Service) guardCauses(ctx context.Context) error {
	return s.cfg.Bus.Consume(ctx, bus.ConsumerConfig{Durable: "trainer", Stream: events.Causes, MaxAckPending: 100},
		func(context.Context, bus.Message) error { return nil })
}

// loop decides and acts until ctx ends.
func (s *Service) loop(ctx context.Context) error {
	if err := s.awaitReady(ctx); err != nil {
		return err
	}
	s.cfg.Health.Set(stepReady, true, "")
	if err := s.keepSchedule(ctx); err != nil {
		return err
	}
	for {
		if err := s.awaitReady(ctx); err != nil { // also while a stream that was created anew is read
			return err
		}
		changed := s.fold.wait()
		if err := s.restoreSchedule(ctx); err != nil {
			return err
		}
		d := s.decide()
		if err := s.skip(ctx, d.Skips); err != nil {
			return err
		}
		if d.Action == Start || d.Action == Resume {
			if err := s.act(ctx); err != nil {
				return err
			}
			continue
		}
		next := d.Until
		if d.Action == Wait {
			if recheck := s.cfg.Now().Add(s.cfg.Recheck); next.IsZero() || recheck.Before(next) {
				next = recheck
			}
		}
		if err := s.sleep(ctx, changed, next); err != nil {
			return err
		}
	}
}

// awaitReady blocks until every stream was read up to its end.
func (s *Service) awaitReady(ctx context.Context) error {
	for {
		changed := s.fold.wait()
		if s.fold.ready() {
			return nil
		}
		if err := s.sleep(ctx, changed, time.Time{}); err != nil {
			return err
		}
	}
}

// decide asks the fold and the dataset, and publishes the answer on /status.
func (s *Service) decide() Decision {
	st := s.fold.state()
	st.Retrain, st.Promotion, st.SpecDigest = s.cfg.Spec.Retrain, s.cfg.Spec.Promotion, s.digest
	if st.Open == nil && (len(st.Pending) > 0 || st.Production.Version == 0) {
		fp, err := s.source.fingerprint()
		if err != nil {
			st.DatasetError = err.Error()
		}
		st.Fingerprint = fp
	}
	d := Decide(st, s.cfg.Now())
	rows := 0
	if since := driftSince(st.Pending); since > 0 {
		rows = st.NewRows(since)
	}
	s.metrics.pending.Set(float64(len(st.Pending) - len(d.Skips)))
	s.metrics.newRows.Set(float64(rows))
	s.mu.Lock()
	told := s.status.Decision.Why
	s.status.Decision, s.status.NewRows, s.status.At = d, rows, s.cfg.Now()
	s.mu.Unlock()
	if told != d.Why && (d.Action != Wait || d.Until.IsZero() == (rows == 0)) {
		s.log.Info("decided", "action", string(d.Action), "why", d.Why)
	}
	return d
}

// skip records causes that start nothing, and waits until the fold has seen it.
func (s *Service) skip(ctx context.Context, skips []Skip) error {
	for _, k := range skips {
		ev := events.New(s.cfg.Spec.Name, s.cfg.Bus.Source(), fmt.Sprint(k.Cause.Sequence), s.cfg.Now(), &events.RetrainSkipped{
			Sequence: k.Cause.Sequence, Kind: k.Cause.Kind, Reason: k.Reason, Detail: k.Detail})
		r, err := s.cfg.Bus.Publish(ctx, ev)
		if err != nil {
			return fmt.Errorf("skip cause %d: %w", k.Cause.Sequence, err)
		}
		s.metrics.skipped.WithLabelValues(string(k.Reason)).Inc()
		s.log.Info("cause skipped", "sequence", k.Cause.Sequence, "reason", string(k.Reason), "detail", k.Detail)
		if err := s.await(ctx, events.Causes, r.Sequence); err != nil {
			return err
		}
	}
	return nil
}

// await blocks until the fold has applied a sequence.
func (s *Service) await(ctx context.Context, stream events.Stream, seq uint64) error {
	for {
		changed := s.fold.wait()
		if s.fold.at(stream) >= seq {
			return nil
		}
		if err := s.sleep(ctx, changed, time.Time{}); err != nil {
			return err
		}
	}
}

// sleep returns at a change, at the time until (zero: never), or with ctx's error.
func (s *Service) sleep(ctx context.Context, changed <-chan struct{}, until time.Time) error {
	var due <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(max(until.Sub(s.cfg.Now()), time.Millisecond))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-due:
	}
	return nil
}

func (s *Service) serveStatus(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	st := s.status
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(st); err != nil {
		s.log.Debug("status not sent", "err", err)
	}
}

func (s *Service) setStep(run, step string, tree int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Running, s.status.Step, s.status.Tree, s.status.At = run, step, tree, s.cfg.Now()
}
