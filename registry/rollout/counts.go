package rollout

import (
	"math"
	"math/bits"
	"time"

	"telco-churn-mlops/events"
)

// Counts is what instances counted of a version. The zero value is nothing counted. The slices are not shared with the events they came from.
type Counts struct {
	Requests, Records, Errors, Fallbacks uint64
	// Latency is by the buckets of [events.LatencyBounds], Scores by [events.ScoreBins] equal bins, Reference by the bins of the bundle's own score
	// baseline, empty where it has none.
	Latency, Scores, Reference []uint64
	// Entities has a bit for the entity of each score, see [events.VersionMeasurement]; empty where it is not told.
	Entities []uint64
	// From and To bound the time in which it was counted.
	From, To time.Time
}

// countsOf copies a measurement.
func countsOf(v *events.VersionMeasurement) Counts {
	c := Counts{Requests: v.Requests, Records: v.Records, Errors: v.Errors, Fallbacks: v.Fallbacks, From: v.From, To: v.To}
	c.Latency, c.Scores, c.Reference = grow(nil, v.LatencyBuckets, add), grow(nil, v.Scores, add), grow(nil, v.ReferenceBins, add)
	c.Entities = grow(nil, v.Entities, both)
	return c
}

// Add adds what another source counted.
func (c *Counts) Add(o Counts) { c.join(o, add) }

// raise keeps the greater of each count, for two messages of the same source.
func (c *Counts) raise(o Counts) { c.join(o, greater) }

// since returns what was counted after an earlier state of the same source. Entities are those of all, of which some are counted again and again.
func (c Counts) since(earlier Counts) Counts {
	out := Counts{
		Requests: less(c.Requests, earlier.Requests), Records: less(c.Records, earlier.Records), Errors: less(c.Errors, earlier.Errors),
		Fallbacks: less(c.Fallbacks, earlier.Fallbacks), From: earlier.To, To: c.To,
	}
	if out.From.IsZero() {
		out.From = c.From
	}
	out.Latency, out.Scores, out.Reference = grow(c.Latency, earlier.Latency, less), grow(c.Scores, earlier.Scores, less), grow(c.Reference, earlier.Reference, less)
	out.Entities = grow(c.Entities, nil, both)
	return out
}

func (c *Counts) join(o Counts, f func(a, b uint64) uint64) {
	c.Requests, c.Records, c.Errors, c.Fallbacks = f(c.Requests, o.Requests), f(c.Records, o.Records), f(c.Errors, o.Errors), f(c.Fallbacks, o.Fallbacks)
	c.Latency, c.Scores, c.Reference = grow(c.Latency, o.Latency, f), grow(c.Scores, o.Scores, f), grow(c.Reference, o.Reference, f)
	c.Entities = grow(c.Entities, o.Entities, both)
	if c.From.IsZero() || !o.From.IsZero() && o.From.Before(c.From) {
		c.From = o.From
	}
	if o.To.After(c.To) {
		c.To = o.To
	}
}

// grow returns a new slice of f over both, the shorter one filled with zeros.
func grow(a, b []uint64, f func(a, b uint64) uint64) []uint64 {
	n := max(len(a), len(b))
	if n == 0 {
		return nil
	}
	out := make([]uint64, n)
	copy(out, a)
	for i := range out {
		if i < len(b) {
			out[i] = f(out[i], b[i])
		}
	}
	return out
}

// add, of counts that hostile events may make as great as they like, stays at the greatest number rather than begin again at 0.
func add(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

func greater(a, b uint64) uint64 { return max(a, b) }

// both is the union of bits.
func both(a, b uint64) uint64 { return a | b }

func less(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}

// scored returns how many entities were scored, a score of an instance that does not tell its entities counting as one: a customer who is answered by several
// instances, or again after they forgot it, is one draw from the customers, not several. Of n entities that set bits at random, as many stay unset as n
// throws at that many bits miss, so that n is about -bits ln(unset/bits): exact to 3 % up to 5,000. It is never more than there are scores.
func (c Counts) scored() int {
	n := uint64(0)
	for _, k := range c.Scores[:min(len(c.Scores), events.ScoreBins)] {
		n = add(n, k)
	}
	unset, size := 0, 64*len(c.Entities)
	for _, w := range c.Entities {
		unset += bits.OnesCount64(^w)
	}
	if size == 0 || unset == 0 {
		return whole(n)
	}
	return min(whole(n), int(math.Round(float64(size)*math.Log(float64(size)/float64(unset)))))
}

// whole returns a count as an int, at most 2^53.
func whole(n uint64) int { return int(min(n, 1<<53)) }

// Labels counts labelled rows of a version by what was said and what was so. The zero value is no rows.
type Labels struct {
	TP, FP, FN, TN int
}

// Add counts one row.
func (l *Labels) Add(predicted, observed bool) {
	switch {
	case predicted && observed:
		l.TP++
	case predicted:
		l.FP++
	case observed:
		l.FN++
	default:
		l.TN++
	}
}

// Rows returns the number of rows, Positives that of the rows that were positive.
func (l Labels) Rows() int { return l.TP + l.FP + l.FN + l.TN }

// Positives returns the number of rows that were positive.
func (l Labels) Positives() int { return l.TP + l.FN }

// F1 returns 2TP / (2TP + FP + FN), 0 where nothing was positive or found.
func (l Labels) F1() float64 {
	d := 2*l.TP + l.FP + l.FN
	if d == 0 {
		return 0
	}
	return 2 * float64(l.TP) / float64(d)
}

// StandardError returns that of F1 over independent rows, by the delta method: with D = 2TP + FP + FN and F the F1, the root of
// TP (2 - 2F)^2 + (FP + FN) F^2, divided by D. It is 0 where D is.
func (l Labels) StandardError() float64 {
	d := float64(2*l.TP + l.FP + l.FN)
	if d == 0 {
		return 0
	}
	f := l.F1()
	hit, miss := float64(float64(l.TP)*float64((2-2*f)*(2-2*f))), float64(float64(l.FP+l.FN)*float64(f*f))
	return math.Sqrt(hit+miss) / d
}
