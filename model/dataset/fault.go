package dataset

import (
	"fmt"
	"strings"
)

// Rules name what a value or row breaks.
const (
	RuleMissingColumn   = "missing_column"   // a column that is needed is not there
	RuleDuplicateColumn = "duplicate_column" // a column or key is there twice
	RuleUnknownColumn   = "unknown_column"   // a column that the spec does not name; a warning
	RuleType            = "type"             // not a number, or a list or object in place of a value
	RuleRange           = "range"            // outside the bounds of the spec
	RuleSet             = "set"              // outside the closed set of the spec
	RuleLabel           = "label"            // a label that is missing or neither positive nor negative
	RuleID              = "id"               // an id that is missing where one is required
	RuleNotFinite       = "not_finite"       // NaN, infinity, or a number beyond the range of a float64
	RuleJSON            = "json"             // not one well-formed JSON object
	RuleColumnsCount    = "columns_count"    // a CSV row with more or fewer values than the header
	RuleQuote           = "quote"            // a quote that is not opened or not closed as CSV has it
	RuleEncoding        = "encoding"         // bytes that are not UTF-8; a warning
	RuleTooLong         = "too_long"         // a line of JSON beyond the bound
)

// Fault is one thing wrong with a record.
type Fault struct {
	Row     int64  `json:"row,omitempty"`    // 1-based data row, 0 for a single record or a header
	Line    int64  `json:"line,omitempty"`   // 1-based line in the source, 0 where there is none
	Column  string `json:"column,omitempty"` // "" for the record as a whole
	Rule    string `json:"rule"`
	Value   string `json:"value,omitempty"` // what was found, cut at 40 characters
	Message string `json:"message"`
}

// String returns "row 3 (line 4), column tenure: message", without the parts that are not known.
func (f Fault) String() string {
	var b strings.Builder
	switch {
	case f.Row > 0 && f.Line > 0:
		fmt.Fprintf(&b, "row %d (line %d)", f.Row, f.Line)
	case f.Row > 0:
		fmt.Fprintf(&b, "row %d", f.Row)
	case f.Line > 0:
		fmt.Fprintf(&b, "line %d", f.Line)
	}
	if f.Column != "" {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString("column " + f.Column)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// RecordError says what is wrong with one record. A reader that returned it can go on to the next one.
type RecordError struct {
	Faults []Fault // at least one
}

// Error joins the faults with "; ".
func (e *RecordError) Error() string { return joinFaults(e.Faults) }

// DataError says that a whole file can't be used: its header is wrong, too many rows are faulty, or an expectation does
// not hold. Reading the same bytes again gives the same error.
type DataError struct {
	Message string              `json:"message"`
	Faults  []Fault             `json:"faults,omitempty"` // examples, where rows are to blame
	Failed  []ExpectationResult `json:"failed,omitempty"` // the expectations that do not hold
}

// Error returns the message, the failed expectations and the first faults.
func (e *DataError) Error() string {
	var parts []string
	for _, r := range e.Failed {
		parts = append(parts, r.String())
	}
	if len(e.Faults) > 0 {
		shown := e.Faults[:min(len(e.Faults), 5)]
		parts = append(parts, joinFaults(shown))
		if n := len(e.Faults) - len(shown); n > 0 {
			parts = append(parts, fmt.Sprintf("and %d more", n))
		}
	}
	if len(parts) == 0 {
		return e.Message
	}
	if e.Message != "" {
		return e.Message + ": " + strings.Join(parts, "; ")
	}
	return strings.Join(parts, "; ")
}

func joinFaults(faults []Fault) string {
	parts := make([]string, len(faults))
	for i, f := range faults {
		parts[i] = f.String()
	}
	return strings.Join(parts, "; ")
}

// cut shortens a value for a message.
func cut(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "..."
		}
	}
	return s
}
