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

// finish writes the final counts of a shadow that ended while nobody or another worker looked: those of the last checkpoint. last is the model's last
// rollout, nil if it is not known.
func (w *Worker) finish(model string, last *events.RolloutChanged) error {
	if last == nil {
		return nil
	}
	for {
		m, ok, err := w.cfg.Bus.Last(w.ctx, events.TypeShadowEvaluated, model)
		if err != nil || !ok {
			return err
		}
		e, is := m.Event.Payload.(*events.ShadowEvaluated)
		if !is || e.Final || e.Revision > last.Revision {
			return nil
		}
		final := *e
		final.Final, final.Reason = true, "another promotion became Production"
		switch {
		case last.State != events.RolloutRunning:
			final.Reason = fmt.Sprintf("%s: %s", last.State, last.Cause)
		case last.Revision > e.Revision:
			final.Reason = fmt.Sprintf("rollout %d took its place", last.Revision)
		}
		_, err = w.append(w.ctx, model, &final, m.Sequence)
		if !errors.Is(err, errOvertaken) {
			return err
		}
	}
}
