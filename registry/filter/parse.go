package filter

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"telco-churn-mlops/registry/fault"
)

// field is a key that is compared or ordered by.
type field struct {
	kind    Kind
	key     string
	numeric bool
	down    bool // descending, in an order
}

// Parse reads a filter; an empty one, or blanks, matches everything. The error is a [*fault.Error] with code Invalid that names the place in the text, the domain's
// attributes where one is unknown, and the operators where one does not fit.
func Parse(text string, d Domain) (Filter, error) {
	l := &lexer{what: "filter", text: text}
	if len(text) > maxText {
		return Filter{}, fault.New(fault.Invalid, "filter has %d bytes, at most %d", len(text), maxText)
	}
	p := &parser{lexer: l, domain: d, grammar: grammarOf(d)}
	if err := p.advance(); err != nil {
		return Filter{}, err
	}
	var f Filter
	for p.token.kind != tokenEnd {
		if len(f.terms) == maxTerms {
			return Filter{}, p.fail(p.token.at, "a filter has at most %d comparisons", maxTerms)
		}
		if len(f.terms) > 0 {
			if err := p.and(); err != nil {
				return Filter{}, err
			}
		}
		t, err := p.term()
		if err != nil {
			return Filter{}, err
		}
		f.terms = append(f.terms, t)
	}
	return f, nil
}

type parser struct {
	*lexer
	domain  Domain
	grammar grammar
	token   token
}

func (p *parser) advance() (err error) {
	p.token, err = p.next()
	return err
}

// keyword reports whether the token is the word, in any case of letters.
func (p *parser) keyword(word string) bool {
	return p.token.kind == tokenWord && !p.token.quoted && strings.EqualFold(p.token.text, word)
}

// and skips the AND between two comparisons.
func (p *parser) and() error {
	switch {
	case p.keyword("AND"):
		return p.advance()
	case p.keyword("OR"):
		return p.fail(p.token.at, "OR is not supported, only AND")
	}
	return p.fail(p.token.at, "expected AND or the end")
}

// term reads one comparison.
func (p *parser) term() (term, error) {
	at := p.token.at
	f, err := p.identifier(false)
	if err != nil {
		return term{}, err
	}
	op, opAt, err := p.operator()
	if err != nil {
		return term{}, err
	}
	t := term{field: f, op: op}
	if !allowed(f, op) {
		return term{}, p.fail(opAt, "%s does not apply here: %s", op, operatorsOf(f))
	}
	if f.kind == Metric && f.key == "" || f.kind != Attribute && f.key == "" {
		return term{}, p.fail(at, "the key is empty")
	}
	switch {
	case op == opIn || op == opNotIn:
		t.list, err = p.list()
	case f.numeric:
		t.number, err = p.number()
	default:
		valueAt := p.token.at
		if t.text, err = p.string(); err == nil && !t.compile() {
			err = p.fail(valueAt, "a pattern has at most %d characters, and %d between two %%", maxPattern, maxPiece)
		}
	}
	return t, err
}

// identifier reads a key with its prefix, or the name of an attribute.
func (p *parser) identifier(order bool) (field, error) {
	t := p.token
	if t.kind == tokenSymbol && (t.text == "(" || t.text == ")") {
		return field{}, p.fail(t.at, "brackets are not supported")
	}
	if t.kind == tokenEnd || t.kind == tokenSymbol || t.kind == tokenString && strings.HasPrefix(p.text[t.at:], "'") {
		return field{}, p.fail(t.at, "expected the name of a field, such as %s", p.example())
	}
	name := t.text
	if err := p.advance(); err != nil {
		return field{}, err
	}
	end := t.prefixEnd
	if end < 0 && t.quoted { // the whole of it stands in quotes
		end = strings.IndexByte(name, '.')
	}
	if end < 0 {
		return p.attribute(t, name, order)
	}
	prefix, key := strings.ToLower(name[:end]), name[end+1:]
	kind, ok := p.grammar.kindOf(prefix, p.domain)
	if !ok {
		return field{}, p.fail(t.at, "%s have no %q", p.grammar.name, prefix+".")
	}
	switch {
	case kind == Attribute:
		return p.attribute(t, key, order)
	case key == "":
		return field{}, p.fail(t.at, "the key is empty")
	case kind == Dataset && (order || !datasetKey(strings.ToLower(key))):
		return field{}, p.fail(t.at, "datasets have a name, a digest and a context to filter by")
	case kind == Dataset:
		key = strings.ToLower(key)
	}
	return field{kind: kind, key: key, numeric: kind == Metric}, nil
}

