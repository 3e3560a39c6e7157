package openinference_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/openinference"
)

// nest turns flat data into rows of one.
func nest(in tensorOf) tensorOf {
	var rows [][]json.RawMessage
	for _, v := range in.Data.([]json.RawMessage) {
		rows = append(rows, []json.RawMessage{v})
	}
	in.Data, in.Shape = rows, []int{len(rows), 1}
	return in
}

// Every form of a request gives the scores of the records themselves, to the bit.
func TestFormsOfARequestGiveEqualScores(t *testing.T) {
	e := newEngine(t)
	b := e.served.Versions[0].Bundle
	rows := records(t, 6)
	want := expected(t, b, rows)
	inputs := columnInputs(t, b, rows)
	change := func(one func(tensorOf) tensorOf) []tensorOf {
		var out []tensorOf
		for _, in := range inputs {
			out = append(out, one(in))
		}
		return out
	}
	texts := make([]string, len(rows))
	for i := range rows {
		texts[i] = string(rows[i])
	}
	var numeric, others []tensorOf
	for _, in := range inputs {
		if in.Datatype == "FP64" || in.Datatype == "INT64" {
			numeric = append(numeric, in)
		} else {
			others = append(others, in)
		}
	}
	require.Greater(t, len(numeric), 1)
	var names []string
	var flat []json.RawMessage
	var table [][]json.RawMessage
	for _, in := range numeric {
		names = append(names, in.Name)
	}
	for i := range rows {
		var row []json.RawMessage
		for _, in := range numeric {
			row = append(row, in.Data.([]json.RawMessage)[i])
		}
		flat, table = append(flat, row...), append(table, row)
	}
	matrix := func(data, columns any) []tensorOf {
		return append([]tensorOf{{Name: "x", Shape: []int{len(rows), len(names)}, Datatype: "FP64", Data: data, Parameters: map[string]any{"columns": columns}}}, others...)
	}
	encodedNames, err := json.Marshal(names)
	require.NoError(t, err)
	for _, test := range []struct {
		name   string
		inputs []tensorOf
		more   map[string]any
	}{
		{"a column each", inputs, nil},
		{"pandas", change(func(in tensorOf) tensorOf {
			in.Shape = []int{len(rows), 1}
			in.Parameters = map[string]any{"content_type": map[bool]string{true: "str", false: "np"}[in.Datatype == "BYTES"]}
			return in
		}), map[string]any{"parameters": map[string]any{"content_type": "pd"}}},
		{"nested", change(nest), nil},
		{"numbers as text", change(func(in tensorOf) tensorOf {
			if in.Datatype == "BYTES" {
				return in
			}
			var data []any
			for _, raw := range in.Data.([]json.RawMessage) {
				if data = append(data, string(raw)); string(raw) == "null" {
					data[len(data)-1] = nil
				}
			}
			in.Datatype, in.Data = "BYTES", data
			return in
		}), nil},
		{"numbers as FP32", change(func(in tensorOf) tensorOf {
			if in.Datatype != "BYTES" {
				in.Datatype = "FP32"
			}
			return in
		}), nil},
		{"base64", change(func(in tensorOf) tensorOf {
			if in.Datatype != "BYTES" {
				return in
			}
			var data []any
			for _, raw := range in.Data.([]json.RawMessage) {
				var text *string
				require.NoError(t, json.Unmarshal(raw, &text))
				if text == nil {
					data = append(data, nil)
					continue
				}
				data = append(data, base64.StdEncoding.EncodeToString([]byte(*text)))
			}
			in.Data, in.Parameters = data, map[string]any{"content_type": "base64"}
			return in
		}), nil},
		{"records as JSON", []tensorOf{{Name: "records", Shape: []int{len(rows)}, Datatype: "BYTES", Data: texts}}, nil},
		{"records as JSON, nested", []tensorOf{{Name: "records", Shape: []int{len(rows), 1}, Datatype: "BYTES", Data: func() (out [][]string) {
			for _, s := range texts {
				out = append(out, []string{s})
			}
			return out
		}()}}, nil},
		{"a matrix", matrix(flat, names), nil},
		{"a nested matrix", matrix(table, names), nil},
		{"columns in a text", matrix(flat, strings.Join(names, ", ")), nil},
		{"columns as JSON in a text", matrix(table, string(encodedNames)), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, answer := ask(t, e, "POST", inferPath, body(t, test.inputs, test.more))
			require.Equal(t, 200, w.Code, "%s", w.Body)
			require.Equal(t, want, outputNamed(t, answer, "churn_probability")["data"])
			require.Equal(t, []any{6.0}, outputNamed(t, answer, "churn_probability")["shape"])
			require.Equal(t, "FP64", outputNamed(t, answer, "churn_probability")["datatype"])
			require.Equal(t, "BYTES", outputNamed(t, answer, "label")["datatype"])
			require.Equal(t, modelName, answer["model_name"])
			require.Equal(t, "7", answer["model_version"])
			require.Equal(t, "7", w.Header().Get("Model-Version"))
			require.NotContains(t, answer, "parameters")
		})
	}
}

