package eval

import (
	"encoding/json"
	"fmt"
	"math"
)

// Level is the confidence that every interval of this package is made for where no other is asked.
const Level = 0.95

// Figure is a number that may be undefined: the area of a slice with one class, the error of a single observation. The zero value is
// undefined. In JSON a defined figure is a number and an undefined one is absent, if the field is tagged omitzero, or null.
type Figure struct {
	value   float64
	defined bool
}

// NewFigure returns v as a figure, undefined if v is not finite.
func NewFigure(v float64) Figure {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return Figure{}
	}
	return Figure{v, true}
}

// Value returns the number, and whether it is defined.
func (f Figure) Value() (v float64, defined bool) { return f.value, f.defined }

// Float returns the number, NaN where it is undefined.
func (f Figure) Float() float64 {
	if !f.defined {
		return math.NaN()
	}
	return f.value
}

// IsZero reports whether f is undefined; it is what omitzero asks. A figure of 0 is defined.
func (f Figure) IsZero() bool { return !f.defined }

// String returns the shortest text of the number, or "undefined".
func (f Figure) String() string {
	if !f.defined {
		return "undefined"
	}
	return fmt.Sprint(f.value)
}

// MarshalJSON gives a number or null.
func (f Figure) MarshalJSON() ([]byte, error) {
	if !f.defined {
		return []byte("null"), nil
	}
	return json.Marshal(f.value)
}

// UnmarshalJSON takes a number or null. On error f is unchanged.
func (f *Figure) UnmarshalJSON(data []byte) error {
	var v *float64
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*f = Figure{}
	if v != nil {
		*f = Figure{*v, true}
	}
	return nil
}

// Interval is a confidence interval; both ends are defined or neither.
type Interval struct {
	Low  Figure `json:"low,omitzero"`
	High Figure `json:"high,omitzero"`
}

func interval(low, high float64) Interval {
	l, h := NewFigure(low), NewFigure(high)
	if !l.defined || !h.defined {
		return Interval{}
	}
	return Interval{l, h}
}

// Contains reports whether low <= v <= high. An undefined interval contains nothing.
func (i Interval) Contains(v float64) bool {
	return i.Low.defined && i.High.defined && i.Low.value <= v && v <= i.High.value
}

func checkLevel(level float64) error {
	if !(level > 0 && level < 1) {
		return fmt.Errorf("confidence level %v is not between 0 and 1", level)
	}
	return nil
}
