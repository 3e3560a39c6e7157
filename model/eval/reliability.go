package eval

import (
	"fmt"
	"math"
	"slices"
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
	slices.Reverse(rows)
	t := reliabilityTable{score: score, label: label, weight: weight, out: Calibration{By: by}}
	for _, r := range rows {
		t.total += weightAt(weight, int(r))
	}
	last, start, before := -1, 0, 0.0
	for from := 0; from < len(rows); {
		to, own := from, 0.0
		for ; to < len(rows) && score[rows[to]] == score[rows[from]]; to++ {
			own += weightAt(weight, int(rows[to]))
		}
		bin := widthBin(score[rows[from]], bins)
		if by == EqualCount {
			bin = min(int(float64(bins)*((before+own/2)/t.total)), bins-1)
		}
		if bin != last && from > 0 {
			t.add(rows[start:from])
			start = from
		}
		last = bin
		before += own
		from = to
	}
	t.add(rows[start:])
	return t.out, nil
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

// reliabilityTable is a table being made.
type reliabilityTable struct {
	score, label, weight []float64
	total                float64
	out                  Calibration
}

// add appends the bin of rows, which ascend by score.
func (t *reliabilityTable) add(rows []int32) {
	total := 0.0
	for _, r := range rows {
		total += weightAt(t.weight, int(r))
	}
	_, exponent := math.Frexp(total)
	var mean, positive, weight, square float64
	for _, r := range rows {
		w := math.Ldexp(weightAt(t.weight, int(r)), -exponent) // exact, and its square is finite
		weight += w
		square += float64(w * w)
		mean += float64(w * t.score[r])
		positive += float64(w * t.label[r])
	}
	b := CalibrationBin{From: t.score[rows[0]], To: t.score[rows[len(rows)-1]], Rows: len(rows), Share: total / t.total}
	b.Score, b.Observed = min(max(mean/weight, b.From), b.To), positive/weight
	b.effective = weight * (weight / square)
	b.Interval = wilson(b.Observed, b.effective)
	gap := math.Abs(b.Observed - b.Score)
	t.out.ECE += float64(b.Share * gap)
	t.out.MCE = max(t.out.MCE, gap)
	t.out.Bins = append(t.out.Bins, b)
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
// scores are all 0 or all 1 counts nothing if it is right and makes the test undefined, the zero value, if it is wrong. With many rows the test
// rejects models that are calibrated well enough for any use: read ECE beside it. A table that was decoded from JSON takes Rows for n.
func (c Calibration) HosmerLemeshow() HosmerLemeshow {
	h := HosmerLemeshow{}
	for _, b := range c.Bins {
		n, gap := b.effective, b.Observed-b.Score
		if n == 0 {
			n = float64(b.Rows)
		}
		spread := math.Abs(float64(b.Score * (1 - b.Score))) // a score of -0 is one of 0
		if spread == 0 && gap == 0 {
			continue
		}
		h.Statistic += float64(n * float64(gap*(gap/spread)))
		h.DF++
	}
	if math.IsInf(h.Statistic, 0) {
		return HosmerLemeshow{}
	}
	if h.DF > 0 {
		h.P = NewFigure(chiSquareTail(h.Statistic, float64(h.DF)))
	}
	return h
}
