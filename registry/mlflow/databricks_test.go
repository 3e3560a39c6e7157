package mlflow

import (
	"errors"
	"fmt"
	"testing"

	"github.com/databricks/databricks-sdk-go/apierr"
	"github.com/databricks/databricks-sdk-go/client"
	"github.com/databricks/databricks-sdk-go/config"
	"github.com/databricks/databricks-sdk-go/listing"
	"github.com/databricks/databricks-sdk-go/service/ml"
	"github.com/stretchr/testify/require"
)

// publicClient is a client of this API that others wrote.
func publicClient(t *testing.T, s *running) *client.DatabricksClient {
	t.Helper()
	c, err := client.New(&config.Config{
		Host: s.base, Token: "none", AuthType: "pat", RetryTimeoutSeconds: 1, RateLimitPerSecond: 1000, HTTPTimeoutSeconds: 30, ConfigFile: t.TempDir() + "/none",
	})
	require.NoError(t, err)
	return c
}

// requireCode checks the error_code that a public client read.
func requireCode(t *testing.T, err error, status int, code string) {
	t.Helper()
	var api *apierr.APIError
	require.True(t, errors.As(err, &api), "%v", err)
	require.Equal(t, status, api.StatusCode)
	require.Equal(t, code, api.ErrorCode)
	require.NotEmpty(t, api.Message)
}

func TestAPublicClientKeepsExperiments(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	x, ctx := ml.NewExperiments(publicClient(t, s)), t.Context()

	made, err := x.CreateExperiment(ctx, ml.CreateExperiment{Name: "flights to Zürich", Tags: []ml.ExperimentTag{{Key: "team", Value: "retention"}}})
	require.NoError(t, err)
	_, err = x.CreateExperiment(ctx, ml.CreateExperiment{Name: "flights to Zürich"})
	requireCode(t, err, 400, "RESOURCE_ALREADY_EXISTS")

	byName, err := x.GetByName(ctx, ml.GetByNameRequest{ExperimentName: "flights to Zürich"})
	require.NoError(t, err)
	got, err := x.GetExperiment(ctx, ml.GetExperimentRequest{ExperimentId: made.ExperimentId})
	require.NoError(t, err)
	require.Equal(t, byName.Experiment, got.Experiment)
	require.Equal(t, "active", got.Experiment.LifecycleStage)
	require.Equal(t, "mlflow-artifacts:/"+made.ExperimentId, got.Experiment.ArtifactLocation)
	require.Len(t, got.Experiment.Tags, 1)
	require.Equal(t, "team=retention", got.Experiment.Tags[0].Key+"="+got.Experiment.Tags[0].Value)

	require.NoError(t, x.SetExperimentTag(ctx, ml.SetExperimentTag{ExperimentId: made.ExperimentId, Key: "team", Value: "growth"}))
	require.NoError(t, x.UpdateExperiment(ctx, ml.UpdateExperiment{ExperimentId: made.ExperimentId, NewName: "flights"}))
	require.NoError(t, x.DeleteExperiment(ctx, ml.DeleteExperiment{ExperimentId: made.ExperimentId}))
	gone, err := x.SearchExperimentsAll(ctx, ml.SearchExperiments{ViewType: ml.ViewTypeDeletedOnly, MaxResults: 10})
	require.NoError(t, err)
	require.Len(t, gone, 1)
	require.Equal(t, "flights", gone[0].Name)
	require.NoError(t, x.RestoreExperiment(ctx, ml.RestoreExperiment{ExperimentId: made.ExperimentId}))

	for i := range 5 {
		_, err := x.CreateExperiment(ctx, ml.CreateExperiment{Name: fmt.Sprint("page ", i)})
		require.NoError(t, err)
	}
	paged, err := x.SearchExperimentsAll(ctx, ml.SearchExperiments{Filter: "name LIKE 'page %'", MaxResults: 2, OrderBy: []string{"name DESC"}})
	require.NoError(t, err)
	var names []string
	for _, e := range paged {
		names = append(names, e.Name)
	}
	require.Equal(t, []string{"page 4", "page 3", "page 2", "page 1", "page 0"}, names)

	_, err = x.GetExperiment(ctx, ml.GetExperimentRequest{ExperimentId: "4711"})
	requireCode(t, err, 404, "RESOURCE_DOES_NOT_EXIST")
	_, err = x.SearchExperimentsAll(ctx, ml.SearchExperiments{Filter: "name = 'a' OR name = 'b'"})
	requireCode(t, err, 400, "INVALID_PARAMETER_VALUE")
}

