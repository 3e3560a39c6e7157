package baseline

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Empty says how a bin's share is made from its count c, the rows n and the number of bins k, missing and unseen included.
type Empty string

const (
	EmptyFloor   Empty = "floor"   // the greater of c/n and Floor, so that an empty bin counts as Floor; not renormalised
	EmptyAdd     Empty = "add"     // c/n + Floor, not renormalised
	EmptyLaplace Empty = "laplace" // (c+1) / (n+k); Floor is not used
	EmptyNone    Empty = "none"    // c/n: a bin that is empty on one side makes PSI +Inf, one that is empty on both adds 0
)

// DefaultFloor is the least share of a bin unless another is asked for.
const DefaultFloor = 1e-4

// PSIOptions says how empty bins are treated. The zero value is not valid: begin with DefaultPSIOptions.
type PSIOptions struct {
	Empty Empty   `json:"empty"`
	Floor float64 `json:"floor"` // for floor and add: above 0, below 1
}

// DefaultPSIOptions returns EmptyFloor with DefaultFloor.
func DefaultPSIOptions() PSIOptions {
	return PSIOptions{Empty: EmptyFloor, Floor: DefaultFloor}
}

// Validate reports an unknown treatment and, where one is used, a floor outside (0, 1).
func (o PSIOptions) Validate() error {
	switch o.Empty {
	case EmptyFloor, EmptyAdd:
		if !(o.Floor > 0 && o.Floor < 1) {
			return fmt.Errorf("floor %v is not between 0 and 1", o.Floor)
		}
		return nil
	case EmptyLaplace, EmptyNone:
		return nil
	default:
		return fmt.Errorf("unknown treatment of empty bins %q", o.Empty)
	}
}

// Contribution is one bin's part of a PSI. Reference and Current are the plain shares c/n, before empty bins are treated; PSI is
// the part as computed from the treated shares.
type Contribution struct {
	Bin       string  `json:"bin"`
	Reference float64 `json:"reference"`
	Current   float64 `json:"current"`
	PSI       float64 `json:"psi"`
}

// PSI returns the population stability index of a window against its reference, and each bin's part in bin order:
//
//	sum over bins (p - q) ln(p / q)
//
// with p the reference share, q the window's, and the natural logarithm. It is never negative, 0 for equal shares, and does not change
// when the two sides are swapped. Missing and unseen are bins like any other. Empty bins are treated as o says, on both sides alike;
// with EmptyNone the result can be +Inf, which JSON cannot hold.
//
// current holds one count per bin, as Counter.Counts gives them. Errors: a length that is not ref.Bins(), a negative count, no rows
// on either side, options that are not valid.
func PSI(ref *Reference, current []int64, o PSIOptions) (float64, []Contribution, error) {
	if err := o.Validate(); err != nil {
		return 0, nil, fmt.Errorf("psi of %q: %w", ref.Column, err)
	}
	if len(current) != ref.Bins() {
		return 0, nil, fmt.Errorf("psi of %q: %d counts for %d bins", ref.Column, len(current), ref.Bins())
	}
	n, err := total(ref.Counts)
	if err != nil {
		return 0, nil, fmt.Errorf("psi of %q: reference: %w", ref.Column, err)
	}
	m, err := total(current)
	if err != nil {
		return 0, nil, fmt.Errorf("psi of %q: window: %w", ref.Column, err)
	}
	if n == 0 || m == 0 {
		return 0, nil, fmt.Errorf("psi of %q: %d reference rows, %d rows in the window", ref.Column, n, m)
	}
	parts := make([]Contribution, len(current))
	sum := 0.0
	for i, c := range current {
		part := Contribution{
			Bin:       ref.BinLabel(i),
			Reference: float64(ref.Counts[i]) / float64(n),
			Current:   float64(c) / float64(m),
		}
		part.PSI = term(o.share(ref.Counts[i], n, len(current)), o.share(c, m, len(current)))
		sum += part.PSI
		parts[i] = part
	}
	return sum, parts, nil
}

// share treats one bin, see Empty.
func (o PSIOptions) share(count, n int64, bins int) float64 {
	s := float64(count) / float64(n)
	switch o.Empty {
	case EmptyFloor:
		return max(s, o.Floor)
	case EmptyAdd:
		return s + o.Floor
	case EmptyLaplace:
		return (float64(count) + 1) / (float64(n) + float64(bins))
	default:
		return s
	}
}

// term is one bin's (p - q) ln(p/q).
func term(p, q float64) float64 {
	switch {
	case p == q:
		return 0
	case p == 0 || q == 0:
		return math.Inf(1)
	}
	return (p - q) * math.Log(p/q)
}

// Occupied returns how many bins hold a row of the reference or of the window: what SignificanceBound takes as bins. A bin that is
// empty on both sides adds nothing to PSI and has no degree of freedom.
func (r *Reference) Occupied(current []int64) int {
	n := 0
	for i, c := range r.Counts {
		if c > 0 || i < len(current) && current[i] > 0 {
			n++
		}
	}
	return n
}

// SignificanceBound returns the PSI that a window of m rows from the same distribution as the n reference rows stays under with
// probability p (0.999, say):
//
//	chi2_p(bins-1) * (1/n + 1/m)
//
// where chi2_p is the p-quantile, since PSI times nm/(n+m) is nearly chi-squared without drift (Yurdakul, "Statistical properties of
// the population stability index", 2018). bins counts the bins that can be occupied, see Occupied: a missing bin that no side uses is
// not one. The approximation wants a handful of rows per bin on both sides; below that the floor of empty bins dominates.
//
// With fewer than 2 bins nothing can move and the bound is 0. Without rows on either side, or with p >= 1, it is +Inf: nothing is
// significant. With p <= 0 it is 0, with p NaN it is NaN.
func SignificanceBound(bins int, n, m int64, p float64) float64 {
	switch {
	case math.IsNaN(p):
		return p
	case n < 1 || m < 1 || p >= 1:
		return math.Inf(1)
	case bins < 2 || p <= 0:
		return 0
	}
	chi2 := distuv.ChiSquared{K: float64(bins - 1)}.Quantile(p)
	return chi2 * (1/float64(n) + 1/float64(m))
}
