package mlflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Transcripts are what a client sends and what it must get, call by call:
//
//	# a comment
//	> POST /api/2.0/mlflow/experiments/create
//	{"name": "orders"}
//	< 200
//	{"experiment_id": "${exp}"}
//
// ${name} in an expected body takes any value the first time and must be the same from then on; in a request it stands for that value. ${_} takes any value
// each time. An expected JSON body must have the same fields with the same values, numbers digit for digit; any other one must have the same bytes.
// Lines [Name: value] after the status are headers that the answer must have. A body ends at an empty line or at the next > or <.

// exchange is one call of a transcript.
type exchange struct {
	line         int
	method, path string
	body         string
	status       int
	headers      [][2]string
	answer       string
	anyAnswer    bool // nothing is said of the body
}

func parseTranscript(t *testing.T, text string) []exchange {
	t.Helper()
	var all []exchange
	var into *string
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "#"), line == "":
			into = nil
		case strings.HasPrefix(line, "> "):
			method, path, ok := strings.Cut(line[2:], " ")
			require.True(t, ok, "line %d: want > METHOD PATH", i+1)
			all = append(all, exchange{line: i + 1, method: method, path: path, anyAnswer: true})
			into = &all[len(all)-1].body
		case strings.HasPrefix(line, "< "):
			require.NotEmpty(t, all, "line %d: an answer without a request", i+1)
			status, err := strconv.Atoi(strings.TrimSpace(line[2:]))
			require.NoError(t, err, "line %d", i+1)
			all[len(all)-1].status = status
			into = &all[len(all)-1].answer
		case strings.HasPrefix(line, "[") && into != nil && strings.HasSuffix(line, "]") && into == &all[len(all)-1].answer && *into == "":
			name, value, ok := strings.Cut(line[1:len(line)-1], ": ")
			require.True(t, ok, "line %d: want [Name: value]", i+1)
			e := &all[len(all)-1]
			e.headers = append(e.headers, [2]string{name, value})
		default:
			require.NotNil(t, into, "line %d belongs to nothing", i+1)
			if *into != "" {
				*into += "\n"
			}
			*into += line
			e := &all[len(all)-1]
			e.anyAnswer = e.anyAnswer && into == &e.body
		}
	}
	for _, e := range all {
		require.NotZero(t, e.status, "line %d: no answer is expected", e.line)
	}
	return all
}

var variable = regexp.MustCompile(`\$\{(\w+)\}`)

// transcript replays exchanges against a server and keeps what they captured.
type transcript struct {
	base string
	vars map[string]string
}

func (tr *transcript) fill(t *testing.T, s string, line int) string {
	t.Helper()
	return variable.ReplaceAllStringFunc(s, func(m string) string {
		value, ok := tr.vars[m[2:len(m)-1]]
		require.True(t, ok, "line %d: %s has no value yet", line, m)
		return value
	})
}

func (tr *transcript) replay(t *testing.T, e exchange) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), e.method, tr.base+tr.fill(t, e.path, e.line), strings.NewReader(tr.fill(t, e.body, e.line)))
	require.NoError(t, err, "line %d", e.line)
	if strings.HasPrefix(e.body, "{") {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultTransport.RoundTrip(req) // redirects are answers
	require.NoError(t, err, "line %d", e.line)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err, "line %d", e.line)
	require.Equal(t, e.status, res.StatusCode, "line %d: %s %s answered %s", e.line, e.method, e.path, body)
	for _, h := range e.headers {
		require.Equal(t, h[1], res.Header.Get(h[0]), "line %d: header %s", e.line, h[0])
	}
	if e.anyAnswer {
		return
	}
	want, isJSON := parseJSON([]byte(e.answer))
	if !isJSON {
		require.Equal(t, tr.fill(t, e.answer, e.line), string(body), "line %d", e.line)
		return
	}
	got, ok := parseJSON(body)
	require.True(t, ok, "line %d: %s %s answered no JSON: %s", e.line, e.method, e.path, body)
	if diff := tr.compare("", want, got); diff != "" {
		require.Fail(t, "another answer", "line %d: %s %s: %s\nwhole answer: %s", e.line, e.method, e.path, diff, body)
	}
}

