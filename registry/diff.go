package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/model"
	"telco-churn-mlops/registry/fault"
)

// Diff says in what two versions of a model differ. What is alike is left out.
type Diff struct {
	Model string `json:"model"`
	A     int    `json:"a"`
	B     int    `json:"b"`
	// Facts are what was said at registration: run, dataset, commit, spec, source, format.
	Facts   []Difference `json:"facts"`
	Params  []Difference `json:"params"`
	Metrics []Difference `json:"metrics"`
	// Inputs are the columns that a record needs, with their types; NoInputs is why they could not be compared.
	Inputs   []Difference `json:"inputs"`
	NoInputs string       `json:"no_inputs,omitempty"`
	// Gates are the rules with the values that they compared, and the verdict.
	Gates []Difference `json:"gates"`
	// Artifacts are files by digest.
	Artifacts []Difference `json:"artifacts"`
}

// Difference is a name whose values differ. A value that is nil is not there.
type Difference struct {
	Name string  `json:"name"`
	A    *string `json:"a"`
	B    *string `json:"b"`
}

// Same reports whether nothing differs.
func (d Diff) Same() bool {
	return len(d.Facts)+len(d.Params)+len(d.Metrics)+len(d.Inputs)+len(d.Gates)+len(d.Artifacts) == 0
}

// Diff compares two versions of a model.
func (s *Service) Diff(ctx context.Context, name string, a, b int) (Diff, error) {
	if err := s.Fresh(ctx); err != nil {
		return Diff{}, err
	}
	return s.desk.diff(ctx, s.cfg.Store, name, a, b)
}

// LoadDiff compares two versions of a model by what the streams and the store hold. A nil store leaves the inputs out.
func LoadDiff(ctx context.Context, bs *bus.Bus, store artifact.Store, name string, a, b int) (Diff, error) {
	d, err := openDesk(ctx, bs)
	if err == nil {
		err = faultOf(d.ledger.refresh(ctx))
	}
	if err != nil {
		return Diff{}, err
	}
	return d.diff(ctx, store, name, a, b)
}

// side is what is compared of a version.
type side struct {
	version         Version
	params, metrics map[string]string
	inputs          map[string]string
	noInputs        string
}

func (d *desk) diff(ctx context.Context, store artifact.Store, name string, a, b int) (Diff, error) {
	sides := [2]side{}
	for i, n := range []int{a, b} {
		var err error
		if sides[i], err = d.side(ctx, store, name, n); err != nil {
			return Diff{}, err
		}
	}
	return compareSides(sides[0], sides[1]), nil
}

func (d *desk) side(ctx context.Context, store artifact.Store, name string, version int) (side, error) {
	var s side
	var err error
	var done *events.RunCompleted
	d.ledger.view(func(c *Catalog, _ *Fleet) {
		var m Model
		if m, err = knownModel(c, name); err != nil {
			return
		}
		if s.version, err = known(c, m.Key, version); err == nil {
			run, _ := c.RunOf(m.Key, s.version.RunID)
			done = run.Completed
		}
	})
	if err != nil {
		return side{}, err
	}
	s.params, s.metrics = map[string]string{}, map[string]string{}
	if done != nil {
		maps.Copy(s.params, done.Params)
		for k, v := range done.Metrics {
			s.metrics[k] = number(v)
		}
	} else if err := d.tracked(ctx, &s); err != nil {
		return side{}, err
	}
	if g := s.version.Gate; g != nil { // the registry's figures come before the run's own words
		for k, v := range g.Metrics {
			s.metrics[k] = number(v)
		}
	}
	s.inputs, s.noInputs, err = inputsOf(ctx, store, s.version)
	return s, err
}

// tracked reads what a client logged of the run of a version that no run.completed tells of.
func (d *desk) tracked(ctx context.Context, s *side) error {
	if s.version.RunID == "" {
		return nil
	}
	subject, err := events.SubjectOf(events.TypeRunTracked, s.version.RunID)
	if err != nil {
		return nil // a client may name any run
	}
	latest := map[string]events.MetricPoint{}
	err = d.bus.Read(ctx, bus.ReadConfig{Stream: events.Tracking, Filters: []string{subject}}, func(m bus.Message) error {
		p, ok := m.Event.Payload.(*events.RunTracked)
		if m.Err != nil || !ok {
			return nil
		}
		for _, param := range p.Params {
			if _, written := s.params[param.Key]; !written {
				s.params[param.Key] = param.Value
			}
		}
		for _, point := range p.Metrics {
			if old, ok := latest[point.Key]; !ok || later(point, old) {
				latest[point.Key] = point
			}
		}
		return nil
	})
	for k, point := range latest {
		s.metrics[k] = number(float64(point.Value))
	}
	if err != nil {
		return faultOf(fmt.Errorf("read run %s: %w", s.version.RunID, err))
	}
	return nil
}

