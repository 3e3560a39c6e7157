package tracking

import (
	"context"
	"maps"
	"slices"
	"strings"
	"unicode"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/filter"
)

// maxResults bounds a page of experiments or runs, defaultResults is its size where the client says none.
const (
	defaultResults = 1000
	maxResults     = 50000
)

// CreateExperiment creates an experiment under the next id. A name that another has, deleted ones and the trainer's too, is refused with fault.Exists.
func (b *Book) CreateExperiment(ctx context.Context, n NewExperiment) (Experiment, error) {
	if err := checkExperimentName(n.Name); err != nil {
		return Experiment{}, err
	}
	if err := checkLocation(n.ArtifactLocation); err != nil {
		return Experiment{}, err
	}
	if err := checkTags(n.Tags); err != nil {
		return Experiment{}, err
	}
	var id string
	err := b.write(ctx, events.TypeExperimentChanged, events.AllExperiments, func(s *state) (draft, error) {
		if err := s.nameFree(n.Name, ""); err != nil {
			return draft{}, err
		}
		id = s.nextExperiment()
		return draft{expected: s.lastChange, payload: &events.ExperimentChanged{ExperimentID: id, Created: true, Name: n.Name,
			ArtifactLocation: n.ArtifactLocation, Lifecycle: events.StageActive, Tags: n.Tags, Actor: n.Actor}}, nil
	})
	if err != nil {
		return Experiment{}, err
	}
	return b.experiment(ctx, id)
}

// checkLocation refuses a place for the files of runs under which the artifact proxy would take none.
func checkLocation(uri string) error {
	if err := checkLength("artifact location", uri, maxURI); err != nil {
		return err
	}
	if strings.ContainsFunc(uri, unicode.IsControl) {
		return invalid("artifact location %s has control characters", quote(uri))
	}
	path, ok := PathOf(uri)
	if !ok || path == "" {
		return nil
	}
	if err := checkPath(path); err != nil {
		return invalid("artifact location %s: %w", quote(uri), err)
	}
	if strings.ContainsAny(path, "%?#") {
		return invalid("artifact location %s must not hold %%, ? or #", quote(uri))
	}
	if id, owned := OwnerOf(path); owned {
		return invalid("artifact location %s is the place of the files of %s", quote(uri), quote(id))
	}
	return nil
}

func checkExperimentName(name string) error {
	if name == "" {
		return invalid("an experiment needs a name")
	}
	return checkLength("experiment name", name, MaxExperimentName)
}

// nameFree refuses a name that an experiment other than id has.
func (s *state) nameFree(name, id string) error {
	e := s.byName[name]
	if e == nil {
		e = s.trainerByName(name)
	}
	if e == nil || e.id == id {
		return nil
	}
	if e.deleted {
		return fault.New(fault.Exists, "experiment %s exists already, as deleted: restore it, or take another name", quote(name))
	}
	return fault.New(fault.Exists, "experiment %s exists already", quote(name))
}

// experiment returns what is in the fold.
func (b *Book) experiment(_ context.Context, id string) (Experiment, error) {
	b.state.mu.RLock()
	defer b.state.mu.RUnlock()
	e, err := b.state.knownExperiment(id)
	if err != nil {
		return Experiment{}, err
	}
	return b.state.showExperiment(e), nil
}

func (s *state) knownExperiment(id string) (*experiment, error) {
	e := s.experiments[id]
	if e == nil || !e.visible() {
		return nil, fault.New(fault.NotFound, "no experiment has the id %s", quote(id))
	}
	return e, nil
}

// showExperiment returns a copy for the caller. The times of an experiment of the trainer's are those of its runs.
func (s *state) showExperiment(e *experiment) Experiment {
	out := Experiment{ID: e.id, Name: e.name, ArtifactLocation: e.location, Lifecycle: stage(e.deleted), Tags: s.names.pairs(e.tags), Trainer: !e.known}
	out.CreatedAt, out.UpdatedAt = e.times()
	return out
}

// times returns when an experiment was created and changed.
func (e *experiment) times() (created, updated int64) {
	if e.known {
		return e.created, e.updated
	}
	found := false
	for _, r := range e.runs {
		if t := r.trainer; r.trainers() {
			if !found || t.start < created {
				created, found = t.start, true
			}
			updated = max(updated, t.start, t.end)
		}
	}
	return created, updated
}

func stage(deleted bool) string {
	if deleted {
		return events.StageDeleted
	}
	return events.StageActive
}

// Experiment returns an experiment, also a deleted one; fault.NotFound if there is none with the id.
func (b *Book) Experiment(ctx context.Context, id string) (Experiment, error) {
	if err := b.Fresh(ctx); err != nil {
		return Experiment{}, err
	}
	return b.experiment(ctx, id)
}

// ExperimentByName is Experiment by the name.
func (b *Book) ExperimentByName(ctx context.Context, name string) (Experiment, error) {
	if err := b.Fresh(ctx); err != nil {
		return Experiment{}, err
	}
	b.state.mu.RLock()
	defer b.state.mu.RUnlock()
	e := b.state.byName[name]
	if e == nil {
		e = b.state.trainerByName(name)
	}
	if e == nil {
		return Experiment{}, fault.New(fault.NotFound, "no experiment has the name %s", quote(name))
	}
	return b.state.showExperiment(e), nil
}

