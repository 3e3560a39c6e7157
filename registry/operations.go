package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// Errors of the operations. After each of them the stream is as it was.
var (
	// ErrUnknown is returned for a model or version that is not registered, or was deleted.
	ErrUnknown = errors.New("not registered")
	// ErrNotPassed is returned for the promotion of a version that has no verdict yet or was rejected. PromoteOptions.Force overrides it.
	ErrNotPassed = errors.New("did not pass the staging gate")
	// ErrRefuted is returned for a version whose bytes a rollback refuted. Force overrides it.
	ErrRefuted = errors.New("refuted by a rollback")
	// ErrOvertaken is returned if Production changed between the decision and the write.
	ErrOvertaken = errors.New("overtaken by another promotion")
	// ErrNoTarget is returned if there is no version to go back to.
	ErrNoTarget = errors.New("no earlier Production to go back to")
)

// PromoteOptions say who promotes and why. Actor is required by good manners only.
type PromoteOptions struct {
	Actor, Reason string
	// Force promotes a version that was rejected, refuted or not judged yet.
	Force bool
}

// Promote makes a version Production by hand and returns the promotion. A version that is Production already is left alone, and its promotion
// returned. Production must not have changed since the call began: [ErrOvertaken] leaves the decision to the person who asked.
// [bus.Unknown] is true of an error that left the outcome open; asking again is safe.
func Promote(ctx context.Context, b *bus.Bus, name string, version int, o PromoteOptions) (Promotion, error) {
	return change(ctx, b, name, func(c *Catalog, _ *Fleet) (*events.ModelPromoted, error) {
		v, err := known(c, name, version)
		switch {
		case err != nil:
			return nil, err
		case !o.Force && v.Refuted:
			return nil, fmt.Errorf("version %d: %w", version, ErrRefuted)
		case !o.Force && !v.Passed():
			return nil, fmt.Errorf("version %d: %w", version, ErrNotPassed)
		}
		return promotionOf(v, events.PromotedManually, o.Actor, o.Reason), nil
	})
}

// RollbackOptions say who rolls back, why, and where to.
type RollbackOptions struct {
	Actor, Reason string
	// Version is where to go back to; 0 takes the newest earlier Production that an instance has loaded and no rollback refuted.
	Version int
}

// Rollback makes an earlier Production the present one and returns the promotion. Two rollbacks go back two steps. A named
// version need not have been loaded, but it must have been Production before the present one. Errors are those of [Promote] and
// [ErrNoTarget].
func Rollback(ctx context.Context, b *bus.Bus, name string, o RollbackOptions) (Promotion, error) {
	return change(ctx, b, name, func(c *Catalog, f *Fleet) (*events.ModelPromoted, error) {
		if _, ok := c.Promotion(name); !ok {
			return nil, fmt.Errorf("model %s: %w", name, ErrNoTarget)
		}
		for _, v := range c.Earlier(name) {
			if v.Version == o.Version || o.Version == 0 && f.Loaded(name, v.Bundle.Digest) {
				return promotionOf(v, events.PromotedByRollback, o.Actor, o.Reason), nil
			}
		}
		if o.Version == 0 {
			return nil, fmt.Errorf("model %s: %w that an instance has loaded", name, ErrNoTarget)
		}
		if _, err := known(c, name, o.Version); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("model %s: version %d: %w", name, o.Version, ErrNoTarget)
	})
}

// WithdrawOptions say who withdraws a model and why.
type WithdrawOptions struct {
	Actor, Reason string
}

// Withdraw leaves a model without Production: inference answers 503 until the next promotion. A model that was never promoted or is withdrawn
// already is [ErrNoTarget].
func Withdraw(ctx context.Context, b *bus.Bus, name string, o WithdrawOptions) (Promotion, error) {
	return change(ctx, b, name, func(c *Catalog, _ *Fleet) (*events.ModelPromoted, error) {
		if p, ok := c.Promotion(name); !ok || p.Version == 0 {
			return nil, fmt.Errorf("model %s has no Production: %w", name, ErrNoTarget)
		}
		return &events.ModelPromoted{Cause: events.PromotionWithdrawn, Actor: o.Actor, Reason: o.Reason}, nil
	})
}

func known(c *Catalog, name string, version int) (Version, error) {
	v, ok := c.Version(name, version)
	if !ok || v.Deleted {
		return Version{}, fmt.Errorf("model %s version %d: %w", name, version, ErrUnknown)
	}
	return v, nil
}

func promotionOf(v Version, cause events.PromotionCause, actor, reason string) *events.ModelPromoted {
	return &events.ModelPromoted{Version: v.Version, RunID: v.RunID, Bundle: v.Bundle, Cause: cause, Actor: actor, Reason: reason}
}

// change folds, decides and writes; after a lost compare-and-set it does so again unless Production was changed by the winner.
func change(
	ctx context.Context, b *bus.Bus, name string, decide func(*Catalog, *Fleet) (*events.ModelPromoted, error),
) (Promotion, error) {
	fleet, err := LoadFleet(ctx, b)
	if err != nil {
		return Promotion{}, err
	}
	var first, expected uint64
	for round := 0; ; round++ {
		c, err := LoadCatalog(ctx, b)
		if err != nil {
			return Promotion{}, err
		}
		now, _ := c.Promotion(name)
		if round == 0 {
			first = now.Sequence
		} else if c.ChangedSince(name, first) {
			return Promotion{}, fmt.Errorf("model %s: version %d is Production since sequence %d: %w", name, now.Version, now.Sequence, ErrOvertaken)
		}
		p, err := decide(c, fleet)
		if err != nil {
			return Promotion{}, err
		}
		if p.Version != 0 && p.Version == now.Version {
			return now, nil
		}
		expected = c.Expected(events.TypeModelPromoted, name)
		p.PreviousVersion, p.PreviousSequence = now.Version, expected
		at := time.Now().UTC()
		seq, err := b.Append(ctx, events.New(name, b.Source(), versionKey(p.Version, expected), at, p), expected)
		if err == nil {
			return Promotion{ModelPromoted: *p, Sequence: seq, At: at}, nil
		}
		if !errors.Is(err, bus.ErrConflict) {
			return Promotion{}, fmt.Errorf("promote version %d of %s: %w", p.Version, name, err)
		}
	}
}