// later orders points as MLflow does: by step, timestamp and value.
func later(a, b events.MetricPoint) bool {
	switch {
	case a.Step != b.Step:
		return a.Step > b.Step
	case a.Timestamp != b.Timestamp:
		return a.Timestamp > b.Timestamp
	}
	return float64(a.Value) > float64(b.Value)
}

// inputsOf returns the columns that a version's bundle needs with their types, or why there are none to compare.
func inputsOf(ctx context.Context, store artifact.Store, v Version) (map[string]string, string, error) {
	if ok, why := v.Servable(); !ok {
		return nil, fmt.Sprintf("version %d %s: %s", v.Version, ErrUnservable, why), nil
	}
	if store == nil {
		return nil, "no artifact store to read bundles from", nil
	}
	data, err := artifact.ReadAll(ctx, store, artifact.Digest(v.Bundle.Digest), DefaultMaxBundle)
	if artifact.Transient(err) {
		return nil, "", fault.New(fault.Unavailable, "read bundle of version %d: %w", v.Version, err)
	}
	if err == nil {
		var b *model.Bundle
		if b, err = model.Decode(data); err == nil {
			return columnsOf(b.Manifest.Schema), "", nil
		}
	}
	return nil, fmt.Sprintf("version %d: %v", v.Version, err), nil
}

func columnsOf(c model.Columns) map[string]string {
	out := map[string]string{}
	for _, name := range c.Numeric {
		out[name] = "number"
	}
	for _, name := range c.Categorical {
		out[name] = "word"
	}
	return out
}

func compareSides(a, b side) Diff {
	d := Diff{
		Model: a.version.ModelName, A: a.version.Version, B: b.version.Version,
		Facts: differences(facts(a.version), facts(b.version)), Params: differences(a.params, b.params), Metrics: differences(a.metrics, b.metrics),
		Gates: differences(gateFacts(a.version.Gate), gateFacts(b.version.Gate)), Artifacts: differences(digests(a.version), digests(b.version)),
		Inputs: []Difference{},
	}
	var why []string
	for _, s := range []string{a.noInputs, b.noInputs} {
		if s != "" {
			why = append(why, s)
		}
	}
	if d.NoInputs = strings.Join(why, "; "); d.NoInputs == "" {
		d.Inputs = differences(a.inputs, b.inputs)
	}
	return d
}

func facts(v Version) map[string]string {
	out := map[string]string{}
	for name, value := range map[string]string{
		"run": v.RunID, "dataset": v.DatasetFingerprint, "git commit": v.GitCommit, "spec": v.SpecDigest, "source": v.Source, "format": v.Format,
		"not servable": v.Unservable, "bundle": v.Bundle.Digest,
	} {
		if value != "" {
			out[name] = value
		}
	}
	return out
}

func gateFacts(g *events.ModelGated) map[string]string {
	out := map[string]string{}
	if g == nil {
		return out
	}
	out["verdict"] = fmt.Sprintf("%s (%s)", g.Verdict, g.Reason)
	for _, r := range g.Rules {
		text := "missing"
		if r.Value != nil {
			text = number(*r.Value)
		}
		if r.Against != nil {
			text += " against " + number(*r.Against)
		}
		out[r.Rule] = text + map[bool]string{true: ", holds", false: ", fails"}[r.Passed]
	}
	return out
}

func digests(v Version) map[string]string {
	out := map[string]string{}
	for _, a := range v.Artifacts {
		out[a.Name] = a.Digest
	}
	return out
}

// differences returns the names whose values differ, sorted.
func differences(a, b map[string]string) []Difference {
	names := map[string]bool{}
	for k := range a {
		names[k] = true
	}
	for k := range b {
		names[k] = true
	}
	out := []Difference{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		x, inA := a[name]
		y, inB := b[name]
		if inA && inB && x == y {
			continue
		}
		d := Difference{Name: name}
		if inA {
			d.A = &x
		}
		if inB {
			d.B = &y
		}
		out = append(out, d)
	}
	return out
}
