package spec_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/spec"
)

// TestEveryKeyIsDocumented holds docs/spec.md against the types: each key stands there in code font, with its section before it where it is
// not one of a list's or a section's own.
func TestEveryKeyIsDocumented(t *testing.T) {
	raw, err := os.ReadFile("../../docs/spec.md")
	require.NoError(t, err)
	doc := string(raw)
	for _, key := range keysOf(reflect.TypeFor[spec.Spec](), "") {
		words := strings.Split(key, ".")
		full, own := "`"+key+"`", "`"+words[len(words)-1]+"`"
		if len(words) <= 2 && !strings.Contains(key, "[") {
			require.Contains(t, doc, full)
			continue
		}
		section := "`" + strings.TrimSuffix(strings.Join(words[:2], "."), "[]") + "`"
		found := false
		for line := range strings.Lines(doc) {
			found = found || strings.HasPrefix(line, "| "+section) && strings.Contains(line, own)
		}
		require.True(t, found, "%s: no line about %s names %s", key, section, own)
	}
}

// keysOf returns the paths of all keys below a type; those with keys of their own are left out, unless they are two deep, and lists are marked by [].
func keysOf(of reflect.Type, path string) []string {
	if of.Kind() == reflect.Pointer {
		return keysOf(of.Elem(), path)
	}
	if of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct {
		return keysOf(of.Elem(), path+"[]")
	}
	if of.Kind() != reflect.Struct {
		return []string{path}
	}
	var keys []string
	for i := range of.NumField() {
		name := of.Field(i).Tag.Get("yaml")
		if path != "" {
			name = path + "." + name
		}
		keys = append(keys, keysOf(of.Field(i).Type, name)...)
	}
	return keys
}
