package events_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

func compile(t testing.TB, raw []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("mem:schema.json", doc))
	s, err := c.Compile("mem:schema.json")
	require.NoError(t, err)
	return s
}

func check(t testing.TB, s *jsonschema.Schema, data []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	require.NoError(t, err, "%s", data)
	return s.Validate(v)
}

// replacements are the values that a field of a type is set to, one after the other.
func replacements(typ reflect.Type, enums map[string][]string) []any {
	all := []any{reflect.Zero(typ).Interface()}
	switch typ {
	case reflect.TypeFor[time.Time]():
		return append(all, noon)
	case reflect.TypeFor[json.RawMessage]():
		return append(all, json.RawMessage(`[]`), json.RawMessage(`"x"`), json.RawMessage(`{}`))
	}
	switch typ.Kind() {
	case reflect.String:
		all = append(all, "bogus", "..", "/etc", "a..b", "a/../b", "a/b", "a/", "a//b", "./a", ".hidden", "@daily", "0 2 * * 1", digest+"0", "{}",
			events.StageActive, events.LoggedModelReady)
		for _, v := range enums[typ.Name()] {
			all = append(all, v)
		}
	case reflect.Float64:
		if typ == reflect.TypeFor[events.Number]() {
			all = append(all, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64)
		}
		all = append(all, -0.5, 0.5, 1.0, 1.0000001, 1e300)
	case reflect.Int, reflect.Int64:
		all = append(all, -1, 1, 1<<53-1, 1<<53)
	case reflect.Uint64:
		all = append(all, 1, uint64(1<<64-1))
	case reflect.Bool:
		all = append(all, true)
	case reflect.Slice:
		all = append(all, reflect.MakeSlice(typ, 0, 0).Interface())
	}
	return all
}

// A payload with one field changed is valid in Go exactly if what it is written as is valid under the schema.
func TestSchemasAgreeWithValidate(t *testing.T) {
	enums := constants(t)
	for _, k := range events.Kinds() {
		t.Run(string(k.Type), func(t *testing.T) {
			s := compile(t, events.Schema(k.Type))
			valid, invalid := 0, 0
			for i, spot := range spots(sample(t, k.Type)) {
				for _, value := range replacements(spot.typ, enums) {
					p := sample(t, k.Type)
					spots(p)[i].set(reflect.ValueOf(value))
					data, err := json.Marshal(p)
					require.NoError(t, err)
					goErr, schemaErr := p.Validate(), check(t, s, data)
					require.Equal(t, goErr == nil, schemaErr == nil, "%s = %#v\nGo: %v\nschema: %v\n%s", spot.path, value, goErr, schemaErr, data)
					if goErr == nil {
						valid++
					} else {
						invalid++
					}
				}
			}
			require.Positive(t, valid)
			require.Positive(t, invalid)
		})
	}
}

