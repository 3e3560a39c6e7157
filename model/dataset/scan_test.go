package dataset

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// plainPart finds what a look at one byte after the other finds.
func TestPlainPartEndsWhereItMust(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	odd := []byte{'"', '\\', 0, 0x1f, 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0x9f, 0xff, 'a'}
	for range 200_000 {
		data := make([]byte, rng.IntN(40))
		for i := range data {
			data[i] = 'a' + byte(rng.IntN(26))
			if rng.IntN(4) == 0 {
				data[i] = odd[rng.IntN(len(odd))]
			}
		}
		start := rng.IntN(len(data) + 1)
		end, wide := start, false
		for end < len(data) && !special[data[end]] {
			wide = wide || data[end] >= utf8.RuneSelf
			end++
		}
		s := scanner{data: data, pos: start}
		require.Equal(t, wide, s.plainPart(), "%q from %d", data, start)
		require.Equal(t, end, s.pos, "%q from %d", data, start)
	}
}

// Words that are found without hashing are those that a map would find, whatever the set.
func TestWordIndexFindsWhatTheSetHolds(t *testing.T) {
	for name, set := range map[string][]string{
		"by length": {"a", "bb", "ccc"}, "by first": {"ax", "bx"}, "by last": {"xa", "xb"}, "by nothing": {"aa", "ab", "ba", "bb"},
		"one": {"x"}, "none": nil,
	} {
		t.Run(name, func(t *testing.T) {
			words := map[string]string{}
			for _, w := range set {
				words[w] = w
			}
			x := newWordIndex(words, map[string]bool{"ccc": true, "ab": true})
			for _, text := range []string{"", "a", "b", "bb", "aa", "ab", "ba", "ccc", "ax", "bx", "xa", "xb", "xc", "x", "y", "abcd"} {
				want, known := words[text]
				if text == "ccc" || text == "ab" {
					want = "" // a missing marker
				}
				got, ok := x.find(text)
				require.Equal(t, known, ok, text)
				if ok {
					require.Equal(t, want, got, text)
				}
			}
		})
	}
}

// A decoder that has seen records of one order of keys reads those of others, and says what the plain way says.
func TestDecoderReadsWhatDecodeJSONReads(t *testing.T) {
	h := schemaOf(t, fruit)
	d := h.NewDecoder()
	row, want := h.NewRow(), h.NewRow()
	_, lines := asJSONLines(t, []byte(fruits(20)))
	records := [][]byte{lines[:0:0]}
	start := 0
	for i, c := range lines {
		if c == '\n' {
			records = append(records, lines[start:i])
			start = i + 1
		}
	}
	for _, text := range []string{`{}`, `{"key":1}`, `{"key":1,"key":2}`, `{"x":1,"x":2}`, ` { "y" : [1 , 2] , "key" : "a\u0062" } `, `{"key":"Ä"}`, `{"key`, ``} {
		records = append(records, []byte(text))
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		record := records[rng.IntN(len(records))]
		o := DecodeOptions{RequireLabel: rng.IntN(2) == 0, Strict: rng.IntN(2) == 0}
		gotWarnings, gotErr := d.Decode(record, row, o)
		warnings, err := h.DecodeJSON(record, want, o)
		require.Equal(t, warnings, gotWarnings)
		require.Equal(t, err, gotErr)
		if err == nil {
			require.Equal(t, h.AppendJSON(nil, want, true), h.AppendJSON(nil, row, true))
			require.Equal(t, want.ID, row.ID)
		}
	}
}

// TestScanDecimal holds that a number read at once is the one that the slow way reads, to the bit, and ends where that ends, or is left to it.
func TestScanDecimal(t *testing.T) {
	for text, want := range map[string]bool{
		"0": true, "-0": true, "7,": true, "-12.50}": true, "0.1 ": true, "123456789012345": true, "12345678901234.5": true,
		"1234567890123456": false, "1234567890.123456": false, "01": false, "-01.5": false, "00": false, "1.": false, ".5": false, "-": false, "": false,
		"-.5": false, "1.2.3": false, "1e5": false, "1.5E2": false, "+1": false, "x": false, "-x": false, "0.000000000000001": false, "0.00000000000001": true,
	} {
		fast, slow := scanner{data: []byte(text)}, scanner{data: []byte(text)}
		v, ok := fast.decimal()
		require.Equal(t, want, ok, text)
		if !ok {
			require.Zero(t, fast.pos, text)
			continue
		}
		require.NoError(t, slow.number(), text)
		require.Equal(t, slow.pos, fast.pos, text)
		exact, err := strconv.ParseFloat(text[:slow.pos], 64)
		require.NoError(t, err)
		require.Equal(t, math.Float64bits(exact), math.Float64bits(v), text)
	}
}
