package registry

import (
	"fmt"
	"slices"
	"time"

	"telco-churn-mlops/events"
)

// faultsKept bounds how many contradictions a catalog remembers.
const faultsKept = 1000

// Apply folds one message of LIFECYCLE. Messages come in the order of the stream; one that was applied before is ignored, so that
// two readers may feed one catalog. Junk is counted and moves what a compare-and-set expects, nothing else. A valid message that
// contradicts an earlier one (a number that is not the next, a second verdict, a second end of a run with other content) is left out, and
// the returned error says why; the first one counts, as it did for everyone who acted on it.
func (c *Catalog) Apply(r Record) error {
	if r.Sequence <= c.through {
		return nil
	}
	c.through = r.Sequence
	kind, name, err := events.ParseSubject(r.Subject)
	if err != nil || kind.Stream != events.Lifecycle {
		c.junk++
		return nil
	}
	m := c.models[name]
	if m == nil {
		m = newModelFold(name)
		m.trained = name == c.Spec
		c.models[name] = m
	}
	m.last[kind.Type] = r.Sequence
	if kind.Type == events.TypeModelPromoted {
		m.junk = r.Err != nil
	}
	if r.Err != nil {
		c.junk++
		return nil
	}
	if m.name == "" && !created(r) {
		c.appear(m)
	}
	if err := c.fold(m, r); err != nil {
		err = fmt.Errorf("%s at sequence %d: %w", r.Subject, r.Sequence, err)
		c.remember(r.Sequence, err)
		if kind.Type == events.TypeModelPromoted {
			m.note(r) // it is Production all the same
		}
		return err
	}
	m.note(r)
	return nil
}

// created reports whether an event creates a model, which then says its name itself.
func created(r Record) bool {
	p, ok := r.Event.Payload.(*events.ModelChanged)
	return ok && p.Change == events.ChangeCreate
}

// Refuse notes that a completed run got no version, and why. It comes from the dead letters, not from LIFECYCLE; the sequence is that of the
// run.completed, which may not be folded yet. A run that has a version is not refused, whatever was noted.
func (c *Catalog) Refuse(sequence uint64, reason string) { c.refusals[sequence] = reason }

func (c *Catalog) remember(sequence uint64, err error) {
	c.faults[sequence] = err
	c.faultOrder = append(c.faultOrder, sequence)
	if len(c.faultOrder) > faultsKept {
		delete(c.faults, c.faultOrder[0])
		c.faultOrder = c.faultOrder[1:]
	}
}

func (c *Catalog) fold(m *modelFold, r Record) error {
	switch p := r.Event.Payload.(type) {
	case *events.RunStarted:
		m.trained = true
		return m.runStarted(r, p)
	case *events.RunCompleted:
		return m.runCompleted(r, p)
	case *events.RunFailed:
		return m.runFailed(r, p)
	case *events.ModelRegistered:
		return c.registered(m, r, p)
	case *events.ModelGated:
		return m.gatedVersion(r, p)
	case *events.ModelPromoted:
		return m.promoted(r, p)
	case *events.ModelChanged:
		return c.changed(m, r, p)
	case *events.RolloutChanged:
		return m.rolledOut(r, p)
	}
	return fmt.Errorf("type %T is not of this stream", r.Event.Payload)
}

func (m *modelFold) run(r Record, id string) *Run {
	run := m.runs[id]
	if run == nil {
		run = &Run{Model: m.key, ID: id, State: RunOpen, Began: r.Sequence}
		m.runs[id] = run
		m.runOrder = append(m.runOrder, id)
	}
	run.Sequence, run.At = r.Sequence, r.Time
	return run
}

func (m *modelFold) runStarted(r Record, p *events.RunStarted) error {
	if old := m.runs[p.RunID]; old != nil {
		if old.Started != nil {
			return nil // the same start again, as after a take-over
		}
		old.Started = p
		return nil
	}
	m.run(r, p.RunID).Started = p
	return nil
}

func (m *modelFold) runCompleted(r Record, p *events.RunCompleted) error {
	if old := m.runs[p.RunID]; old != nil && old.State != RunOpen {
		if old.Completed != nil && slices.Equal(old.Completed.Artifacts, p.Artifacts) {
			return nil
		}
		return fmt.Errorf("run %s is %s already, at sequence %d", p.RunID, old.State, old.Sequence)
	}
	run := m.run(r, p.RunID)
	run.State, run.Completed = RunCompleted, p
	return nil
}

func (m *modelFold) runFailed(r Record, p *events.RunFailed) error {
	if old := m.runs[p.RunID]; old != nil && old.State != RunOpen {
		if old.State == RunFailed {
			return nil
		}
		return fmt.Errorf("run %s is %s already, at sequence %d", p.RunID, old.State, old.Sequence)
	}
	run := m.run(r, p.RunID)
	run.State, run.Failed = RunFailed, p
	return nil
}

