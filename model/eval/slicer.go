package eval

import (
	"cmp"
	"math"
	"slices"
)

// slicer holds the rows in order of score, highest first. Weights are divided by a power of two that is not below their sum, which is
// exact and keeps their squares finite; rows that then weigh nothing are left out.
type slicer struct {
	config                     SliceConfig
	row                        []int32 // the row behind each place
	score, label, weight, loss []float64
	total                      float64
}

func newSlicer(c SliceConfig, score, label, weight []float64) *slicer {
	exponent := 0
	if weight != nil {
		_, exponent = math.Frexp(sum(weight))
	}
	s := &slicer{config: c}
	for _, r := range order(score, weight) {
		w := math.Ldexp(weightAt(weight, int(r)), -exponent)
		if w == 0 {
			continue
		}
		s.row = append(s.row, r)
		s.score, s.label, s.weight = append(s.score, score[r]), append(s.label, label[r]), append(s.weight, w)
		s.loss = append(s.loss, rowLoss(score[r], label[r]))
		s.total += w
	}
	return s
}

// levels returns for each place of the order the number of its level, and the levels as slices without figures; nothing for a column of one
// level.
func (s *slicer) levels(column Column) (level []int32, cut []Slice) {
	number, names := make(map[string]int32), []string{}
	level = make([]int32, len(s.row))
	var count []int
	for k, r := range s.row {
		name := column.Values[r]
		n, seen := number[name]
		if !seen {
			n = int32(len(names))
			number[name] = n
			names, count = append(names, name), append(count, 0)
		}
		level[k] = n
		count[n]++
	}
	if len(names) < 2 {
		return nil, nil
	}
	byCount := make([]int32, len(names))
	for i := range byCount {
		byCount[i] = int32(i)
	}
	slices.SortFunc(byCount, func(a, b int32) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(names[a], names[b])) })
	kept := min(len(names), s.config.MaxLevels)
	to := make([]int32, len(names))
	for place, n := range byCount {
		to[n] = int32(min(place, kept))
		if place < kept {
			cut = append(cut, Slice{Column: column.Name, Level: names[n]})
		}
	}
	if kept < len(names) {
		cut = append(cut, Slice{Column: column.Name, Joined: len(names) - kept})
	}
	for k, n := range level {
		level[k] = to[n]
	}
	return level, cut
}

// column fills the slices of a column's levels.
func (s *slicer) column(level []int32, cut []Slice, whole float64) {
	in, out := s.areas(level, len(cut))
	for i, t := range s.tallies(level, len(cut)) {
		t.fill(&cut[i], s.total)
		area, defined := in[i].estimate()
		if !defined {
			continue
		}
		cut[i].setArea(area)
		cut[i].Drop = NewFigure(whole - area.AUC)
		if rest, defined := out[i].estimate(); defined && s.enough(area) && s.enough(rest) {
			cut[i].P = NewFigure(lower(area, rest))
		}
	}
}

// whole returns the slice of all rows, and false if they are of one class.
func (s *slicer) whole() (Slice, bool) {
	var out Slice
	level := make([]int32, len(s.row))
	s.tallies(level, 1)[0].fill(&out, s.total)
	in, _ := s.areas(level, 1)
	area, defined := in[0].estimate()
	if defined {
		out.setArea(area)
	}
	return out, defined
}

func (s *Slice) setArea(a AUCEstimate) {
	s.AUC, s.AUCSE, s.Interval = NewFigure(a.AUC), a.SE, a.Interval
}

func (s *slicer) enough(e AUCEstimate) bool {
	return min(e.Positives, e.Negatives) >= s.config.MinClass
}

// lower returns the one-sided p-value of a's area being no lower than b's.
func lower(a, b AUCEstimate) float64 {
	se := math.Hypot(spread(a), spread(b))
	if se == 0 {
		return math.NaN()
	}
	return normalTail((b.AUC - a.AUC) / se)
}

// spread is the standard error, and where separation is complete what the interval stands for.
func spread(e AUCEstimate) float64 {
	se := e.SE.Float()
	if se == 0 {
		se = (e.High.Float() - e.Low.Float()) / 2 / normalQuantile((1-Level)/2)
	}
	return se
}

// tally adds up the rows of a level, but for their order.
type tally struct {
	rows, positives               int
	weight, score, observed, loss float64
	expected, square              float64 // w s(1-s) and w^2 s(1-s)
	tp, fp, fn                    float64
}

func (s *slicer) tallies(level []int32, n int) []tally {
	out := make([]tally, n)
	for k, p := range s.score {
		t := &out[level[k]]
		w, y := s.weight[k], s.label[k]
		t.rows++
		t.positives += int(y)
		t.weight += w
		t.score += float64(w * p)
		t.observed += float64(w * y)
		t.loss += float64(w * s.loss[k])
		v := float64(w * float64(p*(1-p)))
		t.expected += v
		t.square += float64(w * v)
		switch predicted := p >= s.config.Threshold; {
		case predicted && y == 1:
			t.tp += w
		case predicted:
			t.fp += w
		case y == 1:
			t.fn += w
		}
	}
	return out
}

// minExpected is the least sum of s(1-s) from which the normal distribution will do for the mean of label less score.
const minExpected = 5

func (t tally) fill(s *Slice, total float64) {
	s.Rows, s.Positives, s.Share = t.rows, t.positives, t.weight/total
	s.LogLoss, s.Score, s.Observed = t.loss/t.weight, t.score/t.weight, t.observed/t.weight
	s.Gap = s.Score - s.Observed
	if effective := t.expected * (t.expected / t.square); effective >= minExpected {
		s.GapP = NewFigure(twoSided((t.score - t.observed) / math.Sqrt(t.square)))
	}
	if t.positives > 0 {
		s.F1 = NewFigure(f1Of(t.tp, t.fp, t.fn))
	}
}
