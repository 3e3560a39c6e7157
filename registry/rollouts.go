package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/rollout"
)

// RolloutStart asks for a rollout. Version is required.
type RolloutStart struct {
	Version int
	// Mode is canary by default, or shadow, which answers nobody.
	Mode events.RolloutMode
	// Plan holds the shares of a canary; empty takes the registry's where that is a canary, else [spec.PlanCanary]. A shadow has none.
	Plan spec.Plan
	// Watch are limits other than the registry's, or than the defaults of [spec.DefaultRollout], by key: see [spec.Watch.With].
	Watch map[string]string
	// Expected, if set, is the version that must be Production now.
	Expected *int
	// Override goes past the gates, and needs a Reason.
	Override      bool
	Reason, Actor string
}

// RolloutAct ends a rollout.
type RolloutAct struct {
	// Revision, if over 0, is the one that must be running.
	Revision      int
	Reason, Actor string
}

// StartRollout begins a rollout by hand and returns it. A model must have a Production that can be served, and none may run but the same one, which is
// returned. A canary needs what a promotion needs: a version that the gates let pass, or an override; a shadow may be of any version that can be
// served. Errors are those of [Promote]; one that runs already is a Conflict. [bus.Unknown] is true of an error that left the outcome open; asking again
// is safe.
func StartRollout(ctx context.Context, b *bus.Bus, name string, o RolloutStart) (Rollout, error) {
	if err := o.check(); err != nil {
		return Rollout{}, err
	}
	d, err := openDesk(ctx, b)
	if err != nil {
		return Rollout{}, err
	}
	return d.startRollout(ctx, name, o, spec.DefaultRollout())
}

// StartRollout is [StartRollout] by the registry's own folds and rules. A version without a verdict is judged first.
func (s *Service) StartRollout(ctx context.Context, name string, o RolloutStart) (Rollout, error) {
	if err := o.check(); err != nil {
		return Rollout{}, err
	}
	if o.Mode != events.RolloutShadow && !o.Override {
		if err := s.judgeFirst(ctx, name, o.Version); err != nil {
			return Rollout{}, faultOf(err)
		}
	}
	var key string
	s.View(func(c *Catalog, _ *Fleet) { key, _ = c.Key(name) })
	r, err := s.desk.startRollout(ctx, name, o, s.RolloutOf(key))
	if err == nil {
		s.byHand(name, r)
	}
	return r, err
}

// byHand counts what a person asked for.
func (s *Service) byHand(name string, r Rollout) {
	s.metrics.rollouts.WithLabelValues(name, string(r.Mode), string(r.State), string(r.Cause)).Inc()
	s.log.Info("rollout changed on request", "model", name, "mode", r.Mode, "version", r.Version, "revision", r.Revision, "state", r.State, "actor", r.Actor, "reason", r.Reason)
}

func (o RolloutStart) check() error {
	switch o.Mode {
	case "", events.RolloutCanary:
		if o.Plan == "" {
			break
		}
		shares, err := o.Plan.Shares()
		if err == nil && len(shares) == 0 {
			err = fmt.Errorf("a canary needs shares such as %q: to promote at once, promote", spec.PlanCanary)
		}
		if err != nil {
			return fault.New(fault.Invalid, "plan: %w", err)
		}
	case events.RolloutShadow:
		if o.Plan != "" {
			return fault.New(fault.Invalid, "a shadow answers nobody and has no plan")
		}
	default:
		return fault.New(fault.Invalid, "mode %q must be canary or shadow", quoted(string(o.Mode)))
	}
	if o.Override && strings.TrimSpace(o.Reason) == "" {
		return &fault.Error{Code: fault.Invalid, Message: ErrReason.Error(), Err: ErrReason}
	}
	return checkDescription(o.Reason)
}

// asks reports whether the running rollout is what is asked for: what is left out may be anything.
func (o RolloutStart) asks(running Rollout, mode events.RolloutMode) (bool, error) {
	if running.Version != o.Version || running.Mode != mode {
		return false, nil
	}
	if o.Plan != "" {
		shares, err := o.Plan.Shares()
		if err != nil || !slices.Equal(shares, running.Plan) {
			return false, err
		}
	}
	w, err := rollout.SpecOf(running.Watch).With(o.Watch)
	if err != nil {
		return false, fault.New(fault.Invalid, "%w", err)
	}
	return rollout.WatchOf(w) == running.Watch, nil
}

