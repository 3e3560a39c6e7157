package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"telco-churn-mlops/model/spec"
)

// Rows are some rows of a file, decoded as a request's records are: values outside bounds and closed sets are warnings, and no label is
// needed. They are immutable and share no memory with the input.
type Rows struct {
	Table    *Table  // the good rows
	Records  int64   // the faulty ones included
	Lines    int64   // of the text
	Faults   []Fault // Row and Line count from the start of these rows, from 1
	Faulty   int64   // rows that have faults and are not in the table
	Warnings int64   // rows that have warnings and are
	// Err says that a quote takes in the rows below it. Reading can't go on behind it.
	Err *DataError

	bad  []int64 // the faulty rows, ascending, from 1
	kept []texts
}

// Number returns the place, from 1, of row i of the table among all the rows.
func (r *Rows) Number(i int) int64 {
	n := int64(i) + 1
	for _, b := range r.bad {
		if b > n {
			break
		}
		n++
	}
	return n
}

// Numbers appends the place, from 1, of each row of the table among all the rows.
func (r *Rows) Numbers(dst []int64) []int64 {
	bad := r.bad
	for n := int64(1); n <= r.Records; n++ {
		if len(bad) > 0 && bad[0] == n {
			bad = bad[1:]
			continue
		}
		dst = append(dst, n)
	}
	return dst
}

// Kept returns the text of row i of the table in column k of those to keep, as the file has it. It is a view of all the column's text.
func (r *Rows) Kept(k, i int) string { return r.kept[k].at(i) }

// refuse takes a row's faults.
func (r *Rows) refuse(row int64, faults []Fault) {
	r.Faulty++
	r.bad = append(r.bad, row)
	r.Faults = append(r.Faults, faults...)
}

// RowParser reads rows of text. It belongs to one goroutine and keeps the words it has seen.
type RowParser struct {
	l     *Layout
	csv   *parser
	row   *Row
	words []vocabulary
}

// Parser returns a parser of the file's rows.
func (l *Layout) Parser() *RowParser {
	p := &RowParser{l: l}
	if l.Format == spec.FormatCSV {
		p.csv = newParser(l.h, ReaderOptions{TakeRange: true}, l.columns, l.comma)
		p.csv.keep, p.csv.plain = l.kept, true
		return p
	}
	p.row, p.words = l.h.NewRow(), newVocabularies(l.h)
	return p
}

// Parse reads whole rows; last says that they end the file, so that the last one needs no line end.
func (p *RowParser) Parse(data []byte, last bool) *Rows {
	if p.csv == nil {
		return p.parseJSON(data)
	}
	if last && len(data) > 0 && data[len(data)-1] == '\r' { // dropped at the end of a file, as encoding/csv does
		data = data[:len(data)-1]
	}
	part := p.csv.parse(block{data, last})
	out := &Rows{Table: part.table, Records: part.rows, Lines: part.lines, kept: part.kept}
	for _, e := range part.events {
		if e.faults == nil {
			out.Warnings++
			continue
		}
		place(e.faults, 0, 0)
		out.refuse(e.row, e.faults)
	}
	if part.fatal != nil {
		out.Err = part.fatal.dataError(part.rows+1, 0)
	}
	return out
}

// parseJSON reads one JSON object per line. Blank lines are skipped.
func (p *RowParser) parseJSON(data []byte) *Rows {
	part := &part{table: NewTable(p.l.h), known: translations(p.words)}
	out := &Rows{Table: part.table, kept: make([]texts, len(p.l.keep))}
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
		out.Lines++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		out.Records++
		if len(line) > maxLine {
			d := decoder{h: p.l.h, row: p.row}
			p.row.reset()
			p.row.Number, p.row.Line = out.Records, out.Lines
			d.fault("", RuleTooLong, "", "the line is longer than %d bytes", maxLine)
			out.refuse(out.Records, d.faults)
			continue
		}
		warnings, err := p.l.h.DecodeJSON(line, p.row, DecodeOptions{})
		var fields map[string]json.RawMessage
		if err == nil && len(p.l.keep) > 0 {
			err = p.fields(line, &fields)
		}
		var record *RecordError
		if errors.As(err, &record) {
			faults := slices.Clone(record.Faults)
			for i := range faults {
				faults[i].Row, faults[i].Line = out.Records, out.Lines
			}
			out.refuse(out.Records, faults)
			continue
		}
		if len(warnings) > 0 {
			out.Warnings++
		}
		part.appendRow(p.row, p.words)
		for i, name := range p.l.keep {
			out.kept[i].append(jsonText(fields[name]))
		}
	}
	return out
}

// fields reads the values of an object that has been decoded. What this package takes in columns that don't matter, such as NaN, is no JSON and
// can't be kept.
func (p *RowParser) fields(line []byte, dst *map[string]json.RawMessage) error {
	if err := json.Unmarshal(line, dst); err != nil {
		return &RecordError{Faults: []Fault{{Rule: RuleJSON, Message: err.Error()}}}
	}
	return nil
}

// jsonText returns the text of a value: of a string its content, of null and of none nothing, of everything else what the file has.
func jsonText(raw json.RawMessage) []byte {
	var text string
	switch {
	case len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil:
		return []byte(text)
	case string(raw) == "null":
		return nil
	}
	return raw
}
