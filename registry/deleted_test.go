package registry

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/registry/fault"
)

// Garbage collection takes the files of a deleted run whenever it likes: no version is made of them, but what a version holds stays and can be copied.
func TestFilesOfADeletedRunMakeNoVersion(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	ctx := t.Context()
	r.model(s, "m", 0)
	run := r.log(s, map[string]string{"model/x": "one", "other/x": "two"})
	_, err := s.CreateVersion(ctx, NewVersion{Model: "m", Source: run.ArtifactURI + "/model"})
	require.NoError(t, err)
	require.NoError(t, s.Tracking().DeleteRun(ctx, run.ID, ""))

	for _, source := range []string{run.ArtifactURI + "/other", "runs:/" + run.ID + "/other", run.ArtifactURI} {
		_, err = s.CreateVersion(ctx, NewVersion{Model: "m", Source: source})
		require.Equal(t, fault.Invalid, fault.CodeOf(err), "%s: %v", source, err)
		require.ErrorContains(t, err, "restore it first")
	}
	_, err = s.CreateVersion(ctx, NewVersion{Model: "m", Source: "models:/m/1"})
	require.NoError(t, err)

	require.NoError(t, s.Tracking().RestoreRun(ctx, run.ID, ""))
	_, err = s.CreateVersion(ctx, NewVersion{Model: "m", Source: run.ArtifactURI + "/other"})
	require.NoError(t, err)
}
