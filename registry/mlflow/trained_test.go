package mlflow

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
)

// TestTheTrainersModelIsThereForClients lets a run of the trainer be promoted by its gate and looks at it as an MLflow client does.
func TestTheTrainersModelIsThereForClients(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sp := spec.Telco()
	sp.Gates.Staging = []spec.Threshold{{Metric: "roc_auc", Min: 0.5}}
	s := r.start(func(c *registry.Config) { c.Spec = sp })

	o := modeltest.Options{Spec: sp, RunID: strings.Repeat("ab", 16)}
	b := modeltest.Bundle(t, o)
	data, err := b.Encode()
	require.NoError(t, err)
	put := func(name string, content []byte) events.Artifact {
		ref, err := artifact.PutBytes(t.Context(), r.store, content)
		require.NoError(t, err)
		return events.Artifact{Name: name, Digest: string(ref.Digest), SizeBytes: ref.Size}
	}
	run := &events.RunCompleted{
		RunID: o.RunID, Experiment: sp.Experiment, Metrics: b.Manifest.Metrics, SpecDigest: b.Manifest.SpecDigest,
		DatasetFingerprint: b.Manifest.DatasetFingerprint, TargetStage: events.StageProduction, StartedAt: time.Now(),
		Causes:    []events.Cause{{Kind: events.CauseRequested, Detail: "test"}},
		Artifacts: []events.Artifact{put(events.ArtifactBundle, data), put(events.ArtifactHoldout, modeltest.HoldoutCSV(t, o))},
	}
	_, err = r.bus.Append(t.Context(), events.New(sp.Name, "trainer/test", o.RunID, time.Now(), run), 0)
	require.NoError(t, err)
	bustest.Eventually(t, func() bool {
		status, _ := s.do("GET", models20+"alias"+query("name", sp.Name, "alias", "champion"), nil)
		return status == http.StatusOK
	}, "the champion")

	m := s.call("GET", models20+"get"+query("name", sp.Name), nil)["registered_model"].(fields)
	require.Len(t, m["latest_versions"], 1)
	v := m["latest_versions"].([]any)[0].(fields)
	source := v["source"].(string)
	require.Equal(t, []any{sp.Name, "1", "Production", o.RunID, "READY"}, []any{m["name"], v["version"], v["current_stage"], v["run_id"], v["status"]})
	info := s.run(o.RunID)["info"].(fields)
	require.Equal(t, info["artifact_uri"], source, "its files are its run's")
	require.Equal(t, source, s.call("GET", versions20+"get-download-uri"+query("name", sp.Name, "version", "1"), nil)["artifact_uri"])
	found := s.call("GET", versions20+"search"+query("filter", "run_id = '"+o.RunID+"'"), nil)["model_versions"].([]any)
	require.Equal(t, source, found[0].(fields)["source"])

	root := strings.TrimPrefix(source, "mlflow-artifacts:/")
	status, body := s.do("GET", proxy+root+"/"+events.ArtifactBundle, nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, data, body)
	files := s.call("GET", "/api/v1/models/"+sp.Name+"/files?version=1", nil)["files"].([]any)
	require.Len(t, files, 2)
	rules := s.call("GET", "/api/v1/models/"+sp.Name+"/gates", nil)
	require.Equal(t, []any{sp.Name, true, "spec"}, []any{rules["model"], rules["gated"], rules["from"]})
	staging := []any{}
	for _, want := range sp.Gates.Staging {
		staging = append(staging, fields{"metric": want.Metric, "min": want.Min})
	}
	require.NotEmpty(t, staging)
	require.Equal(t, fields{
		"staging": staging, "production": fields{"metric": sp.Gates.Production.Metric}, "promotion": string(sp.Promotion),
		"target": sp.Columns.Target.Name, "positive": sp.Columns.Target.Positive, "signature": "compatible",
	}, rules["gates"], "what its versions are judged by")
	line := s.call("GET", "/api/v1/models/"+sp.Name+"/lineage?version=1", nil)
	require.Equal(t, []any{b.Manifest.DatasetFingerprint, b.Manifest.SpecDigest, o.RunID},
		[]any{line["dataset_fingerprint"], line["spec_digest"], line["run_id"]})

	// What a spec says, clients leave alone.
	const invalid = string(fault.Invalid)
	s.refused("PUT", "/api/v1/models/"+sp.Name+"/gates", gates, 400, invalid)
	s.refused("DELETE", "/api/v1/models/"+sp.Name+"/gates", nil, 400, invalid)
	s.refused("POST", models20+"rename", fields{"name": sp.Name, "new_name": "mine"}, 400, invalid)
	s.refused("DELETE", models20+"delete", fields{"name": sp.Name}, 400, invalid)
	s.refused("DELETE", versions20+"delete", fields{"name": sp.Name, "version": "1"}, 400, invalid)
	s.refused("DELETE", models20+"alias", fields{"name": sp.Name, "alias": "champion"}, 400, invalid)
	s.refused("POST", models20+"create", fields{"name": sp.Name}, 400, string(fault.Exists))
	// Tags, other aliases and descriptions are theirs.
	s.call("POST", models20+"alias", fields{"name": sp.Name, "alias": "blessed", "version": "1"})
	s.call("PATCH", versions20+"update", fields{"name": sp.Name, "version": "1", "description": "the first"})
	v = s.call("GET", versions20+"get"+query("name", sp.Name, "version", "1"), nil)["model_version"].(fields)
	require.Equal(t, []any{[]any{"blessed", "champion"}, "the first", source}, []any{v["aliases"], v["description"], v["source"]})
}
