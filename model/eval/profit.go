package eval

import (
	"fmt"
	"math"
)

// Campaign is a retention campaign, in any one unit of money. Whoever is predicted to leave is contacted and offered an incentive. One
// who would have left accepts with some probability, gamma, and stays; one who would have stayed accepts too.
type Campaign struct {
	Lifetime  float64 `json:"lifetime"`  // what a customer who stays is worth from here on, CLV
	Incentive float64 `json:"incentive"` // cost of the offer if it is accepted
	Contact   float64 `json:"contact"`   // cost of contacting one customer
	// Alpha and Beta are of the Beta distribution of gamma. Only ExpectedMaxProfit reads them.
	Alpha float64 `json:"alpha"`
	Beta  float64 `json:"beta"`
}

// DefaultCampaign returns the values that Verbraken, Verbeke and Baesens (2013) give for telecommunication: lifetime value 200, incentive
// 10, contact 1, gamma ~ Beta(6, 14), 0.3 on average.
func DefaultCampaign() Campaign {
	return Campaign{Lifetime: 200, Incentive: 10, Contact: 1, Alpha: 6, Beta: 14}
}

// Validate reports a value that is not finite, an incentive or contact below 0 or both of them 0, a lifetime value that is not above the
// incentive, and an Alpha or Beta that is not above 0 or is beyond 1e6, where the integrals lose their digits.
func (c Campaign) Validate() error {
	for _, v := range []struct {
		name  string
		value float64
	}{{"lifetime", c.Lifetime}, {"incentive", c.Incentive}, {"contact", c.Contact}} {
		if !(v.value >= 0) || math.IsInf(v.value, 0) {
			return fmt.Errorf("%s %v is negative or not finite", v.name, v.value)
		}
	}
	if c.Incentive+c.Contact == 0 {
		return fmt.Errorf("incentive and contact are both 0")
	}
	if !(c.Lifetime > c.Incentive) {
		return fmt.Errorf("lifetime value %v is not above the incentive, %v", c.Lifetime, c.Incentive)
	}
	for _, v := range []float64{c.Alpha, c.Beta} {
		if !(v > 0 && v <= 1e6) {
			return fmt.Errorf("beta distribution with parameter %v, want one above 0 and 1e6 at most", v)
		}
	}
	return nil
}

// profit is of the customers by weight, tp who would leave and fp who would stay.
func (c Campaign) profit(gamma, tp, fp float64) float64 {
	return float64((float64(gamma*(c.Lifetime-c.Incentive))-c.Contact)*tp) - float64((c.Incentive+c.Contact)*fp)
}

// MaxProfit returns the threshold with the greatest profit per row if those who would leave accept with a known probability gamma
// in [0, 1] (the MPC of Verbeke and others 2012),
//
//	(gamma (Lifetime - Incentive) - Contact) TP/W - (Incentive + Contact) FP/W
//
// TP and FP being weights of true and false positives and W that of all rows. Thresholds and ties are those of BestCostThreshold; contacting
// nobody has profit 0, so the profit is never negative. The profit is linear in gamma, so this threshold at the mean of gamma also has
// the greatest expected profit if gamma is not known when the campaign is planned. With one class: ErrSingleClass.
func (c Campaign) MaxProfit(score, label, weight []float64, gamma float64) (Decision, error) {
	if err := c.Validate(); err != nil {
		return Decision{}, err
	}
	if !(gamma >= 0 && gamma <= 1) {
		return Decision{}, fmt.Errorf("acceptance %v is outside [0, 1]", gamma)
	}
	r, err := rankForPolicy(score, label, weight)
	if err != nil {
		return Decision{}, err
	}
	return r.best(func(tp, fp float64) float64 { return c.profit(gamma, tp, fp) }), nil
}

// ExpectedMaxProfit returns the EMP of Verbraken, Verbeke and Baesens (2013): the mean over gamma ~ Beta(Alpha, Beta) of the greatest
// profit per row, where the best threshold is chosen for each gamma. Value is the EMP; Share is the mean share of the base that is
// then contacted, the paper's advice for how many to target; Threshold is the one of MaxProfit's whose own share lies nearest to it,
// the higher of two equally near.
//
// Between two neighbouring corners (FP_i, TP_i) of the ROC curve's convex hull the best threshold passes on at
//
//	gamma_i = ((Incentive + Contact) dFP_i/dTP_i + Contact) / (Lifetime - Incentive)
//
// and in between the profit is linear in gamma, so the mean is a sum over corners of incomplete beta functions: exact, with no grid. With
// one class: ErrSingleClass.
func (c Campaign) ExpectedMaxProfit(score, label, weight []float64) (Decision, error) {
	if err := c.Validate(); err != nil {
		return Decision{}, err
	}
	r, err := rankForPolicy(score, label, weight)
	if err != nil {
		return Decision{}, err
	}
	var out Decision
	hull := r.hull()
	mean := c.Alpha / (c.Alpha + c.Beta)
	mass0, mass1 := 0.0, 0.0 // the distribution function at the last corner's gamma, and that of the mean
	for i, p := range hull {
		to := 1.0
		if i+1 < len(hull) {
			to = c.turn(p, hull[i+1])
		}
		next0, next1 := betaCDF(to, c.Alpha, c.Beta), betaCDF(to, c.Alpha+1, c.Beta)
		m0, m1 := next0-mass0, float64(mean*(next1-mass1))
		mass0, mass1 = next0, next1
		gain := float64(float64(m1*(c.Lifetime-c.Incentive))*p.tp) - float64(float64(m0*c.Contact)*p.tp)
		out.Value += gain - float64(float64(m0*(c.Incentive+c.Contact))*p.fp)
		out.Share += float64(m0 * (p.tp + p.fp))
	}
	out.Threshold = r.threshold(r.nearest(out.Share))
	out.Value /= r.total
	out.Share = min(out.Share/r.total, 1)
	return out, nil
}

// turn is the gamma from which corner q is better than corner p, cut to [0, 1]. A corner that adds no true positives is better from
// infinity on.
func (c Campaign) turn(p, q corner) float64 {
	gamma := (float64((c.Incentive+c.Contact)*((q.fp-p.fp)/(q.tp-p.tp))) + c.Contact) / (c.Lifetime - c.Incentive)
	return min(gamma, 1)
}

// corner is a point of the ROC curve, by weight.
type corner struct{ tp, fp float64 }

// hull returns the corners of the upper convex hull of the ROC curve from nobody to everybody.
func (r *ranked) hull() []corner {
	hull := make([]corner, 1, 64)
	tp, fp := 0.0, 0.0
	for _, b := range r.blocks {
		tp += b.pos
		fp += b.neg
		p := corner{tp, fp}
		for len(hull) >= 2 && below(hull[len(hull)-2], hull[len(hull)-1], p) {
			hull = hull[:len(hull)-1]
		}
		hull = append(hull, p)
	}
	return hull
}

// below reports whether b lies on or under the line from a to c.
func below(a, b, c corner) bool {
	return float64((b.tp-a.tp)*(c.fp-a.fp)) <= float64((c.tp-a.tp)*(b.fp-a.fp))
}

// nearest returns the block down to which the weight is nearest to the one given, -1 for nobody.
func (r *ranked) nearest(weight float64) int {
	best, distance := -1, weight
	above := 0.0
	for k, b := range r.blocks {
		above += b.pos + b.neg
		if d := math.Abs(above - weight); d < distance {
			best, distance = k, d
		}
	}
	return best
}
