package shadow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/compare"
	"telco-churn-mlops/internal/artifact"
)

const (
	// lateTries is how often a missing object counts as late: it was stored before the rollout was written, but not on every replica at that moment.
	lateTries  = 4
	retryFirst = 100 * time.Millisecond
)

func openBundle(data []byte) (scorer, error) {
	b, err := compare.Open(data)
	if err != nil {
		return nil, err
	}
	return compare.NewScorer(b), nil
}

// candidate fetches and opens the bundle. It tries again while the store is away, until ctx ends; any other error is for good.
func (w *Worker) candidate(ctx context.Context, r *running) (scorer, error) {
	digest, err := artifact.ParseDigest(r.rollout.Bundle.Digest)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	wait := retryFirst
	for n := 1; ; n++ {
		data, err := artifact.ReadAll(ctx, w.cfg.Store, digest, w.cfg.MaxBundle)
		if err == nil {
			return w.open(data)
		}
		late := errors.Is(err, artifact.ErrNotFound) && n < lateTries
		if ctx.Err() != nil || !late && !artifact.Transient(err) {
			return nil, fmt.Errorf("fetch bundle: %w", err)
		}
		w.log.Warn("candidate cannot be fetched, trying again", "model", r.model, "version", r.rollout.Version, "digest", string(digest), "err", err)
		if !w.pause(ctx, wait) {
			return nil, context.Cause(ctx)
		}
		wait = min(2*wait, w.cfg.Retry)
	}
}

// conclude writes the final counts of a shadow whose candidate cannot be used: those of the last checkpoint. It returns errFinal if they are there.
func (w *Worker) conclude(ctx context.Context, r *running, reason string) error {
	s := &session{w: w, r: r}
	if err := s.restore(ctx); err != nil {
		return err
	}
	e := s.counts.checkpoint()
	e.Final, e.Reason = true, reason
	_, err := w.append(ctx, r.model, e, s.expected)
	return err
}

// finish writes the final counts of a shadow that ended while nobody or another worker looked: those of the last checkpoint. last is what
// followed the shadow, or the model's last rollout, nil if neither is known.
func (w *Worker) finish(model string, last *events.RolloutChanged) error {
	if last == nil {
		return nil
	}
	for {
		e, expected, err := w.checkpoint(w.ctx, model)
		if err != nil || e == nil || e.Final || e.Revision > last.Revision {
			return err
		}
		reason := "another promotion became Production"
		switch {
		case last.State != events.RolloutRunning:
			reason = fmt.Sprintf("%s: %s", last.State, last.Cause)
		case last.Revision > e.Revision:
			reason = replaced(last)
		}
		if _, err = w.close(w.ctx, model, e, expected, reason); !errors.Is(err, errOvertaken) {
			return err
		}
	}
}

func replaced(by *events.RolloutChanged) string {
	return fmt.Sprintf("rollout %d took its place", by.Revision)
}

// close writes a checkpoint once more, as final, after the last message on its subject.
func (w *Worker) close(ctx context.Context, model string, e *events.ShadowEvaluated, last uint64, reason string) (uint64, error) {
	final := *e
	final.Final, final.Reason = true, reason
	return w.append(ctx, model, &final, last)
}
