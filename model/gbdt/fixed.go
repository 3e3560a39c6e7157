package gbdt

import (
	"math"
	"math/bits"
)

// Derivatives are whole multiples of a unit, so that their sums are exact and do not depend on the order of the rows. With W the
// least power of two that no row's weight exceeds, first derivatives, of magnitude up to W, are multiples of W/2^30 and second ones, of up
// to W/4, of W/2^32: each fits 31 bits and is off by at most W/2^31 and W/2^33.
const (
	firstBits  = 30
	secondBits = 32
)

// pair is the first and second derivative of the loss at a row, times its weight: the low 32 bits are the first in two's complement, the
// high ones the second.
type pair = uint64

// cell is the sum over the rows of one bin, or of a leaf.
type cell struct {
	g, h, rows int64
}

func (c *cell) add(o cell) {
	c.g += o.g
	c.h += o.h
	c.rows += o.rows
}

func (c cell) minus(o cell) cell {
	return cell{g: c.g - o.g, h: c.h - o.h, rows: c.rows - o.rows}
}

// scale holds the units of the sums of derivatives.
type scale struct{ g, h float64 }

// toPair returns the pair of derivatives in shares of the greatest weight, g of magnitude up to 1 and h from 0 to 1/4, rounded to the
// nearest unit.
func toPair(g, h float64) pair {
	// Added to a number of magnitude under 2^51, roundShift leaves it rounded in the low bits.
	low := math.Float64bits(float64(g*(1<<firstBits)) + roundShift)
	high := math.Float64bits(float64(h*(1<<secondBits)) + roundShift)
	return high<<32 | low&(1<<32-1)
}

// classWeights is the weight of the rows with label 1 and of all rows. They are exact sums of weights that were rounded once, to a
// multiple of the greatest one's 2^-62, so that they do not depend on the order of the rows.
type classWeights struct {
	// unit is the least power of two that no weight exceeds: 0 if all weights are 0, +Inf if there is none.
	unit            float64
	positive, total float64
}

// weigh sums the weights of the rows, those with label 1 times a factor.
func (d *Data) weigh(factor float64) classWeights {
	var positives int
	for _, y := range d.label {
		positives += int(y)
	}
	if d.weight == nil {
		c := classWeights{positive: float64(positives) * factor}
		c.total = float64(c.positive) + float64(len(d.label)-positives)
		greatest := 1.0
		if positives > 0 && (factor > 1 || positives == len(d.label)) {
			greatest = factor
		}
		c.unit = powerAbove(greatest)
		return c
	}
	byLabel := [2]float64{1, factor}
	greatest := 0.0
	for i, y := range d.label {
		greatest = max(greatest, byLabel[y&1]*d.weight[i])
	}
	c := classWeights{unit: powerAbove(greatest)}
	if c.unit == 0 || math.IsInf(c.unit, 1) {
		c.total = c.unit
		return c
	}
	_, exponent := math.Frexp(c.unit)
	exponent-- // unit is 2^exponent
	var sums [2]wide
	for i, y := range d.label {
		sums[y&1].add(uint64(math.Ldexp(byLabel[y&1]*d.weight[i], 62-exponent)))
	}
	c.positive = math.Ldexp(sums[1].float(), exponent-62)
	sums[1].add(sums[0].low)
	sums[1].high += sums[0].high
	c.total = math.Ldexp(sums[1].float(), exponent-62)
	return c
}

// powerAbove returns the least power of two that is not less than x, 0 for 0, and +Inf where there is none.
func powerAbove(x float64) float64 {
	if x == 0 || math.IsInf(x, 1) {
		return x
	}
	fraction, exponent := math.Frexp(x)
	if fraction == 0.5 {
		return x
	}
	return math.Ldexp(1, exponent)
}

// wide is a whole number of 128 bits.
type wide struct{ high, low uint64 }

func (s *wide) add(v uint64) {
	var carry uint64
	s.low, carry = bits.Add64(s.low, v, 0)
	s.high += carry
}

func (s *wide) float() float64 {
	return math.Ldexp(float64(s.high), 64) + float64(s.low)
}
