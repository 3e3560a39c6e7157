package console

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/tracking"
)

func TestNumbersAreShortAndExact(t *testing.T) {
	for v, want := range map[any]string{
		0.5: "0.5000", 3.0: "3", -2.0: "-2", 1e-7: "1e-07", 12345678901.5: "1.235e+10", math.NaN(): "NaN", math.Inf(-1): "-∞", 7: "7", events.Number(0.25): "0.2500", 1e15: "1e+15",
	} {
		require.Equal(t, want, number(v))
	}
}

func TestTimesInWords(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "just now", 4 * time.Second: "just now", 5 * time.Second: "5 seconds ago", time.Minute: "1 minute ago", 3 * time.Hour: "3 hours ago", 49 * time.Hour: "2 days ago",
		-2 * time.Hour: "in 2 hours", 800 * 24 * time.Hour: "2 years ago",
	} {
		require.Equal(t, want, ago(now.Add(-d), now))
	}
	for d, want := range map[time.Duration]string{
		-1: "–", 12500 * time.Microsecond: "12.5 ms", 35835237 * time.Nanosecond: "35.8 ms", 275 * time.Millisecond: "275 ms", 90 * time.Second: "1 min 30 s", 5 * time.Hour: "5 h 0 min", 50 * time.Hour: "2 d 2 h", 1500 * time.Millisecond: "1.5 s",
	} {
		require.Equal(t, want, duration(d))
	}
	require.Equal(t, "2026-03-01T12:00:00Z", utc(now))
	require.Empty(t, utc(millis(0)))
}

func TestCellsAreNoFormulas(t *testing.T) {
	for text, want := range map[string]string{"=1+1": "'=1+1", "-0.5": "-0.5", "+49 30": "'+49 30", "@SUM(A1)": "'@SUM(A1)", "plain": "plain", "": ""} {
		require.Equal(t, want, harmless(text))
	}
}

func TestColumnsBeginWithWhatTellsRunsApart(t *testing.T) {
	row := func(depth string) runRow {
		return runRow{Run: tracking.Run{
			Params:  []events.Pair{{Key: "depth", Value: depth}, {Key: "objective", Value: "binary"}},
			Metrics: []events.MetricPoint{{Key: "a"}, {Key: "b"}, {Key: "c"}, {Key: "d"}, {Key: "f1_churn"}},
			Tags:    []events.Pair{{Key: "team", Value: "x"}},
		}}
	}
	shown := func(columns []column) (out []string) {
		for _, c := range columns {
			if c.Shown {
				out = append(out, c.ID())
			}
		}
		return out
	}
	runs := []runRow{row("3"), row("6")}
	require.Equal(t, []string{"metrics.a", "metrics.b", "metrics.c", "metrics.f1_churn", "params.depth"}, shown(columnsOf(runs, nil)))
	require.Equal(t, []string{"metrics.b", "tags.gone"}, shown(columnsOf(runs, []string{"metrics.b", "tags.gone", "nonsense", "attributes.status"})))
	require.Equal(t, "metrics.`a b`", column{Kind: kindMetric, Key: "a b"}.term())
	require.Equal(t, "metrics.\"a`b\"", column{Kind: kindMetric, Key: "a`b"}.term())
}

func TestSearchWordsBecomeAFilter(t *testing.T) {
	require.Equal(t, "name ILIKE '%churn%'", nameFilter("churn"))
	require.Equal(t, "name = 'x'", nameFilter("name = 'x'"))
	require.Empty(t, nameFilter(""))
}

func TestPreviews(t *testing.T) {
	v := show("t.csv", []byte("a,b\n1,2\n3,4\n"), 12)
	require.Equal(t, []string{"a", "b"}, v.Head)
	require.Len(t, v.Rows, 2)
	require.Equal(t, "{\n  \"a\": 1\n}", show("x.json", []byte(`{"a":1}`), 7).Text)
	require.Equal(t, "{broken", show("x.json", []byte(`{broken`), 7).Text)
	require.Contains(t, show("model.pkl", []byte{0x80, 4}, 2).Note, "No preview")
	long := make([]byte, previewBytes)
	for i := range long {
		long[i] = "ä"[i%2]
	}
	cutOff := show("x.txt", long[:previewBytes-1], previewBytes+5)
	require.NotEmpty(t, cutOff.Text, "a letter that the cut split is left out")
	require.Contains(t, cutOff.Note, "The first")
	m := show("MLmodel", []byte("flavors:\n  xgboost: {}\n  python_function: {}\nsignature:\n  inputs: '[{\"name\": \"x\", \"type\": \"double\"}]'\n  outputs: '[{\"type\": \"tensor\", \"tensor-spec\": {\"dtype\": \"float32\"}}]'\n"), 10).Model
	require.Equal(t, []string{"python_function", "xgboost"}, m.Flavors)
	require.Equal(t, []field{{"x", "double"}}, m.Inputs)
	require.Equal(t, []field{{"0", "float32 tensor"}}, m.Outputs)
	require.Nil(t, parseModelFile([]byte("\tno yaml: [")))
}

func FuzzPreview(f *testing.F) {
	f.Add("MLmodel", []byte("flavors: [1, 2]\nsignature: {inputs: 3}"))
	f.Add("a.csv", []byte("\"a\nb,c"))
	f.Add("a.json", []byte("[[["))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		show(name, data, int64(len(data)))
		show(name, data, int64(len(data))+1)
	})
}

