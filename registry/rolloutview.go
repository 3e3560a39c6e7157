package registry

import (
	"context"
	"fmt"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/baseline"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry/rollout"
)

// RolloutStatus is what the watch of a rollout, or of a fresh Production, sees at the moment.
type RolloutStatus struct {
	Mode    events.RolloutMode `json:"mode"`
	Version int                `json:"version"`
	// Revision is that of the running rollout, 0 for a fresh Production.
	Revision int `json:"revision,omitempty"`
	// Action is what is about to be done, and Reason why, or for what is waited.
	Action   RolloutAction    `json:"action"`
	Reason   string           `json:"reason"`
	Evidence *events.Evidence `json:"evidence,omitempty"`
}

// RolloutInstance is a live instance and the split that it uses.
type RolloutInstance struct {
	Instance  string `json:"instance"`
	Version   int    `json:"version"`
	Revision  int    `json:"revision"` // 0 while it uses none
	Candidate int    `json:"candidate,omitempty"`
	// Failure is why it could not load a candidate, the last time.
	Failure string `json:"failure,omitempty"`
}

// RolloutStatus returns what is seen of what is tried or watched of a model, nil if nothing is, and the live instances by name. It asks nobody.
func (s *Service) RolloutStatus(key string) (*RolloutStatus, []RolloutInstance) {
	var instances []RolloutInstance
	now := s.cfg.Now()
	s.ledger.view(func(_ *Catalog, f *Fleet) { instances = rolloutInstances(f, key, now) })
	return statusOf(s.decideRollout(key, CheckNotDone)), instances
}

// ScoresElsewhere is the detail of the check score_psi where [RolloutNow] left it to the registry.
const ScoresElsewhere = "judged by the registry, which reads the bundle: see its page of the model"

// RolloutNow is [Service.RolloutStatus] for a program that is no registry: labelled rows and the watched bundle are read anew, and a fresh Production is held to the
// default limits. Where store is nil or does not give the bundle, the check of the scores is insufficient ([ScoresElsewhere]).
func RolloutNow(ctx context.Context, b *bus.Bus, store artifact.Store, c *Catalog, f *Fleet, key string) (*RolloutStatus, []RolloutInstance, error) {
	now := time.Now()
	in := RolloutInput{Watch: rollout.WatchOf(spec.DefaultRollout().Watch), Labels: noLabels, ScoresUnknown: true, Now: now}
	if v, watched := watchedBy(c, key); watched {
		labels, err := loadOutcomes(ctx, b, key)
		if err != nil {
			return nil, nil, err
		}
		in.Labels = labels.of(key)
		in.Reference, in.ScoresUnknown = loadReference(ctx, store, v)
	}
	st := statusOf(DecideRollout(c, f, key, in))
	if st != nil && st.Evidence != nil && in.ScoresUnknown {
		limit := in.Watch.ScorePSI
		if o, ok := c.Rollout(key); ok {
			limit = o.Watch.ScorePSI
		}
		if limit > 0 {
			st.Evidence.Checks = append(st.Evidence.Checks, events.EvidenceCheck{
				Check: rollout.CheckScores, Limit: limit, State: events.CheckInsufficient, Detail: ScoresElsewhere,
			})
		}
	}
	return st, rolloutInstances(f, key, now), nil
}

// loadReference reads the score baseline of a version's bundle, nil if it has none. unknown is true where the bundle can't be read.
func loadReference(ctx context.Context, store artifact.Store, v Version) (ref *baseline.Reference, unknown bool) {
	if store == nil {
		return nil, true
	}
	data, err := artifact.ReadAll(ctx, store, artifact.Digest(v.Bundle.Digest), DefaultMaxBundle)
	if err != nil {
		return nil, true
	}
	b, err := model.Decode(data)
	switch {
	case err != nil:
		return nil, true
	case !b.HasBaselines():
		return nil, false
	}
	return &b.Baselines.Reference.Score, false
}

// loadOutcomes counts the labelled rows of a model as they stand now, those that a registry that starts would count.
func loadOutcomes(ctx context.Context, b *bus.Bus, key string) (*outcomes, error) {
	last, err := b.LastSequence(ctx, events.Training)
	if err != nil {
		return nil, fmt.Errorf("read outcomes: %w", err)
	}
	subject, err := events.SubjectOf(events.TypeExampleJoined, key)
	if err != nil {
		return nil, err
	}
	o := newOutcomes()
	err = b.Read(ctx, bus.ReadConfig{Stream: events.Training, Filters: []string{subject}, From: firstOutcome(last), Through: last}, func(m bus.Message) error {
		if x, ok := m.Event.Payload.(*events.ExampleJoined); ok && m.Err == nil {
			o.add(key, x)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read outcomes: %w", err)
	}
	return o, nil
}

func statusOf(d RolloutDecision) *RolloutStatus {
	if d.Action == RolloutNone {
		return nil
	}
	return &RolloutStatus{d.Mode, d.Version, d.Revision, d.Action, d.Reason, d.Evidence}
}

func rolloutInstances(f *Fleet, key string, now time.Time) []RolloutInstance {
	out := []RolloutInstance{}
	for _, i := range f.Instances(key) {
		if !i.Live(now) {
			continue
		}
		r := RolloutInstance{Instance: i.Serving.Instance, Version: i.Serving.Version, Revision: i.RolloutRevision, Candidate: i.Candidate}
		if i.CandidateFailure != nil {
			r.Failure = i.CandidateFailure.Reason
		}
		out = append(out, r)
	}
	return out
}

// RolloutOf returns the plan and the limits that versions of a model are rolled out by, those of [spec.DefaultRollout] where this registry knows no rules.
func (s *Service) RolloutOf(key string) spec.Rollout {
	if r, ok := s.rulesOf(key); ok {
		return r.rollout
	}
	return spec.DefaultRollout()
}
