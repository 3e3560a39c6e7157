package dataset

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"unsafe"
)

// scanner reads JSON tokens by hand: a record is flat, and a token stream that boxes each value costs more than all the
// rest of a prediction.
type scanner struct {
	data   []byte
	pos    int
	spaced bool // white space was passed over, or may have been
}

func (s *scanner) fail(format string, args ...any) error {
	if s.pos >= len(s.data) {
		return fmt.Errorf("the JSON ends early, at byte %d: %s", s.pos, fmt.Sprintf(format, args...))
	}
	return fmt.Errorf("at byte %d: %s", s.pos, fmt.Sprintf(format, args...))
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
			s.spaced = true
		default:
			return
		}
	}
}

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) take(b byte) bool {
	if s.pos < len(s.data) && s.data[s.pos] == b {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) word(w string) bool {
	if len(s.data)-s.pos >= len(w) && string(s.data[s.pos:s.pos+len(w)]) == w {
		s.pos += len(w)
		return true
	}
	return false
}

// end checks that nothing but white space follows.
func (s *scanner) end() error {
	if s.space(); s.pos < len(s.data) {
		return s.fail("there is more after the object")
	}
	return nil
}

// token is the text of a string.
type token struct {
	string
	shared bool // a view of the input, to be copied before it is kept
	plain  bool // ASCII, not empty, without escapes and without space around it: as clean would leave it
}

// str reads a string.
func (s *scanner) str() (token, error) {
	if !s.take('"') {
		return token{}, s.fail("want a string")
	}
	start := s.pos
	wide := s.plainPart()
	switch {
	case s.pos == len(s.data):
		return token{}, s.fail("the string does not end")
	case s.data[s.pos] == '\\':
		return s.escaped(start)
	case s.data[s.pos] < 0x20:
		return token{}, s.fail("a control character in a string")
	}
	text := s.data[start:s.pos]
	s.pos++
	plain := !wide && len(text) > 0 && text[0] != ' ' && text[len(text)-1] != ' '
	return token{view(text), true, plain}, nil
}

// plainPart steps to the next quote, backslash or control character, or the end, and reports whether it passed bytes that are not ASCII. It looks at
// eight bytes at once: a byte that is wanted becomes 0 by the exclusive or, and taking 1 from it sets its top bit, which is clear in itself. What the
// borrow of one byte may do to those above it does not matter, as the lowest hit is the one that counts.
func (s *scanner) plainPart() (wide bool) {
	const (
		ones = 0x0101010101010101
		tops = 0x80 * ones
	)
	var seen uint64
	for s.pos+8 <= len(s.data) {
		w := binary.LittleEndian.Uint64(s.data[s.pos:])
		quote, slash := w^'"'*ones, w^'\\'*ones
		hits := ((quote-ones)&^quote | (slash-ones)&^slash | (w-0x20*ones)&^w) & tops
		if hits != 0 {
			before := hits&-hits - 1 // the bits below the first hit
			s.pos += bits.TrailingZeros64(hits) / 8
			return (seen|w&before)&tops != 0
		}
		seen |= w
		s.pos += 8
	}
	for ; s.pos < len(s.data) && !special[s.data[s.pos]]; s.pos++ {
		seen |= uint64(s.data[s.pos])
	}
	return seen&tops != 0
}

// special are the bytes that end the plain part of a string: a quote, a backslash, a control character.
var special = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

// escaped reads a string that has a backslash.
func (s *scanner) escaped(start int) (token, error) {
	for ; s.pos < len(s.data) && s.data[s.pos] != '"'; s.pos++ {
		if s.data[s.pos] == '\\' {
			s.pos++
		}
	}
	if s.pos >= len(s.data) {
		s.pos = len(s.data)
		return token{}, s.fail("the string does not end")
	}
	s.pos++
	var text string
	if err := json.Unmarshal(s.data[start-1:s.pos], &text); err != nil {
		s.pos = start
		return token{}, s.fail("the string is not valid: %v", err)
	}
	return token{string: text}, nil
}

// number reads a number as JSON has it: no leading plus or zero, digits on both sides of a point.
func (s *scanner) number() error {
	start := s.pos
	s.take('-')
	switch {
	case s.take('0'):
	case s.digits() == 0:
		s.pos = start
		return s.fail("want a value")
	}
	if s.take('.') && s.digits() == 0 {
		return s.fail("want a digit after the point")
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		if s.digits() == 0 {
			return s.fail("want a digit in the exponent")
		}
	}
	return nil
}

// decimal reads a number of at most 15 digits without an exponent at once, which is exact as that of the function of this name, and leaves any other
// one, and what is no number, where it stands.
func (s *scanner) decimal() (v float64, ok bool) {
	at, negative := s.pos, false
	if at < len(s.data) && s.data[at] == '-' {
		negative = true
		at++
	}
	first, point := at, -1
	var m uint64
	for ; at < len(s.data); at++ {
		b := s.data[at]
		if d := b - '0'; d <= 9 {
			m = m*10 + uint64(d)
			continue
		}
		if b != '.' || point >= 0 {
			if b == '.' || b|0x20 == 'e' {
				return 0, false
			}
			break
		}
		point = at
	}
	n, whole := at-first, at-first
	v = float64(m)
	if point >= 0 {
		n, whole = n-1, point-first
		if n == whole || n > 15 {
			return 0, false
		}
		v /= powers[n-whole]
	}
	if n == 0 || n > 15 || whole == 0 || whole > 1 && s.data[first] == '0' {
		return 0, false
	}
	if negative {
		v = -v
	}
	s.pos = at
	return v, true
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

// nested steps over a list or an object.
func (s *scanner) nested() error {
	s.spaced = true // not looked at
	dec := json.NewDecoder(bytes.NewReader(s.data[s.pos:]))
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return s.fail("a list or object that is not valid: %v", err)
	}
	if depth(raw) > maxDepth {
		return s.fail("a value is nested more than %d deep", maxDepth)
	}
	s.pos += len(raw)
	return nil
}

// maxDepth is how deep a value may be nested: what a reader of the record, or of an event around it, can decode by far.
const maxDepth = 100

// depth returns how deep a valid JSON value is nested.
func depth(value []byte) (deepest int) {
	quoted, at := false, 0
	for i := 0; i < len(value); i++ {
		switch b := value[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '[' || b == '{':
			at++
			deepest = max(deepest, at)
		case b == ']' || b == '}':
			at--
		}
	}
	return deepest
}

// view returns b as a string without a copy. It lives no longer than the decoding of one record, during which the input
// does not change: the decoder copies what it keeps.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf returns the bytes of a string, which must not be written.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
