package shadow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/compare"
	"telco-churn-mlops/internal/bus"
)

var (
	errOvertaken = errors.New("another worker's checkpoint was first")
	errEnded     = errors.New("the shadow is in force no more")
	errFinal     = errors.New("the shadow has its final counts")
)

// brokenError ends a shadow: its candidate cannot be used.
type brokenError struct{ reason string }

func (e *brokenError) Error() string { return e.reason }

// session counts one shadow from a checkpoint on, until something ends it.
type session struct {
	w   *Worker
	r   *running
	end context.CancelCauseFunc

	mu       sync.Mutex
	counts   *counts
	scorer   scorer
	expected uint64 // sequence of the last checkpoint on the subject
	dirty    uint64 // messages counted since
}

// count works on a shadow until it is in force no more, has its final counts, or the worker stops.
func (w *Worker) count(r *running, changed <-chan struct{}) error {
	w.metrics.running.Inc()
	defer w.metrics.running.Dec()
	ctx, end := context.WithCancelCause(w.ctx)
	defer end(nil)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer end(nil)
	watch.Go(func() { w.guard(ctx, r, changed, end) })
	w.log.Info("shadow begins", "model", r.model, "version", r.rollout.Version, "production", r.rollout.Production, "revision", r.rollout.Revision)
	var candidate scorer
	for n := 0; ctx.Err() == nil; n++ {
		if candidate == nil {
			var err error
			if candidate, err = w.candidate(ctx, r); err != nil && ctx.Err() == nil {
				if err = w.conclude(ctx, r, err.Error()); err == nil || errors.Is(err, errFinal) {
					return nil
				}
				w.log.Error("shadow cannot be ended, trying again", "model", r.model, "revision", r.rollout.Revision, "err", err)
				w.pause(ctx, w.cfg.Every)
				continue
			}
		}
		err := w.session(ctx, r, candidate)
		var broken *brokenError
		switch {
		case errors.Is(err, errFinal):
			return nil
		case errors.As(err, &broken):
			w.log.Error("shadow ended: its candidate is broken", "model", r.model, "version", r.rollout.Version, "revision", r.rollout.Revision, "err", err)
			if err := w.conclude(ctx, r, broken.reason); err == nil || errors.Is(err, errFinal) {
				return nil
			}
		case errors.Is(err, errOvertaken):
			w.standBy(ctx, r)
		case errors.Is(err, bus.ErrClosed):
			return err
		case err != nil && ctx.Err() == nil:
			w.log.Error("shadow interrupted, trying again", "model", r.model, "revision", r.rollout.Revision, "err", err)
			w.pause(ctx, w.cfg.Every)
		}
	}
	return nil
}

// guard ends a shadow when it is in force no more.
func (w *Worker) guard(ctx context.Context, r *running, changed <-chan struct{}, end context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		w.mu.Lock()
		d := w.desks[r.model]
		w.mu.Unlock()
		var now *running
		if now, _, changed = w.look(d); now == nil || now.rollout.Revision != r.rollout.Revision {
			end(errEnded)
			return
		}
	}
}

// session restores the last checkpoint and counts from there. It returns why it ended.
func (w *Worker) session(ctx context.Context, r *running, candidate scorer) error {
	s := &session{w: w, r: r, scorer: candidate}
	if err := s.restore(ctx); err != nil {
		return err
	}
	predictions, err := events.SubjectOf(events.TypePredictionMade, r.model)
	if err != nil {
		return err
	}
	examples, err := events.SubjectOf(events.TypeExampleJoined, r.model)
	if err != nil {
		return err
	}
	ctx, s.end = context.WithCancelCause(ctx)
	defer s.end(nil)
	g, gctx := errgroup.WithContext(ctx)
	follow := func(stream events.Stream, subject string, position *uint64, take func(bus.Message) error) {
		reset := func() { // the stream was made anew: all that is in it is new
			s.mu.Lock()
			defer s.mu.Unlock()
			*position = 0
			if stream == events.Predictions {
				s.counts.from = 1
			}
		}
		from := *position + 1
		g.Go(func() error {
			return w.cfg.Bus.Follow(gctx, bus.FollowConfig{
				Name: "shadow", Stream: stream, Filters: []string{subject}, From: from, OnReset: reset,
			}, func(_ context.Context, m bus.Message) error { return s.handle(m, position, take) })
		})
	}
	follow(events.Predictions, predictions, &s.counts.predictions, s.predicted)
	follow(events.Training, examples, &s.counts.training, s.joined)
	g.Go(func() error { return s.tick(gctx) })
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	err = context.Cause(ctx)
	var broken *brokenError
	if errors.Is(err, errEnded) || errors.As(err, &broken) { // what was counted until then
		last, cancel := context.WithTimeout(w.ctx, w.cfg.Every)
		defer cancel()
		if lost := s.save(last); lost != nil {
			return lost
		}
	}
	return err
}

