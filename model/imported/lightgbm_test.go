package imported_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dmitryikh/leaves"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/imported"
)

// customers is a model written by hand as LightGBM writes one that was trained on a DataFrame: a number, two columns of pandas' type category,
// whose codes are in the order of pandas_categorical, a whole number and a boolean.
const customers = `tree
version=v3
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=4
objective=binary sigmoid:1.5
feature_names=monthly_charges plan tenure region paperless
feature_infos=[18.25:118.75] 0:1:2:3 [0:72] 0:1:2:3:4 [0:1]
tree_sizes=500 501

Tree=0
num_leaves=5
num_cat=2
split_feature=1 0 3 2
split_gain=10 8 6 4
threshold=0 70.349999999999994 1 12.500000000000002
decision_type=9 10 9 8
left_child=1 -1 -3 -4
right_child=2 -2 3 -5
leaf_value=0.3 -0.25 0.6 -0.7 0.1
leaf_weight=1 1 1 1 1
leaf_count=20 20 20 20 20
internal_value=0 0 0 0
internal_weight=0 0 0 0
internal_count=100 40 60 40
cat_boundaries=0 1 2
cat_threshold=5 18
is_linear=0
shrinkage=1


Tree=1
num_leaves=3
num_cat=0
split_feature=4 0
split_gain=3 2
threshold=0.50000000000000011 30.125
decision_type=2 10
left_child=1 -1
right_child=-2 -3
leaf_value=-0.4 0.45 0.2
leaf_weight=1 1 1
leaf_count=30 40 30
internal_value=0 0
internal_weight=0 0
internal_count=100 60
is_linear=0
shrinkage=0.1


end of trees

feature_importances:
monthly_charges=2

parameters:
[boosting: gbdt]
[objective: binary]
[categorical_feature: 1,3]
end of parameters

pandas_categorical:[["Fiber", "DSL", "No"], [10, 2, 30, 4, 5]]
`

// lightGBM is the folder of a LightGBM model with a signature and an example.
func lightGBM(model, inputs, example string) files {
	return files{
		"model.lgb": model, "input_example.json": example, "conda.yaml": "{}",
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
mlflow_version: 3.1.0
saved_input_example_info:
  artifact_path: input_example.json
  pandas_orient: split
  serving_input_path: serving_input_example.json
  type: dataframe
signature:
  inputs: '` + inputs + `'
  outputs: '[{"type": "double", "required": true}]'
  params: null
`}
}

// customersFolder is the folder of customers. The line of its signature is folded as PyYAML folds long ones.
func customersFolder() files {
	return lightGBM(customers, `[{"type": "long", "name": "tenure", "required": true}, {"type":
    "double", "name": "monthly charges", "required": true}, {"type": "string", "name": "plan",
    "required": false}, {"type": "long", "name": "region", "required": true}, {"type": "boolean",
    "name": "paperless", "required": true}]`,
		`{"columns": ["tenure", "monthly charges", "plan", "region", "paperless"],
		"data": [[1, 70.35, "Fiber", 10, true], [40, NaN, "No", 4, false], [NaN, 20.0, null, 7, false]]}`)
}

func TestLightGBMScoresAreTheReaders(t *testing.T) {
	b, info := bundleOf(t, customersFolder().source())
	require.Equal(t, imported.FormatLightGBM, info.Format)
	require.Equal(t, []string{"Fiber", "DSL", "No"}, info.Columns[2].Categories)
	require.Equal(t, []string{"10", "2", "30", "4", "5"}, info.Columns[3].Categories)
	require.Equal(t, []string{"monthly_charges", "plan", "tenure", "region", "paperless"}, b.Pipeline.Names())
	var written strings.Builder
	require.NoError(t, b.Trees.WriteText(&written))
	require.Equal(t, customers, written.String(), "the trees travel as they were logged")

	reader, err := leaves.LGEnsembleFromReader(bufio.NewReader(strings.NewReader(customers)), false)
	require.NoError(t, err)
	reader = reader.EnsembleWithRawPredictions()
	plans, regions := []any{"Fiber", "DSL", "No", nil, "5G"}, []any{10, 2, 30, 4, 5, nil, 11}
	code := func(i, known int) float64 {
		if i < known {
			return float64(i)
		}
		return math.NaN()
	}
	seen := map[float64]bool{}
	for plan := range plans {
		for region := range regions {
			for _, charges := range []any{18.25, 30.125, 30.126, 70.35, 70.351, nil} {
				for _, tenure := range []any{0, 12, 13, nil} {
					for paperless, word := range []bool{false, true} {
						record, err := json.Marshal(map[string]any{
							"monthly charges": charges, "plan": plans[plan], "tenure": tenure, "region": regions[region], "paperless": word})
						require.NoError(t, err)
						x := []float64{number(charges), code(plan, 3), number(tenure), code(region, 5), float64(paperless)}
						margin := reader.PredictSingle(x, 0)
						p := score(t, b, string(record))
						require.InDelta(t, margin, p.Margin, 1e-12, "%s", record)
						require.InDelta(t, 1/(1+math.Exp(-1.5*margin)), p.Probability, 1e-9, "%s", record)
						seen[p.Margin] = true
					}
				}
			}
		}
	}
	require.Len(t, seen, 14, "every pair of leaves that a record can reach: of two, one wants little charged and one much")
}

// number returns a JSON number's value, NaN for null.
func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case int:
		return float64(v)
	}
	return math.NaN()
}

// leavesFile returns a file of the test data of the module leaves, which LightGBM made, where the module cache has them.
func leavesFile(t *testing.T, name string) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/dmitryikh/leaves").Output()
	if err != nil {
		t.Skipf("where the module leaves is can't be asked: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "testdata", name))
	if err != nil {
		t.Skipf("the module leaves has no such test data here: %v", err)
	}
	return string(data)
}

// TestLightGBMOfAnArray takes a model whose features have no names: they are the signature's columns in their order. The predictions are
// LightGBM's own.
func TestLightGBMOfAnArray(t *testing.T) {
	model := leavesFile(t, "lg_dart_breast_cancer.model")
	want := strings.Fields(leavesFile(t, "lg_dart_breast_cancer_true_predictions.txt"))
	var inputs, names []string
	for i := range 30 {
		inputs = append(inputs, fmt.Sprintf(`{"type": "double", "name": "measure %d", "required": true}`, i))
		names = append(names, fmt.Sprintf("measure %d", i))
	}
	var rows []string
	for line := range strings.Lines(leavesFile(t, "breast_cancer_test.tsv")) {
		rows = append(rows, "["+strings.Join(strings.Fields(line), ",")+"]")
	}
	require.Len(t, rows, len(want))
	b, info := bundleOf(t, lightGBM(model, "["+strings.Join(inputs, ", ")+"]", `{"data": [`+strings.Join(rows[:5], ",")+`]}`).source())
	require.Equal(t, 5, info.Examples)
	for i, row := range rows {
		var values []json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(row), &values))
		record := map[string]json.RawMessage{}
		for k, v := range values {
			record[names[k]] = v
		}
		text, err := json.Marshal(record)
		require.NoError(t, err)
		p, err := strconv.ParseFloat(want[i], 64)
		require.NoError(t, err)
		require.InDelta(t, p, score(t, b, string(text)).Probability, 1e-9, "row %d", i)
	}
}
