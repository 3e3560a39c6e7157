package mlflow

import (
	"net/http"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry/tracking"
)

// Sizes of a page of experiments.
const (
	experimentsPage    = 1000
	experimentsPageMax = 50_000
)

// experiment is an experiment on the wire. Times are in milliseconds since 1970 UTC.
type experiment struct {
	ID               string        `json:"experiment_id"`
	Name             string        `json:"name"`
	ArtifactLocation string        `json:"artifact_location"`
	Lifecycle        string        `json:"lifecycle_stage"`
	LastUpdateTime   int64         `json:"last_update_time"`
	CreationTime     int64         `json:"creation_time"`
	Tags             []events.Pair `json:"tags,omitempty"`
}

func wireExperiment(e tracking.Experiment) experiment {
	return experiment{e.ID, e.Name, e.ArtifactLocation, e.Lifecycle, e.UpdatedAt, e.CreatedAt, e.Tags}
}

type experimentAnswer struct {
	Experiment experiment `json:"experiment"`
}

// experiments registers the calls below experiments/.
func (a *api) experiments() {
	a.handle(http.MethodPost, "/mlflow/experiments/create", access.Log, createExperiment)
	a.handle(http.MethodGet, "/mlflow/experiments/get", access.Read, getExperiment)
	a.handle(http.MethodGet, "/mlflow/experiments/get-by-name", access.Read, getExperimentByName)
	a.handle(http.MethodGet, "/mlflow/experiments/search", access.Read, searchExperiments)
	a.handle(http.MethodPost, "/mlflow/experiments/search", access.Read, searchExperiments)
	a.handle(http.MethodGet, "/mlflow/experiments/list", access.Read, searchExperiments) // clients before 2.0
	a.handle(http.MethodPost, "/mlflow/experiments/update", access.Log, updateExperiment)
	a.handle(http.MethodPost, "/mlflow/experiments/delete", access.Log, deleteExperiment)
	a.handle(http.MethodPost, "/mlflow/experiments/restore", access.Log, restoreExperiment)
	a.handle(http.MethodPost, "/mlflow/experiments/set-experiment-tag", access.Log, setExperimentTag)
	a.handle(http.MethodPost, "/mlflow/experiments/delete-experiment-tag", access.Log, deleteExperimentTag)
}

func createExperiment(c *call) (any, error) {
	var in struct {
		Name             string        `json:"name"`
		ArtifactLocation string        `json:"artifact_location"`
		Tags             []events.Pair `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("name", in.Name); err != nil {
		return nil, err
	}
	e, err := c.book.CreateExperiment(c.ctx, tracking.NewExperiment{
		Name: in.Name, ArtifactLocation: in.ArtifactLocation, Tags: in.Tags, Actor: c.actor(),
	})
	if err != nil {
		return nil, err
	}
	return struct {
		ID string `json:"experiment_id"`
	}{e.ID}, nil
}

// experimentKey is what most calls name an experiment by.
type experimentKey struct {
	ID string `json:"experiment_id"`
}

func (c *call) experimentID() (string, error) {
	var in experimentKey
	if err := c.decode(&in); err != nil {
		return "", err
	}
	return in.ID, required("experiment_id", in.ID)
}

func getExperiment(c *call) (any, error) {
	id, err := c.experimentID()
	if err != nil {
		return nil, err
	}
	e, err := c.book.Experiment(c.ctx, id)
	if err != nil {
		return nil, err
	}
	return experimentAnswer{wireExperiment(e)}, nil
}

func getExperimentByName(c *call) (any, error) {
	var in struct {
		Name string `json:"experiment_name"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("experiment_name", in.Name); err != nil {
		return nil, err
	}
	e, err := c.book.ExperimentByName(c.ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return experimentAnswer{wireExperiment(e)}, nil
}

func searchExperiments(c *call) (any, error) {
	var in struct {
		ViewType   string   `json:"view_type"`
		MaxResults *integer `json:"max_results"`
		OrderBy    []string `json:"order_by"`
		Filter     string   `json:"filter"`
		PageToken  string   `json:"page_token"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	size, err := pageSize(in.MaxResults, experimentsPage, experimentsPageMax)
	if err != nil {
		return nil, err
	}
	view, err := viewType("view_type", in.ViewType)
	if err != nil {
		return nil, err
	}
	page, err := c.book.SearchExperiments(c.ctx, tracking.Query{
		Filter: in.Filter, OrderBy: in.OrderBy, View: view, MaxResults: size, PageToken: in.PageToken,
	})
	if err != nil {
		return nil, err
	}
	var out struct {
		Experiments []experiment `json:"experiments,omitempty"`
		Next        string       `json:"next_page_token,omitempty"`
	}
	for _, e := range page.Items {
		out.Experiments = append(out.Experiments, wireExperiment(e))
	}
	out.Next = page.Next
	return out, nil
}

func updateExperiment(c *call) (any, error) {
	var in struct {
		experimentKey
		Name string `json:"new_name"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("experiment_id", in.ID, "new_name", in.Name); err != nil {
		return nil, err
	}
	return nil, c.book.RenameExperiment(c.ctx, in.ID, in.Name, c.actor())
}

func deleteExperiment(c *call) (any, error) {
	id, err := c.experimentID()
	if err != nil {
		return nil, err
	}
	return nil, c.book.DeleteExperiment(c.ctx, id, c.actor())
}

func restoreExperiment(c *call) (any, error) {
	id, err := c.experimentID()
	if err != nil {
		return nil, err
	}
	return nil, c.book.RestoreExperiment(c.ctx, id, c.actor())
}

func setExperimentTag(c *call) (any, error) {
	var in struct {
		experimentKey
		events.Pair
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("experiment_id", in.ID, "key", in.Key); err != nil {
		return nil, err
	}
	return nil, c.book.SetExperimentTag(c.ctx, in.ID, in.Pair, c.actor())
}

func deleteExperimentTag(c *call) (any, error) {
	var in struct {
		experimentKey
		Key string `json:"key"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("experiment_id", in.ID, "key", in.Key); err != nil {
		return nil, err
	}
	return nil, c.book.DeleteExperimentTag(c.ctx, in.ID, in.Key, c.actor())
}
