package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Lifecycle stages of experiments and runs as MLflow names them. Deleting is soft: what is deleted can be restored.
const (
	StageActive  = "active"
	StageDeleted = "deleted"
)

// RunStatus is how far a tracked run has come, as MLflow names it.
type RunStatus string

const (
	StatusRunning   RunStatus = "RUNNING"
	StatusScheduled RunStatus = "SCHEDULED"
	StatusFinished  RunStatus = "FINISHED"
	StatusFailed    RunStatus = "FAILED"
	StatusKilled    RunStatus = "KILLED"
)

// Statuses of a logged model, as MLflow names them.
const (
	LoggedModelPending      = "LOGGED_MODEL_PENDING"
	LoggedModelReady        = "LOGGED_MODEL_READY"
	LoggedModelUploadFailed = "LOGGED_MODEL_UPLOAD_FAILED"
)

// AllExperiments is the last token of the one subject that every [ExperimentChanged] stands on: a compare-and-set there keeps names unique.
const AllExperiments = "all"

// Pair is a parameter or a tag. An empty value is a value.
type Pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Number is a metric's value. JSON holds it as a number, and what a number can't say as the strings "NaN", "Infinity" and "-Infinity".
type Number float64

// MarshalJSON implements [json.Marshaler].
func (n Number) MarshalJSON() ([]byte, error) {
	switch v := float64(n); {
	case math.IsNaN(v):
		return []byte(`"NaN"`), nil
	case math.IsInf(v, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return json.Marshal(v)
	}
}

// UnmarshalJSON implements [json.Unmarshaler].
func (n *Number) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var word string
		if err := json.Unmarshal(data, &word); err != nil {
			return fmt.Errorf("number: %w", err)
		}
		return n.word(word)
	}
	var v *float64
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("number: %w", err)
	}
	if v == nil {
		return errors.New("number: null")
	}
	*n = Number(*v)
	return nil
}

// word sets what a JSON number cannot say.
func (n *Number) word(w string) error {
	switch w {
	case "NaN":
		*n = Number(math.NaN())
	case "Infinity":
		*n = Number(math.Inf(1))
	case "-Infinity":
		*n = Number(math.Inf(-1))
	default:
		return fmt.Errorf("number: %q", w)
	}
	return nil
}

// MetricPoint is one point of a metric's history. A metric's value is that of the point with the greatest (step, timestamp, value).
type MetricPoint struct {
	Key   string `json:"key"`
	Value Number `json:"value"`
	// Timestamp is the client's, in milliseconds since 1970 UTC.
	Timestamp     int64  `json:"timestamp"`
	Step          int64  `json:"step"`
	ModelID       string `json:"model_id,omitempty"`
	DatasetName   string `json:"dataset_name,omitempty"`
	DatasetDigest string `json:"dataset_digest,omitempty"`
}

// DatasetInput is a dataset that a run read.
type DatasetInput struct {
	Name       string `json:"name"`
	Digest     string `json:"digest"`
	SourceType string `json:"source_type"`
	Source     string `json:"source"`
	Schema     string `json:"schema,omitempty"`
	Profile    string `json:"profile,omitempty"`
	Tags       []Pair `json:"tags,omitempty"`
}

// ModelOutput is a logged model that a run made.
type ModelOutput struct {
	ModelID string `json:"model_id"`
	Step    int64  `json:"step"`
}

// RunCreation begins a tracked run.
type RunCreation struct {
	ExperimentID string `json:"experiment_id"`
	UserID       string `json:"user_id,omitempty"`
	// StartTime is the client's, in milliseconds since 1970 UTC.
	StartTime int64 `json:"start_time"`
	// ArtifactURI is where the run's files go.
	ArtifactURI string `json:"artifact_uri"`
}

// RunTracked is one change of a run that a client logs: everything in it takes effect, or nothing. Published by the registry's MLflow API as
// a compare-and-set on its subject, whose last token is the run's id.
type RunTracked struct {
	RunID string `json:"run_id"`
	// Created is set in a run's first event alone. A run of the trainer has none: its events stand in LIFECYCLE, and only tags are added here.
	Created *RunCreation `json:"created,omitempty"`
	// Status, EndTime (milliseconds since 1970 UTC), Name and Lifecycle (active or deleted) replace what was; absent leaves it.
	Status    RunStatus `json:"status,omitempty"`
	EndTime   *int64    `json:"end_time,omitempty"`
	Name      *string   `json:"name,omitempty"`
	Lifecycle string    `json:"lifecycle_stage,omitempty"`

	Metrics []MetricPoint `json:"metrics,omitempty"`
	// Params are written once: the same value again changes nothing.
	Params      []Pair         `json:"params,omitempty"`
	Tags        []Pair         `json:"tags,omitempty"`
	RemovedTags []string       `json:"removed_tags,omitempty"`
	Inputs      []DatasetInput `json:"inputs,omitempty"`
	Outputs     []ModelOutput  `json:"outputs,omitempty"`
	Actor       string         `json:"actor,omitempty"`
}

// ExperimentChanged creates or changes an experiment. Published by the registry's MLflow API as a compare-and-set on the one subject of all
// experiments (see [AllExperiments]).
type ExperimentChanged struct {
	ExperimentID string `json:"experiment_id"`
	// Created is true in an experiment's first event.
	Created bool `json:"created,omitempty"`
	// Name is the name from now on, ArtifactLocation where runs keep their files from now on, Lifecycle active or deleted.
	Name             string   `json:"name"`
	ArtifactLocation string   `json:"artifact_location,omitempty"`
	Lifecycle        string   `json:"lifecycle_stage"`
	Tags             []Pair   `json:"tags,omitempty"`
	RemovedTags      []string `json:"removed_tags,omitempty"`
	Actor            string   `json:"actor,omitempty"`
}

