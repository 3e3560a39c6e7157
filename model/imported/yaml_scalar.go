package imported

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// value reads a scalar or a flow collection at the current place. Its further lines are indented by more than a column.
func (r *treeReader) value(col, depth int) (tree, error) {
	r.skipMarks()
	_, rest, ok := r.peek()
	if !ok {
		return nil, nil
	}
	switch rest[0] {
	case '\'', '"', '[', '{':
		text := r.rest()
		t, used, err := flowValue(text, depth)
		if err != nil {
			return nil, err
		}
		r.skip(text[:used])
		if more := strings.TrimSpace(uncomment(r.lines[r.n][r.at:])); more != "" {
			return nil, fmt.Errorf("%q comes after the end of a value", clip(more))
		}
		r.next()
		return t, nil
	case '|', '>':
		return r.literal(col, rest[0] == '>'), nil
	case '*':
		r.next()
		return nil, nil
	case '@', '`', '%':
		return nil, fmt.Errorf("%q begins no value", clip(rest))
	}
	return r.plain(col)
}

// rest returns the unread text.
func (r *treeReader) rest() string { return r.text[r.begin[r.n]+r.at:] }

// skip moves behind a text that rest began with.
func (r *treeReader) skip(text string) {
	if n := strings.Count(text, "\n"); n > 0 {
		r.n, r.at = r.n+n, 0
		text = text[strings.LastIndexByte(text, '\n')+1:]
	}
	r.at += len(text)
}

// uncomment cuts a comment off a line's end.
func uncomment(text string) string {
	if strings.HasPrefix(text, "#") {
		return ""
	}
	if i := strings.Index(text, " #"); i >= 0 {
		return text[:i]
	}
	return text
}

// plain reads a scalar without quotes.
func (r *treeReader) plain(col int) (tree, error) {
	var lines []string
	for {
		text := strings.TrimSpace(uncomment(r.lines[r.n][r.at:]))
		if strings.Contains(text, ": ") || strings.HasSuffix(text, ":") {
			return nil, fmt.Errorf("%q is a key where none belongs", clip(text))
		}
		lines = append(lines, text)
		r.next()
		if c, _, ok := r.peek(); !ok || c <= col {
			break
		}
	}
	text := strings.Join(lines, " ")
	switch text {
	case "null", "Null", "NULL", "~", "":
		return nil, nil
	}
	return text, nil
}

// literal reads a scalar whose lines count as they are or, folded, are joined. Its last line end does not count.
func (r *treeReader) literal(col int, folded bool) string {
	r.next()
	var lines []string
	indent := -1
	for ; r.n < len(r.lines); r.next() {
		line := r.lines[r.n]
		text := strings.TrimLeft(line, " ")
		if text == "" {
			lines = append(lines, "")
			continue
		}
		c := len(line) - len(text)
		if indent < 0 {
			indent = c
		}
		if c <= col || c < indent {
			break
		}
		lines = append(lines, line[indent:])
	}
	by := "\n"
	if folded {
		by = " "
	}
	return strings.TrimRight(strings.Join(lines, by), " \n")
}

// flowValue reads the quoted scalar or the flow collection that a text begins with, and returns how much of it that is.
func flowValue(text string, depth int) (t tree, used int, err error) {
	if depth == 0 {
		return nil, 0, fmt.Errorf("values are nested more than %d deep", maxDepth)
	}
	switch text[0] {
	case '\'', '"':
		return unquoteTree(text)
	case '[':
		return flowList(text, depth)
	case '{':
		return flowMap(text, depth)
	}
	end := strings.IndexAny(text, ",]}\n")
	if end < 0 {
		end = len(text)
	}
	if colon := strings.Index(text[:end], ": "); colon >= 0 {
		end = colon
	}
	word := strings.TrimSpace(text[:end])
	if word == "null" || word == "~" || word == "" || word[0] == '*' {
		return nil, end, nil
	}
	return word, end, nil
}

func unquoteTree(text string) (tree, int, error) {
	s, used, err := unquote(text)
	return s, used, err
}

// space returns how much of the space that a text begins with there is.
func space(text string) int { return len(text) - len(strings.TrimLeft(text, " \t\n")) }

