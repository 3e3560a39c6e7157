package filter

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"telco-churn-mlops/registry/fault"
)

// maxText bounds a filter and each term of an order, in bytes.
const maxText = 16 << 10

type tokenKind uint8

const (
	tokenEnd    tokenKind = iota
	tokenWord             // an identifier, number or keyword; quoted parts of an identifier are in parts
	tokenString           // in single or double quotes
	tokenSymbol           // an operator, bracket or comma
)

type token struct {
	kind tokenKind
	text string // without quotes
	// quoted is true of a word that is or holds a quoted part, which no keyword and no number does.
	quoted bool
	// prefixEnd is where in text the first dot stands that was written outside quotes, or -1.
	prefixEnd int
	at        int // byte offset
}

// lexer splits a text into tokens.
type lexer struct {
	what string // "filter" or "order_by", for errors
	text string
	pos  int
}

// fail returns an error that names the place, counted in characters from 1.
func (l *lexer) fail(at int, format string, args ...any) error {
	near := l.text[min(at, len(l.text)):]
	if len(near) > 20 {
		cut := 20
		for cut > 0 && !utf8.RuneStart(near[cut]) {
			cut--
		}
		near = near[:cut] + "..."
	}
	if near == "" {
		near = "the end"
	}
	prefix := []any{l.what, utf8.RuneCountInString(l.text[:min(at, len(l.text))]) + 1, near}
	return fault.New(fault.Invalid, "%s, character %d, at %q: "+format, append(prefix, args...)...)
}

func bareRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune("_.-/:+@", r)
}

// next returns the next token. A string that opens right after a dot of a word belongs to the word.
func (l *lexer) next() (token, error) {
	for l.pos < len(l.text) {
		r, size := utf8.DecodeRuneInString(l.text[l.pos:])
		if !unicode.IsSpace(r) {
			break
		}
		l.pos += size
	}
	t := token{at: l.pos, prefixEnd: -1}
	if l.pos == len(l.text) {
		return t, nil
	}
	c := l.text[l.pos]
	switch {
	case c == '\'' || c == '"':
		text, err := l.quoted(c)
		t.kind, t.text, t.quoted = tokenString, text, true
		return t, err
	case strings.IndexByte("(),", c) >= 0:
		l.pos++
		t.kind, t.text = tokenSymbol, string(c)
		return t, nil
	case strings.IndexByte("<>=!", c) >= 0:
		start := l.pos
		for l.pos < len(l.text) && strings.IndexByte("<>=!", l.text[l.pos]) >= 0 {
			l.pos++
		}
		t.kind, t.text = tokenSymbol, l.text[start:l.pos]
		return t, nil
	}
	return l.word(t)
}

// word reads an identifier such as metrics.`a b`, a keyword or a number.
func (l *lexer) word(t token) (token, error) {
	t.kind = tokenWord
	var b strings.Builder
	for l.pos < len(l.text) {
		r, size := utf8.DecodeRuneInString(l.text[l.pos:])
		c := l.text[l.pos]
		switch {
		case c == '`' || c == '"' && strings.HasSuffix(b.String(), ".") && !t.quoted:
			part, err := l.quoted(c)
			if err != nil {
				return t, err
			}
			b.WriteString(part)
			t.quoted = true
			continue
		case r == utf8.RuneError && size == 1:
			return t, l.fail(l.pos, "this is not UTF-8")
		case bareRune(r):
			if c == '.' && t.prefixEnd < 0 && !t.quoted {
				t.prefixEnd = b.Len()
			}
			b.WriteRune(r)
			l.pos += size
			continue
		}
		break
	}
	t.text = b.String()
	if t.text == "" && !t.quoted {
		return t, l.fail(t.at, "this character has no meaning here")
	}
	return t, nil
}

// quoted reads up to the closing quote, which two in a row do not close but stand for one.
func (l *lexer) quoted(quote byte) (string, error) {
	start := l.pos
	l.pos++
	var b strings.Builder
	for {
		i := strings.IndexByte(l.text[l.pos:], quote)
		if i < 0 {
			return "", l.fail(start, "the quote is not closed")
		}
		b.WriteString(l.text[l.pos : l.pos+i])
		l.pos += i + 1
		if l.pos >= len(l.text) || l.text[l.pos] != quote {
			break
		}
		b.WriteByte(quote)
		l.pos++
	}
	if !utf8.ValidString(b.String()) {
		return "", l.fail(start, "the text in quotes is not UTF-8")
	}
	return b.String(), nil
}