func TestVersionedPath(t *testing.T) {
	e := newEngine(t)
	rows := records(t, 1)
	rq := body(t, columnInputs(t, e.served.Versions[1].Bundle, rows), nil)
	w, answer := ask(t, e, "POST", "/v2/models/telco-churn/versions/4/infer", rq)
	require.Equal(t, 200, w.Code)
	require.Equal(t, "4", answer["model_version"])
	require.Equal(t, 4, e.call.Version)
	require.Equal(t, "id-0", w.Header().Get("Prediction-Id"))
	require.Equal(t, expected(t, e.served.Versions[1].Bundle, rows), outputNamed(t, answer, "churn_probability")["data"])
}

// one is a request of a record, with the input of a column replaced.
func one(t testing.TB, replaced ...tensorOf) string {
	t.Helper()
	inputs := columnInputs(t, bundle(t, 1), records(t, 1))
	for _, r := range replaced {
		found := false
		for i := range inputs {
			if inputs[i].Name == r.Name {
				inputs[i], found = r, true
			}
		}
		if !found {
			inputs = append(inputs, r)
		}
	}
	return body(t, inputs, nil)
}

func TestDatatypes(t *testing.T) {
	for _, test := range []struct {
		datatype string
		good     []string
		bad      []string
	}{
		{"UINT8", []string{"0", "255", "12.0", "1e2", "null"}, []string{"256", "-1", "1.5", `"1"`, "true", "NaN", "1e30"}},
		{"UINT16", []string{"65535"}, []string{"65536"}},
		{"UINT32", []string{"72"}, []string{"4294967296"}},
		{"UINT64", []string{"72"}, []string{"18446744073709551616", "-3"}},
		{"INT8", []string{"12", "-0"}, []string{"128", "0.5"}},
		{"INT16", []string{"12"}, []string{"32768"}},
		{"INT32", []string{"12"}, []string{"2147483648"}},
		{"INT64", []string{"12", "null"}, []string{"9223372036854775808", "Infinity"}},
		{"FP16", []string{"12.5"}, []string{"65505", "-1e6", `"x"`}},
		{"FP32", []string{"12.5"}, []string{"3.5e38", "false"}},
		{"FP64", []string{"12.5", "0", "null", "1.5e1"}, []string{"[1]", "{}", `"1"`}},
		{"BYTES", []string{`"12.5"`, `" 12 "`, `""`, "null"}, []string{"12", "true"}},
	} {
		for _, v := range test.good {
			t.Run(test.datatype+" "+v, func(t *testing.T) {
				e := newEngine(t)
				w, _ := ask(t, e, "POST", inferPath, one(t, tensorOf{Name: "tenure", Shape: []int{1}, Datatype: test.datatype, Data: json.RawMessage("[" + v + "]")}))
				require.Equal(t, 200, w.Code, "%s", w.Body)
				require.Contains(t, string(e.call.Records[0]), `"tenure":`+v)
			})
		}
		for _, v := range test.bad {
			t.Run("not "+test.datatype+" "+v, func(t *testing.T) {
				rq := strings.Replace(one(t, tensorOf{Name: "tenure", Shape: []int{1}, Datatype: test.datatype, Data: []int{-777}}), "-777", v, 1)
				w, answer := ask(t, newEngine(t), "POST", inferPath, rq)
				require.Equal(t, 400, w.Code, "%s", w.Body)
				require.Contains(t, answer["error"], "tenure")
			})
		}
	}
}

