package rollout

import (
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/baseline"
	"telco-churn-mlops/model/spec"
)

// The names of the checks in evidence.
const (
	CheckErrors = "error_ratio"
	CheckP95    = "p95_ms"
	CheckScores = "score_psi"
	CheckF1     = "f1"
)

// What a breach needs beside its limit, so that chance alone makes none.
const (
	minRequests  = 20    // requests before errors are counted
	chance       = 1e-3  // of that many errors, or such latencies, with a version that is sound, while a step lasts
	chanceAtEnd  = 0.01  // of that many errors, at its end, when it is asked for the last time
	minPositives = 30    // of labelled rows, on both sides
	f1Errors     = 3     // standard errors that the F1s must differ by
	confidence   = 0.999 // of the PSI's chi-square bound
	minSpread    = 3     // bins, by entropy, that the other version's scores must be spread over
	z            = 3.09  // of chance, one side
)

// WatchOf returns the limits of a spec as they stand in events.
func WatchOf(w spec.Watch) events.RolloutWatch {
	return events.RolloutWatch{
		Requests: w.Requests, DurationMS: max(1, w.Duration.Milliseconds()), ErrorRatio: w.ErrorRatio, P95Ratio: w.P95Ratio,
		P95FloorMS: milliseconds(w.P95Floor), ScorePSI: w.ScorePSI, F1Drop: w.F1Drop, MinRows: w.MinRows,
	}
}

