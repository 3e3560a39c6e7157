package trainer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/spec"
)

var t0 = time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC)

func alert(seq uint64, version int, promotion, predictions uint64) Cause {
	return Cause{At: t0, Cause: events.Cause{Kind: events.CauseDrift, Sequence: seq},
		Alert: &events.DriftAlert{Measurement: events.Measurement{Version: version, PromotionSequence: promotion, PredictionsSequence: predictions, Action: events.ActionRetrain}}}
}

func request(seq uint64, stage events.Stage) Cause {
	return Cause{At: t0, TargetStage: stage, Cause: events.Cause{Kind: events.CauseRequested, Sequence: seq}}
}

func tick(seq uint64, key string) Cause {
	return Cause{At: t0, TickKey: key, Cause: events.Cause{Kind: events.CauseSchedule, Sequence: seq}}
}

// served is a model with version 3 in Production (sequence 30) and a last run with the present data and spec.
func served() State {
	return State{
		Retrain:    spec.Retrain{Debounce: 30 * time.Second, Cooldown: 24 * time.Hour, MinNewRows: 500},
		Promotion:  spec.PromotionAuto,
		SpecDigest: "spec", Fingerprint: "data",
		Production: Production{Version: 3, Sequence: 30},
		Last:       &LastRun{DatasetFingerprint: "data", SpecDigest: "spec"},
		NewRows:    func(uint64) int { return 0 },
	}
}

