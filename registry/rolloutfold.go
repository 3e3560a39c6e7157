package registry

import (
	"fmt"
	"slices"
	"time"

	"telco-churn-mlops/events"
)

// Rollout is one valid message on rollout.changed.
type Rollout struct {
	events.RolloutChanged
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"`
}

// Ended reports whether this is the end of a rollout.
func (r Rollout) Ended() bool { return r.State != events.RolloutRunning }

// rolledOut folds a change of a rollout. What contradicts an earlier message is left out: a revision that is not the next one, one that begins
// beside a promotion that is Production no more or beside another that runs, and the end of one that ended, or whose candidate became Production.
func (m *modelFold) rolledOut(r Record, p *events.RolloutChanged) error {
	v := m.version(p.Version)
	switch {
	case p.Revision != m.revision()+1:
		return fmt.Errorf("revision %d is not the next one, %d", p.Revision, m.revision()+1)
	case v == nil:
		return fmt.Errorf("version %d is not registered", p.Version)
	case p.Mode == events.RolloutDirect:
		if err := m.watched(p); err != nil {
			return err
		}
	case p.State == events.RolloutRunning:
		if err := m.mayRun(v, p); err != nil {
			return err
		}
	default:
		if err := m.mayEnd(p); err != nil {
			return err
		}
	}
	change := Rollout{RolloutChanged: *p, Sequence: r.Sequence, At: r.Time}
	m.rollouts = append(m.rollouts, change)
	v.Rollout = &change
	v.tried = v.tried || p.Mode == events.RolloutCanary
	m.touch(r.Time, v)
	switch {
	case p.State == events.RolloutRunning:
		if m.open == nil {
			m.begun = &change
		}
		m.open = &change
	case p.Mode != events.RolloutDirect:
		m.open, m.begun = nil, nil
		m.unstage(v, r.Time)
	}
	return nil
}

// revision returns the last one.
func (m *modelFold) revision() int {
	if n := len(m.rollouts); n > 0 {
		return m.rollouts[n-1].Revision
	}
	return 0
}

// watched returns why the watch of a fresh Production can't end so, or nil.
func (m *modelFold) watched(p *events.RolloutChanged) error {
	if m.open != nil {
		return fmt.Errorf("the %s of version %d runs, at revision %d", m.open.Mode, m.open.Version, m.open.Revision)
	}
	for _, old := range m.rollouts {
		if old.Mode == events.RolloutDirect && old.PromotionSequence == p.PromotionSequence {
			return fmt.Errorf("the watch of the promotion at sequence %d ended at revision %d", p.PromotionSequence, old.Revision)
		}
	}
	for _, q := range m.promotions {
		if q.Sequence == p.PromotionSequence && q.Version == p.Version {
			return nil
		}
	}
	return fmt.Errorf("version %d was not promoted at sequence %d", p.Version, p.PromotionSequence)
}

// mayRun returns why a rollout can't begin or go on so, or nil.
func (m *modelFold) mayRun(v *Version, p *events.RolloutChanged) error {
	if n := len(m.promotions); n == 0 || m.promotions[n-1].Sequence != p.PromotionSequence || m.promotions[n-1].Version != p.Production {
		return fmt.Errorf("version %d of sequence %d is not Production", p.Production, p.PromotionSequence)
	}
	o := m.open
	switch {
	case m.deleted:
		return fmt.Errorf("model %s is deleted", m.name)
	case v.Deleted:
		return fmt.Errorf("version %d is deleted", p.Version)
	case v.Bundle.Digest != p.Bundle.Digest:
		return fmt.Errorf("version %d is rolled out with digest %s, registered with %s", p.Version, p.Bundle.Digest, v.Bundle.Digest)
	case o == nil && p.Version == p.Production:
		return fmt.Errorf("version %d is Production", p.Version)
	case o == nil:
		return nil
	case o.Version != p.Version || o.Mode != p.Mode || o.PromotionSequence != p.PromotionSequence || p.Step != o.Step+1:
		return fmt.Errorf("the %s of version %d runs, at revision %d", o.Mode, o.Version, o.Revision)
	}
	return nil
}

