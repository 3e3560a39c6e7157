package registry

import (
	"context"
	"errors"
	"fmt"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// excluded returns why a promotion contradicts what came before it on model.changed, and nil if it stands: the model or the version was deleted, or
// gates were set that it did not pass, or that ask for a version that can be served. Whoever wrote it could not know yet. What a withdrawal
// says always stands.
func (m *modelFold) excluded(p *events.ModelPromoted) error {
	if p.Version == 0 {
		return nil
	}
	v := m.version(p.Version)
	switch {
	case m.deleted:
		return fmt.Errorf("model %s is deleted", m.name)
	case v != nil && v.Deleted:
		return fmt.Errorf("version %d is deleted", p.Version)
	case m.gates == nil:
		return nil
	case p.Ungated:
		return fmt.Errorf("version %d is promoted past the gates that model %s has", p.Version, m.name)
	case v != nil:
		if ok, why := v.Servable(); !ok {
			return fmt.Errorf("version %d can't be served: %s", p.Version, why)
		}
	}
	return nil
}

// stands reports whether a version could be Production now.
func (m *modelFold) stands(n int) bool {
	v := m.version(n)
	if v == nil || m.deleted || v.Deleted || m.isRefuted(v.Bundle.Digest) {
		return false
	}
	ok, _ := v.Servable()
	return ok || !m.gated()
}

// Astray returns the last promotion of a model if it contradicts what came before it, with the reason, and false if it stands. It says what is
// Production all the same, until a registry answers it.
func (c *Catalog) Astray(key string) (p Promotion, why error, ok bool) {
	m := c.models[key]
	if m == nil || m.astray == nil {
		return Promotion{}, nil, false
	}
	return m.promotions[len(m.promotions)-1], m.astray, true
}

// amendment drafts the answer to a promotion that went astray: back to what was Production before it, if that could still be, or to none. It is false
// if the last promotion stands.
func amendment(c *Catalog, key, actor string) (draft, bool) {
	bad, why, astray := c.Astray(key)
	if !astray {
		return draft{}, false
	}
	m := c.models[key]
	back := m.firm
	if !m.stands(back) {
		back = 0
	}
	if n := m.remaining(bad.Version); back == 0 && !m.gated() && m.stands(n) {
		back = n
	}
	p := &events.ModelPromoted{Cause: events.PromotionWithdrawn}
	if v := m.version(back); v != nil {
		p = promotionOf(*v, events.PromotedByRollback, "", "")
		if v.Stage == events.StageProduction && v.Version != bad.Version && !m.gated() { // the others stay
			p.Demoted, p.DemotedTo = bad.Version, events.StageArchived
		}
	}
	p.Actor, p.Reason = actor, fmt.Sprintf("answers sequence %d: %v", bad.Sequence, why)
	p.Ungated = !m.gated()
	p.ArchiveExisting = p.Ungated && p.Version > 0 && p.Demoted == 0
	return promotionDraft(c, key, p), true
}

// amend answers a promotion that went astray, unless somebody else did. Its folds are up to date when it is called and when it returns.
func (d *desk) amend(ctx context.Context, key string) error {
	for range maxRounds {
		var w draft
		var due bool
		d.ledger.view(func(c *Catalog, _ *Fleet) { w, due = amendment(c, key, d.actor) })
		if !due {
			return nil
		}
		_, err := d.bus.Append(ctx, events.New(key, d.source, w.id, d.now().UTC(), w.payload), w.expected)
		if err != nil && !errors.Is(err, bus.ErrConflict) {
			return fmt.Errorf("answer a promotion of %s: %w", key, err)
		}
		if p, ok := w.payload.(*events.ModelPromoted); ok && err == nil && d.amended != nil {
			d.amended(key, p)
		}
		if err := d.ledger.refresh(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("answer a promotion of %s: %w", key, bus.ErrConflict)
}
