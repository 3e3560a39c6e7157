package openapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/inference/openapi"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// models are bundles with every kind of column.
func models(t testing.TB) map[string]*model.Bundle {
	t.Helper()
	low, high := 0.5, 9.5
	odd := spec.Telco().Clone()
	odd.Columns.ID, odd.Split.Salt = "", "s"
	odd.Columns.Target = spec.Target{Name: "left \"it\"", Positive: "gone", Negative: spec.AnyOther}
	odd.Columns.Numeric = []spec.Numeric{{Name: "a/b~c", Min: &low}, {Name: "{x}", Max: &high, Optional: true}, {Name: "größe", Min: &low, Max: &high}}
	odd.Columns.Categorical = []spec.Categorical{{Name: "open", MaxLevels: 9}, {Name: "closed <b>", Values: []string{"x\"y", "null", "1"}, MaxLevels: 9, Optional: true}}
	odd.Expectations.UniqueID = false
	odd.Columns.Ignored, odd.Features.Derived, odd.Drift.Monitors, odd.Expectations.NotNull = nil, nil, nil, nil
	out := map[string]*model.Bundle{}
	for name, s := range map[string]*spec.Spec{"telco": spec.Telco(), "odd": odd} {
		out[name] = modeltest.Bundle(t, modeltest.Options{Spec: s, Rows: 200, Trees: 3})
	}
	return out
}

func check(t *testing.T, data []byte) validator.Validator {
	t.Helper()
	doc, err := libopenapi.NewDocument(data)
	require.NoError(t, err)
	_, err = doc.BuildV3Model()
	require.NoError(t, err)
	v, errs := validator.NewValidator(doc)
	require.Empty(t, errs)
	valid, problems := v.ValidateDocument()
	for _, p := range problems {
		for _, s := range p.SchemaValidationErrors {
			t.Logf("%s: %s", s.FieldPath, s.Reason)
		}
	}
	require.True(t, valid, "%v", problems)
	return v
}

func TestDocumentIsValidOpenAPI(t *testing.T) {
	bundles := models(t)
	bundles["none"] = nil
	for name, b := range bundles {
		t.Run(name, func(t *testing.T) {
			o := openapi.Options{Model: "team/churn \"x\"", MaxRecords: 10, MaxBody: 1000}
			if b != nil {
				o.Version = 3
			}
			data := openapi.Document(b, o)
			require.Equal(t, data, openapi.Document(b, o))
			check(t, data)
			var doc struct {
				OpenAPI    string `json:"openapi"`
				Paths      map[string]map[string]json.RawMessage
				Components map[string]map[string]json.RawMessage
			}
			require.NoError(t, json.Unmarshal(data, &doc))
			require.Equal(t, "3.1.0", doc.OpenAPI)
			require.Equal(t, 16, len(doc.Paths))
			// What is referred to is there, and what is there is referred to.
			referred := map[string]bool{}
			for _, m := range regexp.MustCompile(`"#/components/([^"]+)"`).FindAllSubmatch(data, -1) {
				kind, what, _ := strings.Cut(string(m[1]), "/")
				require.Contains(t, doc.Components[kind], what)
				referred[kind+"/"+what] = true
			}
			for kind, of := range doc.Components {
				for what := range of {
					if !strings.HasPrefix(what, "E") && !strings.HasPrefix(what, "V2E") { // errors are made for both kinds of paths
						require.True(t, referred[kind+"/"+what], "%s/%s is of no use", kind, what)
					}
				}
			}
		})
	}
}

// The examples are requests that the document allows and that the model takes without a word.
func TestExamplesAreGood(t *testing.T) {
	for name, b := range models(t) {
		t.Run(name, func(t *testing.T) {
			v := check(t, openapi.Document(b, openapi.Options{Model: "churn", Version: 1}))
			record, err := json.Marshal(openapi.Example(b))
			require.NoError(t, err)
			warnings, err := b.Schema.DecodeJSON(record, b.Schema.NewRow(), dataset.DecodeOptions{Strict: true})
			require.NoError(t, err)
			require.Empty(t, warnings)
			for _, body := range []string{string(record), "[" + string(record) + "," + string(record) + "]"} {
				require.True(t, takes(t, v, "/predict", body), "%s", body)
			}
			for _, body := range []string{"1", "[]", "[1]", "{}", `"x"`, `{"x":1}`} {
				require.False(t, takes(t, v, "/predict", body), "%s", body)
			}
			flat := `{"inputs":[{"name":"a","shape":[2,1],"datatype":"FP64","data":[[1],[null]]}]}`
			require.True(t, takes(t, v, "/v2/models/churn/infer", flat))
			require.True(t, takes(t, v, "/v2/models/churn/versions/12/infer", flat))
			require.False(t, takes(t, v, "/v2/models/churn/infer", strings.Replace(flat, "FP64", "FP65", 1)))
			require.False(t, takes(t, v, "/v2/models/churn/infer", `{"inputs":[]}`))
		})
	}
}

