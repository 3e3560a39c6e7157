package collect

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// world is a second opinion on what points to objects: plain state, changed by the same operations that make the events, and a snapshot of all
// that is pointed to after each.
type world struct {
	*rand.Rand
	r   *reach
	now time.Time

	runs, models       []string // ids of runs and logged models
	deleted            map[string]bool
	experimentOf       map[string]string
	deletedExperiments map[string]bool
	files              map[string]int
	owner              map[string]string
	versions           []*oracleVersion
	trainers           []int // objects of the trainer's runs
	snapshots          []snapshot
	next               int
}

type oracleVersion struct {
	model, run string
	n          int
	objects    []int
	deleted    bool
	aliases    map[string]bool
	production bool
	last       time.Time // when it was last in Production
	ever       bool
}

type snapshot struct {
	at      time.Time
	objects map[int]bool
}

func newWorld(seed uint64) *world {
	return &world{
		Rand: rand.New(rand.NewPCG(seed, 1)), r: newReach(), now: epoch, deleted: map[string]bool{}, experimentOf: map[string]string{},
		deletedExperiments: map[string]bool{}, files: map[string]int{}, owner: map[string]string{},
	}
}

func (w *world) apply(model string, p events.Payload) {
	w.r.apply(bus.Message{Event: events.Event{Model: model, Payload: p}, Time: w.now})
}

// object is a new one, or one that others may have too.
func (w *world) object() int {
	if w.next > 0 && w.IntN(4) == 0 {
		return w.IntN(w.next)
	}
	w.next++
	return w.next - 1
}

func pick[T any](w *world, from []T) (v T, ok bool) {
	if len(from) == 0 {
		return v, false
	}
	return from[w.IntN(len(from))], true
}

// step does one random thing.
func (w *world) step() {
	w.now = w.now.Add(time.Duration(w.IntN(int(4 * day))))
	for _, v := range w.versions {
		if v.production {
			v.last = w.now
		}
	}
	switch w.IntN(12) {
	case 0:
		id, experiment := fmt.Sprintf("%032x", len(w.runs)), fmt.Sprint(w.IntN(3))
		w.runs, w.experimentOf[id] = append(w.runs, id), experiment
		w.apply(id, &events.RunTracked{RunID: id, Created: &events.RunCreation{ExperimentID: experiment}})
	case 1:
		id, experiment := fmt.Sprintf("m-%032x", len(w.models)), fmt.Sprint(w.IntN(3))
		w.models, w.experimentOf[id] = append(w.models, id), experiment
		w.apply(id, &events.ModelLogged{ModelID: id, Created: &events.LoggedModelCreation{ExperimentID: experiment}})
	case 2, 3, 4:
		w.storeFile()
	case 5:
		w.deleteOwner()
	case 6:
		id := fmt.Sprint(w.IntN(3))
		w.deletedExperiments[id] = w.IntN(2) == 0
		stage := events.StageActive
		if w.deletedExperiments[id] {
			stage = events.StageDeleted
		}
		w.apply(events.AllExperiments, &events.ExperimentChanged{ExperimentID: id, Name: id, Lifecycle: stage})
	case 7:
		o := w.object()
		w.trainers = append(w.trainers, o)
		w.apply("m0", &events.RunCompleted{RunID: fmt.Sprintf("t%d", len(w.trainers)), Artifacts: []events.Artifact{art(o)}})
	case 8, 9:
		w.register()
	case 10:
		w.promote()
	case 11:
		w.changeVersion()
	}
	w.snapshots = append(w.snapshots, snapshot{w.now, w.pointed()})
}

func (w *world) storeFile() {
	owners := append(append([]string{"shared"}, w.runs...), w.models...)
	owner, _ := pick(w, owners)
	path := fmt.Sprintf("%s/%d", owner, w.IntN(3))
	if w.IntN(8) == 0 { // a folder with all below it
		for path := range w.files {
			if strings.HasPrefix(path, owner+"/") {
				delete(w.files, path)
			}
		}
		w.apply(owner, &events.ArtifactStored{Path: owner, Removed: true})
		return
	}
	if _, there := w.files[path]; there && w.IntN(3) == 0 {
		delete(w.files, path)
		w.apply(owner, &events.ArtifactStored{Path: path, Removed: true})
		return
	}
	o := w.object()
	w.files[path], w.owner[path] = o, owner
	w.apply(owner, &events.ArtifactStored{Path: path, Digest: string(digest(o)), SizeBytes: 1})
}

