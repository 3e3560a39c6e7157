package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// rig is a loop's streams and store.
type rig struct {
	t     *testing.T
	bus   *bus.Bus
	store artifact.Store
	// skew is what the clocks of the store and the collection are ahead.
	skew time.Duration
	n    int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, bus: bustest.Start(t).Connect(t)}
	require.NoError(t, r.bus.Provision(t.Context()))
	store, err := objstore.Open(t.Context(), r.bus.JetStream(), objstore.Config{Now: r.now})
	require.NoError(t, err)
	r.store = store
	return r
}

func (r *rig) now() time.Time { return time.Now().Add(r.skew) }

func (r *rig) config() Config {
	return Config{Bus: r.bus, Store: r.store, Log: slog.New(slog.DiscardHandler), Now: r.now}
}

func (r *rig) collect() Report {
	r.t.Helper()
	report, err := Collect(r.t.Context(), r.config())
	require.NoError(r.t, err)
	return report
}

// put stores something that nothing else is like.
func (r *rig) put(name string) events.Artifact {
	r.t.Helper()
	ref, err := artifact.PutBytes(r.t.Context(), r.store, []byte("content of "+name))
	require.NoError(r.t, err)
	return events.Artifact{Name: name, Digest: string(ref.Digest), SizeBytes: ref.Size}
}

func (r *rig) publish(model string, p events.Payload) {
	r.t.Helper()
	r.n++
	_, err := r.bus.Publish(r.t.Context(), events.New(model, "test", fmt.Sprint(r.n), time.Now(), p))
	require.NoError(r.t, err)
}

func (r *rig) has(a events.Artifact) bool {
	r.t.Helper()
	_, err := r.store.Stat(r.t.Context(), artifact.Digest(a.Digest))
	if !errors.Is(err, artifact.ErrNotFound) {
		require.NoError(r.t, err)
	}
	return err == nil
}

const runID = "0123456789abcdef0123456789abcdef"

// completed publishes a run of the trainer with the artifacts.
func (r *rig) completed(id string, as ...events.Artifact) {
	r.t.Helper()
	r.publish("telco-churn", &events.RunCompleted{
		RunID: id, Experiment: "e", Artifacts: as, TargetStage: events.StageStaging, StartedAt: time.Now(), DatasetFingerprint: "xxh64:0",
		SpecDigest: string(artifact.DigestOf(nil)), Causes: []events.Cause{{Kind: events.CauseFirst}},
	})
}

func (r *rig) logged(id, path string, a events.Artifact) {
	r.t.Helper()
	r.publish(id, &events.RunTracked{RunID: id, Created: &events.RunCreation{ExperimentID: "1", ArtifactURI: "mlflow-artifacts:/1/" + id}})
	r.publish(id, &events.ArtifactStored{Path: path, Digest: a.Digest, SizeBytes: a.SizeBytes})
}

func TestCollect(t *testing.T) {
	r := newRig(t)
	kept, orphan, logged := r.put("bundle.tar"), r.put("orphan"), r.put("logged")
	r.completed("t1", kept)
	r.logged(runID, "1/"+runID+"/artifacts/f", logged)

	c := r.config()
	c.Now = nil
	report, err := Collect(t.Context(), c)
	require.NoError(t, err, "by the server's clock")
	require.Empty(t, report.Garbage, "everything is young")
	require.Equal(t, 1, report.Kept[KeptRecent].Objects)
	require.Equal(t, 2, report.Kept[KeptRun].Objects)
	require.Equal(t, 3, report.Stored.Objects)

	r.skew = artifact.MinDeleteAge + time.Hour
	c = r.config()
	c.DryRun = true
	dry, err := Collect(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, Count{Objects: 1, Bytes: orphan.SizeBytes}, dry.Size())
	require.Equal(t, orphan.Digest, string(dry.Garbage[0].Digest))
	require.Zero(t, dry.Deleted)
	require.True(t, r.has(orphan), "a dry run changes nothing")

	report = r.collect()
	require.Equal(t, dry.Garbage, report.Garbage)
	require.Equal(t, Count{Objects: 1, Bytes: orphan.SizeBytes}, report.Deleted)
	require.False(t, r.has(orphan))
	require.True(t, r.has(kept))
	require.True(t, r.has(logged))
	require.Empty(t, r.collect().Garbage, "again is nothing")
}

