package drift

import (
	"context"
	"errors"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// traffic is the follower of PREDICTIONS: one tracker per model. It belongs to one goroutine.
type traffic struct {
	from     uint64
	trackers map[string]*tracker
}

// tracker is what drift knows of one model's predictions.
type tracker struct {
	model string
	last  *events.DriftEvaluated // the checkpoint, then the newest evaluation
	// restoreFrom and restoreTo bound the rows that only fill the window: they were counted before the checkpoint.
	restoreFrom, restoreTo uint64

	window  *Window
	ordinal uint64
	seen    uint64 // sequence of the newest message taken
	due     bool   // an evaluation at seen is not published yet
	fault   error  // of the newest message's record, to be dead-lettered once the evaluation is out
}

// newTraffic restores each model from its checkpoint and finds where to go on reading.
func (s *Service) newTraffic(ctx context.Context, points checkpoints) (*traffic, error) {
	end, err := s.cfg.Bus.LastSequence(ctx, events.Predictions) // before the models are listed: a later one's predictions come after it
	if err != nil {
		return nil, err
	}
	names, err := s.models(ctx)
	if err != nil {
		return nil, err
	}
	t := &traffic{trackers: map[string]*tracker{}, from: end + 1}
	for model, p := range points {
		if p.data == nil {
			continue
		}
		tr := &tracker{model: model, last: p.data, ordinal: p.data.Ordinal}
		t.trackers[model] = tr
		if p.data.PredictionsSequence <= end { // else the stream was re-created and starts anew
			tr.restoreFrom, tr.restoreTo = p.data.WindowFirst, p.data.PredictionsSequence
		}
	}
	for _, model := range names {
		if tr := t.trackers[model]; tr != nil && tr.restoreFrom > 0 {
			t.from = min(t.from, tr.restoreFrom)
		} else {
			t.from = 1
		}
	}
	return t, nil
}

func (s *Service) followPredictions(ctx context.Context, t *traffic) error {
	return s.cfg.Bus.Follow(ctx, bus.FollowConfig{
		Name: "drift", Stream: events.Predictions, Filters: []string{s.cfg.filter(events.TypePredictionMade)}, From: t.from, DeadLetterJunk: true,
		OnCaughtUp: func() { s.ready.done("predictions") },
		OnReset: func() {
			for _, tr := range t.trackers {
				tr.restoreFrom, tr.restoreTo, tr.seen, tr.due = 0, 0, 0, false
				if tr.window != nil {
					tr.window.Clear()
				}
			}
		},
	}, func(ctx context.Context, m bus.Message) error { return s.predicted(ctx, t, m) })
}

// predicted takes one prediction and, at every spec.Drift.Every-th of its model, evaluates. It may be called again with the same message after an
// error: what was done stays done.
func (s *Service) predicted(ctx context.Context, t *traffic, m bus.Message) error {
	tr := t.trackers[m.Event.Model]
	if tr == nil {
		tr = &tracker{model: m.Event.Model}
		t.trackers[tr.model] = tr
	}
	if m.Sequence < tr.restoreFrom {
		return nil
	}
	if err := s.at("prediction"); err != nil {
		return err
	}
	if m.Sequence > tr.seen {
		if err := s.take(ctx, tr, m); err != nil {
			return err
		}
	}
	if tr.due {
		if err := s.evaluate(ctx, tr); err != nil {
			return err
		}
	}
	fault := tr.fault
	tr.fault = nil
	return bus.Permanent(fault)
}

// take puts a prediction into the window, under the reference of the greatest promotion seen.
func (s *Service) take(ctx context.Context, tr *tracker, m bus.Message) error {
	p := m.Event.Payload.(*events.PredictionMade)
	if err := s.refs.check(ctx, tr.model, served{p.PromotionSequence, p.Version, p.Arm}); err != nil {
		return err
	}
	restoring, tried := m.Sequence <= tr.restoreTo, p.Arm != ""
	if err := s.refer(ctx, tr, p.PromotionSequence, restoring || tried); err != nil {
		return err
	}
	tr.seen, tr.fault = m.Sequence, nil
	if !restoring {
		tr.ordinal++
	}
	if tr.window == nil {
		return nil // no reference could be used so far, which was said
	}
	fault := tr.window.Add(Row{Sequence: m.Sequence, At: m.Time.UTC(), Version: p.Version, Score: p.Score, Record: p.Record, Tried: tried})
	if restoring {
		return nil
	}
	ref := tr.window.Reference()
	if ref.Promotion == p.PromotionSequence && !tried {
		tr.fault = fault // it was served under this very schema
	}
	tr.due = ref.Baseline != nil && tr.ordinal%uint64(ref.Spec.Drift.Every) == 0
	s.metrics.predictions.WithLabelValues(tr.model).Inc()
	s.metrics.lag.Set(s.cfg.Now().Sub(m.Time).Seconds())
	s.status.window(tr.model, ref, tr.ordinal, tr.window.Len())
	return nil
}

// refer makes the window use the right reference: while restoring the checkpoint's, later the greatest promotion's under which Production as such
// answered, so that keep is also set for what another arm answered. One that cannot be used leaves the former one in place.
func (s *Service) refer(ctx context.Context, tr *tracker, promotion uint64, keep bool) error {
	if tr.window == nil && tr.last != nil {
		if err := s.use(ctx, tr, tr.last.PromotionSequence); err != nil {
			return err
		}
	}
	if keep || tr.window != nil && promotion <= tr.window.Reference().Promotion {
		return nil
	}
	return s.use(ctx, tr, promotion)
}

func (s *Service) use(ctx context.Context, tr *tracker, promotion uint64) error {
	ref, err := s.refs.load(ctx, tr.model, promotion)
	switch {
	case errors.Is(err, errUnusable), errors.Is(err, errNoPromotion):
		return nil // an alarm was raised when it was found out
	case err != nil:
		return err
	case tr.window == nil:
		tr.window = NewWindow(ref)
	default:
		tr.window.Use(ref)
	}
	s.metrics.referenced(tr.model, ref.Baseline != nil)
	if ref.Baseline == nil {
		s.log.Info("no reference for this version: its columns are not evaluated", "model", tr.model, "version", ref.Version, "reason", noReference)
	}
	return nil
}

// noReference says why a version's columns are not evaluated.
const noReference = "the version was trained elsewhere, and its bundle does not say what its training data looked like"

// evaluate publishes the evaluation that is due and moves on.
func (s *Service) evaluate(ctx context.Context, tr *tracker) error {
	at := Position{Evaluation: 1, Ordinal: tr.ordinal}
	if tr.last != nil {
		at.Evaluation = tr.last.Evaluation + 1
	}
	e, notices := tr.window.Evaluate(tr.last, at)
	if err := s.publish(ctx, tr.model, e, notices); err != nil {
		return err
	}
	s.metrics.evaluated(tr.model, tr.last, e)
	s.status.evaluated(tr.model, e)
	tr.last, tr.due = e, false
	return nil
}
