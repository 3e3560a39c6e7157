package collect

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry/tracking"
)

// world is a second opinion on what points to objects: plain state, changed by the same operations that make the events, and a snapshot of all
// that is pointed to after each.
type world struct {
	*rand.Rand
	*feed
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
	promoted           map[string]int // what model.promoted names
	left               int            // contradictions, which nobody takes
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
	w := &world{
		Rand: rand.New(rand.NewPCG(seed, 1)), feed: newFeed(), now: epoch, deleted: map[string]bool{}, experimentOf: map[string]string{},
		deletedExperiments: map[string]bool{}, files: map[string]int{}, owner: map[string]string{}, promoted: map[string]int{},
	}
	for _, id := range []string{"1", "2"} {
		w.apply(events.AllExperiments, &events.ExperimentChanged{ExperimentID: id, Created: true, Name: "e" + id, Lifecycle: events.StageActive})
	}
	return w
}

func (w *world) apply(model string, p events.Payload) {
	w.feed.apply(model, p, w.now)
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
		if w.IntN(4) == 0 { // a name that is another's
			w.left++
			w.apply(events.AllExperiments, &events.ExperimentChanged{ExperimentID: id, Name: map[string]string{"0": "e1", "1": "e2", "2": "e1"}[id], Lifecycle: events.StageDeleted})
			return
		}
		w.deletedExperiments[id] = w.IntN(2) == 0
		stage := events.StageActive
		if w.deletedExperiments[id] {
			stage = events.StageDeleted
		}
		w.apply(events.AllExperiments, &events.ExperimentChanged{ExperimentID: id, Name: "e" + id, Lifecycle: stage})
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
	if w.IntN(4) == 0 {
		w.expire(owner)
		return
	}
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

// expire has a collection take away the files of an owner, who may have been restored since that was decided.
func (w *world) expire(owner string) {
	through := w.seqs[events.Tracking]
	deleted := w.deleted[owner] || w.deletedExperiments[w.experimentOf[owner]]
	fresh := owner + "/fresh"
	if w.IntN(2) == 0 {
		o := w.object()
		w.files[fresh], w.owner[fresh] = o, owner
		w.apply(owner, &events.ArtifactStored{Path: fresh, Digest: string(digest(o)), SizeBytes: 1})
	} else {
		fresh = ""
	}
	if !deleted {
		through -= min(through-1, uint64(w.IntN(20))) // it may have been deleted then
		w.left++
	}
	w.apply(owner, &events.ArtifactStored{Path: owner, Removed: true, Through: through})
	for path := range w.files {
		if deleted && path != fresh && strings.HasPrefix(path, owner+"/") {
			delete(w.files, path)
		}
	}
}

// listed are the files by the fold that is tested.
func (w *world) listed() map[string]int {
	numbers := map[artifact.Digest]int{}
	for o := range w.next {
		numbers[digest(o)] = o
	}
	out := map[string]int{}
	w.r.remains.Files(func(f tracking.File) { out[f.Path] = numbers[f.Digest] })
	return out
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
	p := &events.ModelRegistered{Version: v.n, RunID: v.run, Source: "s3://elsewhere"}
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
	w.promoted[v.model] = p.Version
	w.apply(v.model, p)
}

func (w *world) changeVersion() {
	v, ok := pick(w, w.versions)
	if !ok {
		return
	}
	if w.IntN(3) == 0 {
		w.alias(v)
		return
	}
	of := []*oracleVersion{v}
	p := &events.ModelChanged{Change: events.ChangeDelete, Version: v.n}
	if w.IntN(5) == 0 { // the model with all its versions
		p.Version, of = 0, nil
		for _, other := range w.versions {
			if other.model == v.model {
				of = append(of, other)
			}
		}
		if w.promoted[v.model] != 0 {
			w.left++
			w.apply(v.model, p)
			return
		}
	}
	if slices.ContainsFunc(of, func(v *oracleVersion) bool { return v.production }) {
		return
	}
	for _, v := range of {
		v.deleted = true
		clear(v.aliases)
	}
	w.apply(v.model, p)
	if p.Version == 0 {
		w.apply(v.model, &events.ModelChanged{Change: events.ChangeCreate})
	}
}

// alias moves or takes away an alias. A deleted version gets none, and none is taken from what has it not.
func (w *world) alias(v *oracleVersion) {
	p := &events.ModelChanged{Change: events.ChangeAlias, Version: v.n, Key: fmt.Sprint("alias", w.IntN(2)), Remove: w.IntN(3) == 0}
	switch {
	case p.Remove && !v.aliases[p.Key], !p.Remove && v.deleted:
		w.left++
	default:
		for _, other := range w.versions {
			if other.model == v.model {
				delete(other.aliases, p.Key)
			}
		}
		if !p.Remove {
			v.aliases[p.Key] = true
		}
	}
	w.apply(v.model, p)
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
