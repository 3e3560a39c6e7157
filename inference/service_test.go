package inference_test

import (
	"net/http"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference"
	"telco-churn-mlops/internal/bus/bustest"
)

func TestPromotionIsServedAndReplacedWhileRunning(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	record := records(t)[0]

	code, _, body := i.post(t, "/predict", record)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.JSONEq(t, `{"detail":"model telco-churn has no version loaded yet"}`, string(body))
	code, _ = i.get(t, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	code, _ = i.get(t, "/livez")
	require.Equal(t, http.StatusOK, code)

	first := w.promote(t, w.upload(t, 1))
	i.serves(t, first, record)
	before := i.predict(t, record)
	require.Equal(t, modelName, before.Model)
	require.NotEmpty(t, before.PredictionID)
	code, health := i.get(t, "/health")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, health, `"nats":"up"`)
	require.Contains(t, health, `"version":1`)

	second := w.promote(t, w.upload(t, 2))
	i.serves(t, second, record)
	after := i.predict(t, record)
	require.NotEqual(t, before.Probability, after.Probability, "two models that learned different relations")
	require.NotEqual(t, before.PredictionID, after.PredictionID)

	i.stop()
	loaded := read[*events.ModelLoaded](t, w, events.Fleet)
	require.Len(t, loaded, 2)
	require.Equal(t, []int{1, 2}, []int{loaded[0].Version, loaded[1].Version})
	require.Equal(t, w.last, loaded[1].PromotionSequence)
	require.Equal(t, "one", loaded[1].Instance)
	require.Equal(t, i.Boot(), loaded[1].Boot)
}

func TestBothTransportsGiveTheSameBits(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	w.promote(t, w.upload(t, 1))
	all := records(t)
	i.serves(t, 1, all[0])
	bustest.Eventually(t, func() bool {
		_, err := w.bus.Conn().Request("predict."+modelName, all[0], 1e9)
		return err == nil
	}, "the instance joins the queue group")
	for _, record := range all {
		over := i.predict(t, record)
		plain := w.request(t, record, nil)
		require.Empty(t, plain.Header, "who sends no headers gets none")
		require.Equal(t, over.Probability, decode(t, plain.Data).Probability)
		require.Equal(t, 1, decode(t, plain.Data).Version)
		msg := w.request(t, record, nats.Header{"Traceparent": {"anything"}})
		require.Empty(t, msg.Header.Get(micro.ErrorHeader))
		a := decode(t, msg.Data)
		require.Equal(t, over.Probability, a.Probability)
		require.Equal(t, over.Label, a.Label)
		require.Equal(t, "1", msg.Header.Get(inference.HeaderModelVersion))
		require.Equal(t, a.PredictionID, msg.Header.Get(inference.HeaderPredictionID))
	}
}
