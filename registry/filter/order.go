package filter

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"telco-churn-mlops/registry/fault"
)

// maxTerms bounds the comparisons of a filter and the terms of an order.
const maxTerms = 100

// Order is a parsed order. It is total: the domain's ties end it (for runs start_time DESC, run_id).
type Order struct{ fields []field }

// ParseOrder reads the terms of an order_by, each a field with an optional ASC or DESC; none means the domain's own order. A field that comes again is
// left out. The error is a [*fault.Error] with code Invalid.
func ParseOrder(terms []string, d Domain) (Order, error) {
	if len(terms) > maxTerms {
		return Order{}, fault.New(fault.Invalid, "order_by has %d terms, at most %d", len(terms), maxTerms)
	}
	var o Order
	for _, text := range terms {
		f, err := parseOrderTerm(text, d)
		if err != nil {
			return Order{}, err
		}
		o.add(f)
	}
	for _, f := range grammarOf(d).ties {
		o.add(f)
	}
	return o, nil
}

func (o *Order) add(f field) {
	if !slices.ContainsFunc(o.fields, func(g field) bool { return g.kind == f.kind && g.key == f.key }) {
		o.fields = append(o.fields, f)
	}
}

func parseOrderTerm(text string, d Domain) (field, error) {
	if len(text) > maxText {
		return field{}, fault.New(fault.Invalid, "order_by has a term of %d bytes, at most %d", len(text), maxText)
	}
	p := &parser{lexer: &lexer{what: "order_by", text: text}, domain: d, grammar: grammarOf(d)}
	if err := p.advance(); err != nil {
		return field{}, err
	}
	f, err := p.identifier(true)
	if err != nil {
		return field{}, err
	}
	switch {
	case p.keyword("DESC"):
		f.down = true
		err = p.advance()
	case p.keyword("ASC"):
		err = p.advance()
	}
	if err == nil && p.token.kind != tokenEnd {
		err = p.fail(p.token.at, "expected ASC, DESC or the end of the term")
	}
	return f, err
}

// Rank of a value: what is there comes first, then NaN, then what is missing.
const (
	rankNumber = iota
	rankText
	rankNaN
	rankMissing
)

// value is one field of a key.
type value struct {
	rank   uint8
	number float64
	text   string
}

// Key is what an entity is ordered by. Keys of one order are equal only for one entity.
type Key []value

// Key appends the key of an entity to buf[:0] and returns it; a nil buf is allocated.
func (o Order) Key(e Fields, buf Key) Key {
	buf = buf[:0]
	for _, f := range o.fields {
		buf = append(buf, valueOf(e, f))
	}
	return buf
}

func valueOf(e Fields, f field) value {
	if !f.numeric {
		if s, ok := e.Text(f.kind, f.key); ok {
			return value{rank: rankText, text: s}
		}
		return value{rank: rankMissing}
	}
	n, ok := e.Number(f.kind, f.key)
	switch {
	case !ok:
		return value{rank: rankMissing}
	case math.IsNaN(n):
		return value{rank: rankNaN}
	}
	return value{rank: rankNumber, number: n}
}

// CompareKeys returns a negative number if a comes before b, a positive one if after, 0 if they are the same. Both are keys of this order.
func (o Order) CompareKeys(a, b Key) int {
	for i, f := range o.fields {
		c := cmp.Compare(a[i].rank, b[i].rank)
		if c != 0 {
			return c
		}
		switch a[i].rank {
		case rankNumber:
			c = cmp.Compare(a[i].number, b[i].number)
		case rankText:
			c = strings.Compare(a[i].text, b[i].text)
		}
		if f.down {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// Compare is CompareKeys of two entities.
func (o Order) Compare(a, b Fields) int { return o.CompareKeys(o.Key(a, nil), o.Key(b, nil)) }
