package dataset

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/spec"
)

// fruit is a small spec with every kind of column.
const fruit = `name: fruit
columns:
  id: key
  target: {name: rotten, positive: "Yes", negative: "No"}
  missing: [NA, "-"]
  numeric:
    - {name: weight, min: 0, max: 1000}
    - {name: price}
  categorical:
    - {name: kind}
    - {name: organic, values: ["0", "1"]}
    - {name: ripe, values: ["True", "False"]}
  ignored: [comment]
`

func schemaOf(t testing.TB, yaml string) *Schema {
	t.Helper()
	s, err := spec.Parse([]byte(yaml))
	require.NoError(t, err)
	h, err := NewSchema(s)
	require.NoError(t, err)
	return h
}

func telcoSchema(t testing.TB) *Schema {
	t.Helper()
	h, err := NewSchema(spec.Telco())
	require.NoError(t, err)
	return h
}

// rules lists "rule/column" of faults.
func rules(faults []Fault) []string {
	out := []string{}
	for _, f := range faults {
		out = append(out, f.Rule+"/"+f.Column)
	}
	return out
}

func faultsOf(t testing.TB, err error) []Fault {
	t.Helper()
	if err == nil {
		return nil
	}
	var record *RecordError
	require.ErrorAs(t, err, &record)
	return record.Faults
}

func TestNewSchemaRefusesInvalidSpec(t *testing.T) {
	s := spec.Telco()
	s.Columns.Numeric[0].Name = "gender"
	_, err := NewSchema(s)
	require.ErrorContains(t, err, "already used")
}

func TestSchemaNames(t *testing.T) {
	h := schemaOf(t, fruit)
	require.Equal(t, []string{"weight", "price"}, h.Numeric())
	require.Equal(t, []string{"kind", "organic", "ripe"}, h.Categorical())
	require.Equal(t, []string{"key", "rotten", "Yes", "No"}, []string{h.ID(), h.Target(), h.Positive(), h.Negative()})
}

func TestDecodeJSON(t *testing.T) {
	h := schemaOf(t, fruit)
	row := h.NewRow()
	warnings, err := h.DecodeJSON([]byte(` {"key": 12345678901234567890, "weight":"29.85 ", "price":-1.5e-3,"kind":" Äpfel\u00e9\r\n ",
		"organic":1.0, "ripe":true, "rotten":"Yes", "comment":{"a":[1,{}]}} `), row, DecodeOptions{RequireLabel: true, Strict: true})
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Equal(t, &Row{ID: "12345678901234567890", Num: []float64{29.85, -1.5e-3}, Cat: []string{"Äpfelé", "1", "True"}, Label: 1}, row)
}

