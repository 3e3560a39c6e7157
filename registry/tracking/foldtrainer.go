package tracking

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
)

// trainerRun is what LIFECYCLE says of a run.
type trainerRun struct {
	model      string
	experiment string // empty until a run of the model completes
	ended      bool
	status     events.RunStatus
	start, end int64
	source     string
	metrics    []metric
	params     []pair
	tags       []pair
	artifacts  []events.Artifact
}

// trainerExperimentID returns the id of an experiment that LIFECYCLE names: 18 decimal digits, which no id of a client's experiment has.
func trainerExperimentID(name string) string {
	const first = 100_000_000_000_000_000
	return strconv.FormatUint(first+xxhash.Sum64String(name)%(9*first), 10)
}

// applyTrainer folds a message of LIFECYCLE; only runs matter here. The first start and the first end of a run count.
func (s *state) applyTrainer(f fact) {
	var id string
	next := trainerRun{model: f.subject, status: events.StatusRunning, start: f.at, source: f.source}
	switch p := f.payload.(type) {
	case *events.RunStarted:
		id = p.RunID
		next.tags = s.trainerTags(f, p.Causes, p.DatasetFingerprint, p.SpecDigest,
			events.Pair{Key: "churn.target_stage", Value: string(p.TargetStage)},
			events.Pair{Key: "churn.data_cutoff", Value: strconv.FormatUint(p.DataCutoff, 10)})
	case *events.RunCompleted:
		id, next.ended, next.status, next.experiment, next.artifacts = p.RunID, true, events.StatusFinished, p.Experiment, p.Artifacts
		next.start, next.end = p.StartedAt.UnixMilli(), p.StartedAt.UnixMilli()+p.DurationMS
		next.tags = s.trainerTags(f, p.Causes, p.DatasetFingerprint, p.SpecDigest,
			events.Pair{Key: "churn.target_stage", Value: string(p.TargetStage)},
			events.Pair{Key: "churn.quarantined_rows", Value: strconv.FormatInt(p.Quarantined, 10)})
		for k, v := range p.Params {
			next.params = setPair(next.params, pair{s.names.key(k), s.names.value(v)})
		}
		for k, v := range p.Metrics {
			next.metrics = setMetric(next.metrics, metric{key: s.names.key(k), value: v, time: next.end})
		}
	case *events.RunFailed:
		id, next.ended, next.status = p.RunID, true, events.StatusFailed
		next.start, next.end = p.StartedAt.UnixMilli(), p.StartedAt.UnixMilli()+p.DurationMS
		next.tags = s.trainerTags(f, p.Causes, p.DatasetFingerprint, p.SpecDigest,
			events.Pair{Key: "churn.failed_step", Value: p.Step}, events.Pair{Key: "churn.failed_reason", Value: p.Reason})
	case nil:
		if f.typ == events.TypeRunStarted || f.typ == events.TypeRunCompleted || f.typ == events.TypeRunFailed {
			s.junk++
		}
		return
	default:
		return
	}
	r := s.run(id)
	old := r.trainer
	if old != nil {
		if old.ended || !next.ended || old.model != next.model {
			s.contradictions++
			return
		}
		next.start = old.start
		for _, t := range old.tags { // what the end does not repeat
			if _, ok := findPair(next.tags, t.key); !ok {
				next.tags = setPair(next.tags, t)
			}
		}
	}
	next.tags = setPair(next.tags, pair{s.names.key(tagRunName), id})
	s.setTrainer(r, &next)
	if next.experiment != "" && old != nil { // a run that was never started is one that the registry tells of for a client
		s.nameExperiment(next.model, next.experiment)
	}
}

// trainerTags returns the tags that an event gives; empty values are left out.
func (s *state) trainerTags(f fact, causes []events.Cause, fingerprint, spec string, more ...events.Pair) []pair {
	said := make([]string, 0, len(causes))
	for _, c := range causes {
		if c.Detail == "" {
			said = append(said, string(c.Kind))
			continue
		}
		said = append(said, fmt.Sprintf("%s: %s", c.Kind, c.Detail))
	}
	more = append(more, events.Pair{Key: "churn.model", Value: f.subject}, events.Pair{Key: "churn.cause", Value: strings.Join(said, "; ")},
		events.Pair{Key: "churn.dataset_fingerprint", Value: fingerprint}, events.Pair{Key: "churn.spec_digest", Value: spec},
		events.Pair{Key: "mlflow.source.type", Value: "JOB"}, events.Pair{Key: "mlflow.source.name", Value: f.source}, events.Pair{Key: tagUser, Value: "trainer"})
	var tags []pair
	for _, t := range more {
		if t.Value != "" {
			tags = setPair(tags, pair{s.names.key(t.Key), s.names.value(t.Value)})
		}
	}
	return tags
}

// experimentOf returns the name of the experiment that a run of the trainer belongs to: what its completion said, else what the model's last completed
// run said, else the default of a spec.
func (s *state) experimentOf(t *trainerRun) string {
	switch {
	case t.experiment != "":
		return t.experiment
	case s.training[t.model] != "":
		return s.training[t.model]
	default:
		return t.model + "-training"
	}
}

// nameExperiment notes the name of a model's experiment and moves its runs that have said none there.
func (s *state) nameExperiment(model, name string) {
	before := s.training[model]
	if before == name {
		return
	}
	s.training[model] = name
	was := s.experiments[trainerExperimentID(cmp.Or(before, model+"-training"))]
	if was == nil {
		return
	}
	for _, r := range slices.Clone(was.runs) {
		if r.trainers() && r.trainer.model == model && r.trainer.experiment == "" {
			s.setTrainer(r, r.trainer)
		}
	}
}

// setTrainer sets what LIFECYCLE says of a run, nil for nothing. Unless a client created the run, it appears in its experiment with its files.
func (s *state) setTrainer(r *run, t *trainerRun) {
	if r.created {
		r.trainer = t
		return
	}
	if r.trainer != nil {
		s.trained.remove(r.exp.id+"/"+r.id, 0)
		r.exp.trainerRuns--
	}
	r.trainer = t
	if t == nil {
		s.move(r, nil)
		return
	}
	name := s.experimentOf(t)
	e := s.experiment(trainerExperimentID(name))
	if !e.known {
		e.name, e.location = name, s.location(e.id)
	}
	e.trainerRuns++
	s.move(r, e)
	r.uri = e.location + "/" + r.id + "/artifacts"
	for _, a := range t.artifacts {
		if d, err := artifact.ParseDigest(a.Digest); err == nil {
			s.trained.put(e.id+"/"+r.id+"/artifacts/"+a.Name, leaf{digest: packDigest(d), size: a.SizeBytes, seq: 1})
		}
	}
}

// trainerByName returns the experiment of the trainer with a name, nil if there is none.
func (s *state) trainerByName(name string) *experiment {
	if e := s.experiments[trainerExperimentID(name)]; e != nil && e.visible() && e.name == name {
		return e
	}
	return nil
}