func TestTruthValues(t *testing.T) {
	in := func(v string) string {
		return one(t, tensorOf{Name: "Partner", Shape: []int{1}, Datatype: "BOOL", Data: json.RawMessage("[" + v + "]")})
	}
	e := newEngine(t)
	for _, v := range []string{"true", "false", "null"} {
		w, _ := ask(t, e, "POST", inferPath, in(v))
		require.Equal(t, 200, w.Code, "%s", w.Body)
		require.Contains(t, string(e.call.Records[0]), `"Partner":`+v)
	}
	for _, v := range []string{"1", `"true"`} {
		w, _ := ask(t, e, "POST", inferPath, in(v))
		require.Equal(t, 400, w.Code, "%s", w.Body)
	}
}

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
		{"too many rows", tenure(func(in *tensorOf) { in.Shape = []int{101} }), 400, "at most 100"},
		{"rows beyond all bounds", strings.Replace(tenure(func(in *tensorOf) { in.Shape = []int{777} }), "777", "18446744073709551615", 1), 400, "at most 100"},
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

func TestOutputsIDAndExplanation(t *testing.T) {
	e := newEngine(t)
	rows := records(t, 2)
	inputs := columnInputs(t, e.served.Versions[0].Bundle, rows)
	w, answer := ask(t, e, "POST", inferPath, body(t, inputs, map[string]any{"id": "né\"w", "outputs": []any{map[string]any{"name": "label", "parameters": map[string]any{"binary_data": true}}, map[string]any{"name": "model_version"}}}))
	require.Equal(t, 200, w.Code, "%s", w.Body)
	require.Equal(t, "né\"w", answer["id"])
	require.Empty(t, e.call.RequestID, "an id that no header could be")
	_, _ = ask(t, e, "POST", inferPath, body(t, inputs, map[string]any{"id": "r-0"}))
	require.Equal(t, "r-0", e.call.RequestID)
	_, _ = ask(t, e, "POST", inferPath, body(t, inputs, map[string]any{"id": "r-0"}), "X-Request-Id", "x-0")
	require.Equal(t, "x-0", e.call.RequestID)
	require.Len(t, answer["outputs"], 2)
	require.Equal(t, "label", answer["outputs"].([]any)[0].(map[string]any)["name"])
	require.Equal(t, []any{7.0, 7.0}, outputNamed(t, answer, "model_version")["data"])
	require.False(t, e.call.Explain)
	require.Empty(t, w.Header().Get("Prediction-Id"))

	for _, test := range []struct {
		name, path string
		more       map[string]any
	}{
		{"parameter", inferPath, map[string]any{"parameters": map[string]any{"explain": true}}},
		{"query", inferPath + "?explain=true", nil},
		{"output", inferPath, map[string]any{"outputs": []any{map[string]any{"name": "contributions"}, map[string]any{"name": "raw_score"}, map[string]any{"name": "contribution_columns"}, map[string]any{"name": "reasons"}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, answer := ask(t, e, "POST", test.path, body(t, inputs, test.more), "Request-Id", "r-1")
			require.Equal(t, 200, w.Code, "%s", w.Body)
			require.Equal(t, "r-1", e.call.RequestID)
			require.NotContains(t, answer, "id")
			columns := outputNamed(t, answer, "contribution_columns")["data"].([]any)
			require.Equal(t, "bias", columns[len(columns)-1])
			amounts := outputNamed(t, answer, "contributions")
			require.Equal(t, []any{2.0, float64(len(columns))}, amounts["shape"])
			data := amounts["data"].([]any)
			for i, raw := range outputNamed(t, answer, "raw_score")["data"].([]any) {
				sum := 0.0
				for _, v := range data[i*len(columns) : (i+1)*len(columns)] {
					sum += v.(float64)
				}
				require.InDelta(t, raw, sum, 1e-9)
			}
			var reasons []string
			require.NoError(t, json.Unmarshal([]byte(outputNamed(t, answer, "reasons")["data"].([]any)[1].(string)), &reasons))
			require.NotEmpty(t, reasons)
		})
	}
}

// Under a split the rows of a request may be answered by two versions: which one is then an output.
func TestRowsOfTwoVersions(t *testing.T) {
	e := newEngine(t)
	e.odd = true
	rows := records(t, 3)
	w, answer := ask(t, e, "POST", inferPath, body(t, columnInputs(t, e.served.Versions[0].Bundle, rows), nil))
	require.Equal(t, 200, w.Code, "%s", w.Body)
	require.NotContains(t, answer, "model_version")
	require.Empty(t, w.Header().Get("Model-Version"))
	require.Equal(t, []any{7.0, 4.0, 7.0}, outputNamed(t, answer, "model_version")["data"])
}

func TestWarnings(t *testing.T) {
	rq := one(t, tensorOf{Name: "tenure", Shape: []int{1}, Datatype: "INT64", Data: []int{5000}}, tensorOf{Name: "shoe size", Shape: []int{1}, Datatype: "INT64", Data: []int{44}})
	e := newEngine(t)
	w, answer := ask(t, e, "POST", inferPath, rq)
	require.Equal(t, 200, w.Code, "%s", w.Body)
	text := answer["parameters"].(map[string]any)["warnings"]
	require.Contains(t, text, `"shoe size": the model has no such column`)
	require.Contains(t, text, "row 0: tenure: 5000 is outside")
	require.NotContains(t, string(e.call.Records[0]), "shoe")
	for _, strict := range []string{"?strict=true", ""} {
		w, _ := ask(t, e, "POST", inferPath+strict, strings.Replace(rq, `{"inputs"`, `{"parameters":{"strict":`+fmt.Sprint(strict == "")+`},"inputs"`, 1))
		require.Equal(t, 400, w.Code)
	}
}

// What is needed for a request is bounded by its size and the columns of the model, whatever it says about itself.
func TestAllocationIsBounded(t *testing.T) {
	long := strings.Repeat("n", 500_000)
	wide := strings.TrimSuffix(strings.Repeat("1,", 400_000), ",")
	for name, rq := range map[string]string{
		"great shape":          strings.Replace(one(t), `"shape":[1]`, `"shape":[99999999999]`, 1),
		"long unknown name":    strings.Replace(one(t), `"inputs":[`, `"inputs":[{"name":"`+long+`","shape":[1],"datatype":"INT64","data":[1]},`, 1),
		"many empty inputs":    `{"inputs":[` + strings.TrimSuffix(strings.Repeat("{},", 300_000), ",") + `]}`,
		"many unknown columns": `{"inputs":[{"name":"x","shape":[40,10000],"datatype":"INT64","data":[` + wide + `],"parameters":{"columns":"` + strings.Repeat(",", 9_999) + `"}}]}`,
		"many outputs":         `{"outputs":[` + strings.TrimSuffix(strings.Repeat(`{"name":"label"},`, 50_000), ",") + `],"inputs":[]}`,
		"deep":                 strings.Repeat(`{"x":`, 200_000),
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w, _ := ask(t, e, "POST", inferPath, rq)
			runtime.ReadMemStats(&after)
			require.Less(t, w.Code, 500)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(12<<20), "a body of %d bytes", len(rq))
		})
	}
}

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

