package mlflow

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
)

// models registers what the registry of models answers: registered models, their versions, the logged models of MLflow 3, and our own
// interface under /api/v1.
func (a *api) models() {
	const models = "/mlflow/registered-models/"
	a.handle(http.MethodPost, models+"create", access.Register, createModel)
	a.handle(http.MethodGet, models+"get", access.Read, getModel)
	a.handle(http.MethodPost, models+"rename", access.Admin, renameModel)
	a.handle(http.MethodPatch, models+"update", access.Register, updateModel)
	a.handle(http.MethodDelete, models+"delete", access.Admin, deleteModel)
	a.handle(http.MethodGet, models+"search", access.Read, searchModels)
	a.handle(http.MethodGet, models+"list", access.Read, searchModels) // clients before 2.0, and SDKs
	a.handle(http.MethodGet, "/mlflow/databricks/registered-models/get", access.Read, getModelAsSDK)
	a.handle(http.MethodPost, models+"get-latest-versions", access.Read, latestVersions)
	a.handle(http.MethodGet, models+"get-latest-versions", access.Read, latestVersions)
	a.handle(http.MethodPost, models+"set-tag", access.Register, setModelTag)
	a.handle(http.MethodDelete, models+"delete-tag", access.Register, deleteModelTag)
	a.handleLong(http.MethodPost, models+"alias", access.Promote, setAlias)
	a.handle(http.MethodDelete, models+"alias", access.Promote, deleteAlias)
	a.handle(http.MethodGet, models+"alias", access.Read, getAlias)
	a.versions()
	a.logged()
	a.control()
}

// wireModel is a registered model on the wire.
type wireModel struct {
	Name                 string        `json:"name"`
	CreationTimestamp    int64         `json:"creation_timestamp"`
	LastUpdatedTimestamp int64         `json:"last_updated_timestamp"`
	UserID               string        `json:"user_id,omitempty"`
	Description          string        `json:"description,omitempty"`
	LatestVersions       []wireVersion `json:"latest_versions,omitempty"`
	Tags                 []events.Pair `json:"tags,omitempty"`
	Aliases              []wireAlias   `json:"aliases,omitempty"`
}

// wireAlias is an alias of a registered model. The version is a number in a string.
type wireAlias struct {
	Alias   string `json:"alias"`
	Version string `json:"version"`
}

// modelAnswer is what a call returns that returns a registered model.
type modelAnswer struct {
	Model wireModel `json:"registered_model"`
}

// describeModel puts a model on the wire.
func describeModel(c *registry.Catalog, m registry.Model) wireModel {
	w := wireModel{
		Name: m.Name, CreationTimestamp: m.CreatedAt.UnixMilli(), LastUpdatedTimestamp: m.UpdatedAt.UnixMilli(), UserID: m.User,
		Description: m.Description, Tags: pairs(m.Tags),
	}
	for _, v := range c.Latest(m.Key) {
		// MLflow's models list their versions without aliases: those stand beside them.
		v.Aliases = nil
		w.LatestVersions = append(w.LatestVersions, describeVersion(v))
	}
	for _, alias := range slices.Sorted(maps.Keys(m.Aliases)) {
		w.Aliases = append(w.Aliases, wireAlias{alias, strconv.Itoa(m.Aliases[alias])})
	}
	return w
}

