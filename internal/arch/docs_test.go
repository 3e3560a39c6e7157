package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// metricInDocs is a metric as the documents name it.
var metricInDocs = regexp.MustCompile(`\bchurn_[a-z0-9_]*[a-z0-9]`)

// TestDocumentsNameMetricsThatThereAre reads the names in the documents and looks for them among the strings of the program, where some stand without their prefix.
func TestDocumentsNameMetricsThatThereAre(t *testing.T) {
	root := filepath.Join("..", "..")
	var program strings.Builder
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return filepath.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		program.Write(source)
		return err
	}))
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	named := 0
	for _, document := range append(documents, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for _, name := range metricInDocs.FindAllString(string(text), -1) {
			if name == "churn_probability" { // of an answer
				continue
			}
			named++
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				name = strings.TrimSuffix(name, suffix)
			}
			there := strings.Contains(program.String(), `"`+name+`"`) || strings.Contains(program.String(), `"`+strings.TrimPrefix(name, "churn_")+`"`)
			require.True(t, there, "%s names %s, and nothing does", document, name)
		}
	}
	require.Greater(t, named, 40)
}