// takes reports whether the document allows a request.
func takes(t *testing.T, v validator.Validator, path, body string) bool {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	ok, problems := v.ValidateHttpRequestSync(r)
	for _, p := range problems {
		t.Logf("%s: %.300s", p.Message, p.Reason)
	}
	return ok
}

func TestRecordSaysWhatTheSpecSays(t *testing.T) {
	b := models(t)["telco"]
	var doc struct {
		Components struct {
			Schemas struct {
				Record struct {
					Required   []string
					Order      []string `json:"x-order"`
					Properties map[string]struct {
						Type             []string
						Minimum, Maximum *float64
						Enum             []any
					}
				}
				Answer struct {
					Properties struct{ Label struct{ Enum []string } }
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(openapi.Document(b, openapi.Options{Model: "churn", Version: 1}), &doc))
	record := doc.Components.Schemas.Record
	c := b.Spec.Columns
	require.Len(t, record.Properties, len(c.Numeric)+len(c.Categorical)+1)
	require.Len(t, record.Required, len(c.Numeric)+len(c.Categorical))
	require.Equal(t, append([]string{c.ID}, record.Required...), record.Order, "the columns in the spec's order, the id first")
	require.NotContains(t, record.Required, c.ID)
	for _, n := range c.Numeric {
		p := record.Properties[n.Name]
		require.Equal(t, n.Min, p.Minimum, n.Name)
		require.Equal(t, n.Max, p.Maximum, n.Name)
		require.Contains(t, p.Type, "null")
	}
	example := openapi.Example(b)
	for _, k := range c.Categorical {
		require.Len(t, record.Properties[k.Name].Enum, len(k.Values)+1, k.Name)
		counts := map[string]int{}
		for _, g := range b.Golden {
			var row map[string]any
			require.NoError(t, json.Unmarshal(g.Record, &row))
			word, _ := row[k.Name].(string)
			counts[word]++
		}
		for _, v := range k.Values {
			require.GreaterOrEqual(t, counts[example[k.Name].(string)], counts[v], "%s: the example has what is most common", k.Name)
		}
	}
	require.Equal(t, []string{"Yes", "No"}, doc.Components.Schemas.Answer.Properties.Label.Enum)
}

func TestPage(t *testing.T) {
	page := openapi.Page()
	get := func(method, path string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		return w
	}
	w := get("GET", "/docs")
	require.Equal(t, 200, w.Code)
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'")
	html := w.Body.String()
	require.NotRegexp(t, `(?i)<script[^>]*>[^<]|<style|\son\w+=|\sstyle=|https?://`, html) // nothing inline and nothing from elsewhere
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(html, -1) {
		if m[1] == "openapi.json" {
			continue
		}
		a := get("GET", "/"+m[1])
		require.Equal(t, 200, a.Code, m[1])
		require.NotEmpty(t, a.Body.Bytes())
		require.NotRegexp(t, `https?://`, strings.ReplaceAll(a.Body.String(), `xmlns="http://www.w3.org/2000/svg"`, ""))
		require.Equal(t, 304, get("GET", "/"+m[1], "If-None-Match", a.Header().Get("Etag")).Code)
	}
	// What the script looks for is on the page.
	for _, m := range regexp.MustCompile(`byId\("([^"]+)"\)`).FindAllStringSubmatch(get("GET", "/docs/page.js").Body.String(), -1) {
		require.Contains(t, html, `id="`+m[1]+`"`)
	}
	require.Equal(t, 301, get("GET", "/docs/").Code)
	require.Equal(t, 404, get("GET", "/docs/other").Code)
	require.Equal(t, 404, get("GET", "/docs/index.html/..").Code)
	require.Equal(t, 405, get("POST", "/docs").Code)
	require.Equal(t, 200, get("HEAD", "/docs").Code)
	require.False(t, bytes.Contains(get("GET", "/docs/page.js").Body.Bytes(), []byte("innerHTML")))
}
