package tracking

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/filter"
)

// maxModelName bounds the name of a logged model, in characters.
const maxModelName = 500

// CreateLoggedModel creates a logged model, with status pending and files of its own below its experiment's. The run that it names as its source must exist.
func (b *Book) CreateLoggedModel(ctx context.Context, n NewLoggedModel) (LoggedModel, error) {
	if err := n.check(); err != nil {
		return LoggedModel{}, err
	}
	name, err := n.Name, error(nil)
	if name == "" {
		if name, err = randomName(); err != nil {
			return LoggedModel{}, err
		}
	}
	id, err := newID()
	if err != nil {
		return LoggedModel{}, err
	}
	id = modelPrefix + id
	experimentID := cmp.Or(n.ExperimentID, DefaultExperiment)
	err = b.writeFresh(ctx, events.TypeModelLogged, id, func(s *state) (draft, error) {
		e, err := s.knownExperiment(experimentID)
		if err != nil {
			return draft{}, err
		}
		if err := e.active(); err != nil {
			return draft{}, err
		}
		if n.SourceRunID != "" {
			if _, err := s.knownRun(n.SourceRunID); err != nil {
				return draft{}, err
			}
		}
		return draft{payload: &events.ModelLogged{ModelID: id, Status: statusPending, Params: n.Params, Tags: n.Tags, Actor: n.Actor,
			Created: &events.LoggedModelCreation{ExperimentID: e.id, Name: name, ModelType: n.ModelType, SourceRunID: n.SourceRunID,
				ArtifactURI: e.location + "/models/" + id + "/artifacts"}}}, nil
	})
	if err != nil {
		return LoggedModel{}, err
	}
	return b.showModel(id)
}

func (n NewLoggedModel) check() error {
	for _, f := range []struct {
		what, text string
		limit      int
	}{{"model name", n.Name, maxModelName}, {"model type", n.ModelType, maxModelName}, {"source run id", n.SourceRunID, MaxKey}} {
		if err := checkLength(f.what, f.text, f.limit); err != nil {
			return err
		}
	}
	if err := checkModelParams(n.Params); err != nil {
		return err
	}
	return checkTags(n.Tags)
}

func checkModelParams(params []events.Pair) error {
	for _, p := range params {
		if err := checkParam(p); err != nil {
			return err
		}
	}
	return nil
}

// LoggedModel returns a logged model; fault.NotFound if there is none with the id, or it was deleted.
func (b *Book) LoggedModel(ctx context.Context, id string) (LoggedModel, error) {
	if err := b.Fresh(ctx); err != nil {
		return LoggedModel{}, err
	}
	return b.showModel(id)
}

func (b *Book) showModel(id string) (LoggedModel, error) {
	b.state.mu.RLock()
	defer b.state.mu.RUnlock()
	m, err := b.state.knownModel(id)
	if err != nil {
		return LoggedModel{}, err
	}
	return b.state.showModel(m), nil
}

func (s *state) knownModel(id string) (*loggedModel, error) {
	m := s.models[id]
	if m == nil || !m.visible() {
		return nil, fault.New(fault.NotFound, "no logged model has the id %s", quote(id))
	}
	return m, nil
}

// showModel returns a copy for the caller.
func (s *state) showModel(m *loggedModel) LoggedModel {
	out := LoggedModel{ID: m.id, ExperimentID: m.experiment.id, Name: m.name, ModelType: m.kind, SourceRunID: m.sourceRun, ArtifactURI: m.uri, Status: m.status,
		CreatedAt: m.born, UpdatedAt: m.updated, Params: s.names.pairs(m.params), Tags: s.names.pairs(m.tags)}
	for key, metric := range m.metrics {
		out.Metrics = append(out.Metrics, ModelMetric{MetricPoint: s.names.point(metric), RunID: key.run})
	}
	slices.SortFunc(out.Metrics, func(a, b ModelMetric) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.DatasetName, b.DatasetName), cmp.Compare(a.DatasetDigest, b.DatasetDigest), cmp.Compare(a.RunID, b.RunID))
	})
	return out
}

// changeModel stores a change of a logged model.
func (b *Book) changeModel(ctx context.Context, id, actor string, change func(*state, *loggedModel, *events.ModelLogged) (bool, error)) error {
	return b.write(ctx, events.TypeModelLogged, id, func(s *state) (draft, error) {
		m, err := s.knownModel(id)
		if err != nil {
			return draft{}, err
		}
		p := &events.ModelLogged{ModelID: id, Actor: actor}
		store, err := change(s, m, p)
		if err != nil || !store {
			return draft{}, err
		}
		return draft{payload: p, expected: m.last}, nil
	})
}

// UpdateLoggedModel sets the status: LOGGED_MODEL_PENDING, LOGGED_MODEL_READY or LOGGED_MODEL_UPLOAD_FAILED.
func (b *Book) UpdateLoggedModel(ctx context.Context, id, status, actor string) (LoggedModel, error) {
	p := events.ModelLogged{ModelID: id, Status: status}
	if status == "" || p.Validate() != nil {
		return LoggedModel{}, invalid("status %s: there is LOGGED_MODEL_PENDING, LOGGED_MODEL_READY and LOGGED_MODEL_UPLOAD_FAILED", quote(status))
	}
	err := b.changeModel(ctx, id, actor, func(_ *state, _ *loggedModel, p *events.ModelLogged) (bool, error) {
		p.Status = status
		return true, nil
	})
	if err != nil {
		return LoggedModel{}, err
	}
	return b.showModel(id)
}

