package registry

import (
	"fmt"
	"slices"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/baseline"
	"telco-churn-mlops/registry/rollout"
)

// RolloutAction is what a rollout, or the watch of a fresh Production, leads to.
type RolloutAction string

const (
	RolloutNone    RolloutAction = "none"    // nothing is tried or watched
	RolloutWait    RolloutAction = "wait"    // it goes on
	RolloutHold    RolloutAction = "hold"    // it can't go on, and a person should look
	RolloutChange  RolloutAction = "change"  // the next message on rollout.changed is due
	RolloutPromote RolloutAction = "promote" // the promotion that completes it is due, or the rollback that ends it
)

// RolloutDecision says what to do about what is tried or watched of a model.
type RolloutDecision struct {
	Action RolloutAction
	// Mode, Version and Revision say what it is about; Revision is that of the running rollout, 0 for the watch of a fresh Production.
	Mode     events.RolloutMode
	Version  int
	Revision int
	// Reason says it in words, and Evidence with figures.
	Reason   string
	Evidence *events.Evidence
	// write is what to write, for RolloutChange and RolloutPromote.
	write draft
}

// RolloutInput is what is known beside the folds.
type RolloutInput struct {
	// Watch are the limits of a fresh Production that no rollout with limits of its own completed.
	Watch events.RolloutWatch
	// Labels returns the last labelled rows that a version answered under a promotion, of those predicted since a time.
	Labels func(version int, promotion uint64, since time.Time) rollout.Labels
	// Reference is the score baseline of the watched bundle, nil if it has none. With ScoresUnknown it could not be read yet: scores are not judged, and
	// nothing passes meanwhile.
	Reference     *baseline.Reference
	ScoresUnknown bool
	// Known looks up the score baseline of another bundle by digest, for a fresh Production beside which a rollout runs. Nil knows none.
	Known func(digest string) (ref *baseline.Reference, known bool)
	// Check is what the registry found when it loaded the candidate itself; it looks only where an instance could not.
	Check OwnCheck
	Actor string
	Now   time.Time
}

// DecideRollout returns what is due about the running rollout of a model, and else about the watch of its fresh Production. One that another promotion
// overtook is ended. A candidate that can't be loaded is given up if the registry can't either, or most live instances can't. It only
// says what the next message is: whoever wrote it asks again.
func DecideRollout(c *Catalog, f *Fleet, key string, in RolloutInput) RolloutDecision {
	o, running := c.Rollout(key)
	p, before, fresh := c.Fresh(key)
	switch {
	case running && !c.InForce(key, o):
		return overtakenRollout(c, f, key, o, in)
	case running:
		// The Production beside it may be fresh itself. A breach of it ends both; that it passed is said when the rollout is over.
		if fresh {
			if d := decideFresh(c, f, key, p, before, in.ofFresh(p)); d.Action == RolloutPromote {
				return d
			}
		}
		return decideRunning(c, f, key, o, in)
	case fresh:
		return decideFresh(c, f, key, p, before, in)
	}
	return RolloutDecision{Action: RolloutNone}
}

// ofFresh returns what is known for the watch of a fresh Production beside which a rollout runs: the reference of its own bundle, not the candidate's.
func (in RolloutInput) ofFresh(p Promotion) RolloutInput {
	in.Reference, in.ScoresUnknown = nil, true
	if in.Known != nil {
		ref, known := in.Known(p.Bundle.Digest)
		in.Reference, in.ScoresUnknown = ref, !known
	}
	return in
}

// labelsOf returns the labelled rows of both sides of a canary, predicted since it began: what Production was right about before says nothing of today.
func (in RolloutInput) labelsOf(c *Catalog, key string, o Rollout) (candidate, production rollout.Labels) {
	since := o.At
	if begun, ok := c.Begun(key); ok {
		since = begun.At
	}
	return in.Labels(o.Version, o.PromotionSequence, since), in.Labels(o.Production, o.PromotionSequence, since)
}

// watchedBy returns what is watched of a model at the moment: its bundle, and since when that is named.
func watchedBy(c *Catalog, key string) (v Version, ok bool) {
	if o, running := c.Rollout(key); running {
		if o.Mode == events.RolloutShadow {
			return Version{}, false
		}
		return c.Version(key, o.Version)
	}
	if p, _, fresh := c.Fresh(key); fresh {
		return c.Version(key, p.Version)
	}
	return Version{}, false
}

