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

// promoteImported promotes a model that was trained elsewhere, and returns some records for it.
func (w *world) promoteImported(name string, version int) (promotion uint64, records []json.RawMessage) {
	w.t.Helper()
	root := filepath.Join("..", "model", "imported", "testdata", "xgboost")
	b, _, err := imported.FromFiles(imported.Source{Name: name, Target: "left", Positive: "yes", List: []string{"MLmodel", "model.json", "input_example.json"},
		Files: func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(root, "early", path)) }})
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
	promotion, records := w.promoteImported(name, 1)
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
