package eval

import (
	"fmt"
	"math"
)

// Binning says how a calibration table cuts the scores.
type Binning string

const (
	// EqualWidth cuts [0, 1] into bins of one width: bin i of n holds (i/n, (i+1)/n], and 0 belongs to the first. Bins without rows are left
	// out. It follows scikit-learn's calibration_curve with strategy="uniform".
	EqualWidth Binning = "width"
	// EqualCount gives bins that weigh about the same: with the rows in order of score, a score belongs to bin floor(n (before + own/2) / W),
	// where before is the weight of lower scores, own that of the score itself and W all. Rows of equal score stay together, so a bin may
	// be heavy and others be left out.
	EqualCount Binning = "count"
)

// CalibrationBin compares the scores of some rows with what became of them. Share, Score and Observed are weighted.
type CalibrationBin struct {
	From     float64 `json:"from"` // the lowest and highest score in the bin
	To       float64 `json:"to"`
	Rows     int     `json:"rows"`     // with a weight above 0
	Share    float64 `json:"share"`    // of the weight of all rows
	Score    float64 `json:"score"`    // mean
	Observed float64 `json:"observed"` // share of positives
	// Interval is Wilson's (1927) of Observed, at the confidence Level. With weights it is for the effective number of rows.
	Interval
	effective float64
}

// Calibration is a reliability table.
type Calibration struct {
	By   Binning          `json:"by"`
	Bins []CalibrationBin `json:"bins"` // by ascending score
	// ECE is the expected calibration error, the mean over the rows of their bin's |Observed - Score|; MCE is the greatest of these. Both fall
	// with fewer bins and are above 0 by chance alone even for a perfect model, the more the fewer rows a bin has.
	ECE float64 `json:"ece"`
	MCE float64 `json:"mce"`
}

// CalibrationTable compares scores in [0, 1] with the shares of positives among rows of about that score (Murphy and Winkler 1977), in 1 to
// 1000 bins. A single class is fine. A score outside [0, 1] is an error.
func CalibrationTable(score, label, weight []float64, bins int, by Binning) (Calibration, error) {
	if err := checkProbabilities(score, label, weight); err != nil {
		return Calibration{}, err
	}
	if bins < 1 || bins > 1000 {
		return Calibration{}, fmt.Errorf("%d bins, want 1 to 1000", bins)
	}
	if by != EqualWidth && by != EqualCount {
		return Calibration{}, fmt.Errorf("unknown binning %q, want %q or %q", string(by), EqualWidth, EqualCount)
	}
	rows := order(score, weight)
	total := 0.0
	for _, r := range rows {
		total += weightAt(weight, int(r))
	}
	_, exponent := math.Frexp(total)
	unit := math.Ldexp(1, -exponent) // a power of two: weights times it are exact and their squares finite
	c := Calibration{By: by}
	last, before := -1, 0.0
	var group calibrationGroup
	for to := len(rows); to > 0; {
		from := to - 1 // rows[from:to] share a score; order is descending and this walks up
		own := weightAt(weight, int(rows[from]))
		for from > 0 && score[rows[from-1]] == score[rows[from]] {
			from--
			own += weightAt(weight, int(rows[from]))
		}
		bin := widthBin(score[rows[from]], bins)
		if by == EqualCount {
			bin = min(int(float64(bins)*((before+own/2)/total)), bins-1)
		}
		if bin != last && last >= 0 {
			c.add(group.bin(total * unit))
			group = calibrationGroup{}
		}
		last = bin
		for _, r := range rows[from:to] {
			group.add(score[r], label[r], weightAt(weight, int(r))*unit)
		}
		before += own
		to = from
	}
	c.add(group.bin(total * unit))
	return c, nil
}

// widthBin returns the bin of a score by EqualWidth.
func widthBin(s float64, bins int) int {
	b := min(int(s*float64(bins)), bins-1)
	// the product may round over an edge; the edges themselves are i/bins
	for b > 0 && s <= float64(b)/float64(bins) {
		b--
	}
	for b < bins-1 && s > float64(b+1)/float64(bins) {
		b++
	}
	return b
}

func (c *Calibration) add(b CalibrationBin) {
	c.Bins = append(c.Bins, b)
	gap := math.Abs(b.Observed - b.Score)
	c.ECE += float64(b.Share * gap)
	c.MCE = max(c.MCE, gap)
}

// calibrationGroup adds up the rows of a bin, lowest score first.
type calibrationGroup struct {
	from, to                        float64
	rows                            int
	weight, square, score, positive float64
}

func (g *calibrationGroup) add(score, label, w float64) {
	if g.rows == 0 {
		g.from = score
	}
	g.to = score
	g.rows++
	g.weight += w
	g.score += float64(w * score)
	g.positive += float64(w * label)
	g.square += float64(w * w)
}

func (g *calibrationGroup) bin(total float64) CalibrationBin {
	b := CalibrationBin{From: g.from, To: g.to, Rows: g.rows, Share: g.weight / total, Score: g.score / g.weight, Observed: g.positive / g.weight}
	b.effective = g.weight * (g.weight / g.square)
	b.Interval = wilson(b.Observed, b.effective)
	return b
}

// wilson returns the score interval of a share p of n rows at the confidence Level:
//
//	(p + z^2/2n ± z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
func wilson(p, n float64) Interval {
	z := normalQuantile((1 - Level) / 2)
	z2 := float64(z * z)
	scale := 1 + z2/n
	centre := p + z2/(2*n)
	half := float64(z * math.Sqrt(float64(p*(1-p))/n+z2/(4*float64(n*n))))
	// at 0 and 1 an end is p itself, which rounding must not miss
	return interval(min(max((centre-half)/scale, 0), p), max(min((centre+half)/scale, 1), p))
}

// HosmerLemeshow is a test of calibration.
type HosmerLemeshow struct {
	Statistic float64 `json:"statistic"`
	DF        int     `json:"df"`
	P         Figure  `json:"p,omitzero"`
}

// HosmerLemeshow returns the statistic of Hosmer and Lemeshow (1980) over the table's bins,
//
//	sum n (Observed - Score)^2 / (Score (1 - Score))
//
// with n the rows of the bin, effective ones where rows are weighted, and its p-value by chi-square with one degree of freedom per bin, as
// is right for rows that did not fit the model. For rows that did, take DF-2. Equal counts are the usual bins. A bin whose
// scores are all 0 or all 1 counts nothing if it is right and makes the test undefined if it is wrong. With many rows the test
// rejects models that are calibrated well enough for any use: read ECE beside it. A table that was decoded from JSON takes Rows for n.
func (c Calibration) HosmerLemeshow() HosmerLemeshow {
	h := HosmerLemeshow{}
	for _, b := range c.Bins {
		n, gap := b.effective, b.Observed-b.Score
		if n == 0 {
			n = float64(b.Rows)
		}
		spread := float64(b.Score * (1 - b.Score))
		if spread == 0 && gap == 0 {
			continue
		}
		h.Statistic += float64(n * (float64(gap*gap) / spread))
		h.DF++
	}
	if math.IsInf(h.Statistic, 0) {
		return HosmerLemeshow{DF: h.DF}
	}
	if h.DF > 0 {
		h.P = NewFigure(chiSquareTail(h.Statistic, float64(h.DF)))
	}
	return h
}
