package eval

import (
	"cmp"
	"math"
	"slices"
)

// BenjaminiHochberg returns the adjusted p-values of a family of tests, in the order given,
//
//	q_(i) = min over j >= i of min(1, p_(j) m / j)
//
// where p_(j) is the j-th smallest of m (Benjamini and Hochberg 1995). Calling those with q <= a significant keeps the expected share of
// false ones among them at a or below, for tests that are independent or positively dependent. A NaN is a test that was not made: it
// does not count in m and stays NaN. p-values lie in [0, 1].
func BenjaminiHochberg(p []float64) []float64 {
	q := make([]float64, len(p))
	made := make([]int, 0, len(p))
	for i, v := range p {
		q[i] = math.NaN()
		if v == v {
			made = append(made, i)
		}
	}
	slices.SortFunc(made, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	least := 1.0
	for j := len(made) - 1; j >= 0; j-- {
		least = min(least, float64(p[made[j]]*float64(len(made)))/float64(j+1))
		q[made[j]] = least
	}
	return q
}