func decideRunning(c *Catalog, f *Fleet, key string, o Rollout, in RolloutInput) RolloutDecision {
	d := RolloutDecision{Action: RolloutWait, Mode: o.Mode, Version: o.Version, Revision: o.Revision}
	v, _ := c.Version(key, o.Version)
	switch {
	case v.Deleted, v.Archived:
		d.Reason = fmt.Sprintf("version %d was deleted", o.Version)
		if !v.Deleted {
			d.Reason = fmt.Sprintf("version %d was archived", o.Version)
		}
		return d.change(c, key, o, events.RolloutAborted, events.RolloutSuperseded, in)
	case o.Mode == events.RolloutShadow:
		d.Reason = "it runs until somebody ends it"
		return d
	}
	if evidence, why := unloadable(c, f, key, o, in); why != "" {
		d.Evidence, d.Reason = evidence, why
		return d.change(c, key, o, events.RolloutRolledBack, events.RolloutLoadFailed, in)
	}
	candidate := func(k rollout.Key) bool {
		return k.Revision == o.Revision && k.Version == o.Version && k.Digest == o.Bundle.Digest && k.Arm == events.ArmCanary
	}
	other := func(k rollout.Key) bool {
		return k.Revision == o.Revision && k.Version == o.Production && k.Promotion == o.PromotionSequence && k.Arm == events.ArmProduction
	}
	m := f.Measured(key)
	sides := rollout.Sides{OtherVersion: o.Production, Reference: in.Reference}
	var names []string
	sides.Watched, names = m.Sum(candidate)
	sides.Other, _ = m.Sum(other)
	sides.WatchedLabels, sides.OtherLabels = in.labelsOf(c, key, o)
	step := rollout.Step{Since: o.At, Watch: o.Watch, Watched: sides.Watched}
	action, reason := d.judge(step, sides, presenceOf(f, key, o.At, in.Now, func(i Instance) (adopted, serves bool) {
		return i.RolloutRevision == o.Revision, i.RolloutRevision == o.Revision && i.Candidate == o.Version
	}), m.Through(), names, in)
	d.Reason = reason
	switch {
	case action == rollout.Hold:
		d.Action = RolloutHold
	case action == rollout.Break:
		return d.change(c, key, o, events.RolloutRolledBack, events.RolloutBreach, in)
	case action == rollout.Pass && o.Step+2 < len(o.Plan):
		next := o
		next.Step, next.Share = o.Step+1, o.Plan[o.Step+1]
		return d.change(c, key, next, events.RolloutRunning, events.RolloutStep, in)
	case action == rollout.Pass:
		begun, _ := c.Begun(key)
		q := promotionOf(v, events.PromotedByGate, in.Actor, fmt.Sprintf("the canary passed: %s", reason))
		q.Rollout, q.Override = o.Revision, begun.Override
		d.Action, d.write = RolloutPromote, promotionDraft(c, key, q)
	}
	return d
}

// overtakenRollout ends a rollout that stands beside Production no more: completed if its candidate is what was promoted, else aborted.
func overtakenRollout(c *Catalog, f *Fleet, key string, o Rollout, in RolloutInput) RolloutDecision {
	d := RolloutDecision{Mode: o.Mode, Version: o.Version, Revision: o.Revision}
	for _, p := range c.Promotions(key) {
		if p.Sequence <= o.Sequence || p.Version != o.Version || p.Restates {
			continue
		}
		cause := events.RolloutManually
		if p.Rollout == o.Revision && p.Cause == events.PromotedByGate {
			cause = events.RolloutPassed
		}
		d.Evidence, d.Reason = lastEvidence(c, f, key, o, in), p.Reason
		done := o
		if o.Mode == events.RolloutCanary {
			done.Step, done.Share = len(o.Plan)-1, 1
		}
		return d.change(c, key, done, events.RolloutCompleted, cause, in)
	}
	p, _ := c.Promotion(key)
	d.Reason = fmt.Sprintf("version %d was promoted (%s)", p.Version, p.Cause)
	if p.Version == 0 {
		d.Reason = "the model was withdrawn"
	}
	d.Evidence = lastEvidence(c, f, key, o, in)
	return d.change(c, key, o, events.RolloutAborted, events.RolloutSuperseded, in)
}

