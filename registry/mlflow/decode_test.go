package mlflow

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/registry/fault"
)

func TestIntegersComeAsNumbersAndAsStrings(t *testing.T) {
	for _, test := range []struct {
		text string
		want int64
		bad  bool
	}{
		{text: `12`, want: 12}, {text: `"12"`, want: 12}, {text: `-3`, want: -3}, {text: `"-3"`, want: -3},
		{text: `9223372036854775807`, want: math.MaxInt64}, {text: `"-9223372036854775808"`, want: math.MinInt64},
		{text: `1e3`, want: 1000}, {text: `2.0`, want: 2}, {text: `null`, want: 7},
		{text: `9223372036854775808`, bad: true}, {text: `1.5`, bad: true}, {text: `"x"`, bad: true}, {text: `""`, bad: true},
		{text: `true`, bad: true}, {text: `[1]`, bad: true}, {text: `{}`, bad: true}, {text: `1e300`, bad: true}, {text: `"NaN"`, bad: true},
	} {
		t.Run(test.text, func(t *testing.T) {
			in := struct {
				N integer `json:"n"`
			}{7}
			err := decodeJSON([]byte(`{"n": `+test.text+`}`), &in)
			if test.bad {
				require.Equal(t, fault.Invalid, fault.CodeOf(err))
				require.Contains(t, err.Error(), "'n'")
				return
			}
			require.NoError(t, err)
			require.Equal(t, integer(test.want), in.N)
		})
	}
}

