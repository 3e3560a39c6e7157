package calibrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
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

// UnmarshalJSON decodes and validates. It refuses unknown fields, fields of another method, anything after the object, a slope that is
// negative, x or y outside [0, 1], x that does not ascend strictly, y that descends, and lists that are empty or of different
// lengths. On error c is unchanged.
func (c *Calibrator) UnmarshalJSON(data []byte) error {
	var w wire
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return fmt.Errorf("decode calibrator: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decode calibrator: data after the object")
	}
	decoded, err := w.calibrator()
	if err != nil {
		return fmt.Errorf("decode calibrator: %w", err)
	}
	*c = decoded
	return nil
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
