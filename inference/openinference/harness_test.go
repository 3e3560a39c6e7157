package openinference_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/openinference"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/explain"
	"telco-churn-mlops/model/modeltest"
)

// engine scores with bundles, as the service does, and keeps what it was called with.
type engine struct {
	served   openinference.Served
	fails    error // of Infer
	full     bool  // Admit refuses
	odd      bool  // odd rows are answered by the second version
	revision int

	mu       sync.Mutex
	call     openinference.Call
	admitted int
}

func (e *engine) Served() openinference.Served { return e.served }

func (e *engine) Admit(context.Context) (func(), error) {
	if e.full {
		return nil, &openinference.Error{Code: http.StatusTooManyRequests, Text: "too much at once"}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.admitted++
	return func() { e.mu.Lock(); e.admitted--; e.mu.Unlock() }, nil
}

func (e *engine) Infer(ctx context.Context, c openinference.Call) ([]openinference.Result, error) {
	e.mu.Lock()
	e.call = c
	e.mu.Unlock()
	if e.fails != nil {
		return nil, e.fails
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var rs []openinference.Result
	refused := &openinference.Error{Code: http.StatusBadRequest}
	for i, record := range c.Records {
		v := e.served.Versions[0]
		for _, other := range e.served.Versions {
			if other.Number == c.Version || e.odd && i%2 == 1 {
				v = other
			}
		}
		b := v.Bundle
		row := b.Schema.NewRow()
		warnings, err := b.Schema.DecodeJSON(record, row, dataset.DecodeOptions{Strict: c.Strict})
		var re *dataset.RecordError
		if errors.As(err, &re) {
			for _, f := range re.Faults {
				refused.Faults = append(refused.Faults, openinference.Fault{Row: i, Column: f.Column, Message: f.Message})
			}
			continue
		}
		p := b.NewScorer().Score(row)
		r := openinference.Result{PredictionID: fmt.Sprint("id-", i), Version: v.Number, Revision: e.revision, Probability: p.Probability, Label: p.Label}
		for _, w := range warnings {
			r.Warnings = append(r.Warnings, w.Column+": "+w.Message)
		}
		if c.Explain {
			x, err := explain.New(b)
			if err != nil {
				return nil, err
			}
			r.Explanation = &explain.Explanation{}
			x.Explain(row, r.Explanation)
		}
		rs = append(rs, r)
	}
	if len(refused.Faults) > 0 {
		return nil, refused
	}
	return rs, nil
}

const modelName = "telco-churn"

// made are the bundles by seed: fitting one takes longer than a test.
var made sync.Map

func bundle(t testing.TB, seed uint64) *model.Bundle {
	t.Helper()
	if b, ok := made.Load(seed); ok {
		return b.(*model.Bundle)
	}
	b := modeltest.Bundle(t, modeltest.Options{Seed: seed, Relation: seed, Rows: 200, Trees: 10})
	made.Store(seed, b)
	return b
}

func newEngine(t testing.TB) *engine {
	t.Helper()
	return &engine{served: openinference.Served{Model: modelName, Versions: []openinference.Version{{Number: 7, Bundle: bundle(t, 1)}, {Number: 4, Bundle: bundle(t, 2)}}}}
}

var options = openinference.Options{Server: "churn", Version: "1.2.3", MaxBody: 1 << 20, MaxRows: 100}

// ask sends a request and returns the answer's code and body, which is JSON.
func ask(t testing.TB, e *engine, method, path, body string, headers ...string) (*httptest.ResponseRecorder, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	openinference.Handler(e, options).ServeHTTP(w, r)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var answer map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer), "%s", w.Body)
	e.mu.Lock()
	defer e.mu.Unlock()
	require.Zero(t, e.admitted, "a permit was not given back")
	return w, answer
}

const inferPath = "/v2/models/" + modelName + "/infer"

// tensorOf is an input of a request.
type tensorOf struct {
	Name       string         `json:"name"`
	Shape      []int          `json:"shape"`
	Datatype   string         `json:"datatype"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Data       any            `json:"data"`
}

// body writes a request of inputs with more fields.
func body(t testing.TB, inputs []tensorOf, more map[string]any) string {
	t.Helper()
	rq := map[string]any{"inputs": inputs}
	for k, v := range more {
		rq[k] = v
	}
	data, err := json.Marshal(rq)
	require.NoError(t, err)
	return string(data)
}

// records are rows of the model as the JSON of /predict.
func records(t testing.TB, n int) [][]byte {
	t.Helper()
	return modeltest.Records(t, modeltest.Options{Seed: 5, Rows: 50})[:n]
}

// columnInputs are these records as one input for each column.
func columnInputs(t testing.TB, b *model.Bundle, rows [][]byte) []tensorOf {
	t.Helper()
	values := make([]map[string]json.RawMessage, len(rows))
	for i := range rows {
		require.NoError(t, json.Unmarshal(rows[i], &values[i]))
	}
	var inputs []tensorOf
	for _, in := range openinference.Inputs(b) {
		data := make([]json.RawMessage, len(rows))
		for i := range rows {
			data[i] = values[i][in.Name]
		}
		inputs = append(inputs, tensorOf{Name: in.Name, Shape: []int{len(rows)}, Datatype: in.Datatype, Data: data})
	}
	return inputs
}

// expected are the probabilities that the bundle itself gives.
func expected(t testing.TB, b *model.Bundle, rows [][]byte) []any {
	t.Helper()
	var out []any
	for _, record := range rows {
		row := b.Schema.NewRow()
		_, err := b.Schema.DecodeJSON(record, row, dataset.DecodeOptions{})
		require.NoError(t, err)
		out = append(out, b.NewScorer().Score(row).Probability)
	}
	return out
}

// outputNamed returns an output of an answer.
func outputNamed(t testing.TB, answer map[string]any, name string) map[string]any {
	t.Helper()
	list, ok := answer["outputs"].([]any)
	require.True(t, ok, "%v", answer)
	for _, o := range list {
		if o := o.(map[string]any); o["name"] == name {
			return o
		}
	}
	require.Fail(t, "no output "+name)
	return nil
}