func parseJSON(b []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || d.More() {
		return nil, false
	}
	return v, true
}

// compare returns the first difference of an expected and a real value, or nothing.
func (tr *transcript) compare(at string, want, got any) string {
	switch w := want.(type) {
	case string:
		return tr.compareText(at, w, got)
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s: want an object, got %v", at, got)
		}
		for k := range g {
			if _, ok := w[k]; !ok {
				return fmt.Sprintf("%s.%s: not expected: %v", at, k, g[k])
			}
		}
		for _, k := range capturing(w) {
			if _, ok := g[k]; !ok {
				return fmt.Sprintf("%s.%s: missing", at, k)
			}
			if diff := tr.compare(at+"."+k, w[k], g[k]); diff != "" {
				return diff
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%s: want %d elements, got %v", at, len(w), got)
		}
		for i := range w {
			if diff := tr.compare(fmt.Sprintf("%s[%d]", at, i), w[i], g[i]); diff != "" {
				return diff
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("%s: want %v, got %v", at, want, got)
	}
	return ""
}

// capturing returns an object's fields by name, those that may capture a value before those that may use it.
func capturing(object map[string]any) []string {
	captures := func(k string) bool {
		text, ok := object[k].(string)
		return ok && strings.HasPrefix(text, "${") && strings.HasSuffix(text, "}")
	}
	return slices.SortedFunc(maps.Keys(object), func(a, b string) int {
		if captures(a) != captures(b) {
			if captures(a) {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
}

// compareText compares a text that may hold variables. One that is a variable alone takes a number too.
func (tr *transcript) compareText(at, want string, got any) string {
	value := fmt.Sprint(got)
	if m := variable.FindStringSubmatch(want); m != nil && m[0] == want {
		if m[1] == "_" {
			return ""
		}
		if known, ok := tr.vars[m[1]]; !ok {
			tr.vars[m[1]] = value
		} else if known != value {
			return fmt.Sprintf("%s: want %s = %q, got %q", at, want, known, value)
		}
		return ""
	}
	filled := variable.ReplaceAllStringFunc(want, func(m string) string { return tr.vars[m[2:len(m)-1]] })
	if text, ok := got.(string); !ok || text != filled {
		return fmt.Sprintf("%s: want %q, got %v", at, filled, got)
	}
	return ""
}

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			tr := &transcript{base: newRig(t).start().base, vars: map[string]string{}}
			for _, e := range parseTranscript(t, string(text)) {
				tr.replay(t, e)
			}
		})
	}
}

func TestATranscriptFailsOnAnyDifference(t *testing.T) {
	want, _ := parseJSON([]byte(`{"a": 1, "b": ["x", "${v}"], "c": {"d": "p/${v}"}}`))
	for _, test := range []struct {
		name, got string
		differs   bool
	}{
		{"same", `{"c": {"d": "p/q"}, "b": ["x", "q"], "a": 1}`, false},
		{"number as text", `{"c": {"d": "p/q"}, "b": ["x", "q"], "a": "1"}`, true},
		{"number written otherwise", `{"c": {"d": "p/q"}, "b": ["x", "q"], "a": 1.0}`, true},
		{"one field more", `{"c": {"d": "p/q"}, "b": ["x", "q"], "a": 1, "z": null}`, true},
		{"one field less", `{"c": {"d": "p/q"}, "b": ["x", "q"]}`, true},
		{"one element more", `{"c": {"d": "p/q"}, "b": ["x", "q", "q"], "a": 1}`, true},
		{"another text", `{"c": {"d": "p/q"}, "b": ["y", "q"], "a": 1}`, true},
		{"another value of the variable", `{"c": {"d": "p/q"}, "b": ["x", "r"], "a": 1}`, true},
		{"another type", `[1]`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := parseJSON([]byte(test.got))
			require.True(t, ok)
			tr := &transcript{vars: map[string]string{"v": "q"}}
			require.Equal(t, test.differs, tr.compare("", want, got) != "")
		})
	}
}