// SpecOf returns the limits of an event as a spec has them.
func SpecOf(w events.RolloutWatch) spec.Watch {
	return spec.Watch{
		Requests: w.Requests, Duration: time.Duration(w.DurationMS) * time.Millisecond, ErrorRatio: w.ErrorRatio, P95Ratio: w.P95Ratio,
		P95Floor: time.Duration(math.Round(w.P95FloorMS * float64(time.Millisecond))), ScorePSI: w.ScorePSI, F1Drop: w.F1Drop, MinRows: w.MinRows,
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Sides is what is compared: the watched version and the one beside it, which is Production, or what was before a fresh one.
type Sides struct {
	Watched, Other             Counts
	WatchedLabels, OtherLabels Labels
	// OtherVersion is 0 where there is no other.
	OtherVersion int
	// Reference is the watched bundle's own score baseline; nil for one that has none, as an imported one.
	Reference *baseline.Reference
}

// Judge returns the checks of a watch, those whose limit is 0 left out. With atEnd the step is over.
//
// error_ratio is breached if the share of failed requests is above the limit and above the other version's, by more than chance: so many or more
// errors of a version that fails no more than that come with a probability under 0.001, at the end of a step 0.01; what is compared with the
// other version are both sides' errors, neither of which is taken as exact. It counts from 20 requests on.
//
// p95_ms is breached if the 95th percentile of latency is above the floor, and above the ratio times the other version's, both by more than chance: what
// is compared are the lower end of the one's and the upper end of the other's 99.9 % interval, by rank.
//
// score_psi is breached if the PSI of the scores is above the limit, and above the bound that chance stays under with so many entities, both against the bundle's own
// reference and against the other version's scores. A drift of the data moves both versions, and a version that was trained for a drift agrees with its
// own reference; only one that is wrong in its scores does neither. A bundle without a reference is held to the other version alone. Where the other version's scores lie in fewer than 3 bins (e to the entropy), as
// when one record is asked again and again, nothing can be said. The value is the smaller of the two PSI.
//
// f1 is breached if the F1 over labelled rows is under the other version's by more than the limit and by more than 3 standard errors of the difference; both need 30
// positives.
func Judge(w events.RolloutWatch, s Sides, atEnd bool) []events.EvidenceCheck {
	var out []events.EvidenceCheck
	if w.ErrorRatio > 0 {
		out = append(out, judgeErrors(w, s, atEnd))
	}
	if w.P95Ratio > 0 {
		out = append(out, judgeLatency(w, s))
	}
	if w.ScorePSI > 0 {
		out = append(out, judgeScores(w, s))
	}
	if w.F1Drop > 0 {
		out = append(out, judgeLabels(w, s))
	}
	return out
}

// Breached returns the first check that is breached.
func Breached(checks []events.EvidenceCheck) (events.EvidenceCheck, bool) {
	for _, c := range checks {
		if c.State == events.CheckBreached {
			return c, true
		}
	}
	return events.EvidenceCheck{}, false
}

func judgeErrors(w events.RolloutWatch, s Sides, atEnd bool) events.EvidenceCheck {
	c := events.EvidenceCheck{Check: CheckErrors, Limit: w.ErrorRatio, N: whole(s.Watched.Requests), AgainstN: whole(s.Other.Requests), State: events.CheckOK}
	n, errors := float64(s.Watched.Requests), float64(min(s.Watched.Errors, s.Watched.Requests))
	if n > 0 {
		c.Value = errors / n
	}
	if s.Other.Requests >= minRequests {
		against := float64(min(s.Other.Errors, s.Other.Requests)) / float64(s.Other.Requests)
		c.Against = &against
	}
	if n < minRequests {
		return insufficient(c, fmt.Sprintf("%d requests, %d are needed", c.N, minRequests))
	}
	bar := chance
	if atEnd {
		bar = chanceAtEnd
	}
	if c.Value > w.ErrorRatio && chanceOf(errors, n, w.ErrorRatio) < bar && failsMore(s, bar) {
		c.State = events.CheckBreached
		c.Detail = fmt.Sprintf("%.0f of %.0f requests failed (%d answered by Production instead)", errors, n, s.Watched.Fallbacks)
	}
	return c
}

// failsMore reports whether the watched version fails more often than the other by more than chance: of the errors of both, as many or more would be the
// watched one's with a probability under bar if each fell on any request alike. It is true where the other has too few requests to tell.
func failsMore(s Sides, bar float64) bool {
	if s.Other.Requests < minRequests {
		return true
	}
	n, against := float64(s.Watched.Requests), float64(s.Other.Requests)
	k, usual := float64(min(s.Watched.Errors, s.Watched.Requests)), float64(min(s.Other.Errors, s.Other.Requests))
	return k/n > usual/against && chanceOf(k, k+usual, n/(n+against)) < bar
}

// chanceOf returns the probability of k or more of n where each has probability p.
func chanceOf(k, n, p float64) float64 {
	switch {
	case k <= 0 || p >= 1:
		return 1
	case k == n:
		return math.Pow(p, n)
	}
	return 1 - distuv.Binomial{N: n, P: p}.CDF(k-1)
}

func judgeLatency(w events.RolloutWatch, s Sides) events.EvidenceCheck {
	c := events.EvidenceCheck{Check: CheckP95, Limit: w.P95FloorMS, N: timed(s.Watched), AgainstN: timed(s.Other), State: events.CheckOK}
	if d, ok := events.LatencyQuantile(s.Watched.Latency, 0.95); ok {
		c.Value = milliseconds(d)
	}
	if d, ok := events.LatencyQuantile(s.Other.Latency, 0.95); ok {
		against := milliseconds(d)
		c.Against, c.Limit = &against, max(w.P95FloorMS, w.P95Ratio*against)
	}
	if c.N < w.MinRows || c.AgainstN < w.MinRows {
		return insufficient(c, fmt.Sprintf("%s, %d are needed of each", beside(c, s, "requests"), w.MinRows))
	}
	low, _ := events.LatencyQuantile(s.Watched.Latency, 0.95-margin(c.N))
	high, _ := events.LatencyQuantile(s.Other.Latency, 0.95+margin(c.AgainstN))
	if milliseconds(low) > max(w.P95FloorMS, w.P95Ratio*milliseconds(high)) {
		c.State = events.CheckBreached
		c.Detail = fmt.Sprintf("%.3g ms, %g times version %d's %.3g ms is the limit", c.Value, w.P95Ratio, s.OtherVersion, *c.Against)
	}
	return c
}

// margin returns how far the rank of a 95th percentile of n values is off by chance, at most to the greatest value.
func margin(n int) float64 { return min(z*math.Sqrt(0.95*0.05/float64(n)), 0.05) }

func timed(c Counts) int {
	total := uint64(0)
	for _, n := range c.Latency {
		total = add(total, n)
	}
	return whole(total)
}

func judgeScores(w events.RolloutWatch, s Sides) events.EvidenceCheck {
	other, watched := scoreReference(s.Other.Scores), scoreReference(s.Watched.Scores)
	n, against := s.Watched.scored(), s.Other.scored()
	c := events.EvidenceCheck{Check: CheckScores, Limit: w.ScorePSI, N: n, AgainstN: against, State: events.CheckOK}
	if n < w.MinRows || against < w.MinRows {
		return insufficient(c, fmt.Sprintf("%s, %d are needed of each", beside(c, s, "entities scored"), w.MinRows))
	}
	value, bound, bins := stability(other, watched.Counts, against, n)
	c.Value, c.Against, c.Bins = value, &value, bins
	c.Detail = fmt.Sprintf("PSI %.3g against version %d", value, s.OtherVersion)
	over := value > max(w.ScorePSI, bound)
	if own, ok := ownReference(s); ok {
		v, b, parts := stability(s.Reference, own, int(s.Reference.Total), n)
		c.Detail += fmt.Sprintf(", %.3g against its own reference", v)
		over = over && v > max(w.ScorePSI, b)
		if v < value {
			c.Value, c.Bins = v, parts
		}
	} else {
		c.Detail += "; the bundle has no reference of its own"
	}
	if spread := spreadOf(other); spread < minSpread {
		return insufficient(c, fmt.Sprintf("%s; version %d's scores lie in %.1f bins, %d are needed: is it the same record again and again?",
			c.Detail, s.OtherVersion, spread, minSpread))
	}
	if over {
		c.State = events.CheckBreached
	}
	return c
}

// ownReference returns the watched scores in the bins of the bundle's own baseline.
func ownReference(s Sides) ([]int64, bool) {
	if s.Reference == nil || len(s.Watched.Reference) != s.Reference.Bins() {
		return nil, false
	}
	counts := make([]int64, len(s.Watched.Reference))
	total := 0
	for i, n := range s.Watched.Reference {
		counts[i] = int64(whole(n))
		total += whole(n)
	}
	return counts, total > 0
}

// scoreReference is a reference made of scores in equal bins.
func scoreReference(scores []uint64) *baseline.Reference {
	r := &baseline.Reference{Column: baseline.ScoreColumn, Kind: baseline.Score, Counts: make([]int64, events.ScoreBins+1)}
	for i := 1; i < events.ScoreBins; i++ {
		r.Edges = append(r.Edges, float64(i)/events.ScoreBins)
	}
	for i, n := range scores {
		if i < events.ScoreBins {
			r.Counts[i] = int64(whole(n))
			r.Total += r.Counts[i]
		}
	}
	return r
}

// stability returns the PSI of current against a reference, the bound that chance stays under where they are of so many entities, and the bins that
// either side has.
// Each bin counts as one row more than it holds: with a few hundred rows, a bin of some expected ones that happens to be empty is chance.
func stability(ref *baseline.Reference, current []int64, referenceN, currentN int) (psi, bound float64, bins []events.BinShare) {
	psi, parts, err := baseline.PSI(ref, current, baseline.PSIOptions{Empty: baseline.EmptyLaplace})
	if err != nil { // no rows on a side
		return 0, math.Inf(1), nil
	}
	for _, p := range parts {
		if p.Reference > 0 || p.Current > 0 {
			bins = append(bins, events.BinShare{Bin: p.Bin, Reference: p.Reference, Current: p.Current, PSI: p.PSI})
		}
	}
	return psi, baseline.SignificanceBound(ref.Occupied(current), int64(referenceN), int64(currentN), confidence), bins
}

// spreadOf returns over how many bins rows are spread: e to the entropy of their shares.
func spreadOf(r *baseline.Reference) float64 {
	entropy := 0.0
	for _, n := range r.Counts {
		if n > 0 {
			share := float64(n) / float64(r.Total)
			entropy -= share * math.Log(share)
		}
	}
	return math.Exp(entropy)
}

func judgeLabels(w events.RolloutWatch, s Sides) events.EvidenceCheck {
	a, b := s.WatchedLabels, s.OtherLabels
	c := events.EvidenceCheck{Check: CheckF1, Value: a.F1(), N: a.Rows(), AgainstN: b.Rows(), State: events.CheckOK}
	if b.Rows() > 0 {
		against := b.F1()
		c.Against, c.Limit = &against, max(0, against-w.F1Drop)
	}
	switch {
	case c.N < w.MinRows || c.AgainstN < w.MinRows:
		return insufficient(c, fmt.Sprintf("%s, %d are needed of each", beside(c, s, "labelled rows"), w.MinRows))
	case a.Positives() < minPositives || b.Positives() < minPositives:
		return insufficient(c, fmt.Sprintf("%d positives against %d, %d are needed of each", a.Positives(), b.Positives(), minPositives))
	}
	drop, bound := b.F1()-a.F1(), f1Errors*math.Hypot(a.StandardError(), b.StandardError())
	if drop > w.F1Drop && drop > bound {
		c.State = events.CheckBreached
		c.Detail = fmt.Sprintf("F1 %.3f, version %d's is %.3f; %d standard errors are %.3f", a.F1(), s.OtherVersion, b.F1(), f1Errors, bound)
	}
	return c
}

func insufficient(c events.EvidenceCheck, why string) events.EvidenceCheck {
	c.State, c.Detail = events.CheckInsufficient, why
	return c
}

// beside says on how much a comparison rests.
func beside(c events.EvidenceCheck, s Sides, what string) string {
	if s.OtherVersion == 0 {
		return fmt.Sprintf("%d %s and no other version to compare with", c.N, what)
	}
	return fmt.Sprintf("%d %s against version %d's %d", c.N, what, s.OtherVersion, c.AgainstN)
}
