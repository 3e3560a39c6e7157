package openinference

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// scanner walks over JSON without a copy of it: a request is nearly all tensors, and what of it is kept is where its elements are. It takes NaN, Infinity
// and -Infinity for values, so that the column that holds one can be named; everything else is JSON as the standard has it.
type scanner struct {
	data  []byte
	pos   int
	depth int
}

// maxDepth bounds how deep values nest: the protocol itself needs five levels.
const maxDepth = 64

func (s *scanner) fail(text string) error {
	if s.pos >= len(s.data) {
		return fmt.Errorf("the JSON ends early, at byte %d: %s", s.pos, text)
	}
	return fmt.Errorf("not valid JSON at byte %d: %s", s.pos, text)
}

// peek steps over white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
		default:
			return s.data[s.pos]
		}
	}
	return 0
}

func (s *scanner) take(b byte) bool {
	if s.peek() == b && s.pos < len(s.data) {
		s.pos++
		return true
	}
	return false
}

// end checks that nothing but white space follows.
func (s *scanner) end() error {
	if s.peek(); s.pos < len(s.data) {
		return s.fail("there is more after the object")
	}
	return nil
}

// object calls value for each key, which must read the key's value.
func (s *scanner) object(value func(key string) error) error {
	return s.list('{', '}', func() error {
		key, err := s.text()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return s.fail("want a colon after a key")
		}
		return value(key)
	})
}

// array calls value for each element, which must read it.
func (s *scanner) array(value func() error) error { return s.list('[', ']', value) }

func (s *scanner) list(open, closing byte, each func() error) error {
	if !s.take(open) {
		return s.fail("want " + string(open))
	}
	if s.depth++; s.depth > maxDepth {
		return s.fail("values are nested too deep")
	}
	defer func() { s.depth-- }()
	if s.take(closing) {
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		if s.take(closing) {
			return nil
		}
		if !s.take(',') {
			return s.fail("want a comma or " + string(closing))
		}
	}
}

// text reads a string.
func (s *scanner) text() (string, error) {
	raw, err := s.quoted()
	if err != nil {
		return "", err
	}
	return unquote(raw)
}

// unquote returns the text of a string that was scanned.
func unquote(raw []byte) (string, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", fmt.Errorf("not valid JSON: the string %.40s: %w", raw, err)
	}
	return text, nil
}

// quoted steps over a string and returns it with its quotes. Escapes are looked at by those who read it.
func (s *scanner) quoted() ([]byte, error) {
	if !s.take('"') {
		return nil, s.fail("want a string")
	}
	start := s.pos - 1
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '\\':
			s.pos++
		case c == '"':
			s.pos++
			return s.data[start:s.pos], nil
		case c < 0x20:
			return nil, s.fail("a control character in a string")
		}
	}
	s.pos = len(s.data)
	return nil, s.fail("the string does not end")
}

// kind of a value.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindOdd // NaN or an infinity
	kindString
	kindArray
	kindObject
)

// value steps over a value of any kind and returns it as it is written.
func (s *scanner) value() ([]byte, kind, error) {
	c := s.peek()
	start := s.pos
	var err error
	var k kind
	switch {
	case c == '{':
		k, err = kindObject, s.object(func(string) error { return s.skip() })
	case c == '[':
		k, err = kindArray, s.array(s.skip)
	default:
		return s.scalar()
	}
	return s.data[start:s.pos], k, err
}

func (s *scanner) skip() error {
	_, _, err := s.value()
	return err
}

// scalar reads a value that is neither a list nor an object.
func (s *scanner) scalar() ([]byte, kind, error) {
	c := s.peek()
	if c == '"' {
		raw, err := s.quoted()
		return raw, kindString, err
	}
	for _, w := range words {
		if w.text[0] == c && strings.HasPrefix(string(s.data[s.pos:min(len(s.data), s.pos+len(w.text))]), w.text) {
			raw := s.data[s.pos:][:len(w.text)]
			s.pos += len(raw)
			return raw, w.kind, nil
		}
	}
	start := s.pos
	if err := s.number(); err != nil {
		return nil, 0, err
	}
	return s.data[start:s.pos], kindNumber, nil
}

var words = [...]struct {
	text string
	kind kind
}{{"null", kindNull}, {"true", kindBool}, {"false", kindBool}, {"NaN", kindOdd}, {"Infinity", kindOdd}, {"-Infinity", kindOdd}}

var errNumber = errors.New("want a value")

func (s *scanner) number() error {
	at := s.pos
	digits := func() int {
		from := at
		for at < len(s.data) && s.data[at] >= '0' && s.data[at] <= '9' {
			at++
		}
		return at - from
	}
	is := func(c byte) bool { return at < len(s.data) && s.data[at] == c }
	if is('-') {
		at++
	}
	if is('0') {
		at++
	} else if digits() == 0 {
		return s.fail(errNumber.Error())
	}
	if is('.') {
		if at++; digits() == 0 {
			return s.fail("want a digit after the point")
		}
	}
	if is('e') || is('E') {
		if at++; is('+') || is('-') {
			at++
		}
		if digits() == 0 {
			return s.fail("want a digit in the exponent")
		}
	}
	s.pos = at
	return nil
}
