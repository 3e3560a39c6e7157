package tracking

import (
	"context"
	"slices"
	"strings"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/filter"
)

// show returns a run as it stands in the fold.
func (b *Book) show(id string) (Run, error) {
	b.state.mu.RLock()
	defer b.state.mu.RUnlock()
	r, err := b.state.knownRun(id)
	if err != nil {
		return Run{}, err
	}
	return b.state.showRun(r), nil
}

// showRun returns a copy for the caller.
func (s *state) showRun(r *run) Run {
	out := Run{ID: r.id, Name: r.name, ExperimentID: r.exp.id, UserID: r.user, Status: r.status, Lifecycle: stage(r.gone()), ArtifactURI: r.uri,
		StartTime: r.start, EndTime: r.end, Outputs: slices.Clone(r.outputs)}
	metrics, params := r.metrics, r.params
	if t := r.trainer; r.trainers() {
		out.Trainer, out.Model = true, t.model
		out.Name, out.UserID, out.Status, out.StartTime, out.EndTime = r.id, "trainer", t.status, t.start, t.end
		metrics, params = t.metrics, t.params
		out.Tags = s.trainerRunTags(r)
	} else {
		out.Tags = s.names.pairs(r.tags)
	}
	out.Params = s.names.pairs(params)
	out.Metrics = make([]events.MetricPoint, len(metrics))
	for i, m := range metrics {
		out.Metrics[i] = s.names.point(m)
	}
	slices.SortFunc(out.Metrics, func(a, b events.MetricPoint) int { return strings.Compare(a.Key, b.Key) })
	for _, in := range r.inputs {
		in.Tags = slices.Clone(in.Tags)
		out.Inputs = append(out.Inputs, in)
	}
	return out
}

// trainerRunTags returns what the trainer said, and what clients added under other keys.
func (s *state) trainerRunTags(r *run) []events.Pair {
	var added []pair
	for _, t := range r.tags {
		if _, ok := findPair(r.trainer.tags, t.key); !ok {
			added = append(added, t)
		}
	}
	return s.names.pairs(r.trainer.tags, added)
}

// runFields is a run as a filter sees it. It remembers the numbers of the keys that one query asks for, of which there are few, and where each
// stood in the run before: most runs of an experiment log the same keys.
type runFields struct {
	s    *state
	r    *run
	memo []memo
}

type memo struct {
	name  string
	id    uint32
	known bool
	at    int
}

// key returns what is remembered of a key; nil of one that nothing was ever logged under.
func (f *runFields) key(name string) *memo {
	for i := range f.memo {
		if m := &f.memo[i]; m.name == name {
			if !m.known {
				return nil
			}
			return m
		}
	}
	id, ok := f.s.names.find(name)
	f.memo = append(f.memo, memo{name: name, id: id, known: ok})
	if !ok {
		return nil
	}
	return &f.memo[len(f.memo)-1]
}

func (f *runFields) pair(ps []pair, name string) (string, bool) {
	m := f.key(name)
	if m == nil {
		return "", false
	}
	if m.at >= len(ps) || ps[m.at].key != m.id {
		i, ok := findPair(ps, m.id)
		if !ok {
			return "", false
		}
		m.at = i
	}
	return ps[m.at].value, true
}

func (f *runFields) metric(ms []metric, name string) (float64, bool) {
	m := f.key(name)
	if m == nil {
		return 0, false
	}
	if m.at >= len(ms) || ms[m.at].key != m.id {
		i, ok := findMetric(ms, m.id)
		if !ok {
			return 0, false
		}
		m.at = i
	}
	return ms[m.at].value, true
}

// Text implements filter.Fields.
func (f *runFields) Text(kind filter.Kind, key string) (string, bool) {
	r := f.r
	t := r.trainer
	if r.created {
		t = nil
	}
	switch kind {
	case filter.Param:
		if t != nil {
			return f.pair(t.params, key)
		}
		return f.pair(r.params, key)
	case filter.Tag:
		if t != nil {
			if v, ok := f.pair(t.tags, key); ok {
				return v, true
			}
		}
		return f.pair(r.tags, key)
	case filter.Attribute:
		return runAttribute(r, t, key)
	}
	return "", false
}

