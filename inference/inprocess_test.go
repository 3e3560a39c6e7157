package inference_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAskAnswersAsHTTPDoes(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	record := records(t)[0]
	_, code := i.Ask(nil, record)
	require.Equal(t, http.StatusServiceUnavailable, code, "nothing is promoted yet")
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, record)

	body, code := i.Ask([]byte("before "), record)
	require.Equal(t, http.StatusOK, code, string(body))
	require.Equal(t, "before ", string(body[:7]))
	require.Equal(t, i.predict(t, record).Probability, decode(t, body[7:]).Probability)

	_, _, want := i.post(t, "/predict", []byte(`{"tenure": []}`))
	got, code := i.Ask(nil, []byte(`{"tenure": []}`))
	require.Equal(t, http.StatusUnprocessableEntity, code)
	require.Contains(t, string(got), `"loc":["body","tenure"]`)
	require.Contains(t, string(want), `"loc":["body","tenure"]`)
}
