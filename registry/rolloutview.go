package registry

import (
	"time"

	"telco-churn-mlops/events"
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

// RolloutNow is [Service.RolloutStatus] by folds alone: without a registry there is nobody who reads bundles and labels, so that scores and F1 are not
// judged, and a fresh Production is held to the default limits.
func RolloutNow(c *Catalog, f *Fleet, key string, now time.Time) (*RolloutStatus, []RolloutInstance) {
	in := RolloutInput{Watch: rollout.WatchOf(spec.DefaultRollout().Watch), Labels: noLabels, ScoresUnknown: true, Now: now}
	return statusOf(DecideRollout(c, f, key, in)), rolloutInstances(f, key, now)
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
