package tracking

import (
	"cmp"
	"context"
	"math"
	"slices"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
)

// CreateRun begins a run, which gets an id of 32 random hexadecimal digits. An experiment that is unknown is refused with fault.NotFound, a deleted one with
// fault.Invalid, and so are a name and a tag mlflow.runName that differ.
func (b *Book) CreateRun(ctx context.Context, n NewRun) (Run, error) {
	name, err := n.runName()
	if err != nil {
		return Run{}, err
	}
	id, err := newID()
	if err != nil {
		return Run{}, err
	}
	experimentID := cmp.Or(n.ExperimentID, DefaultExperiment)
	err = b.writeFresh(ctx, events.TypeRunTracked, id, func(s *state) (draft, error) {
		e, err := s.knownExperiment(experimentID)
		if err != nil {
			return draft{}, err
		}
		if err := e.active(); err != nil {
			return draft{}, err
		}
		return draft{payload: &events.RunTracked{RunID: id, Name: &name, Tags: n.Tags, Actor: n.Actor, Created: &events.RunCreation{
			ExperimentID: e.id, UserID: n.UserID, StartTime: n.StartTime, ArtifactURI: e.location + "/" + id + "/artifacts"}}}, nil
	})
	if err != nil {
		return Run{}, err
	}
	return b.show(id)
}

// runName checks what a run is to be created with, and returns the name it gets.
func (n NewRun) runName() (string, error) {
	if err := checkLength("run name", n.Name, MaxRunName); err != nil {
		return "", err
	}
	if err := checkLength("user id", n.UserID, maxUser); err != nil {
		return "", err
	}
	if err := checkTags(n.Tags); err != nil {
		return "", err
	}
	name := n.Name
	for _, t := range n.Tags {
		if t.Key != tagRunName || t.Value == "" {
			continue
		}
		if name != "" && name != t.Value {
			return "", invalid("the run's name is %s, but the tag %s says %s", quote(name), tagRunName, quote(t.Value))
		}
		name = t.Value
	}
	if name == "" {
		return randomName()
	}
	return name, nil
}

// RunByID returns a run, also a deleted one; fault.NotFound if there is none with the id.
func (b *Book) RunByID(ctx context.Context, id string) (Run, error) {
	if err := b.Fresh(ctx); err != nil {
		return Run{}, err
	}
	return b.show(id)
}

func (s *state) knownRun(id string) (*run, error) {
	r := s.runs[id]
	if r == nil || !r.visible() {
		return nil, fault.New(fault.NotFound, "no run has the id %s", quote(id))
	}
	return r, nil
}

// active refuses a run that is deleted, or whose experiment is.
func (r *run) active() error {
	if r.gone() {
		return invalid("run %s is deleted", r.id)
	}
	return nil
}

// clients refuses a run of the trainer.
func (r *run) clients() error {
	if r.trainers() {
		return invalid("run %s is the trainer's: it takes tags and nothing else", r.id)
	}
	return nil
}

// changeRun stores a change of a run. change fills in the payload; it returns false if there is nothing to store.
func (b *Book) changeRun(ctx context.Context, id, actor string, change func(*state, *run, *events.RunTracked) (bool, error)) error {
	return b.write(ctx, events.TypeRunTracked, id, func(s *state) (draft, error) {
		r, err := s.knownRun(id)
		if err != nil {
			return draft{}, err
		}
		p := &events.RunTracked{RunID: id, Actor: actor}
		store, err := change(s, r, p)
		if err != nil || !store {
			return draft{}, err
		}
		return draft{payload: p, expected: r.last}, nil
	})
}

// writable refuses what may not be logged to.
func (r *run) writable() error {
	if err := r.active(); err != nil {
		return err
	}
	return r.clients()
}

// UpdateRun sets the status, the end and the name of an active run, where they are set; an empty name leaves the name.
func (b *Book) UpdateRun(ctx context.Context, id string, u RunUpdate) (Run, error) {
	switch u.Status {
	case "", events.StatusRunning, events.StatusScheduled, events.StatusFinished, events.StatusFailed, events.StatusKilled:
	default:
		return Run{}, invalid("status %s: there is RUNNING, SCHEDULED, FINISHED, FAILED and KILLED", quote(string(u.Status)))
	}
	if u.Name != nil {
		if err := checkLength("run name", *u.Name, MaxRunName); err != nil {
			return Run{}, err
		}
		if *u.Name == "" {
			u.Name = nil
		}
	}
	err := b.changeRun(ctx, id, u.Actor, func(_ *state, r *run, p *events.RunTracked) (bool, error) {
		p.Status, p.EndTime, p.Name = u.Status, u.EndTime, u.Name
		return u.Status != "" || u.EndTime != nil || u.Name != nil, r.writable()
	})
	if err != nil {
		return Run{}, err
	}
	return b.show(id)
}