// restore takes the counts from the last checkpoint, or begins where the rollout was written.
func (s *session) restore(ctx context.Context) error {
	r := s.r
	e, expected, err := s.w.checkpoint(ctx, r.model)
	if err != nil {
		return err
	}
	s.expected = expected
	if e != nil {
		switch {
		case e.Revision > r.rollout.Revision, e.Revision == r.rollout.Revision && e.Final:
			return errFinal
		case e.Revision == r.rollout.Revision:
			s.counts = resume(r.rollout, e)
			return nil
		case !e.Final: // of a shadow that this one replaced
			if s.expected, err = s.w.close(ctx, r.model, e, s.expected, replaced(r.rollout)); err != nil {
				return err
			}
		}
	}
	s.counts = begin(r.rollout)
	if s.counts.from, err = s.start(ctx, events.Predictions, events.TypePredictionMade); err != nil {
		return err
	}
	s.counts.predictions = s.counts.from - 1
	from, err := s.start(ctx, events.Training, events.TypeExampleJoined)
	s.counts.training = max(from, 1) - 1
	return err
}

// checkpoint returns the newest checkpoint of a model, nil for none, and the sequence of the last message on its subject, which may be junk.
func (w *Worker) checkpoint(ctx context.Context, model string) (e *events.ShadowEvaluated, last uint64, err error) {
	m, ok, err := w.cfg.Bus.Last(ctx, events.TypeShadowEvaluated, model)
	last = m.Sequence
	if err == nil && ok && m.Err != nil {
		m, ok, err = w.cfg.Bus.LastValid(ctx, events.TypeShadowEvaluated, model)
	}
	if err != nil || !ok {
		return nil, last, err
	}
	e, _ = m.Event.Payload.(*events.ShadowEvaluated) // no other type is on the subject
	return e, last, nil
}

// start returns the first sequence of a stream that belongs to the shadow.
func (s *session) start(ctx context.Context, stream events.Stream, t events.Type) (uint64, error) {
	end, err := s.w.cfg.Bus.LastSequence(ctx, stream) // before looking: what comes in between comes after it
	if err != nil {
		return 0, err
	}
	m, ok, err := s.w.cfg.Bus.Since(ctx, t, s.r.model, s.r.since.Time)
	if err != nil || !ok {
		return end + 1, err
	}
	return m.Sequence, nil
}

// handle takes a message once.
func (s *session) handle(m bus.Message, position *uint64, take func(bus.Message) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Sequence <= *position {
		return nil
	}
	if err := take(m); err != nil {
		s.end(&brokenError{err.Error()})
		return err
	}
	s.dirty++
	return nil
}

func (s *session) predicted(m bus.Message) error {
	p, _ := m.Event.Payload.(*events.PredictionMade) // nil for junk
	outcome, err := s.counts.predicted(m.Sequence, p, s.scorer)
	if err != nil {
		return err
	}
	s.w.metrics.rows.WithLabelValues(outcome).Inc()
	s.w.metrics.lag.Set(time.Since(m.Time).Seconds())
	return nil
}

func (s *session) joined(m bus.Message) error {
	x, _ := m.Event.Payload.(*events.ExampleJoined)
	return s.counts.joined(m.Sequence, x, s.scorer)
}

// tick publishes what is new, less and less often. It returns when ctx ends or another's checkpoint was first.
func (s *session) tick(ctx context.Context) error {
	for s.w.pause(ctx, s.w.cfg.interval(time.Since(s.r.since.Time))) {
		s.mu.Lock()
		err := s.save(ctx)
		s.mu.Unlock()
		if err != nil {
			s.end(err)
			return err
		}
	}
	return context.Cause(ctx)
}

// save publishes a checkpoint if there is anything new. The mutex is held, or nobody else is there.
func (s *session) save(ctx context.Context) error {
	if s.dirty == 0 {
		return nil
	}
	seq, err := s.w.append(ctx, s.r.model, s.counts.checkpoint(), s.expected)
	if err != nil {
		return err
	}
	s.expected, s.dirty = seq, 0
	return nil
}

// append stores a checkpoint in place of the one at expected, or returns errOvertaken.
func (w *Worker) append(ctx context.Context, model string, e *events.ShadowEvaluated, expected uint64) (uint64, error) {
	key := fmt.Sprintf("%d/%s/%d.%d@%d", e.Revision, w.boot, e.PredictionsSequence, e.TrainingSequence, expected)
	if e.Final {
		key += "/final"
	}
	seq, err := w.cfg.Bus.Append(ctx, events.New(model, w.cfg.Bus.Source(), key, time.Now(), e), expected)
	switch {
	case errors.Is(err, bus.ErrConflict):
		w.metrics.checkpoints.WithLabelValues("lost").Inc()
		return 0, errOvertaken
	case err != nil:
		return 0, err
	}
	w.metrics.checkpoints.WithLabelValues("stored").Inc()
	return seq, nil
}

// standBy waits until no checkpoint has come for three times the interval, the shadow has its final one, or ctx ends.
func (w *Worker) standBy(ctx context.Context, r *running) {
	w.log.Info("another worker counts this shadow, standing by", "model", r.model, "revision", r.rollout.Revision)
	for seen, quiet := uint64(0), 0; quiet < 3; quiet++ {
		m, _, err := w.cfg.Bus.Last(ctx, events.TypeShadowEvaluated, r.model)
		if err != nil {
			return
		}
		if e, ok := m.Event.Payload.(*events.ShadowEvaluated); ok && e.Final {
			return
		}
		if m.Sequence != seen {
			seen, quiet = m.Sequence, 0
		}
		if !w.pause(ctx, w.cfg.interval(time.Since(r.since.Time))) {
			return
		}
	}
}

// pause waits and reports whether ctx goes on.
func (w *Worker) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

var _ scorer = (*compare.Scorer)(nil)
