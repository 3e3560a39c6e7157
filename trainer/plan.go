package trainer

import (
	"fmt"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/spec"
)

// Cause is a pending cause as the fold of CAUSES holds it.
type Cause struct {
	events.Cause
	// At is the stream's time of the cause.
	At time.Time
	// TargetStage is what a request or schedule asks for; empty means Production.
	TargetStage events.Stage
	// Alert is the alert behind a cause of kind drift, else nil.
	Alert *events.DriftAlert
	// TickKey is the key of a schedule's tick, empty for any other cause.
	TickKey string
}

// Production is the last valid promotion of the model. The zero value means that there never was one.
type Production struct {
	Version  int
	Sequence uint64
}

// OpenRun is a run that was started and has no end yet.
type OpenRun struct {
	events.RunStarted
	Sequence uint64
	At       time.Time
}

// LastRun is the newest run that was started.
type LastRun struct {
	DatasetFingerprint string
	SpecDigest         string
	// Failure is why it failed, "in step validate: ..."; empty if it did not.
	Failure string
}

// State is everything that Decide looks at.
type State struct {
	Retrain    spec.Retrain
	Promotion  spec.Promotion
	SpecDigest string
	// Fingerprint is the dataset's, as last read; empty if there is no dataset or it can't be read (DatasetError says why).
	Fingerprint  string
	DatasetError string

	Production Production
	Open       *OpenRun
	Last       *LastRun
	// LastDriftRun is the start of the last run with a drift cause; zero for none.
	LastDriftRun time.Time
	// Pending are the causes after the mark of the last run.started that were not skipped, oldest first.
	Pending []Cause
	// Mark is causes_through of the last run.started, StartTail the last sequence on its subject, junk too.
	Mark, StartTail uint64
	// Ticks holds the keys of the schedule ticks that were taken by earlier runs.
	Ticks map[string]bool
	// NewRows returns the number of distinct entities with a labelled prediction after a PREDICTIONS sequence.
	NewRows func(after uint64) int
}

// Action is what a Decision asks for.
type Action string

const (
	Idle   Action = "idle"   // nothing is pending
	Wait   Action = "wait"   // something is pending and its time has not come
	Start  Action = "start"  // start a run with Causes
	Resume Action = "resume" // finish the open run
)

// Skip is a cause that starts nothing.
type Skip struct {
	Cause  Cause
	Reason events.SkipReason
	Detail string
}

// Decision is what to do now.
type Decision struct {
	Action Action `json:"action"`
	// Why says it in words, for people.
	Why string `json:"why"`
	// Until is when to look again at the latest; zero if only an event can change the decision.
	Until time.Time `json:"until,omitzero"`
	// Causes are all that a started run takes; DriftSince and TargetStage go into its run.started.
	Causes      []Cause      `json:"causes,omitempty"`
	DriftSince  uint64       `json:"drift_since,omitempty"`
	TargetStage events.Stage `json:"target_stage,omitempty"`
	// Skips are to be recorded before anything else; Decide assumes that they are.
	Skips []Skip `json:"-"`
	// Mark and Expected are the state's Mark and StartTail: a run.started that follows from this decision expects Expected, so that of two trainers
	// that decided on the same causes one starts.
	Mark, Expected uint64 `json:"-"`
}

// Decide returns what a trainer should do at now. It is a pure function of the state: the same fold gives the same decision on every trainer.
//
// An open run is resumed before anything else. Superseded alerts and ticks that fired twice are skipped. If any pending cause is not drift, a
// run starts Debounce after the first pending cause; for drift alone it starts once MinNewRows distinct entities predicted after the oldest
// alert have labels, or the dataset has other bytes than in the last run, and no earlier than Cooldown after the last drift run. A started run
// takes every pending cause. A model that never had a Production gets a first run at once, unless the last run had the same data and spec; one
// that was withdrawn does not.
func Decide(s State, now time.Time) Decision {
	if s.Open != nil {
		return Decision{Action: Resume, Why: fmt.Sprintf("run %s was started and has not ended", s.Open.RunID)}
	}
	pending, skips := settle(s)
	d := decide(s, pending, now)
	d.Skips, d.Mark, d.Expected = skips, s.Mark, s.StartTail
	return d
}

func decide(s State, pending []Cause, now time.Time) Decision {
	if len(pending) == 0 {
		return decideFirst(s)
	}
	d := Decision{Causes: pending, DriftSince: driftSince(pending), TargetStage: target(s.Promotion, pending)}
	if s.Production.Sequence == 0 && s.Last == nil && s.Fingerprint != "" {
		d.Action, d.Why = Start, "the model has no Production"
		return d
	}
	at, why := startAt(s, pending)
	switch {
	case at.IsZero():
		d.Action, d.Why = Wait, why
	case at.After(now):
		d.Action, d.Why, d.Until = Wait, why, at
	default:
		d.Action, d.Why = Start, why
	}
	return d
}

