package dataset

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Rows longer than a block of a sample are found, whether the first ones tell how long they are or not.
func TestSampleOfLongRows(t *testing.T) {
	h := schemaOf(t, fruit)
	for _, short := range []int{0, 2000} {
		var b strings.Builder
		for i, line := range strings.Split(strings.TrimSpace(fruits(short+80)), "\n") {
			switch {
			case i == 0:
				line += ",comment"
			case i <= short:
				line += ","
			default:
				line += "," + strings.Repeat("x", 70_000)
			}
			b.WriteString(line + "\n")
		}
		text := b.String()
		sample, err := Sample(t.Context(), strings.NewReader(text), int64(len(text)), h, SampleOptions{Rows: 20})
		require.NoError(t, err)
		require.Positive(t, sample.Len())
		require.Less(t, sample.Len(), short+80, "not the whole file")
		for i := range sample.Len() {
			require.Regexp(t, `^k\d+$`, sample.ID(i))
		}
		again, err := Sample(t.Context(), strings.NewReader(text), int64(len(text)), h, SampleOptions{Rows: 20})
		require.NoError(t, err)
		sameTable(t, sample, again)
	}
}
