package events_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// node is a part of a JSON document.
type node = map[string]any

// schemaFor returns the schema document of a type; "deadletter" is that of the dead letters.
func schemaFor(t testing.TB, typ events.Type) node {
	t.Helper()
	raw := events.Schema(typ)
	if typ == "deadletter" {
		raw = events.DeadLetterSchema()
	}
	var doc node
	require.NoError(t, json.Unmarshal(raw, &doc), "schema of %s", typ)
	return doc
}

// described is every Go type that has a schema, by the schema's name.
func described(t testing.TB) map[events.Type]any {
	all := map[events.Type]any{"deadletter": deadLetter()}
	for _, k := range events.Kinds() {
		all[k.Type] = sample(t, k.Type)
	}
	return all
}

func TestSchemasMatchTheGoTypes(t *testing.T) {
	w := walker{constants: constants(t), used: map[string]bool{}}
	for typ, p := range described(t) {
		doc := schemaFor(t, typ)
		require.Equal(t, "https://json-schema.org/draft/2020-12/schema", doc["$schema"], typ)
		require.Equal(t, "urn:telco-churn-mlops:event:"+string(typ), doc["$id"])
		require.NotEmpty(t, doc["title"], typ)
		w.root = doc
		w.compare(t, string(typ), reflect.TypeOf(p).Elem(), doc)
	}
	for name := range w.constants {
		require.True(t, w.used[name], "no schema has a field of the enumeration %s", name)
	}
}

func TestSchemaFilesAreTheKinds(t *testing.T) {
	entries, err := os.ReadDir("schema")
	require.NoError(t, err)
	var have, want []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	for typ := range described(t) {
		want = append(want, string(typ)+".json")
	}
	require.ElementsMatch(t, want, have)
}

// A definition that several schemas need is the same in all of them.
func TestSharedDefinitionsAgree(t *testing.T) {
	seen := node{}
	for typ := range described(t) {
		defs, _ := schemaFor(t, typ)["$defs"].(node)
		for name, def := range defs {
			if other, ok := seen[name]; ok {
				require.Equal(t, other, def, "%s of %s", name, typ)
			}
			seen[name] = def
		}
	}
	require.NotEmpty(t, seen)
}

func TestSchemaIsTheCallersOwn(t *testing.T) {
	clear(events.Schema(events.TypeRunStarted))
	clear(events.AsyncAPI())
	require.True(t, json.Valid(events.Schema(events.TypeRunStarted)))
	require.True(t, bytes.HasPrefix(events.AsyncAPI(), []byte("asyncapi: ")))
}

func TestSchemaOfAnUnknownType(t *testing.T) {
	require.Nil(t, events.Schema("run.paused.v1"))
	require.Nil(t, events.Schema("deadletter"), "a dead letter is no event type")
}

// walker compares a Go type with a schema.
type walker struct {
	root      node
	constants map[string][]string // enumeration: its values
	used      map[string]bool
}

// narrower names fields that allow fewer values than their enumeration has.
var narrower = map[string][]string{
	"target_stage":            {"Staging", "Production"},
	"drift.evaluated.v1.kind": {"data", "performance"},
	"demoted_to":              {"None", "Staging", "Archived"},
	"prediction.made.v1.arm":  {"canary", "direct_version"},
	"example.joined.v1.arm":   {"canary", "direct_version"},
}

// words names the fields of type string that take a few words all the same: MLflow's, which no Go type lists.
var words = map[string][]string{
	"lifecycle_stage":        {events.StageActive, events.StageDeleted},
	"model.logged.v1.status": {events.LoggedModelPending, events.LoggedModelReady, events.LoggedModelUploadFailed},
}

// demanded names fields that may be absent elsewhere, but not there: Validate wants them.
var demanded = map[string][]string{"model.loaded.v1": {"digest"}}

func (w *walker) compare(t *testing.T, path string, typ reflect.Type, s node) {
	t.Helper()
	s = w.resolve(t, path, s)
	require.NotEmpty(t, s["description"], "%s has no description", path)
	if values, ok := w.constants[typ.Name()]; ok && typ.Kind() == reflect.String {
		w.used[typ.Name()] = true
		for suffix, fewer := range narrower {
			if strings.HasSuffix(path, suffix) {
				values = fewer
			}
		}
		require.Equal(t, "string", s["type"], path)
		require.ElementsMatch(t, values, s["enum"], "%s lists other values than the constants of %s", path, typ.Name())
		return
	}
	for suffix, values := range words {
		if strings.HasSuffix(path, suffix) {
			require.Equal(t, "string", s["type"], path)
			require.ElementsMatch(t, values, s["enum"], path)
			return
		}
	}
	require.NotContains(t, s, "enum", "%s is no enumeration in Go", path)
	switch typ {
	case reflect.TypeFor[events.Number]():
		kinds := s["anyOf"].([]any)
		require.Len(t, kinds, 2, path)
		require.Equal(t, "number", kinds[0].(node)["type"], path)
		require.Equal(t, node{"type": "string", "enum": []any{"NaN", "Infinity", "-Infinity"}}, kinds[1], path)
		return
	case reflect.TypeFor[time.Time]():
		require.Equal(t, "string", s["type"], path)
		require.Equal(t, "date-time", s["format"], path)
		return
	case reflect.TypeFor[events.Outcome]():
		require.ElementsMatch(t, []any{"string", "boolean", "number"}, s["type"], path)
		return
	case reflect.TypeFor[json.RawMessage]():
		if strings.HasSuffix(path, ".record") {
			require.Equal(t, "object", s["type"], path)
		} else {
			require.NotContains(t, s, "type", path)
		}
		return
	case reflect.TypeFor[[]byte]():
		require.Equal(t, []any{"string", "null"}, s["type"], path)
		require.Equal(t, "base64", s["contentEncoding"], path)
		return
	}
	w.compareKind(t, path, typ, s)
}

