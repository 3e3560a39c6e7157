package mlflow

import (
	"cmp"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

func (a *api) versions() {
	const versions = "/mlflow/model-versions/"
	a.handleLong(http.MethodPost, versions+"create", access.Register, createVersion)
	a.handle(http.MethodGet, versions+"get", access.Read, getVersion)
	a.handle(http.MethodPatch, versions+"update", access.Register, updateVersion)
	a.handle(http.MethodDelete, versions+"delete", access.Admin, deleteVersion)
	a.handle(http.MethodGet, versions+"search", access.Read, searchVersions)
	a.handleLong(http.MethodPost, versions+"transition-stage", access.Promote, transition)
	a.handleLong(http.MethodPost, "/mlflow/databricks/model-versions/transition-stage", access.Promote, transition) // SDKs of Databricks
	a.handle(http.MethodGet, versions+"get-download-uri", access.Read, downloadURI)
	a.handle(http.MethodPost, versions+"set-tag", access.Register, setVersionTag)
	a.handle(http.MethodDelete, versions+"delete-tag", access.Register, deleteVersionTag)
	a.versionFiles()
}

// longer is by how much a call that reads models and scores rows may outlast others. The product stays below what clients wait (120 s).
const longer = 6

// handleLong is handle for operations that read a model's files or judge a version.
func (a *api) handleLong(method, path string, role access.Role, op operation) {
	limit := longer * a.callTime
	for _, p := range prefixes {
		a.router.add(method, p+path, path, route{role: role, limit: limit, op: func(c *call) (any, error) {
			// A server without deadlines has none in the way.
			_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(limit + a.callTime))
			return op(c)
		}})
	}
}

// statusReady is the status of every version: one that is not ready was refused.
const statusReady = "READY"

// wireVersion is a version of a registered model on the wire. The version is a number in a string.
type wireVersion struct {
	Name                 string        `json:"name"`
	Version              string        `json:"version"`
	CreationTimestamp    int64         `json:"creation_timestamp"`
	LastUpdatedTimestamp int64         `json:"last_updated_timestamp"`
	UserID               string        `json:"user_id,omitempty"`
	CurrentStage         events.Stage  `json:"current_stage"`
	Description          string        `json:"description,omitempty"`
	Source               string        `json:"source,omitempty"`
	RunID                string        `json:"run_id,omitempty"`
	Status               string        `json:"status"`
	Tags                 []events.Pair `json:"tags,omitempty"`
	RunLink              string        `json:"run_link,omitempty"`
	Aliases              []string      `json:"aliases,omitempty"`
	ModelID              string        `json:"model_id,omitempty"`
}

// versionAnswer is what a call returns that returns a version.
type versionAnswer struct {
	Version wireVersion `json:"model_version"`
}

// describeVersion puts a version on the wire.
func describeVersion(v registry.Version) wireVersion {
	return wireVersion{
		Name: v.ModelName, Version: strconv.Itoa(v.Version), CreationTimestamp: v.At.UnixMilli(), LastUpdatedTimestamp: v.UpdatedAt.UnixMilli(),
		UserID: v.User, CurrentStage: v.Stage, Description: v.Description, Source: v.Source, RunID: v.RunID, Status: statusReady,
		Tags: pairs(v.Tags), RunLink: v.RunLink, Aliases: slices.Sorted(slices.Values(v.Aliases)), ModelID: v.ModelID,
	}
}

// locate says of versions of the trainer's, which were registered from no URI, where their files are: with their run. It is not to be called with
// the folds held.
func (c *call) locate(versions ...*wireVersion) error {
	ctx := c.ctx
	for _, v := range versions {
		if v.Source != "" || v.RunID == "" {
			continue
		}
		run, err := c.book.RunByID(ctx, v.RunID)
		if err != nil && fault.CodeOf(err) != fault.NotFound {
			return err
		}
		v.Source = run.ArtifactURI
		ctx = tracking.AsFolded(c.ctx) // the first one refreshed the fold for all
	}
	return nil
}

// answerVersion returns a version that an operation returned.
func (c *call) answerVersion(v registry.Version) (versionAnswer, error) {
	out := versionAnswer{describeVersion(v)}
	return out, c.locate(&out.Version)
}

// pointers returns what locate takes.
func pointers(versions []wireVersion) []*wireVersion {
	out := make([]*wireVersion, len(versions))
	for i := range versions {
		out[i] = &versions[i]
	}
	return out
}

// versionText is a version's number as clients send it: a string of digits, or a JSON number.
type versionText string

// UnmarshalJSON implements [json.Unmarshaler].
func (v *versionText) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] != '"' {
		if text := string(data); text == "null" {
			return nil
		} else if _, err := strconv.ParseInt(text, 10, 64); err == nil {
			*v = versionText(text)
			return nil
		}
		return &json.UnmarshalTypeError{Value: cut(string(data)), Type: reflect.TypeFor[string]()}
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*v = versionText(text)
	return nil
}

// number returns the version's number, which has one way to be written. It need not be one that exists.
func (v versionText) number() (int, error) {
	n, err := strconv.ParseInt(string(v), 10, 32)
	if err != nil || strconv.FormatInt(n, 10) != string(v) {
		return 0, fault.New(fault.Invalid, "Parameter 'version' must be a whole number, is %q", cut(string(v)))
	}
	return int(n), nil
}

// stageNamed returns the stage that a client names in any case.
func stageNamed(text string) (events.Stage, error) {
	stages := []events.Stage{events.StageNone, events.StageStaging, events.StageProduction, events.StageArchived}
	for _, s := range stages {
		if strings.EqualFold(text, string(s)) {
			return s, nil
		}
	}
	return "", fault.New(fault.Invalid, "Invalid Model Version stage: %s. Value must be one of None, Staging, Production, Archived.", cut(text))
}

