package mlflow

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/registry/fault"
)

// stump is a LightGBM model of one tree: below a half of x the first value, above it the second.
const stump = `tree
version=v3
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=0
objective=binary sigmoid:1
feature_names=x
feature_infos=[0:1]
tree_sizes=300

Tree=0
num_leaves=2
num_cat=0
split_feature=0
split_gain=1
threshold=%g
decision_type=2
left_child=-1
right_child=-2
leaf_value=%g %g
leaf_weight=1 1
leaf_count=1 1
internal_value=0
internal_weight=0
internal_count=2
is_linear=0
shrinkage=1


end of trees

feature_importances:
x=1

parameters:
[boosting: gbdt]
[objective: binary]
end of parameters

pandas_categorical:null
`

// stumpFiles is the folder of a stump with its signature and example, as mlflow.lightgbm writes it.
func stumpFiles(threshold, below, above float64) map[string]string {
	return map[string]string{
		"model.lgb":          fmt.Sprintf(stump, threshold, below, above),
		"input_example.json": `{"columns": ["x"], "data": [[0.25], [0.75]]}`,
		"MLmodel": `artifact_path: model
flavors:
  lightgbm:
    code: null
    data: model.lgb
    lgb_version: 4.3.0
    model_class: lightgbm.basic.Booster
  python_function:
    data: model.lgb
    loader_module: mlflow.lightgbm
mlflow_version: 2.9.2
saved_input_example_info:
  artifact_path: input_example.json
  pandas_orient: split
  type: dataframe
signature:
  inputs: '[{"type": "double", "name": "x", "required": true}]'
  outputs: '[{"type": "double", "required": true}]'
  params: null
`,
	}
}

// holdout has forty rows; the label is true where x is above a half.
func holdout() string {
	var b strings.Builder
	b.WriteString("x,left\n")
	for i := range 40 {
		fmt.Fprintf(&b, "%g,%s\n", float64(i)/40+0.01, map[bool]string{false: "no", true: "yes"}[i >= 20])
	}
	return b.String()
}

// logFiles makes a run with files, finishes it and returns its id.
func (s *running) logFiles(files map[string]string) string {
	s.t.Helper()
	id := s.newRun("0")
	for path, content := range files {
		s.call("PUT", proxy+"0/"+id+"/artifacts/"+path, content)
	}
	s.call("POST", api20+"runs/update", fields{"run_id": id, "status": "FINISHED", "end_time": 1700000009000})
	return id
}

// registerStump logs a stump below model and, if asked, a holdout at the top of the run, and registers it. The run claims a ROC-AUC of 0.9.
func (s *running) registerStump(name string, files map[string]string, withHoldout bool) string {
	s.t.Helper()
	all := map[string]string{}
	for path, content := range files {
		all["model/"+path] = content
	}
	if withHoldout {
		all["holdout.csv"] = holdout()
	}
	id := s.logFiles(all)
	s.call("POST", api20+"runs/log-metric", fields{"run_id": id, "key": "roc_auc", "value": 0.9, "timestamp": 1700000000000})
	answer := s.call("POST", versions20+"create", fields{
		"name": name, "source": "mlflow-artifacts:/0/" + id + "/artifacts/model", "run_id": id,
	})
	return answer["model_version"].(fields)["version"].(string)
}

// gatedPair makes a model with gates, of which version 1 is Production and version 2 in Staging.
func (s *running) gatedPair(name string) {
	s.t.Helper()
	s.newModel(name)
	s.call("PUT", "/api/v1/models/"+name+"/gates", gates)
	for n := 1; n <= 2; n++ {
		version := s.registerStump(name, stumpFiles(0.5, -1, float64(n)), true)
		s.judged(name, version)
	}
	s.call("POST", versions20+"transition-stage", fields{"name": name, "version": "1", "stage": "Production"})
}

const gates = `{"staging": [{"metric": "roc_auc", "min": 0.75}], "production": {"metric": "roc_auc"}, "promotion": "manual",
	"target": "left", "positive": "yes", "signature": "compatible"}`

// judged waits until the audit of a model holds a verdict on a version.
func (s *running) judged(name, version string) string {
	s.t.Helper()
	var verdict string
	bustest.Eventually(s.t, func() bool {
		for _, ch := range s.call("GET", "/api/v1/models/"+name+"/audit", nil)["changes"].([]any) {
			f := ch.(fields)
			if f["event"] == "model.gated.v1" && fmt.Sprint(f["version"]) == version {
				verdict = f["summary"].(string)
				return true
			}
		}
		return false
	}, "a verdict on version "+version)
	return verdict
}

