package inference_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference"
)

// TestOpenInferenceIsTheSameInstance asks for what the protocol leaves to the server: names of requests, what is said of a row, who refuses, and which bytes answer.
func TestOpenInferenceIsTheSameInstance(t *testing.T) {
	_, i, _ := answering(t, func(c *inference.Config) { c.MaxRecords = 3 })
	good := string(v2(t))
	for name, tc := range map[string]struct {
		body, sent, want string
	}{
		"header": {good, "order-17", "order-17"}, "body": {strings.Replace(good, "{", `{"id":"order-18",`, 1), "", "order-18"},
		"both": {strings.Replace(good, "{", `{"id":"order-18",`, 1), "order-19", "order-19"}, "none": {good, "", ""},
	} {
		code, h, answer := i.send(t, inferPath, []byte(tc.body), inference.HeaderRequestID, tc.sent)
		require.Equal(t, http.StatusOK, code, "%s: %s", name, answer)
		require.Equal(t, tc.want, h.Get(inference.HeaderRequestID), name)
	}

	word := strings.Replace(good, `"datatype":"BYTES","data":["`, `"datatype":"BYTES","data":["never seen `, 1)
	require.NotEqual(t, good, word)
	var said struct {
		Inputs     []struct{ Name, Datatype string }
		Parameters struct{ Warnings, Digest string }
	}
	_, _, answer := i.send(t, inferPath, []byte(word))
	require.NoError(t, json.Unmarshal([]byte(answer), &said), answer)
	warnings := said.Parameters.Warnings
	_, metadata := i.get(t, "/v2/models/"+modelName)
	require.NoError(t, json.Unmarshal([]byte(metadata), &said), metadata)
	named := false
	for _, in := range said.Inputs {
		named = named || strings.HasPrefix(warnings, "row 0: "+in.Name+": ") && strings.Count(warnings, in.Name+":") == 1
	}
	require.True(t, named, "a warning names its column, once: %s", warnings)
	_, health := i.get(t, "/health")
	require.Contains(t, health, fmt.Sprintf(`"digest":%q`, said.Parameters.Digest), "the digest is the one that everybody names")

	for name, tc := range map[string]struct {
		header, value, body string
		code                int
		text                string
	}{
		"deadline":   {inference.HeaderDeadline, "soon", good, http.StatusBadRequest, "Deadline: must be an RFC 3339 time"},
		"request id": {inference.HeaderRequestID, "a b", good, http.StatusBadRequest, "Request-Id: must be at most 128"},
		"rows":       {"Accept", "*/*", strings.ReplaceAll(good, `"shape":[1]`, `"shape":[4]`), http.StatusRequestEntityTooLarge, "at most 3 are allowed"},
		"body":       {"Accept", "*/*", strings.Repeat(" ", 2<<20), http.StatusRequestEntityTooLarge, "the body has more than 1048576 bytes"},
		"asks first": {"Expect", "100-continue", strings.Repeat(" ", 2<<20), http.StatusRequestEntityTooLarge, "the body has more than 1048576 bytes"},
	} {
		code, h, answer := i.send(t, inferPath, []byte(tc.body), tc.header, tc.value)
		require.Equal(t, tc.code, code, "%s: %s", name, answer)
		require.NotEmpty(t, h.Get(inference.HeaderRequestID), "%s: a failure can be named", name)
		var refused map[string]string
		require.NoError(t, json.Unmarshal([]byte(answer), &refused), "%s: %s", name, answer)
		require.Len(t, refused, 1, name)
		require.Contains(t, refused["error"], tc.text, name)
	}
	_, h, answer := i.send(t, "/nothing", nil)
	require.NotEmpty(t, h.Get(inference.HeaderRequestID))
	require.JSONEq(t, `{"detail":"Not Found"}`, answer)
}
