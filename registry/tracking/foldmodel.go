package tracking

import (
	"telco-churn-mlops/events"
)

// statusPending is the status of a logged model that was created and says nothing else.
const statusPending = "LOGGED_MODEL_PENDING"

// loggedModel is one logged model. Nobody sees it until it is created.
type loggedModel struct {
	id               string
	last             uint64
	created, deleted bool
	lives            lives // from its creation
	experiment       *experiment
	name, kind       string
	sourceRun, uri   string
	status           string
	born, updated    int64
	params, tags     []pair
	metrics          map[modelMetricKey]metric
}

// modelMetricKey tells the metrics of a logged model apart: each run and dataset has its own.
type modelMetricKey struct {
	run                  string
	key                  uint32
	datasetName, dataset string
}

func (m *loggedModel) visible() bool { return m.created && !m.deleted && !m.experiment.deleted }

func (s *state) model(id string) *loggedModel {
	m := s.models[id]
	if m == nil {
		m = &loggedModel{id: id}
		s.models[id] = m
	}
	return m
}

// applyModel folds a change of a logged model. One that was deleted takes no more.
func (s *state) applyModel(f fact) {
	m := s.model(f.subject)
	if f.seq <= m.last {
		return
	}
	m.last = f.seq
	p, ok := f.payload.(*events.ModelLogged)
	if !ok || p.ModelID != m.id {
		s.junk++
		return
	}
	if (p.Created != nil) == m.created || m.deleted {
		s.contradictions++
		return
	}
	if c := p.Created; c != nil {
		m.created, m.born, m.status = true, f.at, statusPending
		m.experiment, m.name, m.kind = s.experiment(c.ExperimentID), c.Name, s.names.value(c.ModelType)
		m.sourceRun, m.uri = c.SourceRunID, c.ArtifactURI
	}
	m.updated = f.at
	if p.Status != "" {
		m.status = s.names.value(p.Status)
	}
	m.deleted = p.Deleted
	m.lives.note(m.deleted, f)
	m.tags = s.changeTags(m.tags, p.Tags, p.RemovedTags)
	m.params = s.changeTags(m.params, p.Params, nil)
}

// modelMetric notes a metric that a run logged with a logged model's id.
func (s *state) modelMetric(m metric, runID string) {
	owner := s.model(m.extra.modelID)
	key := modelMetricKey{runID, m.key, m.extra.datasetName, m.extra.datasetDigest}
	if owner.metrics == nil {
		owner.metrics = map[modelMetricKey]metric{}
	}
	if old, ok := owner.metrics[key]; !ok || m.later(old) {
		owner.metrics[key] = m
	}
}

// applyFile folds a file that was stored or removed. The subject only spreads the files; what counts is their path and the sequence.
func (s *state) applyFile(f fact) {
	p, ok := f.payload.(*events.ArtifactStored)
	if !ok || checkPath(p.Path) != nil {
		s.junk++
		return
	}
	if p.Removed {
		before := f.seq
		if p.Through > 0 { // by garbage collection
			if before = p.Through + 1; p.Through >= f.seq || !s.goneSince(ownerOf(p.Path), p.Through, f.seq) {
				s.contradictions++
				return
			}
		}
		s.files.remove(p.Path, before)
		return
	}
	s.files.put(p.Path, leaf{digest: packDigest(digestOf(p)), size: p.SizeBytes, seq: f.seq})
}
