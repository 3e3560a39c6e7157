package tracking_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

func TestARunTellsWhatWasLogged(t *testing.T) {
	book, b := open(t)
	ctx := within(t)
	exp, err := book.CreateExperiment(ctx, tracking.NewExperiment{Name: "прогноз/流失 *>", Tags: pairs("team", "ö")})
	require.NoError(t, err)
	require.Equal(t, "1", exp.ID)
	require.Equal(t, "mlflow-artifacts:/1", exp.ArtifactLocation)
	r, err := book.CreateRun(ctx, tracking.NewRun{ExperimentID: exp.ID, UserID: "ann", Name: "первый", StartTime: math.MaxInt64, Tags: pairs("mlflow.user", "ann")})
	require.NoError(t, err)
	require.Regexp(t, "^[0-9a-f]{32}$", r.ID)
	require.Equal(t, "mlflow-artifacts:/1/"+r.ID+"/artifacts", r.ArtifactURI)
	require.NoError(t, book.Log(ctx, r.ID, tracking.Batch{
		Metrics: []events.MetricPoint{point("auc", .7, 5, 1), point("auc", .9, 4, 2), point("auc", .8, 9, 1), point("loss", math.Inf(1), math.MinInt64, math.MaxInt64)},
		Params:  pairs("lr", "0.1", "точность", "", "lr", "0.1"),
		Tags:    pairs("note", strings.Repeat("ö", tracking.MaxTagValue)),
	}))
	end := int64(math.MaxInt64)
	_, err = book.UpdateRun(ctx, r.ID, tracking.RunUpdate{Status: events.StatusFinished, EndTime: &end})
	require.NoError(t, err)
	require.NoError(t, book.LogInputs(ctx, r.ID, []events.DatasetInput{{Name: "telco", Digest: "d1", SourceType: "local", Source: "{}", Tags: pairs("mlflow.data.context", "training")}}, ""))
	require.NoError(t, book.LogOutputs(ctx, r.ID, []events.ModelOutput{{ModelID: "m-1", Step: 3}}, ""))

	want := tracking.Run{ID: r.ID, Name: "первый", ExperimentID: "1", UserID: "ann", Status: "FINISHED", Lifecycle: "active", ArtifactURI: r.ArtifactURI,
		StartTime: math.MaxInt64, EndTime: math.MaxInt64,
		Metrics: []events.MetricPoint{point("auc", .9, 4, 2), point("loss", math.MaxFloat64, math.MinInt64, math.MaxInt64)},
		Params:  pairs("lr", "0.1", "точность", ""),
		Tags:    pairs("mlflow.runName", "первый", "mlflow.user", "ann", "note", strings.Repeat("ö", tracking.MaxTagValue)),
		Inputs:  []events.DatasetInput{{Name: "telco", Digest: "d1", SourceType: "local", Source: "{}", Tags: pairs("mlflow.data.context", "training")}},
		Outputs: []events.ModelOutput{{ModelID: "m-1", Step: 3}}}
	got, err := book.RunByID(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, want, got)

	again, _ := start(t, b)
	got, err = again.RunByID(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, want, got, "after folding anew")
}

func TestTheNameOfARunIsItsTag(t *testing.T) {
	book, _ := open(t)
	ctx := within(t)
	r := newRun(t, book)
	require.Regexp(t, `^[a-z]+-[a-z]+-\d+$`, r.Name)
	require.Equal(t, pairs("mlflow.runName", r.Name), r.Tags)

	require.NoError(t, book.Log(ctx, r.ID, tracking.Batch{Tags: pairs("mlflow.runName", "by tag")}))
	got, err := book.RunByID(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, "by tag", got.Name)

	name := "by update"
	got, err = book.UpdateRun(ctx, r.ID, tracking.RunUpdate{Name: &name})
	require.NoError(t, err)
	require.Equal(t, name, got.Name)
	require.Equal(t, pairs("mlflow.runName", name), got.Tags)

	tagged, err := book.CreateRun(ctx, tracking.NewRun{Tags: pairs("mlflow.runName", "first")})
	require.NoError(t, err)
	require.Equal(t, "first", tagged.Name)
	_, err = book.CreateRun(ctx, tracking.NewRun{Name: "a", Tags: pairs("mlflow.runName", "b")})
	refused(t, err, fault.Invalid, "a", "b")
}

