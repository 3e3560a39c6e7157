package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"telco-churn-mlops/model/spec"
)

// maxLine bounds a line of JSON. A longer one is a fault of its row.
const maxLine = 1 << 20

// ReaderOptions say how a file is read. The zero value reads a file without labels whose format is told by its content.
type ReaderOptions struct {
	Format       string // spec.FormatCSV or spec.FormatJSONL; "" = JSON lines where the first byte is "{", else CSV
	Delimiter    rune   // of CSV; 0 = ","
	RequireLabel bool   // every row needs a label and, where the spec has an id column, an id
	TakeRange    bool   // a value outside its bounds is a warning, as in a request, and no fault
}

// source yields the next record into the decoder's row.
type source interface {
	// next returns io.EOF at the end; any other error is final. Faults of the record go to d.
	next(d *decoder) error
}

// Reader streams rows from CSV or JSON lines in constant memory. A value outside its bounds makes a row faulty unless
// TakeRange is set, one outside a closed set is a warning. It is not safe for concurrent use.
type Reader struct {
	h        *Schema
	o        ReaderOptions
	source   source
	warnings []Fault // of the header
	row      []Fault // warnings of the last row
	number   int64
}

// NewReader reads as far as the first row. A *DataError says that the file is empty, has a header and no rows, or that
// the header lacks a column that is not optional or has one twice. A byte-order mark and CRLF line ends are accepted. A column that the spec
// does not name is a warning.
//
// Without RequireLabel a CSV file may lack the label and the id column.
func NewReader(r io.Reader, h *Schema, o ReaderOptions) (*Reader, error) {
	return newReader(r, h, o, 64<<10, true)
}

// newReader reads CSV in blocks of a size. An eager one waits for no more text than a row needs.
func newReader(r io.Reader, h *Schema, o ReaderOptions, size int, eager bool) (*Reader, error) {
	b := bufio.NewReaderSize(input{r}, 64<<10)
	if mark, err := b.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = b.Discard(3)
	}
	if err := notText(b); err != nil {
		return nil, err
	}
	first, blank, err := firstByte(b)
	if err != nil {
		return nil, err
	}
	format := o.Format
	if format == "" {
		format = spec.FormatCSV
		if first == '{' {
			format = spec.FormatJSONL
		}
	}
	d := &Reader{h: h, o: o}
	switch format {
	case spec.FormatCSV:
		comma := o.Delimiter
		if comma == 0 {
			comma = ','
		}
		if !utf8.ValidRune(comma) || strings.ContainsRune("\"\r\n\ufffd", comma) {
			return nil, fmt.Errorf("read header: %q can't be a delimiter", comma)
		}
		blocks := newBlocks(b, string(comma), size)
		blocks.eager = eager
		d.source, d.warnings, err = newCSV(blocks, h, o, blank)
	case spec.FormatJSONL:
		d.source = &jsonLines{r: b, h: h, line: blank}
	default:
		err = fmt.Errorf("read data: unknown format %q", o.Format)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// firstByte returns the first byte that begins no blank line, and how many blank lines it left behind.
func firstByte(b *bufio.Reader) (first byte, blank int64, err error) {
	for {
		p, err := b.Peek(1)
		switch {
		case errors.Is(err, io.EOF):
			return 0, 0, &DataError{Message: "the file is empty"}
		case err != nil:
			return 0, 0, fmt.Errorf("read data: %w", err)
		case p[0] != '\n' && p[0] != '\r':
			return p[0], blank, nil
		case p[0] == '\n':
			blank++
		}
		_, _ = b.Discard(1)
	}
}

// notText refuses files that are no text and whose bytes would give a puzzling error.
func notText(b *bufio.Reader) error {
	start, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read data: %w", err)
	}
	if what := spec.NotText(start); what != "" {
		return &DataError{Message: "the file is " + what}
	}
	return nil
}

// Warnings returns what is odd about the header: columns that the spec does not name. A row's warnings are in
// RowWarnings.
func (r *Reader) Warnings() []Fault { return r.warnings }

// RowWarnings returns the warnings of the row that Next read last. They are valid until the next call of Next.
func (r *Reader) RowWarnings() []Fault { return r.row }

