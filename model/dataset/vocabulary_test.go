package dataset

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/spec"
)

// wide returns a file whose kinds are so many different words, some of them there again, and the words in the order of the file.
func wide(rows, different int) (text string, kinds []string) {
	var b strings.Builder
	b.WriteString(fruitHeader)
	for i := range rows {
		kinds = append(kinds, fmt.Sprint("kind ", i%different))
		fmt.Fprintf(&b, "k%d,1,2,%s,%d,True,%s\n", i, kinds[i], i%2, []string{"Yes", "No"}[i%2])
	}
	return b.String(), kinds
}

// A table holds the same words in the same order however often those who read it forgot them.
func TestLoadOfManyDifferentWords(t *testing.T) {
	h := schemaOf(t, fruit)
	const different = fullWords + fullWords/4
	text, kinds := wide(different+fullWords/4, different)
	_, lines := asJSONLines(t, []byte(text))
	for name, data := range map[string][]byte{"csv": []byte(text), "jsonl": lines} {
		for _, threads := range []int{3} {
			table, _, err := Load(t.Context(), bytes.NewReader(data), h, LoadOptions{Threads: threads})
			require.NoError(t, err)
			require.Equal(t, append([]string{""}, kinds[:different]...), table.Words(0), "%s, %d threads", name, threads)
			for i, kind := range kinds {
				if table.Category(0, i) != kind {
					t.Fatalf("%s, %d threads: row %d is %q, want %q", name, threads, i, table.Category(0, i), kind)
				}
			}
		}
	}
}

// What a goroutine keeps from part to part is bounded, whatever is in the file: words, long ones, spellings of a label.
func TestVocabulariesAreBounded(t *testing.T) {
	h := schemaOf(t, strings.Replace(fruit, `negative: "No"`, `negative: "`+spec.AnyOther+`"`, 1))
	var columns []slot
	for _, name := range strings.Split(strings.TrimSpace(fruitHeader), ",") {
		columns = append(columns, h.slots[name])
	}
	for _, long := range []int{0, 200} {
		p := newParser(h, ReaderOptions{}, columns, ",")
		const rows = 1000
		forgot := 0
		for n := range 70 {
			var b strings.Builder
			for i := range rows {
				id := n*rows + i
				fmt.Fprintf(&b, "k%d,1,2,%s%d,1,True,no %d\n", id, strings.Repeat("x", long), id, id)
			}
			before := p.words[0].known
			out := p.parse(block{[]byte(b.String()), false})
			require.Equal(t, rows, out.table.Len())
			if out.known[0] != before {
				forgot++
			}
			v := &p.words[0]
			for _, in := range []*interner{&v.words.index, &v.cells, &p.labels} {
				require.LessOrEqual(t, in.used, fullWords+rows)
				require.LessOrEqual(t, len(in.text), fullText+(long+10)*rows)
			}
			require.Equal(t, fmt.Sprint(strings.Repeat("x", long), n*rows), out.table.Category(0, 0))
		}
		require.Positive(t, forgot)
		require.Less(t, forgot, 20, "and not with every block")
		require.False(t, slices.ContainsFunc(p.words[1:], func(v vocabulary) bool { return len(v.words.names) > 2 }))
	}
}
