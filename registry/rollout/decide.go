package rollout

import (
	"fmt"
	"time"

	"telco-churn-mlops/events"
)

// Action is what follows from the evidence.
type Action string

const (
	Wait  Action = "wait"  // the step goes on
	Hold  Action = "hold"  // the step is over, but nobody serves what is watched: a person should look
	Pass  Action = "pass"  // the step passed
	Break Action = "break" // a limit was broken
)

// Presence is who serves what is watched.
type Presence struct {
	// Live instances gave a sign of late; Adopted is how many of them report the revision, or promotion, that is watched, and Served how many the
	// watched version.
	Live, Adopted, Served int
	// Lagging is true while instances that did not report it may still be on their way.
	Lagging bool
}

// Step is one step of a watch.
type Step struct {
	Since time.Time // by the stream's clock
	Watch events.RolloutWatch
	// Watched is what the watched version answered since.
	Watched Counts
}

// Over reports whether a step has seen what it waits for: so much time, or so many records, with requests and entities enough among them for errors,
// latency and scores to be judged by. A few long lists are many records and tell little of the former, and a few customers who are asked for again and again
// nothing of the scores.
func (s Step) Over(now time.Time) bool {
	w := s.Watch
	if w.DurationMS > 0 && now.Sub(s.Since) >= time.Duration(w.DurationMS)*time.Millisecond {
		return true
	}
	rows := max(0, min(w.MinRows, w.Requests))
	return w.Requests > 0 && s.Watched.Records >= uint64(w.Requests) && (w.ErrorRatio <= 0 || s.Watched.Requests >= minRequests) &&
		(w.P95Ratio <= 0 || less(s.Watched.Requests, s.Watched.Errors) >= uint64(rows)) && (w.ScorePSI <= 0 || s.Watched.scored() >= rows)
}

// Decide returns what follows from the checks of a step, with the reason in words. A breach counts at once. A step that is over waits until every live
// instance has taken it up, and holds if none serves it: time that passes where nobody answers proves nothing.
func Decide(s Step, checks []events.EvidenceCheck, p Presence, now time.Time) (Action, string) {
	if c, yes := Breached(checks); yes {
		return Break, reasonOf(c)
	}
	switch {
	case !s.Over(now):
		return Wait, fmt.Sprintf("%d records in %s", s.Watched.Records, now.Sub(s.Since).Round(time.Second))
	case p.Served == 0 && p.Lagging && p.Live > 0:
		return Wait, "no live instance serves it yet"
	case p.Served == 0:
		return Hold, fmt.Sprintf("none of %d live instances serves it", p.Live)
	case p.Adopted < p.Live && p.Lagging:
		return Wait, fmt.Sprintf("%d of %d live instances have taken it up", p.Adopted, p.Live)
	}
	return Pass, passed(checks)
}

// reasonOf says a breach in words.
func reasonOf(c events.EvidenceCheck) string {
	text := fmt.Sprintf("%s %.4g over the limit of %.4g", c.Check, c.Value, c.Limit)
	if c.Check == CheckF1 {
		text = fmt.Sprintf("%s %.4g under the limit of %.4g", c.Check, c.Value, c.Limit)
	}
	if c.Detail != "" {
		text += ": " + c.Detail
	}
	return text
}

// passed says in words how much a step that passed rests on.
func passed(checks []events.EvidenceCheck) string {
	ok, unsaid := 0, 0
	for _, c := range checks {
		if c.State == events.CheckOK {
			ok++
		} else {
			unsaid++
		}
	}
	if unsaid == 0 {
		return fmt.Sprintf("%d checks passed", ok)
	}
	return fmt.Sprintf("%d checks passed, %d had too little to go by", ok, unsaid)
}
