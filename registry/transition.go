package registry

import (
	"context"
	"fmt"
	"strings"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
)

// Transition moves a version to a stage.
type Transition struct {
	Model   string
	Version int
	Stage   events.Stage
	// ArchiveExisting archives, in a model without gates, every other version in that stage, in the same write. With gates there is one
	// Production whatever it says.
	ArchiveExisting bool
	// Expected, if set, is the version that must be Production now, 0 for none.
	Expected *int
	// Override goes past the gates, and needs a Reason. Nothing goes past a version that can't be served.
	Override      bool
	Reason, Actor string
}

// Transition moves a version to a stage and returns it as it is then. A version that is there already is left alone, so that asking again after a
// lost answer is safe.
//
// In a model with gates, the way to Staging and Production leads past the verdict; a version without one is judged now. A version that was rejected or, on the
// way to Production, is not better than that, is [ErrNotPassed] and names the rule with both values. Production must not change between the call and its write, else
// the error is [ErrOvertaken] and names the version found; so it does in a model without gates where the others are archived. There, and out of Production, it is always one
// message on model.promoted.
func (s *Service) Transition(ctx context.Context, t Transition) (Version, error) {
	if err := t.check(); err != nil {
		return Version{}, err
	}
	if (t.Stage == events.StageProduction || t.Stage == events.StageStaging) && !t.Override {
		if err := s.judgeFirst(ctx, t.Model, t.Version); err != nil {
			return Version{}, faultOf(err)
		}
	}
	_, err := s.desk.transition(ctx, t)
	return s.versionOf(t.Model, t.Version, err)
}

func (t Transition) check() error {
	switch t.Stage {
	case events.StageNone, events.StageStaging, events.StageProduction, events.StageArchived:
	default:
		return fault.New(fault.Invalid, "stage %q must be None, Staging, Production or Archived", quoted(string(t.Stage)))
	}
	if t.Override && strings.TrimSpace(t.Reason) == "" {
		return &fault.Error{Code: fault.Invalid, Message: ErrReason.Error(), Err: ErrReason}
	}
	if t.ArchiveExisting && t.Stage != events.StageStaging && t.Stage != events.StageProduction {
		return fault.New(fault.Invalid, "existing versions can be archived on the way to Staging or Production alone, not to %s", t.Stage)
	}
	return checkDescription(t.Reason)
}

// judgeFirst judges a version of a model with gates that has no verdict yet, if this registry knows the gates.
func (s *Service) judgeFirst(ctx context.Context, name string, version int) error {
	for {
		if err := s.Fresh(ctx); err != nil {
			return err
		}
		var m Model
		var v Version
		var err error
		s.View(func(c *Catalog, _ *Fleet) {
			if m, err = knownModel(c, name); err == nil {
				v, err = known(c, m.Key, version)
			}
		})
		if err != nil {
			return err
		}
		r, ok := s.rulesOf(m.Key)
		if !ok || v.Gate != nil {
			return nil
		}
		if err := s.gateOnce(ctx, m.Key, version, r); err != nil {
			return err
		}
	}
}

// gateOnce judges a version unless somebody did meanwhile.
func (s *Service) gateOnce(ctx context.Context, key string, version int, r rules) error {
	if err := s.work.lock(ctx); err != nil {
		return err
	}
	defer s.work.unlock()
	if err := s.ledger.refresh(ctx); err != nil {
		return err
	}
	var v Version
	s.View(func(c *Catalog, _ *Fleet) { v, _ = c.Version(key, version) })
	if v.Gate != nil {
		return nil
	}
	return s.gate(ctx, v, r)
}

// transition decides and writes, and returns the promotion that says what is Production then.
func (d *desk) transition(ctx context.Context, t Transition) (Promotion, error) {
	var w watch
	return d.promotion(ctx, func(c *Catalog, _ *Fleet) (draft, error) {
		m, err := knownModel(c, t.Model)
		if err != nil {
			return draft{}, err
		}
		v, err := known(c, m.Key, t.Version)
		if err != nil || arrived(c, m, v, t) {
			return draft{key: m.Key}, err
		}
		if err := w.look(c, m, t.Expected, m.Gated || t.ArchiveExisting && t.Stage == events.StageProduction); err != nil {
			return draft{}, err
		}
		switch {
		case t.Stage == events.StageProduction:
			return promote(c, m, v, t)
		case v.Stage == events.StageProduction:
			return demote(c, m, v, t), nil
		}
		return move(c, m, v, t)
	})
}

