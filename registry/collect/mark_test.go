package collect

import (
	"encoding/json"
	"fmt"
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

func TestNothingThatIsOrWasLatelyPointedToIsGarbage(t *testing.T) {
	garbage, released, left := 0, 0, 0
	for seed := range uint64(150) {
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
			for folder := range m.expired {
				require.True(t, w.deleted[folder] || w.deletedExperiments[w.experimentOf[folder]], "seed %d: %s", seed, folder)
			}
			require.Equal(t, w.files, w.listed(), "seed %d", seed)
		}
		left += w.left
	}
	require.Greater(t, garbage, 1000, "histories without garbage show nothing")
	require.Greater(t, released, 1000, "histories without releases show nothing")
	require.Greater(t, left, 100, "histories without contradictions show nothing")
}

// feed applies messages as the streams hold them.
type feed struct {
	r    *reach
	seqs map[events.Stream]uint64
}

func newFeed() *feed { return &feed{newReach(), map[events.Stream]uint64{}} }

func (f *feed) apply(model string, p events.Payload, at time.Time) {
	subject, err := events.SubjectOf(p.EventType(), model)
	if err != nil {
		panic(err)
	}
	kind, _ := events.KindOf(p.EventType())
	f.seqs[kind.Stream]++
	data, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	f.r.apply(bus.Message{Stream: kind.Stream, Subject: subject, Sequence: f.seqs[kind.Stream], Event: events.Event{Model: model, Payload: p}, Time: at, Data: data})
}

func TestMark(t *testing.T) {
	const model, id = "m", "0123456789abcdef0123456789abcdef"
	registered := func(n int, objects ...int) *events.ModelRegistered {
		p := &events.ModelRegistered{Version: n, Source: "mlflow-artifacts:/" + id + "/held"}
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
			{100, model, &events.ModelChanged{Change: events.ChangeAlias, Version: 1, Key: "best"}}}, "", 0},
		{"deleted and promoted all the same", []at{{400, model, registered(1, 1)}, {300, model, &events.ModelChanged{Change: events.ChangeDelete, Version: 1}},
			{200, model, &events.ModelPromoted{Version: 1}}}, KeptProduction, 0},
		{"a registration that contradicts another", []at{{400, model, registered(1, 2)}, {400, model, registered(1, 1)}}, KeptUnread, 0},
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
		{"file", []at{{400, id, created}, {400, id, stored(id+"/a", 1)}}, KeptRun, 0},
		{"file of nobody", []at{{400, "shared", stored("a", 1)}}, KeptShared, 0},
		{"file before its run", []at{{400, id, stored(id+"/a", 1)}}, KeptShared, 0},
		{"file of a logged model", []at{{400, "m-" + id, &events.ModelLogged{ModelID: "m-" + id, Created: &events.LoggedModelCreation{ExperimentID: "1"}}}, {400, "m-" + id, stored("m-"+id+"/a", 1)}}, KeptModel, 0},
		{"file replaced lately", []at{{400, id, created}, {400, id, stored(id+"/a", 1)}, {6, id, stored(id+"/a", 2)}}, KeptReleased, 0},
		{"file replaced", []at{{400, id, created}, {400, id, stored(id+"/a", 1)}, {8, id, stored(id+"/a", 2)}}, "", 0},
		{"file whose folder was removed", []at{{400, id, created}, {400, id, stored(id+"/0/a/b", 1)}, {8, id, &events.ArtifactStored{Path: id + "/0/a", Removed: true}}}, "", 0},
		{"file beside a folder that was removed", []at{{400, id, created}, {400, id, stored(id+"/0/ab", 1)}, {8, id, &events.ArtifactStored{Path: id + "/0/a", Removed: true}}}, KeptRun, 0},
		{"file of a folder that was removed", []at{{400, id, created}, {400, id, stored(id+"/a/b/c", 1)}, {8, id, &events.ArtifactStored{Path: id + "/a", Removed: true}}}, "", 0},
		{"file beside a folder that was removed", []at{{400, id, created}, {400, id, stored(id+"/ab/c", 1)}, {8, id, &events.ArtifactStored{Path: id + "/a", Removed: true}}}, KeptRun, 0},
		{"file of a deleted run", []at{{400, id, created}, {400, id, stored(id+"/a", 1)}, {8, id, &events.RunTracked{RunID: id, Lifecycle: events.StageDeleted}}}, KeptReleased, 1},
		{"file of a deleted experiment", []at{{400, id, created}, {400, id, stored(id+"/a", 1)},
			{300, "all", &events.ExperimentChanged{ExperimentID: "1", Created: true, Name: "x", Lifecycle: events.StageActive}},
			{8, "all", &events.ExperimentChanged{ExperimentID: "1", Name: "x", Lifecycle: events.StageDeleted}}}, KeptReleased, 1},
		{"file of a run deleted lately", []at{{400, id, created}, {400, id, stored(id+"/a", 1)}, {6, id, &events.RunTracked{RunID: id, Lifecycle: events.StageDeleted}}}, KeptRun, 0},
		{"file of a deleted run that a version holds", []at{{400, id, created}, {400, id, stored(id+"/held/a", 1)}, {400, model, registered(1, 1)},
			{8, id, &events.RunTracked{RunID: id, Lifecycle: events.StageDeleted}}}, KeptVersion, 0},
		{"file of a deleted run beside those of a version", []at{{400, id, created}, {400, id, stored(id+"/a", 1)}, {400, id, stored(id+"/held/b", 2)},
			{400, model, registered(1, 2)}, {8, id, &events.RunTracked{RunID: id, Lifecycle: events.StageDeleted}}}, KeptReleased, 1},
		{"file taken out of a deleted run", []at{{400, id, created}, {400, id, stored(id+"/a", 1)}, {20, id, &events.RunTracked{RunID: id, Lifecycle: events.StageDeleted}},
			{8, id, &events.ArtifactStored{Path: id + "/a", Removed: true}}}, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFeed()
			for _, e := range tc.history {
				f.apply(e.model, e.p, epoch.Add(-time.Duration(e.days*float64(day))))
			}
			m := f.r.mark(epoch, olderThan, history)
			require.Equal(t, tc.want, m.kept[digest(1)])
			expired := 0
			for _, e := range m.expired {
				expired += len(e.files)
			}
			require.Equal(t, tc.expired, expired)
		})
	}
}

func TestJunkKeepsWhatItsTextNames(t *testing.T) {
	r := newReach()
	r.apply(bus.Message{Stream: events.Lifecycle, Subject: "model.gated.m", Sequence: 1, Err: events.ErrUnknownType, Data: fmt.Appendf(nil, `{"v2":{"digest":"%s"}}`, digest(1))})
	require.Equal(t, map[artifact.Digest]Class{digest(1): KeptUnread}, r.mark(epoch, olderThan, history).kept)
}