func (w *walker) compareKind(t *testing.T, path string, typ reflect.Type, s node) {
	t.Helper()
	switch typ.Kind() {
	case reflect.Pointer:
		w.compare(t, path, typ.Elem(), s)
	case reflect.String:
		require.Equal(t, "string", s["type"], path)
	case reflect.Bool:
		require.Equal(t, "boolean", s["type"], path)
	case reflect.Float64:
		require.Equal(t, "number", s["type"], path)
	case reflect.Int, reflect.Int64:
		require.Equal(t, "integer", s["type"], path)
	case reflect.Uint64:
		require.Equal(t, "integer", s["type"], path)
		require.GreaterOrEqual(t, s["minimum"], 0.0, path)
	case reflect.Slice:
		require.Contains(t, []any{"array", []any{"array", "null"}}, plain(s["type"]), path)
		if typ.Elem().Kind() == reflect.Struct {
			w.compare(t, path+"[]", typ.Elem(), s["items"].(node))
		} else {
			w.compareKind(t, path+"[]", typ.Elem(), s["items"].(node))
		}
	case reflect.Map:
		require.Equal(t, "object", s["type"], path)
		item := s["additionalProperties"].(node)
		item["description"] = "a map's values are described by the map"
		w.compareKind(t, path+"{}", typ.Elem(), item)
	case reflect.Struct:
		w.compareStruct(t, path, typ, s)
	default:
		require.FailNow(t, "no JSON type for it", "%s: %s", path, typ)
	}
}

func (w *walker) compareStruct(t *testing.T, path string, typ reflect.Type, s node) {
	t.Helper()
	require.Equal(t, "object", s["type"], path)
	require.Contains(t, []any{nil, true}, s["additionalProperties"], "%s: an unknown field is no error", path)
	properties := s["properties"].(node)
	var names, required []string
	for _, f := range jsonFields(t, typ) {
		names = append(names, f.name)
		if !f.optional || slices.Contains(demanded[path], f.name) {
			required = append(required, f.name)
		}
		p, ok := properties[f.name].(node)
		require.True(t, ok, "%s has no property %s", path, f.name)
		w.compare(t, path+"."+f.name, f.typ, p)
	}
	for name := range properties {
		require.Contains(t, names, name, "%s has a property that the Go type lacks", path)
	}
	have, _ := s["required"].([]any)
	require.ElementsMatch(t, required, plain(have), "required of %s", path)
}

// plain makes an empty list nil, as ElementsMatch wants two of a kind.
func plain(v any) any {
	if list, ok := v.([]any); ok && len(list) == 0 {
		return []any(nil)
	}
	return v
}

func (w *walker) resolve(t *testing.T, path string, s node) node {
	t.Helper()
	ref, ok := s["$ref"].(string)
	if !ok {
		return s
	}
	require.Len(t, s, 1, "%s: draft 07 readers ignore what stands beside $ref", path)
	name, ok := strings.CutPrefix(ref, "#/$defs/")
	require.True(t, ok, "%s: %s", path, ref)
	def, ok := w.root["$defs"].(node)[name].(node)
	require.True(t, ok, "%s: no definition %s", path, name)
	return def
}

type jsonField struct {
	name     string
	typ      reflect.Type
	optional bool
}

// jsonFields returns the fields as encoding/json sees them, embedded structs flattened.
func jsonFields(t *testing.T, typ reflect.Type) []jsonField {
	t.Helper()
	var all []jsonField
	for i := range typ.NumField() {
		f := typ.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		if f.Anonymous && !tagged {
			all = append(all, jsonFields(t, f.Type)...)
			continue
		}
		require.True(t, tagged, "%s.%s has no json tag", typ, f.Name)
		parts := strings.Split(tag, ",")
		require.Regexp(t, `^[a-z][a-z0-9_]*$`, parts[0], "%s.%s", typ, f.Name)
		all = append(all, jsonField{parts[0], f.Type, slices.Contains(parts, "omitempty") || slices.Contains(parts, "omitzero")})
	}
	return all
}

// constants reads the enumerations from the source: the named string types that have constants.
func constants(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			name, ok := spec.Type.(*ast.Ident)
			lit, isLit := spec.Values[0].(*ast.BasicLit)
			if !ok || !isLit || lit.Kind != token.STRING {
				return true
			}
			value, err := strconv.Unquote(lit.Value)
			require.NoError(t, err)
			all[name.Name] = append(all[name.Name], value)
			return true
		})
	}
	delete(all, "Type") // the names of schemas and streams are in no payload
	delete(all, "Stream")
	require.Contains(t, all, "Verdict")
	return all
}
