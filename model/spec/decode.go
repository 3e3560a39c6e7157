package spec

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxBytes bounds a spec file. A thousand columns with closed sets need a fifth of it.
const maxBytes = 1 << 20

// Parse reads one spec from YAML, fills defaults and validates it. On any fault it returns nil and all faults joined,
// each an *Error with its line.
func Parse(data []byte) (*Spec, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(data) > maxBytes {
		return nil, &Error{Msg: fmt.Sprintf("the file has %d bytes, more than %d", len(data), maxBytes)}
	}
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	body, err := parseYAML(data)
	if err != nil {
		return nil, err
	}
	d := &decoder{lines: strings.Split(string(data), "\n"), at: map[string]position{}}
	s := Default()
	d.node(body, reflect.ValueOf(s).Elem(), "")
	s.Complete()
	for _, f := range Faults(s.Validate()) {
		// A field that could not be read keeps its default; what follows from that is noise.
		if !d.reported(f.Path) {
			d.faults = append(d.faults, d.locate(f))
		}
	}
	if err := d.faults.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// parseYAML returns the root node of the one document in data.
func parseYAML(data []byte) (ast.Node, error) {
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxError(data, err)
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			e := &Error{Line: lineOf(doc.Body), Msg: "a spec is one document; this is a second one"}
			e.show(strings.Split(string(data), "\n"))
			return nil, e
		}
		body = doc.Body
	}
	if body == nil {
		return nil, &Error{Msg: "the spec is empty"}
	}
	return body, nil
}

// syntaxError turns the parser's error into ours.
func syntaxError(data []byte, err error) error {
	var syntax yaml.Error
	if !errors.As(err, &syntax) || syntax.GetToken() == nil || syntax.GetToken().Position == nil {
		return &Error{Msg: err.Error()}
	}
	p := syntax.GetToken().Position
	e := &Error{Line: p.Line, Column: p.Column, Msg: syntax.GetMessage()}
	e.show(strings.Split(string(data), "\n"))
	return e
}

type position struct {
	line, column int
	bad          bool // a fault of this very path was already reported
}

// decoder walks the tree beside the Go type, so that every fault is found and each knows where it stands.
type decoder struct {
	lines  []string
	at     map[string]position
	faults faults
}

func (d *decoder) fault(n ast.Node, path, format string, args ...any) {
	e := &Error{Path: path, Msg: fmt.Sprintf(format, args...)}
	e.Line, e.Column = lineOf(n), columnOf(n)
	e.show(d.lines)
	d.faults = append(d.faults, e)
	d.at[path] = position{line: e.Line, column: e.Column, bad: true}
}

// show fills Source where the error's line is one of lines.
func (e *Error) show(lines []string) {
	if e.Line >= 1 && e.Line <= len(lines) {
		e.Source = strings.TrimRight(lines[e.Line-1], " \t\r")
	}
}

// locate gives a fault of Validate the position of its path or, for a key that is not in the file, of its nearest parent.
func (d *decoder) locate(e *Error) *Error {
	for path := e.Path; ; path = parent(path) {
		if p, ok := d.at[path]; ok {
			e.Line, e.Column = p.line, p.column
			e.show(d.lines)
			return e
		}
		if path == "" {
			return e
		}
	}
}

func (d *decoder) reported(path string) bool {
	for ; path != ""; path = parent(path) {
		if d.at[path].bad {
			return true
		}
	}
	return d.at[""].bad
}

func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func columnOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Column
	}
	return 0
}

