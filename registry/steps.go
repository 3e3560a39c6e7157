package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/eval"
)

// key and versionKey return the part of an event id that names the occurrence of a compare-and-set.
func key(what string, expected uint64) string { return fmt.Sprintf("%s@%d", what, expected) }

func versionKey(version int, expected uint64) string {
	return key(fmt.Sprintf("v%d", version), expected)
}

// handleRun takes one run.completed through register, gate and promote.
func (s *Service) handleRun(ctx context.Context, m bus.Message) error {
	run, ok := m.Event.Payload.(*events.RunCompleted)
	if !ok {
		return bus.Permanent(fmt.Errorf("payload %T on %s", m.Event.Payload, m.Subject))
	}
	s.work.Lock()
	defer s.work.Unlock()
	if err := s.ledger.refresh(ctx); err != nil {
		return err
	}
	var fault error
	s.ledger.view(func(c *Catalog, _ *Fleet) { fault = c.Fault(m.Sequence) })
	if fault != nil {
		return bus.Permanent(fault)
	}
	if err := s.register(ctx, m, run); err != nil {
		if bus.IsPermanent(err) {
			s.metrics.alarms.WithLabelValues(alarmRefused).Inc()
			s.log.Error("run refused", "model", s.model, "run_id", run.RunID, "err", err)
		}
		return err
	}
	return s.finish(ctx)
}

// register gives the run a version unless it has one or made no model. The bundle proves itself first.
func (s *Service) register(ctx context.Context, m bus.Message, run *events.RunCompleted) error {
	artifact, ok := find(run.Artifacts, events.ArtifactBundle)
	if !ok {
		return nil // a run that only logged something
	}
	for {
		var done bool
		var expected uint64
		var next int
		s.ledger.view(func(c *Catalog, _ *Fleet) {
			_, done = c.VersionOfRun(s.model, run.RunID)
			expected, next = c.Expected(events.TypeModelRegistered, s.model), c.NextVersion(s.model)
		})
		if done {
			return nil
		}
		b, err := s.bundle(ctx, artifact.Digest, m.Time)
		if err != nil {
			return fmt.Errorf("run %s: %w", run.RunID, err)
		}
		if err := refusal(s.model, run, b); err != nil {
			return bus.Permanent(fmt.Errorf("run %s: %w", run.RunID, err))
		}
		payload := &events.ModelRegistered{
			Version: next, RunID: run.RunID, Bundle: artifact, Artifacts: run.Artifacts, SpecDigest: b.Manifest.SpecDigest,
			DatasetFingerprint: run.DatasetFingerprint, TargetStage: run.TargetStage,
		}
		if err := s.write(ctx, s.model, key(run.RunID, expected), payload, expected); err != nil {
			return fmt.Errorf("register run %s: %w", run.RunID, err)
		}
	}
}

// write appends an event and folds what the stream then holds. A lost compare-and-set is no error: the caller looks at the fold again, and
// finds its own event, another's that does the same, or a reason to decide anew.
func (s *Service) write(ctx context.Context, name, key string, p events.Payload, expected uint64) error {
	_, err := s.cfg.Bus.Append(ctx, events.New(name, s.source, key, s.cfg.Now(), p), expected)
	if err != nil && !errors.Is(err, bus.ErrConflict) {
		return err
	}
	return s.ledger.refresh(ctx)
}

