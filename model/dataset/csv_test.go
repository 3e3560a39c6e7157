package dataset

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// plainCSV reads CSV with encoding/csv, row by row and value by value: slow, and what the splitter and the parser must agree with.
type plainCSV struct {
	r       *csv.Reader
	before  int64
	columns []slot
}

func (s *plainCSV) next(d *decoder) error {
	record, err := s.r.Read()
	var syntax *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &syntax):
		d.row.Line = s.before + int64(syntax.StartLine)
		if syntax.Line > syntax.StartLine {
			return &DataError{Message: "the file is not valid CSV", Faults: []Fault{{
				Row: d.row.Number, Line: d.row.Line, Rule: RuleQuote,
				Message: fmt.Sprintf("a quote is opened that is not closed properly up to line %d: %s", s.before+int64(syntax.Line), syntax.Err),
			}}}
		}
		d.fault("", RuleQuote, "", "column %d of the line: %s", syntax.Column, syntax.Err)
		return nil
	case err != nil:
		return fmt.Errorf("read row %d: %w", d.row.Number, err)
	}
	line, _ := s.r.FieldPos(0)
	d.row.Line = s.before + int64(line)
	var split splitter
	for _, text := range record {
		from := len(split.data)
		split.data = append(split.data, text...)
		split.fields = append(split.fields, span{int32(from), int32(len(split.data))})
	}
	d.fields(s.columns, &split)
	return nil
}

// plainly reads a file row by row with encoding/csv below: the table and the report that Load must give.
func plainly(data []byte, h *Schema, o LoadOptions) (*Table, *Report, error) {
	reader, err := NewReader(bytes.NewReader(data), h, o.ReaderOptions)
	report := &Report{FaultCounts: map[string]int64{}, WarningCounts: map[string]int64{}, keep: DefaultKeep}
	if err != nil {
		var bad *DataError
		if errors.As(err, &bad) {
			report.addFaults(bad.Faults)
		}
		return nil, report, err
	}
	report.addWarnings(reader.Warnings())
	if s, ok := reader.source.(*csvSource); ok {
		body := bytes.TrimPrefix(data, []byte("\ufeff"))
		before := int64(0)
		for len(body) > 0 && (body[0] == '\n' || body[0] == '\r') {
			if body[0] == '\n' {
				before++
			}
			body = body[1:]
		}
		c := csv.NewReader(bytes.NewReader(body))
		c.FieldsPerRecord = -1
		if o.Delimiter != 0 {
			c.Comma = o.Delimiter
		}
		if _, err := c.Read(); err != nil {
			return nil, report, err
		}
		reader.source = &plainCSV{c, before, s.columns}
	}
	t, row := NewTable(h), h.NewRow()
	hashes := map[string]int{}
	for {
		err := reader.Next(row)
		var record *RecordError
		switch {
		case errors.Is(err, io.EOF):
			return plainEnd(t, report, o, hashes)
		case errors.As(err, &record):
			report.Rows++
			report.Quarantined++
			report.addFaults(record.Faults)
			if err := report.quarantine(o.MaxQuarantined, earlyRows); err != nil {
				return nil, report, err
			}
			continue
		case err != nil:
			var bad *DataError
			if errors.As(err, &bad) {
				report.addFaults(bad.Faults)
			}
			return nil, report, err
		}
		report.Rows++
		report.addWarnings(reader.RowWarnings())
		if row.Label == 1 {
			report.Positives++
		}
		if !math.IsNaN(row.Label) {
			report.Labelled++
		}
		if row.ID != "" {
			hashes[row.ID]++
		}
		t.Append(row)
	}
}

func plainEnd(t *Table, report *Report, o LoadOptions, ids map[string]int) (*Table, *Report, error) {
	if err := report.quarantine(o.MaxQuarantined, 0); err != nil {
		return nil, report, err
	}
	switch {
	case report.Rows == 0:
		return nil, report, &DataError{Message: "the file has no rows"}
	case t.Len() == 0:
		return nil, report, &DataError{Message: fmt.Sprintf("none of the %d rows can be used", report.Rows), Faults: report.Faults}
	}
	if t.h.id != "" {
		for _, n := range ids {
			report.DuplicateIDs += int64(n - 1)
		}
	}
	report.Success = true
	return t, report, nil
}

