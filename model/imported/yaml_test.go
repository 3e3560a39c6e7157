package imported

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

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
	for text, want := range map[string]string{"a: 1\na: 2\n": `the key "a" is there twice`, "": "it is empty", "a: [": "line 1"} {
		_, err := parseTree([]byte(text))
		require.ErrorContains(t, err, want)
	}
}