func TestAGatedModelTakesWhatPasses(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	s.newModel("left")
	none := s.call("GET", "/api/v1/models/left/gates", nil)
	require.Equal(t, fields{"model": "left", "gated": false}, none)
	set := s.call("PUT", "/api/v1/models/left/gates", gates)
	var want any
	require.NoError(t, json.Unmarshal([]byte(gates), &want))
	require.Equal(t, fields{"model": "left", "gated": true, "from": "model", "gates": want}, set)

	for body, want := range map[string]string{
		`{"stagin": []}`: "stagin", `{"staging": [{"metric": "roc_auc", "minimum": 0.9}]}`: "minimum", `{"staging": [{"metric": "roc_auc"}]}`: "min",
		gates + `{}`: "JSON", `[]`: "object", `null`: "object", `{"production": {"metrics": "roc_auc"}}`: "metrics", `{"promotion": 1}`: "promotion",
	} {
		status, out := s.do("PUT", "/api/v1/models/left/gates", body)
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Contains(t, string(out), want, body)
	}
	require.Equal(t, set, s.call("GET", "/api/v1/models/left/gates", nil), "what is refused takes no gate away")

	good, bad := stumpFiles(0.5, -1, 1), stumpFiles(0.5, 1, -1)
	require.Equal(t, "1", s.registerStump("left", good, true))
	require.Contains(t, s.judged("left", "1"), "version 1")
	require.Equal(t, "2", s.registerStump("left", bad, true))
	require.Contains(t, s.judged("left", "2"), "rejected")

	move := func(version string, more ...any) fields {
		f := fields{"name": "left", "version": version, "stage": "Production", "archive_existing_versions": true}
		for i := 0; i < len(more); i += 2 {
			f[more[i].(string)] = more[i+1]
		}
		return f
	}
	status, body := s.do("POST", versions20+"transition-stage", move("2"))
	require.Equal(t, http.StatusBadRequest, status, "%s", body)
	for _, part := range []string{string(fault.Invalid), "roc_auc", "0.75", "0"} {
		require.Contains(t, string(body), part, "the failed gate and both values")
	}
	s.refused("POST", versions20+"transition-stage", move("2", "override", true), 400, string(fault.Invalid))

	s.call("POST", versions20+"transition-stage", move("1", "expected_version", 0, "reason", "the first"))
	v := s.call("GET", models20+"alias?name=left&alias=champion", nil)["model_version"].(fields)
	require.Equal(t, []any{"1", "Production"}, []any{v["version"], v["current_stage"]}, "the alias moved in the same write")

	s.refused("POST", versions20+"transition-stage", move("2", "expected_version", 0, "override", true, "reason", "r"), 409, string(fault.Conflict))
	_, body = s.do("POST", versions20+"transition-stage", move("2", "expected_version", "0", "override", true, "reason", "r"))
	require.Contains(t, string(body), "version 1", "a conflict names what is there")
	s.call("POST", versions20+"transition-stage", move("2", "expected_version", 1, "override", true, "reason", "an exercise"))
	require.Equal(t, map[string]string{"1": "Archived", "2": "Production"}, s.stages("left"))

	back := s.call("POST", "/api/v1/models/left/rollback", fields{"version": 1, "expected_version": 2, "reason": "enough"})["promotion"].(fields)
	require.Equal(t, []any{1.0, 2.0, "rollback", "enough", "anonymous"},
		[]any{back["version"], back["previous_version"], back["cause"], back["reason"], back["actor"]})
	require.Equal(t, map[string]string{"1": "Production", "2": "Archived"}, s.stages("left"))
	s.refused("POST", "/api/v1/models/left/rollback", fields{"version": 2}, 400, string(fault.Invalid))

	history := s.call("GET", "/api/v1/models/left/history", nil)
	require.Len(t, history["promotions"], 3)
	second := history["promotions"].([]any)[1].(fields)
	require.Equal(t, []any{2.0, true, "an exercise"}, []any{second["version"], second["override"], second["reason"]})
	at := s.call("GET", "/api/v1/models/left/history"+query("at", second["at"].(string)), nil)
	require.Equal(t, "2", at["production"].(fields)["version"], "in Production at that time")
	require.Len(t, at["promotions"], 2)

	gone := s.call("POST", "/api/v1/models/left/withdraw", fields{"expected_version": "1", "reason": "the end"})["promotion"].(fields)
	require.Equal(t, []any{0.0, "withdrawn"}, []any{gone["version"], gone["cause"]})
	require.Nil(t, s.call("GET", "/api/v1/models/left/history", nil)["production"])
	s.refused("POST", "/api/v1/models/left/withdraw", fields{}, 400, string(fault.Invalid))
}

func TestVersionsThatCanNotBeCompared(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	s.newModel("left")
	s.call("PUT", "/api/v1/models/left/gates", strings.Replace(gates, "manual", "auto", 1))
	move := func(version string, more fields) (int, string) {
		in := fields{"name": "left", "version": version, "stage": "Production"}
		for k, v := range more {
			in[k] = v
		}
		status, body := s.do("POST", versions20+"transition-stage", in)
		return status, string(body)
	}

	good := stumpFiles(0.5, -1, 1)
	require.Equal(t, "1", s.registerStump("left", good, false))
	require.Contains(t, s.judged("left", "1"), "staged, no_comparable_holdout")
	require.Equal(t, map[string]string{"1": "Staging"}, s.stages("left"), "without a holdout nothing is promoted by itself")
	status, body := move("1", nil)
	require.Equal(t, http.StatusOK, status, "but a person may: %s", body)

	beside := stumpFiles(0.5, -1, 1)
	beside["holdout.csv"] = holdout()
	require.Equal(t, "2", s.registerStump("left", beside, false))
	require.Contains(t, s.judged("left", "2"), "not_better", "the same model is not better; its holdout lies beside it")
	status, body = move("2", nil)
	require.Equal(t, http.StatusBadRequest, status, body)
	require.Contains(t, body, "roc_auc")

	require.Equal(t, "3", s.registerStump("left", map[string]string{"MLmodel": "flavors: {}\n", "weights": "?"}, true))
	s.judged("left", "3")
	for _, more := range []fields{nil, {"override": true, "reason": "I say so"}} {
		status, body = move("3", more)
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Contains(t, body, string(fault.Invalid))
	}
	require.Contains(t, body, "can't be served", "and nothing goes past that")
	require.Equal(t, "Production", s.stages("left")["1"])
}
