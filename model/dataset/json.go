package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"telco-churn-mlops/model/spec"
)

// Decoder decodes records that are JSON objects, with buffers of its own: one per goroutine. Make it with [Schema.NewDecoder].
type Decoder struct {
	h      *Schema
	seen   marks
	others keySet
	digest []byte // of the row, where the spec has no id column
	spaced bool
	// order holds, by place in the object, the slot that stood there in the last record: the records of one sender have their keys in one order,
	// and a comparison is cheaper than a look-up.
	order []*slot
}

// NewDecoder returns a decoder for records of the schema.
func (h *Schema) NewDecoder() *Decoder {
	return &Decoder{h: h, seen: newMarks(len(h.order)), order: make([]*slot, 0, len(h.slots))}
}

// Decode is [Schema.DecodeJSON] but for two things. It allocates nothing for a record that has neither faults nor warnings and no text with
// escapes in an open column or the id. And row's strings are views of data wherever they are no words of the schema: they hold only as long as
// data does not change, and an id that is a digest only until the next Decode.
func (j *Decoder) Decode(data []byte, row *Row, o DecodeOptions) ([]Fault, error) {
	row.reset()
	j.seen.reset()
	j.others.reset()
	d := decoder{h: j.h, row: row, need: o.RequireLabel, views: true, severity: severity{o.Strict, o.Strict}}
	d.digest = &j.digest
	return d.decodeJSON(data, j)
}

// Compact reports whether the record decoded last had no white space between its tokens.
func (j *Decoder) Compact() bool { return !j.spaced }

// DecodeJSON decodes one JSON object into row, whose fields it overwrites, and returns warnings.
//
// All faults are reported at once in a *RecordError; row is then filled as far as possible and must not be used. Every
// feature column that is not optional must be there, with null or a missing marker where the value is not known. Numbers may be written as
// text; numbers and booleans in a categorical column become their text. A key that the spec does not know is a warning, a
// key that is there twice a fault, a column that the spec ignores is not looked at beyond its syntax.
//
// Without RequireLabel the label and the id may be absent: a label that is there and can be read is in row.Label, one that
// can't is ignored, and the id is "". Where the spec has no id column the id is RowDigest.
func (h *Schema) DecodeJSON(data []byte, row *Row, o DecodeOptions) ([]Fault, error) {
	row.reset()
	return h.decodeJSON(data, row, o.RequireLabel, severity{o.Strict, o.Strict})
}

func (h *Schema) decodeJSON(data []byte, row *Row, need bool, sev severity) ([]Fault, error) {
	d := decoder{h: h, row: row, need: need, severity: sev}
	return d.decodeJSON(data, &Decoder{h: h, seen: newMarks(len(h.order))})
}

func (d *decoder) decodeJSON(data []byte, j *Decoder) ([]Fault, error) {
	s := scanner{data: data}
	err := d.object(&s, j)
	j.spaced = s.spaced
	if err != nil {
		d.fault("", RuleJSON, "", "%s", err)
		return d.warnings, d.finish()
	}
	for i := range d.h.order {
		if c := &d.h.order[i]; !j.seen.has(c.seen) && d.needs(*c) {
			d.fault(c.name, RuleMissingColumn, "", "the column is missing; write null where the value is not known")
		}
	}
	return d.warnings, d.finish()
}

// object reads the record's keys and values. Its error is one of syntax, after which nothing more can be said.
func (d *decoder) object(s *scanner, j *Decoder) error {
	s.space()
	if !s.take('{') {
		return s.fail("want a JSON object")
	}
	s.space()
	if s.take('}') {
		return s.end()
	}
	for place := 0; ; place++ {
		s.space()
		c := j.expected(s, place)
		if c == nil || j.seen.add(c.seen) {
			var err error
			if c, err = d.key(s, j, place, c); err != nil {
				return err
			}
		}
		s.space()
		if err := d.value(s, c); err != nil {
			return err
		}
		s.space()
		if s.take('}') {
			return s.end()
		}
		if !s.take(',') {
			return s.fail("want a comma or a closing brace")
		}
	}
}

