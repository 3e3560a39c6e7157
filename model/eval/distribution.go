package eval

import "math"

// normalTail returns P(Z > z) of a standard normal, exact in the far tail.
func normalTail(z float64) float64 { return math.Erfc(z/math.Sqrt2) / 2 }

// twoSided returns P(|Z| >= |z|) of a standard normal.
func twoSided(z float64) float64 { return math.Erfc(math.Abs(z) / math.Sqrt2) }

// normalQuantile returns the z that a standard normal exceeds with probability tail, 0 < tail < 1. One step of Newton repairs what
// the library's inverse loses in the far tail.
func normalQuantile(tail float64) float64 {
	z := math.Sqrt2 * math.Erfcinv(2*tail)
	density := math.Exp(-float64(z*z)/2) / math.Sqrt(2*math.Pi)
	if !(density > 0) {
		return z
	}
	return z + (normalTail(z)-tail)/density
}

// lnBeta returns the logarithm of the beta function of a, b > 0.
func lnBeta(a, b float64) float64 {
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	return la + lb - lab
}

// betaCDF returns the regularised incomplete beta function I_x(a, b), the distribution function of Beta(a, b), for a, b > 0. Below 0 it
// is 0 and above 1 it is 1. The continued fraction is that of DLMF 8.17.22, evaluated by the modified Lentz method, on the side of
// the mean where it converges fast; about 14 digits.
func betaCDF(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	}
	front := math.Exp(float64(a*math.Log(x)) + float64(b*math.Log1p(-x)) - lnBeta(a, b))
	if x < (a+1)/(a+b+2) {
		return min(front*betaFraction(x, a, b)/a, 1)
	}
	return max(1-front*betaFraction(1-x, b, a)/b, 0)
}

// betaFraction is the continued fraction 1/(1+ d1/(1+ d2/(1+ ...))) of DLMF 8.17.22.
func betaFraction(x, a, b float64) float64 {
	const tiny, enough = 1e-300, 1e-16
	c, d := 1.0, 1/nonzero(1-float64((a+b)*x)/(a+1), tiny)
	f := d
	for m := 1.0; m < 10_000; m++ {
		even := m * (b - m) * x / ((a + float64(2*m) - 1) * (a + float64(2*m)))
		d = 1 / nonzero(1+float64(even*d), tiny)
		c = nonzero(1+even/c, tiny)
		f *= float64(c * d)
		odd := -(a + m) * (a + b + m) * x / ((a + float64(2*m)) * (a + float64(2*m) + 1))
		d = 1 / nonzero(1+float64(odd*d), tiny)
		c = nonzero(1+odd/c, tiny)
		step := float64(c * d)
		f *= step
		if math.Abs(step-1) <= enough {
			break
		}
	}
	return f
}

func nonzero(v, tiny float64) float64 {
	if math.Abs(v) < tiny {
		return tiny
	}
	return v
}

// studentTail returns P(T > t) of Student's t with df > 0 degrees of freedom.
func studentTail(t, df float64) float64 {
	tail := betaCDF(df/(df+float64(t*t)), df/2, 0.5) / 2
	if t < 0 {
		return 1 - tail
	}
	return tail
}

// studentQuantile returns the t that Student's t with df degrees of freedom exceeds with probability tail, 0 < tail < 0.5, by bisection.
func studentQuantile(tail, df float64) float64 {
	low, high := 0.0, 1.0
	for studentTail(high, df) > tail && high < 1e300 {
		low, high = high, high*2
	}
	for range 200 {
		m := low + (high-low)/2
		if m <= low || m >= high {
			break
		}
		if studentTail(m, df) > tail {
			low = m
		} else {
			high = m
		}
	}
	return high
}

// chiSquareTail returns P(X > x) of a chi-square with df > 0 degrees of freedom, the regularised upper incomplete gamma function
// Q(df/2, x/2): by the series of DLMF 8.7.1 below the mean, else by the continued fraction of DLMF 8.9.2.
func chiSquareTail(x, df float64) float64 {
	a, z := df/2, x/2
	if z <= 0 {
		return 1
	}
	lg, _ := math.Lgamma(a)
	front := math.Exp(float64(a*math.Log(z)) - z - lg)
	if z < a+1 {
		term := 1 / a
		sum := term
		for n := 1.0; n < 10_000 && term > sum*1e-17; n++ {
			term *= z / (a + n)
			sum += term
		}
		return max(1-float64(front*sum), 0)
	}
	const tiny = 1e-300
	b := z + 1 - a
	c, d := 1/tiny, 1/b
	f := d
	for n := 1.0; n < 10_000; n++ {
		an := n * (a - n)
		b += 2
		d = 1 / nonzero(float64(an*d)+b, tiny)
		c = nonzero(b+an/c, tiny)
		step := float64(c * d)
		f *= step
		if math.Abs(step-1) <= 1e-16 {
			break
		}
	}
	return min(float64(front*f), 1)
}
