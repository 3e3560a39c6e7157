package dataset

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"math/bits"
)

// The errors of CSV syntax are those of encoding/csv, whose rules the splitter follows: a quote opens a field only where the field
// begins, two quotes within it are one, and what follows the closing one is a delimiter or the end of the line.

// syntaxError says where a record breaks CSV's rules. Lines count from 0 at the start of the block, columns from 1 in bytes.
type syntaxError struct {
	start  int // line on which the record starts
	line   int // line on which the fault is
	column int
	err    error
}

// splitter cuts a block of text into records and fields. Its fields are views of the block or of its own buffer and hold until the
// next call.
type splitter struct {
	comma  []byte // the delimiter
	commas uint64 // eight times the delimiter, where it is one byte
	data   []byte
	eof    bool // the block ends the file: its last record needs no line end
	quote  int  // where the next quote is, len(data) for none; not known if before pos
	pos    int  // where the next record starts
	line   int  // lines before pos

	fields []span
	start  int    // line of the last record
	buf    []byte // fields that are no view of the block
}

// span is where a field lies: in the block or, with both numbers inverted, in the splitter's buffer. It holds no pointer, so that
// storing one costs no more than two numbers.
type span struct{ from, to int32 }

// field returns the text of a field.
func (s *splitter) field(i int) []byte {
	f := s.fields[i]
	if f.from < 0 {
		return s.buf[^f.from:^f.to]
	}
	return s.data[f.from:f.to]
}

const (
	ones     = 0x0101010101010101
	low7     = 0x7f7f7f7f7f7f7f7f
	newlines = '\n' * ones
)

func newSplitter(comma string) splitter {
	s := splitter{comma: []byte(comma)}
	if len(comma) == 1 {
		s.commas = uint64(comma[0]) * ones
	}
	return s
}

// reset begins a block of whole records.
func (s *splitter) reset(data []byte, eof bool) {
	s.data, s.eof, s.pos, s.line, s.quote = data, eof, 0, 0, -1
}

// next reads the next record into fields and reports whether there was one. Empty lines are skipped. A record with an error has no
// fields; reading goes on behind the line of the error.
func (s *splitter) next() (bool, *syntaxError) {
	s.skipBlank()
	if s.pos >= len(s.data) {
		return false, nil
	}
	s.start = s.line
	if s.commas == 0 || s.quoteInLine() {
		return s.quoted()
	}
	return s.plain(), nil
}

// skipBlank skips empty lines.
func (s *splitter) skipBlank() {
	for s.pos < len(s.data) {
		switch {
		case s.data[s.pos] == '\n':
			s.pos++
		case s.data[s.pos] == '\r' && s.pos+1 < len(s.data) && s.data[s.pos+1] == '\n':
			s.pos += 2
		default:
			return
		}
		s.line++
	}
}

// quoteInLine reports whether the line at pos has a quote.
func (s *splitter) quoteInLine() bool {
	if s.quote < s.pos {
		s.quote = len(s.data)
		if i := bytes.IndexByte(s.data[s.pos:], '"'); i >= 0 {
			s.quote = s.pos + i
		}
	}
	if s.quote == len(s.data) {
		return false
	}
	end := bytes.IndexByte(s.data[s.pos:], '\n')
	return end < 0 || s.quote < s.pos+end
}

// zeros sets the highest bit of each byte that is 0, and no other bit.
func zeros(x uint64) uint64 { return ^(((x & low7) + low7) | x | low7) }

// plain reads a record of a line without quotes, eight bytes at a time.
func (s *splitter) plain() bool {
	data, at, from, fields := s.data, s.pos, s.pos, s.fields[:0]
	for ; at+8 <= len(data); at += 8 {
		x := binary.LittleEndian.Uint64(data[at:])
		for m := zeros(x^s.commas) | zeros(x^newlines); m != 0; m &= m - 1 {
			i := at + bits.TrailingZeros64(m)>>3
			if data[i] == '\n' {
				return s.endPlain(fields, from, i)
			}
			fields = append(fields, span{int32(from), int32(i)})
			from = i + 1
		}
	}
	for ; at < len(data); at++ {
		switch data[at] {
		case '\n':
			return s.endPlain(fields, from, at)
		case s.comma[0]:
			fields = append(fields, span{int32(from), int32(at)})
			from = at + 1
		}
	}
	s.fields = append(fields, span{int32(from), int32(len(data))})
	s.pos = len(data)
	s.line++
	return s.eof
}