func TestFilesOfDeletedRunsGoInTwoSteps(t *testing.T) {
	r := newRig(t)
	path := "1/" + runID + "/artifacts/f"
	file, kept := r.put("file"), r.put("bundle.tar")
	r.completed("t1", kept)
	r.logged(runID, path, file)
	r.publish(runID, &events.RunTracked{RunID: runID, Lifecycle: events.StageDeleted})
	tracking := func() uint64 {
		last, err := r.bus.LastSequence(t.Context(), events.Tracking)
		require.NoError(t, err)
		return last
	}
	before := tracking()
	r.skew = 6 * day
	require.Zero(t, r.collect().Expired)
	require.Equal(t, before, tracking())

	r.skew = 8 * day
	c := r.config()
	c.DryRun = true
	dry, err := Collect(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, Count{Objects: 1, Bytes: file.SizeBytes}, dry.Expired)
	require.Equal(t, before, tracking())
	report := r.collect()
	require.Equal(t, dry.Expired, report.Expired)
	require.Equal(t, 1, report.Kept[KeptReleased].Objects)
	require.True(t, r.has(file))
	m, ok, err := r.bus.Last(t.Context(), events.TypeArtifactStored, runID)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, &events.ArtifactStored{Path: "1/" + runID, Removed: true, Through: before, Actor: "gc"}, m.Event.Payload)

	report = r.collect() // the removal was a moment ago, and the clock is eight days ahead
	require.Zero(t, report.Expired, "taken out once")
	require.Equal(t, 1, report.Deleted.Objects)
	require.False(t, r.has(file))
	require.True(t, r.has(kept))
}

func TestRefusals(t *testing.T) {
	t.Run("configuration", func(t *testing.T) {
		r := newRig(t)
		c := r.config()
		c.OlderThan = artifact.MinDeleteAge - time.Second
		_, err := Collect(t.Context(), c)
		require.ErrorContains(t, err, "younger than 168h0m0s are never taken")
		_, err = Collect(t.Context(), Config{})
		require.ErrorContains(t, err, "bus is required")
		require.ErrorContains(t, err, "must be able to list and to delete")
	})
	t.Run("no streams", func(t *testing.T) {
		r := newRig(t)
		require.NoError(t, r.bus.JetStream().DeleteStream(t.Context(), string(events.Tracking)))
		_, err := Collect(t.Context(), r.config())
		require.ErrorIs(t, err, ErrIncomplete)
	})
	t.Run("the store of another loop", func(t *testing.T) {
		r := newRig(t)
		theirs := r.put("theirs")
		r.skew = artifact.MinDeleteAge + time.Hour
		_, err := Collect(t.Context(), r.config())
		require.ErrorIs(t, err, ErrForeign)
		r.completed("t1", events.Artifact{Name: "bundle.tar", Digest: string(digest(1)), SizeBytes: 1})
		_, err = Collect(t.Context(), r.config())
		require.ErrorIs(t, err, ErrForeign)
		require.True(t, r.has(theirs))
	})
	t.Run("a stream that lost messages", func(t *testing.T) {
		r := newRig(t)
		orphan := r.put("orphan")
		r.completed("t1", r.put("bundle.tar"))
		r.logged(runID, "1/"+runID+"/artifacts/f", r.put("file"))
		stream, err := r.bus.JetStream().Stream(t.Context(), string(events.Tracking))
		require.NoError(t, err)
		cut := stream.CachedInfo().Config
		cut.FirstSeq = stream.CachedInfo().State.LastSeq + 1 // as if it had been purged, which it refuses
		require.NoError(t, r.bus.JetStream().DeleteStream(t.Context(), string(events.Tracking)))
		_, err = r.bus.JetStream().CreateStream(t.Context(), cut)
		require.NoError(t, err)
		r.skew = artifact.MinDeleteAge + time.Hour
		_, err = Collect(t.Context(), r.config())
		require.ErrorIs(t, err, ErrIncomplete)
		require.True(t, r.has(orphan))
	})
}

// broken deletes some and then fails, as a store that goes away does.
type broken struct {
	*objstore.Store
	mu   sync.Mutex
	left int
}

var errAway = errors.New("store is away")

func (b *broken) Delete(ctx context.Context, d artifact.Digest, unlessNewer time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 {
		return errAway
	}
	b.left--
	return b.Store.Delete(ctx, d, unlessNewer)
}

