package dataset

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"telco-churn-mlops/model/spec"
)

type slotKind uint8

const (
	slotNumeric slotKind = iota
	slotCategorical
	slotID
	slotTarget
	slotIgnored
)

// slot is where a column's value goes.
type slot struct {
	kind  slotKind
	index int // in Row.Num or Row.Cat
	seen  int // in the decoder's bitmap of columns that were there
	name  string
	// optional says that the column may be absent.
	optional bool
	// opening is the key as JSON has it, quotes and the colon included; "" where it can't be written without escapes.
	opening string
}

// bounds of a numeric column; infinite where the spec has none.
type bounds struct {
	min, max float64
	kind     string // the spec's type: "", integer or boolean
}

// takes reports whether a number is of the column's type.
func (b *bounds) takes(v float64) bool {
	switch b.kind {
	case spec.NumberInteger:
		return v == math.Trunc(v)
	case spec.NumberBoolean:
		return v == 0 || v == 1
	}
	return true
}

// Schema is a spec's columns compiled to slots. It is immutable and safe for concurrent use.
type Schema struct {
	slots       map[string]slot
	keys        map[string]*slot // the same, for who does not copy them
	order       []slot           // numeric, categorical, id, target: what a record is checked for
	numeric     []string
	bounds      []bounds
	categorical []string
	sets        []map[string]string // per categorical column: value and its other spellings to the value; nil = open
	known       []string            // per categorical column: the closed set, for a message
	words       []wordIndex         // per categorical column: its set and the missing markers, for the hot path
	missing     map[string]bool
	// numberMarkers says that a missing marker may look like a number.
	numberMarkers bool
	id            string
	target        string
	positive      string
	negative      string
	anyNegative   bool
	labels        map[string]float64
}

// NewSchema compiles the columns of a spec. It fails where the spec is not valid.
func NewSchema(s *spec.Spec) (*Schema, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	c := &s.Columns
	h := &Schema{
		slots: map[string]slot{}, missing: map[string]bool{}, id: c.ID, target: c.Target.Name,
		positive: c.Target.Positive, negative: c.Target.Negative, anyNegative: c.Target.Negative == spec.AnyOther,
	}
	for _, m := range c.Missing {
		h.missing[m] = true
		h.numberMarkers = h.numberMarkers || m != "" && (m[0] >= '0' && m[0] <= '9' || m[0] == '-' || m[0] == '+' || m[0] == '.')
	}
	for _, n := range c.Numeric {
		b := bounds{math.Inf(-1), math.Inf(1), n.Type}
		if n.Min != nil {
			b.min = *n.Min
		}
		if n.Max != nil {
			b.max = *n.Max
		}
		h.add(slot{kind: slotNumeric, index: len(h.numeric), name: n.Name, optional: n.Optional})
		h.numeric, h.bounds = append(h.numeric, n.Name), append(h.bounds, b)
	}
	for _, k := range c.Categorical {
		h.add(slot{kind: slotCategorical, index: len(h.categorical), name: k.Name, optional: k.Optional})
		h.categorical, h.sets = append(h.categorical, k.Name), append(h.sets, spellings(k.Values))
		h.known = append(h.known, listed(k.Values))
		h.words = append(h.words, newWordIndex(h.sets[len(h.sets)-1], h.missing))
	}
	if c.ID != "" {
		h.add(slot{kind: slotID, name: c.ID})
	}
	h.add(slot{kind: slotTarget, name: c.Target.Name})
	for _, name := range c.Ignored {
		h.slots[name] = slot{kind: slotIgnored, seen: -1, name: name}
	}
	h.labels = map[string]float64{h.positive: 1, spec.CanonicalWord(h.positive): 1}
	if h.anyNegative {
		h.negative = "not " + h.positive
	} else {
		h.labels[h.negative], h.labels[spec.CanonicalWord(h.negative)] = 0, 0
	}
	h.keys = make(map[string]*slot, len(h.slots))
	for name, s := range h.slots {
		s.opening = opening(name)
		h.keys[name] = &s
	}
	return h, nil
}

func (h *Schema) add(s slot) {
	s.seen = len(h.order)
	h.slots[s.name] = s
	h.order = append(h.order, s)
}

// listed joins the first values of a closed set.
func listed(values []string) string {
	const most = 12
	if len(values) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(values[:most], ", "), len(values)-most)
	}
	return strings.Join(values, ", ")
}

// spellings maps each value, and the canonical form of it, to the value.
func spellings(values []string) map[string]string {
	if len(values) == 0 {
		return nil
	}
	m := make(map[string]string, len(values))
	for _, v := range values {
		m[v] = v
	}
	for _, v := range values {
		if c := spec.CanonicalWord(v); m[c] == "" {
			m[c] = v
		}
	}
	return m
}

