package gbdt_test

import (
	"bufio"
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/dmitryikh/leaves"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

// independent reads a model's text with a reader that is not ours. It knows versions up to 3.
func independent(t *testing.T, model []byte) *leaves.Ensemble {
	t.Helper()
	older := bytes.Replace(model, []byte("version=v4\n"), []byte("version=v3\n"), 1)
	e, err := leaves.LGEnsembleFromReader(bufio.NewReader(bytes.NewReader(older)), true)
	require.NoError(t, err)
	return e
}

func TestIndependentReaderAgrees(t *testing.T) {
	m, names := generate(10, 1200, 17)
	for _, maxLeaves := range []int{0, 40} {
		p := gbdt.DefaultParams()
		p.MaxLeaves, p.Trees = maxLeaves, 60
		if maxLeaves > 0 {
			p.MaxDepth, p.Subsample, p.ColumnSample = 0, 0.6, 0.5
		}
		e := train(t, p, names, m)
		other := independent(t, text(t, e))
		require.Equal(t, e.Trees(), other.NEstimators())
		raw := other.EnsembleWithRawPredictions()
		for i := range m.Rows {
			x := append([]float64(nil), m.Row(i)...)
			if i%3 == 0 {
				x[i%m.Width] = math.NaN() // also where training never saw one
			}
			require.InDelta(t, raw.PredictSingle(x, 0), e.Margin(x), 1e-9, "row %d", i)
			require.InDelta(t, other.PredictSingle(x, 0), e.Probability(x), 1e-9, "row %d", i)
		}
	}
}

// TestIndependentReaderAgreesOnCategories trains on columns of few and of many categories.
func TestIndependentReaderAgreesOnCategories(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	m := gbdt.Matrix{Rows: 1500, Width: 3}
	for range m.Rows {
		few, many, number := float64(random.IntN(4)), float64(random.IntN(150)), random.NormFloat64()
		label := 0.0
		if random.Float64() < gbdt.Sigmoid(2*math.Sin(many)+few-number-1) {
			label = 1
		}
		if random.IntN(10) == 0 {
			many = math.NaN()
		}
		m.X, m.Label = append(m.X, few, many, number), append(m.Label, label)
	}
	p := gbdt.DefaultParams()
	p.Categorical, p.MinRowsPerCategory = []int{0, 1}, 10
	e := train(t, p, []string{"few", "many", "number"}, m)
	model := text(t, e)
	require.Contains(t, string(model), "cat_threshold=")
	other := independent(t, model).EnsembleWithRawPredictions()
	back := parseText(t, string(model))
	batch := make([]float64, m.Rows)
	e.Margins(m.X, batch)
	for i := range m.Rows {
		x := m.Row(i)
		require.InDelta(t, other.PredictSingle(x, 0), e.Margin(x), 1e-9, "row %d", i)
		require.Equal(t, e.Margin(x), back.Margin(x))
		require.Equal(t, e.Margin(x), batch[i])
		require.Equal(t, e.Leaves(x, nil), back.Leaves(x, nil))
	}
}

func TestIndependentReaderAgreesOnSingleLeaf(t *testing.T) {
	m := gbdt.Matrix{Rows: 3, Width: 1, X: []float64{1, 1, 1}, Label: []float64{0, 0, 1}}
	e := train(t, gbdt.DefaultParams(), []string{"constant"}, m)
	model := text(t, e)
	require.InDelta(t, 1.0/3, independent(t, model).PredictSingle([]float64{5}, 0), 1e-15)
	back, err := gbdt.ParseText(bytes.NewReader(model))
	require.NoError(t, err)
	require.Equal(t, string(model), string(text(t, back)))
}

// foreign is a model by hand with each kind of missing value, on either default side.
const foreign = `tree
version=v3
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=2
objective=binary sigmoid:1
feature_names=none zero nan
feature_infos=[-1:1] [-2:2] none
tree_sizes=501 502

Tree=0
num_leaves=4
num_cat=0
split_feature=0 1 2
split_gain=5.5 3 2
threshold=-0.5 1.5 0.25
decision_type=2 4 10
left_child=-1 -2 -3
right_child=1 2 -4
leaf_value=1 2 4 8
leaf_weight=1 1 1 1
leaf_count=1 1 1 1
internal_value=0 0 0
internal_weight=0 0 0
internal_count=4 3 2
is_linear=0
shrinkage=1


Tree=1
num_leaves=3
num_cat=0
split_feature=1 2
threshold=-1 0.25
decision_type=6 8
left_child=1 -1
right_child=-2 -3
leaf_value=0.125 0.25 0.5
shrinkage=0.1


end of trees

feature_importances:
zero=2
`

func TestParseEveryKindOfMissing(t *testing.T) {
	e, err := gbdt.ParseText(strings.NewReader(foreign))
	require.NoError(t, err)
	require.Equal(t, []string{"none", "zero", "nan"}, e.FeatureNames())
	require.Equal(t, 3, e.Width())
	require.Equal(t, []float64{5.5, 3, 2}, e.Importance(), "a tree without split_gain counts as 0")
	nan := math.NaN()
	for _, test := range []struct {
		name   string
		x      []float64
		margin float64
	}{
		{"at the threshold", []float64{-0.5, 9, 9}, 1 + 0.25},
		{"none: NaN is 0, right of -0.5 whatever the default", []float64{nan, 9, 0.25}, 4 + 0.25},
		{"zero goes to the default: right, then left", []float64{0, 0, 1}, 8 + 0.5},
		{"NaN is a zero there", []float64{0, nan, 1}, 8 + 0.5},
		{"just a zero still", []float64{0, 1e-36, 1}, 8 + 0.5},
		{"the last zero", []float64{0, float64(float32(1e-35)), 1}, 8 + 0.5},
		{"no zero any more", []float64{0, 1e-30, 1}, 2 + 0.25},
		{"low", []float64{0, -1, 0}, 2 + 0.125},
		{"NaN left, NaN right", []float64{0, 0, nan}, 4 + 0.5},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.margin, e.Margin(test.x))
			require.InDelta(t, gbdt.Sigmoid(test.margin), e.Probability(test.x), 0)
		})
	}
	atZero, err := gbdt.ParseText(strings.NewReader(strings.Replace(foreign, "threshold=-0.5 1.5", "threshold=0 1.5", 1)))
	require.NoError(t, err)
	require.Equal(t, 1.25, atZero.Margin([]float64{nan, 9, 9}), "NaN is 0 and at the threshold")
	require.Equal(t, []int32{3, 2}, e.Leaves([]float64{0, nan, 1}, nil))

	other := independent(t, []byte(foreign)).EnsembleWithRawPredictions()
	random := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		x := make([]float64, 3)
		for f := range x {
			x[f] = []float64{random.NormFloat64(), 0, nan, -0.5, 0.25, 1.5, -1}[random.IntN(7)]
		}
		require.InDelta(t, other.PredictSingle(x, 0), e.Margin(x), 1e-12, "%v", x)
	}

	again, err := gbdt.ParseText(bytes.NewReader(text(t, e)))
	require.NoError(t, err)
	require.Equal(t, string(text(t, e)), string(text(t, again)))
	require.Equal(t, foreign, string(text(t, e)), "what was read is written as it was")
	crlf := strings.ReplaceAll(foreign, "\n", "\r\n")
	windows, err := gbdt.ParseText(strings.NewReader(crlf))
	require.NoError(t, err)
	require.Equal(t, crlf, string(text(t, windows)))
	require.Equal(t, e.Leaves([]float64{0, nan, 1}, nil), windows.Leaves([]float64{0, nan, 1}, nil))
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ name, old, new, want string }{
		{"empty", foreign, "", `begins with ""`},
		{"not a model", "tree\n", "forest\n", `line 1: begins with "forest"`},
		{"version", "version=v3", "version=v5", `version "v5" is not supported`},
		{"no version", "version=v3\n", "", "no field version"},
		{"classes", "num_class=1", "num_class=3", `num_class "3" is not supported`},
		{"objective", "objective=binary sigmoid:1", "objective=regression", `objective "regression" is not supported`},
		{"no objective", "objective=binary sigmoid:1\n", "", "no objective"},
		{"lambda", "objective=binary sigmoid:1", "objective=cross_entropy_lambda", `objective "cross_entropy_lambda" is not supported`},
		{"no sigmoid", "objective=binary sigmoid:1", "objective=binary", "K greater than 0"},
		{"sigmoid of zero", "objective=binary sigmoid:1", "objective=binary sigmoid:0", "K greater than 0"},
		{"infinite sigmoid", "objective=binary sigmoid:1", "objective=binary sigmoid:inf", "K greater than 0"},
		{"old forest", "version=v3", "version=v2\naverage_output", "a random forest"},
		{"width", "max_feature_idx=2", "max_feature_idx=3", `max_feature_idx is "3", want 2`},
		{"names", "none zero nan", "none zero zero", `both named "zero"`},
		{"two spaces", "none zero nan", "none  nan", "feature 1 has no name"},
		{"infos", "[-1:1] [-2:2] none", "[-1:1]", "feature_infos has 1 entries, want 3"},
		{"sizes", "tree_sizes=501 502", "tree_sizes=501", "tree_sizes has 1 entries for 2 trees"},
		{"tree number", "Tree=1", "Tree=2", `found "Tree=2", want "Tree=1"`},
		{"cut off", "end of trees", "", "want \"Tree=2\""},
		{"parameters cut off", "zero=2\n", "zero=2\n\nparameters:\n[a: b]\n", `ends before "end of parameters"`},
		{"twice", "num_leaves=4\n", "num_leaves=4\nnum_leaves=4\n", `"num_leaves" is there twice`},
		{"categorical tree", "num_cat=0", "num_cat=1", "tree 0: no field cat_boundaries"},
		{"sets", "num_cat=0", "num_cat=4", `num_cat is "4", want 0 to 3`},
		{"categorical node", "decision_type=2 4 10", "decision_type=2 5 10", "node 1: category set 1.5 of 0"},
		{"set beyond", "1.5 0.25\ndecision_type=2 4 10", "2 0.25\ndecision_type=2 5 10", "node 1: category set 2 of 0"},
		{"falling bounds", "num_cat=0", "num_cat=2\ncat_boundaries=0 2 1\ncat_threshold=1", "cat_boundaries do not rise from 0"},
		{"first bound", "num_cat=0", "num_cat=1\ncat_boundaries=1 2\ncat_threshold=1 2", "cat_boundaries do not rise from 0"},
		{"words", "num_cat=0", "num_cat=1\ncat_boundaries=0 3\ncat_threshold=1 2", "cat_threshold has 2 entries, want 3"},
		{"word", "num_cat=0", "num_cat=1\ncat_boundaries=0 1\ncat_threshold=4294967296", `cat_threshold: entry 0 is "4294967296"`},
		{"linear", "is_linear=0", "is_linear=1", "linear trees are not supported"},
		{"decision", "decision_type=2 4 10", "decision_type=2 4 14", "node 2: unknown decision_type 14"},
		{"decision bits", "decision_type=2 4 10", "decision_type=2 4 16", "node 2: unknown decision_type 16"},
		{"no leaves", "num_leaves=4", "num_leaves=0", `num_leaves is "0"`},
		{"many leaves", "num_leaves=4", "num_leaves=999999999999", `num_leaves is "999999999999"`},
		{"leaf count", "num_leaves=4", "num_leaves=5", "split_feature has 3 entries, want 4"},
		{"feature", "split_feature=0 1 2", "split_feature=0 1 3", `split_feature: entry 2 is "3", want a whole number from 0 to 2`},
		{"negative feature", "split_feature=0 1 2", "split_feature=0 1 -1", `entry 2 is "-1"`},
		{"no threshold", "threshold=-0.5 1.5 0.25\n", "", "no field threshold"},
		{"NaN threshold", "threshold=-0.5 1.5 0.25", "threshold=-0.5 nan 0.25", `threshold: entry 1 is "nan"`},
		{"infinite leaf", "leaf_value=1 2 4 8", "leaf_value=1 2 4 1e999", `leaf_value: entry 3 is "1e999"`},
		{"word", "leaf_weight=1 1 1 1", "leaf_weight=1 1 x 1", `leaf_weight: entry 2 is "x"`},
		{"loop", "right_child=1 2 -4", "right_child=1 0 -4", "node 1: child 0 is reached twice"},
		{"self", "right_child=1 2 -4", "right_child=0 2 -4", "node 0: child 0 is reached twice"},
		{"leaf twice", "left_child=-1 -2 -3", "left_child=-1 -2 -1", "node 2: child -1 is reached twice"},
		{"unreached", "right_child=1 2 -4", "right_child=-4 2 1", "2 of 3 nodes are not reached"},
		{"child beyond", "right_child=1 2 -4", "right_child=1 3 -4", `right_child: entry 1 is "3"`},
		{"leaf beyond", "right_child=1 2 -4", "right_child=1 2 -5", `right_child: entry 2 is "-5"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Contains(t, foreign, test.old)
			e, err := gbdt.ParseText(strings.NewReader(strings.Replace(foreign, test.old, test.new, 1)))
			require.ErrorContains(t, err, test.want)
			require.Nil(t, e)
		})
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	m, names := generate(11, 300, 3)
	p := gbdt.DefaultParams()
	p.Trees = 3
	model := text(t, train(t, p, names, m))
	end := bytes.Index(model, []byte("end of trees"))
	for n := range end {
		_, err := gbdt.ParseText(bytes.NewReader(model[:n]))
		require.Error(t, err, "the first %d bytes", n)
	}
}

func TestFeatureNamesSurvive(t *testing.T) {
	m, _ := generate(12, 300, 7)
	names := []string{"Payment Method=Electronic check", "100%", "a%20b", `"quoted", [list] {x:y}`, "tab\tline\nend", "größe", "%"}
	e := train(t, gbdt.DefaultParams(), names, m)
	model := text(t, e)
	require.Contains(t, string(model), "feature_names=Payment%20Method%3DElectronic%20check 100%25 a%2520b %22quoted")
	back, err := gbdt.ParseText(bytes.NewReader(model))
	require.NoError(t, err)
	require.Equal(t, names, back.FeatureNames())
	require.Equal(t, string(model), string(text(t, back)))
	independent(t, model)
	require.Equal(t, string(model), string(text(t, back.First(back.Trees()))), "and again without what was read")

	// Before, no line said that names are escaped.
	const line = "[feature_names_escaped: ]\n"
	require.Equal(t, 1, strings.Count(string(model), line))
	before := strings.Replace(string(model), line, "", 1)
	require.Equal(t, names, parseText(t, before).FeatureNames())
	start, end := strings.Index(before, "[boosting"), strings.Index(before, "\nend of parameters")
	without := before[:start] + before[end:]
	require.Equal(t, names, parseText(t, without).FeatureNames(), "as of a model that was read from XGBoost's file")
	twice := strings.Replace(string(model), "feature_names=Payment%20Method%3DElectronic%20check 100%25", "feature_names=a%3Ab a:b", 1)
	_, err = gbdt.ParseText(strings.NewReader(twice))
	require.ErrorContains(t, err, `both named "a:b"`)

	plain := text(t, train(t, gbdt.DefaultParams(), []string{"a", "b", "c", "d", "e", "f", "größe"}, m))
	require.NotContains(t, string(plain), "escaped", "where nothing is")
}

// TestForeignNamesAreKept reads names with a % that LightGBM wrote, in which it means itself.
func TestForeignNamesAreKept(t *testing.T) {
	names := []string{"save%20off", "100%25", "nan"}
	model := strings.Replace(foreign, "none zero nan", strings.Join(names, " "), 1)
	for _, parameters := range []string{
		"",
		"\nparameters:\n[boosting: gbdt]\n[objective: binary]\n[metric: binary_logloss]\n[tree_learner: serial]\n[num_iterations: 2]\n\nend of parameters\n",
		"\nparameters:\n[boosting: gbdt]\n\nend of parameters\n",
	} {
		e := parseText(t, model+parameters)
		require.Equal(t, names, e.FeatureNames(), parameters)
		require.Equal(t, model+parameters, string(text(t, e)))
		first := text(t, e.First(1))
		require.Contains(t, string(first), "feature_names=save%2520off 100%2525 nan\n")
		require.Equal(t, names, parseText(t, string(first)).FeatureNames())
	}
}

func TestTreeSizesAreTheBlocks(t *testing.T) {
	m, names := generate(13, 500, 3)
	p := gbdt.DefaultParams()
	p.Trees = 12
	model := string(text(t, train(t, p, names, m)))
	_, rest, _ := strings.Cut(model, "tree_sizes=")
	sizes, blocks, _ := strings.Cut(rest, "\n\n")
	for i, size := range strings.Fields(sizes) {
		next := strings.Index(blocks[1:], "Tree=") + 1
		if i == p.Trees-1 {
			next = strings.Index(blocks, "end of trees")
		}
		require.Equal(t, size, strconv.Itoa(next), "tree %d", i)
		blocks = blocks[next:]
	}
	require.True(t, strings.HasPrefix(blocks, "end of trees\n"))
}

type brokenWriter struct{}

var errBroken = errors.New("pipe broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }
func (brokenWriter) Read([]byte) (int, error)  { return 0, errBroken }

func TestStreamErrorsAreReturned(t *testing.T) {
	e, err := gbdt.ParseText(strings.NewReader(foreign))
	require.NoError(t, err)
	require.ErrorIs(t, e.WriteText(brokenWriter{}), errBroken)
	_, err = gbdt.ParseText(brokenWriter{})
	require.ErrorIs(t, err, errBroken)
}

func FuzzParseText(f *testing.F) {
	m, names := generate(14, 100, 2)
	p := gbdt.DefaultParams()
	p.Trees, p.MaxLeaves = 2, 3
	f.Add(text(f, train(f, p, names, m)))
	f.Add([]byte(foreign))
	f.Add([]byte(strings.Replace(foreign, "right_child=1 2 -4", "right_child=1 0 -4", 1)))
	f.Add([]byte("tree\n\n"))
	f.Fuzz(func(t *testing.T, model []byte) {
		e, err := gbdt.ParseText(bytes.NewReader(model))
		if err != nil {
			return
		}
		requireUsable(t, e)
	})
}

// requireUsable checks of an ensemble that was read from whatever bytes that it scores, and can be written and read back.
func requireUsable(t *testing.T, e *gbdt.Ensemble) {
	t.Helper()
	written := text(t, e)
	back, err := gbdt.ParseText(bytes.NewReader(written))
	require.NoError(t, err, "what is written can be read")
	require.Equal(t, string(written), string(text(t, back)))
	require.Len(t, e.Importance(), e.Width())
	x := make([]float64, 2*e.Width())
	for i := range e.Width() {
		x[i] = math.NaN()
	}
	both := make([]float64, 2)
	e.Margins(x, both)
	for i, margin := range both {
		row := x[i*e.Width() : (i+1)*e.Width()]
		require.Equal(t, math.Float64bits(margin), math.Float64bits(e.Margin(row)))
		require.Equal(t, math.Float64bits(margin), math.Float64bits(back.Margin(row)))
		require.Len(t, e.Leaves(row, nil), e.Trees())
	}
}
