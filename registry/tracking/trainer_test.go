package tracking_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// publish stores an event of the trainer.
func publish(t *testing.T, b *bus.Bus, model, key string, at time.Time, p events.Payload) {
	t.Helper()
	_, err := b.Publish(within(t), events.New(model, "trainer/host-1", key, at, p))
	require.NoError(t, err)
}

var (
	began  = time.UnixMilli(1_700_000_000_000)
	causes = []events.Cause{{Kind: events.CauseDrift, Detail: "psi of MonthlyCharges 1.42 > 0.2"}}
	digest = "sha256:" + strings.Repeat("ab", 32)
)

func trainerID(n int) string { return strings.Repeat("0", 31) + string(rune('a'+n)) }

func started(t *testing.T, b *bus.Bus, n int) {
	t.Helper()
	publish(t, b, "telco-churn", trainerID(n), began, &events.RunStarted{RunID: trainerID(n), Causes: causes, DataCutoff: 7, DatasetFingerprint: "f1",
		SpecDigest: digest, TargetStage: events.StageProduction})
}

func completed(t *testing.T, b *bus.Bus, n int) {
	t.Helper()
	publish(t, b, "telco-churn", trainerID(n), began.Add(time.Minute), &events.RunCompleted{RunID: trainerID(n), Experiment: "telco-churn-training",
		Params: map[string]string{"trees": "100"}, Metrics: map[string]float64{"f1_churn": .6, "roc_auc": .84},
		Artifacts:          []events.Artifact{{Name: "bundle.tar", Digest: digest, SizeBytes: 9}, {Name: "report/data.json", Digest: digest, SizeBytes: 1}},
		DatasetFingerprint: "f2", SpecDigest: digest, TargetStage: events.StageProduction, Causes: causes, StartedAt: began, DurationMS: 61_000})
}

func failed(t *testing.T, b *bus.Bus, n int) {
	t.Helper()
	publish(t, b, "telco-churn", trainerID(n), began.Add(time.Minute), &events.RunFailed{RunID: trainerID(n), Step: "validate", Reason: "no rows", Causes: causes, StartedAt: began, DurationMS: 5})
}

func TestTheTrainersRunsAreShown(t *testing.T) {
	book, b := open(t)
	ctx := within(t)
	started(t, b, 0)
	started(t, b, 1)
	failed(t, b, 1)
	exp, err := book.ExperimentByName(ctx, "telco-churn-training")
	require.NoError(t, err)
	require.Regexp(t, `^\d{18}$`, exp.ID)
	require.True(t, exp.Trainer)
	open, err := book.RunByID(ctx, trainerID(0))
	require.NoError(t, err)
	require.Equal(t, events.StatusRunning, open.Status)
	require.Zero(t, open.EndTime)
	completed(t, b, 0)

	done, err := book.RunByID(ctx, trainerID(0))
	require.NoError(t, err)
	end := began.UnixMilli() + 61_000
	require.Equal(t, tracking.Run{ID: trainerID(0), Name: trainerID(0), ExperimentID: exp.ID, UserID: "trainer", Status: "FINISHED", Lifecycle: "active",
		ArtifactURI: "mlflow-artifacts:/" + exp.ID + "/" + trainerID(0) + "/artifacts", StartTime: began.UnixMilli(), EndTime: end,
		Metrics: []events.MetricPoint{point("f1_churn", .6, end, 0), point("roc_auc", .84, end, 0)}, Params: pairs("trees", "100"), Trainer: true, Model: "telco-churn",
		Tags: pairs("churn.cause", "drift: psi of MonthlyCharges 1.42 > 0.2", "churn.data_cutoff", "7", "churn.dataset_fingerprint", "f2", "churn.model", "telco-churn",
			"churn.quarantined_rows", "0", "churn.spec_digest", digest, "churn.target_stage", "Production", "mlflow.runName", trainerID(0),
			"mlflow.source.name", "trainer/host-1", "mlflow.source.type", "JOB", "mlflow.user", "trainer")}, done)

	page, err := book.SearchRuns(ctx, tracking.RunQuery{ExperimentIDs: []string{exp.ID}, Filter: "status = 'FAILED' AND tags.churn.failed_step = 'validate'"})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.Equal(t, trainerID(1), page.Items[0].ID)
	page, err = book.SearchRuns(ctx, tracking.RunQuery{ExperimentIDs: []string{exp.ID}, Filter: "metrics.f1_churn > 0.5 AND params.trees = '100'"})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	points, err := book.MetricHistory(ctx, trainerID(0), "roc_auc")
	require.NoError(t, err)
	require.Equal(t, []events.MetricPoint{point("roc_auc", .84, end, 0)}, points)

	root := exp.ID + "/" + trainerID(0) + "/artifacts"
	entries, err := book.List(ctx, root)
	require.NoError(t, err)
	require.Equal(t, []tracking.Entry{{Name: "report", Dir: true}, {Name: "bundle.tar", Size: 9}}, entries)
	file, err := book.File(ctx, root+"/report/data.json")
	require.NoError(t, err)
	require.Equal(t, tracking.File{Path: root + "/report/data.json", Digest: artifact.Digest(digest), Size: 1}, file)
}