// finish judges every version without a verdict and promotes every version that is due, oldest first. A version is promoted before the next
// one is judged, so that each meets the Production it will replace.
func (s *Service) finish(ctx context.Context) error {
	for {
		if err := s.ledger.refresh(ctx); err != nil {
			return err
		}
		var unpromoted, unjudged []Version
		s.ledger.view(func(c *Catalog, _ *Fleet) {
			unpromoted, unjudged = c.Unpromoted(s.model), c.Unjudged(s.model)
		})
		var err error
		switch {
		case len(unpromoted) > 0:
			err = s.promote(ctx, unpromoted[0])
		case len(unjudged) > 0:
			err = s.gate(ctx, unjudged[0])
		default:
			s.ledger.view(func(c *Catalog, _ *Fleet) { s.metrics.observe(c) })
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// gate scores a version and Production on the run's holdout and writes the verdict.
func (s *Service) gate(ctx context.Context, v Version) error {
	start := s.cfg.Now()
	b := s.basis(v)
	if err := s.measure(ctx, v, &b); err != nil {
		return fmt.Errorf("gate version %d: %w", v.Version, err)
	}
	verdict := Judge(b.in)
	if err := s.write(ctx, s.model, versionKey(v.Version, b.expected), verdict, b.expected); err != nil {
		return fmt.Errorf("gate version %d: %w", v.Version, err)
	}
	s.metrics.gate.Observe(s.cfg.Now().Sub(start).Seconds())
	var judged Version
	var overtaken bool
	s.ledger.view(func(c *Catalog, _ *Fleet) {
		judged, _ = c.Version(s.model, v.Version)
		overtaken = c.Overtaken(judged)
	})
	if judged.Gate == nil {
		return nil // another version's verdict came first; this one is judged again
	}
	s.metrics.verdict(s.model, judged.Gate)
	s.log.Info("version judged", "model", s.model, "version", v.Version, "run_id", v.RunID, "verdict", judged.Gate.Verdict,
		"reason", judged.Gate.Reason, "detail", judged.Gate.Detail, "champion", judged.Gate.Champion)
	if overtaken {
		s.overtaken(judged)
	}
	return nil
}

// basis is what a verdict is reached from. All of it comes from one view of the fold, so that its parts speak of the same Production.
type basis struct {
	in       GateInput
	expected uint64             // the last sequence on model.gated
	champion Promotion          // what made in.Champion Production
	claimed  map[string]float64 // the run's own figures
}

func (s *Service) basis(v Version) basis {
	b := basis{in: GateInput{
		Version: v.Version, RunID: v.RunID, TargetStage: v.TargetStage, Gates: s.cfg.Spec.Gates, Promotion: s.cfg.Spec.Promotion,
		SpecDiffers: v.SpecDigest != s.specDigest,
	}}
	s.ledger.view(func(c *Catalog, _ *Fleet) {
		b.expected = c.Expected(events.TypeModelGated, s.model)
		b.in.PromotionSequence = c.Expected(events.TypeModelPromoted, s.model)
		b.in.Refuted = c.Refuted(s.model, v.Bundle.Digest)
		b.champion, _ = c.Promotion(s.model)
		b.in.Champion = b.champion.Version
		run, _ := c.Run(v.RunID)
		if run.Completed != nil {
			b.claimed = run.Completed.Metrics
		}
		withdrawal, withdrawn := c.Withdrawn(s.model)
		b.in.Withdrawn = withdrawn && !requested(run, withdrawal.Sequence)
	})
	return b
}

// measure fills in the figures. What can never be measured is part of the input, not an error.
func (s *Service) measure(ctx context.Context, v Version, of *basis) error {
	in := &of.in
	if in.Refuted {
		return nil
	}
	b, err := s.bundle(ctx, v.Bundle.Digest, v.At)
	if err != nil {
		return unusable(in, err)
	}
	holdout, ok := find(v.Artifacts, events.ArtifactHoldout)
	if !ok {
		in.Metrics = of.claimed
		return nil
	}
	m, err := s.score(ctx, b, holdout, v.At)
	if err != nil {
		return unusable(in, err)
	}
	in.Metrics, in.HoldoutRows, in.Measured = m.figures(s.cfg.Spec.Threshold), m.Rows, true
	if in.Champion == 0 {
		return nil
	}
	return s.measureChampion(ctx, holdout, v.At, m, of)
}

// measureChampion scores Production on the challenger's holdout, and compares the two.
func (s *Service) measureChampion(ctx context.Context, holdout events.Artifact, since time.Time, challenger scored, of *basis) error {
	b, err := s.bundle(ctx, of.champion.Bundle.Digest, of.champion.At)
	if err == nil {
		m, scoreErr := s.score(ctx, b, holdout, since)
		if of.in.ChampionMetrics, err = m.figures(s.cfg.Spec.Threshold), scoreErr; err == nil {
			addGain(of.in.Metrics, challenger, m)
		}
	}
	if err != nil {
		if !bus.IsPermanent(err) {
			return err
		}
		of.in.ChampionMetrics, of.in.Incomparable = nil, fmt.Sprintf("version %d: %v", of.in.Champion, err)
	}
	return nil
}

// addGain adds by how much the challenger's ROC-AUC is above Production's on the same rows, with DeLong's 95 % interval and two-sided p-value. It
// is for people: no gate asks for it. What is undefined, as where the two rank alike, is left out.
func addGain(metrics map[string]float64, challenger, champion scored) {
	c, err := eval.CompareAUC(challenger.score, champion.score, challenger.label, nil)
	if err != nil {
		return // a single class: then no metric of the gates is there either
	}
	metrics["roc_auc_gain"] = c.Difference
	for name, f := range map[string]eval.Figure{"roc_auc_gain_low": c.Low, "roc_auc_gain_high": c.High, "roc_auc_gain_p": c.P} {
		if v, ok := f.Value(); ok {
			metrics[name] = v
		}
	}
}

// unusable turns a permanent error into a reason to reject.
func unusable(in *GateInput, err error) error {
	if !bus.IsPermanent(err) {
		return err
	}
	in.Unusable = err.Error()
	return nil
}

// promote makes a version Production if nothing changed Production since it was judged. That is asked of the same view of the fold that says
// what the compare-and-set expects: a promotion that comes later makes the write fail, one that came before is seen.
func (s *Service) promote(ctx context.Context, v Version) error {
	var due, overtaken bool
	var expected uint64
	var previous int
	s.ledger.view(func(c *Catalog, _ *Fleet) {
		now, _ := c.Version(s.model, v.Version)
		due, overtaken = c.due(now), c.Overtaken(now)
		expected = c.Expected(events.TypeModelPromoted, s.model)
		if p, ok := c.Promotion(s.model); ok {
			previous = p.Version
		}
	})
	if !due {
		if overtaken {
			s.overtaken(v)
		}
		return nil
	}
	payload := &events.ModelPromoted{
		Version: v.Version, RunID: v.RunID, Bundle: v.Bundle, PreviousVersion: previous, PreviousSequence: expected,
		Cause: events.PromotedByGate, Reason: v.Gate.Reason, Actor: s.cfg.Actor,
	}
	if err := s.write(ctx, s.model, versionKey(v.Version, expected), payload, expected); err != nil {
		return fmt.Errorf("promote version %d: %w", v.Version, err)
	}
	var now Version
	s.ledger.view(func(c *Catalog, _ *Fleet) {
		now, _ = c.Version(s.model, v.Version)
		overtaken = c.Overtaken(now)
	})
	if len(now.Promoted) > 0 {
		s.metrics.promotions.WithLabelValues(s.model, string(events.PromotedByGate)).Inc()
		s.log.Info("version promoted", "model", s.model, "version", v.Version, "run_id", v.RunID, "reason", v.Gate.Reason)
	}
	if overtaken {
		s.overtaken(now)
	}
	return nil
}

func (s *Service) overtaken(v Version) {
	s.metrics.alarms.WithLabelValues(alarmOvertaken).Inc()
	s.log.Warn("version overtaken by another promotion", "model", s.model, "version", v.Version, "run_id", v.RunID)
}
