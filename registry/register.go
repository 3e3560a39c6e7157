package registry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/model/imported"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// NewVersion says what to register. Model and Source are required.
type NewVersion struct {
	Model string
	// Source is where the files are: mlflow-artifacts:, runs:/ and models:/ name files of this server; anything else is kept as it is, and can't be served.
	Source         string
	RunID, RunLink string
	ModelID        string
	Description    string
	Tags           []events.Pair
	Actor          string
}

// Bounds of a version.
const (
	// maxVersionFiles bounds the files of a version: all of them stand in its event.
	maxVersionFiles = 2000
	// relisted is how often the files below a source may change while they are registered.
	relisted = 5
	// gitCommitTag is the tag in which clients log the commit that a run was made from.
	gitCommitTag = "mlflow.source.git.commit"
	// thresholdParam is the parameter in which a run may log from which probability on a row counts as positive.
	thresholdParam = "threshold"
)

// CreateVersion registers what lies below a source as the next version of a model, with path, SHA-256 and size of every file: from then on
// nothing below it can be changed. Where the files hold a model that can be served, its bundle is made and stored; else the version says why not.
// The number is the greatest ever plus one.
//
// In a model with gates the run becomes a run.completed first, and the version is judged as soon as it is registered; on a holdout.csv among its files, or
// in the root of its run's artifacts, the registry scores it. A call that died between the two is finished by the next one: the run is
// not completed twice. The same call made twice registers two versions, as in MLflow.
func (s *Service) CreateVersion(ctx context.Context, n NewVersion) (Version, error) {
	if err := checkNewVersion(n); err != nil {
		return Version{}, err
	}
	m, err := s.Model(ctx, n.Model)
	if err != nil {
		return Version{}, err
	}
	if err := s.book.Fresh(ctx); err != nil {
		return Version{}, faultOf(err)
	}
	o, err := s.resolve(ctx, n)
	if err != nil {
		return Version{}, err
	}
	if o.inside {
		defer s.held.hold(o.folder)()
	}
	p, err := s.describe(ctx, m, n, o)
	if err != nil {
		return Version{}, err
	}
	if m.Gated && o.run != nil {
		if err := s.complete(ctx, m, n, o, p); err != nil {
			return Version{}, err
		}
	}
	return s.registerVersion(ctx, n.Model, p)
}

func checkNewVersion(n NewVersion) error {
	if err := checkTags(n.Tags); err != nil {
		return err
	}
	for field, text := range map[string]string{"run_link": n.RunLink, "model_id": n.ModelID} {
		if len(text) > maxSourceBytes {
			return fault.New(fault.Invalid, "%s has %d bytes, at most %d are allowed", field, len(text), maxSourceBytes)
		}
	}
	return checkDescription(n.Description)
}

// describe makes the registration: all but its number. The files are listed again once everything is made of them: this registry holds them still,
// but another may not know yet.
func (s *Service) describe(ctx context.Context, m Model, n NewVersion, o origin) (*events.ModelRegistered, error) {
	for range relisted {
		files, err := s.files(ctx, m, o)
		if err != nil {
			return nil, err
		}
		p := &events.ModelRegistered{
			RunID: o.runID, Source: o.uri, Artifacts: files, RunLink: n.RunLink, ModelID: o.modelID, Description: n.Description, Tags: n.Tags,
			Actor: n.Actor,
		}
		if m.Gated {
			p.TargetStage = events.StageProduction
		}
		if o.run != nil {
			p.DatasetFingerprint = fingerprint(o.run.Inputs)
			p.GitCommit = valueOf(o.run.Tags, gitCommitTag)
		}
		if err := s.makeBundle(ctx, m, o, p); err != nil {
			return nil, err
		}
		again, err := s.files(ctx, m, o)
		if err != nil {
			return nil, err
		}
		if slices.Equal(files, again) {
			return p, nil
		}
	}
	return nil, fault.New(fault.Conflict, "the files below %s change while they are registered", quoted(o.uri))
}

// files lists what is below the source, named relative to it, and the holdout of its run where it has none of its own.
func (s *Service) files(ctx context.Context, m Model, o origin) ([]events.Artifact, error) {
	out := []events.Artifact{}
	if !o.inside {
		return out, nil
	}
	files, err := s.book.Under(ctx, o.folder)
	if err != nil {
		return nil, faultOf(err)
	}
	if len(files) > maxVersionFiles {
		return nil, fault.New(fault.Invalid, "%d files below %s, at most %d can be a version", len(files), quoted(o.uri), maxVersionFiles)
	}
	for _, f := range files {
		name := strings.TrimPrefix(strings.TrimPrefix(f.Path, o.folder), "/")
		if name == "" {
			name = f.Path[strings.LastIndexByte(f.Path, '/')+1:] // the source is a file
		}
		out = append(out, artifactOf(name, f))
	}
	if _, ok := find(out, events.ArtifactHoldout); ok || !m.Gated || o.run == nil {
		return out, nil
	}
	root, ok := sourceFolder(o.run.ArtifactURI)
	if !ok {
		return out, nil
	}
	f, err := s.book.File(ctx, root+"/"+events.ArtifactHoldout)
	switch {
	case err == nil:
		out = append(out, artifactOf(events.ArtifactHoldout, f))
	case fault.CodeOf(err) != fault.NotFound:
		return nil, err
	}
	return out, nil
}

func artifactOf(name string, f tracking.File) events.Artifact {
	return events.Artifact{Name: name, Digest: string(f.Digest), SizeBytes: f.Size}
}

