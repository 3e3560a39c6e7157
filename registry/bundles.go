package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/spec"
)

// bundlesKept is how many verified bundles stay in memory: challenger, Production, and the two before.
const bundlesKept = 4

// attemptTime bounds one look into the store, so that a connection that hangs is given up and made anew.
const attemptTime = 5 * time.Minute

// believedAfter is how often an object must have been missed or found damaged, beside Config.Grace, before that is believed.
const believedAfter = 3

// bundle returns the verified bundle with a digest. since is when it was first named. A permanent error ([bus.IsPermanent]) says that it can
// never be used; any other that the store is away or that the object may still appear.
func (s *Service) bundle(ctx context.Context, digest string, since time.Time) (*model.Bundle, error) {
	for _, b := range s.bundles {
		if b.digest == digest {
			return b.bundle, nil
		}
	}
	b, err := s.fetch(ctx, digest, since)
	if err != nil {
		return nil, err
	}
	s.bundles = append(s.bundles, verified{digest, b})
	if len(s.bundles) > bundlesKept {
		s.bundles = s.bundles[1:]
	}
	return b, nil
}

// verified is a bundle that scored its golden rows as recorded.
type verified struct {
	digest string
	bundle *model.Bundle
}

// fetch reads, decodes and verifies a bundle, whatever is in memory.
func (s *Service) fetch(ctx context.Context, digest string, since time.Time) (*model.Bundle, error) {
	d, err := artifact.ParseDigest(digest)
	if err != nil {
		return nil, bus.Permanent(fmt.Errorf("fetch bundle: %w", err))
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	data, err := artifact.ReadAll(ctx, s.cfg.Store, d, s.cfg.MaxBundle)
	if err != nil {
		return nil, s.believe(fmt.Errorf("fetch bundle: %w", err), digest, since)
	}
	delete(s.missed, digest)
	b, err := model.Decode(data)
	if err != nil {
		return nil, bus.Permanent(fmt.Errorf("decode bundle %s: %w", digest, err))
	}
	if err := b.Verify(); err != nil {
		return nil, bus.Permanent(fmt.Errorf("verify bundle %s: %w", digest, err))
	}
	return b, nil
}

// believe makes an error of the store permanent once it is an answer, and no passing state of a replica that lags.
func (s *Service) believe(err error, digest string, since time.Time) error {
	switch {
	case artifact.Transient(err):
		return err
	case !errors.Is(err, artifact.ErrNotFound) && !errors.Is(err, artifact.ErrCorrupt):
		return bus.Permanent(err)
	}
	s.missed[digest]++
	if s.missed[digest] >= believedAfter && s.cfg.Now().Sub(since) >= s.cfg.Grace {
		delete(s.missed, digest)
		return bus.Permanent(err)
	}
	return bus.RetryAfter(err, min(s.cfg.Grace/believedAfter, time.Second))
}

// refusal returns why the bundle is not the one that the run speaks of, or nil.
func refusal(name string, run *events.RunCompleted, b *model.Bundle) error {
	m := b.Manifest
	switch {
	case m.Model != name:
		return fmt.Errorf("the bundle is of model %s", m.Model)
	case run.SpecDigest != "" && m.SpecDigest != run.SpecDigest:
		return fmt.Errorf("the bundle follows spec %s, the run says %s", m.SpecDigest, run.SpecDigest)
	}
	return nil
}

// find returns the artifact with a name.
func find(artifacts []events.Artifact, name string) (events.Artifact, bool) {
	for _, a := range artifacts {
		if a.Name == name {
			return a, true
		}
	}
	return events.Artifact{}, false
}

// scored is what a bundle makes of a holdout.
type scored struct {
	eval.Metrics
	score, label []float64 // in the file's order
}

// figures returns the metrics by name, and what the threshold's rule counts per row.
func (s scored) figures(d *spec.Decision) map[string]float64 {
	out := s.Map()
	counts := spec.Outcomes{TP: float64(s.TP), FP: float64(s.FP), TN: float64(s.TN), FN: float64(s.FN)}
	if name, v := d.PerRow(counts); name != "" {
		out[name] = v
	}
	return out
}

// score evaluates a bundle at its own threshold on a holdout. A permanent error says that it can't be scored on these rows.
func (s *Service) score(ctx context.Context, b *model.Bundle, holdout events.Artifact, since time.Time) (scored, error) {
	d, err := artifact.ParseDigest(holdout.Digest)
	if err != nil {
		return scored{}, bus.Permanent(err)
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	rc, err := s.cfg.Store.Open(ctx, d)
	if err != nil {
		return scored{}, s.believe(fmt.Errorf("fetch holdout: %w", err), holdout.Digest, since)
	}
	defer rc.Close() // the reader has told everything by then
	source := &source{r: rc, left: s.cfg.MaxArtifact}
	scores, labels, err := b.ScoreHoldout(source)
	if source.err != nil {
		return scored{}, s.believe(fmt.Errorf("read holdout: %w", source.err), holdout.Digest, since)
	}
	if err == nil && !source.ended {
		// The verdict on the bytes comes with the end; what the CSV reader left is at most a few empty lines.
		if _, err := io.Copy(io.Discard, source); err != nil {
			return scored{}, s.believe(fmt.Errorf("read holdout: %w", err), holdout.Digest, since)
		}
	}
	if err != nil {
		return scored{}, bus.Permanent(err)
	}
	m, err := eval.Evaluate(scores, labels, nil, b.Manifest.Threshold)
	if err != nil {
		return scored{}, bus.Permanent(fmt.Errorf("evaluate holdout: %w", err))
	}
	return scored{m, scores, labels}, nil
}

// source remembers what reading gave, to tell a fault of the store from a fault of the content.
type source struct {
	r     io.Reader
	left  int64 // bytes that may still come
	err   error
	ended bool
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.left -= int64(n)
	switch {
	case s.left < 0:
		s.err = artifact.ErrTooLarge
		return 0, s.err
	case errors.Is(err, io.EOF):
		s.ended = true
	case err != nil:
		s.err = err
	}
	return n, err
}