func (w *world) deleteOwner() {
	if id, ok := pick(w, w.models); ok && w.IntN(2) == 0 {
		w.deleted[id] = true
		w.apply(id, &events.ModelLogged{ModelID: id, Deleted: true})
		return
	}
	if id, ok := pick(w, w.runs); ok {
		w.deleted[id] = !w.deleted[id]
		stage := events.StageActive
		if w.deleted[id] {
			stage = events.StageDeleted
		}
		w.apply(id, &events.RunTracked{RunID: id, Lifecycle: stage})
	}
}

func (w *world) register() {
	v := &oracleVersion{model: fmt.Sprint("m", w.IntN(2)), aliases: map[string]bool{}}
	v.run, _ = pick(w, append([]string{""}, w.runs...))
	v.n = 1
	for _, other := range w.versions {
		if other.model == v.model {
			v.n++
		}
	}
	p := &events.ModelRegistered{Version: v.n, RunID: v.run}
	for range 1 + w.IntN(3) {
		o := w.object()
		v.objects = append(v.objects, o)
		p.Artifacts = append(p.Artifacts, art(o))
	}
	if w.IntN(2) == 0 {
		o := w.object()
		v.objects = append(v.objects, o)
		p.Bundle = art(o)
	}
	w.versions = append(w.versions, v)
	w.apply(v.model, p)
}

// promote follows the rules of models with gates for m0 and those of MLflow for m1.
func (w *world) promote() {
	v, ok := pick(w, w.versions)
	if !ok || v.deleted {
		return
	}
	p := &events.ModelPromoted{Version: v.n, Ungated: v.model == "m1", ArchiveExisting: w.IntN(2) == 0}
	if v.production && w.IntN(2) == 0 { // out of Production
		p.Version, p.Demoted, p.ArchiveExisting = 0, v.n, false
	}
	for _, other := range w.versions {
		if other.model == v.model && (!p.Ungated || p.ArchiveExisting || other.n == p.Demoted) && other.n != p.Version {
			other.production = false
		}
	}
	if p.Version != 0 {
		v.production, v.ever, v.last = true, true, w.now
	}
	w.apply(v.model, p)
}

func (w *world) changeVersion() {
	v, ok := pick(w, w.versions)
	if !ok {
		return
	}
	switch w.IntN(3) {
	case 0:
		p := &events.ModelChanged{Change: events.ChangeAlias, Version: v.n, Key: fmt.Sprint("alias", w.IntN(2)), Remove: w.IntN(3) == 0}
		for _, other := range w.versions {
			if other.model == v.model {
				delete(other.aliases, p.Key)
			}
		}
		if !p.Remove {
			v.aliases[p.Key] = true
		}
		w.apply(v.model, p)
	default:
		p := &events.ModelChanged{Change: events.ChangeDelete, Version: v.n}
		if w.IntN(5) == 0 {
			p.Version = 0 // the model with all its versions
		}
		for _, other := range w.versions {
			if other.model == v.model && (p.Version == 0 || other == v) {
				other.deleted = true
				clear(other.aliases)
				if other.model == "m1" || p.Version == 0 {
					other.production = false
				}
			}
		}
		w.apply(v.model, p)
	}
}

// pointed is what is pointed to now, but for the history of Production.
func (w *world) pointed() map[int]bool {
	all := map[int]bool{}
	for _, o := range w.trainers {
		all[o] = true
	}
	for _, v := range w.versions {
		if !v.deleted || len(v.aliases) > 0 || v.production {
			for _, o := range v.objects {
				all[o] = true
			}
		}
	}
	for path, o := range w.files {
		owner := w.owner[path]
		if !w.deleted[owner] && !w.deletedExperiments[w.experimentOf[owner]] {
			all[o] = true
		}
	}
	return all
}
