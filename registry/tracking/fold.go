package tracking

import (
	"strconv"
	"sync"

	"telco-churn-mlops/events"
)

// DefaultExperiment is the id of the experiment that exists from the beginning, and DefaultExperimentName its name.
const (
	DefaultExperiment     = "0"
	DefaultExperimentName = "Default"
)

// fact is one message, or what a writer knows of the message that it has just stored.
type fact struct {
	stream  events.Stream
	typ     events.Type
	subject string // the last token of the subject, decoded
	seq     uint64
	at      int64 // milliseconds since 1970 UTC: the event's own time, which the writer knows too
	source  string
	payload events.Payload // nil of junk
}

// state is the fold. mu guards all of it; what is handed out is copied.
type state struct {
	root string // of artifact URIs

	mu sync.RWMutex
	// epoch changes when TRACKING starts anew, so that no write is folded into another stream's state.
	epoch   uint64
	through map[events.Stream]uint64 // by the followers

	names       *interner
	runs        map[string]*run
	experiments map[string]*experiment // by id
	byName      map[string]*experiment // those of clients
	lastID      int                    // of the experiments that clients created
	lastChange  uint64                 // of the experiments' subject
	models      map[string]*loggedModel
	training    map[string]string // name of the experiment of each of the trainer's models
	files       *tree             // of clients
	trained     *tree             // of the trainer's runs

	junk, contradictions uint64
}

// experiment is one experiment. It is a mere place for its runs until known is true.
type experiment struct {
	id, name, location string
	created, updated   int64
	known, deleted     bool
	lives              lives // from its creation
	tags               []pair
	runs               []*run // also those that have moved to another: see run.exp
	trainerRuns        int    // shown ones of the trainer; of an experiment that is not known they make it visible
}

// visible reports whether anybody should see the experiment.
func (e *experiment) visible() bool { return e.known || e.trainerRuns > 0 }

func newState(root string) *state {
	s := &state{root: root, through: map[events.Stream]uint64{}, names: newInterner()}
	s.clear()
	return s
}

// clear empties the fold. Interned keys stay, as what LIFECYCLE said refers to them.
func (s *state) clear() {
	s.runs, s.models = map[string]*run{}, map[string]*loggedModel{}
	s.experiments, s.byName = map[string]*experiment{}, map[string]*experiment{}
	s.training = map[string]string{}
	s.files, s.trained = &tree{}, &tree{}
	s.lastID, s.lastChange = 0, 0
	e := s.experiment(DefaultExperiment)
	e.name, e.known, e.location = DefaultExperimentName, true, s.location(DefaultExperiment)
	s.byName[e.name] = e
}

// location returns where an experiment's runs keep their files by default.
func (s *state) location(experimentID string) string { return s.root + "/" + experimentID }

// experiment returns the experiment with an id, a place for it if nothing is known of it.
func (s *state) experiment(id string) *experiment {
	e := s.experiments[id]
	if e == nil {
		e = &experiment{id: id}
		s.experiments[id] = e
	}
	return e
}

// reset starts anew, for a stream that was created again. What stands in the other stream stays.
func (s *state) reset(stream events.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.through[stream] = 0
	if stream == events.Lifecycle {
		for _, r := range s.runs {
			s.setTrainer(r, nil)
		}
		s.training = map[string]string{}
		return
	}
	s.epoch++
	runs, training := s.runs, s.training
	s.clear()
	s.training = training
	for id, r := range runs {
		if r.trainer != nil {
			s.setTrainer(s.run(id), r.trainer)
		}
	}
}

// follow folds what a follower brings, in the order of its stream.
func (s *state) follow(f fact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.seq <= s.through[f.stream] {
		return
	}
	s.through[f.stream] = f.seq
	s.apply(f)
}

// own folds what this process has stored, in the epoch in which that was decided, ahead of the follower.
func (s *state) own(f fact, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch == s.epoch {
		s.apply(f)
	}
}

// apply folds one fact, unless its subject has folded it already.
func (s *state) apply(f fact) {
	if f.stream == events.Lifecycle {
		s.applyTrainer(f)
		return
	}
	switch f.typ {
	case events.TypeRunTracked:
		s.applyRun(f)
	case events.TypeExperimentChanged:
		s.applyExperiment(f)
	case events.TypeModelLogged:
		s.applyModel(f)
	case events.TypeArtifactStored:
		s.applyFile(f)
	default:
		s.junk++
	}
}

// applyExperiment folds a change of an experiment. Names and ids are unique, and ids consecutive from 1.
func (s *state) applyExperiment(f fact) {
	if f.subject != events.AllExperiments {
		s.junk++
		return
	}
	if f.seq <= s.lastChange {
		return
	}
	s.lastChange = f.seq
	p, ok := f.payload.(*events.ExperimentChanged)
	if !ok {
		s.junk++
		return
	}
	holder := s.byName[p.Name]
	e := s.experiments[p.ExperimentID]
	next := strconv.Itoa(s.lastID + 1)
	switch {
	case holder != nil && holder.id != p.ExperimentID,
		p.Created && p.ExperimentID != next,
		!p.Created && (e == nil || !e.known):
		s.contradictions++
		return
	}
	if p.Created {
		s.lastID++
		e = s.experiment(p.ExperimentID)
		e.known, e.created, e.location = true, f.at, s.location(e.id)
	} else {
		delete(s.byName, e.name)
	}
	e.name, e.updated, e.deleted = p.Name, f.at, p.Lifecycle == events.StageDeleted
	e.lives.note(e.deleted, f)
	s.byName[e.name] = e
	if p.ArtifactLocation != "" {
		e.location = p.ArtifactLocation
	}
	e.tags = s.changeTags(e.tags, p.Tags, p.RemovedTags)
}

// changeTags returns tags with some set and some removed.
func (s *state) changeTags(tags []pair, set []events.Pair, removed []string) []pair {
	for _, key := range removed {
		if id, ok := s.names.find(key); ok {
			tags = removePair(tags, id)
		}
	}
	tags = grow(tags, len(set))
	for _, t := range set {
		tags = setPair(tags, pair{s.names.key(t.Key), s.names.value(t.Value)})
	}
	return tags
}