// event returns what is to be written, all but what follows from the fold.
func (o RolloutStart) event(usual spec.Rollout) (events.RolloutChanged, error) {
	p := events.RolloutChanged{
		Mode: events.RolloutCanary, Cause: events.RolloutManually, Override: o.Override, Reason: o.Reason, Actor: o.Actor,
	}
	w, err := usual.Watch.With(o.Watch)
	if err != nil {
		return p, &fault.Error{Code: fault.Invalid, Message: err.Error(), Err: err}
	}
	p.Watch = rollout.WatchOf(w)
	if o.Mode == events.RolloutShadow {
		p.Mode = o.Mode
		return p, nil
	}
	for _, plan := range []spec.Plan{o.Plan, usual.Plan, spec.PlanCanary} {
		if plan == "" {
			continue
		}
		shares, err := plan.Shares()
		if err != nil {
			return p, fault.New(fault.Invalid, "plan: %w", err)
		}
		if len(shares) > 0 {
			p.Plan = shares
			break
		}
	}
	return p, nil
}

func (d *desk) startRollout(ctx context.Context, name string, o RolloutStart, usual spec.Rollout) (Rollout, error) {
	p, err := o.event(usual)
	if err != nil {
		return Rollout{}, err
	}
	var w watch
	return d.rollout(ctx, func(c *Catalog, _ *Fleet) (draft, error) {
		m, err := knownModel(c, name)
		if err != nil {
			return draft{}, err
		}
		v, err := known(c, m.Key, o.Version)
		if err != nil {
			return draft{}, err
		}
		if r, running := c.Rollout(m.Key); running && c.InForce(m.Key, r) {
			if same, err := o.asks(r, p.Mode); err != nil || same {
				return draft{key: m.Key}, err
			}
			return draft{}, fault.New(fault.Conflict, "the %s of version %d of model %s runs, at revision %d: abort it first", r.Mode, r.Version, quoted(m.Name), r.Revision)
		} else if running {
			return draft{}, fault.New(fault.Unavailable, "the %s of version %d has been overtaken and is just being ended; try again", r.Mode, r.Version)
		}
		if err := w.look(c, m, o.Expected, true); err != nil {
			return draft{}, err
		}
		if err := mayRollOut(c, m, v, p); err != nil {
			return draft{}, err
		}
		return rolloutDraft(c, v, p), nil
	})
}

// mayRollOut returns why a version can't be tried, or nil.
func mayRollOut(c *Catalog, m Model, v Version, p events.RolloutChanged) error {
	now, ok := c.Production(m.Key)
	switch {
	case !m.Gated:
		return fault.New(fault.Invalid, "model %s has no gates, so nothing would be watched: promote the version", quoted(m.Name))
	case !ok:
		return fault.New(fault.Invalid, "model %s has no Production that a version could be tried beside: promote it", quoted(m.Name))
	case now.Version == v.Version:
		return fault.New(fault.Invalid, "version %d of model %s is Production", v.Version, quoted(m.Name))
	}
	if ok, why := now.Servable(); !ok {
		return fault.New(fault.Invalid, "Production, version %d of model %s, %w: %s", now.Version, quoted(m.Name), ErrUnservable, why)
	}
	if ok, why := v.Servable(); !ok {
		return fault.New(fault.Invalid, "version %d of model %s %w: %s", v.Version, quoted(m.Name), ErrUnservable, why)
	}
	if p.Mode == events.RolloutShadow || p.Override {
		return nil
	}
	return objection(c, m, v)
}

// rollout writes what decide drafts and returns the rollout that it led to. A draft without a payload leaves what is there.
func (d *desk) rollout(ctx context.Context, decide func(*Catalog, *Fleet) (draft, error)) (Rollout, error) {
	var last draft
	seq, at, err := d.write(ctx, func(c *Catalog, f *Fleet) (draft, error) {
		var err error
		last, err = decide(c, f)
		return last, err
	})
	if err != nil {
		return Rollout{}, err
	}
	if p, ok := last.payload.(*events.RolloutChanged); ok {
		return Rollout{RolloutChanged: *p, Sequence: seq, At: at}, nil
	}
	var now Rollout
	d.ledger.view(func(c *Catalog, _ *Fleet) { now, _ = c.Rollout(last.key) })
	return now, nil
}

// PromoteRollout makes the candidate of the running rollout Production now, whatever steps are left, and returns the promotion. The registry writes that the rollout
// completed. Without a rollout, or with another revision than the one expected, the error is a Conflict.
func PromoteRollout(ctx context.Context, b *bus.Bus, name string, a RolloutAct) (Promotion, error) {
	d, err := openDesk(ctx, b)
	if err != nil {
		return Promotion{}, err
	}
	return d.promoteRollout(ctx, name, a)
}

