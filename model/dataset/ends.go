package dataset

import "bytes"

// ends finds where the records at the start of a CSV text end, by the rules of the splitter. More text may be appended between calls: it
// goes on where it stopped, so that a quote that is open for long is not read again from its start with every read of the file.
type ends struct {
	comma []byte
	at    stop
	pos   int // read up to here
	whole int // length of the whole records
	tried int // length of the text at the last call
}

// stop is where in a record the reading of ends stopped.
type stop uint8

const (
	betweenRecords stop = iota
	atField             // where a field begins
	inQuote             // within a field that began with a quote
	inRest              // where the line ends the record, whatever comes before
)

// find returns the length of the whole records at the start of data, which begins with what the last call was given.
func (e *ends) find(data []byte) int {
	tried := e.tried
	e.tried = len(data)
	if bytes.IndexByte(data[tried:], '\n') < 0 {
		return e.whole
	}
	for e.step(data) {
	}
	return e.whole
}

// quoteOpen reads data, with which find ended no record, and reports whether its end is within a quote.
func (e *ends) quoteOpen(data []byte) bool {
	for e.step(data) {
	}
	return e.at == inQuote
}

// step reads on to the next stop and reports false where it takes more text to get there.
func (e *ends) step(data []byte) bool {
	switch e.at {
	case betweenRecords:
		return e.skipPlain(data)
	case atField:
		return e.field(data)
	case inQuote:
		return e.quoted(data)
	}
	i := bytes.IndexByte(data[e.pos:], '\n')
	if i < 0 {
		e.pos = len(data)
		return false
	}
	e.end(e.pos + i + 1)
	return true
}

// end closes a record before pos.
func (e *ends) end(pos int) { e.at, e.pos, e.whole = betweenRecords, pos, pos }

// skipPlain skips lines without quotes: where there is no quote ahead the last line end will do.
func (e *ends) skipPlain(data []byte) bool {
	rest := data[e.pos:]
	quote := bytes.IndexByte(rest, '"')
	if quote >= 0 {
		rest = rest[:quote]
	}
	e.end(e.pos + bytes.LastIndexByte(rest, '\n') + 1)
	if quote >= 0 {
		e.at = atField
	}
	return quote >= 0
}

// field reads a field that is not quoted, or the quote of one that is.
func (e *ends) field(data []byte) bool {
	for i := e.pos; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"' && i == e.pos:
			e.at, e.pos = inQuote, i+1
			return true
		case c == '"': // a bare quote, for which the splitter gives up the line
			e.at, e.pos = inRest, i
			return true
		case c == '\n':
			e.end(i + 1)
			return true
		case c == e.comma[0] && bytes.HasPrefix(data[i:], e.comma):
			e.pos = i + len(e.comma)
			return true
		}
	}
	return false
}

// quoted reads a quoted field up to its closing quote and what follows that.
func (e *ends) quoted(data []byte) bool {
	i := bytes.IndexByte(data[e.pos:], '"')
	if i < 0 {
		e.pos = len(data)
		return false
	}
	e.pos += i
	after := data[e.pos+1:]
	switch {
	case bytes.HasPrefix(e.comma, after) && len(after) < len(e.comma): // nothing, or a part of the delimiter
		return false
	case after[0] == '"':
		e.pos += 2
	case bytes.HasPrefix(after, e.comma):
		e.at, e.pos = atField, e.pos+1+len(e.comma)
	default:
		e.at, e.pos = inRest, e.pos+1
	}
	return true
}
