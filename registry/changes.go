package registry

import (
	"cmp"
	"context"
	"encoding/json"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
)

// NewModel says what to create. Name is required: any text of up to 256 characters.
type NewModel struct {
	Name, Description string
	Tags              []events.Pair
	Actor             string
}

// CreateModel makes a registered model without versions. A name that is taken is [ErrTaken]. The model of the registry's spec, which the trainer's
// first version makes otherwise, has the spec's gates.
func (s *Service) CreateModel(ctx context.Context, n NewModel) (Model, error) {
	if err := cmp.Or(checkName("name", n.Name), checkDescription(n.Description), checkTags(n.Tags)); err != nil {
		return Model{}, err
	}
	var key string
	_, _, err := s.desk.write(ctx, func(c *Catalog, _ *Fleet) (draft, error) {
		var named bool
		if key, named = c.Key(n.Name); !named {
			key = c.keyFor(n.Name)
		} else if _, exists := c.Model(key); exists {
			return draft{}, fault.New(fault.Exists, "Registered Model (name=%s) already exists: %w", quoted(n.Name), ErrTaken)
		}
		p := &events.ModelChanged{Change: events.ChangeCreate, Value: n.Description, Tags: n.Tags, Actor: n.Actor}
		if key != n.Name {
			p.Key = n.Name
		}
		return draftOf(c, key, p), nil
	})
	return s.modelOf(key, err)
}

// modelOf returns a model after an operation on it.
func (s *Service) modelOf(key string, err error) (m Model, _ error) {
	if err != nil {
		return Model{}, err
	}
	s.View(func(c *Catalog, _ *Fleet) { m, _ = c.Model(key) })
	return m, nil
}

// Model returns a registered model by its name, as it is once everything stored before the call is folded. One that is unknown or deleted
// is [ErrUnknown].
func (s *Service) Model(ctx context.Context, name string) (m Model, err error) {
	if err := s.Fresh(ctx); err != nil {
		return Model{}, err
	}
	s.View(func(c *Catalog, _ *Fleet) { m, err = knownModel(c, name) })
	return m, err
}

// RenameModel gives a model another name. Its subjects, versions, tags and aliases stay. The model of a spec can't be renamed: the spec names it.
func (s *Service) RenameModel(ctx context.Context, name, newName, actor string) (Model, error) {
	if err := checkName("new_name", newName); err != nil {
		return Model{}, err
	}
	var key string
	err := s.desk.change(ctx, name, func(c *Catalog, m Model) (*events.ModelChanged, error) {
		key = m.Key
		_, taken := c.Key(newName)
		switch {
		case newName == name:
			return nil, nil
		case m.Key == s.model || m.Gated && m.Gates == nil:
			return nil, fault.New(fault.Invalid, "model %s is named by its spec: %w", quoted(name), ErrProtected)
		case taken || newName == s.model:
			return nil, fault.New(fault.Exists, "Registered Model (name=%s) already exists: %w", quoted(newName), ErrTaken)
		}
		return &events.ModelChanged{Change: events.ChangeRename, Value: newName, Actor: actor}, nil
	})
	return s.modelOf(key, err)
}

// DescribeModel replaces a model's description.
func (s *Service) DescribeModel(ctx context.Context, name, description, actor string) (Model, error) {
	if err := checkDescription(description); err != nil {
		return Model{}, err
	}
	var key string
	err := s.desk.change(ctx, name, func(_ *Catalog, m Model) (*events.ModelChanged, error) {
		key = m.Key
		return &events.ModelChanged{Change: events.ChangeDescription, Value: description, Actor: actor}, nil
	})
	return s.modelOf(key, err)
}

