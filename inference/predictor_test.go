package inference_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference"
	"telco-churn-mlops/model"
)

func predictor(t testing.TB) *inference.Predictor {
	t.Helper()
	b, err := model.Decode(encoded(t, 1))
	require.NoError(t, err)
	return inference.NewPredictor(modelName, b, inference.Promotion{Version: 7, Sequence: 42})
}

func options() inference.Options {
	n := 0
	return inference.Options{MaxRecords: 100, NewID: func() string { n++; return fmt.Sprint("id-", n) }}
}

// record is a good one with some values replaced; nil takes a column away.
func record(t testing.TB, change map[string]any) []byte {
	t.Helper()
	var fields map[string]any
	require.NoError(t, json.Unmarshal(records(t)[0], &fields))
	for k, v := range change {
		if v == nil {
			delete(fields, k)
			continue
		}
		fields[k] = v
	}
	b, err := json.Marshal(fields)
	require.NoError(t, err)
	return b
}

func TestPredictAnswersOneAndMany(t *testing.T) {
	p := predictor(t)
	all := records(t)[:3]
	one, err := p.Predict(all[0], options())
	require.NoError(t, err)
	require.False(t, one.List)
	body, err := one.Body()
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(body, &fields))
	require.ElementsMatch(t, []string{"prediction_id", "model", "version", "churn_probability", "label", "threshold"}, keys(fields))
	require.EqualValues(t, 7, fields["version"])

	list := []byte(" [" + string(all[0]) + " ,\n" + string(all[1]) + "," + string(all[2]) + "] ")
	many, err := p.Predict(list, options())
	require.NoError(t, err)
	require.True(t, many.List)
	require.Len(t, many.Answers, 3)
	require.Equal(t, one.Answers[0].Probability, many.Answers[0].Probability)
	for i, a := range many.Answers {
		require.Equal(t, fmt.Sprint("id-", i+1), a.PredictionID)
		require.JSONEq(t, string(all[i]), string(a.Record))
		require.Equal(t, a.Probability >= a.Threshold, a.Positive)
		require.Equal(t, map[bool]string{true: "Yes", false: "No"}[a.Positive], a.Label)
		require.Equal(t, fmt.Sprintf("id-%05d", i), a.EntityID)
	}
	body, err = many.Body()
	require.NoError(t, err)
	var answers []map[string]any
	require.NoError(t, json.Unmarshal(body, &answers))
	require.Len(t, answers, 3)
}

func keys(m map[string]any) []string {
	var out []string
	for k := range maps.Keys(m) {
		out = append(out, k)
	}
	return out
}

