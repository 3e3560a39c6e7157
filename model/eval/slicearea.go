package eval

import "math"

// group is rows of one class: how many, and the sums of their weights and of the squares of these.
type group struct {
	rows           int
	weight, square float64
}

func (g *group) add(o group) {
	g.rows += o.rows
	g.weight += o.weight
	g.square += o.square
}

// area adds up DeLong's shares of a set of rows, block by block of equal scores from the highest down, without keeping them.
type area struct {
	all, passed [2]group // by label
	// by label, sums over the rows: w s, w^2 s and w^2 s^2 for the share s, and its range
	first, cross, second, low, high [2]float64
}

// step adds a block of rows.
func (a *area) step(here [2]group) {
	for y := range here {
		if here[y].rows == 0 || a.all[1-y].rows == 0 {
			continue
		}
		// Of the other class's weight, the part above: for a negative row what is on the right side. For a positive one it is what is on
		// the wrong side, which varies as much.
		share := a.before(1-y, here[1-y])
		if a.passed[y].rows == 0 {
			a.low[y], a.high[y] = share, share
		}
		a.low[y], a.high[y] = min(a.low[y], share), max(a.high[y], share)
		a.first[y] += float64(here[y].weight * share)
		c := float64(here[y].square * share)
		a.cross[y] += c
		a.second[y] += float64(c * share)
	}
	for y := range here {
		a.passed[y].add(here[y])
	}
}

// before returns the share of a class's weight that is above a block, half of the block itself counting. It is 0 and 1 exactly where
// no row and where every row is.
func (a *area) before(y int, here group) float64 {
	switch a.passed[y].rows {
	case 0:
		if here.rows == 0 {
			return 0
		}
	case a.all[y].rows:
		return 1
	}
	return min((a.passed[y].weight+here.weight/2)/a.all[y].weight, 1)
}

// estimate returns the area after the last block, as DeLong does, and false if there is one class.
func (a *area) estimate() (AUCEstimate, bool) {
	e := AUCEstimate{Positives: a.all[1].rows, Negatives: a.all[0].rows}
	if e.Positives == 0 || e.Negatives == 0 {
		return e, false
	}
	variance := 0.0
	for y, g := range a.all {
		m := a.first[y] / g.weight
		if a.low[y] == a.high[y] { // the sums would give it but for rounding, and a variance that is not quite 0
			m = a.low[y]
		} else {
			squares := (a.second[y] - float64(2*m*a.cross[y])) + float64(m*m*g.square)
			variance += max(squares, 0) / g.weight / g.weight / (1 - g.square/g.weight/g.weight)
		}
		if y == 0 {
			e.AUC = min(m, 1)
		}
	}
	if min(e.Positives, e.Negatives) >= 2 {
		e.SE = NewFigure(math.Sqrt(variance))
	}
	e.Interval = e.at(Level)
	return e, true
}

// areas returns the area of each of n levels, and that of the rows outside it, in one walk over all rows.
func (s *slicer) areas(level []int32, n int) (in, out []area) {
	in, out = make([]area, n), make([]area, n)
	for k, l := range level {
		w := s.weight[k]
		in[l].all[int(s.label[k])].add(group{1, w, float64(w * w)})
	}
	for l := range out {
		for m := range in {
			if m != l {
				out[l].all[0].add(in[m].all[0])
				out[l].all[1].add(in[m].all[1])
			}
		}
	}
	here := make([][2]group, n)
	var touched []int32
	for from := 0; from < len(s.row); {
		to := from
		for ; to < len(s.row) && s.score[to] == s.score[from]; to++ {
			h := &here[level[to]]
			if h[0].rows+h[1].rows == 0 {
				touched = append(touched, level[to])
			}
			w := s.weight[to]
			h[int(s.label[to])].add(group{1, w, float64(w * w)})
		}
		for l := range out {
			var rest [2]group
			for _, t := range touched {
				if int(t) != l {
					rest[0].add(here[t][0])
					rest[1].add(here[t][1])
				}
			}
			if rest[0].rows+rest[1].rows > 0 {
				out[l].step(rest)
			}
		}
		for _, t := range touched {
			in[t].step(here[t])
			here[t] = [2]group{}
		}
		touched = touched[:0]
		from = to
	}
	return in, out
}
