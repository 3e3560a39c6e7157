package tracking_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// many creates runs that started at 0, 1, 2, ..., and returns their ids.
func many(t *testing.T, book *tracking.Book, n int) []string {
	t.Helper()
	var ids []string
	for i := range n {
		r, err := book.CreateRun(within(t), tracking.NewRun{StartTime: int64(i), Name: fmt.Sprint("run ", i)})
		require.NoError(t, err)
		b := tracking.Batch{Params: pairs("parity", fmt.Sprint(i%2)), Tags: pairs("t.u v", fmt.Sprint(i))}
		switch {
		case i%5 == 4:
			b.Metrics = []events.MetricPoint{point("score", math.NaN(), 0, 0)}
		case i%5 > 0:
			b.Metrics = []events.MetricPoint{point("score", float64(i*7%11), 0, 0)}
		}
		require.NoError(t, book.Log(within(t), r.ID, b))
		ids = append(ids, r.ID)
	}
	return ids
}

func names(page tracking.Page[tracking.Run]) []string {
	var out []string
	for _, r := range page.Items {
		out = append(out, r.Name)
	}
	return out
}

func TestSearchRuns(t *testing.T) {
	book, _ := open(t)
	ctx := within(t)
	ids := many(t, book, 10) // scores: -, 7, 3, 10, NaN, -, 9, 5, 1, NaN
	require.NoError(t, book.LogInputs(ctx, ids[3], []events.DatasetInput{{Name: "telco", Digest: "d"}, {Name: "more", Digest: "e", Tags: pairs("mlflow.data.context", "eval")}}, ""))
	require.NoError(t, book.DeleteRun(ctx, ids[9], ""))
	exp, err := book.CreateExperiment(ctx, tracking.NewExperiment{Name: "other"})
	require.NoError(t, err)
	_, err = book.CreateRun(ctx, tracking.NewRun{ExperimentID: exp.ID, Name: "elsewhere", StartTime: 3})
	require.NoError(t, err)
	for _, tc := range []struct {
		name  string
		query tracking.RunQuery
		want  []string
	}{
		{"default order", tracking.RunQuery{MaxResults: 3}, []string{"run 8", "run 7", "run 6"}},
		{"metric down, missing last", tracking.RunQuery{OrderBy: []string{"metrics.score DESC"}}, []string{"run 3", "run 6", "run 1", "run 7", "run 2", "run 8", "run 4", "run 5", "run 0"}},
		{"metric up, missing last", tracking.RunQuery{OrderBy: []string{"metrics.score"}}, []string{"run 8", "run 2", "run 7", "run 1", "run 6", "run 3", "run 4", "run 5", "run 0"}},
		{"filter", tracking.RunQuery{Filter: "metrics.score >= 5 AND params.parity = '1'", OrderBy: []string{"start_time"}}, []string{"run 1", "run 3", "run 7"}},
		{"tag with a space", tracking.RunQuery{Filter: "tags.`t.u v` IN ('3')"}, nil},
		{"one of two datasets", tracking.RunQuery{Filter: "datasets.name = 'more' AND datasets.context = 'eval'"}, []string{"run 3"}},
		{"by id", tracking.RunQuery{Filter: "run_id = '" + ids[2] + "'"}, []string{"run 2"}},
		{"deleted", tracking.RunQuery{View: tracking.DeletedOnly}, []string{"run 9"}},
		{"all", tracking.RunQuery{View: tracking.All, MaxResults: 2}, []string{"run 9", "run 8"}},
		{"two experiments", tracking.RunQuery{ExperimentIDs: []string{"0", exp.ID, "0"}, Filter: "start_time = 3", OrderBy: []string{"run_name"}}, []string{"elsewhere", "run 3"}},
		{"unknown experiment", tracking.RunQuery{ExperimentIDs: []string{"99"}}, nil},
		{"unknown key", tracking.RunQuery{Filter: "params.nope = 'x'"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.query.ExperimentIDs == nil {
				tc.query.ExperimentIDs = []string{"0"}
			}
			page, err := book.SearchRuns(ctx, tc.query)
			if tc.name == "tag with a space" {
				refused(t, err, fault.Invalid, "IN")
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, names(page))
		})
	}
	for _, q := range []tracking.RunQuery{{MaxResults: 50001}, {MaxResults: -1}, {View: "SOME"}, {PageToken: "x"}, {Filter: "a OR b"}, {OrderBy: []string{"b c d"}}} {
		_, err := book.SearchRuns(ctx, q)
		refused(t, err, fault.Invalid)
	}
}

