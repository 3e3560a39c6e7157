package modeltest

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/gbdt"
)

// Inverted returns an encoded bundle that decodes and verifies and whose trees say the opposite of those of Bundle: what a training with the labels
// turned round gives. Its baselines and metrics are those of Bundle, so nothing but its scores tells.
func Inverted(tb testing.TB, o Options) []byte {
	tb.Helper()
	return retold(tb, o, func(text string) string {
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			values, ok := strings.CutPrefix(line, "leaf_value=")
			if !ok {
				continue
			}
			fields := strings.Fields(values)
			for k := range fields {
				v, err := strconv.ParseFloat(fields[k], 64)
				require.NoError(tb, err)
				fields[k] = strconv.FormatFloat(-v, 'g', 17, 64)
			}
			lines[i] = "leaf_value=" + strings.Join(fields, " ")
		}
		return strings.Join(lines, "\n")
	})
}

// Slow returns an encoded bundle that decodes and verifies, scores bit by bit as Bundle does, and takes longer for it: it has so many trees, the
// last ones of which add nothing. With a hundred thousand, a record takes some milliseconds.
func Slow(tb testing.TB, o Options, trees int) []byte {
	tb.Helper()
	return retold(tb, o, func(text string) string {
		head, rest, ok := strings.Cut(text, "Tree=0\n")
		require.True(tb, ok)
		body, tail, ok := strings.Cut("Tree=0\n"+rest, "end of trees\n")
		require.True(tb, ok)
		had := strings.Count(body, "Tree=")
		_, last, ok := strings.Cut(body[strings.LastIndex(body, "Tree="):], "\n")
		require.True(tb, ok)
		lines := strings.Split(last, "\n")
		for i, line := range lines {
			if values, ok := strings.CutPrefix(line, "leaf_value="); ok {
				lines[i] = "leaf_value=" + strings.TrimSpace(strings.Repeat("0 ", len(strings.Fields(values))))
			}
		}
		nothing := strings.Join(lines, "\n")
		var out strings.Builder
		for _, line := range strings.SplitAfter(head, "\n") {
			if !strings.HasPrefix(line, "tree_sizes=") { // not needed, and others by now
				out.WriteString(line)
			}
		}
		out.WriteString(body)
		for k := had; k < trees; k++ {
			out.WriteString("Tree=" + strconv.Itoa(k) + "\n" + nothing)
		}
		out.WriteString("end of trees\n" + tail)
		return out.String()
	})
}

// retold returns Bundle with the trees of a changed text, and golden rows by them.
func retold(tb testing.TB, o Options, change func(text string) string) []byte {
	tb.Helper()
	parts := Parts(tb, o)
	var text bytes.Buffer
	require.NoError(tb, parts.Trees.WriteText(&text))
	trees, err := gbdt.ParseText(strings.NewReader(change(text.String())))
	require.NoError(tb, err)
	parts.Trees = trees
	b, err := model.New(parts)
	require.NoError(tb, err)
	data, err := b.Encode()
	require.NoError(tb, err)
	return data
}
