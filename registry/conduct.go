package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/baseline"
	"telco-churn-mlops/registry/rollout"
)

// caughtUp says which streams beside LIFECYCLE were read to their end, since they were last begun: before that nothing is decided by what they say. It
// is safe for concurrent use.
type caughtUp struct{ fleet, outcomes atomic.Bool }

func (c *caughtUp) all() bool { return c.fleet.Load() && c.outcomes.Load() }

// references keeps the score baselines of bundles that are watched. It is safe for concurrent use.
type references struct {
	mu       sync.Mutex
	byDigest map[string]*baseline.Reference
}

// referencesKept bounds how many there are; one is watched of each model at a time.
const referencesKept = 64

func newReferences() *references { return &references{byDigest: map[string]*baseline.Reference{}} }

func (r *references) get(digest string) (ref *baseline.Reference, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ref, known = r.byDigest[digest]
	return ref, known
}

func (r *references) put(digest string, ref *baseline.Reference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.byDigest) >= referencesKept {
		clear(r.byDigest)
	}
	r.byDigest[digest] = ref
}

// reference reads the score baseline of a version's bundle, once. A bundle that can't be read has none; that is for whoever loads it to tell.
func (s *Service) reference(ctx context.Context, v Version) error {
	if _, known := s.references.get(v.Bundle.Digest); known {
		return nil
	}
	b, err := s.bundle(ctx, v.Bundle.Digest, v.At)
	switch {
	case err != nil && !bus.IsPermanent(err):
		return fmt.Errorf("read the score baseline of version %d: %w", v.Version, err)
	case err != nil || !b.HasBaselines():
		s.references.put(v.Bundle.Digest, nil)
	default:
		s.references.put(v.Bundle.Digest, &b.Baselines.Reference.Score)
	}
	return nil
}

// decideRollout returns the decision about a model by what is known without asking anybody.
func (s *Service) decideRollout(name string, check OwnCheck) (d RolloutDecision) {
	r, ok := s.rulesOf(name)
	if !ok {
		return RolloutDecision{Action: RolloutNone} // the registry that knows its spec decides
	}
	if !s.read.all() {
		return RolloutDecision{Action: RolloutNone} // what instances counted and what came true is still being read
	}
	in := RolloutInput{
		Watch: rollout.WatchOf(r.rollout.Watch), Labels: s.outcomes.of(name), Known: s.references.get, Check: check, Actor: s.cfg.Actor, Now: s.cfg.Now(),
	}
	s.ledger.view(func(c *Catalog, f *Fleet) {
		if v, watched := watchedBy(c, name); watched {
			ref, known := s.references.get(v.Bundle.Digest)
			in.Reference, in.ScoresUnknown = ref, !known
		}
		d = DecideRollout(c, f, name, in)
	})
	return d
}

// conduct looks every Config.RolloutEvery whether something that is tried or watched is due, and wakes the supervisor, which writes. A look asks nobody.
func (s *Service) conduct(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.RolloutEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var models []string
		s.ledger.view(func(c *Catalog, _ *Fleet) { models = c.watchedModels() })
		for _, name := range models {
			if s.restless(name) {
				s.nudge()
				break
			}
		}
	}
}

// restless reports whether the supervisor should look at a model.
func (s *Service) restless(name string) bool {
	var unread, failing bool
	s.ledger.view(func(c *Catalog, f *Fleet) {
		if v, ok := watchedBy(c, name); ok {
			_, known := s.references.get(v.Bundle.Digest)
			unread = !known
		}
		if o, ok := c.Rollout(name); ok {
			failing = len(candidateFailures(c, f, name, o)) > 0 && !s.wasChecked(o)
		}
	})
	if unread || failing {
		return true
	}
	d := s.decideRollout(name, CheckNotDone)
	return d.Action == RolloutChange || d.Action == RolloutPromote || d.Action == RolloutHold && !s.wasHeld(d, name)
}

// considerRollout does what is due about what is tried or watched of a model, until nothing is.
func (s *Service) considerRollout(ctx context.Context, name string) error {
	var watched, production Version
	var ok, beside bool
	s.ledger.view(func(c *Catalog, _ *Fleet) {
		watched, ok = watchedBy(c, name)
		if p, _, fresh := c.Fresh(name); fresh {
			production, beside = c.Version(name, p.Version)
		}
	})
	var unread error
	if ok {
		unread = s.reference(ctx, watched)
	}
	if beside {
		unread = errors.Join(unread, s.reference(ctx, production))
	}
	tries := map[string]int{}
	for {
		check, err := s.checkCandidate(ctx, name)
		if err != nil {
			return errors.Join(err, unread)
		}
		wrote, err := s.roll(ctx, name, check)
		if err != nil || wrote == "" {
			return errors.Join(err, unread)
		}
		if tries[wrote]++; tries[wrote] > sameTries {
			return fmt.Errorf("roll out %s: %s is written again and again: %w", name, wrote, bus.ErrConflict)
		}
	}
}

// sameTries is how often the same is written in a row: others may have been faster on its subject, but what the fold leaves out must not fill the stream.
const sameTries = 5