func TestPagesStayWhereTheyAreWhileRunsCome(t *testing.T) {
	book, _ := open(t)
	ctx := within(t)
	many(t, book, 10)
	q := tracking.RunQuery{ExperimentIDs: []string{"0"}, MaxResults: 4, OrderBy: []string{"metrics.score DESC"}}
	var got []string
	for {
		page, err := book.SearchRuns(ctx, q)
		require.NoError(t, err)
		got = append(got, names(page)...)
		if page.Next == "" {
			break
		}
		late := newRun(t, book) // comes before the page that is next
		require.NoError(t, book.Log(ctx, late.ID, tracking.Batch{Metrics: []events.MetricPoint{point("score", 100, 0, 0)}}))
		q.PageToken = page.Next
		other := q
		other.Filter = "metrics.score > 0"
		_, err = book.SearchRuns(ctx, other)
		refused(t, err, fault.Invalid, "page_token")
		q.MaxResults = 3 // may change
	}
	require.Equal(t, []string{"run 3", "run 6", "run 1", "run 7", "run 2", "run 8", "run 9", "run 4", "run 5", "run 0"}, got, "each once")
}

func TestSearchExperiments(t *testing.T) {
	book, _ := open(t)
	ctx := within(t)
	for i := range 12 {
		e, err := book.CreateExperiment(ctx, tracking.NewExperiment{Name: fmt.Sprintf("e%02d", i), Tags: pairs("parity", fmt.Sprint(i%2))})
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i+1), e.ID)
	}
	require.NoError(t, book.DeleteExperiment(ctx, "3", ""))
	search := func(q tracking.Query) []string {
		t.Helper()
		page, err := book.SearchExperiments(ctx, q)
		require.NoError(t, err)
		var out []string
		for _, e := range page.Items {
			out = append(out, e.ID)
		}
		return out
	}
	require.Equal(t, []string{"0", "1", "2", "4", "5", "6", "7", "8", "9", "10", "11", "12"}, search(tracking.Query{OrderBy: []string{"experiment_id"}}), "as numbers")
	require.Equal(t, []string{"3"}, search(tracking.Query{View: tracking.DeletedOnly}))
	require.Equal(t, []string{"10", "6"}, search(tracking.Query{MaxResults: 2, OrderBy: []string{"tags.parity DESC", "name DESC"},
		Filter: "name LIKE 'e%' AND tags.parity = '1' AND name ILIKE 'E_%' AND creation_time > 0 AND attributes.name NOT IN ('e07', 'e11')"}))
	require.Equal(t, []string{"12", "10"}, search(tracking.Query{Filter: "tags.parity = '1'", OrderBy: []string{"name DESC"}, MaxResults: 2}))
	_, err := book.SearchExperiments(ctx, tracking.Query{Filter: "metrics.a > 1"})
	refused(t, err, fault.Invalid)
	byName, err := book.ExperimentByName(ctx, "Default")
	require.NoError(t, err)
	require.Equal(t, "0", byName.ID)
	_, err = book.ExperimentByName(ctx, "nope")
	refused(t, err, fault.NotFound)
	require.NoError(t, book.SetExperimentTag(ctx, "0", events.Pair{Key: "k", Value: "v"}, ""))
	require.NoError(t, book.DeleteExperimentTag(ctx, "0", "k", ""))
	refused(t, book.DeleteExperimentTag(ctx, "0", "k", ""), fault.NotFound)
}
