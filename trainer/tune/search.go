package tune

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

// Dim is one parameter of a search.
type Dim struct {
	Name  string  `json:"name"`
	Low   float64 `json:"low"` // the ends, both possible
	High  float64 `json:"high"`
	Log   bool    `json:"log,omitempty"`   // drawn evenly on a logarithmic scale; Low must then be above 0
	Whole bool    `json:"whole,omitempty"` // whole numbers only
}

// Space is the parameters of a search, in a fixed order.
type Space []Dim

// Validate reports a space without parameters, names that are empty or used twice, and ends that are no range.
func (s Space) Validate() error {
	if len(s) == 0 {
		return errors.New("nothing to search")
	}
	seen := map[string]bool{}
	for _, d := range s {
		switch {
		case d.Name == "" || seen[d.Name]:
			return fmt.Errorf("parameter %q is without a name or there twice", d.Name)
		case !(d.Low < d.High) || math.IsInf(d.Low, 0) || math.IsInf(d.High, 0):
			return fmt.Errorf("parameter %s: %v to %v is no range", d.Name, d.Low, d.High)
		case d.Log && !(d.Low > 0):
			return fmt.Errorf("parameter %s: %v has no logarithm", d.Name, d.Low)
		}
		seen[d.Name] = true
	}
	return nil
}

// Point is a value for each parameter of a space, in its order.
type Point []float64

// value returns what stands at u, from 0 to 1, of the range: rounded to three digits, so that people can read and copy it.
func (d Dim) value(u float64) float64 {
	v := d.Low + float64((d.High-d.Low)*u)
	if d.Log {
		v = float64(d.Low * math.Exp(float64(math.Log(d.High/d.Low)*u)))
	}
	if d.Whole {
		return min(max(math.Round(v), d.Low), d.High)
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil {
		panic("tune: read back a number: " + err.Error())
	}
	return min(max(short, d.Low), d.High)
}

// place returns where a value stands in the range, from 0 to 1; values outside stand at the ends.
func (d Dim) place(v float64) float64 {
	v = min(max(v, d.Low), d.High)
	if d.Log {
		return math.Log(v/d.Low) / math.Log(d.High/d.Low)
	}
	return (v - d.Low) / (d.High - d.Low)
}

// Search proposes points and learns their losses. It is not safe for concurrent use. Make one with NewSearch.
type Search struct {
	space  Space
	first  Point
	seed   uint64
	points []Point
	losses []float64
}

// NewSearch returns a search of a valid space. first, which may lie outside of the ranges, is its trial 0.
func NewSearch(space Space, first Point, seed uint64) *Search {
	return &Search{space: space, first: first, seed: seed}
}

// explore is how many trials are drawn at random before the search narrows.
func (s *Search) explore() int { return 2 * len(s.space) }

// Next returns the point of the next trial, and the same one until Tell is called. It depends on the seed, the number of the trial and all
// points and losses told.
func (s *Search) Next() Point {
	n := len(s.points)
	if n == 0 {
		return slices.Clone(s.first)
	}
	r := rand.New(rand.NewPCG(s.seed, uint64(n)))
	out := make(Point, len(s.space))
	if n <= s.explore() || r.Float64() < 0.2 {
		for i, d := range s.space {
			out[i] = d.value(r.Float64())
		}
		return out
	}
	near := s.points[s.Ranked()[r.IntN(max(2, n/5))]]
	// Half the range at first; a tenth after some 25 trials per parameter.
	width := 0.5 / math.Sqrt(1+float64(n-s.explore())/float64(len(s.space)))
	moved := r.IntN(len(s.space)) // one at least
	for i, d := range s.space {
		out[i] = min(max(near[i], d.Low), d.High)
		step := float64(width * (float64(2*r.Float64()) - 1))
		if r.Float64() < 0.5 || i == moved {
			out[i] = d.value(reflected(d.place(near[i]) + step))
		}
	}
	return out
}

// reflected folds what passes an end of 0 to 1 back inside.
func reflected(u float64) float64 {
	if u < 0 {
		u = -u
	}
	if u > 1 {
		u = 2 - u
	}
	return u
}

// Tell records the loss of the point that Next returned: less is better, +Inf for a trial that failed. A NaN counts as +Inf.
func (s *Search) Tell(loss float64) {
	if math.IsNaN(loss) {
		loss = math.Inf(1)
	}
	s.points, s.losses = append(s.points, s.Next()), append(s.losses, loss)
}

// Trials returns the number of losses told.
func (s *Search) Trials() int { return len(s.losses) }

// Ranked returns the trials from the least loss to the greatest, earlier ones first where losses are equal.
func (s *Search) Ranked() []int {
	out := make([]int, len(s.losses))
	for i := range out {
		out[i] = i
	}
	slices.SortStableFunc(out, func(a, b int) int { return cmp.Compare(s.losses[a], s.losses[b]) })
	return out
}