// makeBundle makes and stores the bundle that instances load, or says why there is none.
func (s *Service) makeBundle(ctx context.Context, m Model, o origin, p *events.ModelRegistered) error {
	switch {
	case !o.inside:
		p.Unservable = outsideStore
		return nil
	case len(p.Artifacts) == 0:
		p.Unservable = "there are no files at the source"
		return nil
	}
	r, _ := s.rulesOf(m.Key)
	src := imported.Source{
		Name: m.Key, Target: r.target, Positive: r.positive, Files: func(path string) ([]byte, error) { return s.readFile(ctx, p.Artifacts, path) },
	}
	for _, a := range p.Artifacts {
		src.List = append(src.List, a.Name)
	}
	if o.run != nil {
		src.Threshold = valueOf(o.run.Params, thresholdParam)
	}
	b, info, err := imported.FromFiles(src)
	var unservable *imported.Unservable
	switch {
	case errors.As(err, &unservable):
		p.Unservable, p.Format = unservable.Error(), ""
		return nil
	case err != nil:
		return faultOf(fmt.Errorf("read the model: %w", err))
	}
	data, err := b.Encode()
	if err != nil {
		return fault.New(fault.Internal, "encode the bundle: %w", err)
	}
	if int64(len(data)) > s.cfg.MaxBundle {
		p.Unservable = fmt.Sprintf("its bundle has %d bytes, at most %d can be served", len(data), s.cfg.MaxBundle)
		return nil
	}
	ref, err := artifact.PutBytes(ctx, s.cfg.Store, data)
	if err != nil {
		return fault.New(fault.Unavailable, "store the bundle: %w", err)
	}
	p.Bundle = events.Artifact{Name: events.ArtifactBundle, Digest: string(ref.Digest), SizeBytes: ref.Size}
	p.Format, p.SpecDigest = info.Format, b.Manifest.SpecDigest
	return nil
}

// readFile returns the content of a file of the manifest. One that is too large to be part of a bundle makes the version unservable; one that is
// missing although it was stored is the store's fault.
func (s *Service) readFile(ctx context.Context, files []events.Artifact, name string) ([]byte, error) {
	a, ok := find(files, name)
	if !ok {
		return nil, fmt.Errorf("file %s is not listed", name)
	}
	data, err := artifact.ReadAll(ctx, s.cfg.Store, artifact.Digest(a.Digest), s.cfg.MaxBundle)
	if errors.Is(err, artifact.ErrTooLarge) {
		return nil, &imported.Unservable{File: name, Reason: fmt.Sprintf("has %d bytes, at most %d can be served", a.SizeBytes, s.cfg.MaxBundle)}
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "read %s: %w", name, err)
	}
	return data, nil
}

// complete says that a client's run made a model, once for each run and model.
func (s *Service) complete(ctx context.Context, m Model, n NewVersion, o origin, p *events.ModelRegistered) error {
	e, err := s.book.Experiment(ctx, o.run.ExperimentID)
	if err != nil {
		return faultOf(err)
	}
	by := n.Actor
	if by == "" {
		by = "a client"
	}
	done := &events.RunCompleted{
		RunID: o.run.ID, Experiment: e.Name, Params: map[string]string{}, Metrics: map[string]float64{},
		Artifacts:          slices.DeleteFunc(slices.Clone(p.Artifacts), func(a events.Artifact) bool { return a.Name == events.ArtifactBundle }),
		DatasetFingerprint: p.DatasetFingerprint, TargetStage: p.TargetStage,
		Causes:    []events.Cause{{Kind: events.CauseRequested, Detail: "registered through the MLflow API by " + quoted(by)}},
		StartedAt: time.UnixMilli(o.run.StartTime).UTC(), DurationMS: max(0, o.run.EndTime-o.run.StartTime),
	}
	for _, param := range o.run.Params {
		done.Params[param.Key] = param.Value
	}
	for _, metric := range o.run.Metrics {
		if v := float64(metric.Value); !math.IsNaN(v) && !math.IsInf(v, 0) {
			done.Metrics[metric.Key] = v
		}
	}
	_, _, err = s.desk.write(ctx, func(c *Catalog, _ *Fleet) (draft, error) {
		if run, ok := c.RunOf(m.Key, o.run.ID); ok && run.State != RunOpen {
			return draft{}, nil
		}
		return draftOf(c, m.Key, done), nil
	})
	return err
}

// registerVersion gives the registration its number and writes it.
func (s *Service) registerVersion(ctx context.Context, name string, p *events.ModelRegistered) (Version, error) {
	var key string
	_, _, err := s.desk.write(ctx, func(c *Catalog, _ *Fleet) (draft, error) {
		m, err := knownModel(c, name)
		if err != nil {
			return draft{}, err
		}
		if m.Gated != (p.TargetStage != "") {
			return draft{}, fault.New(fault.Conflict, "the gates of model %s were changed meanwhile", quoted(name))
		}
		key, p.Version = m.Key, c.NextVersion(m.Key)
		return draftOf(c, m.Key, p), nil
	})
	if err != nil {
		return Version{}, err
	}
	var v Version
	s.View(func(c *Catalog, _ *Fleet) { v, _ = c.Version(key, p.Version) })
	return v, nil
}

// fingerprint identifies the datasets that a run read: name and digest of each.
func fingerprint(inputs []events.DatasetInput) string {
	var parts []string
	for _, in := range inputs {
		parts = append(parts, in.Name+":"+in.Digest)
	}
	return strings.Join(parts, " ")
}

// valueOf returns the value of a key, empty for none.
func valueOf(pairs []events.Pair, key string) string {
	for _, p := range pairs {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}
