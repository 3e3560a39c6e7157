package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	public := *t
	public.Written = "" // a path on this machine is nobody else's business
	if err := enc.Encode(public); err != nil {
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
	if event.RunID, err = t.identity(); err != nil {
		return "", err
	}
	if err := appendRun(r.ctx, b, t.Model, event); err != nil {
		return "", err
	}
	return event.RunID, nil
}

// identity is the run id of an outcome: a digest of what was found, whatever time it took and wherever the spec was written. So the same outcome
// is the same run, however often it is published.
func (t *tuneResult) identity() (string, error) {
	found := *t
	found.WorkSeconds, found.Written, found.RunID = 0, "", ""
	found.Ranked, found.Outer = slices.Clone(t.Ranked), slices.Clone(t.Outer)
	for i := range found.Ranked {
		found.Ranked[i].Seconds = 0
	}
	for i := range found.Outer {
		found.Outer[i].Present.Seconds, found.Outer[i].Chosen.Seconds = 0, 0
	}
	text, err := json.Marshal(found)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

// appendRun appends a completed run after whatever run ended last, unless it is among the model's runs already.
func appendRun(ctx context.Context, b *bus.Bus, model string, p *events.RunCompleted) error {
	subject, err := events.SubjectOf(p.EventType(), model)
	if err != nil {
		return err
	}
	for {
		var last uint64
		there := false
		err := b.Read(ctx, bus.ReadConfig{Stream: events.Lifecycle, Filters: []string{subject}}, func(m bus.Message) error {
			last = m.Sequence
			if m.Err == nil {
				before, is := m.Event.Payload.(*events.RunCompleted)
				there = there || is && before.RunID == p.RunID
			}
			return nil
		})
		if err != nil || there {
			return err
		}
		_, err = b.Append(ctx, events.New(model, b.Source(), p.RunID, time.Now(), p), last)
		if !errors.Is(err, bus.ErrConflict) {
			return err
		}
	}
}
