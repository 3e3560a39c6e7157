package filter

import (
	"slices"
	"strings"
	"unicode/utf8"
)

type operator string

const (
	opEqual        operator = "="
	opNotEqual     operator = "!="
	opLess         operator = "<"
	opLessEqual    operator = "<="
	opGreater      operator = ">"
	opGreaterEqual operator = ">="
	opLike         operator = "LIKE"
	opILike        operator = "ILIKE"
	opIn           operator = "IN"
	opNotIn        operator = "NOT IN"
)

// allowed reports whether the operator goes with the field: order only with numbers, lists only with attributes and datasets.
func allowed(f field, op operator) bool {
	switch op {
	case opEqual, opNotEqual:
		return true
	case opLess, opLessEqual, opGreater, opGreaterEqual:
		return f.numeric
	case opLike, opILike:
		return !f.numeric
	default:
		return !f.numeric && (f.kind == Attribute || f.kind == Dataset)
	}
}

func operatorsOf(f field) string {
	switch {
	case f.numeric:
		return "numbers are compared with =, !=, <, <=, > and >="
	case f.kind == Attribute || f.kind == Dataset:
		return "texts are compared with =, !=, LIKE, ILIKE, IN and NOT IN"
	default:
		return "params and tags are compared with =, !=, LIKE and ILIKE"
	}
}

// term is one comparison.
type term struct {
	field
	op     operator
	number float64
	text   string
	list   []string
	like   pattern
}

// maxPattern and maxPiece bound the time that a pattern takes with the longest text: both are far beyond what anybody looks for.
const (
	maxPattern = 1000
	maxPiece   = 250
)

// compile splits a pattern, and reports whether it is within its bounds.
func (t *term) compile() bool {
	switch t.op {
	case opLike:
		t.like = newPattern(t.text)
	case opILike:
		t.like = newPattern(strings.ToLower(t.text))
	default:
		return true
	}
	return utf8.RuneCountInString(t.text) <= maxPattern &&
		!slices.ContainsFunc(t.like.pieces, func(piece string) bool { return utf8.RuneCountInString(piece) > maxPiece })
}

// Filter is a parsed filter. The zero value matches everything.
type Filter struct{ terms []term }

// Match reports whether every comparison is true.
func (f Filter) Match(e Fields) bool {
	for i := range f.terms {
		if !f.terms[i].match(e) {
			return false
		}
	}
	return true
}

// Equal returns the text that the filter asks an attribute to be equal to, and false if it does not ask that: whoever has an index can start there.
func (f Filter) Equal(attribute string) (string, bool) {
	for _, t := range f.terms {
		if t.kind == Attribute && t.key == attribute && t.op == opEqual && !t.numeric {
			return t.text, true
		}
	}
	return "", false
}

func (t *term) match(e Fields) bool {
	if t.numeric {
		v, ok := e.Number(t.kind, t.key)
		return ok && t.compareNumber(v)
	}
	if t.kind == Dataset {
		if many, ok := e.(Many); ok {
			return slices.ContainsFunc(many.Texts(t.kind, t.key), t.compareText)
		}
	}
	v, ok := e.Text(t.kind, t.key)
	return ok && t.compareText(v)
}

func (t *term) compareNumber(v float64) bool {
	switch t.op {
	case opEqual:
		return v == t.number
	case opNotEqual:
		return v != t.number
	case opLess:
		return v < t.number
	case opLessEqual:
		return v <= t.number
	case opGreater:
		return v > t.number
	default:
		return v >= t.number
	}
}

func (t *term) compareText(v string) bool {
	switch t.op {
	case opEqual:
		return v == t.text
	case opNotEqual:
		return v != t.text
	case opLike:
		return t.like.match(v)
	case opILike:
		return t.like.match(strings.ToLower(v))
	case opIn:
		return slices.Contains(t.list, v)
	default:
		return !slices.Contains(t.list, v)
	}
}

// pattern is a LIKE pattern, split at its % signs. Matching takes each piece at its first place, which is enough, and time that grows with the
// text's length times the longest piece's at worst.
type pattern struct{ pieces []string }

func newPattern(s string) pattern { return pattern{pieces: strings.Split(s, "%")} }

func (p pattern) match(s string) bool {
	first, last := p.pieces[0], p.pieces[len(p.pieces)-1]
	n, ok := prefixLen(s, first)
	if !ok {
		return false
	}
	s = s[n:]
	if len(p.pieces) == 1 {
		return s == ""
	}
	for _, piece := range p.pieces[1 : len(p.pieces)-1] {
		at, n := find(s, piece)
		if at < 0 {
			return false
		}
		s = s[at+n:]
	}
	return hasSuffix(s, last)
}

// prefixLen returns how many bytes of s the piece takes, and whether s begins with it.
func prefixLen(s, piece string) (int, bool) {
	if !strings.Contains(piece, "_") {
		return len(piece), strings.HasPrefix(s, piece)
	}
	n := 0
	for _, want := range piece {
		if n == len(s) {
			return 0, false
		}
		r, size := utf8.DecodeRuneInString(s[n:])
		if want != '_' && want != r {
			return 0, false
		}
		n += size
	}
	return n, true
}

// find returns where the piece first stands in s and how many bytes it takes there; -1 if nowhere.
func find(s, piece string) (at, n int) {
	if !strings.Contains(piece, "_") {
		return strings.Index(s, piece), len(piece)
	}
	for at := range s {
		if n, ok := prefixLen(s[at:], piece); ok {
			return at, n
		}
	}
	return -1, 0
}

// hasSuffix reports whether s ends with the piece.
func hasSuffix(s, piece string) bool {
	if !strings.Contains(piece, "_") {
		return strings.HasSuffix(s, piece)
	}
	start := len(s)
	for range utf8.RuneCountInString(piece) {
		if start == 0 {
			return false
		}
		_, size := utf8.DecodeLastRuneInString(s[:start])
		start -= size
	}
	n, ok := prefixLen(s[start:], piece)
	return ok && start+n == len(s)
}