// DeleteModel deletes a model with all its versions and frees its name. Numbers stay used, if a model of that name is made again. The Production of a
// model without gates is withdrawn first, in a message of its own; a model with gates must be withdrawn by whoever deletes it, and that of the
// registry's spec stays.
func (s *Service) DeleteModel(ctx context.Context, name, actor string) error {
	for {
		if err := s.withdrawUngated(ctx, name, actor); err != nil {
			return err
		}
		again := false
		err := s.desk.change(ctx, name, func(c *Catalog, m Model) (*events.ModelChanged, error) {
			p, _ := c.Promotion(m.Key)
			switch {
			case m.Key == s.model:
				return nil, fault.New(fault.Invalid, "model %s is that of this registry's spec: %w", quoted(name), ErrProtected)
			case p.Version != 0 && m.Gated:
				return nil, fault.New(fault.Invalid, "version %d of model %s is in Production, withdraw it first: %w", p.Version, quoted(name), ErrProtected)
			}
			if again = p.Version != 0; again {
				return nil, nil
			}
			return &events.ModelChanged{Change: events.ChangeDelete, Actor: actor}, nil
		})
		if err != nil || !again {
			return err
		}
	}
}

// withdrawUngated leaves a model without gates without Production, if it has one.
func (s *Service) withdrawUngated(ctx context.Context, name, actor string) error {
	_, _, err := s.desk.write(ctx, func(c *Catalog, _ *Fleet) (draft, error) {
		m, err := knownModel(c, name)
		if err != nil {
			return draft{}, err
		}
		p, _ := c.Promotion(m.Key)
		if m.Gated || p.Version == 0 {
			return draft{}, nil
		}
		return promotionDraft(c, m.Key, &events.ModelPromoted{
			Cause: events.PromotionWithdrawn, Ungated: true, Actor: actor, Reason: "the model is deleted",
		}), nil
	})
	return err
}

// SetModelTag sets a tag of a model.
func (s *Service) SetModelTag(ctx context.Context, name string, tag events.Pair, actor string) error {
	if err := checkTags([]events.Pair{tag}); err != nil {
		return err
	}
	return s.desk.change(ctx, name, func(_ *Catalog, m Model) (*events.ModelChanged, error) {
		if old, ok := m.Tags[tag.Key]; ok && old == tag.Value {
			return nil, nil
		}
		return &events.ModelChanged{Change: events.ChangeTag, Key: tag.Key, Value: tag.Value, Actor: actor}, nil
	})
}

// DeleteModelTag takes a tag of a model away; one that is not there is no error.
func (s *Service) DeleteModelTag(ctx context.Context, name, key, actor string) error {
	return s.desk.change(ctx, name, func(_ *Catalog, m Model) (*events.ModelChanged, error) {
		if _, ok := m.Tags[key]; !ok {
			return nil, nil
		}
		return &events.ModelChanged{Change: events.ChangeTag, Key: key, Remove: true, Actor: actor}, nil
	})
}

// SetGates sets the gates of a model, or takes them away if g is nil. From then on every version without a verdict is judged. The model of a
// spec has the spec's. A model with several versions in Production, or with one that can't be served, must be tidied up first.
func (s *Service) SetGates(ctx context.Context, name string, g *Gates, actor string) (Model, error) {
	p := &events.ModelChanged{Change: events.ChangeGates, Remove: g == nil, Actor: actor}
	if g != nil {
		if err := g.Validate(); err != nil {
			return Model{}, fault.New(fault.Invalid, "gates: %w", err)
		}
		data, err := json.Marshal(g.withDefaults())
		if err != nil {
			return Model{}, fault.New(fault.Invalid, "gates: %w", err)
		}
		p.Value = string(data)
	}
	var key string
	err := s.desk.change(ctx, name, func(c *Catalog, m Model) (*events.ModelChanged, error) {
		key = m.Key
		if m.Key == s.model || m.Gated && m.Gates == nil {
			return nil, fault.New(fault.Invalid, "model %s has the gates of its spec: %w", quoted(name), ErrProtected)
		}
		if g == nil && m.Gates == nil {
			return nil, nil
		}
		if in := c.models[m.Key].inProduction(); g != nil && len(in) > 1 {
			return nil, fault.New(fault.Invalid, "versions %v of model %s are in Production, and with gates only one can be: %w", in, quoted(name), ErrProtected)
		}
		if v, ok := c.Production(m.Key); ok && g != nil {
			if servable, why := v.Servable(); !servable {
				return nil, fault.New(fault.Invalid, "version %d of model %s is in Production and %w (%s)", v.Version, quoted(name), ErrUnservable, why)
			}
		}
		return p, nil
	})
	return s.modelOf(key, err)
}
