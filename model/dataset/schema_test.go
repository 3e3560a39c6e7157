package dataset

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCleanIsStable(t *testing.T) {
	for in, want := range map[string]string{" a\r\r\r\nb\r\n": "a\nb", "a\rb": "a\rb", "\xff ": "\ufffd", "\u00a0x\u2003": "x", "a  b": "a  b"} {
		require.Equal(t, want, clean(in), "%q", in)
		require.Equal(t, want, clean(clean(in)))
	}
}

// Line ends are made one kind in one pass: a request of carriage returns must not hold a processor for minutes.
func TestCleanTakesOnePass(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range 5000 {
		b := make([]byte, rng.IntN(12))
		for i := range b {
			b[i] = "\r\r\na"[rng.IntN(4)]
		}
		want := strings.TrimSpace(string(b))
		for strings.Contains(want, "\r\n") {
			want = strings.ReplaceAll(want, "\r\n", "\n")
		}
		require.Equal(t, want, clean(string(b)), "%q", b)
	}

	h := schemaOf(t, fruit)
	row := h.NewRow()
	for _, text := range []string{`{"a` + strings.Repeat(`\r`, 100_000) + `\nb":1}`, `{"kind":"a` + strings.Repeat(`\r`, 100_000) + `\nb"}`} {
		start := time.Now()
		_, err := h.DecodeJSON([]byte(text), row, DecodeOptions{})
		require.Error(t, err)
		require.Less(t, time.Since(start), 5*time.Second, "%d bytes", len(text))
	}
	require.Equal(t, "a\nb", row.Cat[0])
}
