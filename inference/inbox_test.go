package inference_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference"
	"telco-churn-mlops/internal/bus/bustest"
)

// TestAnswersGoToInboxesAlone has a caller name subjects as the place for the answer that are none of his.
func TestAnswersGoToInboxesAlone(t *testing.T) {
	w, i, good := answering(t, func(c *inference.Config) { c.InFlight, c.MaxBody = 1, 4096 })
	all, err := w.bus.Conn().SubscribeSync(">")
	require.NoError(t, err)
	subject := "predict." + modelName
	strange := []string{"model.promoted." + modelName, "label.observed." + modelName, "prediction.made." + modelName, "dead.X.y", subject,
		"$JS.API.STREAM.PURGE.PREDICTIONS", "$KV.trainer." + modelName, "$O.artifacts.M.x"}
	for _, reply := range strange {
		require.NoError(t, w.bus.Conn().PublishRequest(subject, reply, good))
	}
	bustest.Eventually(t, func() bool { return metric(t, i, `churn_requests_rejected_total{reason="reply"}`) == len(strange) }, "all are refused")
	require.Equal(t, 1, decode(t, w.request(t, good, nil).Data).Version)
	other, err := w.bus.Conn().SubscribeSync("answers.of.mine")
	require.NoError(t, err)
	require.NoError(t, w.bus.Conn().PublishRequest(subject, "answers.of.mine", good))
	msg, err := other.NextMsg(5 * time.Second)
	require.NoError(t, err)
	require.Equal(t, 1, decode(t, msg.Data).Version)
	for {
		msg, err := all.NextMsg(time.Millisecond)
		if err != nil {
			break
		}
		require.NotContains(t, strange[5:], msg.Subject)
		require.NotEqual(t, strange[0], msg.Subject)
	}
	require.NoError(t, all.Unsubscribe())
	require.NoError(t, other.Unsubscribe())

	// A body that is too large waits for nobody, as what waits is held: not even while no other is let in.
	var done func()
	bustest.Eventually(t, func() bool { done = i.Admit(); return done != nil }, "the one permit is free")
	defer done()
	require.Equal(t, "413", w.request(t, bytes.Repeat([]byte(" "), 4097), nil).Header.Get(micro.ErrorCodeHeader))
	require.Equal(t, "429", w.request(t, good, nil).Header.Get(micro.ErrorCodeHeader))
}

// TestFaultsThatFillNoMessage has more to say about a request than a message may hold.
func TestFaultsThatFillNoMessage(t *testing.T) {
	w, i, good := answering(t, nil)
	const records = 1000
	junk := []byte("[" + strings.Repeat("{},", records-1) + "{}]")
	code, _, over := i.post(t, "/predict", junk)
	require.Equal(t, http.StatusUnprocessableEntity, code)
	require.Equal(t, string(over), string(w.request(t, junk, nil).Data), "as many faults as are named have room")

	// Answers that are too many are not logged either: who splits his list asks for each of them again.
	code, _, one := i.post(t, "/predict?explain=true", good)
	require.Equal(t, http.StatusOK, code)
	require.Greater(t, records*len(one), int(w.bus.Conn().MaxPayload()))
	counted := `churn_predictions_total{model="telco-churn",outcome="ok",transport="nats",version="1"}`
	before := metric(t, i, counted)
	list := append(append([]byte("["), bytes.Repeat(append(good, ','), records-1)...), append(good, ']')...)
	msg := w.request(t, list, nats.Header{"Explain": {"true"}})
	require.Equal(t, "413", msg.Header.Get(micro.ErrorCodeHeader), "%s", msg.Data)
	require.Equal(t, before, metric(t, i, counted))
}
