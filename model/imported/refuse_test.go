package imported_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/imported"
)

// schemaFolder is a bare model with a schema.json.
func schemaFolder(t testing.TB) files {
	return files{"model.json": folder(t, "xgboost/categories")["model.json"], "schema.json": `{
	"inputs": [
		{"name": "monthly", "type": "double"},
		{"name": "plan", "type": "string", "categories": ["Fiber optic", "DSL", "None at all", "10 Mbit"]},
		{"name": "tenure months", "type": "long"},
		{"name": "paperless", "type": "boolean"},
		{"name": "region", "type": "long", "categories": [` + list(100, 130) + `]},
		{"name": "usage", "type": "double", "required": false}
	],
	"threshold": 0.42, "target": "left", "positive": "yes",
	"example": [{"monthly": NaN, "plan": "DSL", "tenure months": 3, "paperless": true, "region": 107}]
}`}
}

// list writes the whole numbers from low to high - 1 with commas.
func list(low, high int) string {
	var out strings.Builder
	for i := low; i < high; i++ {
		if i > low {
			out.WriteByte(',')
		}
		out.WriteString(strconv.Itoa(i))
	}
	return out.String()
}

func TestBareModelWithSchema(t *testing.T) {
	b, info := bundleOf(t, schemaFolder(t).source())
	require.Equal(t, imported.FormatXGBoost, info.Format)
	require.Equal(t, 0.42, info.Threshold)
	require.Equal(t, "left", b.Schema.Target())
	require.Equal(t, "yes", b.Schema.Positive())
	s := scoresOf(t, "categories")
	for i, record := range s.Records {
		require.InDelta(t, s.Prediction[i], score(t, b, string(record)).Probability, 1e-6, "record %d", i)
	}
	text := schemaFolder(t).without("model.json")
	text["trees/customers"] = customers
	text["schema.json"] = `{"model": "trees/customers", "inputs": [{"name": "monthly_charges", "type": "double"}, {"name": "plan", "type": "string"},
		{"name": "tenure", "type": "float"}, {"name": "region", "type": "integer"}, {"name": "paperless", "type": "boolean"}]}`
	text["input_example.json"] = `{"monthly_charges": 20, "plan": "DSL", "tenure": 1.5, "region": 5, "paperless": false}`
	_, info = bundleOf(t, text.source())
	require.Equal(t, imported.FormatLightGBM, info.Format)
	require.Equal(t, 0.5, info.Threshold)
}

// golden returns the golden rows as a bundle writes them.
func golden(t testing.TB, b *model.Bundle) string {
	t.Helper()
	files, err := b.Files()
	require.NoError(t, err)
	for _, f := range files {
		if f.Name == model.GoldenFile {
			return string(f.Data)
		}
	}
	require.Fail(t, "no golden rows")
	return ""
}

