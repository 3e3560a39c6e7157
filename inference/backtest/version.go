package backtest

import (
	"context"
	"fmt"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/compare"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

// maxBundle is the largest bundle that is read, in bytes.
const maxBundle = 256 << 20

// Find returns a version of a model, 0 standing for the one in Production, with its bundle from the store. It reads LIFECYCLE, needs no registry, and
// finds versions that were never promoted, too.
func Find(ctx context.Context, b *bus.Bus, store artifact.Store, model string, version int) (Candidate, error) {
	if version == 0 {
		m, ok, err := b.LastValid(ctx, events.TypeModelPromoted, model)
		if err != nil {
			return Candidate{}, err
		}
		p, _ := m.Event.Payload.(*events.ModelPromoted)
		if !ok || p == nil || p.Version == 0 {
			return Candidate{}, fmt.Errorf("model %s has no Production: name a version", model)
		}
		if p.Unservable != "" {
			return Candidate{}, fmt.Errorf("version %d of %s cannot be used: %s", p.Version, model, p.Unservable)
		}
		return fetch(ctx, store, model, p.Version, p.Bundle)
	}
	subject, err := events.SubjectOf(events.TypeModelRegistered, model)
	if err != nil {
		return Candidate{}, err
	}
	var found *events.ModelRegistered
	err = b.Read(ctx, bus.ReadConfig{Stream: events.Lifecycle, Filters: []string{subject}}, func(m bus.Message) error {
		if p, ok := m.Event.Payload.(*events.ModelRegistered); ok && p.Version == version && found == nil {
			found = p
		}
		return nil
	})
	switch {
	case err != nil:
		return Candidate{}, err
	case found == nil:
		return Candidate{}, fmt.Errorf("model %s has no version %d", model, version)
	case found.Unservable != "":
		return Candidate{}, fmt.Errorf("version %d of %s cannot be used: %s", version, model, found.Unservable)
	}
	return fetch(ctx, store, model, version, found.Bundle)
}

func fetch(ctx context.Context, store artifact.Store, model string, version int, bundle events.Artifact) (Candidate, error) {
	digest, err := artifact.ParseDigest(bundle.Digest)
	if err != nil {
		return Candidate{}, fmt.Errorf("version %d of %s: %w", version, model, err)
	}
	data, err := artifact.ReadAll(ctx, store, digest, maxBundle)
	if err != nil {
		return Candidate{}, fmt.Errorf("fetch version %d of %s: %w", version, model, err)
	}
	c, err := Open(data)
	if err != nil {
		return Candidate{}, fmt.Errorf("version %d of %s: %w", version, model, err)
	}
	c.Version = version
	return c, nil
}

// Open returns a bundle's bytes, verified, as a candidate that is no version.
func Open(data []byte) (Candidate, error) {
	b, err := compare.Open(data)
	if err != nil {
		return Candidate{}, err
	}
	return Candidate{Digest: string(artifact.DigestOf(data)), Bundle: b}, nil
}
