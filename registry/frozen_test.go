package registry

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// What one registry registered, another keeps still from the moment it is acknowledged.
func TestFrozenByAnotherRegistry(t *testing.T) {
	r := newRig(t)
	a, b := r.ready(), r.ready()
	ctx := t.Context()
	_, err := a.CreateModel(ctx, NewModel{Name: "f"})
	require.NoError(t, err)
	ref, err := artifact.PutBytes(ctx, r.store, []byte("other"))
	require.NoError(t, err)
	for range 60 {
		run := r.log(a, map[string]string{"model/x": "one"})
		require.NoError(t, b.Tracking().Fresh(ctx))
		_, err := a.CreateVersion(ctx, NewVersion{Model: "f", Source: run.ArtifactURI + "/model", RunID: run.ID})
		require.NoError(t, err)
		err = b.Tracking().PutFile(ctx, folderOf(run)+"/model/x", ref, "")
		require.Equal(t, fault.Invalid, fault.CodeOf(err), "%v", err)
		err = b.Tracking().RemoveFiles(ctx, folderOf(run)+"/model", "")
		require.Equal(t, fault.Invalid, fault.CodeOf(err), "%v", err)
	}
}

// A source names files of one run or logged model in one way alone, so that nobody is kept from logging elsewhere, and the files that a client downloads
// are those of the manifest.
func TestSourcesNameOnePlace(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	ctx := t.Context()
	r.model(s, "m", 0)
	run := r.log(s, map[string]string{"model/x": "one"})
	folder := folderOf(run)
	lm, err := s.Tracking().CreateLoggedModel(ctx, tracking.NewLoggedModel{ExperimentID: "0", Name: "lm"})
	require.NoError(t, err)
	logged, _ := tracking.PathOf(lm.ArtifactURI)
	r.file(s, logged+"/MLmodel", "x")
	for _, bad := range []string{
		"mlflow-artifacts:/", "mlflow-artifacts:", "mlflow-artifacts:/0", "mlflow-artifacts:/0/models", "mlflow-artifacts:/nothing/here",
		"mlflow-artifacts:/" + folder + "/%6dodel", "mlflow-artifacts:/" + folder + "/model?x=y", "mlflow-artifacts:/" + folder + "/model#x",
	} {
		_, err := s.CreateVersion(ctx, NewVersion{Model: "m", Source: bad})
		require.Equal(t, fault.Invalid, fault.CodeOf(err), "%s: %v", bad, err)
	}
	for _, same := range []string{"mlflow-artifacts://evil.example/" + folder + "/model", "MLFLOW-Artifacts:/" + folder + "/model/", "runs:/" + run.ID + "/model"} {
		v, err := s.CreateVersion(ctx, NewVersion{Model: "m", Source: same})
		require.NoError(t, err)
		require.Equal(t, "mlflow-artifacts:/"+folder+"/model", v.Source)
		require.Len(t, v.Artifacts, 1)
	}

	// What belongs to nobody can be a version, and keeps itself still alone.
	r.file(s, "0/shared.txt", "s")
	r.file(s, "stock/model/x", "s")
	_, err = s.CreateVersion(ctx, NewVersion{Model: "m", Source: "mlflow-artifacts:/0"})
	require.ErrorContains(t, err, "one run or logged model")
	v, err := s.CreateVersion(ctx, NewVersion{Model: "m", Source: "mlflow-artifacts:/stock"})
	require.NoError(t, err)
	require.Len(t, v.Artifacts, 1)
	ref, err := artifact.PutBytes(ctx, r.store, []byte("z"))
	require.NoError(t, err)
	require.Error(t, s.Tracking().PutFile(ctx, "stock/model/y", ref, ""))
	require.NoError(t, s.Tracking().PutFile(ctx, "stock/"+run.ID+"/artifacts/y", ref, ""), "of a run whose experiment has its place there")
}
