package mlflow

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// logged registers the logged models of MLflow 3: what log_model makes in a run, before and beside any registration.
func (a *api) logged() {
	const models = "/mlflow/logged-models"
	a.handle(http.MethodPost, models, access.Log, createLogged)
	a.handle(http.MethodPost, models+"/search", access.Read, searchLogged)
	a.handle(http.MethodGet, models+"/{id}", access.Read, getLogged)
	a.handle(http.MethodPatch, models+"/{id}", access.Log, finalizeLogged)
	a.handle(http.MethodDelete, models+"/{id}", access.Log, deleteLogged)
	a.handle(http.MethodPatch, models+"/{id}/tags", access.Log, setLoggedTags)
	a.handle(http.MethodDelete, models+"/{id}/tags/{key...}", access.Log, deleteLoggedTag)
	a.handle(http.MethodPost, models+"/{id}/params", access.Log, logModelParams)
	a.handle(http.MethodGet, models+"/{id}/artifacts/directories", access.Read, listLogged)
}

// Bounds of a search for logged models.
const (
	loggedPage    = 50
	loggedPageMax = 1000
)

type wireLogged struct {
	Info wireLoggedInfo `json:"info"`
	Data wireLoggedData `json:"data"`
}

type wireLoggedInfo struct {
	ModelID       string             `json:"model_id"`
	ExperimentID  string             `json:"experiment_id"`
	Name          string             `json:"name"`
	CreatedMS     int64              `json:"creation_timestamp_ms"`
	UpdatedMS     int64              `json:"last_updated_timestamp_ms"`
	ArtifactURI   string             `json:"artifact_uri"`
	Status        string             `json:"status"`
	ModelType     string             `json:"model_type,omitempty"`
	SourceRunID   string             `json:"source_run_id,omitempty"`
	Tags          []events.Pair      `json:"tags,omitempty"`
	Registrations []wireRegistration `json:"registrations,omitempty"`
}

// wireRegistration says under which name and number a logged model is registered.
type wireRegistration struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type wireLoggedData struct {
	Params  []events.Pair      `json:"params,omitempty"`
	Metrics []wireLoggedMetric `json:"metrics,omitempty"`
}

type wireLoggedMetric struct {
	events.MetricPoint
	RunID string `json:"run_id"`
}

// loggedAnswer is what a call returns that returns a logged model.
type loggedAnswer struct {
	Model wireLogged `json:"model"`
}

// versionsTag is the tag in which MLflow keeps the versions of a logged model: written by its server from 3.1 on, by its client before. Here it is
// made of the versions that there are, whatever a client wrote.
const versionsTag = "mlflow.modelVersions"

