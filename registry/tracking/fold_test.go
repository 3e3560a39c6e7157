package tracking

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// world makes streams at random: valid messages, contradictions and junk, with what is told of a subject in the order of sequences.
type world struct {
	r    *rand.Rand
	seqs map[events.Stream]uint64
	all  map[events.Stream][]fact
}

func hexID(n int) string { return fmt.Sprintf("%032x", n) }

func (w *world) add(stream events.Stream, t events.Type, subject string, p events.Payload) {
	w.seqs[stream]++
	w.all[stream] = append(w.all[stream], fact{stream: stream, typ: t, subject: subject, seq: w.seqs[stream], at: int64(w.seqs[stream]) * 1000, source: "test", payload: p})
}

func (w *world) pairs(n int) []events.Pair {
	var out []events.Pair
	for range w.r.IntN(n) {
		out = append(out, events.Pair{Key: fmt.Sprint("k", w.r.IntN(4)), Value: fmt.Sprint(w.r.IntN(3))})
	}
	return out
}

func (w *world) run() {
	id := hexID(w.r.IntN(6))
	p := &events.RunTracked{RunID: id}
	if w.r.IntN(3) == 0 {
		p.Created = &events.RunCreation{ExperimentID: fmt.Sprint(w.r.IntN(4)), UserID: "u", StartTime: int64(w.r.IntN(9)), ArtifactURI: "mlflow-artifacts:/x"}
	}
	p.Tags = w.pairs(3)
	if w.r.IntN(2) == 0 {
		name := fmt.Sprint("n", w.r.IntN(3))
		p.Name, p.Params = &name, w.pairs(3)
		for range w.r.IntN(4) {
			m := events.MetricPoint{Key: fmt.Sprint("m", w.r.IntN(3)), Value: events.Number(w.r.IntN(3)), Step: int64(w.r.IntN(3)), Timestamp: int64(w.r.IntN(3))}
			if w.r.IntN(3) == 0 {
				m.ModelID = "m-" + hexID(w.r.IntN(3))
			}
			if w.r.IntN(5) == 0 {
				m.Value = events.Number(math.NaN())
			}
			p.Metrics = append(p.Metrics, m)
		}
		p.Inputs = []events.DatasetInput{{Name: "d", Digest: fmt.Sprint(w.r.IntN(2)), Tags: w.pairs(2)}}
		p.Outputs = []events.ModelOutput{{ModelID: "m", Step: int64(w.r.IntN(2))}}
	}
	p.RemovedTags = []string{fmt.Sprint("k", w.r.IntN(4))}
	p.Lifecycle = []string{"", "", "active", "deleted"}[w.r.IntN(4)]
	w.add(events.Tracking, events.TypeRunTracked, id, p)
}

func (w *world) experiment() {
	w.add(events.Tracking, events.TypeExperimentChanged, events.AllExperiments, &events.ExperimentChanged{ExperimentID: fmt.Sprint(w.r.IntN(4)), Created: w.r.IntN(2) == 0,
		Name: fmt.Sprint("e", w.r.IntN(4)), Lifecycle: []string{"active", "deleted"}[w.r.IntN(2)], Tags: w.pairs(2)})
}

func (w *world) model() {
	id := "m-" + hexID(w.r.IntN(3))
	p := &events.ModelLogged{ModelID: id, Tags: w.pairs(3), Params: w.pairs(2), Deleted: w.r.IntN(8) == 0}
	if w.r.IntN(2) == 0 {
		p.Created = &events.LoggedModelCreation{ExperimentID: fmt.Sprint(w.r.IntN(4)), Name: "m", ArtifactURI: "mlflow-artifacts:/m"}
	}
	w.add(events.Tracking, events.TypeModelLogged, id, p)
}

func (w *world) file() {
	path := []string{"0/a/x", "0/a/y", "0/b", "0/a", "0"}[w.r.IntN(5)]
	if w.r.IntN(2) == 0 {
		path = []string{hexID(0), hexID(1) + "/f", hexID(2), "m-" + hexID(0)}[w.r.IntN(4)]
	}
	p := &events.ArtifactStored{Path: path, Removed: w.r.IntN(3) == 0}
	if p.Removed && w.r.IntN(2) == 0 {
		p.Through = max(w.seqs[events.Tracking]+1, 20) - uint64(w.r.IntN(20))
	}
	if !p.Removed {
		p.Digest, p.SizeBytes = "sha256:"+strings.Repeat(fmt.Sprint(w.r.IntN(10)), 64), int64(w.r.IntN(9))
	}
	w.add(events.Tracking, events.TypeArtifactStored, ownerOf(path), p)
}