// Log adds a batch to an active run. A parameter that is there with another value, in the run or in the batch itself, refuses all of it; with the same
// value it is left out. An infinite metric becomes the greatest or least float64, as in MLflow. A run of the trainer takes tags alone, and not those that its own
// events give.
func (b *Book) Log(ctx context.Context, id string, batch Batch) error {
	if err := batch.check(); err != nil {
		return err
	}
	metrics := slices.Clone(batch.Metrics)
	for i := range metrics {
		metrics[i].Value = events.Number(min(max(float64(metrics[i].Value), -math.MaxFloat64), math.MaxFloat64)) // NaN stays
	}
	return b.changeRun(ctx, id, batch.Actor, func(s *state, r *run, p *events.RunTracked) (bool, error) {
		if err := r.active(); err != nil {
			return false, err
		}
		if len(batch.Metrics)+len(batch.Params) > 0 {
			if err := r.clients(); err != nil {
				return false, err
			}
		}
		if err := s.ownTags(r, batch.Tags...); err != nil {
			return false, err
		}
		params, err := s.newParams("run "+r.id, r.params, batch.Params)
		if err != nil {
			return false, err
		}
		p.Metrics, p.Params, p.Tags = metrics, params, batch.Tags
		return len(metrics)+len(params)+len(batch.Tags) > 0, nil
	})
}

// EditTag gives a tag of an active run the value that edit makes of its present one (empty and false where it has none), as one: of two who edit at
// the same time, in whatever process, the second sees what the first made. edit may be called more than once; it must not call the book.
func (b *Book) EditTag(ctx context.Context, id, key string, edit func(old string, ok bool) string, actor string) error {
	return b.changeRun(ctx, id, actor, func(s *state, r *run, p *events.RunTracked) (bool, error) {
		if err := r.active(); err != nil {
			return false, err
		}
		old, ok := s.text(r.tags, key)
		tag := events.Pair{Key: key, Value: edit(old, ok)}
		if err := checkTags([]events.Pair{tag}); err != nil {
			return false, err
		}
		p.Tags = []events.Pair{tag}
		return !ok || old != tag.Value, s.ownTags(r, tag)
	})
}

// ownTags refuses tags that the trainer's own events give.
func (s *state) ownTags(r *run, tags ...events.Pair) error {
	if !r.trainers() {
		return nil
	}
	for _, t := range tags {
		if _, ok := s.text(r.trainer.tags, t.Key); ok {
			return invalid("tag %s of run %s is what its trainer said and can't be changed", quote(t.Key), r.id)
		}
	}
	return nil
}

// newParams returns the parameters that are not among those that a run or logged model has, each once.
func (s *state) newParams(owner string, has []pair, params []events.Pair) ([]events.Pair, error) {
	var added []events.Pair
	values := make(map[string]string, len(params))
	for _, p := range params {
		old, ok := values[p.Key]
		if !ok {
			old, ok = s.text(has, p.Key)
		}
		switch {
		case !ok:
			values[p.Key] = p.Value
			added = append(added, p)
		case old != p.Value:
			return nil, invalid("param %s of %s is %s and can't become %s: params are written once", quote(p.Key), owner, quote(old), quote(p.Value))
		}
	}
	return added, nil
}

// DeleteTag takes a tag from an active run; fault.NotFound if it has none with the key.
func (b *Book) DeleteTag(ctx context.Context, id, key, actor string) error {
	return b.changeRun(ctx, id, actor, func(s *state, r *run, p *events.RunTracked) (bool, error) {
		if err := r.active(); err != nil {
			return false, err
		}
		if err := s.ownTags(r, events.Pair{Key: key}); err != nil {
			return false, err
		}
		if _, ok := s.text(r.tags, key); !ok {
			return false, fault.New(fault.NotFound, "run %s has no tag %s", r.id, quote(key))
		}
		p.RemovedTags = []string{key}
		return true, nil
	})
}

// DeleteRun deletes a run, softly. One that is deleted already stays so.
func (b *Book) DeleteRun(ctx context.Context, id, actor string) error {
	return b.changeRun(ctx, id, actor, func(_ *state, r *run, p *events.RunTracked) (bool, error) {
		p.Lifecycle = events.StageDeleted
		return !r.deleted, r.clients()
	})
}

// RestoreRun brings a deleted run back; one that is active stays so. In an experiment that is deleted it can't be.
func (b *Book) RestoreRun(ctx context.Context, id, actor string) error {
	return b.changeRun(ctx, id, actor, func(_ *state, r *run, p *events.RunTracked) (bool, error) {
		if err := r.clients(); err != nil {
			return false, err
		}
		if err := r.exp.active(); err != nil {
			return false, err
		}
		p.Lifecycle = events.StageActive
		return r.deleted, nil
	})
}

// LogInputs adds datasets that an active run read. One that is there, by name and digest, gets the tags.
func (b *Book) LogInputs(ctx context.Context, id string, inputs []events.DatasetInput, actor string) error {
	if err := checkInputs(inputs); err != nil {
		return err
	}
	return b.changeRun(ctx, id, actor, func(_ *state, r *run, p *events.RunTracked) (bool, error) {
		p.Inputs = inputs
		return len(inputs) > 0, r.writable()
	})
}

// LogOutputs adds logged models that an active run made.
func (b *Book) LogOutputs(ctx context.Context, id string, outputs []events.ModelOutput, actor string) error {
	if len(outputs) > MaxOutputs {
		return invalid("a call has at most %d models, this one has %d", MaxOutputs, len(outputs))
	}
	for _, o := range outputs {
		if o.ModelID == "" {
			return invalid("an output needs a model id")
		}
		if err := checkLength("model id", o.ModelID, MaxKey); err != nil {
			return err
		}
	}
	return b.changeRun(ctx, id, actor, func(_ *state, r *run, p *events.RunTracked) (bool, error) {
		p.Outputs = outputs
		return len(outputs) > 0, r.writable()
	})
}