// watch tells whether Production changed since an operation began.
type watch struct {
	began bool
	since uint64
}

// look compares Production with what the caller expects and, if it must not change meanwhile, with what it was when the operation began.
func (w *watch) look(c *Catalog, m Model, expected *int, steady bool) error {
	now, _ := c.Promotion(m.Key)
	settled, _ := c.Settled(m.Key)
	if !w.began {
		w.began, w.since = true, settled.Sequence
	}
	found := fmt.Sprintf("version %d of model %s is Production since sequence %d", now.Version, quoted(m.Name), settled.Sequence)
	if now.Version == 0 {
		found = fmt.Sprintf("model %s has no Production", quoted(m.Name))
	}
	switch {
	case expected != nil && *expected != now.Version:
		return fault.New(fault.Conflict, "%s, expected was %d: %w", found, *expected, ErrOvertaken)
	case steady && settled.Sequence > w.since:
		return fault.New(fault.Conflict, "%s: %w", found, ErrOvertaken)
	}
	return nil
}

// arrived reports whether a version is where it should go already.
func arrived(c *Catalog, m Model, v Version, t Transition) bool {
	if v.Stage != t.Stage {
		return false
	}
	if t.Stage == events.StageProduction && m.Gated {
		return c.models[m.Key].production() == v.Version
	}
	for _, other := range c.versions(m.Key) {
		if t.ArchiveExisting && other.Stage == t.Stage && other.Version != v.Version {
			return false
		}
	}
	return true
}

func promote(c *Catalog, m Model, v Version, t Transition) (draft, error) {
	p := promotionOf(v, events.PromotedManually, t.Actor, t.Reason)
	if !m.Gated {
		p.Ungated, p.ArchiveExisting = true, t.ArchiveExisting
		return promotionDraft(c, m.Key, p), nil
	}
	if ok, why := v.Servable(); !ok {
		return draft{}, fault.New(fault.Invalid, "version %d of model %s %w: %s", v.Version, quoted(m.Name), ErrUnservable, why)
	}
	if err := objection(c, m, v); err != nil {
		if !t.Override {
			return draft{}, err
		}
		p.Override = true
	}
	return promotionDraft(c, m.Key, p), nil
}

// objection returns what the gates, or the last rollout, have against a version as Production, or nil. A comparison counts as long as there is a Production, and if it was
// what the verdict came to: a run that asked for Staging alone, or followed another spec, was compared for information, and people decide.
func objection(c *Catalog, m Model, v Version) error {
	if v.Refuted {
		return fault.New(fault.Invalid, "version %d of model %s: %w", v.Version, quoted(m.Name), ErrRefuted)
	}
	if o := v.Rollout; o != nil && o.State == events.RolloutRolledBack {
		return fault.New(fault.Invalid, "version %d of model %s %w: its %s was rolled back: %s", v.Version, quoted(m.Name), ErrNotPassed, o.Mode, o.Reason)
	}
	now, _ := c.Promotion(m.Key)
	compared := now.Version != 0 && v.Gate != nil && v.Gate.Reason != ReasonTargetStaging && v.Gate.Reason != ReasonSpecDiffers
	return refuseFor(m, v, grounds(v, compared))
}

// grounds says what the gates found against a version; with compared, also beside Production.
func grounds(v Version, compared bool) []string {
	if v.Gate == nil {
		return []string{"it has no verdict yet"}
	}
	if g := v.Gate; g.Verdict == events.VerdictRejected && g.Reason != ReasonBelowThreshold {
		return []string{g.Reason + ": " + g.Detail} // what could not be scored fails every rule
	}
	var why []string
	for _, r := range v.Gate.Rules {
		if failed, comparison := failure(r); failed != "" && (!comparison || compared) {
			why = append(why, failed)
		}
	}
	refused := v.Gate.Verdict == events.VerdictRejected || compared && v.Gate.Verdict == events.VerdictNotPromoted
	if len(why) == 0 && refused { // the verdict counts, whatever its rules say
		why = []string{v.Gate.Reason}
	}
	return why
}

