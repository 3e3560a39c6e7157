package inference_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model/imported"
)

// unservable promotes a version that nobody can serve.
func (w *world) unservable(t testing.TB, reason string) int {
	t.Helper()
	w.version++
	w.append(t, &events.ModelPromoted{Version: w.version, PreviousVersion: w.version - 1, PreviousSequence: w.last, Cause: events.PromotedManually,
		Unservable: reason, Ungated: true})
	return w.version
}

func TestUnservablePromotionIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	record := records(t)[0]
	const reason = "model.pkl: a Python object can't be served"
	w.unservable(t, reason)
	i := run(t, w.config(t, "one"))
	bustest.Eventually(t, func() bool {
		code, _, body := i.post(t, "/predict", record)
		return code == http.StatusServiceUnavailable && strings.Contains(string(body), reason)
	}, "503 says which version was promoted and why it can't be served")
	code, health := i.get(t, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, health, "version 1 was promoted and can't be served: "+reason)

	w.promote(t, w.upload(t, 1))
	i.serves(t, 2, record)
	_, health = i.get(t, "/health")
	require.NotContains(t, health, "unservable")
	before := i.predict(t, record)

	w.unservable(t, reason)
	bustest.Eventually(t, func() bool {
		_, health := i.get(t, "/health")
		return strings.Contains(health, reason)
	}, "/health shows the promotion that was left alone")
	_, metrics := i.get(t, "/metrics")
	require.Contains(t, metrics, "churn_promotion_unservable 1")
	after := i.predict(t, record)
	require.Equal(t, 2, after.Version)
	require.Equal(t, before.Probability, after.Probability)
	code, _ = i.get(t, "/readyz")
	require.Equal(t, http.StatusOK, code, "what it has goes on")

	w.promote(t, w.upload(t, 2))
	i.serves(t, 4, record)
	_, metrics = i.get(t, "/metrics")
	require.Contains(t, metrics, "churn_promotion_unservable 0")
	require.Contains(t, metrics, `churn_model_info{digest=`)
	require.NotContains(t, metrics, "churn_model_load_failures_total{")
	i.stop()
	require.Empty(t, read[*events.ModelLoadFailed](t, w, events.Fleet))
	require.Len(t, read[*events.ModelLoaded](t, w, events.Fleet), 2)
}

// TestUnservablePromotionAfterARestart has an instance go on with what its disk holds.
func TestUnservablePromotionAfterARestart(t *testing.T) {
	w := newWorld(t)
	record := records(t)[0]
	c := w.config(t, "one")
	c.CacheDir = t.TempDir()
	i := run(t, c)
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, record)
	i.stop()
	w.unservable(t, "model.pkl: no")
	again := w.config(t, "one")
	again.CacheDir = c.CacheDir
	j := run(t, again)
	bustest.Eventually(t, func() bool {
		_, health := j.get(t, "/health")
		return strings.Contains(health, "model.pkl: no")
	}, "the promotion was seen")
	require.Equal(t, 1, j.predict(t, record).Version)
}

// importedModel is the bundle of an XGBoost model, and what XGBoost predicts.
func importedModel(t testing.TB, name string) (bundle []byte, records []json.RawMessage, want []float64) {
	t.Helper()
	root := filepath.Join("..", "model", "imported", "testdata", "xgboost")
	b, _, err := imported.FromFiles(imported.Source{Name: name, List: []string{"MLmodel", "model.json", "input_example.json"},
		Files: func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(root, "categories", path)) }})
	require.NoError(t, err)
	bundle, err = b.Encode()
	require.NoError(t, err)
	data, err := os.ReadFile(filepath.Join(root, "categories.scores.json"))
	require.NoError(t, err)
	var scores struct {
		Records    []json.RawMessage
		Prediction []float64
	}
	require.NoError(t, json.Unmarshal(data, &scores))
	return bundle, scores.Records, scores.Prediction
}

func TestImportedModelIsServed(t *testing.T) {
	const name = "Отток клиентов / Q3 *"
	w := newWorld(t)
	bundle, records, want := importedModel(t, name)
	ref := w.put(t, bundle)
	_, err := w.bus.Append(t.Context(), events.New(name, "test", "1", time.Now(), &events.ModelPromoted{Version: 1, Bundle: ref,
		Cause: events.PromotedManually, Ungated: true}), 0)
	require.NoError(t, err)
	c := w.config(t, "one")
	c.Model, c.CacheDir = name, t.TempDir()
	i := run(t, c)
	i.serves(t, 1, records[0])
	list, err := json.Marshal(records)
	require.NoError(t, err)
	code, _, body := i.post(t, "/predict", list)
	require.Equal(t, http.StatusOK, code, string(body))
	var answers []answer
	require.NoError(t, json.Unmarshal(body, &answers))
	require.Len(t, answers, len(want))
	for k, a := range answers {
		p, err := a.Probability.Float64()
		require.NoError(t, err)
		require.InDelta(t, want[k], p, 1e-6, "record %d", k)
		require.Equal(t, 0.42, a.Threshold, "the logged one")
		require.Equal(t, map[bool]string{true: "1", false: "0"}[p >= a.Threshold], a.Label)
		require.Equal(t, name, a.Model)
		require.Empty(t, a.Warnings)
	}
	subject, err := events.Token(name)
	require.NoError(t, err)
	bustest.Eventually(t, func() bool {
		msg, err := w.bus.Conn().Request("predict."+subject, records[0], time.Second)
		return err == nil && decode(t, msg.Data).Probability == answers[0].Probability
	}, "the same answer over NATS")

	code, _, body = i.post(t, "/predict", []byte(`{"monthly": "much", "plan": "DSL", "paperless": 2, "region": 101, "tenure months": 1.5}`))
	require.Equal(t, http.StatusUnprocessableEntity, code)
	for _, want := range []string{"want a number, got", "want true or false, got", "want a whole number, got"} {
		require.Contains(t, string(body), want)
	}
	code, _, body = i.post(t, "/predict", []byte(`{"monthly": 1, "plan": "DSL", "usage": 2}`))
	require.Equal(t, http.StatusUnprocessableEntity, code)
	for _, column := range []string{"tenure months", "paperless", "region"} {
		require.Contains(t, string(body), fmt.Sprintf(`{"loc":["body",%q],"msg":"the column is missing`, column))
	}
	more := i.predict(t, append(records[0][:len(records[0])-1:len(records[0])-1], []byte(`, "more": 1}`)...))
	require.Equal(t, answers[0].Probability, more.Probability)
	require.Len(t, more.Warnings, 1)
	i.stop()

	w.server.Stop(t)
	again := w.config(t, "one")
	again.Model, again.CacheDir = name, c.CacheDir
	j := run(t, again)
	j.serves(t, 1, records[0])
	require.Equal(t, answers[0].Probability, j.predict(t, records[0]).Probability, "from the folder on disk")
	w.server.Resume(t)
}
