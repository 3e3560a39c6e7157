package collect

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

const (
	day       = 24 * time.Hour
	olderThan = 7 * day
	history   = 90 * day
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func digest(n int) artifact.Digest { return artifact.DigestOf(fmt.Append(nil, n)) }

func art(n int) events.Artifact {
	return events.Artifact{Name: fmt.Sprint("a", n), Digest: string(digest(n)), SizeBytes: 1}
}

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

func TestNothingThatIsOrWasLatelyPointedToIsGarbage(t *testing.T) {
	garbage, released := 0, 0
	for seed := range uint64(300) {
		w := newWorld(seed)
		for range 120 {
			w.step()
			if w.IntN(10) != 0 {
				continue
			}
			m := w.r.mark(w.now, olderThan, history)
			must, now := map[int]bool{}, w.pointed()
			for i, s := range w.snapshots {
				// A snapshot holds until the next one.
				if i == len(w.snapshots)-1 || w.snapshots[i+1].at.After(w.now.Add(-olderThan)) {
					for o := range s.objects {
						must[o] = true
					}
				}
			}
			for _, v := range w.versions {
				for _, o := range v.objects {
					must[o] = must[o] || (v.ever && w.now.Sub(v.last) < history+olderThan)
				}
			}
			for o, needed := range must {
				if !needed {
					continue
				}
				require.NotEmpty(t, m.kept[digest(o)], "seed %d, %s: object %d", seed, w.now, o)
				if !now[o] {
					released++
				}
			}
			for o := range w.next {
				if _, kept := m.kept[digest(o)]; !kept {
					garbage++
				}
			}
			for path, f := range m.expired {
				require.True(t, w.deleted[f.owner] || w.deletedExperiments[w.experimentOf[f.owner]], "seed %d: %s", seed, path)
			}
		}
	}
	require.Greater(t, garbage, 1000, "histories without garbage show nothing")
	require.Greater(t, released, 1000, "histories without releases show nothing")
}

func TestMark(t *testing.T) {
	const model, id = "m", "0123456789abcdef0123456789abcdef"
	registered := func(n int, objects ...int) *events.ModelRegistered {
		p := &events.ModelRegistered{Version: n}
		for _, o := range objects {
			p.Artifacts = append(p.Artifacts, art(o))
		}
		return p
	}
	created := &events.RunTracked{RunID: id, Created: &events.RunCreation{ExperimentID: "1"}}
	stored := func(path string, o int) *events.ArtifactStored {
		return &events.ArtifactStored{Path: path, Digest: string(digest(o)), SizeBytes: 1}
	}
	type at struct {
		days  float64 // before now
		model string
		p     events.Payload
	}
	for _, tc := range []struct {
		name    string
		history []at
		want    Class // of object 1; empty: garbage
		expired int
	}{
		{"nothing", nil, "", 0},
		{"version", []at{{400, model, registered(1, 1)}}, KeptVersion, 0},
		{"deleted at the limit", []at{{400, model, registered(1, 1)}, {7, model, &events.ModelChanged{Change: events.ChangeDelete, Version: 1}}}, "", 0},
		{"deleted just within it", []at{{400, model, registered(1, 1)}, {6.9, model, &events.ModelChanged{Change: events.ChangeDelete, Version: 1}}}, KeptReleased, 0},
		{"deleted with an alias", []at{{400, model, registered(1, 1)}, {300, model, &events.ModelChanged{Change: events.ChangeAlias, Version: 1, Key: "best"}},
			{200, model, &events.ModelChanged{Change: events.ChangeDelete, Version: 1}}}, "", 0},
		{"deleted, then given an alias", []at{{400, model, registered(1, 1)}, {200, model, &events.ModelChanged{Change: events.ChangeDelete, Version: 1}},
			{100, model, &events.ModelChanged{Change: events.ChangeAlias, Version: 1, Key: "best"}}}, KeptAlias, 0},
		{"deleted, in Production", []at{{400, model, registered(1, 1)}, {300, model, &events.ModelPromoted{Version: 1}},
			{200, model, &events.ModelChanged{Change: events.ChangeDelete, Version: 1}}}, KeptProduction, 0},
		{"deleted, replaced 89 days ago", []at{{400, model, registered(1, 1)}, {300, model, &events.ModelPromoted{Version: 1}}, {89, model, registered(2, 2)},
			{89, model, &events.ModelPromoted{Version: 2}}, {80, model, &events.ModelChanged{Change: events.ChangeDelete, Version: 1}}}, KeptProduction, 0},
		{"deleted, replaced 91 days ago", []at{{400, model, registered(1, 1)}, {300, model, &events.ModelPromoted{Version: 1}}, {91, model, registered(2, 2)},
			{91, model, &events.ModelPromoted{Version: 2}}, {80, model, &events.ModelChanged{Change: events.ChangeDelete, Version: 1}}}, KeptReleased, 0},
		{"deleted, replaced 98 days ago", []at{{400, model, registered(1, 1)}, {300, model, &events.ModelPromoted{Version: 1}}, {98, model, registered(2, 2)},
			{98, model, &events.ModelPromoted{Version: 2}}, {80, model, &events.ModelChanged{Change: events.ChangeDelete, Version: 1}}}, "", 0},
		{"without gates beside another", []at{{400, model, registered(1, 1)}, {300, model, &events.ModelPromoted{Version: 1, Ungated: true}}, {91, model, registered(2, 2)},
			{91, model, &events.ModelPromoted{Version: 2, Ungated: true}}}, KeptVersion, 0},
		{"the trainer's run", []at{{400, model, &events.RunCompleted{RunID: "r", Artifacts: []events.Artifact{art(1)}}}}, KeptRun, 0},
		{"a client's run that was registered and deleted with its version", []at{{400, id, created}, {400, model, &events.RunCompleted{RunID: id, Artifacts: []events.Artifact{art(1)}}},
			{400, model, &events.ModelRegistered{Version: 1, RunID: id}}, {300, id, &events.RunTracked{RunID: id, Lifecycle: events.StageDeleted}},
			{300, model, &events.ModelChanged{Change: events.ChangeDelete, Version: 1}}}, "", 0},
		{"a client's run that was deleted, its version not", []at{{400, id, created}, {400, model, &events.RunCompleted{RunID: id, Artifacts: []events.Artifact{art(1)}}},
			{400, model, &events.ModelRegistered{Version: 1, RunID: id}}, {300, id, &events.RunTracked{RunID: id, Lifecycle: events.StageDeleted}}}, KeptVersion, 0},
		{"file", []at{{400, id, created}, {400, id, stored("a", 1)}}, KeptRun, 0},
		{"file of nobody", []at{{400, "shared", stored("a", 1)}}, KeptShared, 0},
		{"file before its run", []at{{400, id, stored("a", 1)}}, KeptShared, 0},
		{"file of a logged model", []at{{400, "m-" + id, &events.ModelLogged{ModelID: "m-" + id, Created: &events.LoggedModelCreation{ExperimentID: "1"}}}, {400, "m-" + id, stored("a", 1)}}, KeptModel, 0},
		{"file replaced lately", []at{{400, id, created}, {400, id, stored("a", 1)}, {6, id, stored("a", 2)}}, KeptReleased, 0},
		{"file replaced", []at{{400, id, created}, {400, id, stored("a", 1)}, {8, id, stored("a", 2)}}, "", 0},
		{"file whose folder was removed", []at{{400, id, created}, {400, id, stored("0/a/b", 1)}, {8, id, &events.ArtifactStored{Path: "0/a", Removed: true}}}, "", 0},
		{"file beside a folder that was removed", []at{{400, id, created}, {400, id, stored("0/ab", 1)}, {8, id, &events.ArtifactStored{Path: "0/a", Removed: true}}}, KeptRun, 0},
		{"file of a deleted run", []at{{400, id, created}, {400, id, stored("a", 1)}, {8, id, &events.RunTracked{RunID: id, Lifecycle: events.StageDeleted}}}, KeptReleased, 1},
		{"file of a deleted experiment", []at{{400, id, created}, {400, id, stored("a", 1)},
			{8, "all", &events.ExperimentChanged{ExperimentID: "1", Name: "x", Lifecycle: events.StageDeleted}}}, KeptReleased, 1},
		{"file of a run deleted lately", []at{{400, id, created}, {400, id, stored("a", 1)}, {6, id, &events.RunTracked{RunID: id, Lifecycle: events.StageDeleted}}}, KeptRun, 0},
		{"file of a deleted run that a version holds", []at{{400, id, created}, {400, id, stored("a", 1)}, {400, model, registered(1, 1)},
			{8, id, &events.RunTracked{RunID: id, Lifecycle: events.StageDeleted}}}, KeptVersion, 0},
		{"file taken out of a deleted run", []at{{400, id, created}, {400, id, stored("a", 1)}, {20, id, &events.RunTracked{RunID: id, Lifecycle: events.StageDeleted}},
			{8, id, &events.ArtifactStored{Path: "a", Removed: true}}}, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newReach()
			for _, e := range tc.history {
				r.apply(bus.Message{Event: events.Event{Model: e.model, Payload: e.p}, Time: epoch.Add(-time.Duration(e.days * float64(day)))})
			}
			m := r.mark(epoch, olderThan, history)
			require.Equal(t, tc.want, m.kept[digest(1)])
			require.Len(t, m.expired, tc.expired)
		})
	}
}

func TestJunkKeepsWhatItsTextNames(t *testing.T) {
	r := newReach()
	r.apply(bus.Message{Err: events.ErrUnknownType, Data: fmt.Appendf(nil, `{"v2":{"digest":"%s"}}`, digest(1))})
	require.Equal(t, map[artifact.Digest]Class{digest(1): KeptUnread}, r.mark(epoch, olderThan, history).kept)
}
