package registry

import (
	"context"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
)

// Lineage is where a version comes from and where it went: from the data to every instance that loaded it.
type Lineage struct {
	Model   string `json:"model"`
	Version int    `json:"version"`
	// DatasetFingerprint identifies the data trained on, and Datasets are the inputs that a client logged.
	DatasetFingerprint string                `json:"dataset_fingerprint,omitempty"`
	Datasets           []events.DatasetInput `json:"datasets,omitempty"`
	GitCommit          string                `json:"git_commit,omitempty"`
	SpecDigest         string                `json:"spec_digest,omitempty"`
	// Causes are what made the run start, the oldest first.
	Causes []events.Cause `json:"causes,omitempty"`
	// RunID is the run that made it, and Experiment where that is shown; both are empty where the client named none.
	RunID      string `json:"run_id,omitempty"`
	Experiment string `json:"experiment,omitempty"`
	Source     string `json:"source,omitempty"`
	// RegisteredBy is who registered it, empty for the trainer's.
	RegisteredBy string          `json:"registered_by,omitempty"`
	RegisteredAt time.Time       `json:"registered_at"`
	Bundle       events.Artifact `json:"bundle,omitzero"`
	// Promotions are those that made it Production, the newest first.
	Promotions []Promotion `json:"promotions,omitempty"`
	// Instances are those that ever loaded its bundle, as far back as FLEET goes, by name.
	Instances []Load `json:"instances"`
}

// Lineage returns the lineage of a version.
func (s *Service) Lineage(ctx context.Context, name string, version int) (Lineage, error) {
	m, err := s.Model(ctx, name)
	if err != nil {
		return Lineage{}, err
	}
	var l Lineage
	s.View(func(c *Catalog, f *Fleet) {
		var v Version
		if v, err = known(c, m.Key, version); err == nil {
			l = lineageOf(c, f, v)
		}
	})
	if err != nil || l.RunID == "" {
		return l, err
	}
	run, err := s.book.RunByID(ctx, l.RunID)
	if code := fault.CodeOf(err); code == fault.NotFound || code == fault.Invalid {
		return l, nil // a client may name any run
	} else if err != nil {
		return Lineage{}, faultOf(err)
	}
	l.Datasets = run.Inputs
	if l.GitCommit == "" {
		l.GitCommit = valueOf(run.Tags, gitCommitTag)
	}
	if e, err := s.book.Experiment(ctx, run.ExperimentID); err == nil && l.Experiment == "" {
		l.Experiment = e.Name
	}
	return l, nil
}

// lineageOf is the lineage as far as LIFECYCLE and FLEET tell.
func lineageOf(c *Catalog, f *Fleet, v Version) Lineage {
	l := Lineage{
		Model: v.ModelName, Version: v.Version, DatasetFingerprint: v.DatasetFingerprint, GitCommit: v.GitCommit, SpecDigest: v.SpecDigest,
		RunID: v.RunID, Source: v.Source, RegisteredBy: v.User, RegisteredAt: v.At, Bundle: v.Bundle,
		Instances: f.LoadedBy(v.Model, v.Bundle.Digest),
	}
	if run, ok := c.RunOf(v.Model, v.RunID); ok && run.Completed != nil {
		l.Causes, l.Experiment = run.Completed.Causes, run.Completed.Experiment
	}
	for _, p := range c.History(v.Model) {
		if p.Version == v.Version && p.Demoted == 0 {
			l.Promotions = append(l.Promotions, p)
		}
	}
	return l
}