func TestProductionAtATime(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 30, 30, 0, time.UTC)
	promotions := []registry.Promotion{
		{ModelPromoted: events.ModelPromoted{Cause: events.PromotionWithdrawn}, At: at.Add(2 * time.Hour)},
		{ModelPromoted: events.ModelPromoted{Version: 3, Cause: events.PromotedManually, Actor: "ana"}, At: at},
	}
	require.Contains(t, productionAt(promotions, at.Add(-time.Hour)), "no version had been promoted yet")
	require.Contains(t, productionAt(promotions, at.Truncate(time.Minute)), "version 3", "the minute that is asked for is meant whole")
	require.Contains(t, productionAt(promotions, at.Add(time.Hour)), "by ana")
	require.Contains(t, productionAt(promotions, at.Add(3*time.Hour)), "withdrawn")
	beside := func(version, before, demoted int, archive bool, hour time.Duration) registry.Promotion {
		return registry.Promotion{At: at.Add(hour * time.Hour), ModelPromoted: events.ModelPromoted{
			Version: version, PreviousVersion: before, Demoted: demoted, ArchiveExisting: archive, Ungated: true, Cause: events.PromotedManually}}
	}
	promotions = []registry.Promotion{beside(4, 3, 0, true, 4), beside(3, 2, 2, false, 3), beside(3, 2, 0, false, 2), beside(2, 1, 0, false, 1), beside(1, 0, 0, false, 0)}
	for hour, want := range []string{"manual).", "and beside it version 1.", "and beside it version 1, 2.", "and beside it version 1.", "manual)."} {
		require.Contains(t, productionAt(promotions, at.Add(time.Duration(hour)*time.Hour)), want, hour)
	}
}

func TestAFeedBeginsWhereItShould(t *testing.T) {
	ends := position{9000, 10, 0, 3}
	require.Equal(t, ends, resume(ends, "", "nonsense", "1-2-3", "1-2-3-x"))
	require.Equal(t, position{8999, 4, 0, 3}, resume(ends, "8999-4-0-3"))
	require.Equal(t, position{4000, 4, 0, 3}, resume(ends, "", "7-4-5-900"), "not too far back, not beyond an end")
	p, ok := parsePosition(ends.String())
	require.True(t, ok)
	require.Equal(t, ends, p)
}

func TestEveryEventHasWords(t *testing.T) {
	silent := map[events.Type]bool{
		events.TypeInstanceAlive: true, events.TypeServingMeasured: true, events.TypeScheduleRetrain: true, events.TypePredictionMade: true, events.TypeLabelObserved: true, events.TypeExampleJoined: true,
		events.TypeExperimentChanged: true, events.TypeRunTracked: true, events.TypeArtifactStored: true, events.TypeModelLogged: true,
		events.TypeScoreRequested: true, events.TypeScoreCompleted: true, events.TypeScoreFailed: true,
	}
	for _, k := range events.Kinds() {
		l, ok := lineOf(bus.Message{Event: events.Event{Model: "m", Payload: k.New()}})
		require.Equal(t, !silent[k.Type], ok, k.Type)
		if ok {
			require.NotEmpty(t, l.Words, k.Type)
			require.NotEmpty(t, l.Href, k.Type)
		}
	}
	l, ok := lineOf(bus.Message{Err: errors.New("no event"), Subject: "model.promoted.x"})
	require.True(t, ok)
	require.Contains(t, l.Words, "no event")
}

func TestWordsOfPromotions(t *testing.T) {
	for want, p := range map[string]events.ModelPromoted{
		"version 2 is Production in place of 1 (gate)":                                  {Version: 2, PreviousVersion: 1, Cause: events.PromotedByGate},
		"version 2 is Production too, beside 1 (manual) by ana":                         {Version: 2, PreviousVersion: 1, Cause: events.PromotedManually, Ungated: true, Actor: "ana"},
		"version 2 is Production in place of 1 (manual)":                                {Version: 2, PreviousVersion: 1, Cause: events.PromotedManually, Ungated: true, ArchiveExisting: true},
		"version 2 went from Production to Staging; version 1 is still Production: old": {Version: 1, PreviousVersion: 2, Cause: events.PromotedManually, Ungated: true, Demoted: 2, DemotedTo: events.StageStaging, Reason: "old"},
		"version 2 is Production, stated again":                                         {Version: 2, PreviousVersion: 2, Cause: events.PromotionRepair},
		"version 1 is Production (gate)":                                                {Version: 1, Cause: events.PromotedByGate},
	} {
		l, ok := lineOf(bus.Message{Event: events.Event{Model: "m", Payload: &p}})
		require.True(t, ok)
		require.Equal(t, want, l.Words)
	}
}

func TestCommandsThatServeNameTheModel(t *testing.T) {
	require.Equal(t, "churn inference --nats URL --model telco-churn", serveCommand("telco-churn"))
	require.Equal(t, `churn inference --nats URL --model 'it'\''s; rm'`, serveCommand("it's; rm"))
}

func TestPathsKeepHostileNamesInOneSegment(t *testing.T) {
	require.Equal(t, "/runs/a%2Fb%3F", runPath("a/b?"))
	require.Equal(t, "/runs/%2E%2E", runPath(".."))
	require.Equal(t, "a%20b/%2E%2E/c", segments("a b/../c"))
	require.NotContains(t, modelPath("a/../b <x>")[len("/models/"):], "/")
	require.Equal(t, "/models/telco-churn/versions/2", versionPath("telco-churn", 2))
}