func TestAPublicClientLogsRuns(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	x, ctx := ml.NewExperiments(publicClient(t, s)), t.Context()
	exp, err := x.CreateExperiment(ctx, ml.CreateExperiment{Name: "runs"})
	require.NoError(t, err)

	made, err := x.CreateRun(ctx, ml.CreateRun{ExperimentId: exp.ExperimentId, RunName: "first", UserId: "ana", StartTime: 1700000000000})
	require.NoError(t, err)
	id := made.Run.Info.RunId
	require.Regexp(t, "^[0-9a-f]{32}$", id)
	require.Equal(t, ml.RunInfoStatusRunning, made.Run.Info.Status)

	require.NoError(t, x.LogParam(ctx, ml.LogParam{RunId: id, Key: "depth", Value: "6"}))
	requireCode(t, x.LogParam(ctx, ml.LogParam{RunId: id, Key: "depth", Value: "7"}), 400, "INVALID_PARAMETER_VALUE")
	require.NoError(t, x.LogMetric(ctx, ml.LogMetric{RunId: id, Key: "auc", Value: 0.8, Timestamp: 1, Step: 3}))
	require.NoError(t, x.LogMetric(ctx, ml.LogMetric{RunId: id, Key: "auc", Value: 0.7, Timestamp: 2, Step: 1}))
	require.NoError(t, x.LogBatch(ctx, ml.LogBatch{
		RunId:   id,
		Metrics: []ml.Metric{{Key: "loss", Value: 0.5, Timestamp: 1, Step: 1}, {Key: "loss", Value: 0.25, Timestamp: 2, Step: 2}},
		Params:  []ml.Param{{Key: "rate", Value: "0.1"}},
		Tags:    []ml.RunTag{{Key: "team", Value: "retention"}, {Key: "extra", Value: "x"}},
	}))
	require.NoError(t, x.SetTag(ctx, ml.SetTag{RunId: id, Key: "team", Value: "growth"}))
	require.NoError(t, x.DeleteTag(ctx, ml.DeleteTag{RunId: id, Key: "extra"}))
	requireCode(t, x.DeleteTag(ctx, ml.DeleteTag{RunId: id, Key: "extra"}), 404, "RESOURCE_DOES_NOT_EXIST")
	require.NoError(t, x.LogInputs(ctx, ml.LogInputs{RunId: id, Datasets: []ml.DatasetInput{{
		Dataset: ml.Dataset{Name: "customers", Digest: "abc", SourceType: "local", Source: "{}"}, Tags: []ml.InputTag{{Key: "mlflow.data.context", Value: "training"}},
	}}}))
	require.NoError(t, x.LogModel(ctx, ml.LogModel{RunId: id, ModelJson: `{"run_id": "r", "artifact_path": "model", "utc_time_created": "now", "flavors": {}}`}))
	updated, err := x.UpdateRun(ctx, ml.UpdateRun{RunId: id, Status: ml.UpdateRunStatusFinished, EndTime: 1700000001000})
	require.NoError(t, err)
	require.Equal(t, int64(1700000001000), updated.RunInfo.EndTime)

	got, err := x.GetRun(ctx, ml.GetRunRequest{RunId: id})
	require.NoError(t, err)
	require.Equal(t, ml.RunInfoStatusFinished, got.Run.Info.Status)
	params := map[string]string{}
	for _, p := range got.Run.Data.Params {
		params[p.Key] = p.Value
	}
	require.Equal(t, map[string]string{"depth": "6", "rate": "0.1"}, params)
	require.Equal(t, "customers", got.Run.Inputs.DatasetInputs[0].Dataset.Name)
	values := map[string]float64{}
	for _, m := range got.Run.Data.Metrics {
		values[m.Key] = m.Value
	}
	require.Equal(t, map[string]float64{"auc": 0.8, "loss": 0.25}, values)

	history, err := x.GetHistoryAll(ctx, ml.GetHistoryRequest{RunId: id, MetricKey: "loss", MaxResults: 1})
	require.NoError(t, err)
	require.Len(t, history, 2)
	require.Equal(t, 0.5, history[0].Value)

	require.NoError(t, x.DeleteRun(ctx, ml.DeleteRun{RunId: id}))
	requireCode(t, x.LogMetric(ctx, ml.LogMetric{RunId: id, Key: "auc", Value: 1, Timestamp: 1}), 400, "INVALID_PARAMETER_VALUE")
	require.NoError(t, x.RestoreRun(ctx, ml.RestoreRun{RunId: id}))
}