// agree loads data in every way and compares with the plain one.
func agree(t testing.TB, data []byte, h *Schema, o LoadOptions) {
	t.Helper()
	want, wantReport, wantErr := plainly(data, h, o)
	for _, way := range []struct{ threads, size int }{{1, 0}, {1, 40}, {3, 64}, {2, 1000}} {
		o.Threads, o.size = way.threads, way.size
		got, report, err := Load(context.Background(), bytes.NewReader(data), h, o)
		require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(err), "%d threads, blocks of %d, %q", way.threads, way.size, cut(string(data)))
		require.Equal(t, wantReport, report, "%d threads, blocks of %d", way.threads, way.size)
		if err != nil {
			require.Nil(t, got)
			continue
		}
		sameTable(t, want, got)
		for i := range h.categorical {
			require.Equal(t, want.Words(i), got.Words(i), "words are numbered in the order of the file")
			require.Equal(t, want.Codes(i), got.Codes(i))
		}
		for i := range want.Len() {
			require.Equal(t, want.ID(i), got.ID(i))
		}
	}
	// The reader that hands out rows one by one, from a source that gives one byte at a time.
	slow, err := NewReader(iotest.OneByteReader(bytes.NewReader(data)), h, o.ReaderOptions)
	if err != nil {
		require.Equal(t, fmt.Sprint(wantErr), err.Error())
		return
	}
	row, rows, faulty := h.NewRow(), int64(0), int64(0)
	for {
		err := slow.Next(row)
		var record *RecordError
		if errors.As(err, &record) {
			faulty++
		} else if err != nil {
			if !errors.Is(err, io.EOF) {
				require.Equal(t, fmt.Sprint(wantErr), err.Error())
				return
			}
			break
		}
		rows++
	}
	if wantErr == nil {
		require.Equal(t, []int64{wantReport.Rows, wantReport.Quarantined}, []int64{rows, faulty})
	}
}

// oddCells are values that are awkward to split, to trim or to read as a number.
var oddCells = []string{
	"", " ", "1", "0", "-0", "+3", "1.5", ".5", "5.", ".", "-", "+", "--1", "1e3", "1E-2", "0x10", "1_0", "NaN", "inf", "1e999", "1001", "-1",
	"123456789012345", "1234567890123456", "0.000000000000001", "9007199254740993", "12345678901234.5", "0.1", "179.99999999999997", "00012.50",
	"Yes", "No", "yes", "True", "false", "k", "NA", "\u00a07", "7\u2003", "é", "\xff\xfe", "a\rb", "\r", "\t8 ", "word of more than sixteen bytes",
	`"`, `""`, `"x"`, `"a""b"`, `"a,b"`, "\"a\nb\"", "\"a\r\nb\"", `"x" `, ` "x"`, `a"b`, `"a"b`, "\"", "\"open", "\"\n\"", "\"1\"", `"1.5"`, "\"\r\"", "\" 2\"",
}

// files makes small files of odd cells, some of them with rows of the wrong length and without a last line end.
func oddFile(rng *rand.Rand, rows int, oddShare float64) []byte {
	var b bytes.Buffer
	end := []string{"\n", "\r\n"}[rng.IntN(2)]
	b.WriteString(strings.TrimSuffix(fruitHeader, "\n") + end)
	for i := range rows {
		cells := []string{fmt.Sprint("k", rng.IntN(2*rows)), strconv.Itoa(rng.IntN(900)), fmt.Sprintf("%.2f", rng.Float64()*9), fmt.Sprint("w", rng.IntN(5)), "0", "True", "Yes"}
		for rng.Float64() < oddShare {
			cells[rng.IntN(7)] = oddCells[rng.IntN(len(oddCells))]
		}
		if rng.Float64() < oddShare/10 {
			cells = cells[:rng.IntN(7)]
		}
		b.WriteString(strings.Join(cells, ","))
		if i < rows-1 || rng.IntN(2) == 0 {
			b.WriteString(end)
		}
		if rng.Float64() < oddShare/10 {
			b.WriteString([]string{"\n", "\r\n", "\r"}[rng.IntN(3)])
		}
	}
	return b.Bytes()
}

// Load splits, parses and joins as encoding/csv and the decoder of single values do, whatever the blocks and goroutines.
func TestLoadAgreesWithThePlainWay(t *testing.T) {
	h := schemaOf(t, fruit)
	noID := schemaOf(t, strings.Replace(strings.Replace(fruit, "  id: key\n", "", 1), "[comment]", "[comment, key]", 1))
	numbers := schemaOf(t, strings.Replace(fruit, `[NA, "-"]`, `[NA, "-", "5.", "1001", "-1"]`, 1))
	typed := schemaOf(t, strings.Replace(strings.Replace(fruit, "{name: weight, min", "{name: weight, type: integer, min", 1), "{name: price}", "{name: price, type: boolean}", 1))
	narrow := schemaOf(t, strings.Replace(strings.Replace(fruit, "{name: price}", "{name: price}\n    - {name: size, optional: true}", 1), "{name: kind}", "{name: kind, optional: true}\n    - {name: sort, optional: true}", 1))
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		data := oddFile(rng, 1+rng.IntN(60), []float64{0, 0.05, 0.3, 0.6}[seed%4])
		o := LoadOptions{ReaderOptions: ReaderOptions{RequireLabel: seed%3 == 0, TakeRange: seed%5 == 0}, MaxQuarantined: 1}
		for _, h := range []*Schema{h, noID, numbers, typed, narrow} {
			agree(t, data, h, o)
		}
	}
	// Rows enough for the early end of a bad file, with faults on both sides of it.
	rng := rand.New(rand.NewPCG(9, 9))
	data := oddFile(rng, 2200, 0.1)
	data = bytes.ReplaceAll(data, []byte(`"`), nil)
	for _, most := range []float64{0, 0.01, 0.06, 0.5, 1} {
		agree(t, data, h, LoadOptions{MaxQuarantined: most})
	}
}

