package rollout

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

func TestDecide(t *testing.T) {
	began := time.Unix(1000, 0)
	w := events.RolloutWatch{Requests: 500, DurationMS: 60_000}
	breached := []events.EvidenceCheck{{Check: CheckErrors, State: events.CheckOK}, {Check: CheckF1, Value: 0.2, Limit: 0.5, State: events.CheckBreached, Detail: "why"}}
	unsaid := []events.EvidenceCheck{{Check: CheckErrors, State: events.CheckInsufficient}}
	all := Presence{Live: 3, Adopted: 3, Served: 3}
	for _, c := range []struct {
		name    string
		records uint64
		after   time.Duration
		checks  []events.EvidenceCheck
		who     Presence
		want    Action
		reason  string
	}{
		{"begun", 0, 0, nil, all, Wait, "0 records in 0s"},
		{"a breach counts at once", 30, time.Second, breached, all, Break, "f1 0.2 under the limit of 0.5: why"},
		{"and whoever serves it", 30, time.Hour, breached, Presence{}, Break, "f1"},
		{"enough records", 500, time.Second, nil, all, Pass, "0 checks passed"},
		{"enough time", 0, time.Minute, unsaid, all, Pass, "0 checks passed, 1 had too little to go by"},
		{"one record short", 499, time.Minute - 1, nil, all, Wait, "499 records"},
		{"one instance is on its way", 500, time.Second, nil, Presence{Live: 3, Adopted: 2, Served: 2, Lagging: true}, Wait, "2 of 3"},
		{"one instance never came", 500, time.Second, nil, Presence{Live: 3, Adopted: 2, Served: 2}, Pass, ""},
		{"nobody is alive", 500, time.Hour, nil, Presence{}, Hold, "none of 0"},
		{"nobody is alive, at first", 500, time.Second, nil, Presence{Lagging: true}, Hold, "none of 0"},
		{"nobody serves it yet", 500, time.Hour, nil, Presence{Live: 2, Lagging: true}, Wait, "yet"},
		{"nobody serves it", 500, time.Hour, nil, Presence{Live: 2}, Hold, "none of 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, reason := Decide(Step{Since: began, Watch: w, Watched: Counts{Records: c.records, Requests: c.records}}, c.checks, c.who, began.Add(c.after))
			require.Equal(t, c.want, got, reason)
			require.Contains(t, reason, c.reason)
		})
	}
	w.ErrorRatio, w.P95Ratio, w.MinRows = 0.01, 3, 300
	long := Step{Since: began, Watch: w, Watched: Counts{Records: 30_000, Requests: 150}}
	require.False(t, long.Over(began.Add(time.Second)), "a few long lists are many records and few requests")
	require.True(t, long.Over(began.Add(time.Minute)), "but time passes")
	long.Watched.Requests, long.Watched.Errors = 400, 101
	require.False(t, long.Over(began.Add(time.Second)), "what failed tells nothing of latency")
	long.Watched.Requests++
	require.True(t, long.Over(began.Add(time.Second)))
	long.Watch.ScorePSI = 0.25
	require.False(t, long.Over(began.Add(time.Second)), "nobody was scored")
	long.Watched.Scores = []uint64{299}
	require.False(t, long.Over(began.Add(time.Second)), "too few were")
	long.Watched.Scores = []uint64{300}
	require.True(t, long.Over(began.Add(time.Second)))
	long.Watched.Entities = entities(60)
	require.False(t, long.Over(began.Add(time.Second)), "the same again and again")
	require.True(t, long.Over(began.Add(time.Minute)), "but time passes")
	require.False(t, Step{Since: began, Watched: Counts{Records: 1e9, Requests: 1e9}}.Over(began.Add(1000*time.Hour)), "without an end it goes on")
}