// TestFormsOfExamples reads the same two rows in each form that MLflow writes.
func TestFormsOfExamples(t *testing.T) {
	split := `{"columns": ["tenure", "monthly charges", "plan", "region", "paperless"], "data": [[1, 70.35, "Fiber", 10, true], [40, null, "No", 4, false]]}`
	records := `[{"tenure": 1, "monthly charges": 70.35, "plan": "Fiber", "region": 10, "paperless": true},
		{"tenure": 40, "monthly charges": null, "plan": "No", "region": 4, "paperless": false}]`
	lists := `{"tenure": [1, 40], "monthly charges": [70.35, NaN], "plan": ["Fiber", "No"], "region": [10, 4], "paperless": [true, false]}`
	base := customersFolder().with(t, "input_example.json", customersFolder()["input_example.json"], split)
	want, _ := bundleOf(t, base.source())
	require.Len(t, want.Golden, 2)
	for _, test := range []struct{ name, example string }{
		{"index", strings.Replace(split, `{`, `{"index": [5, 6], `, 1)},
		{"values without columns", `{"data": [[1, 70.35, "Fiber", 10, true], [40, null, "No", 4, false]]}`},
		{"with params", `{"inputs": ` + split + `, "params": {"x": 1}}`},
		{"request of split", `{"dataframe_split": ` + split + `}`},
		{"request of records", `{"dataframe_records": ` + records + `}`},
		{"records", records},
		{"lists by column", lists},
		{"request of lists", `{"inputs": ` + lists + `}`},
		{"instances", `{"instances": ` + records + `}`},
		{"rows", `[[1, 70.35, "Fiber", 10, true], [40, null, "No", 4, false]]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _ := bundleOf(t, base.with(t, "input_example.json", split, test.example).source())
			require.Equal(t, golden(t, want), golden(t, got))
		})
	}
	other := base.without("input_example.json")
	other["serving_input_payload.json"] = `{"dataframe_split": ` + split + `}`
	got, _ := bundleOf(t, other.source())
	require.Equal(t, golden(t, want), golden(t, got))
}

func TestThreshold(t *testing.T) {
	s := customersFolder().source()
	s.Threshold = "0.25"
	b, _ := bundleOf(t, s)
	require.Equal(t, 0.25, b.Manifest.Threshold)
	s = customersFolder().with(t, "MLmodel", "mlflow_version:", "metadata:\n  threshold: 0.75\n  target: left\n  positive: Yes\nmlflow_version:").source()
	s.Threshold = "0.25"
	b, info := bundleOf(t, s)
	require.Equal(t, 0.75, info.Threshold)
	require.Equal(t, "left", b.Schema.Target())
	require.Equal(t, "No", b.Schema.Negative())
	s.Target, s.Positive = "tenure", ""
	_, _, err := imported.FromFiles(s)
	require.ErrorContains(t, err, `column "tenure" is already used`)
}

func TestRefusals(t *testing.T) {
	lgb, xgb, bare := customersFolder(), folder(t, "xgboost/categories"), schemaFolder(t)
	const data = "    data: model.lgb\n    lgb"
	for _, test := range []struct {
		name       string
		files      files
		file, want string
	}{
		{"nothing", files{"README": ""}, "", "there is neither an MLmodel file nor a schema.json"},
		{"a folder above", files{"model/MLmodel": "", "holdout.csv": ""}, "", "there is no MLmodel file at the top but one at model/MLmodel: register the folder model"},
		{"not YAML", lgb.with(t, "MLmodel", "flavors:", "flavors: {"), "MLmodel", "it is not YAML"},
		{"empty", files{"MLmodel": "# \n"}, "MLmodel", "it is not YAML that can be read: it is empty"},
		{"other flavor", lgb.with(t, "MLmodel", "lightgbm:", "sklearn:"), "MLmodel", `its flavors are ["python_function" "sklearn"]: only lightgbm and xgboost`},
		{"no data", lgb.with(t, "MLmodel", data, "    lgb"), "MLmodel", "flavor lightgbm names no data file"},
		{"pickle", lgb.with(t, "MLmodel", data, "    data: model.pkl\n    lgb"), "model.pkl", "can't be served: log its booster_"},
		{"data elsewhere", lgb.with(t, "MLmodel", data, "    data: ../../etc/passwd\n    lgb"), "MLmodel", "was not logged"},
		{"UBJSON by name", xgb.with(t, "MLmodel", "data: model.json", "data: model.ubj"), "model.ubj", `log the model with model_format="json"`},
		{"UBJSON by content", xgb.with(t, "model.json", `{"learner"`, "{L\x00\x00\x00\x00\x00\x00\x00\x07learner"), "model.json", "UBJSON"},
		{"old binary", xgb.with(t, "model.json", `{"learner"`, "binf\x00\x00"), "model.json", "XGBoost's old binary format"},
		{"empty model", xgb.with(t, "model.json", xgb["model.json"], " "), "model.json", "it is not JSON"},
		{"no signature", lgb.with(t, "MLmodel", "signature:", "other:"), "MLmodel", "there is no signature"},
		{"tensor", xgb.with(t, "MLmodel", `"type": "double", "name": "usage"`, `"type": "tensor", "name": "usage"`), "MLmodel", "is a tensor"},
		{"unnamed", lgb.with(t, "MLmodel", `"name": "tenure", `, ``), "MLmodel", "input 0 has no name"},
		{"datetime", lgb.with(t, "MLmodel", `"long", "name": "tenure"`, `"datetime", "name": "tenure"`), "MLmodel", `column "tenure" is of type "datetime"`},
		{"twice", lgb.with(t, "MLmodel", `"tenure"`, `"region"`), "MLmodel", `column "region" is there twice`},
		{"other name", lgb.with(t, "MLmodel", `"tenure"`, `"tenures"`), "model.lgb", `its feature "tenure" is no column of the signature in MLmodel`},
		{"more columns", lgb.with(t, "MLmodel", `'[{`, `'[{"name": "more", "type": "double"}, {`), "MLmodel", "signature: 6 columns, and the trees of model.lgb take 5 features"},
		{"reserved name", lgb.with(t, "MLmodel", `"tenure"`, `"_score"`).with(t, "model.lgb", " tenure ", " _score "), "MLmodel", `the name "_score" is reserved`},
		{"regression", lgb.with(t, "model.lgb", "objective=binary sigmoid:1.5", "objective=regression"), "model.lgb", `objective "regression" is not supported`},
		{"ranking", lgb.with(t, "model.lgb", "objective=binary sigmoid:1.5", "objective=lambdarank"), "model.lgb", `objective "lambdarank" is not supported`},
		{"cross entropy", lgb.with(t, "model.lgb", "objective=binary sigmoid:1.5", "objective=cross_entropy"), "model.lgb", "only binary classification"},
		{"several classes", lgb.with(t, "model.lgb", "num_class=1", "num_class=3"), "model.lgb", "num_class"},
		{"linear trees", lgb.with(t, "model.lgb", "is_linear=0", "is_linear=1"), "model.lgb", "linear trees are not supported"},
		{"logitraw", xgb.with(t, "model.json", `"name":"binary:logistic"`, `"name":"binary:logitraw"`), "model.json", "its objective is binary:logitraw"},
		{"XGBoost's regression", xgb.with(t, "model.json", `"name":"binary:logistic"`, `"name":"reg:logistic"`), "model.json", "its objective is reg:logistic"},
		{"XGBoost's classes", xgb.with(t, "model.json", `"name":"binary:logistic"`, `"name":"multi:softprob"`), "model.json", `objective "multi:softprob" is not supported`},
		{"linear booster", xgb.with(t, "model.json", `"name":"gbtree"`, `"name":"gblinear"`), "model.json", `booster "gblinear" is not supported`},
		{"best iteration", folder(t, "xgboost/early").with(t, "model.json", `"best_iteration":"`, `"best_iteration":"9`), "model.json", "its best_iteration is none of its iterations"},
		{"pandas of which columns", lgb.with(t, "model.lgb", "[categorical_feature: 1,3]", "[categorical_feature: 1]"), "model.lgb", "which belong together can't be told"},
		{"pandas of no column", lgb.with(t, "model.lgb", "[categorical_feature: 1,3]", "[categorical_feature: 1,5]"), "model.lgb", `has "5", want the number of a feature below 5`},
		{"pandas twice", lgb.with(t, "model.lgb", "[categorical_feature: 1,3]", "[categorical_feature: 3,3]"), "model.lgb", "names feature 3 twice"},
		{"pandas is no list", lgb.with(t, "model.lgb", `"DSL"`, `{"a": 1}`), "model.lgb", "category 1 is {"},
		{"same category twice", lgb.with(t, "model.lgb", `"DSL"`, `"Fiber "`), "model.lgb", `column "plan": the category "Fiber" is there twice`},
		{"empty category", lgb.with(t, "model.lgb", `"DSL"`, `""`), "model.lgb", "can't be told from a missing one"},
		{"words without categories", lgb.with(t, "model.lgb", `pandas_categorical:[["Fiber", "DSL", "No"], [10, 2, 30, 4, 5]]`, "pandas_categorical:null"), "model.lgb",
			`column "plan" is a string in the signature, and the file does not hold its categories`},
		{"XGBoost's words", xgb.with(t, "MLmodel", "metadata:", "other:"), "model.json", `column "plan" is a string in the signature`},
		{"XGBoost's own categories", xgb.with(t, "MLmodel", "metadata:", "other:").with(t, "MLmodel", `"string"`, `"long"`).with(t, "model.json",
			`"gbtree_model_param"`, `"cats":{"enc":[{}]},"gbtree_model_param"`), "model.json", "the categories that XGBoost keeps in the file are not read here"},
		{"categories of no column", xgb.with(t, "MLmodel", "    plan:\n", "    plans:\n    - a\n    plan:\n"), "MLmodel", `categories are given for "plans"`},
		{"categories no list", xgb.with(t, "MLmodel", "    plan:\n    - Fiber optic\n    - DSL\n    - None at all\n    - 10 Mbit", "    plan: x"), "MLmodel", "are no list"},
		{"categories that contradict", lgb.with(t, "MLmodel", "mlflow_version:", "metadata:\n  categories:\n    plan: [DSL, Fiber, No]\nmlflow_version:"), "MLmodel",
			"the categories given are not those of model.lgb"},
		{"threshold", xgb.with(t, "MLmodel", "threshold: 0.42", "threshold: 42"), "MLmodel", `the threshold logged is "42", want a number from 0 to 1`},
		{"no example", lgb.without("input_example.json"), "MLmodel", "no input example was logged"},
		{"example not JSON", lgb.with(t, "input_example.json", "]]", "]"), "input_example.json", "the input example can't be read"},
		{"example without rows", lgb.with(t, "input_example.json", lgb["input_example.json"], `{"columns": ["a"], "data": []}`), "input_example.json", "has no rows"},
		{"example lacks a column", lgb.with(t, "input_example.json", `"tenure"`, `"tenures"`), "input_example.json", "row 1: column tenure: the column is missing"},
		{"example of a wrong type", lgb.with(t, "input_example.json", `[40, NaN`, `[40.5, NaN`), "input_example.json", "row 2: column tenure: want a whole number"},
		{"example of another width", lgb.with(t, "input_example.json", `[40, NaN`, `[NaN`), "input_example.json", "row 2: 4 values for 5 columns"},
		{"schema not JSON", bare.with(t, "schema.json", `"inputs"`, `inputs`), "schema.json", "it can't be read"},
		{"schema without inputs", bare.with(t, "schema.json", `"inputs"`, `"outputs"`), "schema.json", "there are no inputs"},
		{"schema without a model", bare.without("model.json"), "schema.json", "it names no model, and of model.txt, model.lgb, model.json, model.xgb there are 0"},
		{"schema of another model", bare.with(t, "schema.json", `"inputs"`, `"model": "x", "inputs"`), "schema.json", `its model "x" was not logged`},
		{"schema without an example", bare.with(t, "schema.json", `"example"`, `"examples"`), "schema.json", "no input example was logged"},
		{"too large", lgb.with(t, "input_example.json", "NaN", strings.Repeat(" ", 9<<20)+"1"), "input_example.json", "at most 8388608 are read"},
		{"deep", files{"MLmodel": strings.Repeat("[", 500) + strings.Repeat("]", 500)}, "MLmodel", "nested more than 64 deep"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, _, err := imported.FromFiles(test.files.source())
			require.Nil(t, b)
			var unservable *imported.Unservable
			require.ErrorAs(t, err, &unservable)
			require.Equal(t, test.file, unservable.File)
			require.ErrorContains(t, err, test.want)
			require.True(t, strings.HasPrefix(err.Error(), test.file))
		})
	}
}
