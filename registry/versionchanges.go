package registry

import (
	"context"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
)

// DescribeVersion replaces a version's description.
func (s *Service) DescribeVersion(ctx context.Context, name string, version int, description, actor string) (Version, error) {
	if err := checkDescription(description); err != nil {
		return Version{}, err
	}
	err := s.desk.changeVersion(ctx, name, version, func(*Catalog, Model, Version) (*events.ModelChanged, error) {
		return &events.ModelChanged{Change: events.ChangeDescription, Value: description, Actor: actor}, nil
	})
	return s.versionOf(name, version, err)
}

// versionOf returns a version after an operation on it.
func (s *Service) versionOf(name string, version int, err error) (v Version, _ error) {
	if err != nil {
		return Version{}, err
	}
	s.View(func(c *Catalog, _ *Fleet) {
		var m Model
		if m, err = knownModel(c, name); err == nil {
			v, err = known(c, m.Key, version)
		}
	})
	return v, err
}

// DeleteVersion deletes a version and its aliases; its number stays used. The Production of a model with gates is refused; one of a model
// without leaves Production first, in a message of its own.
func (s *Service) DeleteVersion(ctx context.Context, name string, version int, actor string) error {
	for {
		again := false
		err := s.desk.changeVersion(ctx, name, version, func(_ *Catalog, m Model, v Version) (*events.ModelChanged, error) {
			inProduction := v.Stage == events.StageProduction
			if inProduction && m.Gated {
				return nil, fault.New(fault.Invalid, "version %d of model %s is in Production, promote another or withdraw it first: %w",
					version, quoted(name), ErrProtected)
			}
			if again = inProduction; again {
				return nil, nil
			}
			return &events.ModelChanged{Change: events.ChangeDelete, Actor: actor}, nil
		})
		if err != nil || !again {
			return err
		}
		_, err = s.Transition(ctx, Transition{
			Model: name, Version: version, Stage: events.StageArchived, Actor: actor, Reason: "the version is deleted",
		})
		if err != nil {
			return err
		}
	}
}

// SetVersionTag sets a tag of a version.
func (s *Service) SetVersionTag(ctx context.Context, name string, version int, tag events.Pair, actor string) error {
	if err := checkTags([]events.Pair{tag}); err != nil {
		return err
	}
	return s.desk.changeVersion(ctx, name, version, func(_ *Catalog, _ Model, v Version) (*events.ModelChanged, error) {
		if old, ok := v.Tags[tag.Key]; ok && old == tag.Value {
			return nil, nil
		}
		return &events.ModelChanged{Change: events.ChangeTag, Key: tag.Key, Value: tag.Value, Actor: actor}, nil
	})
}

// DeleteVersionTag takes a tag of a version away; one that is not there is no error.
func (s *Service) DeleteVersionTag(ctx context.Context, name string, version int, key, actor string) error {
	return s.desk.changeVersion(ctx, name, version, func(_ *Catalog, _ Model, v Version) (*events.ModelChanged, error) {
		if _, ok := v.Tags[key]; !ok {
			return nil, nil
		}
		return &events.ModelChanged{Change: events.ChangeTag, Key: key, Remove: true, Actor: actor}, nil
	})
}

// SetAlias points an alias at a version, wherever it pointed before. In a model with gates the champion's alias stands for Production, so that
// setting it is a promotion, by the rules of [Service.Transition].
func (s *Service) SetAlias(ctx context.Context, name, alias string, version int, actor string) error {
	if err := checkAlias(alias); err != nil {
		return err
	}
	promotion := false
	err := s.desk.changeVersion(ctx, name, version, func(c *Catalog, m Model, v Version) (*events.ModelChanged, error) {
		if promotion = m.Gated && alias == c.Champion; promotion || m.Aliases[alias] == version {
			return nil, nil
		}
		return &events.ModelChanged{Change: events.ChangeAlias, Key: alias, Actor: actor}, nil
	})
	if err != nil || !promotion {
		return err
	}
	_, err = s.Transition(ctx, Transition{
		Model: name, Version: version, Stage: events.StageProduction, ArchiveExisting: true, Actor: actor, Reason: "alias " + alias,
	})
	return err
}

// DeleteAlias takes an alias away; one that is not there is no error. The champion's can't be taken away from a model with gates.
func (s *Service) DeleteAlias(ctx context.Context, name, alias, actor string) error {
	return s.desk.change(ctx, name, func(c *Catalog, m Model) (*events.ModelChanged, error) {
		if m.Gated && alias == c.Champion {
			return nil, fault.New(fault.Invalid, "alias %s of model %s is its Production: %w", alias, quoted(name), ErrProtected)
		}
		n, ok := m.Aliases[alias]
		if !ok {
			return nil, nil
		}
		return &events.ModelChanged{Change: events.ChangeAlias, Version: n, Key: alias, Remove: true, Actor: actor}, nil
	})
}

// ByAlias returns the version that an alias points at. An alias that points nowhere is [ErrUnknown], with the code Invalid, as in MLflow.
func (s *Service) ByAlias(ctx context.Context, name, alias string) (v Version, err error) {
	m, err := s.Model(ctx, name)
	if err != nil {
		return Version{}, err
	}
	s.View(func(c *Catalog, _ *Fleet) {
		ok := false
		if v, ok = c.Version(m.Key, m.Aliases[alias]); !ok {
			err = fault.New(fault.Invalid, "Registered model alias %s of model %s %w", quoted(alias), quoted(name), ErrUnknown)
		}
	})
	return v, err
}
