package dataset

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/spec"
)

const fruitHeader = "key,weight,price,kind,organic,ripe,rotten\n"

// readAll returns the good rows and the faults of the others.
func readAll(t testing.TB, r *Reader, h *Schema) (rows []*Row, faults, warnings []Fault) {
	t.Helper()
	for {
		row := h.NewRow()
		err := r.Next(row)
		var record *RecordError
		switch {
		case errors.Is(err, io.EOF):
			return rows, faults, warnings
		case errors.As(err, &record):
			faults = append(faults, record.Faults...)
			continue
		}
		require.NoError(t, err)
		rows = append(rows, row)
		warnings = append(warnings, r.RowWarnings()...)
	}
}

func TestReaderCSV(t *testing.T) {
	h := schemaOf(t, fruit)
	text := "\ufeff\"rotten\"; ripe ;kind;key;weight;price;organic;comment;colour;\r\n" +
		"Yes;true;\"a \"\"b\"\"; c\r\nd\";k1; 1.5 ;;1.0;x;red;\r\n" +
		"\r\n" +
		"No;False;NA;k2;-;-2;0;;;\r\n"
	r, err := NewReader(iotest.OneByteReader(strings.NewReader(text)), h, ReaderOptions{Delimiter: ';', RequireLabel: true})
	require.NoError(t, err)
	require.Equal(t, []string{"unknown_column/colour", "unknown_column/"}, rules(r.Warnings()))
	rows, faults, warnings := readAll(t, r, h)
	require.Empty(t, faults)
	require.Empty(t, warnings)
	require.Len(t, rows, 2)
	sameRow(t, &Row{ID: "k1", Num: []float64{1.5, math.NaN()}, Cat: []string{"a \"b\"; c\nd", "1", "True"}, Label: 1}, rows[0])
	sameRow(t, &Row{ID: "k2", Num: []float64{math.NaN(), -2}, Cat: []string{"", "0", "False"}, Label: 0}, rows[1])
	require.Equal(t, []int64{1, 2, 2, 5}, []int64{rows[0].Number, rows[0].Line, rows[1].Number, rows[1].Line})
}

func TestReaderFaults(t *testing.T) {
	h := schemaOf(t, fruit)
	for _, c := range []struct {
		name, row string
		want      []string
	}{
		{"text in a number", "k,abc,1,x,1,True,Yes", []string{"type/weight"}},
		{"not finite", "k,1,inf,x,1,True,Yes", []string{"not_finite/price"}},
		{"outside bounds", "k,1001,1,x,1,True,Yes", []string{"range/weight"}},
		{"label", "k,1,1,x,1,True,yes", []string{"label/rotten"}},
		{"no label", "k,1,1,x,1,True,", []string{"label/rotten"}},
		{"no id", " ,1,1,x,1,True,No", []string{"id/key"}},
		{"too few", "k,1,1", []string{"columns_count/"}},
		{"too many", "k,1,1,x,1,True,Yes,more", []string{"columns_count/"}},
		{"bare quote", `k,1,1,a"b,1,True,Yes`, []string{"quote/"}},
		{"all at once", ",x,NaN,x,1,True,?", []string{"id/key", "type/weight", "not_finite/price", "label/rotten"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "\n\n" + fruitHeader + "a,1,1,x,1,True,Yes\n" + c.row + "\nb,1,1,x,1,True,No\n"
			r, err := NewReader(strings.NewReader(text), h, ReaderOptions{RequireLabel: true})
			require.NoError(t, err)
			rows, faults, _ := readAll(t, r, h)
			require.Equal(t, c.want, rules(faults))
			require.Len(t, rows, 2, "reading goes on after the fault")
			require.Equal(t, []int64{3, 6}, []int64{rows[1].Number, rows[1].Line})
			for _, f := range faults {
				require.Equal(t, []int64{2, 5}, []int64{f.Row, f.Line})
				require.Contains(t, f.String(), "row 2 (line 5)")
			}
		})
	}
}