func (w *world) trainer() {
	model, id := fmt.Sprint("model", w.r.IntN(2)), hexID(w.r.IntN(6))
	causes := []events.Cause{{Kind: events.CauseFirst}}
	at := time.UnixMilli(int64(w.r.IntN(9)))
	switch w.r.IntN(3) {
	case 0:
		w.add(events.Lifecycle, events.TypeRunStarted, model, &events.RunStarted{RunID: id, Causes: causes, TargetStage: events.StageProduction})
	case 1:
		w.add(events.Lifecycle, events.TypeRunCompleted, model, &events.RunCompleted{RunID: id, Experiment: fmt.Sprint("x", w.r.IntN(2)), Causes: causes, StartedAt: at,
			Metrics: map[string]float64{"m0": 1}, Params: map[string]string{"k0": "v"}, Artifacts: []events.Artifact{{Name: "f", Digest: "sha256:" + strings.Repeat("a", 64), SizeBytes: 3}}})
	case 2:
		w.add(events.Lifecycle, events.TypeRunFailed, model, &events.RunFailed{RunID: id, Step: "train", Reason: "x", Causes: causes, StartedAt: at})
	}
}

func newWorld(seed uint64) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 9)), seqs: map[events.Stream]uint64{}, all: map[events.Stream][]fact{}}
	for range 120 {
		switch w.r.IntN(11) {
		case 0, 1, 2, 3:
			w.run()
		case 4:
			w.experiment()
		case 5:
			w.model()
		case 6, 10:
			w.file()
		case 7, 8:
			w.trainer()
		case 9: // junk on a subject of ours
			w.add(events.Tracking, events.TypeRunTracked, hexID(w.r.IntN(6)), nil)
		}
	}
	return w
}