func flowList(text string, depth int) (tree, int, error) {
	list := []any{}
	for i := 1; ; {
		i += space(text[i:])
		if i < len(text) && text[i] == ']' {
			return list, i + 1, nil
		}
		if i == len(text) {
			return nil, 0, errors.New("a list is not closed")
		}
		item, used, err := flowValue(text[i:], depth-1)
		if err != nil {
			return nil, 0, err
		}
		list = append(list, item)
		i += used
		i += space(text[i:])
		switch {
		case i < len(text) && text[i] == ',':
			i++
		case i >= len(text) || text[i] != ']':
			return nil, 0, errors.New("a list is not closed")
		}
	}
}

func flowMap(text string, depth int) (tree, int, error) {
	m := map[string]any{}
	for i := 1; ; {
		i += space(text[i:])
		if i < len(text) && text[i] == '}' {
			return m, i + 1, nil
		}
		if i == len(text) {
			return nil, 0, errors.New("a mapping is not closed")
		}
		k, used, err := flowValue(text[i:], 1)
		key, isText := k.(string)
		if err != nil || !isText {
			return nil, 0, errors.New("a key of a mapping is no single value")
		}
		i += used
		i += space(text[i:])
		if i >= len(text) || text[i] != ':' {
			return nil, 0, fmt.Errorf("the key %q has no value", clip(key))
		}
		i++
		i += space(text[i:])
		if i == len(text) {
			return nil, 0, errors.New("a mapping is not closed")
		}
		if _, twice := m[key]; twice {
			return nil, 0, fmt.Errorf("the key %q is there twice", clip(key))
		}
		if m[key], used, err = flowValue(text[i:], depth-1); err != nil {
			return nil, 0, err
		}
		i += used
		i += space(text[i:])
		switch {
		case i < len(text) && text[i] == ',':
			i++
		case i >= len(text) || text[i] != '}':
			return nil, 0, errors.New("a mapping is not closed")
		}
	}
}

// unquote reads the quoted scalar that a text begins with: a line end is a space, and so many line ends as there are empty lines.
func unquote(text string) (s string, used int, err error) {
	quote := text[0]
	var b strings.Builder
	for i := 1; i < len(text); {
		switch c := text[i]; {
		case c == '\n':
			i = fold(&b, text, i)
		case c == quote && quote == '\'' && i+1 < len(text) && text[i+1] == '\'':
			b.WriteByte('\'')
			i += 2
		case c == quote:
			return b.String(), i + 1, nil
		case c == '\\' && quote == '"':
			n, err := unescape(&b, text[i:])
			if err != nil {
				return "", 0, err
			}
			i += n
		case c == ' ':
			end := i + len(text[i:]) - len(strings.TrimLeft(text[i:], " "))
			if end < len(text) && text[end] != '\n' { // at a line's end it does not count
				b.WriteString(text[i:end])
			}
			i = end
		default:
			b.WriteByte(c)
			i++
		}
	}
	return "", 0, errors.New("a quote is not closed")
}

// fold writes what a line end within a scalar stands for, and returns where the text goes on.
func fold(b *strings.Builder, text string, i int) int {
	end := i + space(text[i:])
	if n := strings.Count(text[i:end], "\n"); n > 1 {
		b.WriteString(strings.Repeat("\n", n-1))
	} else {
		b.WriteByte(' ')
	}
	return end
}

// escapes are those of one letter.
var escapes = map[byte]string{
	'0': "\x00", 'a': "\a", 'b': "\b", 't': "\t", 'n': "\n", 'v': "\v", 'f': "\f", 'r': "\r", 'e': "\x1b", ' ': " ", '"': `"`, '/': "/", '\\': `\`,
	'N': "\u0085", '_': "\u00a0", 'L': "\u2028", 'P': "\u2029",
}

// unescape writes what the escape stands for that a text begins with, and returns its length.
func unescape(b *strings.Builder, text string) (int, error) {
	if len(text) < 2 {
		return 0, errors.New("a quote is not closed")
	}
	if s, ok := escapes[text[1]]; ok {
		b.WriteString(s)
		return 2, nil
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[text[1]]
	switch {
	case text[1] == '\n': // the lines are one
		return 1 + space(text[1:]), nil
	case digits == 0 || len(text) < 2+digits:
		return 0, fmt.Errorf("unknown escape %q", clip(text[:2]))
	}
	v, err := strconv.ParseUint(text[2:2+digits], 16, 32)
	if err != nil || v > 0x10ffff {
		return 0, fmt.Errorf("unknown escape %q", clip(text[:2+digits]))
	}
	b.WriteRune(rune(v))
	return 2 + digits, nil
}