func TestNumbersMayBeWhatJSONCannotSay(t *testing.T) {
	for _, test := range []struct {
		text string
		want float64
		bad  bool
	}{
		{text: `0.5`, want: 0.5}, {text: `"0.5"`, want: 0.5}, {text: `-1e-300`, want: -1e-300}, {text: `"NaN"`, want: math.NaN()},
		{text: `"Infinity"`, want: math.Inf(1)}, {text: `"-Infinity"`, want: math.Inf(-1)},
		{text: `1e999`, bad: true}, {text: `"inf"`, bad: true}, {text: `"nan"`, bad: true}, {text: `"x"`, bad: true}, {text: `false`, bad: true},
	} {
		t.Run(test.text, func(t *testing.T) {
			var in struct {
				N *double `json:"n"`
			}
			err := decodeJSON([]byte(`{"n": `+test.text+`}`), &in)
			if test.bad {
				require.Equal(t, fault.Invalid, fault.CodeOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, math.Float64bits(test.want), math.Float64bits(float64(*in.N)))
		})
	}
}

// aCall is a call with every kind of field.
type aCall struct {
	runKey
	Number *integer `json:"number"`
	Flag   bool     `json:"flag"`
	List   []string `json:"list"`
	Nested []runKey `json:"nested"`
}

func decodeCall(t *testing.T, method, target, body string) (aCall, error) {
	t.Helper()
	c := &call{w: &recorder{ResponseWriter: httptest.NewRecorder()}, r: httptest.NewRequest(method, target, strings.NewReader(body))}
	var in aCall
	err := c.decode(&in)
	return in, err
}

func TestFieldsComeFromTheQueryOrTheBody(t *testing.T) {
	seven := integer(7)
	full := aCall{runKey: runKey{RunID: "r"}, Number: &seven, Flag: true, List: []string{"a", "b"}}
	const text = `{"run_id": "r", "number": "7", "flag": true, "list": ["a", "b"], "unknown": {"x": [1]}, "run_uuid": null}`
	for _, test := range []struct {
		name, method, target, body string
		want                       aCall
		code                       fault.Code
		says                       string
	}{
		{name: "query of a GET", method: "GET", target: "/?run_id=r&number=7&flag=true&list=a&list=b&unknown=1", want: full},
		{name: "query with brackets", method: "GET", target: "/?run_id=r&number=7&flag=TRUE&list%5B%5D=a&list[]=b", want: full},
		{name: "body of a GET without a query", method: "GET", target: "/", body: text, want: full},
		{name: "body of a GET with a query", method: "GET", target: "/?run_id=r", body: text, want: aCall{runKey: runKey{RunID: "r"}}},
		{name: "body of a POST", method: "POST", target: "/?run_id=other", body: text, want: full},
		{name: "body of a DELETE", method: "DELETE", target: "/?run_id=other", body: text, want: full},
		{name: "query of a DELETE", method: "DELETE", target: "/?run_id=r&number=7&flag=1&list=a&list=b", want: full},
		{name: "nothing", method: "POST", target: "/", want: aCall{}},
		{name: "null", method: "POST", target: "/", body: "null", want: aCall{}},
		{name: "query of a POST is not looked at", method: "POST", target: "/?run_id=r", want: aCall{}},
		{name: "no JSON", method: "POST", target: "/", body: "run_id=r", code: fault.BadRequest},
		{name: "two objects", method: "POST", target: "/", body: "{}{}", code: fault.BadRequest},
		{name: "a list", method: "POST", target: "/", body: "[]", code: fault.Invalid, says: "must be a JSON object"},
		{name: "wrong type in an embedded field", method: "POST", target: "/", body: `{"run_id": 1}`, code: fault.Invalid, says: "'run_id'"},
		{name: "wrong type below a list", method: "POST", target: "/", body: `{"nested": [{"run_id": 1}]}`, code: fault.Invalid, says: "'nested.run_id'"},
		{name: "wrong number in the query", method: "GET", target: "/?number=x", code: fault.Invalid, says: "'number'"},
		{name: "wrong flag in the query", method: "GET", target: "/?flag=x", code: fault.Invalid, says: "'flag'"},
		{name: "objects in the query", method: "GET", target: "/?nested=x", code: fault.Invalid, says: "'nested'"},
		{name: "a query that is none", method: "GET", target: "/?a=%zz", code: fault.BadRequest},
		{name: "no UTF-8 in the query", method: "GET", target: "/?run_id=%ff", code: fault.Invalid, says: "'run_id'"},
		{name: "deep", method: "POST", target: "/", body: strings.Repeat("[", 20000), code: fault.BadRequest},
		{name: "too large", method: "POST", target: "/", body: `{"run_id": "` + strings.Repeat("x", maxBody) + `"}`, code: ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := decodeCall(t, test.method, test.target, test.body)
			var large *http.MaxBytesError
			switch {
			case test.name == "too large":
				require.True(t, errors.As(err, &large), "%v", err)
			case test.code != "":
				require.Equal(t, test.code, fault.CodeOf(err), "%v", err)
				require.Contains(t, err.Error(), test.says)
			default:
				require.NoError(t, err)
				require.Equal(t, test.want, got)
			}
		})
	}
}

func TestABodyOfUnknownLengthIsBoundedToo(t *testing.T) {
	r := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat(" ", maxBody+1)))
	r.ContentLength = -1
	c := &call{w: &recorder{ResponseWriter: httptest.NewRecorder()}, r: r}
	status, body := describe(c.decode(&aCall{}))
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, wireError{fault.Invalid, "the request must be at most 1000000 bytes"}, body)
}

func TestRequiredNamesWhatIsMissing(t *testing.T) {
	require.NoError(t, required("a", "x", "b", "y"))
	err := required("a", "x", "b", "", "c", "")
	require.Equal(t, fault.Invalid, fault.CodeOf(err))
	require.EqualError(t, err, "Missing value for required parameter 'b'")
}

func TestPageSize(t *testing.T) {
	n := func(v integer) *integer { return &v }
	for _, test := range []struct {
		name  string
		asked *integer
		want  int
	}{
		{"default", nil, 100}, {"one", n(1), 1}, {"most", n(1000), 1000}, {"too many", n(1001), 0}, {"none", n(0), 0}, {"negative", n(-1), 0},
		{"overflow", n(math.MaxInt64), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := pageSize(test.asked, 100, 1000)
			require.Equal(t, test.want == 0, err != nil)
			require.Equal(t, test.want, got)
		})
	}
}