func TestACollectionThatBreaksOffIsFinishedByTheNext(t *testing.T) {
	r := newRig(t)
	kept := r.put("bundle.tar")
	r.completed("t1", kept)
	const orphans = 30
	for n := range orphans {
		r.put(fmt.Sprint("orphan", n))
	}
	r.skew = artifact.MinDeleteAge + time.Hour
	c := r.config()
	c.Store = &broken{Store: r.store.(*objstore.Store), left: 11}
	report, err := Collect(t.Context(), c)
	require.ErrorIs(t, err, errAway)
	require.Equal(t, 11, report.Deleted.Objects)
	require.Len(t, report.Garbage, orphans)

	var reports [3]Report
	var errs [3]error
	var wg sync.WaitGroup
	for i := range reports {
		wg.Go(func() { reports[i], errs[i] = Collect(t.Context(), r.config()) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs[:]...))
	require.True(t, r.has(kept))
	after := r.collect()
	require.Equal(t, 1, after.Stored.Objects)
	require.Empty(t, after.Garbage)
}

// testPutDuringCollection has writers store again what a collection is about to delete, and name it only afterwards.
func testPutDuringCollection(t *testing.T, r *rig) {
	const objects = 40
	r.completed("t0", r.put("bundle.tar"))
	for n := range objects {
		r.put(fmt.Sprint("again", n))
	}
	old := time.Now()
	select { // S3 shows whole seconds
	case <-time.After(1500 * time.Millisecond):
	case <-t.Context().Done():
	}
	r.skew = artifact.MinDeleteAge // to the writers everything is old
	c := r.config()
	c.Now = func() time.Time { return old.Add(artifact.MinDeleteAge) } // to the collection what was there before the pause
	done := make(chan error, 1)
	var report Report
	go func() {
		var err error
		report, err = Collect(t.Context(), c)
		done <- err
	}()
	var again []events.Artifact
	for n := range objects {
		again = append(again, r.put(fmt.Sprint("again", n)))
	}
	require.NoError(t, <-done)
	for _, a := range again {
		require.NoError(t, artifact.Verify(t.Context(), r.store, artifact.Digest(a.Digest)), "%s was put and is gone", a.Name)
	}
	t.Logf("%d of %d were garbage, %d deleted before they were put again", len(report.Garbage), objects, report.Deleted.Objects)
	r.completed("t1", again...)
	require.Empty(t, r.collect().Garbage)
}

func TestPutDuringCollection(t *testing.T) { testPutDuringCollection(t, newRig(t)) }

// TestTheBookAgrees has clients log and delete through the book, and looks there for what a collection did.
func TestTheBookAgrees(t *testing.T) {
	r := newRig(t)
	book, err := tracking.New(tracking.Config{Bus: r.bus, Log: slog.New(slog.DiscardHandler), Source: "test"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- book.Run(ctx) }()
	defer func() {
		cancel()
		<-done
	}()
	<-book.Ready()
	file := func(root, name string) (string, events.Artifact) {
		t.Helper()
		path := root + "/artifacts/" + name
		a := r.put(path)
		require.NoError(t, book.PutFile(ctx, path, artifact.Ref{Digest: artifact.Digest(a.Digest), Size: a.SizeBytes}, "test"))
		return path, a
	}
	kept, err := book.CreateRun(ctx, tracking.NewRun{ExperimentID: "0"})
	require.NoError(t, err)
	gone, err := book.CreateRun(ctx, tracking.NewRun{ExperimentID: "0"})
	require.NoError(t, err)
	keptPath, keptFile := file("0/"+kept.ID, "model/weights")
	_, replaced := file("0/"+kept.ID, "plots/a.png")
	require.NoError(t, book.RemoveFiles(ctx, "0/"+kept.ID+"/artifacts/plots", "test"))
	gonePath, goneFile := file("0/"+gone.ID, "model/weights")
	require.NoError(t, book.DeleteRun(ctx, gone.ID, "test"))

	r.skew = 8 * day
	report := r.collect()
	require.Equal(t, 1, report.Expired.Objects)
	require.False(t, r.has(replaced), "removed with its folder")
	require.True(t, r.has(goneFile))
	report = r.collect()
	require.Equal(t, 1, report.Deleted.Objects)
	require.False(t, r.has(goneFile))
	require.True(t, r.has(keptFile))
	require.NoError(t, book.Fresh(ctx))
	_, err = book.File(ctx, gonePath)
	require.Equal(t, fault.NotFound, fault.CodeOf(err), "the book names no file that is gone")
	_, err = book.File(ctx, keptPath)
	require.NoError(t, err)
	require.NoError(t, book.RestoreRun(ctx, gone.ID, "test"))
	require.NotContains(t, r.collect().Kept, KeptReleased)
}