func TestDecide(t *testing.T) {
	rows := func(n int) func(*State) { return func(s *State) { s.NewRows = func(uint64) int { return n } } }
	pending := func(cs ...Cause) func(*State) { return func(s *State) { s.Pending = cs } }
	noProduction := func(s *State) { s.Production = Production{} }
	tests := []struct {
		name   string
		change []func(*State)
		after  time.Duration // since t0
		want   Action
		until  time.Duration // since t0; 0 means none
		causes int
		skips  []events.SkipReason
		stage  events.Stage
		since  uint64
	}{
		{name: "nothing pending", want: Idle},
		{name: "a request waits for the debounce", change: []func(*State){pending(request(1, ""))}, after: 10 * time.Second, want: Wait, until: 30 * time.Second, causes: 1, stage: events.StageProduction},
		{name: "a request starts exactly at the debounce", change: []func(*State){pending(request(1, ""))}, after: 30 * time.Second, want: Start, causes: 1, stage: events.StageProduction},
		{name: "requests are coalesced", change: []func(*State){pending(request(1, events.StageStaging), request(2, events.StageStaging), tick(4, "a"))}, after: time.Minute, want: Start, causes: 3, stage: events.StageProduction},
		{name: "staging is asked for only if all ask for it", change: []func(*State){pending(request(1, events.StageStaging), request(2, events.StageStaging))}, after: time.Minute, want: Start, causes: 2, stage: events.StageStaging},
		{name: "drift waits for labelled rows", change: []func(*State){pending(alert(1, 3, 30, 900)), rows(499)}, after: time.Hour, want: Wait, causes: 1, since: 900, stage: events.StageProduction},
		{name: "drift starts with enough of them and no debounce", change: []func(*State){pending(alert(1, 3, 30, 900)), rows(500)}, want: Start, causes: 1, since: 900, stage: events.StageProduction},
		{name: "drift starts on other data", change: []func(*State){pending(alert(1, 3, 30, 900)), func(s *State) { s.Fingerprint = "other" }}, want: Start, causes: 1, since: 900, stage: events.StageProduction},
		{name: "an unreadable dataset is no other data", change: []func(*State){pending(alert(1, 3, 30, 900)), func(s *State) { s.Fingerprint = "" }}, want: Wait, causes: 1, since: 900, stage: events.StageProduction},
		{name: "drift starts at once if no rows are needed", change: []func(*State){pending(alert(1, 3, 30, 900)), func(s *State) { s.Retrain.MinNewRows = 0 }}, want: Start, causes: 1, since: 900, stage: events.StageProduction},
		{name: "drift cools down after the last drift run", change: []func(*State){pending(alert(1, 3, 30, 900)), rows(600), func(s *State) { s.LastDriftRun = t0.Add(-time.Hour) }}, want: Wait, until: 23 * time.Hour, causes: 1, since: 900, stage: events.StageProduction},
		{name: "and is not stranded by it", change: []func(*State){pending(alert(1, 3, 30, 900)), rows(600), func(s *State) { s.LastDriftRun = t0.Add(-time.Hour) }}, after: 23 * time.Hour, want: Start, causes: 1, since: 900, stage: events.StageProduction},
		{name: "a request does not cool down and takes the drift along", change: []func(*State){pending(alert(1, 3, 30, 900), request(2, "")), func(s *State) { s.LastDriftRun = t0.Add(-time.Hour) }}, after: 30 * time.Second, want: Start, causes: 2, since: 900, stage: events.StageProduction},
		{name: "rows count from the oldest alert", change: []func(*State){pending(alert(1, 3, 30, 900), alert(2, 3, 30, 1400)), rows(500)}, want: Start, causes: 2, since: 900, stage: events.StageProduction},
		{name: "an alert about a replaced version is superseded", change: []func(*State){pending(alert(1, 2, 20, 900)), rows(600)}, want: Idle, skips: []events.SkipReason{events.SkipSuperseded}},
		{name: "an alert about a version not yet seen here is not", change: []func(*State){pending(alert(1, 4, 40, 900)), rows(600)}, want: Start, causes: 1, since: 900, stage: events.StageProduction},
		{name: "a repair of the same version supersedes nothing", change: []func(*State){pending(alert(1, 3, 20, 900)), rows(600)}, want: Start, causes: 1, since: 900, stage: events.StageProduction},
		{name: "a tick that fired twice counts once", change: []func(*State){pending(tick(1, "a"), tick(2, "a"))}, after: time.Minute, want: Start, causes: 1, skips: []events.SkipReason{events.SkipDuplicate}, stage: events.StageProduction},
		{name: "a tick that a run took before counts no more", change: []func(*State){pending(tick(2, "a")), func(s *State) { s.Ticks = map[string]bool{"a": true} }}, want: Idle, skips: []events.SkipReason{events.SkipDuplicate}},
		{name: "an open run is finished first", change: []func(*State){pending(request(5, "")), func(s *State) { s.Open = &OpenRun{} }}, after: time.Hour, want: Resume},
		{name: "no Production starts a first run at once", change: []func(*State){noProduction, func(s *State) { s.Last = nil }}, want: Start, causes: 1, stage: events.StageProduction},
		{name: "the first run does not wait for the debounce of a request", change: []func(*State){noProduction, func(s *State) { s.Last = nil }, pending(request(1, ""))}, want: Start, causes: 1, stage: events.StageProduction},
		{name: "with manual promotion it asks for Staging", change: []func(*State){noProduction, func(s *State) { s.Last, s.Promotion = nil, spec.PromotionManual }}, want: Start, causes: 1, stage: events.StageStaging},
		{name: "no Production and the same data and spec waits", change: []func(*State){noProduction}, want: Wait},
		{name: "no Production and other data starts", change: []func(*State){noProduction, func(s *State) { s.Fingerprint = "other" }}, want: Start, causes: 1, stage: events.StageProduction},
		{name: "no Production and another spec starts", change: []func(*State){noProduction, func(s *State) { s.SpecDigest = "other" }}, want: Start, causes: 1, stage: events.StageProduction},
		{name: "a withdrawn model is not trained by itself", change: []func(*State){func(s *State) { s.Production.Version, s.Fingerprint = 0, "other" }}, want: Idle},
		{name: "no Production and no dataset is idle", change: []func(*State){noProduction, func(s *State) { s.Fingerprint = "" }}, want: Idle},
		{name: "no Production and an unreadable dataset waits", change: []func(*State){noProduction, func(s *State) { s.Fingerprint, s.DatasetError = "", "no such file" }}, want: Wait},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := served()
			for _, change := range tt.change {
				change(&s)
			}
			d := Decide(s, t0.Add(tt.after))
			require.Equal(t, tt.want, d.Action, d.Why)
			require.NotEmpty(t, d.Why)
			require.Len(t, d.Causes, tt.causes)
			require.Equal(t, tt.stage, d.TargetStage)
			require.Equal(t, tt.since, d.DriftSince)
			if tt.until == 0 {
				require.True(t, d.Until.IsZero(), "until %s", d.Until)
			} else {
				require.Equal(t, t0.Add(tt.until), d.Until)
			}
			var reasons []events.SkipReason
			for _, k := range d.Skips {
				reasons = append(reasons, k.Reason)
			}
			require.Equal(t, tt.skips, reasons)
		})
	}
}

func TestCausesThroughNeverGoesBack(t *testing.T) {
	require.Equal(t, uint64(7), causesThrough(Decision{Mark: 7, Causes: []Cause{{}}}))
	require.Equal(t, uint64(9), causesThrough(Decision{Mark: 7, Causes: []Cause{request(8, ""), request(9, "")}}))
	require.Equal(t, uint64(12), causesThrough(Decision{Mark: 7, Causes: []Cause{request(8, "")}, Skips: []Skip{{Cause: request(12, "")}}}))
}

func TestRunIDIsTheSameForTheSameStart(t *testing.T) {
	require.Len(t, runID("m", 1, 2), 32)
	require.Equal(t, runID("m", 1, 2), runID("m", 1, 2))
	require.NotEqual(t, runID("m", 1, 2), runID("m", 1, 3))
	require.NotEqual(t, runID("m", 1, 2), runID("m", 2, 2))
}