// Next reads the next row, whose fields it overwrites. It returns io.EOF at the end. A *RecordError says what is wrong
// with this row, with its number and line; reading goes on with the next. Any other error is final.
func (r *Reader) Next(row *Row) error {
	row.reset()
	r.row = nil
	d := decoder{h: r.h, row: row, need: r.o.RequireLabel, severity: severity{rangeFault: !r.o.TakeRange}}
	row.Number = r.number + 1
	if err := r.source.next(&d); err != nil {
		return err
	}
	r.number++
	r.row = d.warnings
	return d.finish()
}

// csvSource reads CSV. The header's block is read on, so that a file without rows is known at once.
type csvSource struct {
	blocks  *blocks
	h       *Schema
	comma   string
	split   splitter
	block   block
	lines   int64 // before the block
	columns []slot
	err     error // of the block behind this one
}

func newCSV(b *blocks, h *Schema, o ReaderOptions, before int64) (*csvSource, []Fault, error) {
	s := &csvSource{blocks: b, h: h, comma: string(b.comma), lines: before}
	s.split = newSplitter(s.comma)
	found, syntax := s.record()
	if !found || syntax != nil {
		return nil, nil, s.headerError(syntax)
	}
	names := make([]string, len(s.split.fields))
	for i := range names {
		names[i] = string(s.split.field(i))
	}
	warnings, err := s.header(names, h, o)
	if err != nil {
		return nil, nil, err
	}
	if !s.ahead() && errors.Is(s.err, io.EOF) {
		if slices.ContainsFunc(names, carried) {
			return nil, nil, &DataError{Message: "the file is one line: " + carriageReturns}
		}
		return nil, nil, &DataError{Message: "the file has a header and no rows"}
	}
	return s, warnings, nil
}

// record reads the next record, from the next block where this one is at its end. It reports false, with err set, at the end of what
// can be read.
func (s *csvSource) record() (bool, *syntaxError) {
	for {
		if found, syntax := s.split.next(); found {
			return true, syntax
		}
		if s.err != nil {
			return false, nil
		}
		s.fill()
	}
}

// fill takes the next block.
func (s *csvSource) fill() {
	s.lines += int64(s.split.line)
	s.blocks.reuse(s.block)
	s.block, s.err = s.blocks.next()
	if s.err != nil {
		s.block = block{}
	}
	s.split.reset(s.block.data, s.block.eof)
}

// ahead reports whether there is another record, whatever it is worth.
func (s *csvSource) ahead() bool {
	for {
		s.split.skipBlank()
		if s.split.pos < len(s.split.data) {
			return true
		}
		if s.err != nil {
			return false
		}
		s.fill()
	}
}

// nextBlock returns the rest of the block that the header came with, and then one block after another.
func (s *csvSource) nextBlock() (block, error) {
	if s.split.pos < len(s.block.data) {
		b := block{append([]byte(nil), s.block.data[s.split.pos:]...), s.block.eof}
		s.lines += int64(s.split.line)
		s.split.reset(nil, false)
		s.block = block{}
		return b, nil
	}
	if s.err != nil {
		return block{}, s.err
	}
	return s.blocks.next()
}

// parser returns a parser of the file's rows.
func (s *csvSource) parser(o ReaderOptions) *parser { return newParser(s.h, o, s.columns, s.comma) }

func (s *csvSource) headerError(syntax *syntaxError) error {
	switch {
	case syntax != nil:
		return &DataError{Message: "the header is not valid CSV", Faults: []Fault{{
			Line: s.lines + int64(syntax.line) + 1, Rule: RuleQuote, Message: syntax.err.Error(),
		}}}
	case errors.Is(s.err, io.EOF):
		return &DataError{Message: "the file is empty"}
	case errors.Is(s.err, errNoEnd):
		return &DataError{Message: "the header is not valid CSV", Faults: []Fault{{Line: s.lines + 1, Rule: RuleTooLong, Message: s.err.Error()}}}
	}
	return fmt.Errorf("read header: %w", s.err)
}