func TestDecodeJSONValues(t *testing.T) {
	h := schemaOf(t, fruit)
	for _, c := range []struct{ column, json, want string }{ // want is a text, "NaN" or "" for missing, or a rule
		{"price", `1`, "1"}, {"price", `-0`, "-0"}, {"price", `"1e3"`, "1000"}, {"price", `" 7"`, "7"}, {"price", `1e-320`, "1e-320"},
		{"price", `null`, "NaN"}, {"price", `""`, "NaN"}, {"price", `"  "`, "NaN"}, {"price", `"NA"`, "NaN"}, {"price", `"-"`, "NaN"},
		{"price", `"abc"`, "!type"}, {"price", `"0x10"`, "!type"}, {"price", `"1_0"`, "!type"}, {"price", `"1,5"`, "!type"}, {"price", `true`, "!type"},
		{"price", `[1]`, "!type"}, {"price", `{}`, "!type"},
		{"price", `NaN`, "!not_finite"}, {"price", `-Infinity`, "!not_finite"}, {"price", `Infinity`, "!not_finite"},
		{"price", `"NaN"`, "!not_finite"}, {"price", `"-inf"`, "!not_finite"}, {"price", `1e999`, "!not_finite"}, {"price", `"1e999"`, "!not_finite"},
		{"weight", `0`, "0"}, {"weight", `1000`, "1000"}, {"weight", `-0.001`, "!range"}, {"weight", `1000.1`, "!range"},
		{"kind", `"a"`, "a"}, {"kind", `null`, ""}, {"kind", `"NA"`, ""}, {"kind", `0.0`, "0"}, {"kind", `1.50`, "1.5"}, {"kind", `-0`, "0"},
		{"kind", `1e2`, "100"}, {"kind", `1e300`, "1e300"}, {"kind", `false`, "false"}, {"kind", `"0.0"`, "0.0"}, {"kind", `[]`, "!type"},
		{"kind", `NaN`, "!not_finite"}, {"kind", `"\ud83d\ude00"`, "😀"}, {"kind", `"\ud800"`, "\ufffd"}, {"kind", "\"\xff\"", "\ufffd"},
		{"organic", `0`, "0"}, {"organic", `"0.0"`, "0"}, {"organic", `1`, "1"}, {"organic", `2`, "!set"}, {"organic", `"yes"`, "!set"},
		{"ripe", `true`, "True"}, {"ripe", `"FALSE"`, "False"}, {"ripe", `1`, "!set"},
		{"key", `"007"`, "007"}, {"key", `7.0`, "7"}, {"key", `""`, "!id"}, {"key", `null`, "!id"}, {"key", `"NA"`, "NA"}, {"key", `[1]`, "!type"},
		{"rotten", `"Yes"`, "Yes"}, {"rotten", `" No "`, "No"}, {"rotten", `null`, "!label"}, {"rotten", `"maybe"`, "!label"}, {"rotten", `1`, "!label"},
	} {
		t.Run(c.column+"="+c.json, func(t *testing.T) {
			values := map[string]string{"key": `"k"`, "weight": "1", "price": "2", "kind": `"x"`, "organic": "1", "ripe": "true", "rotten": `"No"`}
			values[c.column] = c.json
			var parts []string
			for k, v := range values {
				parts = append(parts, fmt.Sprintf("%q:%s", k, v))
			}
			row := h.NewRow()
			_, err := h.DecodeJSON([]byte("{"+strings.Join(parts, ",")+"}"), row, DecodeOptions{RequireLabel: true, Strict: true})
			if rule, bad := strings.CutPrefix(c.want, "!"); bad {
				require.Equal(t, []string{rule + "/" + c.column}, rules(faultsOf(t, err)))
				return
			}
			require.NoError(t, err)
			got := map[string]string{
				"key": row.ID, "weight": fmt.Sprint(row.Num[0]), "price": fmt.Sprint(row.Num[1]), "kind": row.Cat[0],
				"organic": row.Cat[1], "ripe": row.Cat[2], "rotten": map[float64]string{1: "Yes", 0: "No"}[row.Label],
			}
			require.Equal(t, c.want, got[c.column])
		})
	}
}

func TestDecodeJSONReportsAllFaults(t *testing.T) {
	h := schemaOf(t, fruit)
	row := h.NewRow()
	warnings, err := h.DecodeJSON([]byte(`{"weight":-5,"weight":2,"price":"`+strings.Repeat("é", 50)+`","organic":"9","colour":"red","colour":1,"ripe":[1]}`),
		row, DecodeOptions{RequireLabel: true})
	faults := faultsOf(t, err)
	require.Equal(t, []string{"duplicate_column/weight", "type/price", "duplicate_column/colour", "type/ripe",
		"missing_column/kind", "missing_column/key", "missing_column/rotten"}, rules(faults))
	require.Equal(t, []string{"range/weight", "set/organic", "unknown_column/colour"}, rules(warnings))
	require.Equal(t, strings.Repeat("é", 40)+"...", faults[1].Value)
	require.Contains(t, err.Error(), `column price: want a number, got "`)
	require.Contains(t, warnings[1].Message, "not one of: 0, 1")
	text, err := json.Marshal(faults[0])
	require.NoError(t, err)
	require.JSONEq(t, `{"column":"weight","rule":"duplicate_column","message":"the column is there twice"}`, string(text))
}

