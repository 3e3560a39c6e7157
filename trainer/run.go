package trainer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model/gbdt"
)

const leaseBucket = "trainer"

// act takes the lease, decides once more on what is known then, and starts or finishes a run.
func (s *Service) act(ctx context.Context) error {
	key, err := events.Token(s.cfg.Spec.Name)
	if err != nil {
		return err
	}
	lease, err := s.cfg.Bus.Lease(ctx, bus.LeaseConfig{Bucket: leaseBucket, Key: key, Holder: s.cfg.Instance,
		TTL: s.cfg.LeaseTTL, Renew: s.cfg.LeaseTTL * 3 / 10})
	if err != nil {
		return fmt.Errorf("lease of %s: %w", key, err)
	}
	defer func() {
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := lease.Release(release); err != nil {
			s.log.Warn("lease not released", "err", err)
		}
		s.setStep("", "", 0)
	}()

	// held ends with the lease or with the service, whichever is first
	held, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(lease.Context(), func() { cancel(context.Cause(lease.Context())) })()
	open := s.fold.state().Open
	if open == nil {
		d := s.decide()
		if err := s.skip(ctx, d.Skips); err != nil || d.Action != Start {
			return err
		}
		if open, err = s.start(held, d); err != nil || open == nil {
			return s.lost(ctx, lease, err)
		}
	}
	return s.lost(ctx, lease, s.finish(held, open))
}

// lost turns an error that comes from a lost lease into none: another trainer goes on.
func (s *Service) lost(ctx context.Context, lease *bus.Lease, err error) error {
	if err != nil && ctx.Err() == nil && lease.Context().Err() != nil {
		s.log.Warn("lease lost, another trainer may finish the run", "err", err)
		return nil
	}
	return err
}

// start publishes run.started. It returns nil without an error if another trainer was first.
func (s *Service) start(ctx context.Context, d Decision) (*OpenRun, error) {
	fingerprint, err := s.source.fingerprint()
	if err != nil { // the run fails in its own step, with a report
		s.log.Warn("dataset can't be read", "err", err)
	}
	started := events.RunStarted{
		CausesThrough: causesThrough(d), DataCutoff: s.fold.at(events.Training), DriftSince: d.DriftSince,
		DatasetFingerprint: fingerprint, SpecDigest: s.digest, TargetStage: d.TargetStage,
	}
	for _, c := range d.Causes {
		started.Causes = append(started.Causes, c.Cause)
	}
	started.RunID = runID(s.cfg.Spec.Name, d.Expected, started.CausesThrough)
	ev := events.New(s.cfg.Spec.Name, s.cfg.Bus.Source(), started.RunID, s.cfg.Now(), &started)
	seq, err := s.cfg.Bus.Append(ctx, ev, d.Expected)
	if errors.Is(err, bus.ErrConflict) {
		s.log.Info("another trainer started a run first", "run_id", started.RunID)
		return nil, s.waitForStart(ctx, d.Expected)
	}
	if err != nil {
		return nil, fmt.Errorf("start run %s: %w", started.RunID, err)
	}
	s.log.Info("run started", "run_id", started.RunID, "why", d.Why, "causes", len(d.Causes))
	if err := s.await(ctx, events.Lifecycle, seq); err != nil {
		return nil, err
	}
	return s.fold.state().Open, nil
}

// waitForStart blocks until the fold has a later run.started than the expected one.
func (s *Service) waitForStart(ctx context.Context, expected uint64) error {
	for {
		changed := s.fold.wait()
		if s.fold.startedSequence() > expected {
			return nil
		}
		if err := s.sleep(ctx, changed, time.Time{}); err != nil {
			return err
		}
	}
}

// causesThrough returns the mark of a run: the newest cause it takes, and never less than the mark before.
func causesThrough(d Decision) uint64 {
	mark := d.Mark
	for _, c := range d.Causes {
		mark = max(mark, c.Sequence)
	}
	for _, k := range d.Skips {
		mark = max(mark, k.Cause.Sequence)
	}
	return mark
}

