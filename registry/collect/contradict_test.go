package collect

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry/tracking"
)

// version registers a version of a client's model with a bundle of its own.
func (r *rig) version(n int) events.Artifact {
	r.t.Helper()
	a := r.put(fmt.Sprint("bundle of ", n))
	a.Name = "bundle.tar"
	r.publish("m", &events.ModelRegistered{Version: n, Source: "mlflow-artifacts:/0/x", Bundle: a, Artifacts: []events.Artifact{a}})
	return a
}

func TestWhatContradictsDeletesNothing(t *testing.T) {
	promoted := func(v events.Artifact) *events.ModelPromoted {
		return &events.ModelPromoted{Version: 1, Bundle: v, Cause: events.PromotedManually, Ungated: true}
	}
	t.Run("a model deleted after a promotion", func(t *testing.T) {
		r := newRig(t)
		r.completed("t1", r.put("bundle.tar"))
		r.publish("m", &events.ModelChanged{Change: events.ChangeCreate})
		v1, v2 := r.version(1), r.version(2)
		r.publish("m", promoted(v1))
		r.publish("m", &events.ModelChanged{Change: events.ChangeDelete})
		r.skew = 100 * day
		r.collect()
		require.True(t, r.has(v1), "of Production")
		require.True(t, r.has(v2), "of a version that is not deleted")
	})
	for name, order := range map[string][]int{"a version deleted after its promotion": {0, 1}, "a version promoted after it was deleted": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.completed("t1", r.put("bundle.tar"))
			r.publish("m", &events.ModelChanged{Change: events.ChangeCreate})
			v := r.version(1)
			for _, i := range order {
				r.publish("m", []events.Payload{promoted(v), &events.ModelChanged{Change: events.ChangeDelete, Version: 1}}[i])
			}
			r.skew = 100 * day
			r.collect()
			require.True(t, r.has(v), "model.promoted names it, and whoever starts loads it")
		})
	}
	t.Run("an experiment deleted under another's name", func(t *testing.T) {
		r := newRig(t)
		r.completed("t1", r.put("bundle.tar"))
		r.publish(events.AllExperiments, &events.ExperimentChanged{ExperimentID: "1", Created: true, Name: "one", Lifecycle: events.StageActive})
		f := r.put("f")
		r.logged(runID, "1/"+runID+"/artifacts/f", f)
		r.publish(events.AllExperiments, &events.ExperimentChanged{ExperimentID: "1", Name: "Default", Lifecycle: events.StageDeleted})
		r.skew = 8 * day
		require.Zero(t, r.collect().Expired)
		r.collect()
		require.True(t, r.has(f))
	})
	t.Run("a run created again as deleted", func(t *testing.T) {
		r := newRig(t)
		r.completed("t1", r.put("bundle.tar"))
		f := r.put("f")
		r.logged(runID, "1/"+runID+"/artifacts/f", f)
		r.publish(runID, &events.RunTracked{RunID: runID, Created: &events.RunCreation{ExperimentID: "1", ArtifactURI: "x"}, Lifecycle: events.StageDeleted})
		r.skew = 8 * day
		require.Zero(t, r.collect().Expired)
	})
}

// openBook runs a book until the test ends.
func (r *rig) openBook() *tracking.Book {
	r.t.Helper()
	book, err := tracking.New(tracking.Config{Bus: r.bus, Log: slog.New(slog.DiscardHandler), Source: "test"})
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- book.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	<-book.Ready()
	return book
}