// Numeric returns the numeric columns in the order of Row.Num. The caller does not change it.
func (h *Schema) Numeric() []string { return h.numeric }

// Categorical returns the categorical columns in the order of Row.Cat. The caller does not change it.
func (h *Schema) Categorical() []string { return h.categorical }

// ID returns the id column, "" where the spec has none.
func (h *Schema) ID() string { return h.id }

// Target returns the label column.
func (h *Schema) Target() string { return h.target }

// Positive returns the word for label 1.
func (h *Schema) Positive() string { return h.positive }

// Negative returns the word for label 0; where the spec takes every other value, "not " and the positive word.
func (h *Schema) Negative() string { return h.negative }

// isMissing reports whether a trimmed value stands for none.
func (h *Schema) isMissing(text string) bool {
	return text == "" || len(h.missing) > 0 && h.missing[text]
}

// ParseLabel returns 1 or 0 for a label's text. Text is trimmed, and true, false and numbers match in any spelling. A
// missing or unknown label is NaN and false.
func (h *Schema) ParseLabel(text string) (float64, bool) {
	text = strings.TrimSpace(text)
	if h.isMissing(text) {
		return math.NaN(), false
	}
	if v, ok := h.labels[text]; ok {
		return v, true
	}
	if v, ok := h.labels[spec.CanonicalWord(text)]; ok {
		return v, true
	}
	if h.anyNegative {
		return 0, true
	}
	return math.NaN(), false
}

// Row is one decoded record. A reader fills it and a caller may use it again; its strings may be kept, as they share no
// memory with the input.
type Row struct {
	ID     string    // "" where a prediction's record has none
	Num    []float64 // by Schema.Numeric; NaN = missing
	Cat    []string  // by Schema.Categorical; "" = missing
	Label  float64   // 1 positive, 0 negative, NaN none
	Number int64     // 1-based data row in its source, 0 for a single record
	Line   int64     // 1-based line on which it starts, 0 for a single record
}

// NewRow returns a row of the schema's size in which everything is missing.
func (h *Schema) NewRow() *Row {
	r := &Row{Num: make([]float64, len(h.numeric)), Cat: make([]string, len(h.categorical))}
	r.reset()
	return r
}

func (r *Row) reset() {
	r.ID, r.Label, r.Number, r.Line = "", math.NaN(), 0, 0
	for i := range r.Num {
		r.Num[i] = math.NaN()
	}
	clear(r.Cat)
}

// clean trims a text, makes it valid UTF-8 and its line ends "\n". It allocates only where something changes.
func clean(s string) string {
	s = strings.TrimSpace(s)
	if !utf8.ValidString(s) {
		s = strings.TrimSpace(strings.ToValidUTF8(s, "\ufffd"))
	}
	if strings.Contains(s, "\r\n") {
		return unixLines(s)
	}
	return s
}

// unixLines drops every run of carriage returns that a line feed follows. It takes one pass, however long the runs are: text comes from
// strangers.
func unixLines(s string) string {
	out := make([]byte, 0, len(s))
	for {
		i := strings.Index(s, "\r\n")
		if i < 0 {
			return string(append(out, s...))
		}
		out = append(out, strings.TrimRight(s[:i], "\r")...)
		s = s[i+1:]
	}
}

// parse returns the number of a trimmed text that is not a missing marker; rule is "" where it is one of the column's type.
func (b *bounds) parse(text string) (v float64, rule string) {
	if b.kind == spec.NumberBoolean {
		switch spec.CanonicalWord(text) {
		case "true":
			return 1, ""
		case "false":
			return 0, ""
		}
	}
	v, rule = parseNumber(text)
	if rule == "" && !b.takes(v) {
		return math.NaN(), RuleType
	}
	return v, rule
}

// wants names the column's type for a message.
func (b *bounds) wants() string {
	switch b.kind {
	case spec.NumberInteger:
		return "a whole number"
	case spec.NumberBoolean:
		return "true or false"
	}
	return "a number"
}

// parseNumber returns the number of a trimmed text that is not a missing marker; rule is "" where it is one.
func parseNumber(text string) (v float64, rule string) {
	// ParseFloat takes hexadecimal and, where asked, underscores; a data file that holds them holds codes.
	if strings.ContainsAny(text, "xX_pP") {
		return math.NaN(), RuleType
	}
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case err == nil && !math.IsInf(v, 0) && !math.IsNaN(v):
		return v, ""
	case err == nil || math.IsInf(v, 0):
		return math.NaN(), RuleNotFinite
	}
	return math.NaN(), RuleType
}

// opening returns a key with its quotes and its colon, and "" for one that has to be escaped.
func opening(key string) string {
	for i := range len(key) {
		if special[key[i]] {
			return ""
		}
	}
	return `"` + key + `":`
}
