package mlflow

import (
	"encoding/json"
	"strings"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// metricIn is a point as a client sends it. Value and Timestamp are required.
type metricIn struct {
	Key           string   `json:"key"`
	Value         *double  `json:"value"`
	Timestamp     *integer `json:"timestamp"`
	Step          integer  `json:"step"`
	ModelID       string   `json:"model_id"`
	DatasetName   string   `json:"dataset_name"`
	DatasetDigest string   `json:"dataset_digest"`
}

// point checks the required fields and returns the point to log.
func (m *metricIn) point() (events.MetricPoint, error) {
	switch {
	case m.Key == "":
		return events.MetricPoint{}, required("key", "")
	case m.Value == nil:
		return events.MetricPoint{}, required("value", "")
	case m.Timestamp == nil:
		return events.MetricPoint{}, required("timestamp", "")
	}
	return events.MetricPoint{
		Key: m.Key, Value: events.Number(*m.Value), Timestamp: int64(*m.Timestamp), Step: int64(m.Step),
		ModelID: m.ModelID, DatasetName: m.DatasetName, DatasetDigest: m.DatasetDigest,
	}, nil
}

func logMetric(c *call) (any, error) {
	var in struct {
		runKey
		metricIn
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("run_id", in.id()); err != nil {
		return nil, err
	}
	p, err := in.point()
	if err != nil {
		return nil, err
	}
	return nil, c.book.Log(c.ctx, in.id(), tracking.Batch{Metrics: []events.MetricPoint{p}, Actor: c.actor()})
}

func logParam(c *call) (any, error) {
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
	return nil, c.book.Log(c.ctx, in.id(), tracking.Batch{Params: []events.Pair{in.Pair}, Actor: c.actor()})
}

func logBatch(c *call) (any, error) {
	if c.r.ContentLength > maxBody {
		return nil, fault.New(fault.Invalid, "Batched logging API requests must be at most %d bytes, got a request of size %d", maxBody, c.r.ContentLength)
	}
	var in struct {
		runKey
		Metrics []metricIn    `json:"metrics"`
		Params  []events.Pair `json:"params"`
		Tags    []events.Pair `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("run_id", in.id()); err != nil {
		return nil, err
	}
	batch := tracking.Batch{Params: in.Params, Tags: in.Tags, Actor: c.actor()}
	batch.Metrics = make([]events.MetricPoint, len(in.Metrics))
	for i := range in.Metrics {
		p, err := in.Metrics[i].point()
		if err != nil {
			return nil, fault.New(fault.Invalid, "metrics[%d]: %w", i, err)
		}
		batch.Metrics[i] = p
	}
	return nil, c.book.Log(c.ctx, in.id(), batch)
}

// datasetIn is a dataset with the tags of its use, on the wire.
type datasetIn struct {
	Tags    []events.Pair `json:"tags,omitempty"`
	Dataset struct {
		Name       string `json:"name"`
		Digest     string `json:"digest"`
		SourceType string `json:"source_type"`
		Source     string `json:"source"`
		Schema     string `json:"schema,omitempty"`
		Profile    string `json:"profile,omitempty"`
	} `json:"dataset"`
}

// runInputs is what a run read.
type runInputs struct {
	Datasets []datasetIn `json:"dataset_inputs,omitempty"`
}

// runOutputs is what a run made.
type runOutputs struct {
	Models []events.ModelOutput `json:"model_outputs"`
}

func wireInputs(inputs []events.DatasetInput) (out runInputs) {
	for _, d := range inputs {
		w := datasetIn{Tags: d.Tags}
		w.Dataset.Name, w.Dataset.Digest, w.Dataset.SourceType, w.Dataset.Source = d.Name, d.Digest, d.SourceType, d.Source
		w.Dataset.Schema, w.Dataset.Profile = d.Schema, d.Profile
		out.Datasets = append(out.Datasets, w)
	}
	return out
}

func logInputs(c *call) (any, error) {
	var in struct {
		runKey
		Datasets []datasetIn `json:"datasets"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("run_id", in.id()); err != nil {
		return nil, err
	}
	var inputs []events.DatasetInput
	for _, d := range in.Datasets {
		s := d.Dataset
		if err := required("name", s.Name, "digest", s.Digest, "source_type", s.SourceType, "source", s.Source); err != nil {
			return nil, err
		}
		inputs = append(inputs, events.DatasetInput{
			Name: s.Name, Digest: s.Digest, SourceType: s.SourceType, Source: s.Source, Schema: s.Schema, Profile: s.Profile, Tags: d.Tags,
		})
	}
	if len(inputs) == 0 { // 3.x clients also name models here, which a run's outputs tell better
		_, err := c.book.RunByID(c.ctx, in.id())
		return nil, err
	}
	return nil, c.book.LogInputs(c.ctx, in.id(), inputs, c.actor())
}

func logOutputs(c *call) (any, error) {
	var in struct {
		runKey
		Models []struct {
			ID   string  `json:"model_id"`
			Step integer `json:"step"`
		} `json:"models"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("run_id", in.id()); err != nil {
		return nil, err
	}
	var outputs []events.ModelOutput
	for _, m := range in.Models {
		if err := required("model_id", m.ID); err != nil {
			return nil, err
		}
		outputs = append(outputs, events.ModelOutput{ModelID: m.ID, Step: int64(m.Step)})
	}
	if len(outputs) == 0 {
		_, err := c.book.RunByID(c.ctx, in.id())
		return nil, err
	}
	return nil, c.book.LogOutputs(c.ctx, in.id(), outputs, c.actor())
}

// historyTag holds, as a JSON list, what 2.x clients logged as models of a run.
const historyTag = "mlflow.log-model.history"

// historyFields are the fields of a logged model that the tag keeps; the rest is in the model's MLmodel file.
var historyFields = []string{"run_id", "artifact_path", "utc_time_created", "flavors", "model_uuid", "mlflow_version"}

// mandatory are those without which no client could find the model.
const mandatory = 4

func logModel(c *call) (any, error) {
	var in struct {
		runKey
		Model string `json:"model_json"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("run_id", in.id(), "model_json", in.Model); err != nil {
		return nil, err
	}
	entry, err := historyEntry(in.Model)
	if err != nil {
		return nil, err
	}
	return nil, c.book.EditTag(c.ctx, in.id(), historyTag, func(old string, _ bool) string {
		if list, ok := strings.CutSuffix(strings.TrimSpace(old), "]"); ok && json.Valid([]byte(old)) && list != "[" {
			return list + ", " + entry + "]"
		}
		return "[" + entry + "]"
	}, c.actor())
}

// historyEntry reduces a model to what the tag keeps of it.
func historyEntry(text string) (string, error) {
	var model map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &model); err != nil || model == nil {
		return "", fault.New(fault.Invalid, "Invalid value for parameter 'model_json': it must be a JSON object")
	}
	kept := map[string]json.RawMessage{}
	for i, name := range historyFields {
		value, ok := model[name]
		if !ok && i < mandatory {
			return "", fault.New(fault.Invalid, "Invalid value for parameter 'model_json': it has no %s", name)
		}
		if ok {
			kept[name] = value
		}
	}
	entry, err := json.Marshal(kept)
	if err != nil {
		return "", fault.New(fault.Invalid, "Invalid value for parameter 'model_json': %w", err)
	}
	return string(entry), nil
}
