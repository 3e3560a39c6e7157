package dataset

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Table holds rows by column: 8 bytes for a number, one for the label, the bytes of the id and 8 more, and per word one
// byte while a column has at most 256 different ones, two up to 65,536, then four. A Telco row takes 59 bytes. Appending is for one goroutine; after that, reading is safe for many.
type Table struct {
	h      *Schema
	ids    texts
	labels []uint8
	num    [][]float64
	cat    []words
}

// The codes of a label.
const (
	labelNegative = iota
	labelPositive
	labelNone
)

// NewTable returns an empty table.
func NewTable(h *Schema) *Table {
	t := &Table{h: h, num: make([][]float64, len(h.numeric)), cat: make([]words, len(h.categorical))}
	for i := range t.cat {
		t.cat[i] = newWords()
	}
	return t
}

// Schema returns the schema that the table was made with.
func (t *Table) Schema() *Schema { return t.h }

// Len returns the number of rows.
func (t *Table) Len() int { return len(t.labels) }

// Append adds a copy of row. A label other than 0 and 1 counts as none.
func (t *Table) Append(row *Row) {
	t.ids.append(bytesOf(row.ID))
	t.labels = append(t.labels, labelOf(row.Label))
	for i, v := range row.Num {
		t.num[i] = append(t.num[i], v)
	}
	for i, s := range row.Cat {
		t.cat[i].append(s)
	}
}

// labelOf returns the code of a label.
func labelOf(v float64) uint8 {
	switch v {
	case 0:
		return labelNegative
	case 1:
		return labelPositive
	}
	return labelNone
}

// Row fills row with row i and returns it, without allocation. Number is i+1, Line 0.
func (t *Table) Row(i int, row *Row) *Row {
	row.ID, row.Label, row.Number, row.Line = t.ids.at(i), t.Label(i), int64(i)+1, 0
	for c := range t.num {
		row.Num[c] = t.num[c][i]
	}
	for c := range t.cat {
		row.Cat[c] = t.cat[c].at(i)
	}
	return row
}

// Label returns 1, 0, or NaN where row i has no label.
func (t *Table) Label(i int) float64 {
	switch t.labels[i] {
	case labelNegative:
		return 0
	case labelPositive:
		return 1
	}
	return math.NaN()
}

// ID returns the id of row i. The string is a view of all ids' text: who keeps it keeps them all.
func (t *Table) ID(i int) string { return t.ids.at(i) }

// Numeric returns a numeric column, NaN where a value is missing. The caller does not change it.
func (t *Table) Numeric(col int) []float64 { return t.num[col] }

// Category returns a word of a categorical column, "" where it is missing.
func (t *Table) Category(col, i int) string { return t.cat[col].at(i) }

// Words returns the different words of a categorical column in the order in which they were first seen, after "", which
// stands for a missing value and is always the first. The caller does not change it.
func (t *Table) Words(col int) []string { return t.cat[col].names }

// Codes returns a categorical column as places in Words. It is valid until the next Append.
func (t *Table) Codes(col int) Codes { return t.cat[col].codes }

// Categories counts the words of a categorical column over all rows; "" counts the missing ones and is always there.
func (t *Table) Categories(col int) map[string]int {
	w := &t.cat[col]
	counts := make([]int, len(w.names))
	for i := range w.codes.Len() {
		counts[w.codes.At(i)]++
	}
	out := make(map[string]int, len(counts))
	for c, n := range counts {
		out[w.names[c]] = n
	}
	return out
}

// WriteCSV writes the given rows (nil = all) with the columns id, numeric, categorical, label, in a form that a Reader
// with the same schema and a comma reads back bit-equal. A row without an id gets its digest as one, as a file whose rows
// can't be told apart could not be joined again.
func (t *Table) WriteCSV(w io.Writer, rows []int) error {
	c := csv.NewWriter(w)
	var record []string
	if t.h.id != "" {
		record = append(record, t.h.id)
	}
	record = append(append(append(record, t.h.numeric...), t.h.categorical...), t.h.target)
	if err := c.Write(record); err != nil {
		return fmt.Errorf("write header: %w", err)
	}
	row := t.h.NewRow()
	n := len(rows)
	if rows == nil {
		n = t.Len()
	}
	for k := range n {
		i := k
		if rows != nil {
			i = rows[k]
		}
		record = t.h.appendRecord(record[:0], t.Row(i, row))
		if err := c.Write(record); err != nil {
			return fmt.Errorf("write row %d: %w", i+1, err)
		}
	}
	c.Flush()
	if err := c.Error(); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return nil
}

func (h *Schema) appendRecord(dst []string, row *Row) []string {
	if h.id != "" {
		id := row.ID
		if id == "" {
			id = RowDigest(row)
		}
		dst = append(dst, id)
	}
	for _, v := range row.Num {
		text := ""
		if !math.IsNaN(v) {
			text = strconv.FormatFloat(v, 'g', -1, 64)
		}
		dst = append(dst, text)
	}
	dst = append(dst, row.Cat...)
	switch row.Label {
	case 1:
		return append(dst, h.positive)
	case 0:
		return append(dst, h.negative)
	}
	return append(dst, "")
}