// A collection decides, and much may happen before it takes anything away: it may stand still in between for as long as it likes.
func TestWhatIsRestoredAfterTheDecisionStays(t *testing.T) {
	const n = 20
	for _, tt := range []struct {
		name string
		// meanwhile is what happens between the decision and the removal, and how many of the files are there afterwards.
		meanwhile func(r *rig, book *tracking.Book, run tracking.Run) (left int)
	}{
		{"nothing", func(*rig, *tracking.Book, tracking.Run) int { return 0 }},
		{"restored", func(r *rig, book *tracking.Book, run tracking.Run) int {
			require.NoError(r.t, book.RestoreRun(r.t.Context(), run.ID, "test"))
			return n
		}},
		{"restored and deleted again", func(r *rig, book *tracking.Book, run tracking.Run) int {
			require.NoError(r.t, book.RestoreRun(r.t.Context(), run.ID, "test"))
			require.NoError(r.t, book.DeleteRun(r.t.Context(), run.ID, "test"))
			return n
		}},
		{"logged to, still deleted", func(r *rig, book *tracking.Book, run tracking.Run) int {
			r.putFile(book, run, 0)
			r.putFile(book, run, n)
			return 2
		}},
		{"its experiment deleted", func(r *rig, book *tracking.Book, run tracking.Run) int {
			require.NoError(r.t, book.DeleteExperiment(r.t.Context(), run.ExperimentID, "test"))
			return 0
		}},
		{"registered", func(r *rig, _ *tracking.Book, run tracking.Run) int {
			r.publish("m", &events.ModelChanged{Change: events.ChangeCreate})
			r.publish("m", &events.ModelRegistered{Version: 1, Source: run.ArtifactURI, Unservable: "it is a test's"})
			return n
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			ctx := t.Context()
			book := r.openBook()
			r.completed("t1", r.put("bundle.tar"))
			run, err := book.CreateRun(ctx, tracking.NewRun{ExperimentID: "0"})
			require.NoError(t, err)
			for i := range n {
				r.putFile(book, run, i)
			}
			require.NoError(t, book.DeleteRun(ctx, run.ID, "test"))
			r.skew = 8 * day
			c := r.config().withDefaults()
			decided := newReach()
			_, err = c.fold(ctx, decided, events.Lifecycle)
			require.NoError(t, err)
			through, err := c.fold(ctx, decided, events.Tracking)
			require.NoError(t, err)
			m := decided.mark(r.now(), c.OlderThan, c.History)
			require.Len(t, m.expired, 1)

			want := tt.meanwhile(r, book, run)
			for range 2 { // killed and begun again
				require.NoError(t, c.expire(ctx, decided, m.expired, through, r.now()))
			}
			files, err := book.Under(ctx, "0/"+run.ID)
			require.NoError(t, err)
			require.Len(t, files, want)
			again, err := r.openBook().Under(ctx, "0/"+run.ID)
			require.NoError(t, err)
			require.Equal(t, files, again, "whoever folds it anew sees the same")
			collected := newReach()
			_, err = c.fold(ctx, collected, events.Tracking)
			require.NoError(t, err)
			var seen []tracking.File
			collected.remains.Files(func(f tracking.File) { seen = append(seen, f) })
			require.Equal(t, files, seen, "so does the next collection")
		})
	}
}

func (r *rig) putFile(book *tracking.Book, run tracking.Run, i int) {
	r.t.Helper()
	path := fmt.Sprintf("0/%s/artifacts/f%04d", run.ID, i)
	a := r.put(path)
	require.NoError(r.t, book.PutFile(r.t.Context(), path, artifact.Ref{Digest: artifact.Digest(a.Digest), Size: a.SizeBytes}, "test"))
}

// A run with files in hundreds is restored while a collection works: it has all of them or none, and what is logged to it from then on.
func TestRestoreDuringACollection(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	book := r.openBook()
	r.completed("t1", r.put("bundle.tar"))
	const runs, n = 8, 20
	var all []tracking.Run
	for range runs {
		run, err := book.CreateRun(ctx, tracking.NewRun{ExperimentID: "0"})
		require.NoError(t, err)
		for i := range n {
			r.putFile(book, run, i)
		}
		require.NoError(t, book.DeleteRun(ctx, run.ID, "test"))
		all = append(all, run)
	}
	r.skew = 8 * day
	done := make(chan error, 1)
	go func() {
		_, err := Collect(ctx, r.config())
		done <- err
	}()
	for _, run := range all {
		require.NoError(t, book.RestoreRun(ctx, run.ID, "test"))
		r.putFile(book, run, n)
	}
	require.NoError(t, <-done)
	for _, run := range all {
		files, err := book.Under(ctx, "0/"+run.ID)
		require.NoError(t, err)
		require.Contains(t, []int{1, n + 1}, len(files))
		require.Contains(t, files[len(files)-1].Path, fmt.Sprintf("f%04d", n))
	}
}
