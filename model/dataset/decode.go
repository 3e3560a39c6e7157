package dataset

import (
	"fmt"
	"math"
	"strings"

	"telco-churn-mlops/model/spec"
)

// DecodeOptions say what a record must have.
type DecodeOptions struct {
	RequireLabel bool // the label and, where the spec has an id column, the id are required
	Strict       bool // values outside bounds and closed sets are faults; otherwise they are warnings
}

// maxFaults bounds the faults, and the warnings, of one record: a request made of unknown keys must not be answered with
// ten times its size.
const maxFaults = 1000

// severity of breaches that a caller may tolerate.
type severity struct{ rangeFault, setFault bool }

// decoder collects what is wrong with one record. It is used by value and is made anew for each record.
type decoder struct {
	h        *Schema
	row      *Row
	severity severity
	need     bool    // label and id are required
	views    bool    // the row may hold views of the input
	digest   *[]byte // where a row's digest may be kept; nil: nowhere
	faults   []Fault
	warnings []Fault
}

func (d *decoder) fault(column, rule, value, format string, args ...any) {
	if len(d.faults) == maxFaults {
		return
	}
	d.faults = append(d.faults, d.make(column, rule, value, format, args...))
}

func (d *decoder) warn(column, rule, value, format string, args ...any) {
	if len(d.warnings) == maxFaults {
		return
	}
	d.warnings = append(d.warnings, d.make(column, rule, value, format, args...))
}

func (d *decoder) make(column, rule, value, format string, args ...any) Fault {
	// Column and value may be views of the input; a fault outlives it.
	return Fault{
		Row: d.row.Number, Line: d.row.Line, Column: strings.Clone(column), Rule: rule,
		Value: strings.Clone(cut(strings.ToValidUTF8(value, "\ufffd"))), Message: fmt.Sprintf(format, args...),
	}
}

// text stores a value that is text. shared says that text's memory belongs to the input and must be copied to be kept.
func (d *decoder) text(s slot, text string, shared bool) {
	if s.kind == slotIgnored {
		return
	}
	text = clean(text)
	switch s.kind {
	case slotNumeric:
		d.number(s, text)
	case slotCategorical:
		d.category(s, text, shared)
	case slotID:
		d.id(s, text, shared)
	case slotTarget:
		d.label(s, text)
	}
}

func (d *decoder) number(s slot, text string) {
	if d.h.isMissing(text) {
		return
	}
	b := &d.h.bounds[s.index]
	v, rule := b.parse(text)
	switch rule {
	case RuleNotFinite:
		d.fault(s.name, rule, text, "%q is not a finite number", cut(text))
		return
	case RuleType:
		d.fault(s.name, rule, text, "want %s, got %q", b.wants(), cut(text))
		return
	}
	d.row.Num[s.index] = v
	if v >= b.min && v <= b.max {
		return
	}
	report := d.warn
	if d.severity.rangeFault {
		report = d.fault
	}
	report(s.name, RuleRange, text, "%s is outside %s", cut(text), *b)
}

func (b bounds) String() string {
	switch {
	case math.IsInf(b.min, -1):
		return fmt.Sprintf("at most %g", b.max)
	case math.IsInf(b.max, 1):
		return fmt.Sprintf("at least %g", b.min)
	}
	return fmt.Sprintf("%g to %g", b.min, b.max)
}

func (d *decoder) category(s slot, text string, shared bool) {
	if d.h.isMissing(text) {
		return
	}
	set := d.h.sets[s.index]
	if v, ok := set[text]; ok {
		d.row.Cat[s.index] = v
		return
	}
	if set != nil {
		if v, ok := set[spec.CanonicalWord(text)]; ok {
			d.row.Cat[s.index] = v
			return
		}
	}
	if shared && !d.views {
		text = strings.Clone(text)
	}
	d.row.Cat[s.index] = text
	if set == nil {
		return
	}
	report := d.warn
	if d.severity.setFault {
		report = d.fault
	}
	report(s.name, RuleSet, text, "%q is not one of: %s", cut(text), d.h.known[s.index])
}

func (d *decoder) id(s slot, text string, shared bool) {
	if text == "" {
		if d.need {
			d.fault(s.name, RuleID, "", "the id is missing")
		}
		return
	}
	if shared && !d.views {
		text = strings.Clone(text)
	}
	d.row.ID = text
}

func (d *decoder) label(s slot, text string) {
	v, ok := d.h.ParseLabel(text)
	switch {
	case ok:
		d.row.Label = v
	case !d.need:
	case d.h.isMissing(text):
		d.fault(s.name, RuleLabel, text, "the label is missing")
	default:
		d.fault(s.name, RuleLabel, text, "%q is neither %q nor %q", cut(text), d.h.positive, d.h.negative)
	}
}

// needs reports whether a record without this column is faulty.
func (d *decoder) needs(s slot) bool {
	switch s.kind {
	case slotID, slotTarget:
		return d.need
	}
	return !s.optional
}

// finish gives a row its digest as id where the spec has no id column, and returns the record's faults as an error.
func (d *decoder) finish() error {
	if d.h.id == "" {
		d.row.ID = d.rowDigest()
	}
	if len(d.faults) > 0 {
		return &RecordError{Faults: d.faults}
	}
	return nil
}
