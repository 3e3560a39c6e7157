package gbdt

import "math"

// quadrature is the Gauss-Legendre rule on the interval from 0 to 1: with k points it integrates polynomials up to degree 2k-1
// exactly.
type quadrature struct {
	// t are the points, strictly inside the interval, rest is 1-t and inverse 1/(1-t).
	t, rest, inverse []float64
	weight           []float64
}

// newQuadrature returns the rule of k points, at least 1: the roots of the Legendre polynomial of degree k, found by Newton's
// method from Tricomi's estimate (Abramowitz and Stegun, Handbook of Mathematical Functions, 25.4.29).
func newQuadrature(k int) *quadrature {
	q := &quadrature{
		t: make([]float64, k), rest: make([]float64, k), inverse: make([]float64, k), weight: make([]float64, k),
	}
	for i := range k {
		root := math.Cos(math.Pi * (float64(i) + 0.75) / (float64(k) + 0.5))
		var slope float64
		for range 100 {
			var value float64
			value, slope = legendre(k, root)
			step := value / slope
			root -= step
			if math.Abs(step) < 1e-15 {
				break
			}
		}
		// The roots lie symmetrically in (-1, 1), greatest first.
		q.t[i], q.rest[i] = (1-root)/2, (1+root)/2
		q.inverse[i] = 1 / q.rest[i]
		q.weight[i] = 1 / (float64((1-root)*(1+root)) * float64(slope*slope))
	}
	return q
}

// legendre returns the Legendre polynomial of degree k ≥ 1 and its derivative at x, |x| < 1, by the three-term recurrence.
func legendre(k int, x float64) (value, slope float64) {
	before, value := 1.0, x
	for n := 1; n < k; n++ {
		m := float64(n)
		before, value = value, (float64(float64((2*m+1)*x)*value)-float64(m*before))/(m+1)
	}
	return value, float64(k) * (before - float64(x*value)) / float64((1-x)*(1+x))
}