// Payloads that need more than one field changed.
func TestSchemasAgreeOnCombinations(t *testing.T) {
	for _, tt := range []struct {
		name    string
		payload events.Payload
		valid   bool
	}{
		{"nothing but what is required", &events.RetrainRequested{}, true},
		{"withdrawn", &events.ModelPromoted{Cause: events.PromotionWithdrawn, PreviousVersion: 3, PreviousSequence: 8}, true},
		{"repair of no Production", &events.ModelPromoted{Cause: events.PromotionRepair}, true},
		{"version 0 by the gate", &events.ModelPromoted{Cause: events.PromotedByGate}, false},
		{"version 0 with half a bundle", &events.ModelPromoted{Cause: events.PromotionWithdrawn, Bundle: events.Artifact{Name: "x"}}, false},
		{"withdrawn with a version", &events.ModelPromoted{Version: 1, RunID: "r", Bundle: bundle(), Cause: events.PromotionWithdrawn}, false},
		{"gate", &events.ModelPromoted{Version: 1, RunID: "r", Bundle: bundle(), Cause: events.PromotedByGate}, true},
		{"no bundle", &events.ModelPromoted{Version: 1, RunID: "r", Cause: events.PromotedByGate}, false},
		{"no run", &events.ModelPromoted{Version: 1, Bundle: bundle(), Cause: events.PromotedManually, Ungated: true}, true},
		{"unservable", &events.ModelPromoted{Version: 1, Unservable: "a pickle", Cause: events.PromotedManually, Ungated: true}, true},
		{"unservable with a bundle", &events.ModelPromoted{Version: 1, Bundle: bundle(), Unservable: "a pickle", Cause: events.PromotedManually}, false},
		{"demoted to nowhere", &events.ModelPromoted{Cause: events.PromotionWithdrawn, Demoted: 3}, false},
		{"demoted to Staging", &events.ModelPromoted{Cause: events.PromotionWithdrawn, Demoted: 3, DemotedTo: events.StageStaging}, true},
		{"demoted to Production", &events.ModelPromoted{Cause: events.PromotionWithdrawn, Demoted: 3, DemotedTo: events.StageProduction}, false},
		{"an override that says why", &events.ModelPromoted{Version: 1, Bundle: bundle(), Cause: events.PromotedManually, Override: true, Reason: "asked"}, true},
		{"an override that does not", &events.ModelPromoted{Version: 1, Bundle: bundle(), Cause: events.PromotedManually, Override: true}, false},
		{"a client's version", &events.ModelRegistered{Version: 1, Source: "s3://b/m", Bundle: bundle()}, true},
		{"a client's version that none can serve", &events.ModelRegistered{Version: 1, Source: "s3://b/m", Unservable: "a pickle"}, true},
		{"a version from nowhere", &events.ModelRegistered{Version: 1, Unservable: "a pickle", TargetStage: events.StageStaging}, false},
		{"a run's version without a target", &events.ModelRegistered{Version: 1, RunID: "r", Bundle: bundle()}, false},
		{"a version without bundle or reason", &events.ModelRegistered{Version: 1, Source: "s3://b/m"}, false},
		{"an empty file", &events.ArtifactStored{Path: "1/a", Digest: digest}, true},
		{"a file that is gone", &events.ArtifactStored{Path: "1/a", Removed: true}, true},
		{"a file that a collection took", &events.ArtifactStored{Path: "1/a", Removed: true, Through: 7}, true},
		{"a file that a collection stored", &events.ArtifactStored{Path: "1/a", Digest: digest, Through: 7}, false},
		{"a file that is gone and there", &events.ArtifactStored{Path: "1/a", Removed: true, Digest: digest}, false},
		{"a file that is gone and has a length", &events.ArtifactStored{Path: "1/a", Removed: true, SizeBytes: 1}, false},
		{"a model", &events.ModelChanged{Change: events.ChangeCreate, Tags: pairs()}, true},
		{"a model with a version", &events.ModelChanged{Change: events.ChangeCreate, Version: 1}, false},
		{"a new name", &events.ModelChanged{Change: events.ChangeRename, Value: "x"}, true},
		{"no new name", &events.ModelChanged{Change: events.ChangeRename}, false},
		{"gates", &events.ModelChanged{Change: events.ChangeGates, Value: `{"rules":[]}`}, true},
		{"gates of a version", &events.ModelChanged{Change: events.ChangeGates, Value: `{"rules":[]}`, Version: 1}, false},
		{"gates as a list", &events.ModelChanged{Change: events.ChangeGates, Value: `[]`}, false},
		{"gates taken away", &events.ModelChanged{Change: events.ChangeGates, Remove: true}, true},
		{"a stage", &events.ModelChanged{Change: events.ChangeStage, Version: 1, Value: "Archived"}, true},
		{"a stage of no version", &events.ModelChanged{Change: events.ChangeStage, Value: "Archived"}, false},
		{"Production without a promotion", &events.ModelChanged{Change: events.ChangeStage, Version: 1, Value: "Production"}, false},
		{"a tag of a trainer's run", &events.RunTracked{RunID: "r", Tags: pairs()}, true},
		{"refuted by hand", &events.ModelPromoted{Version: 1, RunID: "r", Bundle: bundle(), Cause: events.PromotedManually, Refuted: true}, false},
		{"an alias without a name", &events.ModelChanged{Change: events.ChangeAlias, Version: 1}, false},
		{"a description", &events.ModelChanged{Change: events.ChangeDescription, Value: "x"}, true},
		{"a label that names nobody", &events.LabelObserved{Outcome: "Yes"}, false},
		{"a label of an entity", &events.LabelObserved{Outcome: "Yes", EntityID: "7"}, true},
		{"a label of a prediction", &events.LabelObserved{Outcome: "Yes", PredictionID: "p"}, true},
		{"a rollout without what may be absent", rollout(func(p *events.RolloutChanged) { p.Evidence, p.Reason, p.Override = nil, "", false }), true},
		{"a canary without a plan", rollout(func(p *events.RolloutChanged) { p.Plan = nil }), false},
		{"a canary that is over", rollout(func(p *events.RolloutChanged) {
			p.State, p.Share, p.Bundle = events.RolloutAborted, 0, events.Artifact{}
		}), true},
		{"a canary of nobody", rollout(func(p *events.RolloutChanged) { p.Share = 0 }), false},
		{"a canary without a bundle", rollout(func(p *events.RolloutChanged) { p.Bundle = events.Artifact{} }), false},
		{"a canary beside nothing", rollout(func(p *events.RolloutChanged) { p.Production = 0 }), false},
		{"a shadow", rollout(func(p *events.RolloutChanged) { p.Mode, p.Plan, p.Share = events.RolloutShadow, nil, 0 }), true},
		{"a shadow that answers", rollout(func(p *events.RolloutChanged) { p.Mode, p.Plan = events.RolloutShadow, nil }), false},
		{"a shadow with a plan", rollout(func(p *events.RolloutChanged) { p.Mode, p.Share = events.RolloutShadow, 0 }), false},
		{"the watch of a first Production", rollout(func(p *events.RolloutChanged) {
			p.Mode, p.State, p.Plan, p.Production, p.Share = events.RolloutDirect, events.RolloutCompleted, nil, 0, 1
		}), true},
		{"a watch that is written while it runs", rollout(func(p *events.RolloutChanged) { p.Mode = events.RolloutDirect }), false},
		{"a shadow that has seen nothing", &events.ShadowEvaluated{Revision: 1, Version: 2, Production: 1}, true},
		{"an instance that has counted nothing", &events.ServingMeasured{Serving: events.Serving{Instance: "a", Boot: "b"}}, true},
		{"an answer of Production", &events.PredictionMade{PredictionID: "p", Version: 1, Record: []byte("{}")}, true},
		{"an answer of Production that says so", &events.PredictionMade{PredictionID: "p", Version: 1, Record: []byte("{}"), Arm: events.ArmProduction}, false},
		{"a file by its name", &events.ScoreRequested{JobID: "j", Input: "a.csv", Output: "b.csv"}, true},
		{"an instance without a model", &events.InstanceAlive{Serving: events.Serving{Instance: "a", Boot: "b"}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := json.Marshal(tt.payload)
			require.NoError(t, err)
			goErr, schemaErr := tt.payload.Validate(), check(t, compile(t, events.Schema(tt.payload.EventType())), data)
			require.Equal(t, tt.valid, goErr == nil, "Go: %v", goErr)
			require.Equal(t, tt.valid, schemaErr == nil, "schema: %v", schemaErr)
		})
	}
}

