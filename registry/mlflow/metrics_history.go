package mlflow

import (
	"cmp"
	"net/http"
	"slices"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// Limits of the calls that pages draw charts from.
const (
	bulkRuns        = 100    // runs of one call
	bulkMax         = 25_000 // points of get-history-bulk
	intervalDefault = 320    // points of each run of get-history-bulk-interval
	intervalMax     = 2500
)

// histories registers the calls below metrics/.
func (a *api) histories() {
	a.handle(http.MethodGet, "/mlflow/metrics/get-history", access.Read, getHistory)
	a.handle(http.MethodGet, "/mlflow/metrics/get-history-bulk", access.Read, getHistoryBulk)
	a.handle(http.MethodGet, "/mlflow/metrics/get-history-bulk-interval", access.Read, getHistoryInterval)
}

func getHistory(c *call) (any, error) {
	var in struct {
		runKey
		Key        string   `json:"metric_key"`
		MaxResults *integer `json:"max_results"`
		PageToken  string   `json:"page_token"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("run_id", in.id(), "metric_key", in.Key); err != nil {
		return nil, err
	}
	size, err := pageSize(in.MaxResults, 0, tracking.MaxHistory) // 0: all
	if err != nil {
		return nil, err
	}
	page, err := c.book.MetricHistoryPage(c.ctx, in.id(), in.Key, size, in.PageToken)
	if err != nil {
		return nil, err
	}
	return struct {
		Metrics []events.MetricPoint `json:"metrics,omitempty"`
		Next    string               `json:"next_page_token,omitempty"`
	}{page.Items, page.Next}, nil
}

// runPoint is a point with the run that logged it.
type runPoint struct {
	events.MetricPoint
	RunID string `json:"run_id"`
}

type bulkAnswer struct {
	Metrics []runPoint `json:"metrics,omitempty"`
}

// bulkIn is what both calls for several runs take.
type bulkIn struct {
	RunID      []string `json:"run_id"`
	RunIDs     []string `json:"run_ids"`
	Key        string   `json:"metric_key"`
	MaxResults *integer `json:"max_results"`
}

// runs returns the runs asked for, each once.
func (in bulkIn) runs() ([]string, error) {
	ids := slices.Concat(in.RunID, in.RunIDs)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	switch {
	case len(ids) == 0 || ids[0] == "":
		return nil, required("run_id", "")
	case len(ids) > bulkRuns:
		return nil, fault.New(fault.Invalid, "at most %d runs can be asked for at once, got %d", bulkRuns, len(ids))
	}
	return ids, required("metric_key", in.Key)
}

// getHistoryBulk answers with the points of several runs, in the order of the runs' ids and of time, and with no more than max_results in all.
func getHistoryBulk(c *call) (any, error) {
	var in bulkIn
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	ids, err := in.runs()
	if err != nil {
		return nil, err
	}
	size, err := pageSize(in.MaxResults, bulkMax, bulkMax)
	if err != nil {
		return nil, err
	}
	var out bulkAnswer
	for _, id := range ids {
		points, err := c.book.MetricHistory(c.ctx, id, in.Key)
		if err != nil {
			return nil, err
		}
		for _, p := range points[:min(len(points), size-len(out.Metrics))] {
			out.Metrics = append(out.Metrics, runPoint{p, id})
		}
	}
	return out, nil
}

// getHistoryInterval answers with at most max_results points of each run, of steps evenly spread from the first to the last between start_step and
// end_step.
func getHistoryInterval(c *call) (any, error) {
	var in struct {
		bulkIn
		Start *integer `json:"start_step"`
		End   *integer `json:"end_step"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	ids, err := in.runs()
	if err != nil {
		return nil, err
	}
	if (in.Start == nil) != (in.End == nil) || in.Start != nil && *in.Start > *in.End {
		return nil, fault.New(fault.Invalid, "start_step and end_step go together, and start_step must not be greater")
	}
	size, err := pageSize(in.MaxResults, intervalDefault, intervalMax)
	if err != nil {
		return nil, err
	}
	var out bulkAnswer
	for _, id := range ids {
		points, err := c.book.MetricHistory(c.ctx, id, in.Key)
		if err != nil {
			return nil, err
		}
		if in.Start != nil {
			points = slices.DeleteFunc(points, func(p events.MetricPoint) bool { return p.Step < int64(*in.Start) || p.Step > int64(*in.End) })
		}
		slices.SortStableFunc(points, byStep)
		for _, p := range thin(points, size) {
			out.Metrics = append(out.Metrics, runPoint{p, id})
		}
	}
	return out, nil
}

func byStep(a, b events.MetricPoint) int {
	return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Timestamp, b.Timestamp))
}

// thin returns most points of the list, evenly spread by their place, with the first and the last among them; all if there are no more.
func thin(points []events.MetricPoint, most int) []events.MetricPoint {
	if len(points) <= most {
		return points
	}
	out := make([]events.MetricPoint, most)
	for i := range out {
		at := len(points) - 1
		if most > 1 {
			at = i * (len(points) - 1) / (most - 1)
		}
		out[i] = points[at]
	}
	return out
}
