package main

import (
	"bytes"
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
)

// Names of a tuning run's artifacts.
const (
	tuneArtifact = "tune.json"
	tunedSpec    = "tuned.yaml"
)

// publish makes the outcome a run of the model: parameters, figures and artifacts that the registry's pages show like any other's. A run without
// a bundle gets no version, so there is nothing to gate or promote, and the trainer knows its own runs by their ids.
func (c tuneCmd) publish(r *run, t *tuneResult, began time.Time) (runID string, err error) {
	settings, err := c.settings(r, "cli")
	if err != nil {
		return "", err
	}
	settings.Artifacts = c.Artifacts
	b, err := c.connect(r, "cli")
	if err != nil {
		return "", err
	}
	defer func() { err = closing(b, err) }()
	store, err := settings.Store(r.ctx, b)
	if err != nil {
		return "", err
	}
	event := &events.RunCompleted{
		Experiment: t.Model + "-tuning", Params: map[string]string{}, Metrics: map[string]float64{}, DatasetFingerprint: t.Dataset,
		SpecDigest: t.SpecDigest, TargetStage: events.StageStaging, Causes: []events.Cause{},
		StartedAt: began.UTC(), DurationMS: time.Since(began).Milliseconds(),
	}
	for name, v := range t.Chosen {
		event.Params[name] = fmt.Sprint(v)
	}
	event.Params["metric"], event.Params["trials"], event.Params["verdict"] = t.Metric, fmt.Sprint(t.Trials), t.Verdict
	for name, x := range t.Compared {
		event.Metrics[name] = x.Chosen
		event.Metrics["present_"+name] = x.Present
		event.Metrics["difference_"+name] = x.Difference
		if x.Low != nil && x.High != nil {
			event.Metrics["difference_"+name+"_low"], event.Metrics["difference_"+name+"_high"] = *x.Low, *x.High
		}
	}
	text, err := t.spec.Marshal()
	if err != nil {
		return "", err
	}
	var outcome bytes.Buffer
	enc := json.NewEncoder(&outcome)
	enc.SetIndent("", "  ")
	if err := enc.Encode(t); err != nil {
		return "", err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{tuneArtifact, outcome.Bytes()}, {tunedSpec, text}} {
		ref, err := artifact.PutBytes(r.ctx, store, f.data)
		if err != nil {
			return "", fmt.Errorf("put artifact %s: %w", f.name, err)
		}
		event.Artifacts = append(event.Artifacts, events.Artifact{Name: f.name, Digest: string(ref.Digest), SizeBytes: ref.Size})
	}
	// The same outcome is the same run, however often it is published.
	sum := sha256.Sum256(outcome.Bytes())
	event.RunID = hex.EncodeToString(sum[:16])
	if err := appendRun(r.ctx, b, t.Model, event); err != nil {
		return "", err
	}
	return event.RunID, nil
}

// appendRun appends a completed run after whatever run ended last.
func appendRun(ctx context.Context, b *bus.Bus, model string, p *events.RunCompleted) error {
	for {
		last, ok, err := b.Last(ctx, p.EventType(), model)
		if err != nil {
			return err
		}
		if ok && last.Err == nil {
			if before, is := last.Event.Payload.(*events.RunCompleted); is && before.RunID == p.RunID {
				return nil
			}
		}
		_, err = b.Append(ctx, events.New(model, b.Source(), p.RunID, time.Now(), p), last.Sequence)
		if !errors.Is(err, bus.ErrConflict) {
			return err
		}
	}
}