// pairs returns a map as pairs ordered by key.
func pairs(m map[string]string) []events.Pair {
	out := make([]events.Pair, 0, len(m))
	for k, v := range m {
		out = append(out, events.Pair{Key: k, Value: v})
	}
	slices.SortFunc(out, func(a, b events.Pair) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// answerModel returns a model that an operation returned, with its versions.
func (c *call) answerModel(m registry.Model) (modelAnswer, error) {
	var out modelAnswer
	c.s.View(func(cat *registry.Catalog, _ *registry.Fleet) { out.Model = describeModel(cat, m) })
	return out, c.locate(pointers(out.Model.LatestVersions)...)
}

// modelNamed is what a call gives that is about one registered model.
type modelNamed struct {
	Name string `json:"name"`
}

func createModel(c *call) (any, error) {
	var in struct {
		modelNamed
		Description string        `json:"description"`
		Tags        []events.Pair `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := cmp.Or(required("name", in.Name), keyed("tags", in.Tags)); err != nil {
		return nil, err
	}
	m, err := c.s.CreateModel(c.ctx, registry.NewModel{Name: in.Name, Description: in.Description, Tags: in.Tags, Actor: c.actor()})
	if err != nil {
		return nil, err
	}
	return c.answerModel(m)
}

// keyed checks that every pair has a key.
func keyed(field string, ps []events.Pair) error {
	for _, p := range ps {
		if p.Key == "" {
			return fault.New(fault.Invalid, "Missing value for required parameter '%s.key'", field)
		}
	}
	return nil
}

func getModel(c *call) (any, error) {
	var in modelNamed
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("name", in.Name); err != nil {
		return nil, err
	}
	m, err := c.s.Model(c.ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return c.answerModel(m)
}

// getModelAsSDK is getModel under the path and with the field that SDKs of Databricks know.
func getModelAsSDK(c *call) (any, error) {
	answer, err := getModel(c)
	if err != nil {
		return nil, err
	}
	return struct {
		Model wireModel `json:"registered_model_databricks"`
	}{answer.(modelAnswer).Model}, nil
}

func renameModel(c *call) (any, error) {
	var in struct {
		modelNamed
		NewName string `json:"new_name"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("name", in.Name, "new_name", in.NewName); err != nil {
		return nil, err
	}
	m, err := c.s.RenameModel(c.ctx, in.Name, in.NewName, c.actor())
	if err != nil {
		return nil, err
	}
	return c.answerModel(m)
}

func updateModel(c *call) (any, error) {
	var in struct {
		modelNamed
		Description *string `json:"description"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := cmp.Or(required("name", in.Name), present("description", in.Description)); err != nil {
		return nil, err
	}
	m, err := c.s.DescribeModel(c.ctx, in.Name, *in.Description, c.actor())
	if err != nil {
		return nil, err
	}
	return c.answerModel(m)
}

// present checks a field that must be given but may be empty.
func present(name string, value *string) error {
	if value == nil {
		return fault.New(fault.Invalid, "Missing value for required parameter '%s'", name)
	}
	return nil
}

func deleteModel(c *call) (any, error) {
	var in modelNamed
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("name", in.Name); err != nil {
		return nil, err
	}
	return nil, c.s.DeleteModel(c.ctx, in.Name, c.actor())
}

// tagged is what a call gives that sets or removes a tag of a registered model or, with a version, of that.
type tagged struct {
	modelNamed
	Version versionText `json:"version"`
	Key     string      `json:"key"`
	Value   *string     `json:"value"`
}

func setModelTag(c *call) (any, error) {
	var in tagged
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := cmp.Or(required("name", in.Name, "key", in.Key), present("value", in.Value)); err != nil {
		return nil, err
	}
	return nil, c.s.SetModelTag(c.ctx, in.Name, events.Pair{Key: in.Key, Value: *in.Value}, c.actor())
}

func deleteModelTag(c *call) (any, error) {
	var in tagged
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("name", in.Name, "key", in.Key); err != nil {
		return nil, err
	}
	return nil, c.s.DeleteModelTag(c.ctx, in.Name, in.Key, c.actor())
}

// aliased is what a call gives that is about an alias.
type aliased struct {
	modelNamed
	Alias   string      `json:"alias"`
	Version versionText `json:"version"`
}

func setAlias(c *call) (any, error) {
	var in aliased
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("name", in.Name, "alias", in.Alias, "version", string(in.Version)); err != nil {
		return nil, err
	}
	version, err := in.Version.number()
	if err != nil {
		return nil, err
	}
	return nil, c.s.SetAlias(c.ctx, in.Name, in.Alias, version, c.actor())
}

func deleteAlias(c *call) (any, error) {
	var in aliased
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("name", in.Name, "alias", in.Alias); err != nil {
		return nil, err
	}
	return nil, c.s.DeleteAlias(c.ctx, in.Name, in.Alias, c.actor())
}

func getAlias(c *call) (any, error) {
	var in aliased
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("name", in.Name, "alias", in.Alias); err != nil {
		return nil, err
	}
	v, err := c.s.ByAlias(c.ctx, in.Name, in.Alias)
	if err != nil {
		return nil, err
	}
	return c.answerVersion(v)
}

func latestVersions(c *call) (any, error) {
	var in struct {
		modelNamed
		Stages []string `json:"stages"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("name", in.Name); err != nil {
		return nil, err
	}
	wanted := map[events.Stage]bool{}
	for _, text := range in.Stages {
		stage, err := stageNamed(text)
		if err != nil {
			return nil, err
		}
		wanted[stage] = true
	}
	m, err := c.s.Model(c.ctx, in.Name)
	if err != nil {
		return nil, err
	}
	var out struct {
		Versions []wireVersion `json:"model_versions,omitempty"`
	}
	c.s.View(func(cat *registry.Catalog, _ *registry.Fleet) {
		for _, v := range cat.Latest(m.Key) {
			if len(wanted) == 0 || wanted[v.Stage] {
				out.Versions = append(out.Versions, describeVersion(v))
			}
		}
	})
	return out, c.locate(pointers(out.Versions)...)
}
