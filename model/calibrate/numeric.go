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
	tail := 0.0
	for _, c := range expTail {
		tail = c + float64(r*tail)
	}
	p := 1 + (r + float64(float64(r*r)*tail))
	return scale(p, int(k))
}

// scale returns p * 2**k for p in [0.5, 2).
func scale(p float64, k int) float64 {
	if k > -1022 && k < 1023 {
		return p * math.Float64frombits(uint64(k+1023)<<52)
	}
	return math.Ldexp(p, k)
}

// expTail are 1/13!, 1/12!, ..., 1/2!, the coefficients of (e**r - 1 - r)/r**2.
var expTail = [...]float64{
	1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120,
	1.0 / 24, 1.0 / 6, 1.0 / 2,
}

// logTail are 1/21, 1/19, ..., 1/3.
var logTail = [...]float64{1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3}

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
	for _, c := range logTail {
		sum = float64(z * (sum + c))
	}
	series := float64(2*s) + float64(float64(2*s)*sum)
	return float64(float64(k)*ln2High) + (series + float64(float64(k)*ln2Low))
}
