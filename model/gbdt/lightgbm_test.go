package gbdt_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

// lightGBMFile returns a file of the test data of the module leaves: models, inputs and scores that LightGBM itself made. They are
// read where the module cache has them.
func lightGBMFile(t *testing.T, name string) []byte {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/dmitryikh/leaves").Output()
	if err != nil {
		t.Skipf("where the module leaves is can't be asked: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "testdata", name))
	if err != nil {
		t.Skipf("the module leaves has no such test data here: %v", err)
	}
	return data
}

// table reads lines of numbers.
func table(t *testing.T, data []byte) [][]float64 {
	t.Helper()
	var rows [][]float64
	for line := range strings.Lines(string(data)) {
		var row []float64
		for _, item := range strings.Fields(line) {
			v, err := strconv.ParseFloat(item, 64)
			require.NoError(t, err)
			row = append(row, v)
		}
		rows = append(rows, row)
	}
	require.NotEmpty(t, rows)
	return rows
}

func parseText(t testing.TB, model string) *gbdt.Ensemble {
	t.Helper()
	e, err := gbdt.ParseText(strings.NewReader(model))
	require.NoError(t, err)
	return e
}

func TestLightGBMProbabilities(t *testing.T) {
	model := lightGBMFile(t, "lg_dart_breast_cancer.model") // version v2
	e := parseText(t, string(model))
	require.Equal(t, string(model), string(text(t, e)))
	rows, want := table(t, lightGBMFile(t, "breast_cancer_test.tsv")), table(t, lightGBMFile(t, "lg_dart_breast_cancer_true_predictions.txt"))
	require.Equal(t, len(rows), len(want))
	for i, x := range rows {
		require.InDelta(t, want[i][0], e.Probability(x), 1e-9, "row %d", i)
	}
}

func TestLightGBMLeaves(t *testing.T) {
	model := lightGBMFile(t, "lg_breast_cancer.txt") // version v3
	e := parseText(t, string(model))
	require.Equal(t, string(model), string(text(t, e)))
	want := table(t, lightGBMFile(t, "lg_breast_cancer_data_pred_leaves.txt"))
	for i, x := range table(t, lightGBMFile(t, "lg_breast_cancer_data.txt")) {
		for k, leaf := range e.Leaves(x, nil) {
			require.EqualValues(t, want[i][k], leaf, "row %d tree %d", i, k)
		}
	}
}

// TestLightGBMCategorical reads models with many categorical splits whose scores LightGBM gave. Their objectives are regressions,
// with the logarithm as link; the trees do not know.
func TestLightGBMCategorical(t *testing.T) {
	for name, objective := range map[string]string{
		"genlin_fmtp_gamma_AvgClaimAmount": "gamma", "genlin_fmtp_poisson_Frequency": "poisson", "genlin_fmtp_tweedie_PurePremium": "tweedie",
	} {
		t.Run(objective, func(t *testing.T) {
			model := string(lightGBMFile(t, name+".model"))
			_, err := gbdt.ParseText(strings.NewReader(model))
			require.ErrorContains(t, err, `objective "`+objective+`" is not supported`)
			model = strings.Replace(model, "objective="+objective+"\n", "objective=binary sigmoid:1\n", 1)
			require.Contains(t, model, "cat_threshold=")
			e := parseText(t, model)
			require.Equal(t, model, string(text(t, e)))
			rows, want := table(t, lightGBMFile(t, name+"_features.tsv")), table(t, lightGBMFile(t, name+"_true_predictions.txt"))
			batch := make([]float64, len(rows))
			e.Margins(flatten(rows), batch)
			for i, x := range rows {
				require.InEpsilon(t, want[i][0], math.Exp(e.Margin(x)), 1e-9, "row %d", i)
				require.Equal(t, e.Margin(x), batch[i])
			}
			// Another reader agrees on rows that LightGBM's authors did not have in mind.
			other := independent(t, []byte(model)).EnsembleWithRawPredictions()
			random := rand.New(rand.NewPCG(1, 1))
			for range 1000 {
				x := append([]float64(nil), rows[random.IntN(len(rows))]...)
				for range 4 {
					f := random.IntN(len(x))
					x[f] = []float64{math.NaN(), -1, -0.5, 1.5, 40, 1000, 0, x[f]}[random.IntN(8)]
				}
				require.InDelta(t, other.PredictSingle(x, 0), e.Margin(x), 1e-9, "%v", x)
			}
		})
	}
}

func flatten(rows [][]float64) []float64 {
	var x []float64
	for _, row := range rows {
		x = append(x, row...)
	}
	return x
}

func TestLightGBMRefused(t *testing.T) {
	for name, want := range map[string]string{
		"lg_rf_iris.model":   "a random forest) is not supported in version v2",
		"lg_kddcup99.model":  `num_class "13" is not supported`,
		"lgmulticlass.model": `num_class "5" is not supported`,
	} {
		_, err := gbdt.ParseText(bytes.NewReader(lightGBMFile(t, name)))
		require.ErrorContains(t, err, want, name)
	}
}

func TestLightGBMSmallWithCategories(t *testing.T) {
	e := parseText(t, string(lightGBMFile(t, "model_simple.txt"))) // X1 numeric, X2 with categories 0, 1, 3 and 100
	require.InDelta(t, 0.56697267424823339+0.12883103567558912, e.Margin([]float64{5, 100}), 1e-15, "in the set")
	require.InDelta(t, 0.3584987837673016-0.063872842243335157, e.Margin([]float64{340.5, 3}), 1e-15)
	require.InDelta(t, 0.41213915936587919-0.016484332942214807, e.Margin([]float64{341, math.NaN()}), 1e-15)
	require.InDeltaSlice(t, []float64{13.4409 + 10.5922, 138.409 + 118.043}, e.Importance(), 1e-12)
	require.Equal(t, []float64{2, 2}, e.ImportanceBy(gbdt.SplitImportance))
}

// categories is a model by hand: a set over a missing zero over a set, with values that name the path.
const categories = `tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=binary sigmoid:2.5
feature_names=kind amount
feature_infos=0:2:33 [0:9]
tree_sizes=400

Tree=0
num_leaves=4
num_cat=2
split_feature=0 1 0
threshold=1 3 0
decision_type=9 6 1
left_child=-1 -2 -3
right_child=1 2 -4
leaf_value=1 2 4 8
leaf_count=1 1 1 1
internal_count=4 3 2
cat_boundaries=0 1 3
cat_threshold=8 4 2
is_linear=0
shrinkage=1


end of trees

parameters:
[objective: binary]

end of parameters

pandas_categorical:null
`

func TestCategoriesBySet(t *testing.T) {
	e := parseText(t, categories)
	require.Equal(t, categories, string(text(t, e)))
	nan := math.NaN()
	for _, test := range []struct {
		name string
		x    []float64
		want float64
	}{
		{"first word", []float64{2, 9}, 1},
		{"second word", []float64{33, 9}, 1},
		{"fraction cut off", []float64{2.9, 9}, 1},
		{"not in it", []float64{3, 9}, 4},
		{"not in the set below either", []float64{4, 9}, 8},
		{"beyond", []float64{64, 9}, 8},
		{"negative", []float64{-2, 9}, 8},
		{"missing goes right", []float64{nan, 9}, 8},
		{"huge", []float64{1e300, 9}, 8},
		{"missing zero goes left", []float64{nan, 0}, 2},
		{"missing amount is zero", []float64{4, nan}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, e.Margin(test.x))
			require.InDelta(t, 1/(1+math.Exp(-2.5*test.want)), e.Probability(test.x), 1e-15, "K counts")
			require.Equal(t, e.Probability(test.x), e.FromMargin(test.want))
		})
	}
	other := independent(t, []byte(strings.Replace(categories, "sigmoid:2.5", "sigmoid:1", 1))).EnsembleWithRawPredictions()
	for v := -2.0; v < 70; v += 0.25 {
		require.InDelta(t, other.PredictSingle([]float64{v, v}, 0), e.Margin([]float64{v, v}), 0, "%v", v)
	}
}

