package dataset

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// wholeRecords is the length of the records that the splitter finds in data, which is not the end of a file.
func wholeRecords(data []byte, comma string) int {
	s := newSplitter(comma)
	s.reset(data, false)
	whole := 0
	for {
		s.skipBlank()
		whole = s.pos
		if s.pos == len(data) {
			return whole
		}
		if found, _ := s.quoted(); !found {
			return whole
		}
	}
}

// Records end where the splitter ends them, however the text arrives.
func TestEndsAreThoseOfTheSplitter(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for _, comma := range []string{",", ";", "é", "→", "aa"} {
		pieces := []string{`"`, `"`, "\n", "\n", "\r", "\r\n", "a", "b", comma, comma, comma[:1]}
		for range 1500 {
			var b strings.Builder
			for range rng.IntN(14) {
				b.WriteString(pieces[rng.IntN(len(pieces))])
			}
			data := []byte(b.String())
			e := ends{comma: []byte(comma)}
			for n := 0; n < len(data); {
				n = min(len(data), n+1+rng.IntN(4))
				require.Equal(t, wholeRecords(data[:n], comma), e.find(data[:n]), "%q of %q, delimiter %q", data[:n], data, comma)
			}
		}
	}
}

// smallReads gives at most n bytes with a read.
type smallReads struct {
	r io.Reader
	n int
}

func (s smallReads) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.n)]) }

// A record of many lines is not read again from its start with every read of the file.
func TestLongRecordsTakeOnePass(t *testing.T) {
	h := schemaOf(t, fruit)
	for name, text := range map[string]string{
		"an open quote":      fruits(3) + "k,\"" + strings.Repeat("a\n", 1<<19),
		"quotes in a quote":  fruits(3) + "k,\"" + strings.Repeat("\"\"\n", 1<<18),
		"many quoted fields": fruits(3) + strings.Repeat("\"a\n\",", 1<<17),
		"a long line":        fruits(3) + strings.Repeat("a,", 1<<18),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, _, err := Load(t.Context(), smallReads{strings.NewReader(text), 4096}, h, LoadOptions{size: 4096})
			require.Error(t, err)
			require.Less(t, time.Since(start), 5*time.Second)

			start = time.Now()
			r, err := NewReader(smallReads{strings.NewReader(text), 2048}, h, ReaderOptions{})
			require.NoError(t, err)
			row := h.NewRow()
			var record *RecordError
			for err == nil || errors.As(err, &record) {
				err = r.Next(row)
			}
			require.Less(t, time.Since(start), 5*time.Second)
		})
	}
}

// A line that is too long is put down to a quote only where one is open, and line ends that are none are named.
func TestLinesWithoutEnd(t *testing.T) {
	h := schemaOf(t, fruit)
	long := strings.Repeat("a", maxRecord+blockSize)
	for _, c := range []struct{ text, want string }{
		{fruits(3) + `k,"` + long, "a record is longer than 67108864 bytes: a quote is opened and not closed"},
		{fruits(3) + "k," + long, "a record is longer than 67108864 bytes: its line has no end"},
		{fruits(3) + "k,\r" + long, "a record is longer than 67108864 bytes: its lines seem to end with carriage returns"},
		{strings.ReplaceAll(fruits(3), "\n", "\r"), "the file is one line: its lines seem to end with carriage returns"},
		{strings.ReplaceAll(fruitHeader+"k,1\n", ",ripe,rotten\n", ",ripe\r"), "the header does not fit the spec: its lines seem to end with carriage returns"},
		{"key\rk\r", "the header does not fit the spec: its lines seem to end with carriage returns"},
		{fruitHeader, "the file has a header and no rows"},
	} {
		_, _, err := Load(t.Context(), strings.NewReader(c.text), h, LoadOptions{ReaderOptions: ReaderOptions{Format: "csv"}})
		require.ErrorContains(t, err, c.want, "%q", cut(c.text))
	}
}
