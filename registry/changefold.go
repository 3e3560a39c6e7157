package registry

import (
	"encoding/json"
	"fmt"
	"time"

	"telco-churn-mlops/events"
)

// changed folds a change of a model or version. One that contradicts what came before, such as the rename to another model's name, changes
// nothing: the first one counts.
func (c *Catalog) changed(m *modelFold, r Record, p *events.ModelChanged) error {
	if p.Version == 0 {
		return c.changedModel(m, r, p)
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
		if v.Stage == events.StageProduction && !p.Remove {
			return fmt.Errorf("version %d is in Production, which it leaves by a promotion alone", p.Version)
		}
		c.deleteVersion(m, v, p.Remove)
	case events.ChangeDescription:
		v.Description = p.Value
	case events.ChangeTag:
		assign(v.Tags, p)
	case events.ChangeAlias:
		return m.point(v, p, r.Time)
	case events.ChangeStage:
		if v.Stage == events.StageProduction {
			return fmt.Errorf("version %d is in Production, which it leaves by a promotion alone", p.Version)
		}
		m.move(v, events.Stage(p.Value), p.ArchiveExisting, r.Time)
	default:
		return fmt.Errorf("change %s is of a model, not of version %d", p.Change, p.Version)
	}
	m.touch(r.Time, v)
	return nil
}

func (c *Catalog) deleteVersion(m *modelFold, v *Version, undo bool) {
	if folder, ok := sourceFolder(v.Source); ok && v.Deleted == undo {
		if undo {
			c.sources[folder]++
		} else if c.sources[folder]--; c.sources[folder] <= 0 {
			delete(c.sources, folder)
		}
	}
	v.Deleted = !undo
	for alias, n := range m.aliases {
		if n == v.Version && !undo {
			delete(m.aliases, alias)
		}
	}
}

// point moves an alias, or takes it away.
func (m *modelFold) point(v *Version, p *events.ModelChanged, at time.Time) error {
	switch {
	case p.Remove && m.aliases[p.Key] == v.Version:
		delete(m.aliases, p.Key)
	case p.Remove:
		return fmt.Errorf("alias %s does not point at version %d", p.Key, p.Version)
	case v.Deleted:
		return fmt.Errorf("version %d is deleted", p.Version)
	default:
		m.aliases[p.Key] = v.Version
	}
	m.touch(at, v)
	return nil
}

func (c *Catalog) changedModel(m *modelFold, r Record, p *events.ModelChanged) error {
	if p.Change == events.ChangeCreate {
		return c.create(m, r, p)
	}
	switch p.Change {
	case events.ChangeDescription:
		m.description = p.Value
	case events.ChangeTag:
		assign(m.tags, p)
	case events.ChangeRename:
		if m.deleted {
			return fmt.Errorf("model %s is deleted", m.name)
		}
		if err := c.claim(m, p.Value); err != nil {
			return err
		}
	case events.ChangeDelete:
		return c.deleteModel(m, r)
	case events.ChangeGates:
		if err := m.setGates(p); err != nil {
			return fmt.Errorf("gates: %w", err)
		}
	default:
		return fmt.Errorf("change %s needs a version", p.Change)
	}
	m.touch(r.Time)
	return nil
}

// setGates sets the gates of a model, or takes them away. They are left out where Production is not one version that can be served, since with gates
// it always is.
func (m *modelFold) setGates(p *events.ModelChanged) error {
	if p.Remove {
		m.freed = m.freed || m.gates != nil
		m.gates = nil
		return nil
	}
	var g Gates
	if err := json.Unmarshal([]byte(p.Value), &g); err != nil {
		return err
	}
	if err := g.Validate(); err != nil {
		return err
	}
	in := m.inProduction()
	if len(in) > 1 {
		return fmt.Errorf("versions %v are in Production", in)
	}
	n := m.production()
	v := m.version(n)
	switch {
	case n > 0 && v == nil:
		return fmt.Errorf("version %d is in Production and not registered", n)
	case v != nil:
		if ok, why := v.Servable(); !ok {
			return fmt.Errorf("version %d is in Production and can't be served: %s", v.Version, why)
		}
	}
	m.gates = &g
	return nil
}

func (c *Catalog) create(m *modelFold, r Record, p *events.ModelChanged) error {
	name := p.Key
	if name == "" {
		name = m.key
	}
	if m.exists && !m.deleted {
		return fmt.Errorf("model %s exists already", m.name)
	}
	if err := c.claim(m, name); err != nil {
		if m.name == "" {
			c.appear(m)
			c.free(m) // it has no name of its own, and no versions either
			m.deleted = true
		}
		return err
	}
	m.exists, m.deleted, m.created, m.user, m.description = true, false, r.Time, p.Actor, p.Value
	m.tags, m.aliases, m.gates, m.freed = map[string]string{}, map[string]int{}, nil, false
	for _, t := range p.Tags {
		m.tags[t.Key] = t.Value
	}
	m.touch(r.Time)
	return nil
}

// deleteModel deletes a model with all its versions. Their numbers stay used.
func (c *Catalog) deleteModel(m *modelFold, r Record) error {
	switch {
	case m.deleted:
		return fmt.Errorf("model %s is deleted already", m.name)
	case m.production() != 0:
		return fmt.Errorf("version %d of model %s is in Production", m.production(), m.name)
	}
	c.free(m)
	for _, v := range m.versions {
		if !v.Deleted {
			c.deleteVersion(m, v, false)
			m.touch(r.Time, v)
		}
	}
	m.deleted, m.aliases = true, map[string]int{}
	m.touch(r.Time)
	return nil
}

func assign(to map[string]string, p *events.ModelChanged) {
	if p.Remove {
		delete(to, p.Key)
		return
	}
	to[p.Key] = p.Value
}