func TestOtherObjectives(t *testing.T) {
	x := []float64{33, 9}
	entropy := strings.Replace(categories, "binary sigmoid:2.5", "cross_entropy", 1)
	require.Equal(t, gbdt.Sigmoid(1), parseText(t, entropy).Probability(x))
	require.Equal(t, entropy, string(text(t, parseText(t, entropy))))
	old := strings.Replace(categories, "binary sigmoid:2.5", "xentropy", 1)
	require.Equal(t, gbdt.Sigmoid(1), parseText(t, old).Probability(x))

	// A random forest of two trees: the mean of 1 and 3.
	_, tree, _ := strings.Cut(categories, "tree_sizes=400\n\n")
	tree, _, _ = strings.Cut(tree, "end of trees")
	second := strings.NewReplacer("Tree=0", "Tree=1", "leaf_value=1", "leaf_value=3").Replace(tree)
	forest := strings.NewReplacer("tree_sizes=400", "tree_sizes=400 400", "\nend of trees", second+"\nend of trees",
		"sigmoid:2.5\n", "sigmoid:1\naverage_output\n").Replace(categories)
	e := parseText(t, forest)
	require.Equal(t, 2, e.Trees())
	require.Equal(t, 2.0, e.Margin(x))
	require.Equal(t, gbdt.Sigmoid(2), e.Probability(x))
	margins := make([]float64, 9)
	e.Margins(repeat(x, 9), margins)
	require.Equal(t, []float64{2, 2, 2, 2, 2, 2, 2, 2, 2}, margins)
	require.Equal(t, forest, string(text(t, e)))
}

// repeat returns a row n times over.
func repeat(x []float64, n int) []float64 {
	var all []float64
	for range n {
		all = append(all, x...)
	}
	return all
}
