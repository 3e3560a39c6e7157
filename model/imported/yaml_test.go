package imported

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// TestTreeOfWhatPyYAMLWrites reads scalars that are quoted, escaped and folded over lines.
func TestTreeOfWhatPyYAMLWrites(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "yaml", "want.json"))
	require.NoError(t, err)
	var want struct {
		Inputs string
		Names  []string
		Words  []string
	}
	require.NoError(t, json.Unmarshal(raw, &want))
	for _, name := range []string{"ascii.yaml", "unicode.yaml"} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", "yaml", name))
			require.NoError(t, err)
			tr, err := parseTree(data)
			require.NoError(t, err)
			require.Equal(t, want.Inputs, textAt(tr, "signature", "inputs"))
			columns, err := parseInputs(mlmodelFile, []byte(textAt(tr, "signature", "inputs")))
			require.NoError(t, err)
			for i, c := range columns {
				require.Equal(t, want.Names[i], c.Name)
			}
			d := &description{file: mlmodelFile}
			require.NoError(t, d.metadata(at(tr, "metadata")))
			require.Equal(t, map[string][]string{"a: b": want.Words}, d.words)
		})
	}
}

func TestTreeIsNoLargerThanItsText(t *testing.T) {
	tr, err := parseTree([]byte("a: &x [1, 2]\nb: *x\nc: !!str 3\nd: null\ne: {f: [g, {h: i}]}\n"))
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"a": []any{"1", "2"}, "b": nil, "c": "3", "d": nil, "e": map[string]any{"f": []any{"g", map[string]any{"h": "i"}}}}, tr)
}

func TestForms(t *testing.T) {
	type m = map[string]any
	type l = []any
	for text, want := range map[string]any{
		"a:\n- 1\n- b: 2\n  c: 3\n-\n  - x\n- - y\n  - z\nd: e":             m{"a": l{"1", m{"b": "2", "c": "3"}, l{"x"}, l{"y", "z"}}, "d": "e"},
		"a:\n  - 1\n\n  # no\n  - 2 # yes\nb: 'x # y' # z":                  m{"a": l{"1", "2"}, "b": "x # y"},
		"--- \na: b\n...\nc: d\n":                                           m{"a": "b"},
		"---\na: b\n---\nc: d\n":                                            m{"a": "b"},
		"? long\n: v\n? 'other'\n: - 1\nx: y":                               m{"long": "v", "other": l{"1"}, "x": "y"},
		"a: |\n  x\n   y\n\nb: >-\n  x\n  y\nc: |-\n z":                     m{"a": "x\n y", "b": "x y", "c": "z"},
		"a: plain words\n  that go on\nb:\n  below\nc:\nd: ~":               m{"a": "plain words that go on", "b": "below", "c": nil, "d": nil},
		"a: 'it''s\n\n  folded\n  here'\nb: \"x\\\n  \\ y\\u043a\\x41\\n\"": m{"a": "it's\nfolded here", "b": "x yкA\n"},
		"a: {b: [1, 'x, y', {c: d}], e: {}, f: ~}\ng: []\nh: {\n  i: j,\n}": m{
			"a": m{"b": l{"1", "x, y", m{"c": "d"}}, "e": m{}, "f": nil}, "g": l{}, "h": m{"i": "j"}},
		"a: &x\n  b: c\nd: *x\ne:\n- &y\n  f: g\n- &z h\n- !!str\n  i\n- *y": m{"a": m{"b": "c"}, "d": nil, "e": l{m{"f": "g"}, "h", "i", nil}},
		"'a: b': c\n\"d\" : e\nf:g: h\nurl: http://x:1/y":                    m{"a: b": "c", "d": "e", "f:g": "h", "url": "http://x:1/y"},
		"- a\n- b": l{"a", "b"}, "word": "word", "'x'": "x",
	} {
		got, err := parseTree([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		got, err = parseTree([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for text, want := range map[string]string{
		"a: 1\na: 2\n": `the key "a" is there twice`, "": "it is empty", "# x": "it is empty", "a: [": "line 1: a list is not closed", "a: b: c": "is a key where none belongs",
		"a: 'b": "a quote is not closed", "a: 'b' c": `"c" comes after the end of a value`, "a: b\n  c: d": "is a key where none belongs", "a:\n  b: c\n d: e": "line 3",
		"a: \"\\q\"": "unknown escape", "a: {b}": "has no value", "a: b\nc": `line 2: "c" is no key and value`, "? a\nb: c": `the key "a" has no value`, "a: @b": "begins no value",
		"a: {b: 1, b: 2}": "twice", "- a\nb: c": "line 2", strings.Repeat("- ", 100) + "x": "nested more than 64 deep",
	} {
		_, err := parseTree([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

// TestTreesOfAnotherWriter reads what a writer of all of YAML makes of random trees.
func TestTreesOfAnotherWriter(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	words := []string{"a", "b c", "it's", `say "x"`, "a: b", "# c", "- d", "", "ключ", "null", "true", "1.5", "x\ny", " lead", "trail ", "[f]", "{g}", "&h", "*i", "!j", "%k", "@l", "a,b", "C:\\d", "~", "'", `"`}
	var grow func(depth int) any
	grow = func(depth int) any {
		switch n := rng.IntN(4); {
		case depth == 0 || n < 2:
			return words[rng.IntN(len(words))]
		case n == 2:
			list := []any{}
			for range rng.IntN(4) {
				list = append(list, grow(depth-1))
			}
			return list
		}
		m := map[string]any{}
		for range rng.IntN(4) {
			m[words[rng.IntN(len(words))]] = grow(depth - 1)
		}
		return m
	}
	for range 2000 {
		want := map[string]any{"top": grow(5)}
		text, err := yaml.Marshal(want)
		require.NoError(t, err)
		var other map[string]any
		if yaml.Unmarshal(text, &other) != nil || !reflect.DeepEqual(want, other) {
			continue // the writer itself does not read it back
		}
		got, err := parseTree(text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, any(want), got, "%s", text)
	}
}