func TestParamsAreWrittenOnce(t *testing.T) {
	book, _ := open(t)
	ctx := within(t)
	r := newRun(t, book)
	require.NoError(t, book.Log(ctx, r.ID, tracking.Batch{Params: pairs("depth", "3")}))
	require.NoError(t, book.Log(ctx, r.ID, tracking.Batch{Params: pairs("depth", "3")}))
	refused(t, book.Log(ctx, r.ID, tracking.Batch{Params: pairs("new", "1", "depth", "4")}), fault.Invalid, "depth", `"3"`, `"4"`)
	refused(t, book.Log(ctx, r.ID, tracking.Batch{Params: pairs("x", "1", "x", "2")}), fault.Invalid, `"x"`, `"1"`, `"2"`)
	got, err := book.RunByID(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, pairs("depth", "3"), got.Params, "a batch that was refused left nothing behind")
}

func TestWhatIsRefused(t *testing.T) {
	book, _ := open(t)
	r := newRun(t, book)
	many := func(n int) []events.Pair {
		var ps []events.Pair
		for i := range n {
			ps = append(ps, events.Pair{Key: fmt.Sprint("k", i), Value: "v"})
		}
		return ps
	}
	points := func(n int) []events.MetricPoint {
		ms := make([]events.MetricPoint, n)
		for i := range ms {
			ms[i] = point("m", float64(i), 0, int64(i))
		}
		return ms
	}
	for _, tc := range []struct {
		name  string
		batch tracking.Batch
		words string
	}{
		{"too many metrics", tracking.Batch{Metrics: points(1001)}, "1001"},
		{"too many params", tracking.Batch{Params: many(101)}, "101"},
		{"too many tags", tracking.Batch{Tags: many(101)}, "101"},
		{"too many of all", tracking.Batch{Metrics: points(901), Params: many(100)}, "1001"},
		{"long key", tracking.Batch{Params: pairs(strings.Repeat("ж", 251), "v")}, "251"},
		{"long param", tracking.Batch{Params: pairs("p", strings.Repeat("v", 6001))}, "6001"},
		{"long tag", tracking.Batch{Tags: pairs("t", strings.Repeat("v", 8001))}, "8001"},
		{"no key", tracking.Batch{Metrics: points(1), Tags: pairs("", "v")}, "no key"},
		{"key with a quote", tracking.Batch{Tags: pairs(`a"b`, "v")}, `'"'`},
		{"key that climbs", tracking.Batch{Tags: pairs("../up", "v")}, "path"},
		{"key with a double slash", tracking.Batch{Metrics: []events.MetricPoint{point("a//b", 1, 0, 0)}}, "path"},
		{"not UTF-8", tracking.Batch{Params: pairs("p", "\xff")}, "UTF-8"},
		{"control character", tracking.Batch{Params: pairs("a\x00b", "v")}, `\x00`},
		{"over the server's limit", tracking.Batch{Tags: []events.Pair{{Key: "mlflow.log-model.history", Value: strings.Repeat("x", 1<<20)}}}, "payload"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			refused(t, book.Log(within(t), r.ID, tc.batch), fault.Invalid, tc.words)
		})
	}
	ctx := within(t)
	got, err := book.RunByID(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, r, got, "nothing was stored")
	refused(t, book.Log(ctx, strings.Repeat("0", 32), tracking.Batch{}), fault.NotFound)
	_, err = book.UpdateRun(ctx, r.ID, tracking.RunUpdate{Status: "DONE"})
	refused(t, err, fault.Invalid, "DONE")
	refused(t, book.DeleteTag(ctx, r.ID, "nope", ""), fault.NotFound, "nope")
	_, err = book.CreateRun(ctx, tracking.NewRun{ExperimentID: "77"})
	refused(t, err, fault.NotFound, "77")
	refused(t, book.LogInputs(ctx, r.ID, []events.DatasetInput{{Name: "d", Digest: strings.Repeat("d", 37)}}, ""), fault.Invalid, "37")
}

