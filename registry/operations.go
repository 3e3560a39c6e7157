package registry

import (
	"context"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/fault"
)

// PromoteOptions say who promotes and why. Actor is required by good manners only.
type PromoteOptions struct {
	Actor, Reason string
	// Force goes past the gates, and needs a Reason.
	Force bool
	// Expected, if set, is the version that must be Production now, 0 for none.
	Expected *int
}

// Promote makes a version the one Production by hand and returns the promotion; in a model without gates it archives the others. It decides by what
// the streams say and judges nothing: a version without a verdict is [ErrNotPassed]. A version that is Production already is left alone, and its
// promotion returned. Production must not have changed since the call began: [ErrOvertaken] leaves the decision to the person who asked.
// [bus.Unknown] is true of an error that left the outcome open; asking again is safe.
func Promote(ctx context.Context, b *bus.Bus, name string, version int, o PromoteOptions) (Promotion, error) {
	t := Transition{
		Model: name, Version: version, Stage: events.StageProduction, ArchiveExisting: true, Expected: o.Expected, Override: o.Force,
		Reason: o.Reason, Actor: o.Actor,
	}
	if err := t.check(); err != nil {
		return Promotion{}, err
	}
	d, err := openDesk(ctx, b)
	if err != nil {
		return Promotion{}, err
	}
	return d.transition(ctx, t)
}

// RollbackOptions say who rolls back, why, and where to.
type RollbackOptions struct {
	Actor, Reason string
	// Version is where to go back to; 0 takes the newest earlier Production that an instance has loaded and no rollback refuted. In a model without
	// gates, which may hold what no instance can load, it takes the newest earlier Production.
	Version int
	// Expected, if set, is the version that must be Production now.
	Expected *int
}

// Rollback makes an earlier Production the present one and returns the promotion. Two rollbacks go back two steps. A named
// version need not have been loaded, but it must have been Production before the present one. Errors are those of [Promote] and
// [ErrNoTarget].
func Rollback(ctx context.Context, b *bus.Bus, name string, o RollbackOptions) (Promotion, error) {
	d, err := openDesk(ctx, b)
	if err != nil {
		return Promotion{}, err
	}
	return d.rollback(ctx, name, o)
}

// Rollback is [Rollback] by the registry's own folds.
func (s *Service) Rollback(ctx context.Context, name string, o RollbackOptions) (Promotion, error) {
	return s.desk.rollback(ctx, name, o)
}

func (d *desk) rollback(ctx context.Context, name string, o RollbackOptions) (Promotion, error) {
	var w watch
	return d.promotion(ctx, func(c *Catalog, f *Fleet) (draft, error) {
		m, err := knownModel(c, name)
		if err != nil {
			return draft{}, err
		}
		if err := w.look(c, m, o.Expected, true); err != nil {
			return draft{}, err
		}
		v, err := target(c, f, m, o.Version)
		if err != nil {
			return draft{}, err
		}
		p := promotionOf(v, events.PromotedByRollback, o.Actor, o.Reason)
		p.Ungated, p.ArchiveExisting = !m.Gated, !m.Gated
		return promotionDraft(c, m.Key, p), nil
	})
}

// target returns where a rollback leads.
func target(c *Catalog, f *Fleet, m Model, version int) (Version, error) {
	for _, v := range c.Earlier(m.Key) {
		if v.Version == version || version == 0 && (!m.Gated || f.Loaded(m.Key, v.Bundle.Digest)) {
			return v, nil
		}
	}
	if version == 0 {
		return Version{}, fault.New(fault.Invalid, "model %s: %w that an instance has loaded", quoted(m.Name), ErrNoTarget)
	}
	if _, err := known(c, m.Key, version); err != nil {
		return Version{}, err
	}
	return Version{}, fault.New(fault.Invalid, "model %s: version %d: %w", quoted(m.Name), version, ErrNoTarget)
}

// WithdrawOptions say who withdraws a model and why.
type WithdrawOptions struct {
	Actor, Reason string
	// Expected, if set, is the version that must be Production now.
	Expected *int
}

// Withdraw leaves a model without Production: inference answers 503 until the next promotion. A model that was never promoted or is withdrawn
// already is [ErrNoTarget].
func Withdraw(ctx context.Context, b *bus.Bus, name string, o WithdrawOptions) (Promotion, error) {
	d, err := openDesk(ctx, b)
	if err != nil {
		return Promotion{}, err
	}
	return d.withdraw(ctx, name, o)
}

// Withdraw is [Withdraw] by the registry's own folds.
func (s *Service) Withdraw(ctx context.Context, name string, o WithdrawOptions) (Promotion, error) {
	return s.desk.withdraw(ctx, name, o)
}

func (d *desk) withdraw(ctx context.Context, name string, o WithdrawOptions) (Promotion, error) {
	var w watch
	return d.promotion(ctx, func(c *Catalog, _ *Fleet) (draft, error) {
		m, err := knownModel(c, name)
		if err != nil {
			return draft{}, err
		}
		if err := w.look(c, m, o.Expected, true); err != nil {
			return draft{}, err
		}
		if p, ok := c.Promotion(m.Key); !ok || p.Version == 0 {
			return draft{}, fault.New(fault.Invalid, "model %s has no Production: %w", quoted(name), ErrNoTarget)
		}
		p := &events.ModelPromoted{Cause: events.PromotionWithdrawn, Ungated: !m.Gated, Actor: o.Actor, Reason: o.Reason}
		return promotionDraft(c, m.Key, p), nil
	})
}
