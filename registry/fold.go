package registry

import (
	"fmt"
	"slices"

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
	m := c.lineage(name)
	m.last[kind.Type] = r.Sequence
	if kind.Type == events.TypeModelPromoted {
		m.junk = r.Err != nil
	}
	if r.Err != nil {
		c.junk++
		return nil
	}
	if err := m.apply(r); err != nil {
		err = fmt.Errorf("%s at sequence %d: %w", r.Subject, r.Sequence, err)
		c.remember(r.Sequence, err)
		return err
	}
	return nil
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

func (c *Catalog) lineage(name string) *lineage {
	m := c.models[name]
	if m == nil {
		m = &lineage{
			name: name, runs: map[string]*Run{}, byRun: map[string]int{}, refuted: map[string]bool{},
			last: map[events.Type]uint64{}, tags: map[string]string{},
		}
		c.models[name] = m
	}
	return m
}

func (m *lineage) apply(r Record) error {
	switch p := r.Event.Payload.(type) {
	case *events.RunStarted:
		return m.runStarted(r, p)
	case *events.RunCompleted:
		return m.runCompleted(r, p)
	case *events.RunFailed:
		return m.runFailed(r, p)
	case *events.ModelRegistered:
		return m.registered(r, p)
	case *events.ModelGated:
		return m.gated(r, p)
	case *events.ModelPromoted:
		return m.promoted(r, p)
	case *events.ModelChanged:
		return m.changed(p)
	}
	return fmt.Errorf("type %T is not of this stream", r.Event.Payload)
}

func (m *lineage) run(r Record, id string) *Run {
	run := m.runs[id]
	if run == nil {
		run = &Run{Model: m.name, ID: id, State: RunOpen, Began: r.Sequence}
		m.runs[id] = run
		m.runOrder = append(m.runOrder, id)
	}
	run.Sequence, run.At = r.Sequence, r.Time
	return run
}

func (m *lineage) runStarted(r Record, p *events.RunStarted) error {
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

func (m *lineage) runCompleted(r Record, p *events.RunCompleted) error {
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

func (m *lineage) runFailed(r Record, p *events.RunFailed) error {
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

func (m *lineage) registered(r Record, p *events.ModelRegistered) error {
	if p.Version != len(m.versions)+1 {
		return fmt.Errorf("version %d is not the next one, %d", p.Version, len(m.versions)+1)
	}
	if n := m.byRun[p.RunID]; n != 0 {
		return fmt.Errorf("run %s is version %d already", p.RunID, n)
	}
	m.versions = append(m.versions, &Version{
		ModelRegistered: *p, Model: m.name, Sequence: r.Sequence, At: r.Time, Stage: events.StageNone,
		Refuted: m.refuted[p.Bundle.Digest], Tags: map[string]string{}, Aliases: map[string]string{},
	})
	m.byRun[p.RunID] = p.Version
	if run := m.runs[p.RunID]; run != nil {
		run.Version = p.Version
	}
	return nil
}

func (m *lineage) gated(r Record, p *events.ModelGated) error {
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
	if p.Verdict == events.VerdictRejected || v.Stage == events.StageProduction || v.Archived {
		return nil
	}
	for _, old := range m.versions {
		if old.Stage == events.StageStaging {
			old.Stage = events.StageArchived
		}
	}
	v.Stage = events.StageStaging
	return nil
}

func (m *lineage) promoted(r Record, p *events.ModelPromoted) error {
	promotion := Promotion{ModelPromoted: *p, Sequence: r.Sequence, At: r.Time}
	if n := len(m.promotions); n > 0 && p.Cause == events.PromotionRepair {
		old := m.promotions[n-1]
		promotion.Restates = old.Version == p.Version && old.Bundle.Digest == p.Bundle.Digest
	}
	m.promotions = append(m.promotions, promotion)
	if promotion.Restates {
		return nil
	}
	for _, v := range m.versions {
		if v.Stage == events.StageProduction {
			v.Stage = events.StageArchived
			m.refute(v, p)
		}
	}
	m.remember(p)
	v := m.version(p.Version)
	if v == nil {
		if p.Version == 0 {
			return nil
		}
		// It is Production all the same: that is what the subject says and what everyone reads there.
		return fmt.Errorf("version %d is promoted but not registered", p.Version)
	}
	v.Stage = events.StageProduction
	v.Promoted = append(v.Promoted, r.Sequence)
	if v.Bundle.Digest != p.Bundle.Digest {
		return fmt.Errorf("version %d is promoted with digest %s, registered with %s", p.Version, p.Bundle.Digest, v.Bundle.Digest)
	}
	return nil
}

// refute marks what a rollback found unloadable, and every version with the same bytes.
func (m *lineage) refute(v *Version, p *events.ModelPromoted) {
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
func (m *lineage) remember(p *events.ModelPromoted) {
	if p.Cause == events.PromotedByRollback {
		for i, n := range slices.Backward(m.history) {
			if n == p.Version {
				m.history = m.history[:i+1]
				return
			}
		}
	}
	m.history = append(m.history, p.Version)
}

func (m *lineage) changed(p *events.ModelChanged) error {
	if p.Version == 0 {
		return m.changedModel(p)
	}
	v := m.version(p.Version)
	if v == nil {
		return fmt.Errorf("version %d is not registered", p.Version)
	}
	switch p.Change {
	case events.ChangeArchive:
		v.Archived = !p.Remove
		if v.Stage != events.StageProduction && v.Archived {
			v.Stage = events.StageArchived
		}
	case events.ChangeDelete:
		v.Deleted = !p.Remove
	case events.ChangeDescription:
		v.Description = p.Value
	case events.ChangeTag:
		assign(v.Tags, p)
	case events.ChangeAlias:
		for _, other := range m.versions {
			delete(other.Aliases, p.Key)
		}
		assign(v.Aliases, p)
	}
	return nil
}

func (m *lineage) changedModel(p *events.ModelChanged) error {
	switch p.Change {
	case events.ChangeDescription:
		m.description = p.Value
	case events.ChangeTag:
		assign(m.tags, p)
	default:
		return fmt.Errorf("change %s needs a version", p.Change)
	}
	return nil
}

func assign(to map[string]string, p *events.ModelChanged) {
	if p.Remove {
		delete(to, p.Key)
		return
	}
	to[p.Key] = p.Value
}

func (m *lineage) version(n int) *Version {
	if n < 1 || n > len(m.versions) {
		return nil
	}
	return m.versions[n-1]
}