// startAt returns when the pending causes may start a run; zero if that depends on rows still to come.
func startAt(s State, pending []Cause) (time.Time, string) {
	first := pending[0].At
	for _, c := range pending {
		if c.Kind != events.CauseDrift {
			return first.Add(s.Retrain.Debounce),
				fmt.Sprintf("%d cause(s) pending, debounced for %s after the first", len(pending), s.Retrain.Debounce)
		}
	}
	need, have := s.Retrain.MinNewRows, s.NewRows(driftSince(pending))
	changed := s.Last != nil && s.Fingerprint != "" && s.Fingerprint != s.Last.DatasetFingerprint
	if have < need && !changed {
		return time.Time{}, fmt.Sprintf("drift: %d of %d labelled entities predicted after the alert", have, need)
	}
	at, why := first, fmt.Sprintf("drift: %d labelled entities predicted after the alert (%d needed)", have, need)
	if changed && have < need {
		why = "drift: the dataset has changed since the last run"
	}
	if cool := s.LastDriftRun.Add(s.Retrain.Cooldown); !s.LastDriftRun.IsZero() && cool.After(at) {
		return cool, fmt.Sprintf("drift: cooling down until %s, %s after the last drift run", cool.UTC().Format(time.RFC3339), s.Retrain.Cooldown)
	}
	return at, why
}

func decideFirst(s State) Decision {
	if s.Production.Version != 0 {
		why := fmt.Sprintf("version %d is Production and nothing asks for another", s.Production.Version)
		if s.Last != nil && s.Last.Failure != "" {
			why += "; the last run failed " + s.Last.Failure
		}
		return Decision{Action: Idle, Why: why}
	}
	if s.Production.Sequence > 0 {
		return Decision{Action: Idle, Why: "the model was withdrawn: waiting for a request or a promotion by hand"}
	}
	switch {
	case s.Fingerprint == "" && s.DatasetError != "":
		return Decision{Action: Wait, Why: "the model has no Production and its dataset can't be read: " + s.DatasetError}
	case s.Fingerprint == "":
		return Decision{Action: Idle, Why: "the model has no Production and the spec names no dataset"}
	case s.Last != nil && s.Last.DatasetFingerprint == s.Fingerprint && s.Last.SpecDigest == s.SpecDigest:
		what := ", but the last run had the same dataset and spec"
		if s.Last.Failure != "" {
			what = ", and the last run failed " + s.Last.Failure
		}
		return Decision{Action: Wait, Why: "the model has no Production" + what + ": waiting for another dataset, another spec or a request"}
	}
	target := events.StageProduction
	if s.Promotion == spec.PromotionManual {
		target = events.StageStaging
	}
	return Decision{Action: Start, Why: "the model has no Production", TargetStage: target,
		Causes: []Cause{{Cause: events.Cause{Kind: events.CauseFirst, Detail: "the model has no Production"}}}}
}

// settle splits the pending causes into those that count and those to skip.
func settle(s State) (keep []Cause, skips []Skip) {
	ticks := map[string]bool{}
	for _, c := range s.Pending {
		switch {
		case c.Alert != nil && s.Production.Sequence > c.Alert.PromotionSequence && s.Production.Version != c.Alert.Version:
			skips = append(skips, Skip{c, events.SkipSuperseded,
				fmt.Sprintf("the alert is about version %d, Production is %d", c.Alert.Version, s.Production.Version)})
		case c.TickKey != "" && (ticks[c.TickKey] || s.Ticks[c.TickKey]):
			skips = append(skips, Skip{c, events.SkipDuplicate, "the tick " + c.TickKey + " fired twice"})
		default:
			if c.TickKey != "" {
				ticks[c.TickKey] = true
			}
			keep = append(keep, c)
		}
	}
	return keep, skips
}

// driftSince returns the PREDICTIONS sequence of the oldest drift cause, 0 if there is none.
func driftSince(pending []Cause) uint64 {
	for _, c := range pending {
		if c.Alert != nil {
			return c.Alert.PredictionsSequence
		}
	}
	return 0
}

// target returns the stage that the causes ask for together: Production if any does, and only a request may say Staging; with manual
// promotion nothing but a request for Production asks for it.
func target(p spec.Promotion, pending []Cause) events.Stage {
	for _, c := range pending {
		switch {
		case c.Kind == events.CauseRequested && c.TargetStage != events.StageStaging:
			return events.StageProduction
		case c.Kind != events.CauseRequested && c.TargetStage != events.StageStaging && p != spec.PromotionManual:
			return events.StageProduction
		}
	}
	return events.StageStaging
}