func TestPredictNamesEveryFaultAtOnce(t *testing.T) {
	good := string(record(t, nil))
	two := string(record(t, map[string]any{"tenure": "many", "MonthlyCharges": nil, "Contract": []int{1}}))
	for _, tc := range []struct {
		name, body string
		strict     bool
		code       int
		want       []string // "loc type", in any order
	}{
		{name: "two columns and a list as value", body: two, code: 422,
			want: []string{"[body tenure] type_error", "[body MonthlyCharges] missing", "[body Contract] type_error"}},
		{name: "in a list the index stands before the column", body: "[" + good + "," + two + "," + strings.Replace(good, `"tenure":`, `"x":`, 1) + "]", code: 422,
			want: []string{"[body 1 tenure] type_error", "[body 1 MonthlyCharges] missing", "[body 1 Contract] type_error", "[body 2 tenure] missing"}},
		{name: "NaN token", body: strings.Replace(good, `"MonthlyCharges":`, `"MonthlyCharges":NaN,"x":`, 1), code: 422,
			want: []string{"[body MonthlyCharges] value_error.not_finite"}},
		{name: "NaN token in a list", body: "[" + good + "," + strings.Replace(good, `"MonthlyCharges":`, `"MonthlyCharges":NaN,"x":`, 1) + "]", code: 422,
			want: []string{"[body 1 MonthlyCharges] value_error.not_finite"}},
		{name: "infinite text", body: string(record(t, map[string]any{"MonthlyCharges": "Infinity"})), code: 422,
			want: []string{"[body MonthlyCharges] value_error.not_finite"}},
		{name: "empty", body: " \n", code: 422, want: []string{"[body] json_invalid"}},
		{name: "no JSON", body: "tenure=3", code: 422, want: []string{"[body] json_invalid"}},
		{name: "a number", body: "12", code: 422, want: []string{"[body] json_invalid"}},
		{name: "null", body: "null", code: 422, want: []string{"[body] json_invalid"}},
		{name: "cut off", body: good[:len(good)-1], code: 422, want: []string{"[body] json_invalid"}},
		{name: "two records without a list", body: good + good, code: 422, want: []string{"[body] json_invalid"}},
		{name: "empty list", body: "[]", code: 422, want: []string{"[body] json_invalid"}},
		{name: "list that does not end", body: "[" + good, code: 422, want: []string{"[body] json_invalid"}},
		{name: "more after the list", body: "[" + good + "] 1", code: 422, want: []string{"[body] json_invalid"}},
		{name: "list in a list", body: "[[" + good + "]]", code: 422, want: []string{"[body 0] json_invalid"}},
		{name: "numbers in a list", body: "[1, " + good + "]", code: 422, want: []string{"[body 0] json_invalid"}},
		{name: "too many", body: "[" + strings.Repeat(good+",", 100) + good + "]", code: 413},
		{name: "strict: unseen category", strict: true, body: string(record(t, map[string]any{"Contract": "Lifelong"})), code: 422,
			want: []string{"[body Contract] value_error.set"}},
		{name: "strict: out of range", strict: true, body: string(record(t, map[string]any{"tenure": 1000})), code: 422,
			want: []string{"[body tenure] value_error.range"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options()
			o.Strict = tc.strict
			batch, err := predictor(t).Predict([]byte(tc.body), o)
			require.Nil(t, batch)
			var re *inference.RequestError
			require.ErrorAs(t, err, &re)
			require.Equal(t, tc.code, re.Code, re.Error())
			require.NotEmpty(t, re.Error())
			var got []string
			for _, p := range re.Problems {
				got = append(got, fmt.Sprint(p.Loc, " ", p.Type))
				require.NotEmpty(t, p.Msg)
			}
			require.ElementsMatch(t, tc.want, got)
			var body struct{ Detail any }
			require.NoError(t, json.Unmarshal(re.Body(), &body))
			require.NotEmpty(t, body.Detail)
		})
	}
}

func TestPredictWarnsOfWhatItAccepts(t *testing.T) {
	p := predictor(t)
	batch, err := p.Predict(record(t, map[string]any{"Contract": "Lifelong", "tenure": 1000, "shoe_size": 43}), options())
	require.NoError(t, err)
	var got []string
	for _, w := range batch.Answers[0].Warnings {
		got = append(got, fmt.Sprint(w.Loc, " ", w.Type))
	}
	require.ElementsMatch(t, []string{"[body Contract] value_error.set", "[body tenure] value_error.range", "[body shoe_size] value_error.unknown_column"}, got)

	for name, change := range map[string]map[string]any{
		"missing values are values":  {"TotalCharges": " ", "tenure": "12"},
		"no id":                      {"customerID": nil},
		"the label is not looked at": {"Churn": "Maybe"},
	} {
		batch, err := p.Predict(record(t, change), options())
		require.NoError(t, err, name)
		require.Empty(t, batch.Answers[0].Warnings, name)
	}
}

// FuzzPredict holds that a body is answered or refused with problems, whatever it is, and that a list that JSON accepts has as many answers
// as elements.
func FuzzPredict(f *testing.F) {
	good := string(records(f)[0])
	for _, seed := range []string{good, "[" + good + "]", "[" + good + "," + good + "]", "[", "]", "[,]", `["\"`, "[{]}", "[]]", "\ufeff[]", "{", `{"a":[}]`} {
		f.Add([]byte(seed))
	}
	p := predictor(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		o := options()
		o.MaxRecords = 0
		batch, err := p.Predict(body, o)
		if err != nil {
			var re *inference.RequestError
			require.ErrorAs(t, err, &re)
			require.NotEmpty(t, re.Problems)
			require.True(t, json.Valid(re.Body()))
			return
		}
		require.True(t, json.Valid(body), "only JSON is answered")
		if batch.List {
			var elements []json.RawMessage
			require.NoError(t, json.Unmarshal(body, &elements))
			require.Len(t, batch.Answers, len(elements))
		}
	})
}

func BenchmarkPredict(b *testing.B) {
	p, body := predictor(b), records(b)[0]
	o := inference.Options{NewID: func() string { return "id" }}
	b.ReportAllocs()
	for b.Loop() {
		batch, err := p.Predict(body, o)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := batch.Body(); err != nil {
			b.Fatal(err)
		}
	}
}