// lastEvidence is what was seen under the last revision of a rollout, for the record: nothing is decided by it any more.
func lastEvidence(c *Catalog, f *Fleet, key string, o Rollout, in RolloutInput) *events.Evidence {
	if o.Mode != events.RolloutCanary {
		return nil
	}
	m := f.Measured(key)
	sides := rollout.Sides{OtherVersion: o.Production, Reference: in.Reference}
	var names []string
	sides.Watched, names = m.Sum(func(k rollout.Key) bool { return k.Revision == o.Revision && k.Arm == events.ArmCanary })
	sides.Other, _ = m.Sum(func(k rollout.Key) bool { return k.Revision == o.Revision && k.Arm == events.ArmProduction })
	sides.WatchedLabels, sides.OtherLabels = in.labelsOf(c, key, o)
	var d RolloutDecision
	d.judge(rollout.Step{Since: o.At, Watch: o.Watch, Watched: sides.Watched}, sides, rollout.Presence{}, m.Through(), names, in)
	return d.Evidence
}

// decideFresh watches a fresh Production: against its own reference, and what was Production before it, as that answered last, be it under an
// earlier promotion: a rollback may have brought it back a moment ago.
func decideFresh(c *Catalog, f *Fleet, key string, p, before Promotion, in RolloutInput) RolloutDecision {
	d := RolloutDecision{Action: RolloutWait, Mode: events.RolloutDirect, Version: p.Version}
	w := in.Watch
	if p.Rollout > 0 {
		for _, r := range c.Rollouts(key) {
			if r.Revision == p.Rollout {
				w = r.Watch
			}
		}
	}
	m := f.Measured(key)
	sides := rollout.Sides{OtherVersion: before.Version, Reference: in.Reference}
	var names []string
	sides.Watched, names = m.Sum(func(k rollout.Key) bool {
		return k.Version == p.Version && k.Digest == p.Bundle.Digest && k.Promotion >= p.Sequence && k.Arm == events.ArmProduction
	})
	if before.Version > 0 {
		sides.Other = m.Recent(func(k rollout.Key) bool {
			return k.Version == before.Version && k.Digest == before.Bundle.Digest && k.Promotion < p.Sequence && k.Arm == events.ArmProduction
		})
		sides.OtherLabels = in.Labels(before.Version, before.Sequence, time.Time{})
	}
	sides.WatchedLabels = in.Labels(p.Version, p.Sequence, p.At)
	step := rollout.Step{Since: p.At, Watch: w, Watched: sides.Watched}
	action, reason := d.judge(step, sides, presenceOf(f, key, p.At, in.Now, func(i Instance) (adopted, serves bool) {
		yes := i.PromotionSequence >= p.Sequence && i.Serving.Version == p.Version
		return yes, yes
	}), m.Through(), names, in)
	d.Reason = reason
	end := Rollout{RolloutChanged: events.RolloutChanged{
		Mode: events.RolloutDirect, Version: p.Version, RunID: p.RunID, Bundle: p.Bundle, Production: before.Version, PromotionSequence: p.Sequence,
		Share: 1, Watch: w,
	}}
	switch action {
	case rollout.Hold:
		// Nobody serves the model at all: there is nothing to alarm about, and nothing that it would prove.
	case rollout.Pass:
		return d.change(c, key, end, events.RolloutCompleted, events.RolloutPassed, in)
	case rollout.Break:
		return breachOfFresh(c, f, key, p, end, d, in)
	}
	return d
}

// breachOfFresh goes back to where [DecideRollback] would; with nowhere to go, the watch ends with a word of it.
func breachOfFresh(c *Catalog, f *Fleet, key string, p Promotion, end Rollout, d RolloutDecision, in RolloutInput) RolloutDecision {
	v, ok := rollbackTarget(c, f, key)
	if !ok {
		d.Reason += "; no earlier Production was ever loaded, so it stays"
		if _, running := c.Rollout(key); running {
			d.Action = RolloutHold
			return d
		}
		return d.change(c, key, end, events.RolloutAborted, events.RolloutBreach, in)
	}
	q := promotionOf(v, events.PromotedByRollback, in.Actor, fmt.Sprintf("version %d broke a limit of its watch: %s", p.Version, d.Reason))
	q.Refuted, q.Evidence = true, d.Evidence
	d.Action, d.write = RolloutPromote, promotionDraft(c, key, q)
	return d
}

// rollbackTarget returns where a rollback that nobody asked for goes: the newest earlier Production that some instance has loaded, and no
// rollback refuted.
func rollbackTarget(c *Catalog, f *Fleet, key string) (Version, bool) {
	for _, v := range c.Earlier(key) {
		if f.Loaded(key, v.Bundle.Digest) {
			return v, true
		}
	}
	return Version{}, false
}