// rollout returns a canary after a change.
func rollout(change func(*events.RolloutChanged)) *events.RolloutChanged {
	p := &events.RolloutChanged{Revision: 1, State: events.RolloutRunning, Mode: events.RolloutCanary, Version: 2, Bundle: bundle(), Production: 1,
		PromotionSequence: 5, Share: 0.05, Plan: []float64{0.05, 1}, Cause: events.RolloutByGate, Evidence: evidence(), Reason: "asked", Override: true}
	change(p)
	return p
}

// The other direction: any JSON that a schema takes, Decode reads. Each value of each sample is removed, or replaced by values of every JSON type.
func TestDecodeReadsWhatTheSchemasTake(t *testing.T) {
	for _, k := range events.Kinds() {
		t.Run(string(k.Type), func(t *testing.T) {
			raw, err := json.Marshal(sample(t, k.Type))
			require.NoError(t, err)
			s, subject := compile(t, events.Schema(k.Type)), k.Prefix()+".m"
			refused := 0
			for _, data := range variants(t, raw) {
				_, err := events.Decode(subject, nil, data)
				if check(t, s, data) == nil {
					require.NoError(t, err, "%s", data)
				} else {
					refused++
				}
			}
			require.Positive(t, refused)
			for _, f := range jsonFields(t, reflect.TypeOf(k.New()).Elem()) {
				var doc node
				require.NoError(t, json.Unmarshal(raw, &doc))
				delete(doc, f.name)
				without, err := json.Marshal(doc)
				require.NoError(t, err)
				if !f.optional {
					require.Error(t, check(t, s, without), "without %s", f.name)
				}
			}
		})
	}
}

