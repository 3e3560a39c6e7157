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
	var small [64]bool
	seen := small[:]
	if len(h.order) > len(small) {
		seen = make([]bool, len(h.order))
	}
	s := scanner{data: data}
	if err := d.object(&s, seen); err != nil {
		d.fault("", RuleJSON, "", "%s", err)
		return d.warnings, d.finish()
	}
	for _, c := range h.order {
		if !seen[c.seen] && d.needs(c) {
			d.fault(c.name, RuleMissingColumn, "", "the column is missing; write null where the value is not known")
		}
	}
	return d.warnings, d.finish()
}

// object reads the record's keys and values. Its error is one of syntax, after which nothing more can be said.
func (d *decoder) object(s *scanner, seen []bool) error {
	s.space()
	if !s.take('{') {
		return s.fail("want a JSON object")
	}
	s.space()
	if s.take('}') {
		return s.end()
	}
	var others map[string]bool // keys that fill no slot, to find those that are there twice
	for {
		s.space()
		key, _, err := s.str()
		if err != nil {
			return err
		}
		if s.space(); !s.take(':') {
			return s.fail("want a colon after a key")
		}
		s.space()
		c, known := d.h.slots[key]
		if !known {
			c, known = d.h.slots[clean(key)]
		}
		twice := false
		if known && c.seen >= 0 {
			twice, seen[c.seen] = seen[c.seen], true
		} else {
			if others == nil {
				others = map[string]bool{}
			}
			twice = others[key]
			others[strings.Clone(key)] = true
		}
		switch {
		case twice:
			d.fault(clean(key), RuleDuplicateColumn, "", "the column is there twice")
		case !known:
			d.warn(clean(key), RuleUnknownColumn, "", "the column is not in the spec")
		}
		if err := d.value(s, c, known && !twice); err != nil {
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

// value reads one value and, where use is set, stores it.
func (d *decoder) value(s *scanner, c slot, use bool) error {
	use = use && c.kind != slotIgnored
	start := s.pos
	switch b := s.peek(); {
	case b == '"':
		text, shared, err := s.str()
		if err == nil && use {
			d.text(c, text, shared)
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
		}
		return nil
	case b == 'n' && s.word("null"):
		if use && d.need {
			d.text(c, "", false)
		}
		return nil
	case b == 't' && s.word("true"), b == 'f' && s.word("false"):
		if !use {
			return nil
		}
		text := string(s.data[start:s.pos])
		if c.kind == slotNumeric && d.h.bounds[c.index].kind != spec.NumberBoolean {
			d.fault(c.name, RuleType, text, "want %s, got %s", d.h.bounds[c.index].wants(), text)
			return nil
		}
		d.text(c, text, false)
		return nil
	}
	if err := s.number(); err != nil {
		return err
	}
	if use {
		d.jsonNumber(c, s.data[start:s.pos])
	}
	return nil
}

// cares reports whether a value of the wrong type in this column matters: a label that is not required does not.
func (d *decoder) cares(c slot) bool { return c.kind != slotTarget || d.need }

func (d *decoder) jsonNumber(c slot, raw []byte) {
	text := view(raw)
	if c.kind != slotNumeric {
		text = numberText(text)
	}
	d.text(c, text, true)
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
