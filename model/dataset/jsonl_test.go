package dataset

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// asJSONLines writes the rows of a CSV file, with every value as text, as JSON lines. Rows of the wrong length are left out of both.
func asJSONLines(t testing.TB, data []byte) (text, lines []byte) {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	records, err := r.ReadAll()
	require.NoError(t, err)
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	for i, record := range records {
		if len(record) != len(records[0]) {
			continue
		}
		require.NoError(t, w.Write(record))
		if i == 0 {
			continue
		}
		for k, name := range records[0] {
			lines = append(lines, "{,,,,,,"[k])
			lines = append(appendString(lines, name), ':')
			lines = appendString(lines, record[k])
		}
		lines = append(lines, "}\n"...)
	}
	w.Flush()
	return b.Bytes(), lines
}

// withoutLines returns the faults with the lines taken off, as those of a CSV file are after its header's.
func withoutLines(faults []Fault) []Fault {
	out := append([]Fault(nil), faults...)
	for i := range out {
		out[i].Line = 0
	}
	return out
}

// The same rows give the same table and report as CSV and as JSON lines, and both give those of the plain way.
func TestLoadOfBothFormats(t *testing.T) {
	h := schemaOf(t, fruit)
	twice := int64(0)
	for seed := range uint64(9) {
		rng := rand.New(rand.NewPCG(seed, 3))
		data := oddFile(rng, []int{5, 40, 1100}[seed%3], []float64{0, 0.02, 0.3}[seed/3%3])
		data = bytes.ToValidUTF8(bytes.ReplaceAll(data, []byte(`"`), nil), []byte("?"))
		text, lines := asJSONLines(t, data)
		o := LoadOptions{ReaderOptions: ReaderOptions{RequireLabel: seed%2 == 0, TakeRange: seed%5 == 0, Format: "jsonl"}, MaxQuarantined: 1}
		agree(t, lines, h, o)
		got, gotReport, gotErr := Load(t.Context(), bytes.NewReader(lines), h, o)
		o.Format = ""
		want, wantReport, wantErr := Load(t.Context(), bytes.NewReader(text), h, o)
		if wantErr != nil {
			require.Error(t, gotErr)
			continue
		}
		require.NoError(t, gotErr)
		sameTable(t, want, got)
		for _, r := range []*Report{wantReport, gotReport} {
			r.Faults, r.Warnings = withoutLines(r.Faults), withoutLines(r.Warnings)
		}
		require.Equal(t, wantReport, gotReport)
		twice += gotReport.DuplicateIDs
	}
	require.Positive(t, twice)
}

// Lines that are no records are between those that are, and the report counts them as the plain way does.
func TestLoadOfOddJSONLines(t *testing.T) {
	h := schemaOf(t, fruit)
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 4))
		_, lines := asJSONLines(t, []byte(fruits(1+rng.IntN(2500))))
		var b bytes.Buffer
		for line := range bytes.Lines(lines) {
			switch rng.IntN(40) {
			case 0:
				b.WriteString([]string{"\n", " \r\n", "null\n", "{}\n", "{\n", "\xff\n"}[rng.IntN(6)])
			case 1:
				line = bytes.Replace(line, []byte(`"key"`), []byte([]string{`"kez"`, `"price"`, `"key "`, `"key":1,"key"`}[rng.IntN(4)]), 1)
			case 2:
				line = bytes.Replace(line, []byte(`"k`), []byte(`"k1`), 1)
			}
			b.Write(line)
		}
		agree(t, b.Bytes(), h, LoadOptions{ReaderOptions: ReaderOptions{RequireLabel: seed%2 == 0, Format: "jsonl"}, MaxQuarantined: 1})
	}
}

func TestLoadCountsIDsThatAreThereTwice(t *testing.T) {
	h := schemaOf(t, fruit)
	text, lines := asJSONLines(t, []byte(fruits(3000)+"k0,1,1,x,1,True,Yes\nk2999,1,1,x,1,True,No\n"))
	for _, data := range [][]byte{text, lines} {
		table, report, err := Load(t.Context(), bytes.NewReader(data), h, LoadOptions{ReaderOptions: ReaderOptions{RequireLabel: true}})
		require.NoError(t, err)
		require.EqualValues(t, 2, report.DuplicateIDs)
		require.Equal(t, "k2999", table.ID(3001))
	}
}

// A report takes no more than a hundred names from a file, each cut short, and counts the rest under one.
func TestReportOfManyUnknownColumns(t *testing.T) {
	h := schemaOf(t, fruit)
	_, lines := asJSONLines(t, []byte(fruits(200)))
	file := func(more string) io.Reader {
		var b bytes.Buffer
		n := 0
		for line := range bytes.Lines(lines) {
			b.WriteString("{" + more)
			for range 10 {
				fmt.Fprintf(&b, "\"session %d %s\":1,", n, strings.Repeat("x", 1000))
				n++
			}
			b.Write(line[1:])
		}
		return &b
	}
	_, report, err := Load(t.Context(), file(`"again":1,"again":2,`), h, LoadOptions{MaxQuarantined: 1})
	require.ErrorContains(t, err, "none of the 200 rows")
	require.Equal(t, map[string]int64{"duplicate_column/again": 200}, report.FaultCounts)

	_, report, err = Load(t.Context(), file(`"known":1,`), h, LoadOptions{})
	require.NoError(t, err)
	require.Len(t, report.WarningCounts, maxNames+1)
	require.EqualValues(t, 200, report.WarningCounts["unknown_column/known"])
	require.EqualValues(t, 2000-(maxNames-1), report.WarningCounts["unknown_column/"+OtherNames])
	text, err := json.Marshal(report)
	require.NoError(t, err)
	require.Less(t, len(text), 32<<10)
}
