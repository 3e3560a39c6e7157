package inference_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model"
)

// described reads the instance's own description.
func (i *instance) described(t testing.TB) validator.Validator {
	t.Helper()
	code, data := i.get(t, "/openapi.json")
	require.Equal(t, http.StatusOK, code)
	doc, err := libopenapi.NewDocument([]byte(data))
	require.NoError(t, err)
	v, errs := validator.NewValidator(doc)
	require.Empty(t, errs)
	valid, problems := v.ValidateDocument()
	require.True(t, valid, "%v", problems)
	return v
}

// The answers of a running instance, errors among them, are what its own description says.
func TestAnswersAreAsDescribed(t *testing.T) {
	w := newWorld(t)
	version := w.promote(t, w.upload(t, 1))
	c := w.config(t, "a")
	c.MaxRecords = 4
	i := run(t, c)
	b, err := model.Decode(encoded(t, 1))
	require.NoError(t, err)
	records := oddRecords(t)[:4]
	i.serves(t, version, records[0])
	v := i.described(t)

	record, list := string(records[0]), "["+string(bytes.Join(records, []byte(",")))+"]"
	flat := string(tensorInputs(t, b, records, false))
	v2 := "/v2/models/" + modelName
	type call struct {
		method, path, body string
		code               int
	}
	check := func(v validator.Validator, calls []call) {
		t.Helper()
		for _, call := range calls {
			rq, err := http.NewRequestWithContext(t.Context(), call.method, "http://"+i.Addr()+call.path, strings.NewReader(call.body))
			require.NoError(t, err)
			rq.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(rq)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, call.code, resp.StatusCode, "%s %s: %s", call.method, call.path, body)
			resp.Body = io.NopCloser(bytes.NewReader(body))
			if resp.StatusCode == http.StatusMethodNotAllowed { // the description has no such method to look the answer up by
				rq.Method = map[string]string{http.MethodGet: http.MethodPost, http.MethodDelete: http.MethodGet}[rq.Method]
			}
			valid, problems := v.ValidateHttpResponse(rq, resp)
			for _, p := range problems {
				t.Logf("%s: %s %v", p.Message, p.Reason, p.SchemaValidationErrors)
			}
			require.True(t, valid, "%s %s: %d %s", call.method, call.path, resp.StatusCode, body)
		}
	}
	check(v, []call{
		{"POST", "/predict", record, 200},
		{"POST", "/predict", string(records[2]), 200}, // with a warning
		{"POST", "/predict", list, 200},
		{"POST", "/predict?explain=true", record, 200},
		{"POST", "/predict?explain=true&strict=false", list, 200},
		{"POST", "/predict?partial=true", "[" + record + `,{"tenure":"x"}]`, 200},
		{"POST", "/predict", "[" + record + `,{"tenure":"x"}]`, 422},
		{"POST", "/predict", `{"tenure":"x"}`, 422},
		{"POST", "/predict?strict=true", string(records[2]), 422},
		{"POST", "/predict?strict=perhaps", record, 422},
		{"POST", "/predict", "{", 422},
		{"POST", "/predict", "[" + list[1:len(list)-1] + "," + record + "]", 413},
		{"POST", "/predict", strings.Repeat(" ", int(c.MaxBody)+1), 413},
		{"GET", "/predict", "", 405},
		{"GET", "/v2", "", 200},
		{"GET", "/v2/health/live", "", 200},
		{"GET", "/v2/health/ready", "", 200},
		{"DELETE", "/v2/health/ready", "", 405},
		{"GET", v2, "", 200},
		{"GET", v2 + "/versions/1", "", 200},
		{"GET", v2 + "/versions/9", "", 404},
		{"GET", v2 + "/ready", "", 200},
		{"GET", v2 + "/versions/1/ready", "", 200},
		{"POST", v2 + "/infer", flat, 200},
		{"POST", v2 + "/infer?explain=true", flat, 200},
		{"POST", v2 + "/versions/1/infer", strings.Replace(flat, `{"inputs"`, `{"id":"x","outputs":[{"name":"model_version"},{"name":"churn_probability"}],"inputs"`, 1), 200},
		{"POST", v2 + "/infer", "{}", 400},
		{"POST", v2 + "/versions/9/infer", flat, 404},
		{"GET", v2 + "/infer", "", 405},
		{"GET", "/health", "", 200},
		{"GET", "/livez", "", 200},
		{"GET", "/readyz", "", 200},
		{"GET", "/openapi.json", "", 200},
		{"GET", "/docs", "", 200},
	})

	w.withdraw(t)
	bustest.Eventually(t, func() bool {
		code, _, _ := i.post(t, "/predict", records[0])
		return code == http.StatusServiceUnavailable
	}, "the model is withdrawn")
	check(i.described(t), []call{
		{"POST", "/predict", record, 503},
		{"GET", "/v2/health/ready", "", 503},
		{"GET", v2, "", 503},
		{"GET", v2 + "/ready", "", 503},
		{"POST", v2 + "/infer", flat, 503},
		{"GET", "/readyz", "", 503},
		{"GET", "/docs", "", 200},
	})
}