// ArtifactStored says that a file of the artifact proxy was written or, with Removed, taken away. The last one of a path counts. Published by
// the registry's artifact proxy; the subject's last token is the owner: the run or logged model whose file it is, or "shared".
type ArtifactStored struct {
	// Path is the file's path below mlflow-artifacts:/, of names between single slashes, none of them "." or "..".
	Path string `json:"path"`
	// Digest and SizeBytes are those of the content in the artifact store; absent where Removed.
	Digest    string `json:"digest,omitempty"`
	SizeBytes int64  `json:"size_bytes,omitempty"`
	// Removed takes the file of the path away, or the folder with all that was stored below it before.
	Removed bool `json:"removed,omitempty"`
	// Through is the sequence of TRACKING on which garbage collection decided that the files may go, and set in its removals alone. Such a removal takes
	// away only what was stored up to there, and nothing unless the owner, or its experiment, was deleted there and has been ever since.
	Through uint64 `json:"through,omitempty"`
	Actor   string `json:"actor,omitempty"`
}

// LoggedModelCreation begins a logged model, the object of that name in MLflow 3.
type LoggedModelCreation struct {
	ExperimentID string `json:"experiment_id"`
	Name         string `json:"name"`
	ModelType    string `json:"model_type,omitempty"`
	SourceRunID  string `json:"source_run_id,omitempty"`
	ArtifactURI  string `json:"artifact_uri"`
}

// ModelLogged creates or changes a logged model. Published by the registry's MLflow API as a compare-and-set on its subject, whose last token
// is the model's id.
type ModelLogged struct {
	ModelID string               `json:"model_id"`
	Created *LoggedModelCreation `json:"created,omitempty"`
	// Status is [LoggedModelPending], [LoggedModelReady] or [LoggedModelUploadFailed]; absent leaves it.
	Status      string   `json:"status,omitempty"`
	Params      []Pair   `json:"params,omitempty"`
	Tags        []Pair   `json:"tags,omitempty"`
	RemovedTags []string `json:"removed_tags,omitempty"`
	Deleted     bool     `json:"deleted,omitempty"`
	Actor       string   `json:"actor,omitempty"`
}

// EventType implements [Payload].
func (*RunTracked) EventType() Type { return TypeRunTracked }

// EventType implements [Payload].
func (*ExperimentChanged) EventType() Type { return TypeExperimentChanged }

// EventType implements [Payload].
func (*ArtifactStored) EventType() Type { return TypeArtifactStored }

// EventType implements [Payload].
func (*ModelLogged) EventType() Type { return TypeModelLogged }

// Validate implements [Payload].
func (p *RunTracked) Validate() error {
	var c check
	c.required("run_id", p.RunID)
	if p.Created != nil {
		c.required("created.experiment_id", p.Created.ExperimentID)
		c.required("created.artifact_uri", p.Created.ArtifactURI)
	}
	switch p.Status {
	case "", StatusRunning, StatusScheduled, StatusFinished, StatusFailed, StatusKilled:
	default:
		c.that(false, "status %q is unknown", p.Status)
	}
	if p.Lifecycle != "" {
		c.lifecycle("lifecycle_stage", p.Lifecycle)
	}
	for i := range p.Metrics {
		if p.Metrics[i].Key == "" {
			c.that(false, "metrics[%d].key is required", i)
		}
	}
	c.pairs("params", p.Params)
	c.pairs("tags", p.Tags)
	c.removed(p.RemovedTags)
	for i, d := range p.Inputs {
		c.that(d.Name != "" && d.Digest != "", "inputs[%d]: name and digest are required", i)
		c.pairs(fmt.Sprintf("inputs[%d].tags", i), d.Tags)
	}
	for i, o := range p.Outputs {
		c.that(o.ModelID != "", "outputs[%d].model_id is required", i)
	}
	return c.err
}

// Validate implements [Payload].
func (p *ExperimentChanged) Validate() error {
	var c check
	c.required("experiment_id", p.ExperimentID)
	c.required("name", p.Name)
	c.lifecycle("lifecycle_stage", p.Lifecycle)
	c.pairs("tags", p.Tags)
	c.removed(p.RemovedTags)
	return c.err
}

// Validate implements [Payload].
func (p *ArtifactStored) Validate() error {
	var c check
	c.path("path", p.Path)
	if p.Removed {
		c.that(p.Digest == "" && p.SizeBytes == 0, "digest and size_bytes must be absent where removed is set")
		return c.err
	}
	c.that(p.Through == 0, "through must be absent where removed is not set")
	c.digest("digest", p.Digest)
	c.count("size_bytes", p.SizeBytes)
	return c.err
}

// Validate implements [Payload].
func (p *ModelLogged) Validate() error {
	var c check
	c.required("model_id", p.ModelID)
	if p.Created != nil {
		c.required("created.experiment_id", p.Created.ExperimentID)
		c.required("created.artifact_uri", p.Created.ArtifactURI)
	}
	switch p.Status {
	case "", LoggedModelPending, LoggedModelReady, LoggedModelUploadFailed:
	default:
		c.that(false, "status %q is unknown", p.Status)
	}
	c.pairs("params", p.Params)
	c.pairs("tags", p.Tags)
	c.removed(p.RemovedTags)
	return c.err
}
