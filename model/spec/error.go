package spec

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Error is one fault of a spec. Parse and Validate report all faults at once, joined: errors.As finds the first and
// Faults returns every one.
type Error struct {
	Line   int    // 1-based; 0 where the spec was not read from text
	Column int    // 1-based; 0 where unknown
	Path   string // like columns.numeric[2].min; "" for the file as a whole
	Msg    string
	Source string // the line itself, without its end; "" where unknown
}

// Error returns "line 4: columns.id: message", with the source line below it where it is known.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	if e.Source != "" {
		fmt.Fprintf(&b, "\n  %4d | %s", e.Line, e.Source)
	}
	return b.String()
}

// Faults returns every *Error that err holds, in the order in which they are reported.
func Faults(err error) []*Error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok { // the tree is walked node by node
		return []*Error{e}
	}
	switch u := err.(type) {
	case interface{ Unwrap() []error }:
		var out []*Error
		for _, e := range u.Unwrap() {
			out = append(out, Faults(e)...)
		}
		return out
	case interface{ Unwrap() error }:
		return Faults(u.Unwrap())
	}
	return nil
}

// faults collects errors.
type faults []*Error

func (f *faults) add(path, format string, args ...any) {
	*f = append(*f, &Error{Path: path, Msg: fmt.Sprintf(format, args...)})
}

// err joins the faults by line, or returns nil when there is none.
func (f faults) err() error {
	sort.SliceStable(f, func(i, j int) bool { return f[i].Line < f[j].Line })
	joined := make([]error, len(f))
	for i, e := range f {
		joined[i] = e
	}
	return errors.Join(joined...)
}