func TestDecodeJSONPrediction(t *testing.T) {
	h := schemaOf(t, fruit)
	row := h.NewRow()
	const features = `"weight":1,"price":2,"kind":"x","organic":1,"ripe":true`
	for _, c := range []struct {
		json, id string
		label    float64
	}{
		{`{` + features + `}`, "", math.NaN()},
		{`{"key":null,"rotten":null,` + features + `}`, "", math.NaN()},
		{`{"key":"a","rotten":"perhaps",` + features + `}`, "a", math.NaN()},
		{`{"key":"a","rotten":[1],` + features + `}`, "a", math.NaN()},
		{`{"key":"a","rotten":"Yes",` + features + `}`, "a", 1},
	} {
		warnings, err := h.DecodeJSON([]byte(c.json), row, DecodeOptions{Strict: true})
		require.NoError(t, err, c.json)
		require.Empty(t, warnings)
		require.Equal(t, c.id, row.ID)
		require.Equal(t, math.IsNaN(c.label), math.IsNaN(row.Label))
		require.True(t, math.IsNaN(c.label) || c.label == row.Label)
	}
}

func TestDecodeJSONWithoutIDColumn(t *testing.T) {
	h := schemaOf(t, strings.Replace(fruit, "  id: key\n", "", 1))
	a, b := h.NewRow(), h.NewRow()
	_, err := h.DecodeJSON([]byte(`{"weight":0,"price":null,"kind":"x","organic":1,"ripe":true}`), a, DecodeOptions{})
	require.NoError(t, err)
	require.Regexp(t, `^row-[0-9a-f]{16}$`, a.ID)
	_, err = h.DecodeJSON([]byte(`{"rotten":"No","ripe":"true","organic":"1.0","kind":"x ","price":"NA","weight":-0}`), b, DecodeOptions{})
	require.NoError(t, err)
	require.Equal(t, a.ID, b.ID, "the same values in another spelling, and a label, give the same digest")
	b.Cat[0], b.Cat[1] = "x1", ""
	require.NotEqual(t, a.ID, RowDigest(b))
	b.Cat[0], b.Cat[1] = "x", "1"
	require.Equal(t, a.ID, RowDigest(b))
	b.Num[1] = 0
	require.NotEqual(t, a.ID, RowDigest(b), "missing is not zero")
}

