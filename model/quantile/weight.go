package quantile

import (
	"math"
	"math/bits"
)

// Scale maps the weights of n rows, of which the greatest is given, to whole numbers: a weight becomes the nearest whole number of
// units of 2^Exponent, chosen so that n of the greatest stay below 2^62. A weight so keeps 61 - log2(n) bits below the greatest one,
// 38 for ten million rows; whole weights that span no more are exact.
type Scale struct {
	Exponent int
}

// ScaleOf returns the scale for n rows, n >= 1, whose greatest weight is most, finite and above 0.
func ScaleOf(n int, most float64) Scale {
	_, e := math.Frexp(most) // most < 2^e
	return Scale{Exponent: e - (61 - bits.Len(uint(n)))}
}

// Whole returns a weight in units of the scale.
func (s Scale) Whole(w float64) int64 { return int64(math.RoundToEven(math.Ldexp(w, -s.Exponent))) }

// Float64 returns a number of units, such as a sum of weights, as a weight.
func (s Scale) Float64(units int64) float64 { return math.Ldexp(float64(units), s.Exponent) }
