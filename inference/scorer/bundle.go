package scorer

import (
	"context"
	"errors"
	"fmt"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model"
)

// ErrNoVersion says that the model has no such version, no Production, or one that can't be served.
var ErrNoVersion = errors.New("no version to score with")

// Version is a version of a model and the artifact that holds its bundle.
type Version struct {
	Number int
	Digest artifact.Digest
}

// Find returns a version of a model by the events of the registry: Production for 0. It fails with ErrNoVersion where there is none.
func Find(ctx context.Context, b *bus.Bus, name string, number int) (Version, error) {
	if number == 0 {
		return production(ctx, b, name)
	}
	subject, err := events.SubjectOf(events.TypeModelRegistered, name)
	if err != nil {
		return Version{}, err
	}
	var found *events.ModelRegistered
	err = b.Read(ctx, bus.ReadConfig{Stream: events.Lifecycle, Filters: []string{subject}}, func(m bus.Message) error {
		if p, ok := m.Event.Payload.(*events.ModelRegistered); ok && m.Err == nil && p.Version == number {
			found = p
		}
		return nil
	})
	switch {
	case err != nil:
		return Version{}, fmt.Errorf("find version %d: %w", number, err)
	case found == nil:
		return Version{}, fmt.Errorf("%w: %s has no version %d", ErrNoVersion, name, number)
	case found.Unservable != "":
		return Version{}, fmt.Errorf("%w: version %d of %s can't be served: %s", ErrNoVersion, number, name, found.Unservable)
	}
	return Version{number, artifact.Digest(found.Bundle.Digest)}, nil
}

func production(ctx context.Context, b *bus.Bus, name string) (Version, error) {
	m, ok, err := b.LastValid(ctx, events.TypeModelPromoted, name)
	if err != nil {
		return Version{}, fmt.Errorf("find Production: %w", err)
	}
	p, _ := m.Event.Payload.(*events.ModelPromoted)
	switch {
	case !ok || p == nil || p.Version == 0:
		return Version{}, fmt.Errorf("%w: %s has no Production", ErrNoVersion, name)
	case p.Unservable != "":
		return Version{}, fmt.Errorf("%w: Production of %s, version %d, can't be served: %s", ErrNoVersion, name, p.Version, p.Unservable)
	}
	return Version{p.Version, artifact.Digest(p.Bundle.Digest)}, nil
}

// Fetch returns the verified bundle of a version.
func Fetch(ctx context.Context, store artifact.Store, v Version, limit int64) (*model.Bundle, error) {
	raw, err := artifact.ReadAll(ctx, store, v.Digest, limit)
	if err != nil {
		return nil, fmt.Errorf("fetch version %d: %w", v.Number, err)
	}
	b, err := model.Decode(raw)
	if err == nil {
		err = b.Verify()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: version %d: %w", errBundle, v.Number, err)
	}
	return b, nil
}

// errBundle says that a bundle has the right bytes and can't be used.
var errBundle = errors.New("the bundle can't be used")

// shelf keeps the last bundles that were fetched.
type shelf struct {
	store   artifact.Store
	limit   int64
	bundles map[artifact.Digest]*model.Bundle
}

// kept is how many bundles a scorer keeps.
const kept = 4

func (s *shelf) take(ctx context.Context, v Version) (*model.Bundle, error) {
	if b := s.bundles[v.Digest]; b != nil {
		return b, nil
	}
	b, err := Fetch(ctx, s.store, v, s.limit)
	if err != nil {
		return nil, err
	}
	if len(s.bundles) >= kept {
		clear(s.bundles)
	}
	s.bundles[v.Digest] = b
	return b, nil
}
