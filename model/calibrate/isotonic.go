package calibrate

import (
	"cmp"
	"slices"
)

// step is a run of neighbouring scores that share one fitted value.
type step struct {
	from, to    float64 // scores, inclusive
	sum, weight float64 // of label times weight, and of weight
}

func (s step) mean() float64 { return s.sum / s.weight }

// fitIsotonic returns the points that Fit states: x strictly ascending, y ascending.
func fitIsotonic(s sample) (x, y []float64) {
	total := s.pos + s.neg
	low := 1 / (total + 2)
	high := 1 - low
	for _, b := range pool(ties(s)) {
		v := min(max(b.mean(), low), high)
		x, y = point(x, y, b.from, v)
		if b.to > b.from {
			x, y = point(x, y, b.to, v)
		}
	}
	return x, y
}

// point appends a point. A point between two of its own value carries nothing and is overwritten.
func point(x, y []float64, at, v float64) (nx, ny []float64) {
	if n := len(y); n >= 2 && y[n-1] == v && y[n-2] == v {
		x[n-1] = at
		return x, y
	}
	return append(x, at), append(y, v)
}

// ties returns one step per distinct score, ascending. Rows of one score are added in row order.
func ties(s sample) []step {
	order := make([]int, 0, s.rows)
	for i := range s.score {
		if s.at(i) > 0 {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		if c := cmp.Compare(s.score[a], s.score[b]); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	var steps []step
	for _, i := range order {
		if n := len(steps); n == 0 || steps[n-1].to != s.score[i] {
			steps = append(steps, step{from: s.score[i], to: s.score[i]})
		}
		last := &steps[len(steps)-1]
		last.weight += s.at(i)
		last.sum += float64(s.at(i) * s.label[i])
	}
	return steps
}

// pool merges neighbours, in place, until the means ascend strictly (pool adjacent violators; Barlow and others 1972), in linear time.
func pool(steps []step) []step {
	kept := steps[:0]
	for _, s := range steps {
		for len(kept) > 0 && kept[len(kept)-1].mean() >= s.mean() {
			before := kept[len(kept)-1]
			kept = kept[:len(kept)-1]
			s = step{from: before.from, to: s.to, sum: before.sum + s.sum, weight: before.weight + s.weight}
		}
		kept = append(kept, s)
	}
	return kept
}