// versionNamed is what a call gives that is about one version.
type versionNamed struct {
	modelNamed
	Version versionText `json:"version"`
}

// key checks that both parts are there.
func (n versionNamed) key() (name string, version int, err error) {
	if err := required("name", n.Name, "version", string(n.Version)); err != nil {
		return "", 0, err
	}
	version, err = n.Version.number()
	return n.Name, version, err
}

// version returns the version that a call names, as it is once everything stored before the call is folded.
func (c *call) version(n versionNamed) (registry.Version, error) {
	name, number, err := n.key()
	if err != nil {
		return registry.Version{}, err
	}
	return c.versionOf(name, number)
}

func (c *call) versionOf(name string, number int) (registry.Version, error) {
	m, err := c.s.Model(c.ctx, name)
	if err != nil {
		return registry.Version{}, err
	}
	var v registry.Version
	var ok bool
	c.s.View(func(cat *registry.Catalog, _ *registry.Fleet) { v, ok = cat.Version(m.Key, number) })
	if !ok || v.Deleted {
		return registry.Version{}, fault.New(fault.NotFound, "Model Version (name=%s, version=%d) not found", cut(name), number)
	}
	return v, nil
}

func createVersion(c *call) (any, error) {
	var in struct {
		modelNamed
		Source      string        `json:"source"`
		RunID       string        `json:"run_id"`
		Tags        []events.Pair `json:"tags"`
		RunLink     string        `json:"run_link"`
		Description string        `json:"description"`
		ModelID     string        `json:"model_id"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := cmp.Or(required("name", in.Name, "source", in.Source), keyed("tags", in.Tags)); err != nil {
		return nil, err
	}
	v, err := c.s.CreateVersion(c.ctx, registry.NewVersion{
		Model: in.Name, Source: in.Source, RunID: in.RunID, RunLink: in.RunLink, ModelID: in.ModelID, Description: in.Description, Tags: in.Tags,
		Actor: c.actor(),
	})
	if err != nil {
		return nil, err
	}
	return c.answerVersion(v)
}

func getVersion(c *call) (any, error) {
	var in versionNamed
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	v, err := c.version(in)
	if err != nil {
		return nil, err
	}
	return c.answerVersion(v)
}

func updateVersion(c *call) (any, error) {
	var in struct {
		versionNamed
		Description *string `json:"description"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	name, version, err := in.key()
	if err := cmp.Or(err, present("description", in.Description)); err != nil {
		return nil, err
	}
	v, err := c.s.DescribeVersion(c.ctx, name, version, *in.Description, c.actor())
	if err != nil {
		return nil, err
	}
	return c.answerVersion(v)
}

func deleteVersion(c *call) (any, error) {
	var in versionNamed
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	name, version, err := in.key()
	if err != nil {
		return nil, err
	}
	return nil, c.s.DeleteVersion(c.ctx, name, version, c.actor())
}

// transition moves a version to a stage. Beyond MLflow it takes expected_version (the version that must be in Production for the transition to
// happen, 0 for none), override (promote against a gate) and reason.
func transition(c *call) (any, error) {
	var in struct {
		versionNamed
		Stage    string   `json:"stage"`
		Archive  bool     `json:"archive_existing_versions"`
		Expected *integer `json:"expected_version"`
		Override bool     `json:"override"`
		Reason   string   `json:"reason"`
		Comment  string   `json:"comment"` // what SDKs of Databricks call the reason
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	name, version, err := in.key()
	if err := cmp.Or(err, required("stage", in.Stage)); err != nil {
		return nil, err
	}
	stage, err := stageNamed(in.Stage)
	if err != nil {
		return nil, err
	}
	if in.Archive && stage != events.StageStaging && stage != events.StageProduction {
		return nil, fault.New(fault.Invalid, "archive_existing_versions is only for the stages Staging and Production, not for %s", stage)
	}
	expected, err := expectedVersion(in.Expected)
	if err != nil {
		return nil, err
	}
	v, err := c.s.Transition(c.ctx, registry.Transition{
		Model: name, Version: version, Stage: stage, ArchiveExisting: in.Archive, Expected: expected, Override: in.Override,
		Reason: cmp.Or(in.Reason, in.Comment), Actor: c.actor(),
	})
	if err != nil {
		return nil, err
	}
	return c.answerVersion(v)
}

// expectedVersion returns the version that a client says is Production; nil leaves that open.
func expectedVersion(n *integer) (*int, error) {
	if n == nil {
		return nil, nil
	}
	if *n < 0 || *n > 1<<31-1 {
		return nil, fault.New(fault.Invalid, "Invalid value %d for parameter 'expected_version': it is a version's number, or 0 for no Production", *n)
	}
	v := int(*n)
	return &v, nil
}

func setVersionTag(c *call) (any, error) {
	var in tagged
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	name, version, err := versionNamed{in.modelNamed, in.Version}.key()
	if err := cmp.Or(err, required("key", in.Key), present("value", in.Value)); err != nil {
		return nil, err
	}
	return nil, c.s.SetVersionTag(c.ctx, name, version, events.Pair{Key: in.Key, Value: *in.Value}, c.actor())
}

func deleteVersionTag(c *call) (any, error) {
	var in tagged
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	name, version, err := versionNamed{in.modelNamed, in.Version}.key()
	if err := cmp.Or(err, required("key", in.Key)); err != nil {
		return nil, err
	}
	return nil, c.s.DeleteVersionTag(c.ctx, name, version, in.Key, c.actor())
}
