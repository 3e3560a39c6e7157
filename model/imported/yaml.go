package imported

import (
	"errors"
	"fmt"
	"strings"
)

// maxDepth bounds how deep the values of an MLmodel file are nested.
const maxDepth = 64

// tree is a value of a YAML file: nil, a string (the text of any scalar), a []any or a map[string]any. What an alias stands for is not looked
// up, so that a tree is never larger than its text.
type tree = any

// parseTree reads the first document of a file. It knows the part of YAML that MLmodel files are written in: block mappings and sequences, flow
// ones, scalars that are plain, quoted or literal, also over several lines, null; anchors and tags are passed over, an alias is null. It takes time and memory in
// proportion to the text, which readers of all of YAML do not promise: the file comes from strangers.
func parseTree(data []byte) (tree, error) {
	text := strings.TrimPrefix(strings.ReplaceAll(string(data), "\r\n", "\n"), "\ufeff")
	r := newTreeReader(text)
	if _, rest, ok := r.peek(); ok && strings.HasPrefix(rest, "--- ") {
		r.at = len("--- ")
	} else if ok && rest == "---" {
		r.next()
	}
	if _, _, ok := r.peek(); !ok {
		return nil, errors.New("it is empty")
	}
	t, err := r.block(0, maxDepth)
	if err == nil {
		if _, rest, more := r.peek(); more {
			err = fmt.Errorf("%q is not where it belongs", clip(rest))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", min(r.n+1, len(r.lines)), err)
	}
	return t, nil
}

// treeReader walks over the lines of a file, up to the end of its first document.
type treeReader struct {
	text  string
	lines []string
	begin []int // of each line in text
	n     int   // the current line
	at    int   // where its unread part begins
}

func newTreeReader(text string) *treeReader {
	r := &treeReader{text: text}
	for at := 0; at <= len(text); {
		line, _, _ := strings.Cut(text[at:], "\n")
		if line == "..." || line == "---" && strings.TrimSpace(text[:at]) != "" {
			r.text = text[:at]
			break
		}
		r.lines, r.begin = append(r.lines, line), append(r.begin, at)
		at += len(line) + 1
	}
	return r
}

func (r *treeReader) next() { r.n, r.at = r.n+1, 0 }

// peek returns the next thing that is not space or a comment: its column and the rest of its line. ok is false at the document's end.
func (r *treeReader) peek() (col int, rest string, ok bool) {
	for ; r.n < len(r.lines); r.next() {
		line := r.lines[r.n]
		rest = strings.TrimLeft(line[r.at:], " ")
		col = len(line) - len(rest)
		if rest != "" && rest[0] != '#' && strings.TrimSpace(rest) != "" {
			r.at = col
			return col, rest, true
		}
	}
	return 0, "", false
}

// starts reports whether a text begins with an indicator that space or the end of the line follows.
func starts(text string, indicator byte) bool {
	return len(text) > 0 && text[0] == indicator && (len(text) == 1 || text[1] == ' ')
}

// block reads the value that begins at or right of a column, nil if there is none.
func (r *treeReader) block(least, depth int) (tree, error) {
	if depth == 0 {
		return nil, fmt.Errorf("values are nested more than %d deep", maxDepth)
	}
	col, rest, ok := r.peek()
	switch {
	case !ok || col < least:
		return nil, nil
	case rest[0] == '&' || rest[0] == '!':
		r.skipMarks()
		return r.block(least, depth-1)
	case starts(rest, '-'):
		return r.sequence(col, depth)
	case starts(rest, '?') || keyEnd(rest) >= 0:
		return r.mapping(col, depth)
	}
	return r.value(least-1, depth)
}

func (r *treeReader) sequence(col, depth int) (tree, error) {
	list := []any{}
	for {
		c, rest, ok := r.peek()
		if !ok || c < col || c == col && !starts(rest, '-') {
			return list, nil
		}
		if c > col {
			return nil, fmt.Errorf("%q is indented by %d, its list by %d", clip(rest), c, col)
		}
		r.at = c + 1
		item, err := r.block(col+1, depth-1)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
}

func (r *treeReader) mapping(col, depth int) (tree, error) {
	m := map[string]any{}
	for {
		c, rest, ok := r.peek()
		if !ok || c < col || c == col && starts(rest, '-') {
			return m, nil
		}
		if c > col {
			return nil, fmt.Errorf("%q is indented by %d, the keys beside it by %d", clip(rest), c, col)
		}
		read := r.keyed
		if starts(rest, '?') {
			read = r.block // which may begin on the colon's line
			col++
		}
		key, err := r.key(c, depth)
		if err != nil {
			return nil, err
		}
		if _, twice := m[key]; twice {
			return nil, fmt.Errorf("the key %q is there twice", clip(key))
		}
		if m[key], err = read(col, depth-1); err != nil {
			return nil, err
		}
		col = c
	}
}

// key reads a key and its colon.
func (r *treeReader) key(col, depth int) (string, error) {
	line := r.lines[r.n]
	if starts(line[r.at:], '?') { // a long one, whose value comes on a line of its own
		r.at++
		t, err := r.block(col+1, depth-1)
		key, isText := t.(string)
		if err != nil || !isText {
			return "", errors.Join(err, errors.New("a key is no single value"))
		}
		if c, rest, ok := r.peek(); !ok || c != col || !starts(rest, ':') {
			return "", fmt.Errorf("the key %q has no value", clip(key))
		}
		r.at++
		return key, nil
	}
	end := keyEnd(line[r.at:])
	if end < 0 {
		return "", fmt.Errorf("%q is no key and value", clip(line[r.at:]))
	}
	text := strings.TrimRight(line[r.at:r.at+end], " ")
	if text != "" && (text[0] == '\'' || text[0] == '"') {
		s, _, err := unquote(text)
		r.at += end + 1
		return s, err
	}
	r.at += end + 1
	return text, nil
}

// keyed reads the value of a key: on its line, or on those below it, where a list may stand as far left as the key.
func (r *treeReader) keyed(col, depth int) (tree, error) {
	n := r.n
	r.skipMarks()
	c, rest, ok := r.peek()
	switch {
	case !ok:
		return nil, nil
	case r.n == n:
		return r.value(col, depth)
	case c == col && starts(rest, '-'):
		return r.sequence(col, depth)
	}
	return r.block(col+1, depth)
}

// skipMarks passes over anchors and tags.
func (r *treeReader) skipMarks() {
	n := r.n
	for {
		_, rest, ok := r.peek()
		if !ok || r.n != n || rest[0] != '&' && rest[0] != '!' {
			return
		}
		mark, _, _ := strings.Cut(rest, " ")
		r.at += len(mark)
	}
}

// keyEnd returns where the colon of the key is that a text begins with, -1 if it begins with none.
func keyEnd(text string) int {
	switch text[0] {
	case '\'', '"':
		_, used, err := unquote(text)
		if err != nil {
			return -1
		}
		space := len(text[used:]) - len(strings.TrimLeft(text[used:], " "))
		if starts(text[used+space:], ':') {
			return used + space
		}
		return -1
	case '[', '{', '|', '>', '&', '*', '!', '#', '%', '@', '`':
		return -1
	}
	if i := strings.Index(text, ": "); i >= 0 {
		if comment := strings.Index(text[:i], " #"); comment < 0 {
			return i
		}
		return -1
	}
	if text = strings.TrimRight(text, " "); strings.HasSuffix(text, ":") && !strings.Contains(text, " #") {
		return len(text) - 1
	}
	return -1
}
