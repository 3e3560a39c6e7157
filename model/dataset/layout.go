package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"telco-churn-mlops/model/spec"
)

// LayoutOptions say how a file's rows are to be read. The zero value tells the format by the content and needs no id.
type LayoutOptions struct {
	Format    string   // spec.FormatCSV or spec.FormatJSONL; "" = JSON lines where the first byte is "{", else CSV
	Delimiter rune     // of CSV; 0 = ","
	RequireID bool     // a file without the id column, where the schema has one, is refused
	Keep      []string // columns of the file, whether the spec knows them or not, whose text the rows keep
}

// Layout is what the start of a text file says about the rows behind it. With it any run of whole rows can be read without what comes
// before: by several goroutines, or by a process that goes on where another ended. It is immutable and safe for concurrent use.
type Layout struct {
	Format   string  // spec.FormatCSV or spec.FormatJSONL
	Start    int64   // byte of the file at which the rows begin
	Lines    int64   // lines before that
	Warnings []Fault // what is odd about the header

	h       *Schema
	keep    []string
	comma   string
	columns []slot // of a CSV file
	kept    []int  // places of keep in a CSV file
}

// ReadLayout reads the header of a CSV file, or as far as the first byte of JSON lines; it may read beyond. A *DataError says that the file is
// empty or no text, or that the header lacks a column that is needed, by its name, or has one twice. A header without rows is no error. Rows
// need no label.
func ReadLayout(r io.Reader, h *Schema, o LayoutOptions) (*Layout, error) {
	l := &Layout{Format: o.Format, h: h, comma: ",", keep: o.Keep}
	if o.Delimiter != 0 {
		if !utf8.ValidRune(o.Delimiter) || strings.ContainsRune("\"\r\n\ufffd", o.Delimiter) {
			return nil, fmt.Errorf("read header: %q can't be a delimiter", o.Delimiter)
		}
		l.comma = string(o.Delimiter)
	}
	head := header{r: input{r}}
	if err := head.begin(); err != nil {
		return nil, err
	}
	l.Start, l.Lines = int64(head.at), head.lines
	if l.Format == "" {
		l.Format = spec.FormatCSV
		if head.data[head.at] == '{' {
			l.Format = spec.FormatJSONL
		}
	}
	switch l.Format {
	case spec.FormatJSONL:
		return l, nil
	case spec.FormatCSV:
		return l, l.readCSV(&head, o)
	}
	return nil, fmt.Errorf("read data: unknown format %q", o.Format)
}

// header reads the start of a file.
type header struct {
	r     io.Reader
	data  []byte
	err   error // of r, io.EOF at the end
	at    int   // where the first line that is not blank begins
	lines int64 // before it
}

// more reads some more and reports whether there was any.
func (h *header) more() bool {
	if h.err != nil {
		return false
	}
	before := len(h.data)
	h.data = slices.Grow(h.data, max(64<<10, before/2))
	for len(h.data) < cap(h.data) && h.err == nil {
		var n int
		n, h.err = h.r.Read(h.data[len(h.data):cap(h.data)])
		h.data = h.data[:len(h.data)+n]
	}
	return len(h.data) > before
}

// begin reads as far as the first byte that begins no blank line.
func (h *header) begin() error {
	h.more()
	if bytes.HasPrefix(h.data, []byte("\ufeff")) {
		h.at = 3
	}
	if what := spec.NotText(h.data[h.at:min(h.at+4, len(h.data))]); what != "" {
		return &DataError{Message: "the file is " + what}
	}
	for {
		for ; h.at < len(h.data); h.at++ {
			switch h.data[h.at] {
			case '\n':
				h.lines++
			case '\r':
			default:
				return nil
			}
		}
		if h.more() {
			continue
		}
		if errors.Is(h.err, io.EOF) {
			return &DataError{Message: "the file is empty"}
		}
		return fmt.Errorf("read data: %w", h.err)
	}
}

// readCSV reads the header's record.
func (l *Layout) readCSV(head *header, o LayoutOptions) error {
	split := newSplitter(l.comma)
	for {
		eof := errors.Is(head.err, io.EOF)
		split.reset(head.data[head.at:], eof)
		found, syntax := split.next()
		if found && syntax != nil {
			return &DataError{Message: "the header is not valid CSV", Faults: []Fault{{
				Line: l.Lines + int64(syntax.line) + 1, Rule: RuleQuote, Message: syntax.err.Error()}}}
		}
		if found {
			break
		}
		if len(head.data) > maxRecord {
			return &DataError{Message: "the header is not valid CSV", Faults: []Fault{{
				Line: l.Lines + 1, Rule: RuleTooLong, Message: errNoEnd.Error()}}}
		}
		if !head.more() && !errors.Is(head.err, io.EOF) {
			return fmt.Errorf("read header: %w", head.err)
		}
	}
	names := make([]string, len(split.fields))
	for i := range names {
		names[i] = string(split.field(i))
	}
	s := &csvSource{lines: l.Lines}
	warnings, err := s.header(names, l.h, ReaderOptions{})
	if err == nil {
		err = l.keepColumns(names, o)
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(names, carried) && errors.Is(head.err, io.EOF) && split.pos == len(head.data)-head.at {
		return &DataError{Message: "the file is one line: " + carriageReturns}
	}
	l.Warnings, l.columns = warnings, s.columns
	l.Start += int64(split.pos)
	l.Lines += int64(split.line)
	return nil
}

// keepColumns finds the columns to keep, and the id where it is required.
func (l *Layout) keepColumns(names []string, o LayoutOptions) error {
	var faults []Fault
	find := func(name string) int {
		at := slices.IndexFunc(names, func(n string) bool { return clean(n) == name })
		if at < 0 {
			faults = append(faults, Fault{Line: l.Lines + 1, Column: name, Rule: RuleMissingColumn, Message: "the column is missing"})
		}
		return at
	}
	if o.RequireID && l.h.id != "" {
		find(l.h.id)
	}
	for _, name := range o.Keep {
		l.kept = append(l.kept, find(name))
	}
	if len(faults) > 0 {
		return &DataError{Message: "the header lacks columns: " + found(names), Faults: faults}
	}
	return nil
}

// Whole returns the length of the whole rows at the start of data, which begins where a row does; 0 if data ends within the first. A quote may
// hold line ends, so it takes the rules of CSV to tell.
func (l *Layout) Whole(data []byte) int {
	if l.Format == spec.FormatJSONL {
		return bytes.LastIndexByte(data, '\n') + 1
	}
	e := ends{comma: []byte(l.comma)}
	return e.find(data)
}

// MaxRow is the greatest length of a row in bytes. A longer one has a quote that is not closed, or lines without ends.
const MaxRow = maxRecord

// TooLong returns the error of a file whose row, at the end of which data is not even, is longer than MaxRow. It counts rows and lines before it.
func (l *Layout) TooLong(data []byte, rows, lines int64) *DataError {
	open := false
	if l.Format == spec.FormatCSV {
		e := ends{comma: []byte(l.comma)}
		open = e.quoteOpen(data)
	}
	return &DataError{Message: "the file is not valid " + l.Format, Faults: []Fault{{
		Row: rows + 1, Line: lines + 1, Rule: RuleTooLong, Message: noEnd(open, data).Error()}}}
}