func (c *Catalog) registered(m *modelFold, r Record, p *events.ModelRegistered) error {
	if p.Version != len(m.versions)+1 {
		return fmt.Errorf("version %d is not the next one, %d", p.Version, len(m.versions)+1)
	}
	// A run of the trainer makes one version. What a client logged may be registered as often as it likes.
	if n := m.byRun[p.RunID]; n != 0 && p.Source == "" {
		return fmt.Errorf("run %s is version %d already", p.RunID, n)
	}
	if m.deleted {
		if p.Source != "" {
			return fmt.Errorf("model %s is deleted", m.name)
		}
		c.appear(m) // a trainer knows nothing of deleted models
	}
	v := &Version{
		ModelRegistered: *p, Model: m.key, Sequence: r.Sequence, At: r.Time, UpdatedAt: r.Time, Stage: events.StageNone, User: p.Actor,
		Refuted: m.isRefuted(p.Bundle.Digest), Description: p.Description, Tags: map[string]string{},
	}
	for _, t := range p.Tags {
		v.Tags[t.Key] = t.Value
	}
	m.versions = append(m.versions, v)
	if m.production() == v.Version { // the promotion came first: it is what counts
		last := m.promotions[len(m.promotions)-1]
		v.Stage, v.Promoted = events.StageProduction, []uint64{last.Sequence}
		m.astray = m.excluded(&last.ModelPromoted)
	}
	// A target stage is that of gates; if none are set on the model, some registry's spec has them.
	m.trained = m.trained || p.Source == "" || p.TargetStage != "" && m.gates == nil && !m.freed
	if m.touch(r.Time); !m.exists {
		m.exists, m.created = true, r.Time
	}
	if folder, ok := sourceFolder(p.Source); ok {
		c.sources[folder]++
	}
	if m.byRun[p.RunID] == 0 && p.RunID != "" {
		m.byRun[p.RunID] = p.Version
	}
	if run := m.runs[p.RunID]; run != nil && run.Version == 0 {
		run.Version = p.Version
	}
	return nil
}

func (m *modelFold) gatedVersion(r Record, p *events.ModelGated) error {
	v := m.version(p.Version)
	switch {
	case v == nil:
		return fmt.Errorf("version %d is not registered", p.Version)
	case v.Gate != nil:
		return fmt.Errorf("version %d has a verdict already: %s", p.Version, v.Gate.Verdict)
	case v.RunID != p.RunID:
		return fmt.Errorf("version %d is of run %s, not %s", p.Version, v.RunID, p.RunID)
	}
	v.Gate, v.GatedAt = p, r.Time
	m.touch(r.Time, v)
	if p.Verdict == events.VerdictRejected || v.Stage == events.StageProduction || v.Archived {
		return nil
	}
	for _, old := range m.versions {
		if old.Stage == events.StageStaging && !m.rolling(old) {
			old.Stage = events.StageArchived
			m.touch(r.Time, old)
		}
	}
	v.Stage = events.StageStaging
	return nil
}

func (m *modelFold) promoted(r Record, p *events.ModelPromoted) error {
	promotion := Promotion{ModelPromoted: *p, Sequence: r.Sequence, At: r.Time}
	if n := len(m.promotions); n > 0 && p.Cause == events.PromotionRepair {
		old := m.promotions[n-1]
		promotion.Restates = old.Version == p.Version && old.Bundle.Digest == p.Bundle.Digest
	}
	m.promotions = append(m.promotions, promotion)
	if promotion.Restates {
		return nil
	}
	if m.astray != nil && len(m.history) > 0 { // it was never Production by right, and nothing goes back to it
		m.history = m.history[:len(m.history)-1]
	}
	if m.astray = m.excluded(p); m.astray == nil {
		m.astray = m.unrolled(p)
	}
	if m.astray == nil {
		m.firm = p.Version
	}
	m.leave(r.Time, p)
	m.remember(p)
	v := m.version(p.Version)
	if v == nil {
		if p.Version == 0 {
			return nil
		}
		// It is Production all the same: that is what the subject says and what everyone reads there.
		return fmt.Errorf("version %d is promoted but not registered", p.Version)
	}
	m.touch(r.Time, v)
	v.Stage, v.Archived = events.StageProduction, false
	if !p.Ungated || p.Demoted == 0 { // else it was Production before
		v.Promoted = append(v.Promoted, r.Sequence)
	}
	if m.astray != nil {
		return m.astray
	}
	if v.Bundle.Digest != p.Bundle.Digest {
		return fmt.Errorf("version %d is promoted with digest %s, registered with %s", p.Version, p.Bundle.Digest, v.Bundle.Digest)
	}
	return nil
}

// leave takes out of Production what a promotion replaces or demotes: in a model with gates, or where the others are to be archived, everything;
// else the demoted version alone, if there is one. Where gates were set there is one Production, whatever the promotion could know of them.
func (m *modelFold) leave(at time.Time, p *events.ModelPromoted) {
	all := !p.Ungated || m.gates != nil || p.ArchiveExisting && p.Demoted == 0 || p.Version == 0 && p.Demoted == 0
	for _, v := range m.versions {
		if v.Stage == events.StageProduction && (all || v.Version == p.Demoted) {
			v.Stage = events.StageArchived
			if v.Version == p.Demoted {
				m.move(v, p.DemotedTo, p.ArchiveExisting, at)
			}
			m.touch(at, v)
			m.refute(v, p)
		}
	}
}

// move brings a version to a stage other than Production, and archives the others there if that is asked for.
func (m *modelFold) move(v *Version, to events.Stage, archive bool, at time.Time) {
	for _, other := range m.versions {
		if archive && other != v && other.Stage == to {
			other.Stage = events.StageArchived
			m.touch(at, other)
		}
	}
	v.Stage, v.Archived = to, to == events.StageArchived
	m.touch(at, v)
}

// refute marks what a rollback found unloadable or wrong, and every version with the same bytes.
func (m *modelFold) refute(v *Version, p *events.ModelPromoted) {
	if !p.Refuted || p.PreviousVersion != v.Version {
		return
	}
	m.refuted[v.Bundle.Digest] = true
	for _, same := range m.versions {
		if same.Bundle.Digest == v.Bundle.Digest {
			same.Refuted = true
		}
	}
}

// remember keeps the history that rollbacks go back in.
func (m *modelFold) remember(p *events.ModelPromoted) {
	if p.Cause == events.PromotedByRollback || p.Demoted > 0 {
		for i, n := range slices.Backward(m.history) {
			if n == p.Version {
				m.history = m.history[:i+1]
				return
			}
		}
	}
	m.history = append(m.history, p.Version)
}
