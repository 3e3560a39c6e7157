package registry

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// A registry that ends between the two events of a registration leaves a run that says so, until the client registers it again.
func TestARegistrationThatWasCutShortIsSeen(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	ctx := t.Context()
	r.model(s, "m", 0)
	_, err := s.SetGates(ctx, "m", &Gates{Target: "y"}, "ann")
	require.NoError(t, err)
	run := r.log(s, map[string]string{"model/x": "1"})
	n := NewVersion{Model: "m", Source: "runs:/" + run.ID + "/model", RunID: run.ID}
	m, err := s.Model(ctx, "m")
	require.NoError(t, err)
	require.NoError(t, s.complete(ctx, m, n, origin{run: &run}, &events.ModelRegistered{TargetStage: events.StageProduction}))
	seen := func() bool {
		t.Helper()
		runs := r.catalog().Runs("m")
		require.Len(t, runs, 1)
		require.Equal(t, run.ID, runs[0].ID)
		return runs[0].Unregistered
	}
	require.True(t, seen())
	v, err := s.CreateVersion(ctx, n)
	require.NoError(t, err)
	require.Equal(t, 1, v.Version)
	require.False(t, seen())

	// A run of the trainer that only logged something is as it should be.
	r.publish("logged", &events.RunCompleted{RunID: "logged", Experiment: "e", TargetStage: events.StageStaging, SpecDigest: r.spec.Digest(),
		Artifacts: []events.Artifact{r.put("figure.svg", []byte("x"))}})
	logged, ok := r.catalog().RunOf(churn, "logged")
	require.True(t, ok)
	require.False(t, logged.Unregistered)
}
