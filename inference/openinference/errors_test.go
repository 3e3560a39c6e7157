package openinference_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/openinference"
)

func TestErrors(t *testing.T) {
	good := one(t)
	tenure := func(change func(*tensorOf)) string {
		in := tensorOf{Name: "tenure", Shape: []int{1}, Datatype: "INT64", Data: []int{3}}
		change(&in)
		return one(t, in)
	}
	raw := func(s string) any { return json.RawMessage(s) }
	for _, test := range []struct {
		name, body string
		code       int
		want       string
	}{
		{"empty", "", 400, `want a JSON object`},
		{"a list", "[]", 400, `want a JSON object`},
		{"not JSON", `{"inputs":`, 400, "the JSON ends early"},
		{"more after it", good + "x", 400, "there is more"},
		{"no inputs", `{}`, 400, "there are no inputs"},
		{"empty inputs", `{"inputs":[]}`, 400, "there are no inputs"},
		{"inputs no list", `{"inputs":{}}`, 400, "inputs must be a list"},
		{"input no object", `{"inputs":[1]}`, 400, "element 0 must be an object"},
		{"no name", `{"inputs":[{"shape":[1],"datatype":"BOOL","data":[true]}]}`, 400, "has no name"},
		{"no shape", `{"inputs":[{"name":"a","datatype":"BOOL","data":[true]}]}`, 400, "has no shape"},
		{"no datatype", `{"inputs":[{"name":"a","shape":[1],"data":[true]}]}`, 400, "has no datatype"},
		{"no data", `{"inputs":[{"name":"a","shape":[1],"datatype":"BOOL"}]}`, 400, "has no data"},
		{"data no list", tenure(func(in *tensorOf) { in.Data = 3 }), 400, "data must be a list"},
		{"id no text", `{"id":42,"inputs":[]}`, 400, "id must be a string"},
		{"parameters no object", `{"parameters":1,"inputs":[]}`, 400, "must be an object"},
		{"explain no truth value", `{"parameters":{"explain":"yes"},"inputs":[]}`, 400, "must be true or false"},
		{"unknown datatype", tenure(func(in *tensorOf) { in.Datatype = "FP8" }), 400, `no datatype "FP8"`},
		{"no dimension", tenure(func(in *tensorOf) { in.Shape = []int{} }), 400, "0 dimensions"},
		{"three dimensions", tenure(func(in *tensorOf) { in.Shape = []int{1, 1, 1} }), 400, "3 dimensions"},
		{"no rows", tenure(func(in *tensorOf) { in.Shape, in.Data = []int{0}, []int{} }), 400, "no rows"},
		{"negative rows", tenure(func(in *tensorOf) { in.Shape = []int{-1} }), 400, "whole numbers"},
		{"too many rows", tenure(func(in *tensorOf) { in.Shape = []int{101} }), 413, "at most 100"},
		{"rows beyond all bounds", strings.Replace(tenure(func(in *tensorOf) { in.Shape = []int{777} }), "777", "18446744073709551615", 1), 413, "at most 100"},
		{"matrix without names", body(t, []tensorOf{{Name: "x", Shape: []int{1, 3}, Datatype: "BYTES", Data: []string{"a", "b", "c"}}}, nil), 400, `name them in its parameter "columns"`},
		{"columns beyond all bounds", strings.Replace(tenure(func(in *tensorOf) { in.Shape = []int{1, 777} }), "777", "18446744073709551615", 1), 400, "name them"},
		{"too few elements", tenure(func(in *tensorOf) { in.Shape = []int{2} }), 400, "1 elements, its shape 2"},
		{"far too few elements", tenure(func(in *tensorOf) { in.Shape = []int{99} }), 400, "fewer elements than the 99"},
		{"too many elements", tenure(func(in *tensorOf) { in.Data = []int{1, 2} }), 400, "more elements"},
		{"nested in one dimension", tenure(func(in *tensorOf) { in.Data = raw("[[1]]") }), 400, "nested"},
		{"nested too deep", tenure(func(in *tensorOf) { in.Shape, in.Data = []int{1, 1}, raw("[[[1]]]") }), 400, "want INT64"},
		{"nested far too deep", `{"inputs":` + strings.Repeat("[", 100), 400, "must be an object"},
		{"unknown and far too deep", `{"x":` + strings.Repeat("[", 100), 400, "nested too deep"},
		{"nested row too long", tenure(func(in *tensorOf) { in.Shape, in.Data = []int{1, 1}, raw("[[1,2]]") }), 400, "more elements"},
		{"rows that differ", one(t, tensorOf{Name: "tenure", Shape: []int{2}, Datatype: "INT64", Data: []int{1, 2}}), 400, `input "tenure" has 2`},
		{"matrix without columns", tenure(func(in *tensorOf) { in.Shape, in.Data = []int{1, 2}, []int{1, 2} }), 400, "name them"},
		{"matrix of other columns", tenure(func(in *tensorOf) {
			in.Shape, in.Data, in.Parameters = []int{1, 2}, []int{1, 2}, map[string]any{"columns": "tenure"}
		}), 400, "2 columns, want 1"},
		{"a column twice", strings.Replace(good, `"inputs":[`, `"inputs":[{"name":"tenure","shape":[1],"datatype":"INT64","data":[1]},`, 1), 400, `"tenure" is there twice`},
		{"a column missing", strings.Replace(good, `"tenure"`, `"months"`, 1), 400, "no input for the column tenure"},
		{"a row with faults", tenure(func(in *tensorOf) { in.Datatype, in.Data = "BYTES", []string{"often"} }), 400, "row 0, tenure: want a number"},
		{"not a number", strings.Replace(tenure(func(in *tensorOf) { in.Datatype, in.Data = "FP64", []int{-777} }), "-777", "NaN", 1), 400, "tenure: NaN is not a finite number"},
		{"an escape that is none", strings.Replace(good, `"inputs"`, `"\x"`, 1), 400, "not valid JSON"},
		{"no record", `{"inputs":[{"name":"r","shape":[1],"datatype":"BYTES","data":["hello"]}]}`, 400, "names no column"},
		{"null for a record", `{"inputs":[{"name":"r","shape":[1],"datatype":"BYTES","data":[null]}]}`, 400, "want a record"},
		{"a record that is broken", `{"inputs":[{"name":"r","shape":[1],"datatype":"BYTES","data":["{\"a\""]}]}`, 400, "row 0"},
		{"no base64", tenure(func(in *tensorOf) {
			in.Datatype, in.Data, in.Parameters = "BYTES", []string{"%"}, map[string]any{"content_type": "base64"}
		}), 400, "not valid base64"},
		{"unknown output", strings.Replace(good, `{"inputs"`, `{"outputs":[{"name":"y"}],"inputs"`, 1), 400, `no output "y"; it has churn_probability`},
		{"output without a name", strings.Replace(good, `{"inputs"`, `{"outputs":[{}],"inputs"`, 1), 400, "has no name"},
		{"too large", strings.Repeat(" ", 1<<20) + good, 413, "more than 1048576 bytes"},
		// The example of the protocol, whose second input holds fewer elements than its shape says.
		{"the protocol's example", `{"id":"42","inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32","data":[1,2,3,4]},{"name":"input1","shape":[3],"datatype":"BOOL","data":[true]}],"outputs":[{"name":"output0"}]}`,
			400, `no output "output0"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, answer := ask(t, newEngine(t), "POST", inferPath, test.body)
			require.Equal(t, test.code, w.Code, "%s", w.Body)
			require.Contains(t, answer["error"], test.want)
			require.Len(t, answer, 1)
		})
	}
}

func TestErrorsOfTheEngine(t *testing.T) {
	rq := one(t)
	for _, test := range []struct {
		name  string
		path  string
		set   func(*engine)
		code  int
		want  string
		retry string
	}{
		{"another model", "/v2/models/other/infer", nil, 404, `no model "other"`, ""},
		{"a version that is not held", "/v2/models/telco-churn/versions/9/infer", nil, 404, "version 9 is not held", ""},
		{"no version", "/v2/models/telco-churn/versions/latest/infer", nil, 404, "numbers from 1", ""},
		{"version 0", "/v2/models/telco-churn/versions/0/infer", nil, 404, "numbers from 1", ""},
		{"version 07", "/v2/models/telco-churn/versions/07/infer", nil, 404, "numbers from 1", ""},
		{"nothing loaded", inferPath, func(e *engine) { e.served.Versions, e.served.Reason = nil, "it is withdrawn" }, 503, "it is withdrawn", ""},
		{"full", inferPath, func(e *engine) { e.full = true }, 429, "too much at once", "1"},
		{"deadline", inferPath, func(e *engine) { e.fails = context.DeadlineExceeded }, 504, "the deadline has passed", ""},
		{"deadline of its own", inferPath, func(e *engine) { e.fails = &openinference.Error{Code: 504, Text: "too late"} }, 504, "too late", ""},
		{"our fault", inferPath, func(e *engine) { e.fails = errors.New("oh") }, 500, "internal error", ""},
		{"query", inferPath + "?explain=perhaps", nil, 400, "explain in the query", ""},
		{"query without a value", inferPath + "?explain", nil, 400, "explain in the query", ""},
		{"no path", "/v2/models", nil, 404, "nothing at this path", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newEngine(t)
			if test.set != nil {
				test.set(e)
			}
			w, answer := ask(t, e, "POST", test.path, rq)
			require.Equal(t, test.code, w.Code, "%s", w.Body)
			require.Contains(t, answer["error"], test.want)
			require.Equal(t, test.retry, w.Header().Get("Retry-After"))
		})
	}
	w, answer := ask(t, newEngine(t), "POST", inferPath, rq, "Inference-Header-Content-Length", "12")
	require.Equal(t, 400, w.Code)
	require.Contains(t, answer["error"], "binary")
	w, _ = ask(t, newEngine(t), "GET", inferPath, "")
	require.Equal(t, 405, w.Code)
	require.Equal(t, "POST", w.Header().Get("Allow"))
}

// All faults of all rows are named, up to a bound.
func TestFaultsAreAllNamed(t *testing.T) {
	var rows [][]byte
	for range 60 {
		rows = append(rows, records(t, 1)[0])
	}
	inputs := columnInputs(t, bundle(t, 1), rows)
	for i := range inputs {
		if inputs[i].Name == "tenure" {
			bad := make([]string, 60)
			for k := range bad {
				bad[k] = "x"
			}
			inputs[i] = tensorOf{Name: "tenure", Shape: []int{60}, Datatype: "BYTES", Data: bad}
		}
	}
	w, answer := ask(t, newEngine(t), "POST", inferPath, body(t, inputs, nil))
	require.Equal(t, 400, w.Code)
	require.Contains(t, answer["error"], "row 0, tenure: ")
	require.Contains(t, answer["error"], "; row 49, tenure: ")
	require.NotContains(t, answer["error"], "row 50")
	require.Contains(t, answer["error"], "and 10 more")
}