// changeExperiment stores a change of an experiment of a client.
func (b *Book) changeExperiment(ctx context.Context, id, actor string, change func(*state, *experiment, *events.ExperimentChanged) error) error {
	return b.write(ctx, events.TypeExperimentChanged, events.AllExperiments, func(s *state) (draft, error) {
		e, err := s.knownExperiment(id)
		if err != nil {
			return draft{}, err
		}
		if !e.known {
			return draft{}, invalid("experiment %s is the trainer's and can't be changed", quote(e.name))
		}
		p := &events.ExperimentChanged{ExperimentID: id, Name: e.name, Lifecycle: stage(e.deleted), Actor: actor}
		if err := change(s, e, p); err != nil {
			return draft{}, err
		}
		return draft{expected: s.lastChange, payload: p}, nil
	})
}

// active refuses what is deleted.
func (e *experiment) active() error {
	if e.deleted {
		return invalid("experiment %s is deleted", quote(e.id))
	}
	return nil
}

// RenameExperiment gives an active experiment another name.
func (b *Book) RenameExperiment(ctx context.Context, id, name, actor string) error {
	if err := checkExperimentName(name); err != nil {
		return err
	}
	return b.changeExperiment(ctx, id, actor, func(s *state, e *experiment, p *events.ExperimentChanged) error {
		if err := e.active(); err != nil {
			return err
		}
		p.Name = name
		return s.nameFree(name, id)
	})
}

// DeleteExperiment deletes an active experiment, and with it its runs, softly: its name stays taken, and restoring brings all of it back. Of a deleted
// one it says fault.NotFound.
func (b *Book) DeleteExperiment(ctx context.Context, id, actor string) error {
	return b.changeExperiment(ctx, id, actor, func(_ *state, e *experiment, p *events.ExperimentChanged) error {
		p.Lifecycle = events.StageDeleted
		if e.deleted {
			return fault.New(fault.NotFound, "no active experiment has the id %s: it is deleted", quote(id))
		}
		return nil
	})
}

// RestoreExperiment brings a deleted experiment back, with the runs that were not deleted themselves. Of an active one it says fault.NotFound.
func (b *Book) RestoreExperiment(ctx context.Context, id, actor string) error {
	return b.changeExperiment(ctx, id, actor, func(_ *state, e *experiment, p *events.ExperimentChanged) error {
		if !e.deleted {
			return fault.New(fault.NotFound, "no deleted experiment has the id %s: it is active", quote(id))
		}
		p.Lifecycle = events.StageActive
		return nil
	})
}

// SetExperimentTag sets a tag of an active experiment.
func (b *Book) SetExperimentTag(ctx context.Context, id string, tag events.Pair, actor string) error {
	if err := checkTag(tag); err != nil {
		return err
	}
	return b.changeExperiment(ctx, id, actor, func(_ *state, e *experiment, p *events.ExperimentChanged) error {
		p.Tags = []events.Pair{tag}
		return e.active()
	})
}

// DeleteExperimentTag takes a tag from an active experiment; fault.NotFound if it has none with the key.
func (b *Book) DeleteExperimentTag(ctx context.Context, id, key, actor string) error {
	return b.changeExperiment(ctx, id, actor, func(s *state, e *experiment, p *events.ExperimentChanged) error {
		if _, ok := s.text(e.tags, key); !ok {
			return fault.New(fault.NotFound, "experiment %s has no tag %s", quote(id), quote(key))
		}
		p.RemovedTags = []string{key}
		return e.active()
	})
}

// text returns the value under a key.
func (s *state) text(ps []pair, key string) (string, bool) {
	id, ok := s.names.find(key)
	if !ok {
		return "", false
	}
	i, ok := findPair(ps, id)
	if !ok {
		return "", false
	}
	return ps[i].value, true
}

// idDigits is the length of the longest id of an experiment.
const idDigits = 20

// experimentFields is an experiment as a filter sees it.
type experimentFields struct {
	s *state
	e *experiment
}

// Text implements filter.Fields.
func (f experimentFields) Text(kind filter.Kind, key string) (string, bool) {
	switch {
	case kind == filter.Tag:
		return f.s.text(f.e.tags, key)
	case key == "name":
		return f.e.name, true
	}
	return strings.Repeat("0", max(0, idDigits-len(f.e.id))) + f.e.id, true
}

// Number implements filter.Fields.
func (f experimentFields) Number(_ filter.Kind, key string) (float64, bool) {
	created, updated := f.e.times()
	if key == "creation_time" {
		return float64(created), true
	}
	return float64(updated), key == "last_update_time"
}

// SearchExperiments returns a page of experiments; by default the newest come first.
func (b *Book) SearchExperiments(ctx context.Context, q Query) (Page[Experiment], error) {
	sr, err := b.newSearch(filter.Query{Domain: filter.Experiments, Filter: q.Filter, OrderBy: q.OrderBy, Scope: []string{string(q.View)}},
		q.MaxResults, limits{defaultResults, maxResults}, q.PageToken)
	if err != nil {
		return Page[Experiment]{}, err
	}
	shows, err := q.View.shows()
	if err != nil {
		return Page[Experiment]{}, err
	}
	if err := b.Fresh(ctx); err != nil {
		return Page[Experiment]{}, err
	}
	s := b.state
	s.mu.RLock()
	experiments := slices.Collect(maps.Values(s.experiments))
	s.mu.RUnlock()
	found := newTop[*experiment](sr)
	err = found.scan(ctx, &s.mu, experiments, func(e *experiment) {
		if e.visible() && shows(e.deleted) {
			found.offer(e, experimentFields{s, e})
		}
	})
	if err != nil {
		return Page[Experiment]{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return pageOf(found, s.showExperiment), nil
}