// header maps the columns of the file to slots and returns warnings.
func (s *csvSource) header(names []string, h *Schema, o ReaderOptions) (warnings []Fault, err error) {
	var faults []Fault
	seen := map[string]bool{}
	for _, raw := range names {
		name := clean(raw)
		c, known := h.slots[name]
		if !known {
			c = slot{kind: slotIgnored, name: name}
		}
		switch {
		case seen[name] && known:
			faults = append(faults, Fault{Line: s.lines + 1, Column: name, Rule: RuleDuplicateColumn, Message: "the column is there twice"})
		case !known && name == "":
			warnings = append(warnings, Fault{Line: s.lines + 1, Rule: RuleUnknownColumn, Message: "a column without a name is not used"})
		case !known:
			warnings = append(warnings, Fault{Line: s.lines + 1, Column: name, Rule: RuleUnknownColumn,
				Message: "the column is not in the spec and not used"})
		}
		seen[name] = true
		s.columns = append(s.columns, c)
	}
	need := decoder{h: h, need: o.RequireLabel}
	for _, c := range h.order {
		if !seen[c.name] && need.needs(c) {
			faults = append(faults, Fault{Line: s.lines + 1, Column: c.name, Rule: RuleMissingColumn, Message: "the column is missing"})
		}
	}
	if len(faults) > 0 {
		return nil, &DataError{Message: "the header does not fit the spec: " + found(names), Faults: faults}
	}
	return warnings, nil
}

// carried reports whether the name of a column goes on behind a carriage return.
func carried(name string) bool { return strings.Contains(strings.TrimSpace(name), "\r") }

// found lists the columns of a header, and says so where the delimiter or the line ends seem to be others.
func found(names []string) string {
	if slices.ContainsFunc(names, carried) {
		return carriageReturns
	}
	if len(names) == 1 {
		for _, other := range []string{";", "\t", "|", ","} {
			if strings.Count(names[0], other) > 0 {
				return fmt.Sprintf("there is one column, %q; is the delimiter %q?", cut(names[0]), other)
			}
		}
	}
	const most = 60
	quoted := make([]string, 0, len(names))
	for i, n := range names {
		if i == most {
			quoted = append(quoted, fmt.Sprintf("and %d more", len(names)-most))
			break
		}
		quoted = append(quoted, cut(clean(n)))
	}
	return fmt.Sprintf("there are %d columns (%s)", len(names), strings.Join(quoted, ", "))
}

func (s *csvSource) next(d *decoder) error {
	found, syntax := s.record()
	switch {
	case !found && errors.Is(s.err, io.EOF):
		return io.EOF
	case !found && errors.Is(s.err, errNoEnd):
		return &DataError{Message: "the file is not valid CSV", Faults: []Fault{{
			Row: d.row.Number, Line: s.lines + 1, Rule: RuleTooLong, Message: s.err.Error()}}}
	case !found:
		return fmt.Errorf("read row %d: %w", d.row.Number, s.err)
	}
	d.row.Line = s.lines + int64(s.split.start) + 1
	switch {
	case syntax == nil:
		d.fields(s.columns, &s.split)
	case syntax.line > syntax.start:
		return (&fatalSyntax{int64(syntax.start), int64(syntax.line), syntax.err}).dataError(d.row.Number, s.lines)
	default:
		d.fault("", RuleQuote, "", "column %d of the line: %s", syntax.column, syntax.err)
	}
	return nil
}

// jsonLines reads one JSON object per line. Blank lines are skipped.
type jsonLines struct {
	r    *bufio.Reader
	h    *Schema
	line int64
	buf  []byte
}

func (s *jsonLines) next(d *decoder) error {
	for {
		text, long, err := s.readLine()
		if err != nil {
			return err
		}
		d.row.Line = s.line
		if long {
			d.fault("", RuleTooLong, "", "the line is longer than %d bytes", maxLine)
			return nil
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		// The record's own error repeats the faults that are in d, where finish finds them.
		warnings, err := s.h.decodeJSON(text, d.row, d.need, d.severity)
		var record *RecordError
		if errors.As(err, &record) {
			d.faults = record.Faults
		}
		d.warnings = warnings
		return nil
	}
}

// readLine returns the next line; long says that it was beyond the bound and is gone.
func (s *jsonLines) readLine() (text []byte, long bool, err error) {
	s.buf = s.buf[:0]
	for {
		part, err := s.r.ReadSlice('\n')
		if len(s.buf)+len(part) > maxLine {
			long = true
		}
		if !long {
			s.buf = append(s.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(part) == 0 && len(s.buf) == 0 && !long:
			return nil, false, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return nil, false, fmt.Errorf("read line %d: %w", s.line+1, err)
		}
		s.line++
		return s.buf, long, nil
	}
}
