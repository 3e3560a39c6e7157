package calibrate

import "math"

// clip keeps log-odds finite: probabilities are moved into [2^-52, 1-2^-52] before the logarithm, the log-odds into ±36.05.
const clip = 0x1p-52

// logOdds returns ln(p/(1-p)) of p in [0, 1], clipped.
func logOdds(p float64) float64 {
	p = min(max(p, clip), 1-clip)
	return log(p / (1 - p))
}

// logistic returns 1/(1+exp(-z)).
func logistic(z float64) float64 { return 1 / (1 + exp(-z)) }

// softplus returns ln(1+exp(z)) without overflow.
func softplus(z float64) float64 { return max(z, 0) + log(1+exp(-math.Abs(z))) }

const (
	// ln 2 in two parts: the high one has 20 trailing zero bits, so an integer below 2^20 times it is exact.
	ln2High = 6.93147180369123816490e-01
	ln2Low  = 1.90821492927058770002e-10
)

// exp returns e**x to within 2 units in the last place: e**r by its Taylor polynomial for |r| <= ln(2)/2, times 2**k. Unlike math.Exp, whose
// assembly fuses products where the processor can, it gives the same bits everywhere.
func exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > 709.782712893384:
		return math.Inf(1)
	case x < -745.1332191019412:
		return 0
	}
	k := math.RoundToEven(float64(x * math.Log2E))
	r := (x - float64(k*ln2High)) - float64(k*ln2Low)
	p := 1.0
	for i := 13; i >= 1; i-- { // Horner: 1 + r/1 (1 + r/2 (1 + ...))
		p = 1 + float64(r*p)/float64(i)
	}
	return math.Ldexp(p, int(k))
}

// log returns the natural logarithm of a positive, finite x, to within 4 units in the last place: with x = m 2**k and m in
// [sqrt(1/2), sqrt(2)), ln m = 2 (s + s^3/3 + s^5/5 + ...) for s = (m-1)/(m+1).
func log(x float64) float64 {
	m, k := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m *= 2
		k--
	}
	s := (m - 1) / (m + 1)
	z := float64(s * s)
	sum := 0.0
	for i := 21; i >= 3; i -= 2 {
		sum = float64(z * (sum + 1/float64(i)))
	}
	series := float64(2*s) + float64(float64(2*s)*sum)
	return float64(float64(k)*ln2High) + (series + float64(float64(k)*ln2Low))
}
