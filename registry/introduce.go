package registry

import (
	"context"
	"slices"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/rollout"
)

// canary reports whether a canary of a model runs.
func (c *Catalog) canary(key string) bool {
	o, ok := c.Rollout(key)
	return ok && o.Mode == events.RolloutCanary && c.InForce(key, o)
}

// notForProduction leaves out the versions whose runs asked for Production.
func notForProduction(versions []Version) []Version {
	return slices.DeleteFunc(versions, func(v Version) bool { return v.TargetStage == events.StageProduction })
}

// introduce makes a version that is due Production, or begins the canary that the rules plan. There is none beside nothing: a first Production, one
// after a withdrawal, and one after a version that no instance can serve are promoted at once.
func (s *Service) introduce(ctx context.Context, v Version, r rules) error {
	plan, err := r.rollout.Plan.Shares()
	if err != nil || len(plan) == 0 {
		return s.promote(ctx, v) // the rules were validated: direct
	}
	var stale bool
	s.ledger.view(func(c *Catalog, _ *Fleet) {
		o, running := c.Rollout(v.Model)
		stale = running && !c.InForce(v.Model, o)
	})
	if stale { // its end comes first
		return s.considerRollout(ctx, v.Model)
	}
	done, err := s.desk.turns.take(ctx, v.Model)
	if err != nil {
		return err
	}
	var d draft
	var beside bool
	s.ledger.view(func(c *Catalog, _ *Fleet) {
		now, ok := c.Production(v.Model)
		if beside, _ = now.Servable(); !ok || !beside {
			beside = false
			return
		}
		if judged, _ := c.Version(v.Model, v.Version); c.due(judged) {
			d = rolloutDraft(c, v, events.RolloutChanged{
				Mode: events.RolloutCanary, Plan: plan, Watch: rollout.WatchOf(r.rollout.Watch), Cause: events.RolloutByGate, Reason: v.Gate.Reason,
				Actor: s.cfg.Actor,
			})
		}
	})
	if beside && d.payload != nil {
		err = s.write(ctx, v.Model, d.id, d.payload, d.expected)
	}
	done()
	switch {
	case !beside:
		return s.promote(ctx, v)
	case err != nil || d.payload == nil:
		return err
	}
	s.rolled(v.Model, RolloutDecision{Version: v.Version, write: d})
	return nil
}

// rolloutDraft drafts the beginning of a rollout beside what is Production now, or the end of a shadow that runs there.
func rolloutDraft(c *Catalog, v Version, p events.RolloutChanged) draft {
	now, _ := c.Promotion(v.Model)
	p.Revision, p.State = c.Revision(v.Model)+1, events.RolloutRunning
	p.Version, p.RunID, p.Bundle = v.Version, v.RunID, v.Bundle
	p.Production, p.PromotionSequence = now.Version, now.Sequence
	if len(p.Plan) > 0 {
		p.Share = p.Plan[0]
	}
	if o, running := c.Rollout(v.Model); running { // a shadow in force: a canary would be waited for
		q := o.RolloutChanged
		q.Revision, q.State, q.Cause = p.Revision, events.RolloutAborted, events.RolloutSuperseded
		q.Reason, q.Actor = "the canary of a version that passed its gates takes its place", p.Actor
		p = q
	}
	expected := c.Expected(events.TypeRolloutChanged, v.Model)
	return draft{key: v.Model, payload: &p, id: idKey(rolloutKey(p), expected), expected: expected}
}
