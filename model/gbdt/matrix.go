package gbdt

import (
	"fmt"
	"math"
)

// Matrix is a dense table of features with labels, row after row. It is only read; the caller must not change it meanwhile.
type Matrix struct {
	// Rows and Width are the number of rows and of features in each.
	Rows, Width int
	// X holds Rows*Width values, each row's beside one another; NaN is a missing value, infinities are refused.
	X []float64
	// Label holds Rows values, each 0 or 1.
	Label []float64
	// Weight holds Rows values, each finite and not negative; nil stands for 1 everywhere.
	Weight []float64
}

// Row returns the features of row i, sharing memory with X. It panics if i is out of range.
func (m Matrix) Row(i int) []float64 {
	return m.X[i*m.Width : (i+1)*m.Width : (i+1)*m.Width]
}

// weight returns the weight of row i.
func (m Matrix) weight(i int) float64 {
	if m.Weight == nil {
		return 1
	}
	return m.Weight[i]
}

// check reports the first thing wrong with the shape, labels, weights or values.
func (m Matrix) check(width int) error {
	if m.Rows < 1 {
		return fmt.Errorf("matrix has %d rows, want at least 1", m.Rows)
	}
	if m.Rows > math.MaxInt32 {
		return fmt.Errorf("matrix has %d rows, want at most %d", m.Rows, math.MaxInt32)
	}
	if m.Width != width {
		return fmt.Errorf("matrix has a width of %d, want %d, one for each feature name", m.Width, width)
	}
	if len(m.X)/m.Width != m.Rows || len(m.X)%m.Width != 0 {
		return fmt.Errorf("matrix has %d values, want %d rows times %d", len(m.X), m.Rows, m.Width)
	}
	if len(m.Label) != m.Rows {
		return fmt.Errorf("matrix has %d labels, want one for each of %d rows", len(m.Label), m.Rows)
	}
	if m.Weight != nil && len(m.Weight) != m.Rows {
		return fmt.Errorf("matrix has %d weights, want one for each of %d rows", len(m.Weight), m.Rows)
	}
	for i, y := range m.Label {
		if y != 0 && y != 1 {
			return fmt.Errorf("row %d: label is %v, want 0 or 1", i, y)
		}
	}
	for i, w := range m.Weight {
		if !(w >= 0) || math.IsInf(w, 1) {
			return fmt.Errorf("row %d: weight is %v, want a finite number of at least 0", i, w)
		}
	}
	return nil
}

// classWeights returns the weight of the rows with label 1 and of all rows, summed in row order.
func (m Matrix) classWeights() (positive, total float64) {
	for i, y := range m.Label {
		w := m.weight(i)
		total += w
		if y == 1 {
			positive += w
		}
	}
	return positive, total
}
