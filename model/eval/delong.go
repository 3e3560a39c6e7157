package eval

import (
	"fmt"
	"math"
)

// AUCEstimate is a ROC-AUC with its uncertainty.
type AUCEstimate struct {
	AUC       float64 `json:"auc"`
	Positives int     `json:"positives"` // rows with a weight above 0
	Negatives int     `json:"negatives"`
	// SE is the standard error, undefined where a class has fewer than two rows.
	SE Figure `json:"se,omitzero"`
	// Interval is at the confidence Level, see At.
	Interval
}

// DeLong returns the ROC-AUC with the standard error of DeLong, DeLong and Clarke-Pearson (1988),
//
//	SE^2 = sum over positives (V_i - AUC)^2 / (m (m-1)) + sum over negatives (V_j - AUC)^2 / (n (n-1))
//
// where V_i is the share of the n negatives that positive i scores above, and V_j the share of the m positives that score above
// negative j, ties counting half. All V come from one sort (after Sun and Xu 2014), so the cost is that of ROCAUC, n log n.
//
// With weights the shares and means are weighted, (V - AUC)^2 is multiplied by (w/W)^2 with W the weight of the class, and m/(m-1)
// uses the effective number W^2/sum w^2. So here, unlike in the rest of the package, a weight of 2 is not two rows: it says how
// much a row stands for, not how often it was seen, and doubling all weights changes nothing.
//
// The error of a sample has rows that are independent; of several rows of one entity it is too small. With one class:
// ErrSingleClass. With one row in a class the standard error and interval are undefined.
func DeLong(score, label, weight []float64) (AUCEstimate, error) {
	if err := check(score, label, weight); err != nil {
		return AUCEstimate{}, err
	}
	p, err := place(score, label, weight)
	if err != nil {
		return AUCEstimate{}, err
	}
	return p.estimate(), nil
}

// At returns the confidence interval at another level, 0 < level < 1, on the scale of log-odds, which keeps it inside [0, 1] and is the closer
// one for areas near 1 (Pepe 2003, 5.2):
//
//	logit(AUC) ± z SE / (AUC (1-AUC))
//
// Where the classes are separated completely, AUC 0 or 1, the standard error is 0 and says nothing: the interval is then
// Newcombe's (2006, part 2, method 5), which asks how far the true area may be from 1 in a sample of this size.
func (e AUCEstimate) At(level float64) (Interval, error) {
	if err := checkLevel(level); err != nil {
		return Interval{}, err
	}
	return e.at(level), nil
}

func (e AUCEstimate) at(level float64) Interval {
	se, ok := e.SE.Value()
	if !ok {
		return Interval{}
	}
	z := normalQuantile((1 - level) / 2)
	switch a := e.AUC; {
	case a >= 1:
		return interval(newcombe(e.Positives, e.Negatives, z), 1)
	case a <= 0:
		return interval(0, 1-newcombe(e.Positives, e.Negatives, z))
	default:
		centre := math.Log(a) - math.Log1p(-a)
		half := z * se / float64(a*(1-a))
		return interval(expit(centre-half), expit(centre+half))
	}
}

// Wald returns the interval AUC ± z SE at a level, 0 < level < 1, cut to [0, 1]. It is undefined where SE is; where SE is 0 it is a
// point.
func (e AUCEstimate) Wald(level float64) (Interval, error) {
	if err := checkLevel(level); err != nil {
		return Interval{}, err
	}
	half := normalQuantile((1-level)/2) * e.SE.Float()
	return interval(max(e.AUC-half, 0), min(e.AUC+half, 1)), nil
}

// newcombe returns the theta at which (1-theta)^2 = z^2 V(theta) with Hanley and McNeil's variance, by bisection:
//
//	V = theta (1-theta) (1 + N (1-theta)/(2-theta) + N theta/(1+theta)) / (m n), N = (m+n)/2 - 1
func newcombe(positives, negatives int, z float64) float64 {
	m, n := float64(positives), float64(negatives)
	middle := (m+n)/2 - 1
	low, high := 0.0, 1.0
	for range 60 {
		t := (low + high) / 2
		spread := 1 + float64(middle*(1-t))/(2-t) + float64(middle*t)/(1+t)
		if float64((1-t)*m)*n > float64(z*z)*float64(t*spread) {
			low = t
		} else {
			high = t
		}
	}
	return low
}