func TestAPublicClientSearchesRunsInPages(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	x, ctx := ml.NewExperiments(publicClient(t, s)), t.Context()
	exp, err := x.CreateExperiment(ctx, ml.CreateExperiment{Name: "many"})
	require.NoError(t, err)
	for i := range 7 {
		made, err := x.CreateRun(ctx, ml.CreateRun{ExperimentId: exp.ExperimentId, RunName: fmt.Sprint("run ", i), StartTime: int64(1700000000000 + i)})
		require.NoError(t, err)
		require.NoError(t, x.LogMetric(ctx, ml.LogMetric{RunId: made.Run.Info.RunId, Key: "score", Value: float64(i%3) + 0.5, Timestamp: 1}))
	}
	all, err := x.SearchRunsAll(ctx, ml.SearchRuns{
		ExperimentIds: []string{exp.ExperimentId}, Filter: "metrics.score >= 1", MaxResults: 2, OrderBy: []string{"metrics.score DESC", "start_time ASC"},
		RunViewType: ml.ViewTypeActiveOnly,
	})
	require.NoError(t, err)
	var names []string
	for _, r := range all {
		names = append(names, r.Info.RunName)
	}
	require.Equal(t, []string{"run 2", "run 5", "run 1", "run 4"}, names)
	files, err := x.ListArtifactsAll(ctx, ml.ListArtifactsRequest{RunId: all[0].Info.RunId})
	require.NoError(t, err)
	require.Empty(t, files)
	_, err = x.SearchRunsAll(ctx, ml.SearchRuns{ExperimentIds: []string{exp.ExperimentId}, Filter: "metrics.score >> 1"})
	requireCode(t, err, 400, "INVALID_PARAMETER_VALUE")
}

func TestAPublicClientKeepsModelsAndVersions(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	c, ctx := publicClient(t, s), t.Context()
	x, reg := ml.NewExperiments(c), ml.NewModelRegistry(c)
	made, err := x.CreateRun(ctx, ml.CreateRun{ExperimentId: "0", StartTime: 1700000000000})
	require.NoError(t, err)
	run := made.Run.Info
	s.call("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/"+run.RunId+"/artifacts/model/MLmodel", "flavors: {}")

	const name = "Kündigung: v2/neu"
	created, err := reg.CreateModel(ctx, ml.CreateModelRequest{Name: name, Description: "who leaves", Tags: []ml.ModelTag{{Key: "team", Value: "retention"}}})
	require.NoError(t, err)
	require.Equal(t, name, created.RegisteredModel.Name)
	_, err = reg.CreateModel(ctx, ml.CreateModelRequest{Name: name})
	requireCode(t, err, 400, "RESOURCE_ALREADY_EXISTS")

	for n := range 3 {
		v, err := reg.CreateModelVersion(ctx, ml.CreateModelVersionRequest{
			Name: name, Source: run.ArtifactUri + "/model", RunId: run.RunId, Tags: []ml.ModelVersionTag{{Key: "n", Value: fmt.Sprint(n)}},
		})
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(n+1), v.ModelVersion.Version)
		require.Equal(t, ml.ModelVersionStatusReady, v.ModelVersion.Status)
	}
	moved, err := reg.TransitionStage(ctx, ml.TransitionModelVersionStageDatabricks{Name: name, Version: "1", Stage: ml.StageProduction})
	require.NoError(t, err)
	require.Equal(t, ml.StageProduction, moved.ModelVersion.CurrentStage)
	_, err = reg.TransitionStage(ctx, ml.TransitionModelVersionStageDatabricks{Name: name, Version: "2", Stage: ml.StageProduction, ArchiveExistingVersions: true})
	require.NoError(t, err)
	_, err = reg.TransitionStage(ctx, ml.TransitionModelVersionStageDatabricks{Name: name, Version: "9", Stage: ml.StageProduction})
	requireCode(t, err, 404, "RESOURCE_DOES_NOT_EXIST")
	latest, err := reg.GetLatestVersionsAll(ctx, ml.GetLatestVersionsRequest{Name: name, Stages: []string{"production"}})
	require.NoError(t, err)
	require.Len(t, latest, 1)
	require.Equal(t, "2", latest[0].Version)

	require.NoError(t, reg.UpdateModelVersion(ctx, ml.UpdateModelVersionRequest{Name: name, Version: "3", Description: "the third"}))
	require.NoError(t, reg.SetModelVersionTag(ctx, ml.SetModelVersionTagRequest{Name: name, Version: "3", Key: "seen", Value: "yes"}))
	require.NoError(t, reg.DeleteModelVersionTag(ctx, ml.DeleteModelVersionTagRequest{Name: name, Version: "3", Key: "n"}))
	third, err := reg.GetModelVersion(ctx, ml.GetModelVersionRequest{Name: name, Version: "3"})
	require.NoError(t, err)
	require.Equal(t, "the third", third.ModelVersion.Description)
	require.Len(t, third.ModelVersion.Tags, 1)
	uri, err := reg.GetModelVersionDownloadUri(ctx, ml.GetModelVersionDownloadUriRequest{Name: name, Version: "3"})
	require.NoError(t, err)
	require.Equal(t, run.ArtifactUri+"/model", uri.ArtifactUri)
	pages := reg.SearchModelVersions(ctx, ml.SearchModelVersionsRequest{Filter: "name = '" + name + "'", MaxResults: 2, OrderBy: []string{"version_number ASC"}})
	found, err := listing.ToSlice(ctx, pages)
	require.NoError(t, err)
	var versions []string
	for _, v := range found {
		versions = append(versions, v.Version+" "+v.CurrentStage)
	}
	require.Equal(t, []string{"1 Archived", "2 Production", "3 None"}, versions)

	require.NoError(t, reg.UpdateModel(ctx, ml.UpdateModelRequest{Name: name, Description: "who leaves next"}))
	require.NoError(t, reg.SetModelTag(ctx, ml.SetModelTagRequest{Name: name, Key: "team", Value: "growth"}))
	renamed, err := reg.RenameModel(ctx, ml.RenameModelRequest{Name: name, NewName: "churn next"})
	require.NoError(t, err)
	require.Equal(t, "churn next", renamed.RegisteredModel.Name)
	got, err := reg.GetModel(ctx, ml.GetModelRequest{Name: "churn next"})
	require.NoError(t, err)
	require.Equal(t, "who leaves next", got.RegisteredModelDatabricks.Description)
	models, err := reg.SearchModelsAll(ctx, ml.SearchModelsRequest{Filter: "name ILIKE 'CHURN%'", MaxResults: 1})
	require.NoError(t, err)
	require.Len(t, models, 1)
	require.NoError(t, reg.DeleteModelVersion(ctx, ml.DeleteModelVersionRequest{Name: "churn next", Version: "3"}))
	require.NoError(t, reg.DeleteModel(ctx, ml.DeleteModelRequest{Name: "churn next"}))
	_, err = reg.GetModel(ctx, ml.GetModelRequest{Name: "churn next"})
	requireCode(t, err, 404, "RESOURCE_DOES_NOT_EXIST")
}