func TestRouterMatches(t *testing.T) {
	var rt router
	for _, path := range []string{"/m/fixed", "/m/{id}", "/m/{id}/tags/{key...}", "/m/{id}/params", "/files/{path...}"} {
		rt.add("GET", path, path, route{})
	}
	rt.add("POST", "/m/fixed", "/m/fixed", route{})
	for _, test := range []struct {
		path, want string
		vars       []string
	}{
		{"/m/fixed", "/m/fixed", nil},
		{"/m/x", "/m/{id}", []string{"id", "x"}},
		{"/m/a%2Fb", "/m/{id}", []string{"id", "a/b"}},
		{"/m/x/", "", nil},
		{"/m/", "", nil},
		{"/m", "", nil},
		{"/m/x/params", "/m/{id}/params", []string{"id", "x"}},
		{"/m/x/params/y", "", nil},
		{"/m/x/tags/k%20%E4%B8%96", "/m/{id}/tags/{key...}", []string{"id", "x", "key", "k 世"}},
		{"/m/x/tags/a/b", "/m/{id}/tags/{key...}", []string{"id", "x", "key", "a/b"}},
		{"/files/a/../b", "/files/{path...}", []string{"path", "a/../b"}},
		{"/files/a//b/", "/files/{path...}", []string{"path", "a//b/"}},
		{"/files/", "/files/{path...}", []string{"path", ""}},
		{"/files", "", nil},
		{"/FILES/x", "", nil},
	} {
		t.Run(test.path, func(t *testing.T) {
			f, err := rt.find(httptest.NewRequest("GET", test.path, nil))
			if test.want == "" {
				require.Equal(t, fault.Endpoint, fault.CodeOf(err))
				require.Nil(t, f.endpoint)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, f.endpoint.label)
			require.Equal(t, test.vars, f.vars)
		})
	}
	f, err := rt.find(httptest.NewRequest("PUT", "/m/fixed", nil))
	require.ErrorIs(t, err, errMethod)
	require.Equal(t, "GET, POST", f.endpoint.allow())
	_, err = rt.find(httptest.NewRequest("HEAD", "/m/fixed", nil))
	require.NoError(t, err)
	require.Panics(t, func() { rt.add("GET", "/m/{id}", "", route{}) })
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"run_id": "r", "number": "7", "flag": true, "list": ["a"], "nested": [{"run_id": "x"}]}`, "run_id=r&number=7")
	f.Add(`{"number": 1e400}`, "list[]=a&list=b&flag=maybe")
	f.Add("[[[[", "%zz;&&=")
	f.Fuzz(func(t *testing.T, body, query string) {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			r := httptest.NewRequest(method, "/", strings.NewReader(body))
			r.URL.RawQuery = query
			c := &call{w: &recorder{ResponseWriter: httptest.NewRecorder()}, r: r}
			var in aCall
			if err := c.decode(&in); err != nil {
				status, _ := describe(err)
				require.Equal(t, http.StatusBadRequest, status, "%v", err)
			} else if _, err := json.Marshal(in.List); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Who misspells a limit of a rollout would have the default's on customers.
func TestARolloutTakesNoUnknownFields(t *testing.T) {
	for body, want := range map[string]string{
		`{"version":1,"paln":"canary 1% -> 100%"}`: `unknown field "paln"`, `{"version":1,"wacth":{"requests":9}}`: `unknown field "wacth"`,
		`{"version":"x"}`: "'version'", `{"version":"1","plan":"canary 1% -> 100%"}`: "", ``: "",
	} {
		var in struct {
			Version integer `json:"version"`
			Plan    string  `json:"plan"`
		}
		c := &call{w: &recorder{ResponseWriter: httptest.NewRecorder()}, r: httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))}
		err := c.decodeStrictly(&in)
		if want == "" {
			require.NoError(t, err, body)
			continue
		}
		require.Equal(t, fault.Invalid, fault.CodeOf(err), body)
		require.ErrorContains(t, err, want)
	}
}
