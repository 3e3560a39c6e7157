package registry

import (
	"context"
	"fmt"
	"strings"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// repair answers a promotion that went astray, whoever wrote it and whenever, and restates what is Production if the last message on
// model.promoted is junk, so that whoever reads only the last message finds a valid one again that stands.
func (s *Service) repair(ctx context.Context, name string) error {
	if err := s.desk.amend(ctx, name); err != nil {
		return err
	}
	var p Promotion
	var due bool
	var expected uint64
	s.ledger.view(func(c *Catalog, _ *Fleet) {
		p, due = c.JunkTail(name)
		expected = c.Expected(events.TypeModelPromoted, name)
	})
	if !due {
		return nil
	}
	payload := &events.ModelPromoted{
		Version: p.Version, RunID: p.RunID, Bundle: p.Bundle, Unservable: p.Unservable, Ungated: p.Ungated, PreviousVersion: p.Version,
		PreviousSequence: expected,
		Cause:            events.PromotionRepair, Reason: fmt.Sprintf("junk at sequence %d, restates sequence %d", expected, p.Sequence), Actor: s.cfg.Actor,
	}
	if err := s.write(ctx, name, versionKey(p.Version, expected), payload, expected); err != nil {
		return fmt.Errorf("repair %s: %w", name, err)
	}
	s.metrics.alarms.WithLabelValues(alarmJunk).Inc()
	s.metrics.promotions.WithLabelValues(name, string(events.PromotionRepair)).Inc()
	s.log.Error("junk on model.promoted repaired", "model", name, "version", p.Version, "sequence", expected)
	return nil
}

// considerRollback decides about the failed loads of a model's Production, once for each state of them and of the instances beside them.
func (s *Service) considerRollback(ctx context.Context, name string) error {
	d, state := s.decideRollback(name, CheckNotDone)
	if d.Action == RollbackNone || s.considered[name] == state {
		return nil
	}
	check := CheckSound
	if _, err := s.fetch(ctx, d.Failed.Bundle.Digest, d.Failed.At); err != nil {
		switch {
		case bus.IsPermanent(err):
			check = CheckBroken
		case d.Action != RollbackGo: // what the instances say is not enough by itself: look again later
			return fmt.Errorf("check version %d: %w", d.Failed.Version, err)
		default:
			check = CheckNotDone
		}
	}
	done, err := s.desk.turns.take(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	d, state = s.decideRollback(name, check)
	switch d.Action {
	case RollbackAlarm:
		s.metrics.alarms.WithLabelValues(alarmLoad).Inc()
		s.log.Error("failed loads of production", "model", name, "version", d.Failed.Version, "reason", d.Reason)
	case RollbackGo:
		if err := s.rollBack(ctx, name, d); err != nil {
			return err
		}
	}
	s.considered[name] = state
	return nil
}

// decideRollback returns the decision and a name for the state that it rests on: who failed to load what, and what that leads to by itself,
// which changes when others die or come back.
func (s *Service) decideRollback(name string, check OwnCheck) (d RollbackDecision, state string) {
	now := s.cfg.Now()
	s.ledger.view(func(c *Catalog, f *Fleet) {
		d = DecideRollback(c, f, name, check, now)
		var b strings.Builder
		fmt.Fprint(&b, d.Failed.Sequence, " ", DecideRollback(c, f, name, CheckNotDone, now).Action)
		for _, i := range f.Failures(name, d.Failed.Version, d.Failed.Bundle.Digest) {
			fmt.Fprintf(&b, " %s@%d", i.Serving.Instance, i.Failure.At.UnixNano())
		}
		state = b.String()
	})
	return d, state
}

func (s *Service) rollBack(ctx context.Context, name string, d RollbackDecision) error {
	payload := &events.ModelPromoted{
		Version: d.Target.Version, RunID: d.Target.RunID, Bundle: d.Target.Bundle, PreviousVersion: d.Failed.Version, PreviousSequence: d.Expected,
		Cause: events.PromotedByRollback, Refuted: true, Reason: d.Reason, Actor: s.cfg.Actor, Evidence: d.Evidence,
	}
	if err := s.write(ctx, name, versionKey(d.Target.Version, d.Expected), payload, d.Expected); err != nil {
		return fmt.Errorf("roll back version %d of %s: %w", d.Failed.Version, name, err)
	}
	s.metrics.alarms.WithLabelValues(alarmRollback).Inc()
	s.metrics.promotions.WithLabelValues(name, string(events.PromotedByRollback)).Inc()
	s.log.Error("rolled back", "model", name, "version", d.Failed.Version, "to", d.Target.Version, "reason", d.Reason)
	return nil
}
