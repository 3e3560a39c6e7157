package drift

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/imported"
)

// promoteImported promotes a model that was trained elsewhere, with a holdout or none, and returns some records for it.
func (w *world) promoteImported(name string, version int, holdout string) (promotion uint64, records []json.RawMessage) {
	w.t.Helper()
	root := filepath.Join("..", "model", "imported", "testdata", "xgboost")
	list := []string{"MLmodel", "model.json", "input_example.json"}
	if holdout != "" {
		list = append(list, events.ArtifactHoldout)
	}
	b, _, err := imported.FromFiles(imported.Source{Name: name, Target: "left", Positive: "yes", List: list, Files: func(path string) ([]byte, error) {
		if path == events.ArtifactHoldout {
			return []byte(holdout), nil
		}
		return os.ReadFile(filepath.Join(root, "early", path))
	}})
	require.NoError(w.t, err)
	data, err := b.Encode()
	require.NoError(w.t, err)
	ref, err := artifact.PutBytes(w.t.Context(), w.store, data)
	require.NoError(w.t, err)
	data, err = os.ReadFile(filepath.Join(root, "early.scores.json"))
	require.NoError(w.t, err)
	var scores struct{ Records []json.RawMessage }
	require.NoError(w.t, json.Unmarshal(data, &scores))
	return w.promoteDigest(name, version, string(ref.Digest)), scores.Records
}

// TestNoReferenceIsQuiet sends traffic and labels of a model whose bundle has no baselines: nothing is evaluated, nothing dies, and it is said.
func TestNoReferenceIsQuiet(t *testing.T) {
	const name = "Kündigungen: privat"
	w := newWorld(t)
	promotion, records := w.promoteImported(name, 1, "")
	s, _ := w.start()
	var made []*events.PredictionMade
	for len(made) < 600 { // twice what the spec evaluates at
		made = append(made, w.prediction(records[len(made)%len(records)], 1, promotion, 0.5))
	}
	w.predict(name, made...)
	w.label(name, &events.LabelObserved{PredictionID: made[599].PredictionID, Outcome: "yes", ObservedAt: time.Now()})
	examples := awaitCount[events.ExampleJoined](w, events.Training, 1)
	require.True(t, examples[0].Observed)

	var status Status
	bustest.Eventually(t, func() bool {
		resp, err := http.Get("http://" + s.Addr() + "/status")
		require.NoError(t, err)
		defer resp.Body.Close()
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&status))
		return len(status.Models) == 1 && status.Models[0].Ordinal == 600
	}, "all predictions are taken")
	require.Equal(t, noReference, status.Models[0].NoReference)
	require.Equal(t, 1, status.Models[0].Version)
	require.Nil(t, status.Models[0].Data)
	require.Empty(t, w.stored(events.Drift))
	require.Empty(t, w.stored(events.Causes))
	require.Empty(t, w.stored(events.Dead))
	resp, err := http.Get("http://" + s.Addr() + "/readyz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// TestPerformanceNeedsNoReference has labels judged against the figures of a logged holdout.
func TestPerformanceNeedsNoReference(t *testing.T) {
	const name = "imported"
	w := newWorld(t)
	promotion, records := w.promoteImported(name, 1, "left,monthly,tenure months,paperless,usage\nyes,100,1,true,1\nno,20,70,false,1\nyes,90,2,true,\n")
	w.start()
	var made []*events.PredictionMade
	var labels []*events.LabelObserved
	for len(made) < 100 { // what an evaluation of performance is made at
		made = append(made, w.prediction(records[len(made)%len(records)], 1, promotion, 0.9))
		labels = append(labels, &events.LabelObserved{PredictionID: made[len(made)-1].PredictionID, Outcome: "yes", ObservedAt: time.Now()})
	}
	w.predict(name, made...)
	w.label(name, labels...)
	e := awaitCount[events.DriftEvaluated](w, events.Drift, 1)[0]
	require.Equal(t, events.DriftPerformance, e.Kind)
	require.Equal(t, 100, e.Rows)
	require.Equal(t, events.StateInsufficient, column(t, e, events.ColumnPerformance).State)
	require.Empty(t, w.stored(events.Dead))
}
