package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/spec"
)

// rowsOf reads a file by its layout, in pieces of about a size, as JSON records with their numbers, faults in between. It ends with an error of the
// whole.
func rowsOf(data []byte, h *Schema, o LayoutOptions, size int) (out []string, err error) {
	l, err := ReadLayout(bytes.NewReader(data), h, o)
	if err != nil {
		return nil, err
	}
	p, row, before := l.Parser(), h.NewRow(), int64(0)
	for rest := data[l.Start:]; len(rest) > 0; {
		n := min(size, len(rest))
		whole := l.Whole(rest[:n])
		for whole == 0 && n < len(rest) {
			n = min(2*n, len(rest))
			whole = l.Whole(rest[:n])
		}
		last := n == len(rest)
		if last {
			whole = n
		}
		r := p.Parse(bytes.Clone(rest[:whole]), last)
		rest = rest[whole:]
		numbers := r.Numbers(nil)
		for i := range r.Table.Len() {
			if numbers[i] != r.Number(i) {
				return out, errors.New("Numbers and Number differ")
			}
			out = append(out, fmt.Sprintf("%d %s", before+numbers[i], h.AppendJSON(nil, r.Table.Row(i, row), false)))
		}
		for _, f := range r.Faults {
			out = append(out, fmt.Sprintf("%d %s %s %s", before+f.Row, f.Column, f.Rule, f.Value))
		}
		before += r.Records
		if r.Err != nil {
			return out, errors.New("a quote")
		}
	}
	return out, nil
}

// plainRows is the same by a Reader, row by row.
func plainRows(data []byte, h *Schema, o LayoutOptions) (out []string, err error) {
	r, err := NewReader(bytes.NewReader(data), h, ReaderOptions{Format: o.Format, Delimiter: o.Delimiter, TakeRange: true})
	if err != nil {
		return nil, err
	}
	row := h.NewRow()
	for {
		err := r.Next(row)
		var record *RecordError
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case errors.As(err, &record):
			for _, f := range record.Faults {
				out = append(out, fmt.Sprintf("%d %s %s %s", f.Row, f.Column, f.Rule, f.Value))
			}
		case err != nil:
			return out, errors.New("a quote")
		default:
			out = append(out, fmt.Sprintf("%d %s", row.Number, h.AppendJSON(nil, row, false)))
		}
	}
}

// FuzzRows holds rows in pieces to the Reader.
func FuzzRows(f *testing.F) {
	h, err := NewSchema(small())
	require.NoError(f, err)
	for _, seed := range []string{
		"id,n,c\na,1,x\nb,2,y\n", "\ufeffid,n,c\r\na,1,x\r\n\r\nb,,\r\n", "c,n,id\n\"x\ny\",1,a\n\"x\"\"\",2,b", "id,n,c\na,plenty,x\nb,1\nc,99,z\n",
		"id,n,c\na,1,\"open\nb,2,y\n", "id,n,c\na,1,x\"\nb,2,y\n", "{\"id\":\"a\",\"n\":1,\"c\":\"x\"}\n{\"id\":\"b\",\"n\":\"2\",\"c\":null}\n\n{broken\n{\"n\":1}",
		"id,n,c\n", "\n\nid,n,c\na,1,x\r", "id,n\na,1\n",
	} {
		f.Add([]byte(seed), uint8(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		want, plainErr := plainRows(data, h, LayoutOptions{})
		got, err := rowsOf(data, h, LayoutOptions{}, int(size)+1)
		var fault *DataError
		if errors.As(plainErr, &fault) && fault.Message == "the file has a header and no rows" {
			require.NoError(t, err)
			require.Empty(t, got)
			return
		}
		require.Equal(t, plainErr == nil, err == nil, "%v, %v", plainErr, err)
		if plainErr == nil || len(want) > 0 {
			require.ElementsMatch(t, want, got)
		}
	})
}

// small is a spec of an id, a bounded number and a word of a closed set.
func small() *spec.Spec {
	s := spec.Default()
	s.Name, s.Experiment, s.Split.Salt = "small", "small", "salt"
	low, high := 0.0, 50.0
	s.Columns = spec.Columns{ID: "id", Target: spec.Target{Name: "y", Positive: "Yes", Negative: "No"}, Missing: []string{"NA"},
		Numeric: []spec.Numeric{{Name: "n", Min: &low, Max: &high}}, Categorical: []spec.Categorical{{Name: "c", Values: []string{"x", "y", "true", "1"}, MaxLevels: 9}}}
	return s
}

// Columns are decoded as JSON records with the same values are.
func TestColumnsAreDecodedAsRecords(t *testing.T) {
	h, err := NewSchema(small())
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	names := []string{"extra", "c", "n", "id"}
	p, err := NewColumnParser(h, names, LayoutOptions{RequireID: true, Keep: []string{"extra", "n"}})
	require.NoError(t, err)
	pick := func() any {
		return []any{nil, 1.0, 0.0, -3.5, 77.0, 1e300, true, "x", "y", "12.5", "NA", "", " y ", "unseen", "a\"b", math.Copysign(0, -1), 1e-7}[random.IntN(17)]
	}
	for range 40 {
		const rows = 30
		values := make([][]any, len(names))
		p.Begin(rows)
		for c := range names {
			require.True(t, p.Needs(c))
			for i := range rows {
				v := pick()
				values[c] = append(values[c], v)
				switch v := v.(type) {
				case nil:
					p.Null(c)
				case float64:
					p.Number(c, i, v)
				case bool:
					p.Truth(c, i, v)
				case string:
					p.Text(c, i, []byte(v))
				}
			}
		}
		got := p.End()
		row, at, faulty := h.NewRow(), 0, int64(0)
		back := h.NewRow()
		for i := range rows {
			record := map[string]any{}
			for c, name := range names {
				record[name] = values[c][i]
			}
			text, err := json.Marshal(record)
			require.NoError(t, err)
			_, err = h.DecodeJSON(text, row, DecodeOptions{})
			if err != nil {
				faulty++
				require.Contains(t, got.bad, int64(i)+1, "%s: %v", text, err)
				continue
			}
			require.EqualValues(t, i+1, got.Number(at))
			want := h.AppendJSON(nil, row, false)
			require.Equal(t, string(want), string(h.AppendJSON(nil, got.Table.Row(at, back), false)), "%s", text)
			at++
		}
		require.Equal(t, faulty, got.Faulty)
		require.Equal(t, at, got.Table.Len())
	}
	_, err = NewColumnParser(h, []string{"n", "c"}, LayoutOptions{RequireID: true})
	require.ErrorContains(t, err, "id")
	_, err = NewColumnParser(h, []string{"n", "id"}, LayoutOptions{})
	require.ErrorContains(t, err, "column c: the column is missing")
}
