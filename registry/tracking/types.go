package tracking

import (
	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
)

// ViewType says which of the deleted and the others a search returns, as MLflow names it. The zero value is ActiveOnly.
type ViewType string

const (
	ActiveOnly  ViewType = "ACTIVE_ONLY"
	DeletedOnly ViewType = "DELETED_ONLY"
	All         ViewType = "ALL"
)

// Page is a part of a search's answer.
type Page[T any] struct {
	Items []T
	// Next is the token of the page that follows, empty after the last one. It works with the same query alone.
	Next string
}

// Experiment is a named set of runs.
type Experiment struct {
	ID, Name         string
	ArtifactLocation string
	// Lifecycle is [events.StageActive] or [events.StageDeleted].
	Lifecycle string
	// CreatedAt and UpdatedAt are milliseconds since 1970 UTC; 0 for the experiment that exists from the beginning, until it is changed.
	CreatedAt, UpdatedAt int64
	Tags                 []events.Pair // by key
	// Trainer is true for an experiment that is named in LIFECYCLE alone. It can't be changed.
	Trainer bool
}

// NewExperiment says what to create. Name is required.
type NewExperiment struct {
	Name string
	// ArtifactLocation is "<artifact root>/<id>" by default.
	ArtifactLocation string
	Tags             []events.Pair
	Actor            string
}

// Query asks for a page of experiments. The zero value asks for the first 1,000 active ones, newest first.
type Query struct {
	Filter     string
	OrderBy    []string
	View       ViewType
	MaxResults int // default 1000, at most 50000
	PageToken  string
}

// Run is one run, of a client or of the trainer, as it stands.
type Run struct {
	ID, Name, ExperimentID, UserID string
	Status                         events.RunStatus
	// Lifecycle is [events.StageActive] or [events.StageDeleted].
	Lifecycle   string
	ArtifactURI string
	// StartTime and EndTime are milliseconds since 1970 UTC by the client's clock; EndTime is 0 for none.
	StartTime, EndTime int64
	// Metrics holds of each key the point with the greatest (step, timestamp, value).
	Metrics []events.MetricPoint // by key
	Params  []events.Pair        // by key
	Tags    []events.Pair        // by key
	Inputs  []events.DatasetInput
	Outputs []events.ModelOutput
	// Trainer is true for a run that stands in LIFECYCLE and no client created: it takes tags alone. Model is its model's name.
	Trainer bool
	Model   string
}

// NewRun says what to create. ExperimentID is "0" by default.
type NewRun struct {
	ExperimentID, UserID string
	// Name is the tag mlflow.runName's value by default, and made up if there is none either.
	Name string
	// StartTime is in milliseconds since 1970 UTC; 0 is taken as it is.
	StartTime int64
	Tags      []events.Pair
	Actor     string
}

// RunUpdate replaces what is set in it.
type RunUpdate struct {
	Status  events.RunStatus
	EndTime *int64
	Name    *string
	Actor   string
}

// Batch is logged as one: all of it, or nothing.
type Batch struct {
	Metrics []events.MetricPoint
	Params  []events.Pair
	Tags    []events.Pair
	Actor   string
}

// RunQuery asks for a page of runs. The zero value asks for none: ExperimentIDs names where to look.
type RunQuery struct {
	ExperimentIDs []string
	Filter        string
	OrderBy       []string // default start_time DESC, run_id
	View          ViewType
	MaxResults    int // default 1000, at most 50000
	PageToken     string
}

// File is a file of the artifact proxy or an artifact of a trainer's run.
type File struct {
	// Path is below the artifact root, for instance "1/<run id>/artifacts/model/MLmodel".
	Path   string
	Digest artifact.Digest
	Size   int64
}

// Entry is one name in a folder.
type Entry struct {
	Name string
	Dir  bool
	Size int64 // 0 of a folder
}

// LoggedModel is the object of that name in MLflow 3: a model that a run made, with files of its own.
type LoggedModel struct {
	ID, ExperimentID, Name, ModelType, SourceRunID string
	ArtifactURI                                    string
	// Status is LOGGED_MODEL_PENDING, LOGGED_MODEL_READY or LOGGED_MODEL_UPLOAD_FAILED.
	Status               string
	CreatedAt, UpdatedAt int64 // milliseconds since 1970 UTC
	Params, Tags         []events.Pair
	// Metrics are those that runs logged with this model's id.
	Metrics []ModelMetric
}

// ModelMetric is a metric of a logged model and the run that logged it.
type ModelMetric struct {
	events.MetricPoint
	RunID string
}

// NewLoggedModel says what to create. ExperimentID is "0" by default; Name is made up if it is empty.
type NewLoggedModel struct {
	ExperimentID, Name, ModelType, SourceRunID string
	Params, Tags                               []events.Pair
	Actor                                      string
}

// ModelQuery asks for a page of logged models.
type ModelQuery struct {
	ExperimentIDs []string
	Filter        string
	OrderBy       []string // default creation_timestamp DESC
	MaxResults    int      // default 100, at most 1000
	PageToken     string
}
