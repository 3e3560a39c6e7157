package dataset

import (
	"math"
	"strconv"

	"telco-churn-mlops/model/spec"
)

// Filler fills a row from single values, each given with its column, on the rules of DecodeJSON: the same values give the same row, faults and
// warnings, whether they come as JSON, as tensors or as cells of a columnar file. It belongs to one goroutine.
//
// Resolve the columns once with [Filler.Column]; then, for each record, call Begin, one of the setters for each value, and End.
type Filler struct {
	d    decoder
	o    DecodeOptions
	seen []bool // by slot.seen
}

// Column is where a value goes. It holds for the schema that it was resolved with.
type Column struct {
	slot
	known bool
}

// NewFiller returns a filler of rows of this schema.
func (h *Schema) NewFiller(o DecodeOptions) *Filler {
	return &Filler{d: decoder{h: h}, o: o, seen: make([]bool, len(h.order))}
}

// Column resolves a column's name as DecodeJSON does a key: as it is, or without the white space around it. One that the spec does not know has a
// place too; its values are warnings.
func (f *Filler) Column(name string) Column {
	c, known := f.d.h.slots[name]
	if !known {
		name = clean(name)
		c, known = f.d.h.slots[name]
	}
	if !known {
		c = slot{kind: slotIgnored, seen: -1, name: name}
	}
	return Column{slot: c, known: known}
}

// Begin starts a record. row is overwritten; its Number and Line are the given ones, 0 where there are none.
func (f *Filler) Begin(row *Row, number, line int64) {
	row.reset()
	row.Number, row.Line = number, line
	clear(f.seen)
	f.d = decoder{h: f.d.h, row: row, need: f.o.RequireLabel, severity: severity{f.o.Strict, f.o.Strict}}
}

// take reports whether the value of a column is to be stored, and notes what is to be said about the column itself.
func (f *Filler) take(c *Column) bool {
	switch {
	case !c.known:
		f.d.warn(c.name, RuleUnknownColumn, "", "the column is not in the spec")
		return false
	case c.kind == slotIgnored:
		return false
	case f.seen[c.seen]:
		f.d.fault(c.name, RuleDuplicateColumn, "", "the column is there twice")
		return false
	}
	f.seen[c.seen] = true
	return true
}

// Text gives a column a text: a word, or a number where the column is numeric. What the row keeps of it is copied.
func (f *Filler) Text(c *Column, text string) {
	if f.take(c) {
		f.d.text(c.slot, text, true)
	}
}

// Float gives a column a number. NaN and infinities are faults, as their JSON tokens are: Null is the missing value. In a categorical column the
// number is its shortest text.
func (f *Filler) Float(c *Column, v float64) {
	if !f.take(c) {
		return
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		if f.d.cares(c.slot) {
			text := notFinite(v)
			f.d.fault(c.name, RuleNotFinite, text, "%s is not a finite number; write null where the value is not known", text)
		}
		return
	}
	var room [32]byte
	f.d.jsonNumber(c.slot, appendNumber(room[:0], v))
}

// Int gives a column a whole number, all digits of which count.
func (f *Filler) Int(c *Column, v int64) {
	if f.take(c) {
		var room [20]byte
		f.d.jsonNumber(c.slot, strconv.AppendInt(room[:0], v, 10))
	}
}

// Bool gives a column true or false: a fault in a numeric column that is not boolean, a word in a categorical one.
func (f *Filler) Bool(c *Column, v bool) {
	if !f.take(c) {
		return
	}
	text := strconv.FormatBool(v)
	if b := c.kind == slotNumeric; b && f.d.h.bounds[c.index].kind != spec.NumberBoolean {
		f.d.fault(c.name, RuleType, text, "want %s, got %s", f.d.h.bounds[c.index].wants(), text)
		return
	}
	f.d.text(c.slot, text, false)
}

// Null gives a column the missing value. It is then there: a column that no setter was called for is missing itself.
func (f *Filler) Null(c *Column) {
	if f.take(c) && f.o.RequireLabel {
		f.d.text(c.slot, "", false)
	}
}

// End ends the record with its warnings and, for faults, a *RecordError that holds all of them; the row is then not to be used.
func (f *Filler) End() ([]Fault, error) {
	for _, c := range f.d.h.order {
		if !f.seen[c.seen] && f.d.needs(c) {
			f.d.fault(c.name, RuleMissingColumn, "", "the column is missing; write null where the value is not known")
		}
	}
	return f.d.warnings, f.d.finish()
}

func notFinite(v float64) string {
	switch {
	case v > 0:
		return "Infinity"
	case v < 0:
		return "-Infinity"
	}
	return "NaN"
}

// AppendString appends a text as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s) }

// AppendNumber appends a number in its shortest exact form as JSON, null for one that is not finite.
func AppendNumber(dst []byte, v float64) []byte { return appendNumber(dst, v) }
