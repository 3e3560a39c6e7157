package filter

import (
	"math"
	"slices"
	"strings"
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
	list   map[string]bool
	like   pattern
}

// Filter is a parsed filter. The zero value matches everything.
type Filter struct{ terms []term }

// Match reports whether every comparison is true, whatever that costs.
func (f Filter) Match(e Fields) bool { return f.MatchWithin(e, NewBudget(math.MaxInt64)) }

// MatchWithin reports whether every comparison is true, and takes what they cost from the budget. Once that is spent nothing matches, and [Budget.Err]
// says so.
func (f Filter) MatchWithin(e Fields, b *Budget) bool {
	for i := range f.terms {
		if b.Over() || !f.terms[i].match(e, b) {
			return false
		}
	}
	return !b.Over()
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

func (t *term) match(e Fields, b *Budget) bool {
	b.take(termCost)
	if t.numeric {
		v, ok := e.Number(t.kind, t.key)
		return ok && t.compareNumber(v)
	}
	if t.kind == Dataset {
		if many, ok := e.(Many); ok {
			return slices.ContainsFunc(many.Texts(t.kind, t.key), func(v string) bool { return t.compareText(v, b) })
		}
	}
	v, ok := e.Text(t.kind, t.key)
	return ok && t.compareText(v, b)
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

func (t *term) compareText(v string, b *Budget) bool {
	b.take(len(v) / 16)
	switch t.op {
	case opEqual:
		return v == t.text
	case opNotEqual:
		return v != t.text
	case opLike:
		return t.like.match(v, b)
	case opILike:
		b.take(len(v))
		return t.like.match(strings.ToLower(v), b)
	case opIn:
		return t.list[v]
	default:
		return !t.list[v]
	}
}
