package eval

import "fmt"

// GainBin is one part of the rows in order of score, highest first. All figures but Threshold are weighted.
type GainBin struct {
	Share     float64 `json:"share"`     // of all rows, down to the end of this part
	Threshold float64 `json:"threshold"` // the lowest score down to there
	Rate      float64 `json:"rate"`      // share of positives in this part
	Lift      float64 `json:"lift"`      // Rate over the share of positives in all rows
	Captured  float64 `json:"captured"`  // share of all positives down to the end of this part, the cumulative gain
	// CumulativeLift is Captured / Share: how many more positives than by chance are among the rows down to here.
	CumulativeLift float64 `json:"cumulative_lift"`
}

// Gains returns the gain and lift table of n equal parts, 1 to 1000, deciles for 10: who contacts the Share of rows that score highest
// reaches Captured of all positives. Where rows of one score lie on both sides of a cut, each side gets its part of their positives
// and negatives, the mean over all orders in which the tied rows could be taken. Scores need only be finite. With one class:
// ErrSingleClass.
func Gains(score, label, weight []float64, n int) ([]GainBin, error) {
	if n < 1 || n > 1000 {
		return nil, fmt.Errorf("%d parts, want 1 to 1000", n)
	}
	r, err := rankBoth(score, label, weight)
	if err != nil {
		return nil, err
	}
	rate := r.pos / r.total
	bins := make([]GainBin, n)
	before := 0.0
	g := gains{r: r}
	for k := range bins {
		share := float64(k+1) / float64(n)
		captured, threshold := g.at(share)
		b := GainBin{Share: share, Threshold: threshold, Captured: captured, CumulativeLift: captured / share}
		b.Lift = (captured - before) * float64(n)
		b.Rate = min(float64(b.Lift*rate), 1)
		bins[k] = b
		before = captured
	}
	return bins, nil
}

// CaptureAt returns the share of all positives among the share of rows, in (0, 1], that score highest, and the lowest score among
// them; see Gains for ties.
func CaptureAt(score, label, weight []float64, share float64) (captured, threshold float64, err error) {
	if !(share > 0 && share <= 1) {
		return 0, 0, fmt.Errorf("share %v is outside (0, 1]", share)
	}
	r, err := rankBoth(score, label, weight)
	if err != nil {
		return 0, 0, err
	}
	g := gains{r: r}
	captured, threshold = g.at(share)
	return captured, threshold, nil
}

// gains walks down the gain curve; the shares asked for must ascend.
type gains struct {
	r          *ranked
	next       int     // the block after those passed
	pos, total float64 // weight passed
}

func (g *gains) at(share float64) (captured, threshold float64) {
	blocks := g.r.blocks
	if share >= 1 {
		return 1, blocks[len(blocks)-1].score
	}
	want := float64(share * g.r.total)
	for ; g.next < len(blocks); g.next++ {
		b := blocks[g.next]
		own := b.pos + b.neg
		if g.total+own >= want {
			part := (want - g.total) / own
			return min((g.pos+float64(part*b.pos))/g.r.pos, 1), b.score
		}
		g.pos += b.pos
		g.total += own
	}
	return 1, blocks[len(blocks)-1].score
}

// KS returns the Kolmogorov-Smirnov distance of the two classes' scores, the greatest difference of the share of positives and
// the share of negatives at or above a threshold,
//
//	max over t of |TPR(t) - FPR(t)|
//
// and the lowest score at or above that threshold; of equal distances the highest. 0 is no separation, 1 a complete one. It equals the statistic of
// scipy's ks_2samp. Scores need only be finite. With one class: ErrSingleClass.
func KS(score, label, weight []float64) (distance, threshold float64, err error) {
	r, err := rankBoth(score, label, weight)
	if err != nil {
		return 0, 0, err
	}
	threshold = r.blocks[len(r.blocks)-1].score
	tp, fp := 0.0, 0.0
	for _, b := range r.blocks {
		tp += b.pos
		fp += b.neg
		if d := tp/r.pos - fp/r.neg; max(d, -d) > distance {
			distance, threshold = max(d, -d), b.score
		}
	}
	return min(distance, 1), threshold, nil
}