func TestReaderWarnsOfRows(t *testing.T) {
	h := schemaOf(t, fruit)
	r, err := NewReader(strings.NewReader(fruitHeader+"k,1,1,caf\xe9,7,True,Yes\n"), h, ReaderOptions{})
	require.NoError(t, err)
	rows, faults, warnings := readAll(t, r, h)
	require.Empty(t, faults)
	require.Equal(t, []string{"encoding/kind", "set/organic"}, rules(warnings))
	require.Equal(t, []string{"caf\ufffd", "7", "True"}, rows[0].Cat)
}

func TestNewReaderRefuses(t *testing.T) {
	h := schemaOf(t, fruit)
	for _, c := range []struct {
		name, text string
		faults     []string
		want       string
	}{
		{"empty", "", nil, "the file is empty"},
		{"only a byte-order mark", "\ufeff", nil, "the file is empty"},
		{"blank lines", "\r\n\n", nil, "the file is empty"},
		{"header only", fruitHeader, nil, "a header and no rows"},
		{"a column missing", "key,weight,price,kind,organic,rotten\nk,1,1,x,1,No\n", []string{"missing_column/ripe"}, "there are 6 columns (key, weight, price, kind, organic, rotten)"},
		{"two missing", "key,weight,kind,organic,ripe\nk,1,x,1,True\n", []string{"missing_column/price", "missing_column/rotten"}, "column price: the column is missing"},
		{"a column twice", "key,key,weight,price,kind,organic,ripe,rotten\n1,2\n", []string{"duplicate_column/key"}, "there twice"},
		{"another delimiter", strings.ReplaceAll(fruitHeader, ",", ";") + "k;1\n", nil, `is the delimiter ";"?`},
		{"quote in the header", "key,\"weight\nk,1\n", []string{"quote/"}, "header is not valid CSV"},
		{"UTF-16", "\xff\xfek\x00", nil, "UTF-16"},
		{"gzip", "\x1f\x8b\x08", nil, "gzip"},
		{"workbook", "PK\x03\x04abc", nil, "Excel"},
		{"parquet", "PAR1abc", nil, "Parquet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewReader(strings.NewReader(c.text), h, ReaderOptions{RequireLabel: true})
			var data *DataError
			require.ErrorAs(t, err, &data)
			if c.faults != nil {
				require.Equal(t, c.faults, rules(data.Faults))
			}
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := NewReader(strings.NewReader("x"), h, ReaderOptions{Format: "xml"})
	require.ErrorContains(t, err, `unknown format "xml"`)
	_, err = NewReader(iotest.ErrReader(io.ErrClosedPipe), h, ReaderOptions{})
	require.ErrorIs(t, err, io.ErrClosedPipe)
	var data *DataError
	require.False(t, errors.As(err, &data), "a broken source is not bad data")
}

func TestReaderStopsAtAnOpenQuote(t *testing.T) {
	h := schemaOf(t, fruit)
	text := fruitHeader + "a,1,1,x,1,True,Yes\nb,1,1,\"x,1,True,Yes\nc,1,1,x,1,True,Yes\n"
	r, err := NewReader(strings.NewReader(text), h, ReaderOptions{})
	require.NoError(t, err)
	row := h.NewRow()
	require.NoError(t, r.Next(row))
	var data *DataError
	require.ErrorAs(t, r.Next(row), &data, "the rows inside the quote must not be lost as one")
	require.Equal(t, int64(3), data.Faults[0].Line)
}

func TestReaderOfABrokenSource(t *testing.T) {
	h := schemaOf(t, fruit)
	text := fruitHeader + "a,1,1,x,1,True,Yes\n"
	r, err := NewReader(io.MultiReader(strings.NewReader(text), iotest.ErrReader(io.ErrUnexpectedEOF)), h, ReaderOptions{})
	require.NoError(t, err)
	row := h.NewRow()
	require.NoError(t, r.Next(row))
	require.ErrorIs(t, r.Next(row), io.ErrUnexpectedEOF)
}

func TestReaderWithoutLabels(t *testing.T) {
	h := schemaOf(t, fruit)
	r, err := NewReader(strings.NewReader("weight,price,kind,organic,ripe\n1,2,x,1,True\n"), h, ReaderOptions{})
	require.NoError(t, err)
	rows, faults, _ := readAll(t, r, h)
	require.Empty(t, faults)
	require.Empty(t, rows[0].ID)
	require.True(t, math.IsNaN(rows[0].Label))
}

func TestReaderJSONLines(t *testing.T) {
	h := schemaOf(t, fruit)
	good := `{"key":"k","weight":1,"price":"2","kind":null,"organic":1,"ripe":true,"rotten":"No"}`
	text := "\n" + good + "\r\n\n  \nnot json\n" + strings.Replace(good, "1,", "-1,", 1) + "\n" +
		`{"kind":"` + strings.Repeat("x", maxLine) + "\"}\n" + strings.Replace(good, `"k"`, `"l"`, 1)
	for _, format := range []string{"", spec.FormatJSONL} {
		r, err := NewReader(strings.NewReader(text), h, ReaderOptions{Format: format, RequireLabel: true})
		require.NoError(t, err)
		rows, faults, _ := readAll(t, r, h)
		require.Equal(t, []string{"json/", "range/weight", "too_long/"}, rules(faults))
		require.Equal(t, []int64{2, 3, 4}, []int64{faults[0].Row, faults[1].Row, faults[2].Row})
		require.Equal(t, []int64{5, 6, 7}, []int64{faults[0].Line, faults[1].Line, faults[2].Line})
		require.Len(t, rows, 2)
		require.Equal(t, []int64{5, 8}, []int64{rows[1].Number, rows[1].Line})
		require.Equal(t, "l", rows[1].ID)
	}
}

func TestReaderTakesValuesOutsideTheirBoundsIfAsked(t *testing.T) {
	h := schemaOf(t, fruit)
	r, err := NewReader(strings.NewReader(fruitHeader+"k,1001,1,x,1,True,Yes\n"), h, ReaderOptions{RequireLabel: true, TakeRange: true})
	require.NoError(t, err)
	row := h.NewRow()
	require.NoError(t, r.Next(row))
	require.Equal(t, 1001.0, row.Num[0])
	require.Equal(t, []string{"range/weight"}, rules(r.RowWarnings()))
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(fruitHeader+"k,1,2,x,1,True,Yes\nl,,NA,\"a\r\nb\",0,false,No\n"), byte(',')) // the usual
	f.Add([]byte("\ufeffkey;weight;price;kind;organic;ripe;rotten;more\r\nk;x;2;\"a\";1;True\r\n"), byte(';'))
	f.Add([]byte(`{"key":"k","weight":1,"price":"2","kind":null,"organic":1,"ripe":true,"rotten":"No"}`+"\n{\n"), byte(','))
	f.Add([]byte(fruitHeader+"\"k,1\n"), byte(','))
	h := schemaOf(f, fruit)
	f.Fuzz(func(t *testing.T, data []byte, comma byte) {
		r, err := NewReader(strings.NewReader(string(data)), h, ReaderOptions{Delimiter: rune(comma), RequireLabel: true})
		if err != nil {
			return
		}
		table := NewTable(h)
		row := h.NewRow()
		for number := int64(1); ; number++ {
			err := r.Next(row)
			var record *RecordError
			if errors.As(err, &record) {
				require.NotEmpty(t, record.Faults)
				require.Equal(t, number, record.Faults[0].Row)
				require.Positive(t, record.Faults[0].Line)
				continue
			}
			if err != nil {
				break
			}
			require.Equal(t, number, row.Number)
			table.Append(row)
		}
		sameTable(t, table, rewritten(t, table, nil))
	})
}