func refuseFor(m Model, v Version, why []string) error {
	if len(why) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "version %d of model %s %w: %s", v.Version, quoted(m.Name), ErrNotPassed, strings.Join(why, "; "))
}

// failure says which rule failed and with what values; empty if it held, or could not be evaluated because Production's value is missing.
// compared is true of a rule that compares with Production.
func failure(r events.RuleResult) (text string, compared bool) {
	compared = strings.HasSuffix(r.Rule, againstProduction)
	if r.Passed || compared && (r.Value == nil || r.Against == nil) {
		return "", compared
	}
	value, against := "missing", ""
	if r.Value != nil {
		value = number(*r.Value)
	}
	if r.Against != nil {
		against = " against " + number(*r.Against)
	}
	return fmt.Sprintf("%s does not hold: %s%s", r.Rule, value, against), compared
}

// demote takes a version out of Production. In a model without gates another that stands there stays.
func demote(c *Catalog, m Model, v Version, t Transition) draft {
	p := &events.ModelPromoted{Cause: events.PromotionWithdrawn}
	if n := c.models[m.Key].remaining(v.Version); n > 0 && !m.Gated {
		left, _ := c.Version(m.Key, n)
		p = promotionOf(left, events.PromotedManually, "", "")
	}
	p.Actor, p.Reason = t.Actor, t.Reason
	p.Ungated, p.ArchiveExisting = !m.Gated, t.ArchiveExisting
	p.Demoted, p.DemotedTo = v.Version, t.Stage
	return promotionDraft(c, m.Key, p)
}

// move is a change of stage that has nothing to do with Production.
func move(c *Catalog, m Model, v Version, t Transition) (draft, error) {
	if m.Gated && t.Stage == events.StageStaging && !v.Passed() && !t.Override {
		return draft{}, refuseFor(m, v, grounds(v, false))
	}
	return draftOf(c, m.Key, &events.ModelChanged{
		Change: events.ChangeStage, Version: v.Version, Value: string(t.Stage), ArchiveExisting: t.ArchiveExisting || m.Gated && t.Stage == events.StageStaging,
		Actor: t.Actor, Reason: t.Reason,
	}), nil
}

func promotionOf(v Version, cause events.PromotionCause, actor, reason string) *events.ModelPromoted {
	return &events.ModelPromoted{
		Version: v.Version, RunID: v.RunID, Bundle: v.Bundle, Unservable: v.Unservable, Cause: cause, Actor: actor, Reason: reason,
	}
}

// promotionDraft returns a draft of a promotion on top of what is Production in the fold.
func promotionDraft(c *Catalog, key string, p *events.ModelPromoted) draft {
	now, _ := c.Promotion(key)
	expected := c.Expected(events.TypeModelPromoted, key)
	p.PreviousVersion, p.PreviousSequence = now.Version, expected
	id := versionKey(p.Version, expected)
	if p.Demoted > 0 {
		id = fmt.Sprintf("%s-%d-%s", id, p.Demoted, p.DemotedTo)
	}
	if p.ArchiveExisting {
		id += "-archive"
	}
	return draft{key: key, payload: p, id: id, expected: expected}
}

// promotion writes what decide drafts and returns the promotion that says what is Production then. A draft without a payload leaves what is
// there; its key says of which model.
func (d *desk) promotion(ctx context.Context, decide func(*Catalog, *Fleet) (draft, error)) (Promotion, error) {
	var last draft
	seq, at, err := d.write(ctx, func(c *Catalog, f *Fleet) (draft, error) {
		var err error
		last, err = decide(c, f)
		return last, err
	})
	if err != nil {
		return Promotion{}, err
	}
	if p, ok := last.payload.(*events.ModelPromoted); ok {
		return Promotion{ModelPromoted: *p, Sequence: seq, At: at}, nil
	}
	var now Promotion
	d.ledger.view(func(c *Catalog, _ *Fleet) { now, _ = c.Promotion(last.key) })
	return now, nil
}
