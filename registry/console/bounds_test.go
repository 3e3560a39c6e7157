package console

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Files come from strangers: a preview costs time and memory in proportion to what is read of the file.
func TestPreviewsOfHostileFilesAreSmall(t *testing.T) {
	for name, text := range map[string]string{
		"MLmodel":          strings.Repeat("- ", 100_000),
		"flow/MLmodel":     "flavors:\n  a: " + strings.Repeat("[", 100_000),
		"closed/MLmodel":   "flavors:\n  a: " + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000),
		"columns/MLmodel":  "signature:\n  inputs: '[" + strings.Repeat("{},", 60_000) + "{}]'\n",
		"aliases/MLmodel":  "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\nflavors: {d: [*c,*c,*c,*c]}\n",
		"deep.json":        strings.Repeat("[", 9990) + strings.Repeat("0,", 30_000) + "0" + strings.Repeat("]", 9990),
		"words/deep.json":  strings.Repeat(`{"\"[[[":[`, 4000) + strings.Repeat(`"]",`, 30_000) + "0" + strings.Repeat("]}", 4000),
		"columns/wide.csv": strings.Repeat(",", 200_000) + "\n" + strings.Repeat("x,", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			v := show(name[strings.LastIndexByte(name, '/')+1:], []byte(text), int64(len(text)))
			runtime.ReadMemStats(&after)
			require.Less(t, time.Since(began), 5*time.Second)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20))
			require.LessOrEqual(t, len(v.Text), indentedMost)
			if v.Model != nil {
				require.LessOrEqual(t, len(v.Model.Inputs), previewFields)
			}
		})
	}
}

func TestIndentedSizeIsNeverLessThanTheText(t *testing.T) {
	for _, text := range []string{`{}`, `[]`, `{"a":[1,2,{"b":"]["}],"c":"\"{"}`, `[[[[1],2],3],4]`, `"x"`, `{"a":{"b":{"c":{}}}}`} {
		require.GreaterOrEqual(t, indentedSize([]byte(text)), len(indented([]byte(text))), text)
	}
	require.Equal(t, "[\n  1,\n  2\n]", indented([]byte("[1,2]")))
	require.Equal(t, "no json", indented([]byte("no json")))
	deep := fmt.Sprintf("%s%s", strings.Repeat("[", 2000), strings.Repeat("]", 2000))
	require.Equal(t, deep, indented([]byte(deep)), "as it is")
}
