package tracking

import (
	"slices"

	"telco-churn-mlops/events"
)

// Tags with a meaning of their own.
const (
	tagRunName = "mlflow.runName"
	tagUser    = "mlflow.user"
)

// run is one run. Nobody sees it unless a client created it or it stands in LIFECYCLE.
type run struct {
	id string
	// first and last are the sequences of its subject's first and last message, 0 for none.
	first, last uint64

	exp        *experiment
	created    bool // by a client
	deleted    bool
	lives      lives // from its creation; none before
	status     events.RunStatus
	name, user string
	uri        string
	start, end int64

	metrics []metric
	params  []pair
	tags    []pair
	inputs  []events.DatasetInput
	outputs []events.ModelOutput

	trainer *trainerRun // what LIFECYCLE says of it; nothing counts of it where created is true
}

// visible reports whether anybody should see the run.
func (r *run) visible() bool { return r.created || r.trainer != nil }

// trainers reports whether the run is the trainer's.
func (r *run) trainers() bool { return !r.created && r.trainer != nil }

// gone reports whether the run, or its experiment, is deleted.
func (r *run) gone() bool { return r.deleted || r.exp != nil && r.exp.deleted }

// run returns the run with an id, a place for it if nothing is known of it.
func (s *state) run(id string) *run {
	r := s.runs[id]
	if r == nil {
		r = &run{id: id}
		s.runs[id] = r
	}
	return r
}

// move puts a run into an experiment, nil for none.
func (s *state) move(r *run, e *experiment) {
	if r.exp == e {
		return
	}
	if old := r.exp; old != nil {
		// A new slice, as a search may be reading the old one.
		old.runs = slices.DeleteFunc(slices.Clone(old.runs), func(o *run) bool { return o == r })
	}
	if r.exp = e; e != nil {
		e.runs = append(e.runs, r)
	}
}

// applyRun folds a change of a run.
func (s *state) applyRun(f fact) {
	r := s.run(f.subject)
	if f.seq <= r.last {
		return
	}
	if r.first == 0 {
		r.first = f.seq
	}
	r.last = f.seq
	p, ok := f.payload.(*events.RunTracked)
	if !ok || p.RunID != r.id {
		s.junk++
		return
	}
	switch {
	case p.Created != nil && (r.created || len(r.tags) > 0):
		s.contradictions++ // created twice, or created after tags were added to a run of the trainer
		return
	case p.Created != nil:
		s.create(r, p.Created)
	case !r.created && !tagsAlone(p):
		s.contradictions++
		return
	}
	s.change(r, p, f)
}

// tagsAlone reports whether an event changes nothing but tags, which is all that a run of the trainer takes.
func tagsAlone(p *events.RunTracked) bool {
	return p.Status == "" && p.EndTime == nil && p.Name == nil && p.Lifecycle == "" && len(p.Metrics)+len(p.Params)+len(p.Inputs)+len(p.Outputs) == 0
}

func (s *state) create(r *run, c *events.RunCreation) {
	trainer := r.trainer
	s.setTrainer(r, nil) // it is the client's: LIFECYCLE only tells that it was registered
	r.created, r.trainer = true, trainer
	r.user, r.start, r.uri, r.status = s.names.value(c.UserID), c.StartTime, c.ArtifactURI, events.StatusRunning
	s.move(r, s.experiment(c.ExperimentID))
}

// change folds all that may come in any event of a run. A parameter that is there keeps its value.
func (s *state) change(r *run, p *events.RunTracked, f fact) {
	if p.Status != "" {
		r.status = events.RunStatus(s.names.value(string(p.Status)))
	}
	if p.EndTime != nil {
		r.end = *p.EndTime
	}
	if p.Lifecycle != "" {
		r.deleted = p.Lifecycle == events.StageDeleted
	}
	if r.created {
		r.lives.note(r.deleted, f)
	}
	r.tags = s.changeTags(r.tags, p.Tags, p.RemovedTags)
	for _, t := range p.Tags {
		if t.Key == tagRunName {
			r.name = s.names.value(t.Value)
		}
	}
	if p.Name != nil {
		r.name = s.names.value(*p.Name)
		r.tags = setPair(r.tags, pair{s.names.key(tagRunName), r.name})
	}
	r.metrics = grow(r.metrics, len(p.Metrics))
	for _, point := range p.Metrics {
		m := s.names.compact(point)
		r.metrics = setMetric(r.metrics, m)
		if m.extra != nil && m.extra.modelID != "" {
			s.modelMetric(m, r.id)
		}
	}
	r.params = grow(r.params, len(p.Params))
	for _, t := range p.Params {
		key := s.names.key(t.Key)
		if i, ok := findPair(r.params, key); !ok {
			r.params = slices.Insert(r.params, i, pair{key, s.names.value(t.Value)})
		} else if r.params[i].value != t.Value {
			s.contradictions++
		}
	}
	for _, in := range p.Inputs {
		r.inputs = addInput(r.inputs, in)
	}
	for _, out := range p.Outputs {
		if !slices.Contains(r.outputs, out) {
			r.outputs = append(r.outputs, out)
		}
	}
}

// addInput adds a dataset. One that is there, by name and digest, only gets its tags changed.
func addInput(inputs []events.DatasetInput, in events.DatasetInput) []events.DatasetInput {
	for i := range inputs {
		old := &inputs[i]
		if old.Name != in.Name || old.Digest != in.Digest {
			continue
		}
		for _, t := range in.Tags {
			if at := slices.IndexFunc(old.Tags, func(o events.Pair) bool { return o.Key == t.Key }); at >= 0 {
				old.Tags[at] = t
			} else {
				old.Tags = append(old.Tags, t)
			}
		}
		return inputs
	}
	in.Tags = slices.Clone(in.Tags)
	return append(inputs, in)
}