// node stores n in v. A null leaves v as it is: at its default.
func (d *decoder) node(n ast.Node, v reflect.Value, path string) {
	if _, ok := d.at[path]; !ok {
		d.at[path] = position{line: lineOf(n), column: columnOf(n)}
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.fault(n, path, "anchors, aliases and tags are not accepted: write the value")
		return
	case *ast.NullNode:
		if v.Kind() != reflect.String || !strings.HasSuffix(path, "]") {
			return
		}
		d.fault(n, path, "an empty list item: put quotes around a word like null")
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		d.pointer(n, v, path)
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) pointer(n ast.Node, v reflect.Value, path string) {
	elem := reflect.New(v.Type().Elem())
	elem.Elem().Set(elementDefault(v.Type().Elem()))
	d.node(n, elem.Elem(), path)
	v.Set(elem)
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	values, ok := entries(n)
	if !ok {
		d.fault(n, path, "want keys and values, got %s", describe(n))
		return
	}
	seen := map[string]int{}
	for _, e := range values {
		key := e.Key.GetToken().Value
		sub := join(path, key)
		if first, twice := seen[key]; twice {
			d.fault(e.Key, sub, "the key is there twice, first in line %d", first)
			continue
		}
		seen[key] = lineOf(e.Key)
		field, ok := fieldByKey(v, key)
		if !ok {
			d.fault(e.Key, sub, "unknown key, want one of: %s", strings.Join(keys(v.Type()), ", "))
			continue
		}
		d.at[sub] = position{line: lineOf(e.Key), column: columnOf(e.Key)}
		d.node(e.Value, field, sub)
	}
}

// entries returns the pairs of a mapping; the parser gives a mapping of one pair as the pair alone in some places.
func entries(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

func (d *decoder) sequence(n ast.Node, v reflect.Value, path string) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fault(n, path, "want a list, got %s", describe(n))
		return
	}
	v.Set(reflect.Zero(v.Type()))
	for i, item := range list.Values {
		elem := reflect.New(v.Type().Elem()).Elem()
		elem.Set(elementDefault(elem.Type()))
		d.node(item, elem, fmt.Sprintf("%s[%d]", path, i))
		v.Set(reflect.Append(v, elem))
	}
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) {
	text, quoted, ok := scalarText(n)
	if !ok {
		d.fault(n, path, "want a single value, got %s", describe(n))
		return
	}
	var err error
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
		return
	case quoted:
		err = fmt.Errorf("want %s, got the text %q: remove the quotes", wanted(v), text)
	case v.Type() == reflect.TypeFor[time.Duration]():
		err = setDuration(v, text)
	case v.Kind() == reflect.Bool:
		err = setBool(v, text)
	case v.Kind() == reflect.Int:
		err = setInt(v, text)
	case v.Kind() == reflect.Uint64:
		err = setUint(v, text)
	case v.Kind() == reflect.Float64:
		err = setFloat(v, text)
	default:
		panic("spec: field type without a reader: " + v.Type().String())
	}
	if err != nil {
		d.fault(n, path, "%s", err)
	}
}

// scalarText returns a scalar as it is written, so that 0, 1.50 and true stay these words where a text is wanted.
func scalarText(n ast.Node) (text string, quoted, ok bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, isQuoted(s), true
	case *ast.LiteralNode:
		return s.Value.Value, true, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NanNode, *ast.InfinityNode:
		return n.GetToken().Value, false, true
	}
	return "", false, false
}

func setDuration(v reflect.Value, text string) error {
	t, err := parseDuration(text)
	if err == nil {
		v.SetInt(int64(t))
	}
	return err
}

// parseDuration reads Go's durations and, because labels come after days, a leading count of days as in 30d or 1d12h.
func parseDuration(text string) (time.Duration, error) {
	bad := fmt.Errorf("want a duration like 30s, 24h or 7d, got %q", cut(text))
	var days time.Duration
	rest := text
	if count, after, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseUint(count, 10, 16)
		if err != nil {
			return 0, bad
		}
		days, rest = time.Duration(n)*24*time.Hour, after
		if rest == "" {
			return days, nil
		}
	}
	t, err := time.ParseDuration(rest)
	if err != nil || (days > 0 && t < 0) || days > math.MaxInt64-t {
		return 0, bad
	}
	return days + t, nil
}

func setBool(v reflect.Value, text string) error {
	switch text {
	case "true", "True", "TRUE":
		v.SetBool(true)
	case "false", "False", "FALSE":
		v.SetBool(false)
	default:
		return fmt.Errorf("want true or false, got %q", cut(text))
	}
	return nil
}

func setInt(v reflect.Value, text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("want a whole number, got %q", cut(text))
	}
	v.SetInt(n)
	return nil
}

func setUint(v reflect.Value, text string) error {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("want a whole number of at least 0, got %q", cut(text))
	}
	v.SetUint(n)
	return nil
}

func setFloat(v reflect.Value, text string) error {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return fmt.Errorf("want a finite number, got %q", cut(text))
	}
	v.SetFloat(f)
	return nil
}