// expected steps over the key that stood at this place in the last record, and returns its slot, nil where another stands there now. Reading it as
// one piece is much of what there is to save in a record whose keys are half of its bytes.
func (j *Decoder) expected(s *scanner, place int) *slot {
	if place >= len(j.order) {
		return nil
	}
	if c := j.order[place]; c.seen >= 0 && c.opening != "" && s.word(c.opening) {
		return c
	}
	return nil
}

// key judges a key that is not simply the one expected: again is the slot of one that was read already and is there twice, otherwise the key is read
// here. It returns the slot for its value.
func (d *decoder) key(s *scanner, j *Decoder, place int, again *slot) (*slot, error) {
	if again != nil {
		d.fault(clean(again.name), RuleDuplicateColumn, "", "the column is there twice")
		return &nowhere, nil
	}
	key, err := s.str()
	if err != nil {
		return nil, err
	}
	if s.space(); !s.take(':') {
		return nil, s.fail("want a colon after a key")
	}
	c := j.slot(place, key.string)
	twice := false
	if c != nil && c.seen >= 0 {
		twice = j.seen.add(c.seen)
	} else {
		twice = j.others.add(key.string)
	}
	switch {
	case twice:
		d.fault(clean(key.string), RuleDuplicateColumn, "", "the column is there twice")
	case c == nil:
		d.warn(clean(key.string), RuleUnknownColumn, "", "the column is not in the spec")
	}
	if c == nil || twice {
		return &nowhere, nil
	}
	return c, nil
}

// slot returns the slot of a key, nil for one that the spec does not know.
func (j *Decoder) slot(place int, key string) *slot {
	if place < len(j.order) && j.order[place].name == key {
		return j.order[place]
	}
	c, known := j.h.keys[key]
	if !known {
		return j.h.keys[clean(key)]
	}
	switch {
	case place < len(j.order):
		j.order[place] = c
	case place == len(j.order) && place < cap(j.order):
		j.order = append(j.order, c)
	}
	return c
}

// nowhere is the slot of values that are only read.
var nowhere = slot{kind: slotIgnored, seen: -1}

// value reads one value and stores it.
func (d *decoder) value(s *scanner, c *slot) error {
	use := c.kind != slotIgnored
	start := s.pos
	switch b := s.peek(); {
	case b == '"':
		if c.kind == slotCategorical {
			if w, ok := d.h.words[c.index].read(s); ok {
				d.row.Cat[c.index] = w
				return nil
			}
		}
		text, err := s.str()
		if err == nil && use {
			d.jsonText(c, text)
		}
		return err
	case b == '{' || b == '[':
		err := s.nested()
		if err == nil && use && d.cares(c) {
			d.fault(c.name, RuleType, string(s.data[start:s.pos]), "want a single value, got a list or an object")
		}
		return err
	case b == '-' && s.word("-Infinity"), b == 'N' && s.word("NaN"), b == 'I' && s.word("Infinity"):
		if use && d.cares(c) {
			text := string(s.data[start:s.pos])
			d.fault(c.name, RuleNotFinite, text, "%s is not a finite number; write null where the value is not known", text)
			return nil
		}
		return s.fail("%s is not JSON; write null where a value is not known", s.data[start:s.pos])
	case b == 'n' && s.word("null"):
		if use && d.need {
			d.text(*c, "", false)
		}
		return nil
	case b == 't' && s.word("true"), b == 'f' && s.word("false"):
		if !use {
			return nil
		}
		text := view(s.data[start:s.pos])
		if c.kind == slotNumeric && d.h.bounds[c.index].kind != spec.NumberBoolean {
			d.fault(c.name, RuleType, text, "want %s, got %s", d.h.bounds[c.index].wants(), text)
			return nil
		}
		d.text(*c, text, true)
		return nil
	}
	if c.kind == slotNumeric && !d.h.numberMarkers {
		if v, ok := s.decimal(); ok {
			if !d.store(c, v) {
				d.text(*c, view(s.data[start:s.pos]), true)
			}
			return nil
		}
	}
	if err := s.number(); err != nil {
		return err
	}
	if use {
		d.jsonNumber(c, s.data[start:s.pos])
	}
	return nil
}

