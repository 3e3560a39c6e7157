package calibrate

import (
	"errors"
	"fmt"
	"sort"
)

// Method says which function a Calibrator is.
type Method string

const (
	None     Method = "none"     // the score itself
	Sigmoid  Method = "sigmoid"  // 1/(1+exp(-(slope*ln(p/(1-p)) + intercept)))
	Isotonic Method = "isotonic" // straight lines between points, all but flat outside them
)

// Validate reports an unknown method.
func (m Method) Validate() error {
	switch m {
	case None, Sigmoid, Isotonic:
		return nil
	}
	return fmt.Errorf("unknown calibration method %q, want %q, %q or %q", string(m), None, Sigmoid, Isotonic)
}

// Faults that Fit returns besides those of its input. No calibrator comes with them.
var (
	// ErrSingleClass says that all rows with a weight above 0 have one label.
	ErrSingleClass = errors.New("labels hold a single class")
	// ErrTooFewRows says that there are fewer rows with a weight above 0 than the method needs.
	ErrTooFewRows = errors.New("too few rows")
)

// Calibrator maps a score to a calibrated probability. It is immutable and safe for concurrent use. It encodes to JSON, and decoding
// refuses whatever is not a valid calibrator. The zero value is the identity, method None.
type Calibrator struct {
	method           Method // "" is None
	slope, intercept float64
	x, y             []float64
}

// Method returns what kind of function c is.
func (c Calibrator) Method() Method {
	if c.method == "" {
		return None
	}
	return c.method
}

// Line returns slope and intercept of a Sigmoid, in log-odds; 1 and 0, the identity, for None. ok is false for Isotonic.
func (c Calibrator) Line() (slope, intercept float64, ok bool) {
	switch c.Method() {
	case Sigmoid:
		return c.slope, c.intercept, true
	case None:
		return 1, 0, true
	}
	return 0, 0, false
}

// Points returns the number of points of an Isotonic calibrator, 0 for the others.
func (c Calibrator) Points() int { return len(c.x) }

// Point returns the i-th point of an Isotonic calibrator, 0 <= i < Points.
func (c Calibrator) Point(i int) (score, probability float64) { return c.x[i], c.y[i] }

// Apply returns the calibrated probability of a score, in [0, 1]. A score outside [0, 1] counts as the nearer end. NaN gives NaN. It
// never decreases as p grows, for Sigmoid up to the rounding of the last place. Isotonic adds 2^-20 times p to 1-2^-20 times the
// fitted function, so that scores that lie 1e-9 apart or more never tie. It does not allocate.
func (c Calibrator) Apply(p float64) float64 {
	if p != p {
		return p
	}
	p = min(max(p, 0), 1)
	switch c.method {
	case Sigmoid:
		return logistic(float64(c.slope*logOdds(p)) + c.intercept)
	case Isotonic:
		return float64((1-tilt)*c.interpolate(p)) + float64(tilt*p)
	}
	return p
}

// tilt is the share of the score itself in an isotonic probability. It is far below anything that calibration means, and keeps
// the order of rows on a flat step, which isotonic regression alone gives up.
const tilt = 0x1p-20

// interpolate is the line through the two points around p, and the outer point's value beyond it.
func (c Calibrator) interpolate(p float64) float64 {
	last := len(c.x) - 1
	if p <= c.x[0] {
		return c.y[0]
	}
	if p >= c.x[last] {
		return c.y[last]
	}
	i := sort.SearchFloat64s(c.x, p) // x[i-1] < p <= x[i]
	low, high := c.y[i-1], c.y[i]
	share := (p - c.x[i-1]) / (c.x[i] - c.x[i-1])
	return min(low+float64((high-low)*share), high) // rounding may pass the end
}