// picture writes down all that the fold shows, and what it counts.
func picture(s *state) string {
	var lines []string
	for id, r := range s.runs {
		if r.visible() {
			lines = append(lines, fmt.Sprintf("run %s first %d last %d: %+v", id, r.first, r.last, s.showRun(r)))
		}
	}
	for id, e := range s.experiments {
		if e.visible() {
			var runs []string
			for _, r := range e.runs {
				if r.exp == e && r.visible() {
					runs = append(runs, r.id)
				}
			}
			slices.Sort(runs)
			lines = append(lines, fmt.Sprintf("experiment %s: %+v runs %v", id, s.showExperiment(e), runs))
		}
	}
	for id, m := range s.models {
		if m.created {
			lines = append(lines, fmt.Sprintf("model %s: %+v deleted %v", id, s.showModel(m), m.deleted))
		}
	}
	for name, t := range map[string]*tree{"files": s.files, "trained": s.trained} {
		t.root.walk("", func(path string, l leaf) bool {
			lines = append(lines, fmt.Sprintf("%s %s %x %d %d", name, path, l.digest[:4], l.size, l.seq))
			return true
		})
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + fmt.Sprintf("\njunk %d contradictions %d", s.junk, s.contradictions)
}

// plain folds one stream after the other.
func plain(w *world) *state {
	s := newState("mlflow-artifacts:")
	for _, stream := range []events.Stream{events.Tracking, events.Lifecycle} {
		for _, f := range w.all[stream] {
			s.follow(f)
		}
	}
	return s
}

func TestAnyInterleavingFoldsToTheSame(t *testing.T) {
	for seed := range uint64(80) {
		w := newWorld(seed)
		want := picture(plain(w))
		s := newState("mlflow-artifacts:")
		next := map[events.Stream]int{}
		streams := []events.Stream{events.Tracking, events.Lifecycle}
		for next[events.Tracking]+next[events.Lifecycle] < len(w.all[events.Tracking])+len(w.all[events.Lifecycle]) {
			stream := streams[w.r.IntN(2)]
			if i := next[stream]; i < len(w.all[stream]) {
				s.follow(w.all[stream][i])
				if i > 0 && w.r.IntN(4) == 0 {
					s.follow(w.all[stream][w.r.IntN(i)]) // delivered again
				}
				next[stream]++
			}
		}
		require.Equal(t, want, picture(s), "seed %d", seed)
	}
}

func TestOwnWritesFoldedEarlyAreWhatTheFollowerWouldFold(t *testing.T) {
	for seed := range uint64(80) {
		w := newWorld(seed)
		want := picture(plain(w))
		s := newState("mlflow-artifacts:")
		facts := w.all[events.Tracking]
		// A write is folded early only once its subject's messages before it are: files, which are no compare-and-set, at any time. What a collection
		// removes is no write of a book.
		early := func(from int) {
			for i := from; i < len(facts); i++ {
				f := facts[i]
				behind := slices.ContainsFunc(facts[from:i], func(o fact) bool { return o.typ == f.typ && o.subject == f.subject })
				if p, ok := f.payload.(*events.ArtifactStored); ok && p.Through > 0 {
					continue
				}
				if w.r.IntN(3) == 0 && (!behind || f.typ == events.TypeArtifactStored) {
					s.own(f, s.epoch)
				}
			}
		}
		for i, f := range facts {
			if w.r.IntN(4) == 0 {
				early(i)
			}
			s.follow(f)
		}
		for _, f := range w.all[events.Lifecycle] {
			s.follow(f)
		}
		require.Equal(t, want, picture(s), "seed %d", seed)
	}
}

func TestAStreamThatIsCreatedAgainIsFoldedAnew(t *testing.T) {
	for seed := range uint64(40) {
		w, other := newWorld(seed), newWorld(seed+1000)
		for _, stream := range []events.Stream{events.Tracking, events.Lifecycle} {
			s := plain(w)
			epoch := s.epoch
			s.reset(stream)
			if stream == events.Tracking {
				s.own(fact{stream: stream, typ: events.TypeRunTracked, subject: hexID(77), seq: 9999,
					payload: &events.RunTracked{RunID: hexID(77), Created: &events.RunCreation{ExperimentID: "0"}}}, epoch)
				require.NotContains(t, s.runs, hexID(77), "a write of the old stream")
			}
			for _, f := range other.all[stream] {
				s.follow(f)
			}
			mixed := &world{all: map[events.Stream][]fact{events.Tracking: w.all[events.Tracking], events.Lifecycle: w.all[events.Lifecycle]}}
			mixed.all[stream] = other.all[stream]
			want := plain(mixed)
			s.junk, s.contradictions, want.junk, want.contradictions = 0, 0, 0, 0
			require.Equal(t, picture(want), picture(s), "seed %d, %s", seed, stream)
		}
	}
}

func TestJunkMovesWhatIsExpectedAndNothingElse(t *testing.T) {
	s := newState("mlflow-artifacts:")
	id := hexID(1)
	s.follow(fact{stream: events.Tracking, typ: events.TypeRunTracked, subject: id, seq: 3})
	require.EqualValues(t, 1, s.junk)
	require.EqualValues(t, 3, s.runs[id].last)
	_, err := s.knownRun(id)
	require.Error(t, err)
	s.follow(fact{stream: events.Tracking, typ: events.TypeRunTracked, subject: id, seq: 4,
		payload: &events.RunTracked{RunID: id, Created: &events.RunCreation{ExperimentID: "0"}}})
	_, err = s.knownRun(id)
	require.NoError(t, err)
	s.follow(fact{stream: events.Tracking, typ: events.TypeRunTracked, subject: id, seq: 5, payload: &events.RunTracked{RunID: hexID(2)}})
	require.EqualValues(t, 2, s.junk, "another run's change on this subject")
	s.follow(fact{stream: events.Tracking, typ: events.TypeRunTracked, subject: id, seq: 6,
		payload: &events.RunTracked{RunID: id, Created: &events.RunCreation{ExperimentID: "0", UserID: "thief"}}})
	require.EqualValues(t, 1, s.contradictions)
	require.Empty(t, s.runs[id].user)
}

func TestWhatIsKnownIsNotDecodedUnlessTheStreamIsAnother(t *testing.T) {
	b := &Book{state: newState("mlflow-artifacts:"), marks: map[events.Stream]*mark{events.Tracking: newMark()}, log: slog.New(slog.DiscardHandler)}
	id := hexID(1)
	m := bus.Message{Stream: events.Tracking, Sequence: 4, Subject: runPrefix + id,
		Data: []byte(`{"run_id":"` + id + `","created":{"experiment_id":"0","user_id":"ann","artifact_uri":"mlflow-artifacts:/0"}}`)}
	_, ok := b.state.known(m)
	require.False(t, ok)
	b.state.own(fact{stream: events.Tracking, typ: events.TypeRunTracked, subject: id, seq: 4,
		payload: &events.RunTracked{RunID: id, Created: &events.RunCreation{ExperimentID: "0", UserID: "bob"}}}, b.state.epoch)
	early := &item{msg: m, done: make(chan struct{})}
	early.fact, early.known = b.state.known(m)
	require.True(t, early.known)
	close(early.done)
	b.fold(events.Tracking, early)
	require.Equal(t, "bob", b.state.runs[id].user)
	require.EqualValues(t, 4, b.marks[events.Tracking].at())

	b.restart(events.Tracking)
	b.fold(events.Tracking, early)
	require.Equal(t, "ann", b.state.runs[id].user, "it is another stream's message now")
	require.Zero(t, b.state.junk)
}