// A model's name may be any text: in a path it is escaped.
func TestNameWithASlash(t *testing.T) {
	e := newEngine(t)
	e.served.Model = "team/churn v2"
	w, answer := ask(t, e, "POST", "/v2/models/team%2Fchurn%20v2/infer", one(t))
	require.Equal(t, 200, w.Code, "%s", w.Body)
	require.Equal(t, e.served.Model, answer["model_name"])
}

func FuzzInfer(f *testing.F) {
	e := newEngine(f)
	f.Add(one(f))
	f.Add(`{"inputs":[{"name":"r","shape":[1],"datatype":"BYTES","data":["{}"]}]}`)
	f.Add(`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"columns":"tenure,MonthlyCharges"},"data":[[1,NaN]]}],"id":""}`)
	f.Add(`{"parameters":{"explain":true},"outputs":[{"name":"reasons"}],"inputs":[{"name":"","shape":[18446744073709551615],"datatype":"BOOL","data":[]}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		w, answer := ask(t, e, "POST", inferPath, body)
		require.Less(t, w.Code, 500)
		if w.Code == http.StatusOK {
			for _, v := range outputNamed(t, answer, "churn_probability")["data"].([]any) {
				require.False(t, math.IsNaN(v.(float64)))
			}
		} else {
			require.NotEmpty(t, answer["error"])
		}
	})
}
