package tracking_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// What one process was told is done, another knows before it accepts what depends on it, also where it writes to another subject.
func TestNothingIsAcceptedOnWhatAnotherProcessChanged(t *testing.T) {
	srv := bustest.Start(t)
	a, _ := start(t, srv.Connect(t))
	b, _ := start(t, srv.Connect(t))
	ctx := within(t)
	ref := artifact.Ref{Digest: artifact.DigestOf([]byte("x")), Size: 1}
	for i := range 40 {
		e, err := a.CreateExperiment(ctx, tracking.NewExperiment{Name: fmt.Sprint("e", i)})
		require.NoError(t, err)
		run, err := a.CreateRun(ctx, tracking.NewRun{ExperimentID: e.ID})
		require.NoError(t, err)
		require.NoError(t, b.Fresh(ctx))

		require.NoError(t, a.PutFile(ctx, e.ID+"/"+run.ID+"/artifacts/p", ref, ""))
		refused(t, b.PutFile(ctx, e.ID+"/"+run.ID+"/artifacts/p/q", ref, ""), fault.Invalid, "is a file")

		// Deleting a run again stores nothing, unless another process has restored it.
		require.NoError(t, a.DeleteRun(ctx, run.ID, ""))
		require.NoError(t, b.Fresh(ctx))
		require.NoError(t, a.RestoreRun(ctx, run.ID, ""))
		require.NoError(t, b.DeleteRun(ctx, run.ID, ""))
		run, err = a.RunByID(ctx, run.ID)
		require.NoError(t, err)
		require.Equal(t, events.StageDeleted, run.Lifecycle)

		require.NoError(t, b.Fresh(ctx))
		require.NoError(t, a.DeleteExperiment(ctx, e.ID, ""))
		_, err = b.CreateRun(ctx, tracking.NewRun{ExperimentID: e.ID})
		refused(t, err, fault.Invalid, "is deleted")
		_, err = b.CreateLoggedModel(ctx, tracking.NewLoggedModel{ExperimentID: e.ID})
		refused(t, err, fault.Invalid, "is deleted")
	}
}

// A client whose answer was lost deletes or restores a run again, and is told that it is done.
func TestRunsAreDeletedAndRestoredAgain(t *testing.T) {
	book, _ := open(t)
	ctx := within(t)
	run := newRun(t, book)
	for _, want := range []string{events.StageDeleted, events.StageActive} {
		change := book.DeleteRun
		if want == events.StageActive {
			change = book.RestoreRun
		}
		for range 2 {
			require.NoError(t, change(ctx, run.ID, ""))
			got, err := book.RunByID(ctx, run.ID)
			require.NoError(t, err)
			require.Equal(t, want, got.Lifecycle)
		}
	}
	refused(t, book.DeleteRun(ctx, "nope", ""), fault.NotFound)

	e, err := book.CreateExperiment(ctx, tracking.NewExperiment{Name: "e"})
	require.NoError(t, err)
	refused(t, book.RestoreExperiment(ctx, e.ID, ""), fault.NotFound, "is active")
	require.NoError(t, book.DeleteExperiment(ctx, e.ID, ""))
	refused(t, book.DeleteExperiment(ctx, e.ID, ""), fault.NotFound, "is deleted")
}

func TestParamsOfLoggedModelsAreNamedAsTheirs(t *testing.T) {
	book, _ := open(t)
	ctx := within(t)
	m, err := book.CreateLoggedModel(ctx, tracking.NewLoggedModel{Params: pairs("q", "1")})
	require.NoError(t, err)
	refused(t, book.LogModelParams(ctx, m.ID, pairs("q", "2"), ""), fault.Invalid, `of logged model `+m.ID)
}
