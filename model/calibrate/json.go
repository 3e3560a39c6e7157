package calibrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// wire is the JSON of a calibrator: the fields of its method and no others.
type wire struct {
	Method    Method    `json:"method"`
	Slope     *float64  `json:"slope,omitempty"`
	Intercept *float64  `json:"intercept,omitempty"`
	X         []float64 `json:"x,omitempty"`
	Y         []float64 `json:"y,omitempty"`
}

// MarshalJSON encodes c: {"method":"none"}, {"method":"sigmoid","slope":1.1,"intercept":-0.2} or {"method":"isotonic","x":[...],"y":[...]}.
// Numbers are written so that decoding gives the same bits.
func (c Calibrator) MarshalJSON() ([]byte, error) {
	w := wire{Method: c.Method()}
	switch w.Method {
	case Sigmoid:
		w.Slope, w.Intercept = &c.slope, &c.intercept
	case Isotonic:
		w.X, w.Y = c.x, c.y
	}
	return json.Marshal(w)
}

// UnmarshalJSON decodes and validates. It refuses unknown fields, a field in other letter case or there twice, null, fields of another method,
// anything after the object, a slope that is negative, x or y outside [0, 1], x that does not ascend strictly, y that descends, and
// lists that are empty or of different lengths. On error c is unchanged.
func (c *Calibrator) UnmarshalJSON(data []byte) error {
	w, err := readWire(data)
	if err != nil {
		return fmt.Errorf("decode calibrator: %w", err)
	}
	decoded, err := w.calibrator()
	if err != nil {
		return fmt.Errorf("decode calibrator: %w", err)
	}
	*c = decoded
	return nil
}

// readWire reads an object field by field, as package json itself takes fields in any letter case and the last of those that are
// there twice.
func readWire(data []byte) (wire, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	start, err := d.Token()
	if err != nil {
		return wire{}, err
	}
	if start != json.Delim('{') {
		return wire{}, errors.New("not an object")
	}
	var w wire
	var x, y []number
	fields := map[string]any{"method": &w.Method, "slope": &w.Slope, "intercept": &w.Intercept, "x": &x, "y": &y}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return wire{}, err
		}
		name, _ := key.(string)
		field, ok := fields[name]
		if !ok {
			return wire{}, fmt.Errorf("field %q is unknown or there twice", name)
		}
		delete(fields, name)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return wire{}, err
		}
		if string(value) == "null" {
			return wire{}, fmt.Errorf("field %q is null", name)
		}
		if err := json.Unmarshal(value, field); err != nil {
			return wire{}, fmt.Errorf("field %q: %w", name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return wire{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return wire{}, errors.New("data after the object")
	}
	w.X, w.Y = floats(x), floats(y)
	return w, nil
}

// number is a number of a list, where package json takes null for 0.
type number float64

// UnmarshalJSON takes a number.
func (n *number) UnmarshalJSON(data []byte) error {
	v, err := strconv.ParseFloat(string(data), 64)
	if err != nil {
		return err
	}
	*n = number(v)
	return nil
}

// floats returns a list that is nil where the field was not there.
func floats(list []number) []float64 {
	if list == nil {
		return nil
	}
	out := make([]float64, len(list))
	for i, v := range list {
		out[i] = float64(v)
	}
	return out
}

func (w wire) calibrator() (Calibrator, error) {
	if err := w.Method.Validate(); err != nil {
		return Calibrator{}, err
	}
	line, points := w.Slope != nil || w.Intercept != nil, w.X != nil || w.Y != nil
	switch {
	case w.Method != Sigmoid && line:
		return Calibrator{}, fmt.Errorf("method %q with a slope or intercept", w.Method)
	case w.Method != Isotonic && points:
		return Calibrator{}, fmt.Errorf("method %q with points", w.Method)
	case w.Method == Sigmoid:
		return w.sigmoid()
	case w.Method == Isotonic:
		return w.isotonic()
	}
	return Calibrator{}, nil
}

func (w wire) sigmoid() (Calibrator, error) {
	if w.Slope == nil || w.Intercept == nil {
		return Calibrator{}, errors.New("sigmoid without slope or intercept")
	}
	if s := *w.Slope; !(s >= 0) || math.IsInf(s, 0) {
		return Calibrator{}, fmt.Errorf("slope %v is negative or not finite", s)
	}
	if i := *w.Intercept; math.IsNaN(i) || math.IsInf(i, 0) {
		return Calibrator{}, fmt.Errorf("intercept %v is not finite", i)
	}
	return Calibrator{method: Sigmoid, slope: *w.Slope, intercept: *w.Intercept}, nil
}

func (w wire) isotonic() (Calibrator, error) {
	if len(w.X) == 0 || len(w.X) != len(w.Y) {
		return Calibrator{}, fmt.Errorf("%d scores for %d probabilities", len(w.X), len(w.Y))
	}
	for i, x := range w.X {
		y := w.Y[i]
		if !(x >= 0 && x <= 1) || !(y >= 0 && y <= 1) {
			return Calibrator{}, fmt.Errorf("point %d, (%v, %v), is outside [0, 1]", i, x, y)
		}
		if i > 0 && (x <= w.X[i-1] || y < w.Y[i-1]) {
			return Calibrator{}, fmt.Errorf("point %d, (%v, %v), does not ascend from (%v, %v)", i, x, y, w.X[i-1], w.Y[i-1])
		}
	}
	return Calibrator{method: Isotonic, x: w.X, y: w.Y}, nil
}