// variants returns the document with each value of it, itself included, removed or replaced.
func variants(t *testing.T, raw []byte) [][]byte {
	t.Helper()
	var doc any
	require.NoError(t, json.Unmarshal(raw, &doc))
	var all [][]byte
	emit := func() {
		data, err := json.Marshal(doc)
		require.NoError(t, err)
		all = append(all, data)
	}
	replace := func(old any, set func(any)) {
		for _, v := range []any{nil, true, "", "bogus", -1, 1.5, 1e30, []any{}, []any{nil}, node{}, node{"a": nil}, node{"a": "b"}} {
			set(v)
			emit()
		}
		set(old)
	}
	var walk func(v any, set func(any))
	walk = func(v any, set func(any)) {
		replace(v, set)
		switch v := v.(type) {
		case node:
			for key, item := range v {
				delete(v, key)
				emit()
				v[key] = item
				walk(item, func(x any) { v[key] = x })
			}
			v["a field of a later version"] = node{}
			emit()
			delete(v, "a field of a later version")
		case []any:
			for i, item := range v {
				walk(item, func(x any) { v[i] = x })
			}
		}
	}
	walk(doc, func(x any) { doc = x })
	return all
}

func TestDeadLetterSchema(t *testing.T) {
	s := compile(t, events.DeadLetterSchema())
	full := deadLetter()
	bare := &events.DeadLetter{}
	headless := deadLetter()
	headless.Header = map[string][]string{"x": nil}
	for i, d := range []*events.DeadLetter{full, bare, headless} {
		data, err := json.Marshal(d)
		require.NoError(t, err)
		require.NoError(t, check(t, s, data), "%d: %s", i, data)
	}
	data, err := json.Marshal(full)
	require.NoError(t, err)
	refused := 0
	for _, v := range variants(t, data) {
		var d events.DeadLetter
		if check(t, s, v) != nil {
			refused++
		} else if err := json.Unmarshal(v, &d); err != nil {
			require.ErrorContains(t, err, "base64", "%s", v) // contentEncoding is a note in draft 2020-12, no rule
		}
	}
	require.Greater(t, refused, 50)
}

// The rules that a schema cannot say.
func TestGatesAreJSON(t *testing.T) {
	p := &events.ModelChanged{Change: events.ChangeGates, Value: `{"rules":`}
	require.ErrorContains(t, p.Validate(), "value must be a JSON object")
}

func TestPlansAscendToTheWhole(t *testing.T) {
	p := sample(t, events.TypeRolloutChanged).(*events.RolloutChanged)
	p.Plan = []float64{0.25, 0.25, 1}
	require.ErrorContains(t, p.Validate(), "plan[1] must be over plan[0]")
	p.Plan = []float64{0.05, 0.25}
	require.ErrorContains(t, p.Validate(), "plan[1], the last one, must be 1, is 0.25")
}

func TestArtifactNamesAreUnique(t *testing.T) {
	p := sample(t, events.TypeRunCompleted).(*events.RunCompleted)
	p.Artifacts = slices.Repeat(p.Artifacts[:1], 2)
	require.ErrorContains(t, p.Validate(), fmt.Sprintf("artifacts[1].name %q stands twice", events.ArtifactBundle))
}