func TestDecodeJSONSyntax(t *testing.T) {
	h := schemaOf(t, fruit)
	row := h.NewRow()
	for _, bad := range []string{
		``, ` `, `null`, `[]`, `1`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`, `{"a" 1}`, `{"a":1}x`, `{"a":1}{}`,
		`{"a":01}`, `{"a":+1}`, `{"a":.5}`, `{"a":1.}`, `{"a":1e}`, `{"a":-}`, `{"a":tru}`, `{"a":"x}`, `{"a":"\x"}`, `{"a":"\"}`, "{\"a\":\"\n\"}",
		`{"a":[1}`, `{"a":{"b":NaN}}`, `{"a":nan}`, `{"a":'x'}`, "\ufeff{}", `{"a":1,,"b":2}`, `{"a":"\u12"}`,
	} {
		_, err := h.DecodeJSON([]byte(bad), row, DecodeOptions{})
		require.Equal(t, []string{"json/"}, rules(faultsOf(t, err)), "%q", bad)
	}
	_, err := h.DecodeJSON([]byte("{}"), row, DecodeOptions{})
	require.Len(t, faultsOf(t, err), 5, "an empty object lacks every feature")
}

func TestDecodeJSONBoundsFaults(t *testing.T) {
	h := schemaOf(t, fruit)
	var b strings.Builder
	for i := range 3 * maxFaults {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	warnings, err := h.DecodeJSON([]byte("{"+b.String()[1:]+"}"), h.NewRow(), DecodeOptions{})
	require.Error(t, err)
	require.Len(t, warnings, maxFaults)
}

// TestDecodedStringsAreCopies overwrites the input, as a server that reuses its buffers does.
func TestDecodedStringsAreCopies(t *testing.T) {
	h := schemaOf(t, fruit)
	row := h.NewRow()
	in := []byte(`{"key":"k-1","weight":"abc","price":2,"kind":"apple","organic":"x","ripe":true,"colour":1}`)
	warnings, err := h.DecodeJSON(in, row, DecodeOptions{})
	faults := faultsOf(t, err)
	for i := range in {
		in[i] = '#'
	}
	require.Equal(t, "k-1", row.ID)
	require.Equal(t, []string{"apple", "x", "True"}, row.Cat)
	require.Equal(t, Fault{Column: "weight", Rule: "type", Value: "abc", Message: `want a number, got "abc"`}, faults[0])
	require.Equal(t, []string{"set/organic", "unknown_column/colour"}, rules(warnings))
	require.Equal(t, "x", warnings[0].Value)
}

func TestParseLabel(t *testing.T) {
	for _, c := range []struct {
		target, text string
		want         float64 // NaN = none
	}{
		{`positive: "1"`, "1", 1}, {`positive: "1"`, "1.0", 1}, {`positive: "1"`, " 0 ", 0}, {`positive: "1"`, "0.00", 0}, {`positive: "1"`, "2", math.NaN()},
		{`positive: "1"`, "true", math.NaN()}, {`positive: "True"`, "true", 1}, {`positive: "True"`, "FALSE", 0}, {`positive: "Yes"`, "yes", math.NaN()},
		{`positive: bad, negative: "*"`, "bad", 1}, {`positive: bad, negative: "*"`, "good", 0}, {`positive: bad, negative: "*"`, "NA", math.NaN()},
		{`positive: bad, negative: "*"`, "", math.NaN()}, {`positive: bad, negative: good`, "goods", math.NaN()},
	} {
		h := schemaOf(t, "name: a\ncolumns: {target: {name: y, "+c.target+"}, numeric: [{name: x}]}\n")
		got, ok := h.ParseLabel(c.text)
		require.Equal(t, !math.IsNaN(c.want), ok, "%+v", c)
		require.True(t, got == c.want || !ok && math.IsNaN(got), "%+v: %v", c, got)
	}
	h := schemaOf(t, "name: a\ncolumns: {target: {name: y, positive: bad, negative: \"*\"}, numeric: [{name: x}]}\n")
	require.Equal(t, "not bad", h.Negative())
}

// sameRow compares by bits, so that NaN equals NaN and -0 differs from 0.
func sameRow(t testing.TB, want, got *Row) {
	t.Helper()
	require.Equal(t, want.ID, got.ID)
	require.Equal(t, want.Cat, got.Cat)
	require.Equal(t, len(want.Num), len(got.Num))
	for i := range want.Num {
		if math.IsNaN(want.Num[i]) && math.IsNaN(got.Num[i]) {
			continue
		}
		require.Equal(t, math.Float64bits(want.Num[i]), math.Float64bits(got.Num[i]), "%v, %v", want.Num[i], got.Num[i])
	}
	require.True(t, want.Label == got.Label || math.IsNaN(want.Label) && math.IsNaN(got.Label))
}

var oddNumbers = []float64{0, math.Copysign(0, -1), 1.0 / 3, math.MaxFloat64, -math.SmallestNonzeroFloat64, 1e21, 1e-7, 123456789.125, math.NaN()}

var oddWords = []string{"", "a", `"`, `a "b", c`, "a\nb", "a\rb", `back\slash`, "<é&>", "\u2028", "\x01", "\x7f", "tab\tin", "😀", "'", "0.0", "=1+1", "#"}

func TestAppendJSONRoundTrip(t *testing.T) {
	h := schemaOf(t, fruit)
	for i, v := range oddNumbers {
		for j, w := range oddWords {
			if strings.TrimSpace(w) != w {
				continue // no reader gives such a row
			}
			row := &Row{ID: "id " + w, Num: []float64{float64(i), v}, Cat: []string{w, "1", ""}, Label: float64((i + j) % 2)}
			if w == "" {
				row.ID = "id"
			}
			text := h.AppendJSON([]byte("x"), row, true)
			require.True(t, json.Valid(text[1:]), "%s", text)
			back := h.NewRow()
			warnings, err := h.DecodeJSON(text[1:], back, DecodeOptions{RequireLabel: true, Strict: true})
			require.NoError(t, err, "%s", text)
			require.Empty(t, warnings)
			sameRow(t, row, back)
		}
	}
	bare := h.AppendJSON(nil, h.NewRow(), false)
	require.JSONEq(t, `{"weight":null,"price":null,"kind":null,"organic":null,"ripe":null}`, string(bare))
	require.Contains(t, string(h.AppendJSON(nil, h.NewRow(), true)), `"rotten":null`)
}

func telcoRecord() []byte {
	return []byte(`{"customerID":"7590-VHVEG","gender":"Female","SeniorCitizen":0,"Partner":"Yes","Dependents":"No","tenure":1,` +
		`"PhoneService":"No","MultipleLines":"No phone service","InternetService":"DSL","OnlineSecurity":"No","OnlineBackup":"Yes",` +
		`"DeviceProtection":"No","TechSupport":"No","StreamingTV":"No","StreamingMovies":"No","Contract":"Month-to-month",` +
		`"PaperlessBilling":"Yes","PaymentMethod":"Electronic check","MonthlyCharges":29.85,"TotalCharges":"29.85"}`)
}

// TestDecodeJSONAllocations holds that a Telco record costs one allocation: its id.
func TestDecodeJSONAllocations(t *testing.T) {
	h, data := telcoSchema(t), telcoRecord()
	row := h.NewRow()
	n := testing.AllocsPerRun(100, func() {
		if _, err := h.DecodeJSON(data, row, DecodeOptions{Strict: true}); err != nil {
			t.Fatal(err)
		}
	})
	require.LessOrEqual(t, n, 1.0)
}

func BenchmarkDecodeJSON(b *testing.B) {
	h, data := telcoSchema(b), telcoRecord()
	row := h.NewRow()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.DecodeJSON(data, row, DecodeOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	h := telcoSchema(b)
	row := h.NewRow()
	_, err := h.DecodeJSON(telcoRecord(), row, DecodeOptions{})
	require.NoError(b, err)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = h.AppendJSON(buf[:0], row, true)
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add(telcoRecord())
	f.Add([]byte(`{"key":1e5,"weight":"-","price":-0.0,"kind":"\ud83d\ude00\r\r\n","organic":true,"ripe":null,"rotten":"Yes","x":[{"a":NaN}]}`))
	f.Add([]byte("{\"kind\":\"\xff\u00a0 \",\"kind \":1}"))
	f.Add([]byte(`{"weight":Infinity,"price":1e999,"`))
	h := schemaOf(f, fruit)
	f.Add([]byte(`{"key":"1","weight":01,"price":-0.,"kind" : "a","weight":1.5.2,"price":.5}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		row := h.NewRow()
		before := string(data)
		warnings, err := h.DecodeJSON(data, row, DecodeOptions{})
		require.Equal(t, before, string(data))
		// A decoder knows the order of the keys of the records before: at first another's, then that of this one.
		d, same := h.NewDecoder(), h.NewRow()
		_, other := d.Decode([]byte(`{"key":"1","weight":1,"price":2,"kind":"a","organic":true,"ripe":"Yes"}`), same, DecodeOptions{})
		require.NoError(t, other)
		for range 2 {
			said, refused := d.Decode(data, same, DecodeOptions{})
			require.Equal(t, err, refused)
			require.Equal(t, warnings, said)
			sameRow(t, row, same)
		}
		if err != nil {
			faults := faultsOf(t, err)
			require.NotEmpty(t, faults)
			syntax := rules(faults)[len(faults)-1] == "json/"
			require.False(t, !syntax && !jsonLike(data), "accepted the syntax of %q", data)
			return
		}
		require.True(t, json.Valid(data), "%q", data)
		text := h.AppendJSON(nil, row, true)
		back := h.NewRow()
		again, err := h.DecodeJSON(text, back, DecodeOptions{})
		require.NoError(t, err, "%s", text)
		require.LessOrEqual(t, len(again), len(warnings))
		sameRow(t, row, back)
	})
}

// jsonLike reports whether data is JSON but for the tokens that DecodeJSON names as not finite.
func jsonLike(data []byte) bool {
	return json.Valid(data) || strings.Contains(string(data), "NaN") || strings.Contains(string(data), "Infinity")
}
