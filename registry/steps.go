package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/spec"
)

// idKey and versionKey return the part of an event id that names the occurrence of a compare-and-set.
func idKey(what string, expected uint64) string { return fmt.Sprintf("%s@%d", what, expected) }

func versionKey(version int, expected uint64) string {
	return idKey(fmt.Sprintf("v%d", version), expected)
}

// handleRun takes one run.completed through register, gate and promote.
func (s *Service) handleRun(ctx context.Context, m bus.Message) error {
	run, ok := m.Event.Payload.(*events.RunCompleted)
	if !ok {
		return bus.Permanent(fmt.Errorf("payload %T on %s", m.Event.Payload, m.Subject))
	}
	if err := s.work.lock(ctx); err != nil {
		return err
	}
	defer s.work.unlock()
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
	return s.finish(ctx, s.model)
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
		if err := s.write(ctx, s.model, idKey(run.RunID, expected), payload, expected); err != nil {
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

// rules are what a model's versions are judged by.
type rules struct {
	gates     spec.Gates
	promotion spec.Promotion
	rollout   spec.Rollout
	signature SignatureRule
	// decision and digest are the spec's, nil and empty for gates without one.
	decision *spec.Decision
	digest   string
	// target and positive name the label in a logged holdout.
	target, positive string
}

// rulesOf returns the rules of a model, and false if it has none that this registry knows: it has no gates, or follows a spec that is not this
// registry's.
func (s *Service) rulesOf(key string) (r rules, ok bool) {
	if key == s.model {
		sp := s.cfg.Spec
		return rules{
			gates: sp.Gates, promotion: sp.Promotion, rollout: sp.Rollout, signature: SignatureCompatible, decision: sp.Threshold, digest: s.specDigest,
			target: sp.Columns.Target.Name, positive: sp.Columns.Target.Positive,
		}, true
	}
	s.View(func(c *Catalog, _ *Fleet) {
		if m, _ := c.Model(key); m.Gates != nil {
			g := m.Gates
			r = rules{gates: g.Gates, promotion: g.Promotion, rollout: spec.DefaultRollout(), signature: g.Signature, target: g.Target, positive: g.Positive}
			ok = true
		}
	})
	return r, ok
}

// finish judges every version of a model without a verdict and promotes every version that is due, or begins its canary, oldest first. A version is
// promoted before the next one is judged, so that each meets the Production it will replace; for a canary, the next ones that ask for Production wait.
func (s *Service) finish(ctx context.Context, key string) error {
	for {
		r, ok := s.rulesOf(key)
		if !ok {
			return nil
		}
		if err := s.ledger.refresh(ctx); err != nil {
			return err
		}
		var unpromoted, unjudged []Version
		s.ledger.view(func(c *Catalog, _ *Fleet) {
			unpromoted, unjudged = c.Unpromoted(key), c.Unjudged(key)
			if plan, _ := r.rollout.Plan.Shares(); len(plan) > 0 && c.canary(key) {
				unpromoted, unjudged = nil, notForProduction(unjudged)
			}
		})
		var err error
		switch {
		case len(unpromoted) > 0:
			err = s.introduce(ctx, unpromoted[0], r)
		case len(unjudged) > 0:
			err = s.gate(ctx, unjudged[0], r)
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
func (s *Service) gate(ctx context.Context, v Version, r rules) error {
	start := s.cfg.Now()
	b := s.basis(v, r)
	if err := s.measure(ctx, v, &b); err != nil {
		return fmt.Errorf("gate version %d of %s: %w", v.Version, v.Model, err)
	}
	verdict := Judge(b.in)
	if err := s.write(ctx, v.Model, versionKey(v.Version, b.expected), verdict, b.expected); err != nil {
		return fmt.Errorf("gate version %d of %s: %w", v.Version, v.Model, err)
	}
	s.metrics.gate.Observe(s.cfg.Now().Sub(start).Seconds())
	var judged Version
	var overtaken bool
	s.ledger.view(func(c *Catalog, _ *Fleet) {
		judged, _ = c.Version(v.Model, v.Version)
		overtaken = c.Overtaken(judged)
	})
	if judged.Gate == nil {
		return nil // another version's verdict came first; this one is judged again
	}
	s.metrics.verdict(v.Model, judged.Gate)
	s.log.Info("version judged", "model", v.Model, "version", v.Version, "run_id", v.RunID, "verdict", judged.Gate.Verdict,
		"reason", judged.Gate.Reason, "detail", judged.Gate.Detail, "champion", judged.Gate.Champion)
	if overtaken {
		s.overtaken(judged)
	}
	return nil
}

// basis is what a verdict is reached from. All of it comes from one view of the fold, so that its parts speak of the same Production.
type basis struct {
	in       GateInput
	rules    rules
	expected uint64             // the last sequence on model.gated
	champion Promotion          // what made in.Champion Production
	claimed  map[string]float64 // the run's own figures
}

func (s *Service) basis(v Version, r rules) basis {
	b := basis{rules: r, in: GateInput{
		Version: v.Version, RunID: v.RunID, TargetStage: v.TargetStage, Gates: r.gates, Promotion: r.promotion,
		SpecDiffers: v.Source == "" && v.SpecDigest != r.digest,
	}}
	s.ledger.view(func(c *Catalog, _ *Fleet) {
		b.expected = c.Expected(events.TypeModelGated, v.Model)
		b.in.PromotionSequence = c.Expected(events.TypeModelPromoted, v.Model)
		b.in.Refuted = c.Refuted(v.Model, v.Bundle.Digest)
		b.champion, _ = c.Promotion(v.Model)
		b.in.Champion = b.champion.Version
		run, _ := c.RunOf(v.Model, v.RunID)
		if run.Completed != nil {
			b.claimed = run.Completed.Metrics
		}
		withdrawal, withdrawn := c.Withdrawn(v.Model)
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
	if ok, why := v.Servable(); !ok {
		in.Unusable = why
		return nil
	}
	b, err := s.bundle(ctx, v.Bundle.Digest, v.At)
	if err != nil {
		return unusable(in, err)
	}
	if err := s.compareInputs(ctx, b, of); err != nil {
		return err
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
	in.Metrics, in.HoldoutRows, in.Measured = m.figures(of.rules.decision), m.Rows, true
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
		if of.in.ChampionMetrics, err = m.figures(of.rules.decision), scoreErr; err == nil {
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

// compareInputs looks which inputs of a challenger Production lacks, or has with another type. Where Production has no bundle to ask, nothing is
// known, and the comparison of their scores says so.
func (s *Service) compareInputs(ctx context.Context, challenger *model.Bundle, of *basis) error {
	if of.in.Champion == 0 || of.rules.signature == SignatureIgnore {
		return nil
	}
	b, err := s.bundle(ctx, of.champion.Bundle.Digest, of.champion.At)
	if err != nil {
		if bus.IsPermanent(err) {
			return nil
		}
		return err
	}
	of.in.Inputs = newInputs(challenger.Manifest.Schema, b.Manifest.Schema)
	of.in.InputsCompared = true
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
	done, err := s.desk.turns.take(ctx, v.Model)
	if err != nil {
		return err
	}
	defer done()
	var due, overtaken bool
	var expected uint64
	var previous int
	s.ledger.view(func(c *Catalog, _ *Fleet) {
		now, _ := c.Version(v.Model, v.Version)
		due, overtaken = c.due(now), c.Overtaken(now)
		expected = c.Expected(events.TypeModelPromoted, v.Model)
		if p, ok := c.Promotion(v.Model); ok {
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
	if err := s.write(ctx, v.Model, versionKey(v.Version, expected), payload, expected); err != nil {
		return fmt.Errorf("promote version %d: %w", v.Version, err)
	}
	var now Version
	s.ledger.view(func(c *Catalog, _ *Fleet) {
		now, _ = c.Version(v.Model, v.Version)
		overtaken = c.Overtaken(now)
	})
	if len(now.Promoted) > 0 {
		s.metrics.promotions.WithLabelValues(v.Model, string(events.PromotedByGate)).Inc()
		s.log.Info("version promoted", "model", v.Model, "version", v.Version, "run_id", v.RunID, "reason", v.Gate.Reason)
	}
	if overtaken {
		s.overtaken(now)
	}
	return nil
}

func (s *Service) overtaken(v Version) {
	s.metrics.alarms.WithLabelValues(alarmOvertaken).Inc()
	s.log.Warn("version overtaken by another promotion", "model", v.Model, "version", v.Version, "run_id", v.RunID)
}
