package mlflow

import (
	"net/http"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// Sizes of a page of runs.
const (
	runsPage    = 1000
	runsPageMax = 50_000
)

// runInfo is what a run is, on the wire. Times are in milliseconds since 1970 UTC.
type runInfo struct {
	ID           string           `json:"run_id"`
	UUID         string           `json:"run_uuid"` // the same: older clients read it
	Name         string           `json:"run_name"`
	ExperimentID string           `json:"experiment_id"`
	UserID       string           `json:"user_id"`
	Status       events.RunStatus `json:"status"`
	StartTime    int64            `json:"start_time"`
	EndTime      int64            `json:"end_time,omitempty"`
	ArtifactURI  string           `json:"artifact_uri"`
	Lifecycle    string           `json:"lifecycle_stage"`
}

// runData is what a run logged.
type runData struct {
	Metrics []events.MetricPoint `json:"metrics,omitempty"`
	Params  []events.Pair        `json:"params,omitempty"`
	Tags    []events.Pair        `json:"tags,omitempty"`
}

// run is a run on the wire.
type run struct {
	Info    runInfo     `json:"info"`
	Data    runData     `json:"data"`
	Inputs  runInputs   `json:"inputs"`
	Outputs *runOutputs `json:"outputs,omitempty"`
}

type runAnswer struct {
	Run run `json:"run"`
}

func wireInfo(r tracking.Run) runInfo {
	return runInfo{
		ID: r.ID, UUID: r.ID, Name: r.Name, ExperimentID: r.ExperimentID, UserID: r.UserID, Status: r.Status,
		StartTime: r.StartTime, EndTime: r.EndTime, ArtifactURI: r.ArtifactURI, Lifecycle: r.Lifecycle,
	}
}

func wireRun(r tracking.Run) run {
	out := run{Info: wireInfo(r), Data: runData{r.Metrics, r.Params, r.Tags}, Inputs: wireInputs(r.Inputs)}
	if len(r.Outputs) > 0 {
		out.Outputs = &runOutputs{r.Outputs}
	}
	return out
}

// runKey is what calls name a run by.
type runKey struct {
	RunID   string `json:"run_id"`
	RunUUID string `json:"run_uuid"` // what clients before 1.0 send
}

// id returns the run's id, whichever field it came in.
func (k runKey) id() string {
	if k.RunID == "" {
		return k.RunUUID
	}
	return k.RunID
}

// runs registers the calls below runs/.
func (a *api) runs() {
	a.handle(http.MethodPost, "/mlflow/runs/create", access.Log, createRun)
	a.handle(http.MethodGet, "/mlflow/runs/get", access.Read, getRun)
	a.handle(http.MethodPost, "/mlflow/runs/update", access.Log, updateRun)
	a.handle(http.MethodPost, "/mlflow/runs/search", access.Read, searchRuns)
	a.handle(http.MethodPost, "/mlflow/runs/delete", access.Log, deleteRun)
	a.handle(http.MethodPost, "/mlflow/runs/restore", access.Log, restoreRun)
	a.handle(http.MethodPost, "/mlflow/runs/log-metric", access.Log, logMetric)
	a.handle(http.MethodPost, "/mlflow/runs/log-parameter", access.Log, logParam)
	a.handle(http.MethodPost, "/mlflow/runs/log-batch", access.Log, logBatch)
	a.handle(http.MethodPost, "/mlflow/runs/set-tag", access.Log, setTag)
	a.handle(http.MethodPost, "/mlflow/runs/delete-tag", access.Log, deleteTag)
	a.handle(http.MethodPost, "/mlflow/runs/log-inputs", access.Log, logInputs)
	a.handle(http.MethodPost, "/mlflow/runs/outputs", access.Log, logOutputs)
	a.handle(http.MethodPost, "/mlflow/runs/log-model", access.Log, logModel)
}

func createRun(c *call) (any, error) {
	var in struct {
		ExperimentID string        `json:"experiment_id"`
		UserID       string        `json:"user_id"`
		Name         string        `json:"run_name"`
		StartTime    *integer      `json:"start_time"`
		Tags         []events.Pair `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	start := c.s.Now().UnixMilli()
	if in.StartTime != nil {
		start = int64(*in.StartTime)
	}
	r, err := c.book.CreateRun(c.ctx, tracking.NewRun{
		ExperimentID: in.ExperimentID, UserID: in.UserID, Name: in.Name, StartTime: start, Tags: in.Tags, Actor: c.actor(),
	})
	if err != nil {
		return nil, err
	}
	return runAnswer{wireRun(r)}, nil
}

// runID decodes a call whose one field is the run.
func (c *call) runID() (string, error) {
	var in runKey
	if err := c.decode(&in); err != nil {
		return "", err
	}
	return in.id(), required("run_id", in.id())
}

func getRun(c *call) (any, error) {
	id, err := c.runID()
	if err != nil {
		return nil, err
	}
	r, err := c.book.RunByID(c.ctx, id)
	if err != nil {
		return nil, err
	}
	return runAnswer{wireRun(r)}, nil
}

func updateRun(c *call) (any, error) {
	var in struct {
		runKey
		Status  events.RunStatus `json:"status"`
		EndTime *integer         `json:"end_time"`
		Name    string           `json:"run_name"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("run_id", in.id()); err != nil {
		return nil, err
	}
	change := tracking.RunUpdate{Status: in.Status, EndTime: (*int64)(in.EndTime), Actor: c.actor()}
	if in.Name != "" {
		change.Name = &in.Name
	}
	r, err := c.book.UpdateRun(c.ctx, in.id(), change)
	if err != nil {
		return nil, err
	}
	return struct {
		Info runInfo `json:"run_info"`
	}{wireInfo(r)}, nil
}

func searchRuns(c *call) (any, error) {
	var in struct {
		ExperimentIDs []string `json:"experiment_ids"`
		Filter        string   `json:"filter"`
		View          string   `json:"run_view_type"`
		MaxResults    *integer `json:"max_results"`
		OrderBy       []string `json:"order_by"`
		PageToken     string   `json:"page_token"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	size, err := pageSize(in.MaxResults, runsPage, runsPageMax)
	if err != nil {
		return nil, err
	}
	view, err := viewType("run_view_type", in.View)
	if err != nil {
		return nil, err
	}
	page, err := c.book.SearchRuns(c.ctx, tracking.RunQuery{
		ExperimentIDs: in.ExperimentIDs, Filter: in.Filter, OrderBy: in.OrderBy, View: view, MaxResults: size, PageToken: in.PageToken,
	})
	if err != nil {
		return nil, err
	}
	var out struct {
		Runs []run  `json:"runs,omitempty"`
		Next string `json:"next_page_token,omitempty"`
	}
	out.Runs, out.Next = make([]run, len(page.Items)), page.Next
	for i, r := range page.Items {
		out.Runs[i] = wireRun(r)
	}
	return out, nil
}

// viewType reads which of the active and the deleted are wanted; the active ones if nothing is said.
func viewType(field, text string) (tracking.ViewType, error) {
	switch v := tracking.ViewType(text); v {
	case "":
		return tracking.ActiveOnly, nil
	case tracking.ActiveOnly, tracking.DeletedOnly, tracking.All:
		return v, nil
	}
	return "", fault.New(fault.Invalid, "Invalid value for parameter '%s': want ACTIVE_ONLY, DELETED_ONLY or ALL, got %q", field, cut(text))
}

func deleteRun(c *call) (any, error) {
	id, err := c.runID()
	if err != nil {
		return nil, err
	}
	return nil, c.book.DeleteRun(c.ctx, id, c.actor())
}

func restoreRun(c *call) (any, error) {
	id, err := c.runID()
	if err != nil {
		return nil, err
	}
	return nil, c.book.RestoreRun(c.ctx, id, c.actor())
}

func setTag(c *call) (any, error) {
	var in struct {
		runKey
		events.Pair
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("run_id", in.id(), "key", in.Key); err != nil {
		return nil, err
	}
	return nil, c.book.Log(c.ctx, in.id(), tracking.Batch{Tags: []events.Pair{in.Pair}, Actor: c.actor()})
}

func deleteTag(c *call) (any, error) {
	var in struct {
		runKey
		Key string `json:"key"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("run_id", in.id(), "key", in.Key); err != nil {
		return nil, err
	}
	return nil, c.book.DeleteTag(c.ctx, in.id(), in.Key, c.actor())
}
