package openinference_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
	e.odd, e.revision = true, 12
	rows := records(t, 3)
	w, answer := ask(t, e, "POST", inferPath, body(t, columnInputs(t, e.served.Versions[0].Bundle, rows), nil))
	require.Equal(t, 200, w.Code, "%s", w.Body)
	require.NotContains(t, answer, "model_version")
	require.Empty(t, w.Header().Get("Model-Version"))
	require.Equal(t, "12", w.Header().Get("Rollout-Revision"))
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