// PromoteRollout is [PromoteRollout] by the registry's own folds. The rollout has completed when it returns.
func (s *Service) PromoteRollout(ctx context.Context, name string, a RolloutAct) (Promotion, error) {
	p, err := s.desk.promoteRollout(ctx, name, a)
	if err != nil {
		return p, err
	}
	if err := s.completed(ctx, name); err != nil { // the supervisor goes on with it
		s.log.Warn("end of a rollout not written yet", "model", name, "err", err)
	}
	return p, nil
}

// completed writes what is due about a model's rollout now.
func (s *Service) completed(ctx context.Context, name string) error {
	if err := s.work.lock(ctx); err != nil {
		return err
	}
	defer s.work.unlock()
	if err := s.ledger.refresh(ctx); err != nil {
		return err
	}
	var key string
	s.View(func(c *Catalog, _ *Fleet) { key, _ = c.Key(name) })
	return s.considerRollout(ctx, key)
}

func (d *desk) promoteRollout(ctx context.Context, name string, a RolloutAct) (Promotion, error) {
	if err := checkDescription(a.Reason); err != nil {
		return Promotion{}, err
	}
	return d.promotion(ctx, func(c *Catalog, _ *Fleet) (draft, error) {
		m, o, err := runningRollout(c, name, a)
		if err != nil {
			return draft{}, err
		}
		v, err := known(c, m.Key, o.Version)
		if err != nil {
			return draft{}, err
		}
		begun, _ := c.Begun(m.Key)
		p := promotionOf(v, events.PromotedManually, a.Actor, a.Reason)
		if p.Rollout = o.Revision; o.Mode == events.RolloutShadow || begun.Override {
			if err := objection(c, m, v); err != nil && !begun.Override {
				return draft{}, err
			}
		}
		if begun.Override {
			p.Override = true
			if p.Reason == "" {
				p.Reason = begun.Reason
			}
		}
		return promotionDraft(c, m.Key, p), nil
	})
}

// AbortRollout ends the running rollout and returns its end. Production is as it was, and answers everybody again.
func AbortRollout(ctx context.Context, b *bus.Bus, name string, a RolloutAct) (Rollout, error) {
	d, err := openDesk(ctx, b)
	if err != nil {
		return Rollout{}, err
	}
	return d.abortRollout(ctx, name, a)
}

// AbortRollout is [AbortRollout] by the registry's own folds.
func (s *Service) AbortRollout(ctx context.Context, name string, a RolloutAct) (Rollout, error) {
	r, err := s.desk.abortRollout(ctx, name, a)
	if err == nil {
		s.byHand(name, r)
	}
	return r, err
}

func (d *desk) abortRollout(ctx context.Context, name string, a RolloutAct) (Rollout, error) {
	if err := checkDescription(a.Reason); err != nil {
		return Rollout{}, err
	}
	return d.rollout(ctx, func(c *Catalog, f *Fleet) (draft, error) {
		m, o, err := runningRollout(c, name, a)
		if err != nil {
			return draft{}, err
		}
		in := RolloutInput{Labels: noLabels, ScoresUnknown: true, Actor: a.Actor, Now: d.now()}
		end := RolloutDecision{Mode: o.Mode, Version: o.Version, Revision: o.Revision, Reason: a.Reason, Evidence: lastEvidence(c, f, m.Key, o, in)}
		return end.change(c, m.Key, o, events.RolloutAborted, events.RolloutManually, in).write, nil
	})
}

func noLabels(int, uint64, time.Time) rollout.Labels { return rollout.Labels{} }

// runningRollout returns the rollout of a model that is in force.
func runningRollout(c *Catalog, name string, a RolloutAct) (Model, Rollout, error) {
	m, err := knownModel(c, name)
	if err != nil {
		return Model{}, Rollout{}, err
	}
	o, ok := c.Rollout(m.Key)
	switch {
	case !ok || !c.InForce(m.Key, o):
		return m, Rollout{}, fault.New(fault.Conflict, "model %s: %w", quoted(m.Name), ErrNoRollout)
	case a.Revision > 0 && a.Revision != o.Revision:
		return m, Rollout{}, fault.New(fault.Conflict, "the %s of version %d of model %s is at revision %d, expected was %d", o.Mode, o.Version, quoted(m.Name),
			o.Revision, a.Revision)
	}
	return m, o, nil
}
