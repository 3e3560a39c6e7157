package dataset

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"telco-churn-mlops/model/spec"
)

// ColumnParser decodes rows that come column by column, as from a columnar file, by the rules of a request's record: a number counts as a JSON
// number, a text as a JSON string, a missing value as null. Values that need no judgement are stored at once; of the others the decoder that
// all sources share has the final word. It belongs to one goroutine and keeps the words it has seen.
type ColumnParser struct {
	h       *Schema
	columns []slot // of the file
	keep    []int  // places in keeps by column, -1 for none
	keeps   int
	p       *parser
	absent  []slot // features that the file leaves out
	odd     []oddCell
	ids     [][]byte // of this block, nil for none
	text    []byte
	out     *Rows
	rows    int
}

// oddCell is a value that needs judgement.
type oddCell struct {
	row    int // from 0
	column int
	value  string
	number bool // it was no text
	truth  bool // it was true or false
}

// NewColumnParser maps the columns of a file, by their names, to the schema. It fails with a *DataError on a column that is needed and is not
// there, by its name, and on one that is there twice.
func NewColumnParser(h *Schema, names []string, o LayoutOptions) (*ColumnParser, error) {
	l := &Layout{h: h, keep: o.Keep}
	s := &csvSource{}
	_, err := s.header(names, h, ReaderOptions{}) // a column that the spec doesn't name is nothing to speak of in a table made for many
	if err == nil {
		err = l.keepColumns(names, o)
	}
	var data *DataError
	if errors.As(err, &data) {
		for i := range data.Faults {
			data.Faults[i].Line = 0
		}
	}
	if err != nil {
		return nil, err
	}
	c := &ColumnParser{h: h, columns: s.columns, keep: make([]int, len(names)), keeps: len(l.kept), p: newParser(h, ReaderOptions{TakeRange: true}, s.columns, ",")}
	for i := range c.keep {
		c.keep[i] = slices.Index(l.kept, i)
	}
	for _, f := range h.order {
		if f.kind != slotNumeric && f.kind != slotCategorical {
			continue
		}
		if !slices.ContainsFunc(s.columns, func(s slot) bool { return s.kind == f.kind && s.name == f.name }) {
			c.absent = append(c.absent, f)
		}
	}
	return c, nil
}

// Needs reports whether a column of the file has to be read at all.
func (c *ColumnParser) Needs(column int) bool {
	k := c.columns[column].kind
	return k != slotIgnored && k != slotTarget || c.keep[column] >= 0
}

// Begin starts a block of rows. Each column that is needed is then given its values, one after the other.
func (c *ColumnParser) Begin(rows int) {
	translations(c.p.words) // full ones begin anew
	t := NewTable(c.h)
	t.reserve(rows)
	c.out = &Rows{Table: t, Records: int64(rows), kept: make([]texts, c.keeps)}
	c.odd, c.rows = c.odd[:0], rows
	c.ids = make([][]byte, rows)
	for _, s := range c.absent {
		for range rows {
			c.null(s)
		}
	}
}

func (c *ColumnParser) null(s slot) {
	t := c.out.Table
	switch s.kind {
	case slotNumeric:
		t.num[s.index] = append(t.num[s.index], math.NaN())
	case slotCategorical:
		t.cat[s.index].codes.append(0)
	}
}

// Null gives the next row of a column no value.
func (c *ColumnParser) Null(column int) {
	c.null(c.columns[column])
	if k := c.keep[column]; k >= 0 {
		c.out.kept[k].append(nil)
	}
}

// Number gives row, counted from 0, of a column a number. NaN stands for none, as tools that have no other mark write it.
func (c *ColumnParser) Number(column, row int, v float64) {
	if v != v {
		c.Null(column)
		return
	}
	s := c.columns[column]
	if s.kind == slotNumeric {
		b := &c.h.bounds[s.index]
		if v >= b.min && v <= b.max && b.takes(v) && !c.p.numbers && !math.IsInf(v, 0) {
			c.out.Table.num[s.index] = append(c.out.Table.num[s.index], v)
			if k := c.keep[column]; k >= 0 {
				c.out.kept[k].append(appendShort(c.text[:0], v))
			}
			return
		}
	}
	c.text = appendShort(c.text[:0], v)
	c.store(column, row, c.text, false, true)
}

// Integer gives row of a column a whole number, of which a text keeps every digit.
func (c *ColumnParser) Integer(column, row int, v int64) {
	if c.columns[column].kind == slotNumeric {
		c.Number(column, row, float64(v))
		return
	}
	c.text = strconv.AppendInt(c.text[:0], v, 10)
	c.store(column, row, c.text, false, true)
}

// appendShort appends the shortest text of a number, as numberText has it.
func appendShort(dst []byte, v float64) []byte {
	if v == 0 {
		return append(dst, '0')
	}
	format := byte('f')
	if a := math.Abs(v); a >= 1e21 || a < 1e-9 {
		format = 'g'
	}
	return strconv.AppendFloat(dst, v, format, -1, 64)
}