// withVersions returns the tags of a logged model with that of its versions, in the order of the registrations.
func withVersions(tags []events.Pair, registered []wireRegistration) []events.Pair {
	if len(registered) == 0 {
		return tags
	}
	type version struct {
		Name    string      `json:"name"`
		Version json.Number `json:"version"`
	}
	list := make([]version, len(registered))
	for i, r := range registered {
		list[i] = version{r.Name, json.Number(r.Version)}
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // our own types, which all can be encoded
	}
	out := slices.DeleteFunc(slices.Clone(tags), func(t events.Pair) bool { return t.Key == versionsTag })
	out = append(out, events.Pair{Key: versionsTag, Value: string(text)})
	slices.SortFunc(out, func(a, b events.Pair) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

func describeLogged(m tracking.LoggedModel, registered []wireRegistration) wireLogged {
	w := wireLogged{
		Info: wireLoggedInfo{
			ModelID: m.ID, ExperimentID: m.ExperimentID, Name: m.Name, CreatedMS: m.CreatedAt, UpdatedMS: m.UpdatedAt, ArtifactURI: m.ArtifactURI,
			Status: m.Status, ModelType: m.ModelType, SourceRunID: m.SourceRunID, Tags: withVersions(m.Tags, registered),
			Registrations: registered,
		},
		Data: wireLoggedData{Params: m.Params},
	}
	for _, p := range m.Metrics {
		w.Data.Metrics = append(w.Data.Metrics, wireLoggedMetric{p.MetricPoint, p.RunID})
	}
	return w
}

// registrations returns the versions of each logged model.
func (c *call) registrations() (byID map[string][]wireRegistration, err error) {
	if err := c.s.Fresh(c.ctx); err != nil {
		return nil, err
	}
	c.s.View(func(cat *registry.Catalog, _ *registry.Fleet) { _, byID = c.manifests.of(cat) })
	return byID, nil
}

func (c *call) answerLogged(m tracking.LoggedModel, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	registered, err := c.registrations()
	return loggedAnswer{describeLogged(m, registered[m.ID])}, err
}

func createLogged(c *call) (any, error) {
	var in struct {
		ExperimentID string        `json:"experiment_id"`
		Name         string        `json:"name"`
		ModelType    string        `json:"model_type"`
		SourceRunID  string        `json:"source_run_id"`
		Params       []events.Pair `json:"params"`
		Tags         []events.Pair `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := cmp.Or(required("experiment_id", in.ExperimentID), keyed("params", in.Params), keyed("tags", in.Tags)); err != nil {
		return nil, err
	}
	return c.answerLogged(c.book.CreateLoggedModel(c.ctx, tracking.NewLoggedModel{
		ExperimentID: in.ExperimentID, Name: in.Name, ModelType: in.ModelType, SourceRunID: in.SourceRunID, Params: in.Params, Tags: in.Tags,
		Actor: c.actor(),
	}))
}

func getLogged(c *call) (any, error) {
	return c.answerLogged(c.book.LoggedModel(c.ctx, c.path("id")))
}

func finalizeLogged(c *call) (any, error) {
	var in struct {
		Status string `json:"status"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("status", in.Status); err != nil {
		return nil, err
	}
	if in.Status != events.LoggedModelReady && in.Status != events.LoggedModelUploadFailed {
		return nil, fault.New(fault.Invalid, "Invalid model status: %s. Expected %s or %s.",
			cut(in.Status), events.LoggedModelReady, events.LoggedModelUploadFailed)
	}
	return c.answerLogged(c.book.UpdateLoggedModel(c.ctx, c.path("id"), in.Status, c.actor()))
}

func deleteLogged(c *call) (any, error) {
	return nil, c.book.DeleteLoggedModel(c.ctx, c.path("id"), c.actor())
}

func setLoggedTags(c *call) (any, error) {
	var in struct {
		Tags []events.Pair `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := keyed("tags", in.Tags); err != nil {
		return nil, err
	}
	return c.answerLogged(c.book.SetLoggedModelTags(c.ctx, c.path("id"), in.Tags, c.actor()))
}

func deleteLoggedTag(c *call) (any, error) {
	return nil, c.book.DeleteLoggedModelTag(c.ctx, c.path("id"), c.path("key"), c.actor())
}

func logModelParams(c *call) (any, error) {
	var in struct {
		Params []events.Pair `json:"params"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := keyed("params", in.Params); err != nil {
		return nil, err
	}
	return nil, c.book.LogModelParams(c.ctx, c.path("id"), in.Params, c.actor())
}

// loggedOrder is one term of the order of a search for logged models.
type loggedOrder struct {
	Field     string `json:"field_name"`
	Ascending *bool  `json:"ascending"`
	// Dataset and Digest narrow a metric to one data set.
	Dataset string `json:"dataset_name"`
	Digest  string `json:"dataset_digest"`
}

// term returns the order as the grammar writes it. Ascending is the default.
func (o loggedOrder) term() string {
	if o.Ascending != nil && !*o.Ascending {
		return o.Field + " DESC"
	}
	return o.Field + " ASC"
}

func searchLogged(c *call) (any, error) {
	var in struct {
		ExperimentIDs []string `json:"experiment_ids"`
		Filter        string   `json:"filter"`
		Datasets      []struct {
			Name string `json:"dataset_name"`
		} `json:"datasets"`
		MaxResults *integer      `json:"max_results"`
		OrderBy    []loggedOrder `json:"order_by"`
		PageToken  string        `json:"page_token"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	size, err := pageSize(in.MaxResults, loggedPage, loggedPageMax)
	if err != nil {
		return nil, err
	}
	q := tracking.ModelQuery{ExperimentIDs: in.ExperimentIDs, Filter: in.Filter, MaxResults: size, PageToken: in.PageToken}
	if len(in.Datasets) > 0 {
		return nil, fault.New(fault.Unimplemented, "a search for logged models by data set is not offered")
	}
	for _, o := range in.OrderBy {
		if o.Field == "" || o.Dataset != "" || o.Digest != "" {
			return nil, fault.New(fault.Invalid, "order_by needs a field_name, and no data set")
		}
		q.OrderBy = append(q.OrderBy, o.term())
	}
	page, err := c.book.SearchLoggedModels(c.ctx, q)
	if err != nil {
		return nil, err
	}
	registered, err := c.registrations()
	if err != nil {
		return nil, err
	}
	var out struct {
		Models []wireLogged `json:"models,omitempty"`
		Next   string       `json:"next_page_token,omitempty"`
	}
	for _, m := range page.Items {
		out.Models = append(out.Models, describeLogged(m, registered[m.ID]))
	}
	out.Next = page.Next
	return out, nil
}

// listLogged lists one folder of a logged model's files, with paths relative to the model.
func listLogged(c *call) (any, error) {
	var in struct {
		Path string `json:"artifact_directory_path"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	m, err := c.book.LoggedModel(c.ctx, c.path("id"))
	if err != nil {
		return nil, err
	}
	path, err := cleanPath(in.Path, true)
	if err != nil {
		return nil, err
	}
	out := struct {
		Root  string     `json:"root_uri"`
		Files []fileInfo `json:"files,omitempty"`
	}{Root: m.ArtifactURI}
	root, ours := tracking.PathOf(m.ArtifactURI)
	if !ours {
		return out, nil
	}
	prefix := ""
	if path != "" {
		prefix = path + "/"
	}
	out.Files, err = c.list(under(root, path), prefix)
	return out, err
}