// runAttribute returns an attribute of a run; t is nil for one of a client.
func runAttribute(r *run, t *trainerRun, key string) (string, bool) {
	switch key {
	case "run_id":
		return r.id, true
	case "artifact_uri":
		return r.uri, true
	case "lifecycle_stage":
		return stage(r.gone()), true
	case "experiment_id":
		return r.exp.id, true
	case "run_name":
		if t != nil {
			return r.id, true
		}
		return r.name, true
	case "status":
		if t != nil {
			return string(t.status), true
		}
		return string(r.status), true
	case "user_id":
		if t != nil {
			return "trainer", true
		}
		return r.user, true
	}
	return "", false
}

// Number implements filter.Fields.
func (f *runFields) Number(kind filter.Kind, key string) (float64, bool) {
	metrics, start, end := f.r.metrics, f.r.start, f.r.end
	if f.r.trainers() {
		metrics, start, end = f.r.trainer.metrics, f.r.trainer.start, f.r.trainer.end
	}
	switch {
	case kind == filter.Metric:
		return f.metric(metrics, key)
	case key == "start_time":
		return float64(start), true
	case key == "end_time":
		return float64(end), end != 0
	}
	return 0, false
}

// Texts implements filter.Many: what a run's datasets say.
func (f *runFields) Texts(_ filter.Kind, key string) []string {
	var all []string
	for _, in := range f.r.inputs {
		switch key {
		case "name":
			all = append(all, in.Name)
		case "digest":
			all = append(all, in.Digest)
		default:
			for _, t := range in.Tags {
				if t.Key == tagContext {
					all = append(all, t.Value)
				}
			}
		}
	}
	return all
}

// tagContext is the tag of a dataset that says what a run used it for.
const tagContext = "mlflow.data.context"

// SearchRuns returns a page of runs; by default the last started come first. A search does not hold up writers: a run that changes meanwhile counts as it
// was when the search came by. A search that costs too much (see [filter.Budget]) is refused.
func (b *Book) SearchRuns(ctx context.Context, q RunQuery) (Page[Run], error) {
	scope := append([]string{string(q.View)}, q.ExperimentIDs...)
	sr, err := b.newSearch(filter.Query{Domain: filter.Runs, Filter: q.Filter, OrderBy: q.OrderBy, Scope: scope}, q.MaxResults,
		limits{defaultResults, maxResults}, q.PageToken)
	if err != nil {
		return Page[Run]{}, err
	}
	shows, err := q.View.shows()
	if err != nil {
		return Page[Run]{}, err
	}
	if err := b.Fresh(ctx); err != nil {
		return Page[Run]{}, err
	}
	s := b.state
	found := newTop[*run](sr)
	fields := &runFields{s: s}
	seen := make(map[string]bool, len(q.ExperimentIDs))
	for _, id := range q.ExperimentIDs {
		if seen[id] {
			continue
		}
		seen[id] = true
		e, runs := s.runsOf(id, sr.where)
		err := found.scan(ctx, &s.mu, runs, func(r *run) {
			if r.exp == e && r.visible() && shows(r.gone()) {
				fields.r = r
				found.offer(r, fields)
			}
		})
		if err != nil {
			return Page[Run]{}, err
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return pageOf(found, s.showRun), nil
}

// runsOf returns the runs of an experiment that may match.
func (s *state) runsOf(id string, where filter.Filter) (*experiment, []*run) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.experiments[id]
	if e == nil {
		return nil, nil
	}
	if runID, ok := where.Equal("run_id"); ok {
		if r := s.runs[runID]; r != nil {
			return e, []*run{r}
		}
		return e, nil
	}
	return e, e.runs
}