// endPlain adds the last field, which a line end at data[end] closes.
func (s *splitter) endPlain(fields []span, from, end int) bool {
	s.pos = end + 1
	s.line++
	if end > from && s.data[end-1] == '\r' {
		end--
	}
	s.fields = append(fields, span{int32(from), int32(end)})
	return true
}

// textLine is a line of the block.
type textLine struct {
	from, to int // without its end
	next     int // where the next line starts
}

func (s *splitter) lineAt(from int) textLine {
	i := bytes.IndexByte(s.data[from:], '\n')
	if i < 0 {
		return textLine{from, len(s.data), len(s.data)}
	}
	to := from + i
	if i > 0 && s.data[to-1] == '\r' {
		to--
	}
	return textLine{from, to, from + i + 1}
}

// ended reports whether the line has an end of its own.
func (l textLine) ended() bool { return l.to < l.next }

// quoted reads a record by all rules. Without eof it reports false for a record that the block does not end, and stays where it is.
func (s *splitter) quoted() (bool, *syntaxError) {
	s.fields, s.buf = s.fields[:0], s.buf[:0]
	l, line := s.lineAt(s.pos), s.line
	for p := l.from; ; {
		if p >= l.to || s.data[p] != '"' {
			rest := s.data[p:l.to]
			i := bytes.Index(rest, s.comma)
			field := rest
			if i >= 0 {
				field = rest[:i]
			}
			if j := bytes.IndexByte(field, '"'); j >= 0 && (l.ended() || s.eof) {
				return s.fail(l, line, p-l.from+j+1, csv.ErrBareQuote)
			}
			s.fields = append(s.fields, span{int32(p), int32(p + len(field))})
			if i < 0 {
				return s.end(l, line)
			}
			p += i + len(s.comma)
			continue
		}
		q := s.readQuoted(l, line, p)
		switch {
		case q.err != nil:
			return s.fail(q.at, q.line, q.column, q.err)
		case q.open:
			return false, nil
		}
		s.fields = append(s.fields, q.field)
		l, line, p = q.at, q.line, q.p
		if q.last {
			return s.end(l, line)
		}
	}
}

// end closes a record with line l.
func (s *splitter) end(l textLine, line int) (bool, *syntaxError) {
	if !l.ended() && !s.eof {
		return false, nil
	}
	s.pos, s.line = l.next, line+1
	return true, nil
}

// fail closes a record with the line of an error.
func (s *splitter) fail(l textLine, line, column int, err error) (bool, *syntaxError) {
	s.fields = s.fields[:0]
	if found, _ := s.end(l, line); !found {
		return false, nil
	}
	return true, &syntaxError{s.start, line, column, err}
}

// quotedField is what was found of a field that begins with a quote.
type quotedField struct {
	field  span
	at     textLine // the line that the field ends on
	line   int      // its number
	p      int      // where the next field starts
	last   bool     // there is none
	open   bool     // the block ends within the field, and the file goes on
	column int      // of err
	err    error
}

// readQuoted reads the field that begins with a quote at p.
func (s *splitter) readQuoted(l textLine, line, p int) quotedField {
	mark := len(s.buf) // parts of the field that can't be a view of the block
	from := p + 1
	field := func(to int) span {
		if len(s.buf) == mark {
			return span{int32(from), int32(to)}
		}
		s.buf = append(s.buf, s.data[from:to]...)
		return span{int32(^mark), int32(^len(s.buf))}
	}
	for p = from; ; {
		i := bytes.IndexByte(s.data[p:l.to], '"')
		if i < 0 {
			more := l.ended() && l.next < len(s.data)
			if !more && !s.eof {
				return quotedField{open: true}
			}
			if !more {
				column := l.to - l.from + 1
				if l.ended() {
					column++
				}
				return quotedField{at: l, line: line, column: column, err: csv.ErrQuote}
			}
			s.buf = append(append(s.buf, s.data[from:l.to]...), '\n')
			l, line = s.lineAt(l.next), line+1
			from, p = l.from, l.from
			continue
		}
		quote := p + i
		after := s.data[quote+1 : l.to]
		switch {
		case len(after) == 0:
			return quotedField{field: field(quote), at: l, line: line, last: true}
		case after[0] == '"':
			s.buf = append(s.buf, s.data[from:quote+1]...)
			from = quote + 2
			p = from
		case bytes.HasPrefix(after, s.comma):
			return quotedField{field: field(quote), at: l, line: line, p: quote + 1 + len(s.comma)}
		default:
			return quotedField{at: l, line: line, column: quote - l.from + 1, err: csv.ErrQuote}
		}
	}
}
