package eval

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// slicer holds the rows in order of score, highest first, so that every subset of them is in order too.
type slicer struct {
	config               SliceConfig
	row                  []int32 // the row behind each place
	score, label, weight []float64
	total                float64
	// scratch for the rows inside and outside a slice
	in, out subset
}

type subset struct{ score, label, weight []float64 }

func (u *subset) clear() { u.score, u.label, u.weight = u.score[:0], u.label[:0], u.weight[:0] }

// take appends the row at place k. Without weights u.weight stays nil.
func (u *subset) take(s *slicer, k int) {
	u.score, u.label = append(u.score, s.score[k]), append(u.label, s.label[k])
	if s.weight != nil {
		u.weight = append(u.weight, s.weight[k])
	}
}

func newSlicer(c SliceConfig, score, label, weight []float64) *slicer {
	s := &slicer{config: c, row: order(score, weight)}
	for _, r := range s.row {
		s.score, s.label = append(s.score, score[r]), append(s.label, label[r])
		if weight != nil {
			s.weight = append(s.weight, weight[r])
		}
		s.total += weightAt(weight, int(r))
	}
	return s
}

// levels returns for each place of the order the number of its level, and the levels as slices without figures. It is nil for a column of one
// level.
func (s *slicer) levels(column Column) (level []int32, cut []Slice) {
	count := make(map[string]int)
	for _, r := range s.row {
		count[column.Values[r]]++
	}
	if len(count) < 2 {
		return nil, nil
	}
	names := make([]string, 0, len(count))
	for name := range count {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
	number := make(map[string]int32, len(names))
	kept := min(len(names), s.config.MaxLevels)
	for i, name := range names {
		number[name] = int32(min(i, kept))
	}
	for _, name := range names[:kept] {
		cut = append(cut, Slice{Column: column.Name, Level: name})
	}
	if kept < len(names) {
		cut = append(cut, Slice{Column: column.Name, Joined: len(names) - kept})
	}
	level = make([]int32, len(s.row))
	for k, r := range s.row {
		level[k] = number[column.Values[r]]
	}
	return level, cut
}

// column measures each level of a column against the rows outside it.
func (s *slicer) column(column Column, whole float64) ([]Slice, error) {
	level, cut := s.levels(column)
	for i := range cut {
		in, area, err := s.measure(level, int32(i))
		if err != nil {
			return nil, err
		}
		in.Column, in.Level, in.Joined = cut[i].Column, cut[i].Level, cut[i].Joined
		if area != nil {
			in.Drop = NewFigure(whole - area.AUC)
			rest, err := DeLong(s.out.score, s.out.label, s.out.weight)
			if err != nil && !errors.Is(err, ErrSingleClass) {
				return nil, err
			}
			if err == nil && s.enough(*area) && s.enough(rest) {
				in.P = NewFigure(lower(*area, rest))
			}
		}
		cut[i] = in
	}
	return cut, nil
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

// measure returns the figures of the rows at one level, of all rows if level is nil, and leaves them in s.in and the others in s.out. The area is
// nil if there is one class.
func (s *slicer) measure(level []int32, which int32) (Slice, *AUCEstimate, error) {
	s.in.clear()
	s.out.clear()
	for k := range s.row {
		if level == nil || level[k] == which {
			s.in.take(s, k)
		} else {
			s.out.take(s, k)
		}
	}
	in := s.in
	out := Slice{Rows: len(in.score), LogLoss: logLoss(in.score, in.label, in.weight)}
	var total, score, observed, expected, square float64
	for k, p := range in.score {
		w := weightAt(in.weight, k)
		total += w
		score += float64(w * p)
		observed += float64(w * in.label[k])
		out.Positives += int(in.label[k])
		v := float64(p * (1 - p))
		expected += float64(w * v)
		square += float64(float64(w/s.total*v) * w)
	}
	out.Share = total / s.total
	out.Score, out.Observed = score/total, observed/total
	out.Gap = out.Score - out.Observed
	if effective := expected / s.total * (expected / square); effective >= minExpected {
		out.GapP = NewFigure(twoSided((score - observed) / math.Sqrt(square) / math.Sqrt(s.total)))
	}
	if out.Positives > 0 {
		f1, err := F1(in.score, in.label, in.weight, s.config.Threshold)
		if err != nil {
			return Slice{}, nil, err
		}
		out.F1 = NewFigure(f1)
	}
	area, err := DeLong(in.score, in.label, in.weight)
	if errors.Is(err, ErrSingleClass) {
		return out, nil, nil
	}
	if err != nil {
		return Slice{}, nil, err
	}
	out.AUC, out.AUCSE, out.Interval = NewFigure(area.AUC), area.SE, area.Interval
	return out, &area, nil
}

// minExpected is the least sum of s(1-s) from which the normal distribution will do for the mean of label less score.
const minExpected = 5