func (p *parser) attribute(t token, name string, order bool) (field, error) {
	canonical := strings.ToLower(name)
	if a, ok := p.grammar.aliases[canonical]; ok {
		canonical = a
	}
	a, ok := p.grammar.attributes[canonical]
	if !ok || a.orderOnly && !order {
		return field{}, p.fail(t.at, "%s have no attribute %q to %s by: there is %s", p.grammar.name, name, purpose(order), p.names(order))
	}
	return field{kind: Attribute, key: canonical, numeric: a.numeric}, nil
}

func purpose(order bool) string {
	if order {
		return "order"
	}
	return "filter"
}

// names lists the attributes of the domain.
func (p *parser) names(order bool) string {
	var names []string
	for n, a := range p.grammar.attributes {
		if order || !a.orderOnly {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (p *parser) example() string {
	if slices.Contains(p.grammar.kinds, Metric) {
		return "metrics.auc"
	}
	return "name"
}

// operator reads an operator and returns where it stood.
func (p *parser) operator() (operator, int, error) {
	at := p.token.at
	if p.keyword("NOT") {
		if err := p.advance(); err != nil {
			return "", at, err
		}
		if !p.keyword("IN") {
			return "", at, p.fail(p.token.at, "expected IN after NOT")
		}
		return opNotIn, at, p.advance()
	}
	for _, op := range []operator{opEqual, opNotEqual, opLess, opLessEqual, opGreater, opGreaterEqual} {
		if p.token.kind == tokenSymbol && p.token.text == string(op) {
			return op, at, p.advance()
		}
	}
	for _, op := range []operator{opLike, opILike, opIn} {
		if p.keyword(string(op)) {
			return op, at, p.advance()
		}
	}
	return "", at, p.fail(at, "expected an operator: =, !=, <, <=, >, >=, LIKE, ILIKE, IN or NOT IN")
}

// string reads a text in quotes.
func (p *parser) string() (string, error) {
	if p.token.kind != tokenString {
		return "", p.fail(p.token.at, "expected a text in quotes")
	}
	s := p.token.text
	return s, p.advance()
}

// number reads a finite number.
func (p *parser) number() (float64, error) {
	t := p.token
	if t.kind != tokenWord || t.quoted || strings.Trim(t.text, "0123456789.eE+-") != "" {
		return 0, p.fail(t.at, "expected a number")
	}
	v, err := strconv.ParseFloat(t.text, 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, p.fail(t.at, "%q is no number that a float64 holds", t.text)
	}
	return v, p.advance()
}

// list reads the texts of an IN.
func (p *parser) list() (map[string]bool, error) {
	if p.token.kind != tokenSymbol || p.token.text != "(" {
		return nil, p.fail(p.token.at, "expected a list of texts in brackets")
	}
	list := map[string]bool{}
	for {
		if err := p.advance(); err != nil {
			return nil, err
		}
		s, err := p.string()
		if err != nil {
			return nil, err
		}
		list[s] = true
		switch {
		case p.token.kind == tokenSymbol && p.token.text == ",":
			continue
		case p.token.kind == tokenSymbol && p.token.text == ")":
			return list, p.advance()
		}
		return nil, p.fail(p.token.at, "expected a comma or the closing bracket")
	}
}
