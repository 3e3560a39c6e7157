package drift

import (
	"time"

	"telco-churn-mlops/events"
)

// Names of the statistics in events.
const (
	statisticPSI    = "psi"
	statisticF1Drop = "f1_drop"
)

// columnState is where one column stands between two evaluations. It is written into every evaluation, so that the last one restores it.
//
//	            over                   over, consecutive times               under the clearing threshold
//	ok ------------------> pending -----------------------------> firing -------------------------------> ok
//	    <------------------                                          | repeat: alert again
//	          not over                                               | new version, not under: pending, the alert stays open
//
// With too little data ok and pending become insufficient_data, which goes on like ok; firing stays, as nothing is known that would end it.
type columnState struct {
	state          events.ColumnState
	streak         int
	streakSequence uint64
	// alertedAt and alertedVersion are of the last alert that was not cleared; 0 if there is none.
	alertedAt      time.Time
	alertedVersion int
}

// verdict is one measurement as the state machine sees it.
type verdict struct {
	enough, over, under bool
	version             int
	// renewed says that the last evaluation was about another version.
	renewed bool
	now     time.Time
	// first and sequence are the positions of the window's oldest and newest row. Only an evaluation that shares no row with the last
	// counted one adds to the streak; first 0 lets every evaluation count.
	first, sequence uint64
	consecutive     int
	repeat          time.Duration
}

// change is what an evaluation makes of a column.
type change string

const (
	changeNone    change = ""
	changeAlert   change = "alert"
	changeRepeat  change = "repeat"
	changeCleared change = "cleared"
)

// stateOf returns a column's state at the end of an evaluation: ok if the column was not there.
func stateOf(last *events.DriftEvaluated, column string) columnState {
	if last != nil {
		for _, c := range last.Columns {
			if c.Column == column {
				return columnState{state: c.State, streak: c.Streak, streakSequence: c.StreakSequence, alertedAt: c.AlertedAt, alertedVersion: c.AlertedVersion}
			}
		}
	}
	return columnState{state: events.StateOK}
}

// store writes the state into an evaluation.
func (s columnState) store(c *events.ColumnEvaluation) {
	c.State, c.Streak, c.StreakSequence, c.AlertedAt, c.AlertedVersion = s.state, s.streak, s.streakSequence, s.alertedAt, s.alertedVersion
}

// next returns the state after a verdict and what has to be said about it.
func (s columnState) next(v verdict) (columnState, change) {
	open := s.alertedVersion != 0 // an alert that no clearing has ended
	if v.renewed && s.state != events.StateFiring {
		s.streak, s.streakSequence = 0, 0 // what was counted against another reference counts no more
	}
	if !v.enough {
		return s.starve(open)
	}
	if open && v.under {
		return columnState{state: events.StateOK}, changeCleared
	}
	if s.state == events.StateFiring {
		if s.alertedVersion == v.version {
			if v.now.Sub(s.alertedAt) >= v.repeat {
				s.alertedAt = v.now
				return s, changeRepeat
			}
			return s, changeNone
		}
		s.state, s.streak, s.streakSequence = events.StatePending, 0, 0 // judged once against the new reference: it starts again
	}
	if !v.over {
		s.state, s.streak, s.streakSequence = events.StateOK, 0, 0
		if open {
			s.state = events.StatePending
		}
		return s, changeNone
	}
	s.state = events.StatePending
	if v.first == 0 || s.streak == 0 || v.first > s.streakSequence {
		s.streak++
		s.streakSequence = v.sequence
	}
	if s.streak < v.consecutive {
		return s, changeNone
	}
	return columnState{state: events.StateFiring, alertedAt: v.now, alertedVersion: v.version}, changeAlert
}

// starve is next for too little data.
func (s columnState) starve(open bool) (columnState, change) {
	if !open {
		return columnState{state: events.StateInsufficient}, changeNone
	}
	if s.state != events.StateFiring {
		s.streak, s.streakSequence = 0, 0
	}
	return s, changeNone
}

// notice returns the event that a change asks for, nil for none.
func notice(e *events.DriftEvaluated, c events.ColumnEvaluation, kind events.DriftKind, ch change, clear float64) events.Payload {
	m := events.Measurement{
		Kind: kind, Column: c.Column, Statistic: c.Statistic, Value: c.Value, Threshold: c.Threshold, Bound: c.Bound, N: c.N,
		WindowFrom: e.WindowFrom, WindowTo: e.WindowTo, Bins: c.Bins, Version: e.Version, PromotionSequence: e.PromotionSequence,
		Evaluation: e.Evaluation, PredictionsSequence: e.PredictionsSequence, Action: c.Action,
	}
	switch ch {
	case changeAlert, changeRepeat:
		return &events.DriftAlert{Measurement: m, Repeat: ch == changeRepeat}
	case changeCleared:
		m.Threshold = clear
		return &events.DriftCleared{Measurement: m}
	}
	return nil
}