// checkCandidate loads the candidate of a rollout that some instance could not, once for each revision.
func (s *Service) checkCandidate(ctx context.Context, name string) (OwnCheck, error) {
	var o Rollout
	var v Version
	var failing bool
	s.ledger.view(func(c *Catalog, f *Fleet) {
		if o, failing = c.Rollout(name); failing {
			v, _ = c.Version(name, o.Version)
			failing = len(candidateFailures(c, f, name, o)) > 0
		}
	})
	if !failing {
		return CheckNotDone, nil
	}
	if check, done := s.checkOf(o); done {
		return check, nil
	}
	_, err := s.fetch(ctx, o.Bundle.Digest, v.At)
	if err != nil && !bus.IsPermanent(err) {
		return CheckNotDone, fmt.Errorf("check version %d: %w", o.Version, err)
	}
	check := CheckSound
	if err != nil {
		check = CheckBroken
	}
	s.rolls.mu.Lock()
	defer s.rolls.mu.Unlock()
	s.rolls.checks[o.Sequence] = check
	if check == CheckSound {
		s.alarmRollout(name, o.RolloutChanged, "an instance can't load the candidate, the registry can")
	}
	return check, nil
}

// rolls is what one registry noticed of rollouts. It is safe for concurrent use.
type rolls struct {
	mu     sync.Mutex
	checks map[uint64]OwnCheck // by the sequence of the rollout.changed
	held   map[string]string   // by model: what the last alarm was about
}

func (s *Service) checkOf(o Rollout) (OwnCheck, bool) {
	s.rolls.mu.Lock()
	defer s.rolls.mu.Unlock()
	check, done := s.rolls.checks[o.Sequence]
	return check, done
}

func (s *Service) wasChecked(o Rollout) bool {
	_, done := s.checkOf(o)
	return done
}

func (s *Service) wasHeld(d RolloutDecision, name string) bool {
	s.rolls.mu.Lock()
	defer s.rolls.mu.Unlock()
	return s.rolls.held[name] == holdOf(d)
}

func holdOf(d RolloutDecision) string { return fmt.Sprint(d.Mode, d.Version, d.Revision) }

// roll decides and writes once, and returns what it wrote, empty if nothing was due.
func (s *Service) roll(ctx context.Context, name string, check OwnCheck) (wrote string, err error) {
	done, err := s.desk.turns.take(ctx, name)
	if err != nil {
		return "", err
	}
	defer done()
	d := s.decideRollout(name, check)
	switch d.Action {
	case RolloutHold:
		s.hold(name, d)
		return "", nil
	case RolloutChange, RolloutPromote:
	default:
		return "", nil
	}
	if err := s.write(ctx, name, d.write.id, d.write.payload, d.write.expected); err != nil {
		return "", fmt.Errorf("roll out version %d of %s: %w", d.Version, name, err)
	}
	s.rolled(name, d)
	what, _, _ := strings.Cut(d.write.id, "@")
	return what, nil
}

// hold raises an alarm about a rollout that can't go on, once for each revision.
func (s *Service) hold(name string, d RolloutDecision) {
	if s.wasHeld(d, name) {
		return
	}
	s.rolls.mu.Lock()
	s.rolls.held[name] = holdOf(d)
	s.rolls.mu.Unlock()
	s.alarmRollout(name, events.RolloutChanged{Mode: d.Mode, Version: d.Version, Revision: d.Revision}, d.Reason)
}

func (s *Service) alarmRollout(name string, p events.RolloutChanged, reason string) {
	s.metrics.alarms.WithLabelValues(alarmRollout).Inc()
	s.log.Error("rollout needs a person", "model", name, "mode", p.Mode, "version", p.Version, "revision", p.Revision, "reason", reason)
}

// rolled counts and logs what was written, or what another registry wrote in its place.
func (s *Service) rolled(name string, d RolloutDecision) {
	switch p := d.write.payload.(type) {
	case *events.ModelPromoted:
		s.metrics.promotions.WithLabelValues(name, string(p.Cause)).Inc()
		if p.Cause == events.PromotedByRollback {
			s.metrics.alarms.WithLabelValues(alarmRollback).Inc()
			s.log.Error("rolled back", "model", name, "version", d.Version, "to", p.Version, "reason", p.Reason)
			return
		}
		s.log.Info("version promoted", "model", name, "version", p.Version, "revision", p.Rollout, "reason", p.Reason)
	case *events.RolloutChanged:
		s.metrics.rollouts.WithLabelValues(name, string(p.Mode), string(p.State), string(p.Cause)).Inc()
		attrs := []any{
			"model", name, "mode", p.Mode, "version", p.Version, "revision", p.Revision, "state", p.State, "share", p.Share, "cause", p.Cause, "reason", p.Reason,
		}
		switch {
		case p.Cause == events.RolloutBreach && p.State == events.RolloutAborted:
			s.alarmRollout(name, *p, p.Reason)
		case p.State == events.RolloutRolledBack:
			s.metrics.alarms.WithLabelValues(alarmRollout).Inc()
			s.log.Error("rollout ended", attrs...)
		default:
			s.log.Info("rollout changed", attrs...)
		}
	}
}

// watchedModels returns the models of which something is tried or watched, sorted.
func (c *Catalog) watchedModels() []string {
	var out []string
	for _, key := range c.Models() {
		m := c.models[key]
		if _, _, fresh := c.Fresh(key); fresh || m.open != nil {
			out = append(out, key)
		}
	}
	return out
}