func TestAPublicClientLogsModels(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	x, ctx := ml.NewExperiments(publicClient(t, s)), t.Context()
	run, err := x.CreateRun(ctx, ml.CreateRun{ExperimentId: "0", StartTime: 1700000000000})
	require.NoError(t, err)
	made, err := x.CreateLoggedModel(ctx, ml.CreateLoggedModelRequest{ExperimentId: "0", Name: "model", SourceRunId: run.Run.Info.RunId})
	require.NoError(t, err)
	id := made.Model.Info.ModelId
	require.NoError(t, x.LogOutputs(ctx, ml.LogOutputsRequest{RunId: run.Run.Info.RunId, Models: []ml.ModelOutput{{ModelId: id, Step: 1}}}))
	require.NoError(t, x.LogLoggedModelParams(ctx, ml.LogLoggedModelParamsRequest{ModelId: id, Params: []ml.LoggedModelParameter{{Key: "depth", Value: "6"}}}))
	require.NoError(t, x.LogMetric(ctx, ml.LogMetric{RunId: run.Run.Info.RunId, Key: "auc", Value: 0.8, Timestamp: 1, ModelId: id}))
	done, err := x.FinalizeLoggedModel(ctx, ml.FinalizeLoggedModelRequest{ModelId: id, Status: ml.LoggedModelStatusLoggedModelReady})
	require.NoError(t, err)
	require.Equal(t, ml.LoggedModelStatusLoggedModelReady, done.Model.Info.Status)
	got, err := x.GetLoggedModel(ctx, ml.GetLoggedModelRequest{ModelId: id})
	require.NoError(t, err)
	require.Len(t, got.Model.Data.Params, 1)
	require.Equal(t, 0.8, got.Model.Data.Metrics[0].Value)
	found, err := x.SearchLoggedModels(ctx, ml.SearchLoggedModelsRequest{ExperimentIds: []string{"0"}, Filter: "metrics.auc > 0.5"})
	require.NoError(t, err)
	require.Len(t, found.Models, 1)
	require.NoError(t, x.DeleteLoggedModel(ctx, ml.DeleteLoggedModelRequest{ModelId: id}))
	_, err = x.GetLoggedModel(ctx, ml.GetLoggedModelRequest{ModelId: id})
	requireCode(t, err, 404, "RESOURCE_DOES_NOT_EXIST")
}