// LogModelParams adds parameters, which are written once as those of a run are.
func (b *Book) LogModelParams(ctx context.Context, id string, params []events.Pair, actor string) error {
	if err := checkModelParams(params); err != nil {
		return err
	}
	return b.changeModel(ctx, id, actor, func(s *state, m *loggedModel, p *events.ModelLogged) (bool, error) {
		added, err := s.newParams("logged model "+m.id, m.params, params)
		p.Params = added
		return len(added) > 0, err
	})
}

// SetLoggedModelTags sets tags.
func (b *Book) SetLoggedModelTags(ctx context.Context, id string, tags []events.Pair, actor string) (LoggedModel, error) {
	if err := checkTags(tags); err != nil {
		return LoggedModel{}, err
	}
	err := b.changeModel(ctx, id, actor, func(_ *state, _ *loggedModel, p *events.ModelLogged) (bool, error) {
		p.Tags = tags
		return len(tags) > 0, nil
	})
	if err != nil {
		return LoggedModel{}, err
	}
	return b.showModel(id)
}

// DeleteLoggedModelTag takes a tag away; fault.NotFound if there is none with the key.
func (b *Book) DeleteLoggedModelTag(ctx context.Context, id, key, actor string) error {
	return b.changeModel(ctx, id, actor, func(s *state, m *loggedModel, p *events.ModelLogged) (bool, error) {
		if _, ok := s.text(m.tags, key); !ok {
			return false, fault.New(fault.NotFound, "logged model %s has no tag %s", quote(id), quote(key))
		}
		p.RemovedTags = []string{key}
		return true, nil
	})
}

// DeleteLoggedModel deletes a logged model for good. Its files stay until garbage collection finds that nothing points to them.
func (b *Book) DeleteLoggedModel(ctx context.Context, id, actor string) error {
	return b.changeModel(ctx, id, actor, func(_ *state, _ *loggedModel, p *events.ModelLogged) (bool, error) {
		p.Deleted = true
		return true, nil
	})
}

// modelFields is a logged model as a filter sees it. Of a metric that several runs or datasets have, the latest point counts.
type modelFields struct {
	s *state
	m *loggedModel
}

// Text implements filter.Fields.
func (f modelFields) Text(kind filter.Kind, key string) (string, bool) {
	m := f.m
	switch kind {
	case filter.Param:
		return f.s.text(m.params, key)
	case filter.Tag:
		return f.s.text(m.tags, key)
	}
	switch key {
	case "name":
		return m.name, true
	case "model_id":
		return m.id, true
	case "model_type":
		return m.kind, true
	case "status":
		return m.status, true
	case "source_run_id":
		return m.sourceRun, true
	case "experiment_id":
		return m.experiment.id, true
	}
	return "", false
}

// Number implements filter.Fields.
func (f modelFields) Number(kind filter.Kind, key string) (float64, bool) {
	switch {
	case kind == filter.Metric:
		return f.metric(key)
	case key == "creation_timestamp":
		return float64(f.m.born), true
	case key == "last_updated_timestamp":
		return float64(f.m.updated), true
	}
	return 0, false
}

func (f modelFields) metric(key string) (float64, bool) {
	id, ok := f.s.names.find(key)
	if !ok {
		return 0, false
	}
	var best metric
	found := false
	for k, m := range f.m.metrics {
		if k.key == id && (!found || m.later(best)) {
			best, found = m, true
		}
	}
	return best.value, found
}

// modelResults are the sizes of a page of logged models.
var modelResults = limits{usual: 100, most: 1000}

// SearchLoggedModels returns a page of logged models; by default the newest come first.
func (b *Book) SearchLoggedModels(ctx context.Context, q ModelQuery) (Page[LoggedModel], error) {
	sr, err := b.newSearch(filter.Query{Domain: filter.LoggedModels, Filter: q.Filter, OrderBy: q.OrderBy, Scope: q.ExperimentIDs}, q.MaxResults, modelResults, q.PageToken)
	if err != nil {
		return Page[LoggedModel]{}, err
	}
	if err := b.Fresh(ctx); err != nil {
		return Page[LoggedModel]{}, err
	}
	s := b.state
	in := make(map[string]bool, len(q.ExperimentIDs))
	for _, id := range q.ExperimentIDs {
		in[id] = true
	}
	s.mu.RLock()
	models := slices.Collect(maps.Values(s.models))
	s.mu.RUnlock()
	found := newTop[*loggedModel](sr)
	err = found.scan(ctx, &s.mu, models, func(m *loggedModel) {
		if m.visible() && in[m.experiment.id] {
			found.offer(m, modelFields{s, m})
		}
	})
	if err != nil {
		return Page[LoggedModel]{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return pageOf(found, s.showModel), nil
}