// judge fills in the evidence and returns what follows from it.
func (d *RolloutDecision) judge(
	step rollout.Step, sides rollout.Sides, who rollout.Presence, through uint64, names []string, in RolloutInput,
) (rollout.Action, string) {
	w := step.Watch
	if in.ScoresUnknown {
		w.ScorePSI = 0
	}
	checks := rollout.Judge(w, sides, step.Over(in.Now))
	d.Evidence = &events.Evidence{
		From: step.Since.UTC(), To: in.Now.UTC(), FleetSequence: through, Requests: sides.Watched.Requests, Errors: sides.Watched.Errors,
		Instances: names, Checks: checks,
	}
	action, reason := rollout.Decide(step, checks, who, in.Now)
	if action == rollout.Pass && in.ScoresUnknown {
		return rollout.Wait, "the bundle can't be read at the moment, so that its scores can't be judged"
	}
	return action, reason
}

// change completes a decision to write the next message about a rollout.
func (d RolloutDecision) change(
	c *Catalog, key string, of Rollout, state events.RolloutState, cause events.RolloutCause, in RolloutInput,
) RolloutDecision {
	p := of.RolloutChanged
	p.Revision, p.State, p.Cause, p.Evidence, p.Reason, p.Actor = c.Revision(key)+1, state, cause, d.Evidence, d.Reason, in.Actor
	p.Override = p.Override && p.Reason != ""
	expected := c.Expected(events.TypeRolloutChanged, key)
	d.Action = RolloutChange
	d.write = draft{key: key, payload: &p, id: idKey(rolloutKey(p), expected), expected: expected}
	return d
}

// rolloutKey names a change of a rollout in the event's id: of two writers who say different things at the same revision, one is told so.
func rolloutKey(p events.RolloutChanged) string {
	return fmt.Sprintf("r%d-v%d-%s-%s", p.Revision, p.Version, p.State, p.Cause)
}

// presenceOf counts the live instances of a model, and those that took something up. Until they were given the time in which a live one must give a sign,
// those that did not are on their way.
func presenceOf(f *Fleet, key string, since, now time.Time, of func(Instance) (adopted, serves bool)) rollout.Presence {
	p := rollout.Presence{Lagging: now.Sub(since) < LiveFor}
	for _, i := range f.Instances(key) {
		if !i.Live(now) {
			continue
		}
		p.Live++
		adopted, serves := of(i)
		if adopted {
			p.Adopted++
		}
		if serves {
			p.Served++
		}
	}
	return p
}

// unloadable returns why a candidate must be given up, as it can't be loaded, with who says so; empty if it need not.
func unloadable(c *Catalog, f *Fleet, key string, o Rollout, in RolloutInput) (*events.Evidence, string) {
	var reporting []string
	why := ""
	failures := candidateFailures(c, f, key, o)
	for _, i := range failures {
		if i.Live(in.Now) {
			reporting = append(reporting, i.Serving.Instance)
		}
		why = i.CandidateFailure.Reason
	}
	live := f.LiveCount(key, in.Now)
	if len(failures) == 0 || in.Check != CheckBroken && 2*len(reporting) <= live {
		return nil, ""
	}
	slices.Sort(reporting)
	reason := fmt.Sprintf("%d of %d live instances can't load version %d (%s)", len(reporting), live, o.Version, why)
	if in.Check == CheckBroken {
		reason += "; nor can the registry"
	}
	return loadEvidence(f, key, o.At, in.Now, len(reporting), live, reporting, reason), reason
}

// candidateFailures returns the instances that can't load the candidate of a running rollout.
func candidateFailures(c *Catalog, f *Fleet, key string, o Rollout) []Instance {
	begun, _ := c.Begun(key)
	return f.CandidateFailures(key, o.Version, o.Bundle.Digest, begun.Revision)
}

// checkLoad names the check of evidence that says who could not load a bundle.
const checkLoad = "load"

// loadEvidence is the evidence of a bundle that can't be loaded.
func loadEvidence(f *Fleet, key string, from, to time.Time, failed, live int, names []string, why string) *events.Evidence {
	return &events.Evidence{
		From: from.UTC(), To: to.UTC(), FleetSequence: f.Measured(key).Through(), Instances: names,
		Checks: []events.EvidenceCheck{{
			Check: checkLoad, Value: float64(failed), Limit: float64(live) / 2, N: live, State: events.CheckBreached, Detail: why,
		}},
	}
}
