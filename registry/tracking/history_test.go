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

func TestMetricHistory(t *testing.T) {
	book, _ := open(t)
	ctx := within(t)
	r := newRun(t, book)
	log := func(points ...events.MetricPoint) {
		t.Helper()
		require.NoError(t, book.Log(ctx, r.ID, tracking.Batch{Metrics: points}))
	}
	log(point("m", 3, 2, 0), point("other", 1, 0, 0), point("m", 1, 1, 5))
	log(point("m", 3, 2, 0)) // again
	log(point("m", math.NaN(), 2, 0), point("m", 2, 2, 0), point("m", math.NaN(), 2, 0))
	log(point("m", 0, math.MinInt64, math.MaxInt64))
	got, err := book.MetricHistory(ctx, r.ID, "m")
	require.NoError(t, err)
	require.Equal(t, "[{m 0 -9223372036854775808 9223372036854775807   } {m 1 1 5   } {m NaN 2 0   } {m 2 2 0   } {m 3 2 0   }]", fmt.Sprint(got))
	got, err = book.MetricHistory(ctx, r.ID, "never")
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = book.MetricHistory(ctx, "0123456789abcdef0123456789abcdef", "m")
	refused(t, err, fault.NotFound)
	both, err := book.Histories(ctx, r.ID, []string{"m", "other", "never"})
	require.NoError(t, err)
	require.Len(t, both, 2)
	require.Len(t, both["m"], 5)
	require.Len(t, both["other"], 1)
}

func TestLongHistoriesComeInPages(t *testing.T) {
	book, _ := open(t)
	ctx := within(t)
	r := newRun(t, book)
	const n = 26_000 // more than a client asks for at once
	for from := 0; from < n; from += 1000 {
		var points []events.MetricPoint
		for i := range 1000 {
			points = append(points, point("loss", 1/float64(from+i+1), int64(from+i), int64(from+i)))
		}
		require.NoError(t, book.Log(ctx, r.ID, tracking.Batch{Metrics: points}))
	}
	all, err := book.MetricHistory(ctx, r.ID, "loss")
	require.NoError(t, err)
	require.Len(t, all, n)
	var paged []events.MetricPoint
	for token, pages := "", 0; ; pages++ {
		page, err := book.MetricHistoryPage(ctx, r.ID, "loss", 10_000, token)
		require.NoError(t, err)
		paged = append(paged, page.Items...)
		if token = page.Next; token == "" {
			require.Equal(t, 2, pages)
			break
		}
		_, err = book.MetricHistoryPage(ctx, r.ID, "other", 10_000, token)
		refused(t, err, fault.Invalid, "page_token")
	}
	require.Equal(t, all, paged)
	whole, err := book.MetricHistoryPage(ctx, r.ID, "loss", 0, "")
	require.NoError(t, err)
	require.Len(t, whole.Items, n)
	_, err = book.MetricHistoryPage(ctx, r.ID, "loss", tracking.MaxHistory+1, "")
	refused(t, err, fault.Invalid)
	_, err = book.MetricHistoryPage(ctx, r.ID, "loss", 1, "garbage")
	refused(t, err, fault.Invalid)
}