// mayEnd returns why a rollout can't end so, or nil.
func (m *modelFold) mayEnd(p *events.RolloutChanged) error {
	o := m.open
	if o == nil || o.Version != p.Version || o.Mode != p.Mode {
		return fmt.Errorf("no %s of version %d runs", p.Mode, p.Version)
	}
	arrived, at := m.arrivedBy(o)
	switch {
	case arrived && p.State != events.RolloutCompleted:
		return fmt.Errorf("version %d became Production at sequence %d", p.Version, at)
	case !arrived && p.State == events.RolloutCompleted:
		return fmt.Errorf("version %d did not become Production", p.Version)
	}
	return nil
}

// arrivedBy reports whether the candidate of a rollout became Production after its last revision, and by which promotion.
func (m *modelFold) arrivedBy(o *Rollout) (bool, uint64) {
	for _, q := range m.promotions {
		if q.Sequence > o.Sequence && q.Version == o.Version && !q.Restates {
			return true, q.Sequence
		}
	}
	return false, 0
}

// unstage archives a version whose rollout ended, and that stood in Staging because of it, once a newer one is there.
func (m *modelFold) unstage(v *Version, at time.Time) {
	if v.Stage == events.StageStaging && slices.ContainsFunc(m.versions[v.Version:], func(o *Version) bool { return o.Stage == events.StageStaging }) {
		v.Stage = events.StageArchived
		m.touch(at, v)
	}
}

// rolling reports whether a version is the candidate of a rollout that did not end.
func (m *modelFold) rolling(v *Version) bool { return m.open != nil && m.open.Version == v.Version }

// unrolled returns why a promotion that completes a rollout contradicts what came before it on rollout.changed: that ended, or is another one by now.
func (m *modelFold) unrolled(p *events.ModelPromoted) error {
	if p.Rollout == 0 || p.Cause != events.PromotedByGate && p.Cause != events.PromotedManually {
		return nil
	}
	if o := m.open; o == nil || o.Revision != p.Rollout || o.Version != p.Version {
		return fmt.Errorf("the rollout of version %d at revision %d was ended or went on", p.Version, p.Rollout)
	}
	return nil
}

// Rollouts returns every change of a model's rollouts, newest first.
func (c *Catalog) Rollouts(key string) []Rollout {
	m := c.models[key]
	if m == nil {
		return nil
	}
	out := slices.Clone(m.rollouts)
	slices.Reverse(out)
	return out
}

// Rollout returns the rollout of a model that did not end, as its last revision says, and false if there is none. It is in force as long as the
// promotion that it names is Production's, see [Catalog.InForce].
func (c *Catalog) Rollout(key string) (Rollout, bool) {
	if m := c.models[key]; m != nil && m.open != nil {
		return *m.open, true
	}
	return Rollout{}, false
}

// InForce reports whether a running rollout still stands beside the promotion that it names. If not, its end is about to be written.
func (c *Catalog) InForce(key string, r Rollout) bool {
	p, ok := c.Promotion(key)
	return ok && !r.Ended() && p.Sequence == r.PromotionSequence
}

// Begun returns how the running rollout of a model began: by whom, and why.
func (c *Catalog) Begun(key string) (Rollout, bool) {
	if m := c.models[key]; m != nil && m.begun != nil {
		return *m.begun, true
	}
	return Rollout{}, false
}

// Revision returns the last revision of a model's rollouts, 0 for none.
func (c *Catalog) Revision(key string) int {
	if m := c.models[key]; m != nil {
		return m.revision()
	}
	return 0
}

// Fresh returns the promotion of a model's Production that is watched since it was made, with what was Production before it, and false if there is
// none: it was by a rollback, which is never watched, there is none, or its watch ended.
func (c *Catalog) Fresh(key string) (p, before Promotion, ok bool) {
	m := c.models[key]
	if m == nil || !m.gated() {
		return Promotion{}, Promotion{}, false
	}
	for _, q := range slices.Backward(m.promotions) {
		switch {
		case q.Restates:
		case p.Sequence == 0:
			p = q
		default:
			before = q
		}
		if before.Sequence != 0 {
			break
		}
	}
	watched := p.Version > 0 && !p.Ungated && (p.Cause == events.PromotedByGate || p.Cause == events.PromotedManually)
	if !watched || m.astray != nil || slices.ContainsFunc(m.rollouts, func(r Rollout) bool {
		return r.Mode == events.RolloutDirect && r.PromotionSequence == p.Sequence
	}) {
		return Promotion{}, Promotion{}, false
	}
	return p, before, true
}