// jsonText stores a string. Words that the schema knows, and plain decimals within their bounds, need no further judgement.
func (d *decoder) jsonText(c *slot, t token) {
	if t.plain {
		switch c.kind {
		case slotCategorical:
			if w, ok := d.h.words[c.index].find(t.string); ok {
				d.row.Cat[c.index] = w
				return
			}
		case slotNumeric:
			if d.plainNumber(c, bytesOf(t.string)) {
				return
			}
		}
	}
	d.text(*c, t.string, t.shared)
}

// plainNumber stores a decimal that there is nothing to say about, and reports whether it did.
func (d *decoder) plainNumber(c *slot, raw []byte) bool {
	if d.h.numberMarkers {
		return false
	}
	v, ok := decimal(raw)
	return ok && d.store(c, v)
}

// store stores a number that there is nothing to say about, and reports whether it did.
func (d *decoder) store(c *slot, v float64) bool {
	b := &d.h.bounds[c.index]
	if !(v >= b.min && v <= b.max) || !b.takes(v) {
		return false
	}
	d.row.Num[c.index] = v
	return true
}

// cares reports whether a value of the wrong type in this column matters: a label that is not required does not.
func (d *decoder) cares(c *slot) bool { return c.kind != slotTarget || d.need }

func (d *decoder) jsonNumber(c *slot, raw []byte) {
	text := view(raw)
	if c.kind == slotNumeric {
		if !d.plainNumber(c, raw) {
			d.text(*c, text, true)
		}
		return
	}
	text = numberText(text)
	if c.kind == slotCategorical {
		if w, ok := d.h.words[c.index].find(text); ok {
			d.row.Cat[c.index] = w
			return
		}
	}
	d.text(*c, text, true)
}

// numberText returns the shortest decimal text of a JSON number: 0 for 0.0 and -0, 12.5 for 1.25e1. Whole numbers keep
// their digits, however many; what has no short form keeps its own.
func numberText(raw string) string {
	if !strings.ContainsAny(raw, ".eE") && raw != "-0" {
		return raw
	}
	v, err := strconv.ParseFloat(raw, 64)
	switch {
	case err != nil || math.Abs(v) >= 1e21 || (v != 0 && math.Abs(v) < 1e-9):
		return raw
	case v == 0:
		return "0"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// AppendJSON appends the record as one JSON object that DecodeJSON reads back bit-equal: numbers in their shortest exact
// form, true and false as 1 and 0, missing values as null, columns in the schema's order. Without withLabel the label is left out; a row without one
// has null. An id column is left out where the row has no id.
func (h *Schema) AppendJSON(dst []byte, row *Row, withLabel bool) []byte {
	dst = append(dst, '{')
	key := func(name string) {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, name), ':')
	}
	if h.id != "" && row.ID != "" {
		key(h.id)
		dst = appendString(dst, row.ID)
	}
	for i, name := range h.numeric {
		key(name)
		dst = appendNumber(dst, row.Num[i])
	}
	for i, name := range h.categorical {
		key(name)
		if row.Cat[i] == "" {
			dst = append(dst, "null"...)
		} else {
			dst = appendString(dst, row.Cat[i])
		}
	}
	if withLabel {
		key(h.target)
		switch row.Label {
		case 1:
			dst = appendString(dst, h.positive)
		case 0:
			dst = appendString(dst, h.negative)
		default:
			dst = append(dst, "null"...)
		}
	}
	return append(dst, '}')
}

func appendNumber(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	format := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, v, format, -1, 64)
}

// appendString writes s between quotes. Text of printable ASCII, which is nearly all, is copied.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			if err := e.Encode(s); err != nil {
				panic(fmt.Sprintf("dataset: encode a string: %v", err))
			}
			return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