// Truth gives row of a column true or false.
func (c *ColumnParser) Truth(column, row int, v bool) {
	c.text = strconv.AppendBool(c.text[:0], v)
	c.store(column, row, c.text, true, true)
}

// Text gives row of a column a text, which is not kept.
func (c *ColumnParser) Text(column, row int, text []byte) { c.store(column, row, text, false, false) }

// store gives row of a column a value as text.
func (c *ColumnParser) store(column, row int, text []byte, truth, number bool) {
	if k := c.keep[column]; k >= 0 {
		c.out.kept[k].append(text)
	}
	s, t := c.columns[column], c.out.Table
	switch s.kind {
	case slotNumeric:
		if !truth && !number {
			if v, ok := c.p.number(s.index, text); ok {
				t.num[s.index] = append(t.num[s.index], v)
				return
			}
		}
	case slotCategorical:
		if len(text) == 0 {
			break
		}
		code, ok := c.p.words[s.index].cells.find(text)
		if !ok {
			code, ok = c.p.learnWord(s, text)
		}
		if ok {
			t.cat[s.index].codes.append(code)
			return
		}
	case slotID:
		if c.ids[row] = slices.Clone(plainText(text)); c.ids[row] != nil || len(text) == 0 {
			return
		}
	default:
		return
	}
	c.null(s)
	c.odd = append(c.odd, oddCell{row, column, string(text), number, truth})
}

// End returns the rows. Every column that is needed has been given as many values as Begin said.
func (c *ColumnParser) End() *Rows {
	t := c.out.Table
	for i := range t.cat {
		t.cat[i].names = c.p.words[i].words.names
	}
	slices.SortStableFunc(c.odd, func(a, b oddCell) int { return a.row - b.row })
	patched := map[int]*Row{}
	row := c.h.NewRow()
	for len(c.odd) > 0 {
		n := 1
		for n < len(c.odd) && c.odd[n].row == c.odd[0].row {
			n++
		}
		c.judge(row, c.odd[:n], patched)
		c.odd = c.odd[n:]
	}
	for i := range c.rows {
		t.labels = append(t.labels, labelNone)
		if c.h.id == "" { // patched below where that matters
			t.ids.append(nil)
		} else {
			t.ids.append(c.ids[i])
		}
	}
	if len(patched) > 0 || c.h.id == "" || c.out.Faulty > 0 {
		c.rebuild(row, patched)
	}
	return c.out
}

// judge decodes the odd values of one row. What they come to, where there is no fault, is in patched.
func (c *ColumnParser) judge(row *Row, cells []oddCell, patched map[int]*Row) {
	row.reset()
	row.Number = int64(cells[0].row) + 1
	d := decoder{h: c.h, row: row}
	for _, cell := range cells {
		s := c.columns[cell.column]
		switch {
		case cell.truth && s.kind == slotNumeric && c.h.bounds[s.index].kind != spec.NumberBoolean:
			d.fault(s.name, RuleType, cell.value, "want %s, got %s", c.h.bounds[s.index].wants(), cell.value)
		default:
			if !utf8.ValidString(cell.value) {
				d.warn(s.name, RuleEncoding, cell.value, "the text is not UTF-8; what can't be read becomes U+FFFD")
			}
			d.text(s, cell.value, false)
		}
	}
	if len(d.faults) > 0 {
		c.out.refuse(row.Number, d.faults)
		return
	}
	if len(d.warnings) > 0 {
		c.out.Warnings++
	}
	kept := c.h.NewRow()
	kept.ID = row.ID
	copy(kept.Num, row.Num)
	copy(kept.Cat, row.Cat)
	patched[cells[0].row] = kept
}

// rebuild makes the table of the good rows, with what was judged in place.
func (c *ColumnParser) rebuild(row *Row, patched map[int]*Row) {
	old, t := c.out.Table, NewTable(c.h)
	kept := make([]texts, len(c.out.kept))
	bad := c.out.bad
	for i := range c.rows {
		if len(bad) > 0 && bad[0] == int64(i)+1 {
			bad = bad[1:]
			continue
		}
		old.Row(i, row)
		row.Label = math.NaN()
		if p := patched[i]; p != nil {
			for k, v := range p.Num {
				if v == v {
					row.Num[k] = v
				}
			}
			for k, v := range p.Cat {
				if v != "" {
					row.Cat[k] = v
				}
			}
			if p.ID != "" {
				row.ID = p.ID
			}
		}
		if c.h.id == "" {
			row.ID = RowDigest(row)
		}
		t.Append(row)
		for k := range kept {
			kept[k].append(bytesOf(c.out.kept[k].at(i)))
		}
	}
	c.out.Table, c.out.kept = t, kept
}