func TestDeletedRunsAndExperimentsTakeNothing(t *testing.T) {
	book, _ := open(t)
	ctx := within(t)
	exp, err := book.CreateExperiment(ctx, tracking.NewExperiment{Name: "e"})
	require.NoError(t, err)
	r, err := book.CreateRun(ctx, tracking.NewRun{ExperimentID: exp.ID})
	require.NoError(t, err)
	log := tracking.Batch{Metrics: []events.MetricPoint{point("m", 1, 0, 0)}}
	gone := func() {
		t.Helper()
		refused(t, book.Log(ctx, r.ID, log), fault.Invalid, "deleted")
		_, err := book.UpdateRun(ctx, r.ID, tracking.RunUpdate{Status: events.StatusFailed})
		refused(t, err, fault.Invalid, "deleted")
		got, err := book.RunByID(ctx, r.ID)
		require.NoError(t, err)
		require.Equal(t, events.StageDeleted, got.Lifecycle)
	}
	require.NoError(t, book.DeleteRun(ctx, r.ID, ""))
	gone()
	require.NoError(t, book.RestoreRun(ctx, r.ID, ""))
	require.NoError(t, book.Log(ctx, r.ID, log))

	require.NoError(t, book.DeleteExperiment(ctx, exp.ID, ""))
	gone()
	_, err = book.CreateRun(ctx, tracking.NewRun{ExperimentID: exp.ID})
	refused(t, err, fault.Invalid, "deleted")
	_, err = book.CreateExperiment(ctx, tracking.NewExperiment{Name: "e"})
	refused(t, err, fault.Exists, "deleted")
	refused(t, book.RenameExperiment(ctx, exp.ID, "f", ""), fault.Invalid)
	refused(t, book.SetExperimentTag(ctx, exp.ID, events.Pair{Key: "k", Value: "v"}, ""), fault.Invalid)
	require.NoError(t, book.RestoreExperiment(ctx, exp.ID, ""))
	require.NoError(t, book.RenameExperiment(ctx, exp.ID, "f", ""))
	require.NoError(t, book.Log(ctx, r.ID, log))
	second, err := book.CreateExperiment(ctx, tracking.NewExperiment{Name: "e"})
	require.NoError(t, err)
	require.Equal(t, "2", second.ID)
	refused(t, book.RenameExperiment(ctx, second.ID, "f", ""), fault.Exists)
}

func TestTheShownPointIsTheGreatest(t *testing.T) {
	book, _ := open(t)
	nan := math.NaN()
	for _, tc := range []struct {
		name   string
		points []events.MetricPoint
		want   events.MetricPoint
	}{
		{"step before time", []events.MetricPoint{point("m", 1, 9, 1), point("m", 2, 1, 2)}, point("m", 2, 1, 2)},
		{"time before value", []events.MetricPoint{point("m", 9, 1, 0), point("m", 1, 2, 0)}, point("m", 1, 2, 0)},
		{"value at last", []events.MetricPoint{point("m", 1, 1, 0), point("m", 2, 1, 0)}, point("m", 2, 1, 0)},
		{"NaN is the least value", []events.MetricPoint{point("m", -5, 1, 0), point("m", nan, 1, 0)}, point("m", -5, 1, 0)},
		{"negative steps", []events.MetricPoint{point("m", 1, 0, math.MinInt64), point("m", 2, 0, -1)}, point("m", 2, 0, -1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := within(t)
			for _, order := range [][]events.MetricPoint{tc.points, {tc.points[1], tc.points[0]}} {
				r := newRun(t, book)
				for _, p := range order {
					require.NoError(t, book.Log(ctx, r.ID, tracking.Batch{Metrics: []events.MetricPoint{p}}))
				}
				got, err := book.RunByID(ctx, r.ID)
				require.NoError(t, err)
				require.Equal(t, []events.MetricPoint{tc.want}, got.Metrics)
			}
		})
	}
}
