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

// Source returns the matrix as a [Source] for [Quantize]. Its shape must be right, or reading rows panics.
func (m Matrix) Source() Source { return matrixSource{m} }

// weight returns the weight of row i.
func (m Matrix) weight(i int) float64 {
	if m.Weight == nil {
		return 1
	}
	return m.Weight[i]
}

// check reports the first thing wrong with the shape.
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
	return nil
}

// matrixSource is a matrix with a method of the name that the matrix has a field of.
type matrixSource struct{ matrix Matrix }

func (s matrixSource) Len() int { return s.matrix.Rows }

func (s matrixSource) Rows() func(i int, dst []float64) (label, weight float64) {
	m := s.matrix
	return func(i int, dst []float64) (label, weight float64) {
		copy(dst, m.Row(i))
		return m.Label[i], m.weight(i)
	}
}

// reader reads rows of a source on one goroutine, those of a matrix without copying them.
type reader struct {
	matrix Matrix
	read   func(i int, dst []float64) (label, weight float64)
	x      []float64
}

// open makes the reader ready, unless it is.
func (r *reader) open(src Source, width int) {
	if r.read != nil || r.matrix.Rows > 0 {
		return
	}
	if m, ok := src.(matrixSource); ok {
		r.matrix = m.matrix
		return
	}
	r.read = src.Rows()
	r.x = make([]float64, width)
}

// row returns the features of a row, valid until the next call, its label and its weight.
func (r *reader) row(i int) (x []float64, label, weight float64) {
	if r.read == nil {
		return r.matrix.Row(i), r.matrix.Label[i], r.matrix.weight(i)
	}
	label, weight = r.read(i, r.x)
	return r.x, label, weight
}