// runID returns 32 hexadecimal digits that the same start always gets.
func runID(model string, previous, through uint64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", model, previous, through))
	return hex.EncodeToString(sum[:16])
}

// finish executes a run until it has an end: what fails because the bus or the store is away is tried again with back-off, what fails because of
// the data ends as run.failed.
func (s *Service) finish(ctx context.Context, open *OpenRun) error {
	for attempt := 0; ; attempt++ {
		err := s.attempt(ctx, open)
		var step *StepError
		if errors.As(err, &step) {
			err = s.fail(ctx, open, step)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		s.metrics.retries.Inc()
		wait := min(time.Second<<min(attempt, 5), 30*time.Second)
		s.log.Error("run interrupted, will be tried again", "run_id", open.RunID, "err", err, "wait", wait)
		if err := s.sleep(ctx, nil, s.cfg.Now().Add(wait)); err != nil {
			return err
		}
	}
}

func (s *Service) attempt(ctx context.Context, open *OpenRun) error {
	if at, err := s.endedAlready(ctx, open); err != nil || at > 0 {
		return err
	}
	in, report, err := s.gather(ctx, open)
	if err != nil {
		return err
	}
	in.OnTree = func(p gbdt.Progress) error {
		s.setStep(open.RunID, "train", p.Tree)
		return context.Cause(ctx)
	}
	s.setStep(open.RunID, "train", 0)
	began := s.cfg.Now()
	res, err := Train(ctx, in)
	s.metrics.step("train", began, s.cfg.Now())
	if err != nil {
		return err
	}
	s.setStep(open.RunID, "upload", 0)
	began = s.cfg.Now()
	artifacts, err := s.upload(ctx, res)
	s.metrics.step("upload", began, s.cfg.Now())
	if err != nil {
		return err
	}
	return s.complete(ctx, open, &events.RunCompleted{
		RunID: open.RunID, Experiment: s.cfg.Spec.Experiment, Params: res.Params, Metrics: res.Metrics, Artifacts: artifacts,
		DatasetFingerprint: in.DatasetFingerprint, SpecDigest: s.digest, TargetStage: open.TargetStage, Causes: open.Causes,
		StartedAt: open.At.UTC(), DurationMS: s.cfg.Now().Sub(open.At).Milliseconds(), Quarantined: report.Quarantined,
	})
}

// upload stores every file of the bundle under its own name, the bundle as a whole, the holdout and the evidence.
func (s *Service) upload(ctx context.Context, res *Result) ([]events.Artifact, error) {
	whole, err := res.Bundle.Encode()
	if err != nil {
		return nil, &StepError{"bundle", err}
	}
	files, err := res.Bundle.Files()
	if err != nil {
		return nil, &StepError{"bundle", err}
	}
	var out []events.Artifact
	put := func(name string, data []byte) error {
		ref, err := artifact.PutBytes(ctx, s.cfg.Store, data)
		if err != nil {
			return fmt.Errorf("put artifact %s: %w", name, err)
		}
		out = append(out, events.Artifact{Name: name, Digest: string(ref.Digest), SizeBytes: ref.Size})
		return nil
	}
	if err := put(events.ArtifactBundle, whole); err != nil {
		return nil, err
	}
	if err := put(events.ArtifactHoldout, res.Holdout); err != nil {
		return nil, err
	}
	for _, f := range append(files, res.Evidence...) {
		if err := put(f.Name, f.Data); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// endedAlready returns the sequence of the run's end, 0 if it has none, and waits until the fold knows it.
func (s *Service) endedAlready(ctx context.Context, open *OpenRun) (uint64, error) {
	r := bus.ReadConfig{Stream: events.Lifecycle, From: open.Sequence}
	for _, t := range []events.Type{events.TypeRunCompleted, events.TypeRunFailed} {
		subject, err := events.SubjectOf(t, s.cfg.Spec.Name)
		if err != nil {
			return 0, err
		}
		r.Filters = append(r.Filters, subject)
	}
	var at uint64
	err := s.cfg.Bus.Read(ctx, r, func(m bus.Message) error {
		switch p := m.Event.Payload.(type) {
		case *events.RunCompleted:
			if p.RunID == open.RunID {
				at = m.Sequence
			}
		case *events.RunFailed:
			if p.RunID == open.RunID {
				at = m.Sequence
			}
		}
		return nil
	})
	if err != nil || at == 0 {
		return 0, err
	}
	return at, s.await(ctx, events.Lifecycle, at)
}

// complete publishes run.completed once. Another trainer may have finished the same run: if it made other bytes, ours are dead-lettered.
func (s *Service) complete(ctx context.Context, open *OpenRun, p *events.RunCompleted) error {
	seq, ours, err := s.end(ctx, open, p)
	if err != nil {
		return err
	}
	if err := s.checkStored(ctx, seq, p); err != nil || !ours {
		return err
	}
	s.metrics.runs.WithLabelValues("completed").Inc()
	s.metrics.lastSuccess.Set(float64(s.cfg.Now().Unix()))
	s.log.Info("run completed", "run_id", p.RunID, "duration_ms", p.DurationMS, "f1_churn", p.Metrics["f1_churn"], "roc_auc", p.Metrics["roc_auc"])
	return s.await(ctx, events.Lifecycle, seq)
}

// end appends the event that ends a run, unless the run has an end: then it returns the sequence of that one, and false.
func (s *Service) end(ctx context.Context, open *OpenRun, p events.Payload) (seq uint64, ours bool, err error) {
	for {
		if at, err := s.endedAlready(ctx, open); err != nil || at > 0 {
			return at, false, err
		}
		last, _, err := s.cfg.Bus.Last(ctx, p.EventType(), s.cfg.Spec.Name)
		if err != nil {
			return 0, false, err
		}
		seq, err := s.cfg.Bus.Append(ctx, events.New(s.cfg.Spec.Name, s.cfg.Bus.Source(), open.RunID, s.cfg.Now(), p), last.Sequence)
		if errors.Is(err, bus.ErrConflict) {
			continue
		}
		if err != nil {
			return 0, false, fmt.Errorf("end run %s: %w", open.RunID, err)
		}
		return seq, true, nil
	}
}

// checkStored compares what the stream holds under our event id with what we made: the same run finished twice must give the same bytes.
func (s *Service) checkStored(ctx context.Context, seq uint64, p *events.RunCompleted) error {
	m, ok, err := s.cfg.Bus.Get(ctx, events.Lifecycle, seq)
	if err != nil || !ok {
		return err
	}
	stored, ok := m.Event.Payload.(*events.RunCompleted)
	if !ok || bundleDigest(stored.Artifacts) == bundleDigest(p.Artifacts) {
		return nil
	}
	reason := fmt.Sprintf("run %s was completed twice with different bundles: %s is stored, %s is this one",
		p.RunID, bundleDigest(stored.Artifacts), bundleDigest(p.Artifacts))
	s.log.Error("run completed twice with different bundles", "run_id", p.RunID)
	m.Data, err = json.Marshal(p)
	if err != nil {
		return err
	}
	return s.cfg.Bus.DeadLetter(ctx, m, "trainer", reason)
}

func bundleDigest(as []events.Artifact) string {
	for _, a := range as {
		if a.Name == events.ArtifactBundle {
			return a.Digest
		}
	}
	return ""
}

// fail publishes run.failed once.
func (s *Service) fail(ctx context.Context, open *OpenRun, step *StepError) error {
	p := &events.RunFailed{RunID: open.RunID, Step: step.Step, Reason: step.Err.Error(), Causes: open.Causes, StartedAt: open.At.UTC(),
		DurationMS: s.cfg.Now().Sub(open.At).Milliseconds(), DatasetFingerprint: open.DatasetFingerprint, SpecDigest: s.digest}
	var report *reportError
	if errors.As(step.Err, &report) {
		p.Report = report.json()
	}
	seq, ours, err := s.end(ctx, open, p)
	if err != nil || !ours {
		return err
	}
	s.metrics.runs.WithLabelValues("failed").Inc()
	s.log.Error("run failed", "run_id", p.RunID, "step", p.Step, "err", p.Reason)
	return s.await(ctx, events.Lifecycle, seq)
}
