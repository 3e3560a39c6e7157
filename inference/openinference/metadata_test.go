package openinference_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/openinference"
)

func TestMetadata(t *testing.T) {
	e := newEngine(t)
	_, answer := ask(t, e, "GET", "/v2", "")
	require.Equal(t, map[string]any{"name": "churn", "version": "1.2.3", "extensions": []any{}}, answer)
	_, slash := ask(t, e, "GET", "/v2/", "")
	require.Equal(t, answer, slash)
	_, answer = ask(t, e, "GET", "/v2/health/live", "")
	require.Equal(t, map[string]any{"live": true}, answer)

	w, answer := ask(t, e, "GET", "/v2/models/telco-churn", "")
	require.Equal(t, 200, w.Code)
	require.Equal(t, modelName, answer["name"])
	require.Equal(t, []any{"7", "4"}, answer["versions"])
	require.Equal(t, openinference.Platform, answer["platform"])
	require.Equal(t, "7", answer["parameters"].(map[string]any)["version"])
	types := map[string]any{}
	for _, in := range answer["inputs"].([]any) {
		in := in.(map[string]any)
		types[in["name"].(string)] = in["datatype"]
		require.Equal(t, []any{-1.0}, in["shape"])
	}
	require.Equal(t, "FP64", types["MonthlyCharges"])
	require.Equal(t, "BYTES", types["Contract"])
	require.Equal(t, "BYTES", types["customerID"])
	require.Len(t, answer["outputs"], len(openinference.OutputNames()))
	_, answer = ask(t, e, "GET", "/v2/models/telco-churn/versions/4", "")
	require.Equal(t, "4", answer["parameters"].(map[string]any)["version"])
	w, _ = ask(t, e, "GET", "/v2/models/telco-churn/versions/5", "")
	require.Equal(t, 404, w.Code)
}

func TestReady(t *testing.T) {
	paths := []string{"/v2/health/ready", "/v2/models/telco-churn/ready", "/v2/models/telco-churn/versions/4/ready"}
	e := newEngine(t)
	for _, path := range paths {
		w, answer := ask(t, e, "GET", path, "")
		require.Equal(t, 200, w.Code)
		require.Equal(t, true, answer["ready"])
	}
	w, _ := ask(t, e, "GET", "/v2/models/other/ready", "")
	require.Equal(t, 404, w.Code)
	w, _ = ask(t, e, "GET", "/v2/models/telco-churn/versions/5/ready", "")
	require.Equal(t, 404, w.Code)
	e.served.Reason = "it is stopping"
	for _, path := range paths {
		w, answer := ask(t, e, "GET", path, "")
		require.Equal(t, 503, w.Code)
		require.Equal(t, false, answer["ready"])
		require.Equal(t, "it is stopping", answer["error"])
	}
	e.served.Versions = nil
	for _, path := range paths {
		w, _ := ask(t, e, "GET", path, "")
		require.Equal(t, 503, w.Code)
	}
	w, _ = ask(t, e, "GET", "/v2/health/live", "")
	require.Equal(t, 200, w.Code)
	w, _ = ask(t, e, "DELETE", "/v2/health/live", "")
	require.Equal(t, 405, w.Code)
}