func TestLoadOfOtherDelimiters(t *testing.T) {
	h := schemaOf(t, fruit)
	for _, comma := range []rune{';', '\t', '|', 'é', '→', ' '} {
		text := strings.ReplaceAll(fruitHeader+"k,1,2,\"a,\"\"b\",1,True,Yes\nl,2,3,\"x\"y,0,True,No\nm,,4,é,0,False,No\n", ",", string(comma))
		agree(t, []byte(text), h, LoadOptions{ReaderOptions: ReaderOptions{Delimiter: comma}, MaxQuarantined: 1})
	}
	for _, comma := range []rune{'"', '\n', '\r', '\ufffd', -1} {
		_, err := NewReader(strings.NewReader(fruitHeader), h, ReaderOptions{Delimiter: comma})
		require.ErrorContains(t, err, "can't be a delimiter")
	}
}

// A quote that is never closed ends the reading at the row it stands in, and takes no more memory than the bound.
func TestLoadOfAnOpenQuote(t *testing.T) {
	h := schemaOf(t, fruit)
	text := fruits(3000) + "k,1,1,\"x,1,True,Yes\n"
	_, report, err := Load(t.Context(), strings.NewReader(text+strings.TrimPrefix(fruits(3000), fruitHeader)), h, LoadOptions{size: 500})
	require.ErrorContains(t, err, "row 3001 (line 3002): a quote is opened that is not closed properly up to line 6002")
	require.Equal(t, int64(3000), report.Rows)

	endless := io.MultiReader(strings.NewReader(text), zeroes{})
	_, report, err = Load(t.Context(), endless, h, LoadOptions{})
	require.ErrorContains(t, err, "a record is longer than 67108864 bytes")
	require.Equal(t, int64(1), report.FaultCounts[RuleTooLong+"/"])
	require.Equal(t, int64(3000), report.Rows)
}

// zeroes is text without an end.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestStream(t *testing.T) {
	h := schemaOf(t, fruit)
	text := fruits(5000) + "k0,heavy,1,x,1,True,Yes\nk0,1,1,x,1,True,Yes\n"
	for _, o := range []LoadOptions{{Threads: 1, size: 900, MaxQuarantined: 1}, {Threads: 4, size: 700, MaxQuarantined: 1}} {
		var ids []string
		report, err := Stream(t.Context(), strings.NewReader(text), h, o, func(part *Table) (*Table, error) { return part, nil },
			func(part *Table) error {
				row := h.NewRow()
				for i := range part.Len() {
					part.Row(i, row)
					ids = append(ids, strings.Clone(row.ID))
					require.Equal(t, row.Cat[0], part.Words(0)[code(part, 0, i)])
				}
				return nil
			})
		require.NoError(t, err)
		require.Len(t, ids, 5001)
		require.Equal(t, []string{"k4999", "k0"}, ids[4999:])
		require.Equal(t, []int64{5002, 1, 1}, []int64{report.Rows, report.Quarantined, report.DuplicateIDs})

		stop := errors.New("stop")
		_, err = Stream(t.Context(), strings.NewReader(text), h, o, func(*Table) (int, error) { return 0, stop }, func(int) error { return nil })
		require.ErrorIs(t, err, stop)
		calls := 0
		_, err = Stream(t.Context(), strings.NewReader(text), h, o, func(*Table) (int, error) { return 1, nil }, func(n int) error {
			calls += n
			return stop
		})
		require.ErrorIs(t, err, stop)
		require.Equal(t, 1, calls)
	}
}

func code(t *Table, col, i int) uint32 {
	c := t.Codes(col)
	return c.At(i)
}

func FuzzLoad(f *testing.F) {
	for seed := range uint64(6) {
		f.Add(oddFile(rand.New(rand.NewPCG(seed, 7)), 5, 0.4), byte(','), true)
	}
	f.Add([]byte(strings.ReplaceAll(fruitHeader, ",", ";")+"k;1;\"2\n\";x;1;True;Yes\n\n\r"), byte(';'), false)
	f.Add([]byte("\n\r\n"+fruitHeader+"\"\n"), byte(','), false)
	h := schemaOf(f, fruit)
	f.Fuzz(func(t *testing.T, data []byte, comma byte, label bool) {
		if comma == '"' || comma == '\n' || comma == '\r' {
			return
		}
		agree(t, data, h, LoadOptions{ReaderOptions: ReaderOptions{Delimiter: rune(comma), RequireLabel: label, Format: "csv"}, MaxQuarantined: 1})
	})
}
