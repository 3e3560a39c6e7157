package gbdt

import "math"

const (
	log2e = 1.44269504088896340735992468100189214
	// ln 2 in two parts: the high one has 20 trailing zero bits, so an integer below 2^20 times it is exact.
	ln2High = 6.93147180369123816490e-01
	ln2Low  = 1.90821492927058770002e-10
	// roundShift added to and taken from a small number rounds it to the nearest integer.
	roundShift = 3 << 51
)

// Sigmoid returns 1/(1+exp(-margin)), the probability that log-odds of margin stand for. It is 0 at -Inf, 1 at +Inf and NaN at NaN.
// The result is the same on every architecture.
func Sigmoid(margin float64) float64 {
	return 1 / (1 + exp(-margin))
}

// exp returns e**x to within 2 units in the last place, by reduction to |r| ≤ ln(2)/2 and the Taylor polynomial of degree 13.
// Unlike math.Exp it has no assembly and leaves no product for the compiler to fuse.
func exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > 709.782712893384:
		return math.Inf(1)
	case x < -745.1332191019412:
		return 0
	}
	k := (float64(x*log2e) + roundShift) - roundShift
	r := (x - float64(k*ln2High)) - float64(k*ln2Low)
	r2 := float64(r * r)
	r4 := float64(r2 * r2)
	low := (1.0/2 + float64(r*(1.0/6))) + float64(r2*(1.0/24+float64(r*(1.0/120))))
	middle := (1.0/720 + float64(r*(1.0/5040))) + float64(r2*(1.0/40320+float64(r*(1.0/362880))))
	high := (1.0/3628800 + float64(r*(1.0/39916800))) + float64(r2*(1.0/479001600+float64(r*(1.0/6227020800))))
	tail := low + float64(r4*(middle+float64(r4*high)))
	p := 1 + (r + float64(r2*tail))
	if k > -1022 && k < 1024 {
		return float64(p * math.Float64frombits(uint64(int64(k)+1023)<<52))
	}
	return math.Ldexp(p, int(k))
}

// log returns the natural logarithm of x, which must be positive, finite and no smaller than 2**-1022, to within 4 units in
// the last place, from the series of atanh: log m = 2(s + s³/3 + s⁵/5 + ...) with s = (m-1)/(m+1), |s| < 0.172.
func log(x float64) float64 {
	bits := math.Float64bits(x)
	k := int(bits>>52) - 1023
	m := math.Float64frombits(bits&(1<<52-1) | 1023<<52)
	if m > math.Sqrt2 {
		m /= 2
		k++
	}
	s := (m - 1) / (m + 1)
	z := float64(s * s)
	z2 := float64(z * z)
	z4 := float64(z2 * z2)
	low := (1.0/3 + float64(z*(1.0/5))) + float64(z2*(1.0/7+float64(z*(1.0/9))))
	middle := (1.0/11 + float64(z*(1.0/13))) + float64(z2*(1.0/15+float64(z*(1.0/17))))
	sum := low + float64(z4*(middle+float64(z4*(1.0/19+float64(z*(1.0/21))))))
	series := float64(2*s) + float64(float64(2*s)*float64(z*sum))
	return float64(float64(k)*ln2High) + (series + float64(float64(k)*ln2Low))
}

// decaySteps is the number of steps that decay's table cuts a halving into.
const decaySteps = 256

// decayTable holds 2**(-i/256).
var decayTable = func() (table [decaySteps]float64) {
	for i := range table {
		table[i] = exp(-float64(float64(float64(i)/decaySteps) * math.Ln2))
	}
	return table
}()

// decay returns e**-x to within 1e-12 of itself, for x from 0 to 700. It takes a third of the time of exp: x is k/256 halvings and a rest of
// magnitude up to ln(2)/512, for which the Taylor polynomial of degree 3 is enough.
func decay(x float64) float64 {
	shifted := float64(x*(log2e*decaySteps)) + roundShift
	k := math.Float64bits(shifted)
	r := float64((shifted-roundShift)*(math.Ln2/decaySteps)) - x
	series := (1 + r) + float64(float64(r*r)*(1.0/2+float64(r*(1.0/6))))
	return float64(series * math.Float64frombits(math.Float64bits(decayTable[k%decaySteps])-k/decaySteps<<52))
}