func expit(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// AUCComparison is the difference of two models' ROC-AUC on the same rows.
type AUCComparison struct {
	A AUCEstimate `json:"a"`
	B AUCEstimate `json:"b"`
	// Difference is A's area less B's.
	Difference float64 `json:"difference"`
	// Covariance is that of the two areas.
	Covariance Figure `json:"covariance,omitzero"`
	SE         Figure `json:"se,omitzero"` // of Difference
	Z          Figure `json:"z,omitzero"`
	P          Figure `json:"p,omitzero"` // two-sided, of the hypothesis that the areas are equal
	// Interval is Difference ± z SE at the confidence Level.
	Interval
}

// CompareAUC is DeLong's paired test: a and b are two models' scores of the same rows. It returns the difference of the areas, a less
// b, and its standard error from the differences of the rows' shares (see DeLong, also for weights), which equals
// Var(A) + Var(B) - 2 Cov(A, B); z = Difference/SE and the two-sided p-value of the normal distribution.
//
// Where the standard error is 0, as for two models that rank alike, z is undefined; p is 1 if the areas are equal and undefined
// else. Where a class has fewer than two rows all of them are undefined. A model fitted on these rows or chosen by them makes the test
// worthless. With one class: ErrSingleClass.
func CompareAUC(a, b, label, weight []float64) (AUCComparison, error) {
	if err := check(a, label, weight); err != nil {
		return AUCComparison{}, fmt.Errorf("first model: %w", err)
	}
	if err := check(b, label, weight); err != nil {
		return AUCComparison{}, fmt.Errorf("second model: %w", err)
	}
	pa, err := place(a, label, weight)
	if err != nil {
		return AUCComparison{}, err
	}
	pb, err := place(b, label, weight)
	if err != nil {
		return AUCComparison{}, err
	}
	out := AUCComparison{A: pa.estimate(), B: pb.estimate(), Covariance: NewFigure(covariance(pa, pb))}
	out.Difference = pa.auc - pb.auc
	for i := range pa.share {
		pa.share[i] -= pb.share[i]
	}
	pa.auc = out.Difference
	se := math.Sqrt(covariance(pa, pa))
	half := normalQuantile((1-Level)/2) * se
	out.SE = NewFigure(se)
	out.Interval = interval(max(out.Difference-half, -1), min(out.Difference+half, 1))
	switch {
	case se > 0:
		out.Z = NewFigure(out.Difference / se)
		out.P = NewFigure(twoSided(out.Difference / se))
	case se == 0 && out.Difference == 0:
		out.P = NewFigure(1)
	}
	return out, nil
}

// placements are the rows' shares: of the other class's weight, how much the row is on the right side of.
type placements struct {
	auc           float64
	share         []float64 // by row; what stands at a row of weight 0 is never read
	label, weight []float64
	class         [2]class // by label
}

// class sums up the rows of one label, in row order.
type class struct {
	rows   int
	total  float64 // the sum of weights
	square float64 // the sum of (w/total)^2: 1 over the effective number of rows (Kish)
}

func place(score, label, weight []float64) (*placements, error) {
	p := &placements{share: make([]float64, len(score)), label: label, weight: weight}
	for i, y := range label {
		if w := weightAt(weight, i); w > 0 {
			p.class[int(y)].rows++
			p.class[int(y)].total += w
		}
	}
	if p.class[0].rows == 0 || p.class[1].rows == 0 {
		return nil, ErrSingleClass
	}
	for i, y := range label {
		c := &p.class[int(y)]
		w := weightAt(weight, i) / c.total
		c.square += float64(w * w)
	}
	p.fill(score)
	p.auc = min(p.mean(0), 1) // the mean over either class is the area; this one adds what ROCAUC adds
	return p, nil
}

// fill sets the shares, block by block of equal scores from the highest down.
func (p *placements) fill(score []float64) {
	rows := order(score, p.weight)
	var passed [2]class // what the blocks above hold, by label
	for from := 0; from < len(rows); {
		to := from
		here := passed
		for ; to < len(rows) && score[rows[to]] == score[rows[from]]; to++ {
			c := &here[int(p.label[rows[to]])]
			c.rows++
			c.total += weightAt(p.weight, int(rows[to]))
		}
		for k := range here {
			if here[k].rows == p.class[k].rows { // the same sum in another order
				here[k].total = p.class[k].total
			}
		}
		above := min((passed[1].total/p.class[1].total+here[1].total/p.class[1].total)/2, 1)
		below := max(1-(passed[0].total/p.class[0].total+here[0].total/p.class[0].total)/2, 0)
		for _, r := range rows[from:to] {
			p.share[r] = above
			if p.label[r] == 1 {
				p.share[r] = below
			}
		}
		passed = here
		from = to
	}
}

// mean returns the weighted mean share of the rows of a label. It adds in the order of the class's total, so that shares of 1 have
// a mean of exactly 1.
func (p *placements) mean(label int) float64 {
	sum := 0.0
	for i, y := range p.label {
		if w := weightAt(p.weight, i); int(y) == label && w > 0 {
			sum += float64(w * p.share[i])
		}
	}
	return sum / p.class[label].total
}

func (p *placements) estimate() AUCEstimate {
	e := AUCEstimate{AUC: p.auc, Positives: p.class[1].rows, Negatives: p.class[0].rows, SE: NewFigure(math.Sqrt(covariance(p, p)))}
	e.Interval = e.at(Level)
	return e
}

// covariance returns that of two areas over the same rows, NaN if a class has fewer than two rows. The sums run in row order.
func covariance(a, b *placements) float64 {
	if a.class[0].rows < 2 || a.class[1].rows < 2 {
		return math.NaN()
	}
	meanA := [2]float64{a.mean(0), a.mean(1)}
	meanB := meanA
	if b != a {
		meanB = [2]float64{b.mean(0), b.mean(1)}
	}
	var sum [2]float64
	for i, y := range a.label {
		w := weightAt(a.weight, i)
		if w == 0 {
			continue
		}
		k := int(y)
		w /= a.class[k].total
		sum[k] += float64(float64(w*(a.share[i]-meanA[k])) * float64(w*(b.share[i]-meanB[k])))
	}
	return sum[0]/(1-a.class[0].square) + sum[1]/(1-a.class[1].square) // n/(n-1) = 1/(1-1/n)
}
