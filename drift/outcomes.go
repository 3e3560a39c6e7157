package drift

import (
	"context"
	"errors"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// outcomeTracker is what drift knows of one model's labelled predictions. It belongs to the goroutine that follows TRAINING, which is read from its
// first message at each start: nothing that was evaluated is evaluated again.
type outcomeTracker struct {
	model    string
	last     *events.DriftEvaluated // the last performance evaluation of any version
	ref      *Reference             // of the greatest promotion seen in an example
	versions map[int]*versionTracker
	seen     uint64
	due      *versionTracker
}

type versionTracker struct {
	counted  uint64 // the checkpoint's position: rows up to it only fill the window
	ordinal  uint64
	outcomes Outcomes
}

type outcomes map[string]*outcomeTracker

func (s *Service) newOutcomes(points checkpoints) outcomes {
	o := outcomes{}
	for model, p := range points {
		t := o.of(model)
		t.last = p.performance
		for v, e := range p.versions {
			t.versions[v] = &versionTracker{counted: e.TrainingSequence, ordinal: e.Ordinal}
		}
	}
	return o
}

func (o outcomes) of(model string) *outcomeTracker {
	t := o[model]
	if t == nil {
		t = &outcomeTracker{model: model, versions: map[int]*versionTracker{}}
		o[model] = t
	}
	return t
}

func (s *Service) followExamples(ctx context.Context, o outcomes) error {
	return s.cfg.Bus.Follow(ctx, bus.FollowConfig{
		Name: "drift", Stream: events.Training, Filters: []string{s.cfg.filter(events.TypeExampleJoined)}, DeadLetterJunk: true,
		OnCaughtUp: func() { s.ready.done("examples") },
		OnReset: func() {
			for _, t := range o {
				t.ref, t.seen, t.due = nil, 0, nil
				for _, v := range t.versions {
					v.counted, v.outcomes = 0, Outcomes{}
				}
			}
		},
	}, func(ctx context.Context, m bus.Message) error { return s.joined(ctx, o.of(m.Event.Model), m) })
}

// joined takes one example and, at every so many of the version, evaluates. It may be called again with the same message after an error.
func (s *Service) joined(ctx context.Context, t *outcomeTracker, m bus.Message) error {
	if m.Sequence > t.seen {
		if err := s.takeExample(ctx, t, m); err != nil {
			return err
		}
	}
	if t.due == nil {
		return nil
	}
	at := Position{Evaluation: 1, Ordinal: t.due.ordinal}
	if t.last != nil {
		at.Evaluation = t.last.Evaluation + 1
	}
	e, notices := t.due.outcomes.Evaluate(t.ref, t.last, at)
	if err := s.publish(ctx, t.model, e, notices); err != nil {
		return err
	}
	s.metrics.evaluated(t.model, t.last, e)
	s.metrics.live(t.model, t.ref, t.due.outcomes.counts.F1())
	s.status.evaluated(t.model, e)
	t.last, t.due = e, nil
	return nil
}

func (s *Service) takeExample(ctx context.Context, t *outcomeTracker, m bus.Message) error {
	p := m.Event.Payload.(*events.ExampleJoined)
	if err := s.refs.check(ctx, t.model, served{p.PromotionSequence, p.Version, p.Arm}); err != nil {
		return err
	}
	if p.Arm != "" { // what another than Production as such answered says nothing of Production
		t.seen = m.Sequence
		return nil
	}
	if t.ref == nil || p.PromotionSequence > t.ref.Promotion {
		ref, err := s.refs.load(ctx, t.model, p.PromotionSequence)
		switch {
		case errors.Is(err, errUnusable): // an alarm was raised when it was found out
		case err != nil:
			return err
		default:
			t.ref = ref
		}
	}
	t.seen = m.Sequence
	if t.ref == nil || t.ref.Version != p.Version || t.ref.Spec.Drift.Performance == nil {
		return nil
	}
	rules := t.ref.Spec.Drift.Performance
	v := t.versions[p.Version]
	if v == nil {
		v = &versionTracker{}
		t.versions[p.Version] = v
	}
	v.outcomes.Resize(rules.Window)
	v.outcomes.Add(Example{Sequence: m.Sequence, PredictionsSequence: p.PredictionsSequence, At: m.Time.UTC(), Predicted: p.Predicted, Observed: p.Observed})
	if m.Sequence <= v.counted {
		return nil
	}
	v.ordinal++
	if v.ordinal%uint64(rules.Every) == 0 {
		t.due = v
	}
	return nil
}