func TestTheTrainersRunsTakeTagsAlone(t *testing.T) {
	book, b := open(t)
	ctx := within(t)
	started(t, b, 0)
	id := trainerID(0)
	require.NoError(t, book.Log(ctx, id, tracking.Batch{Tags: pairs("mlflow.note.content", "look at this")}))
	completed(t, b, 0)
	refused(t, book.Log(ctx, id, tracking.Batch{Metrics: []events.MetricPoint{point("m", 1, 0, 0)}}), fault.Invalid, "trainer")
	refused(t, book.Log(ctx, id, tracking.Batch{Params: pairs("p", "v")}), fault.Invalid, "trainer")
	refused(t, book.Log(ctx, id, tracking.Batch{Tags: pairs("churn.cause", "none")}), fault.Invalid, "churn.cause")
	refused(t, book.DeleteTag(ctx, id, "mlflow.runName", ""), fault.Invalid)
	refused(t, book.DeleteRun(ctx, id, ""), fault.Invalid, "trainer")
	refused(t, book.RestoreRun(ctx, id, ""), fault.Invalid, "trainer")
	_, err := book.UpdateRun(ctx, id, tracking.RunUpdate{Status: events.StatusFailed})
	refused(t, err, fault.Invalid, "trainer")
	exp, err := book.ExperimentByName(ctx, "telco-churn-training")
	require.NoError(t, err)
	refused(t, book.RenameExperiment(ctx, exp.ID, "x", ""), fault.Invalid, "trainer")
	refused(t, book.DeleteExperiment(ctx, exp.ID, ""), fault.Invalid, "trainer")
	_, err = book.CreateExperiment(ctx, tracking.NewExperiment{Name: "telco-churn-training"})
	refused(t, err, fault.Exists)
	path := exp.ID + "/" + id + "/artifacts/model.txt"
	refused(t, book.PutFile(ctx, path, artifact.Ref{Digest: artifact.Digest(digest), Size: 1}, ""), fault.Invalid, "trainer")
	refused(t, book.RemoveFiles(ctx, exp.ID, ""), fault.Invalid, "trainer")

	again, _ := start(t, b)
	got, err := again.RunByID(ctx, id)
	require.NoError(t, err)
	require.Contains(t, got.Tags, events.Pair{Key: "mlflow.note.content", Value: "look at this"})
	require.NoError(t, again.DeleteTag(ctx, id, "mlflow.note.content", ""))

	mixed, err := again.CreateRun(ctx, tracking.NewRun{ExperimentID: exp.ID, Name: "by hand"})
	require.NoError(t, err, "a client's run may stand beside the trainer's")
	page, err := again.SearchRuns(ctx, tracking.RunQuery{ExperimentIDs: []string{exp.ID}})
	require.NoError(t, err)
	require.Len(t, page.Items, 2)
	require.False(t, mixed.Trainer)
}

func TestAClientsRunThatWasRegisteredIsNoRunOfTheTrainer(t *testing.T) {
	book, b := open(t)
	ctx := within(t)
	r := newRun(t, book)
	publish(t, b, "from-python", r.ID, began, &events.RunCompleted{RunID: r.ID, Experiment: "Default", DatasetFingerprint: "f", TargetStage: events.StageStaging,
		Artifacts: []events.Artifact{{Name: "model.txt", Digest: digest, SizeBytes: 3}}, Causes: []events.Cause{{Kind: events.CauseRequested}}, StartedAt: began})
	for _, book := range []*tracking.Book{book, func() *tracking.Book { again, _ := start(t, b); return again }()} {
		got, err := book.RunByID(ctx, r.ID)
		require.NoError(t, err)
		require.Equal(t, r, got)
		page, err := book.SearchExperiments(ctx, tracking.Query{})
		require.NoError(t, err)
		require.Len(t, page.Items, 1, "no experiment but the client's")
		files, err := book.Under(ctx, "")
		require.NoError(t, err)
		require.Empty(t, files)
	}
}

func TestRunsThatNeverNamedTheirExperimentGoWithTheirModels(t *testing.T) {
	book, b := open(t)
	ctx := within(t)
	experimentOf := func(n int) string {
		t.Helper()
		r, err := book.RunByID(ctx, trainerID(n))
		require.NoError(t, err)
		e, err := book.Experiment(ctx, r.ExperimentID)
		require.NoError(t, err)
		return e.Name
	}
	send := func(n int, p events.Payload) {
		t.Helper()
		publish(t, b, "modèle 1", trainerID(n), began, p)
	}
	start := func(n int) {
		t.Helper()
		send(n, &events.RunStarted{RunID: trainerID(n), Causes: causes, DatasetFingerprint: "f", SpecDigest: digest, TargetStage: events.StageStaging})
	}
	start(0)
	send(0, &events.RunFailed{RunID: trainerID(0), Step: "train", Reason: "x", Causes: causes, StartedAt: began})
	start(1)
	require.Equal(t, "modèle 1-training", experimentOf(0))
	require.Equal(t, "modèle 1-training", experimentOf(1))
	send(1, &events.RunCompleted{RunID: trainerID(1), Experiment: "special", DatasetFingerprint: "f", SpecDigest: digest, TargetStage: events.StageStaging, Causes: causes,
		Artifacts: []events.Artifact{{Name: "bundle.tar", Digest: digest, SizeBytes: 1}}, StartedAt: began})
	start(2)
	for n := range 3 {
		require.Equal(t, "special", experimentOf(n))
	}
	_, err := book.ExperimentByName(ctx, "modèle 1-training")
	refused(t, err, fault.NotFound)
	send(1, &events.RunFailed{RunID: trainerID(1), Step: "train", Reason: "late", Causes: causes, StartedAt: began})
	r, err := book.RunByID(ctx, trainerID(1))
	require.NoError(t, err)
	require.Equal(t, events.StatusFinished, r.Status, "the first end counts")
}
