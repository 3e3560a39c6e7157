package gbdt_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

// xgbScores is what XGBoost gives for some rows of a model, as testdata/xgboost/make.py writes it.
type xgbScores struct {
	Rows          [][]*float64
	Margin        []float64
	Prediction    []float64
	Contributions [][]float64
}

// row returns the values of row i, NaN for missing.
func (s *xgbScores) row(i int) []float64 {
	x := make([]float64, len(s.Rows[i]))
	for f, v := range s.Rows[i] {
		if x[f] = math.NaN(); v != nil {
			x[f] = *v
		}
	}
	return x
}

// xgbModels calls f with each model of testdata/xgboost and its scores.
func xgbModels(t *testing.T, f func(t *testing.T, name string, e *gbdt.Ensemble, s *xgbScores)) {
	t.Helper()
	files, err := filepath.Glob("testdata/xgboost/*.scores.json")
	require.NoError(t, err)
	require.Len(t, files, 13)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".scores.json")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			var s xgbScores
			require.NoError(t, json.Unmarshal(data, &s))
			f(t, name, parseXGBoost(t, xgbFile(t, name)), &s)
		})
	}
}

func xgbFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "xgboost", name+".json"))
	require.NoError(t, err)
	return data
}

func parseXGBoost(t testing.TB, model []byte) *gbdt.Ensemble {
	t.Helper()
	e, err := gbdt.ParseXGBoost(bytes.NewReader(model))
	require.NoError(t, err)
	return e
}

func TestXGBoostScoresAgree(t *testing.T) {
	xgbModels(t, func(t *testing.T, name string, e *gbdt.Ensemble, s *xgbScores) {
		for i, want := range s.Margin {
			x := s.row(i)
			require.InDelta(t, want, e.Margin(x), 1e-6, "row %d %v", i, x)
			if name != "logitraw" { // whose prediction is the margin
				require.InDelta(t, s.Prediction[i], e.Probability(x), 1e-6, "row %d", i)
			}
		}
	})
}

func TestXGBoostIsWrittenAsLightGBM(t *testing.T) {
	xgbModels(t, func(t *testing.T, name string, e *gbdt.Ensemble, s *xgbScores) {
		written := text(t, e)
		back, err := gbdt.ParseText(bytes.NewReader(written))
		require.NoError(t, err)
		require.Equal(t, string(written), string(text(t, back)))
		require.Equal(t, e.FeatureNames(), back.FeatureNames())
		for i := range s.Rows {
			x := s.row(i)
			require.Equal(t, math.Float64bits(e.Margin(x)), math.Float64bits(back.Margin(x)), "row %d", i)
			require.Equal(t, e.Probability(x), back.Probability(x), "row %d", i)
			require.Equal(t, e.Leaves(x, nil), back.Leaves(x, nil), "row %d", i)
		}
		if name == "reg-logistic" {
			require.Contains(t, string(written), "\nobjective=cross_entropy\n")
			return
		}
		// A reader that is not ours agrees too; it can't send a missing category to the side of the set.
		other := independent(t, written).EnsembleWithRawPredictions()
		for i := range s.Rows {
			x := s.row(i)
			if len(x) == 5 && math.IsNaN(x[4]) {
				continue
			}
			require.InDelta(t, other.PredictSingle(x, 0), e.Margin(x), 1e-9, "row %d", i)
		}
	})
}

func TestXGBoostHeader(t *testing.T) {
	named := parseXGBoost(t, xgbFile(t, "onehot"))
	require.Equal(t, []string{"a", "b b", "c", "d=e", "cat"}, named.FeatureNames())
	require.Equal(t, 8, named.Trees())
	unnamed := parseXGBoost(t, xgbFile(t, "exact"))
	require.Equal(t, []string{"f0", "f1", "f2", "f3"}, unnamed.FeatureNames())
	require.Positive(t, unnamed.Importance()[0])
}

// TestXGBoostOtherVersions reads one model as earlier and later versions of XGBoost write it.
func TestXGBoostOtherVersions(t *testing.T) {
	model := string(xgbFile(t, "exact"))
	want := parseXGBoost(t, []byte(model))
	x := []float64{0.5, 1, 2, 1}
	for _, test := range []struct{ name, old, new string }{
		{"base score of version 3", `"base_score":"3E-1"`, `"base_score":"[3E-1]"`},
		{"base score as a number", `"base_score":"3E-1"`, `"base_score":0.3`},
		{"no size of leaves", `"size_leaf_vector":"0"`, `"size_leaf_vector":"1"`},
		{"spaces", `,`, ", \n\t"},
		{"no number of targets", `"num_target":"1"`, `"new_in_future":[{"a":1}]`},
		{"no types of features", `"split_type":[`, `"split_type_":[`},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Contains(t, model, test.old)
			e := parseXGBoost(t, []byte(strings.ReplaceAll(model, test.old, test.new)))
			require.Equal(t, want.Margin(x), e.Margin(x))
		})
	}
	var flags strings.Builder
	for i, part := range strings.Split(model, `"default_left":[`) {
		if i > 0 {
			list, rest, _ := strings.Cut(part, "]")
			part = `"default_left":[` + strings.NewReplacer("0", "false", "1", "true").Replace(list) + "]" + rest
		}
		flags.WriteString(part)
	}
	e := parseXGBoost(t, []byte(flags.String()))
	nan := math.NaN()
	require.Equal(t, want.Margin([]float64{nan, nan, nan, nan}), e.Margin([]float64{nan, nan, nan, nan}))
}

// tiny is one tree: a split at 0.5 of feature 1 over a split of feature 0 by a set of categories, and a deleted node.
const tiny = `{"learner":{"feature_names":[],"gradient_booster":{"model":{"gbtree_model_param":{"num_trees":"1"},"tree_info":[0],` +
	`"trees":[{"categories":[1,33],"categories_nodes":[1],"categories_segments":[0],"categories_sizes":[2],` +
	`"default_left":[1,0,0,0,0,0],"left_children":[1,3,-1,-1,-1,-1],"right_children":[2,4,-1,-1,-1,-1],` +
	`"split_conditions":[0.5,1E-45,4,1,2,9],"split_indices":[1,0,0,0,0,2147483647],"split_type":[0,1,0,0,0,0],` +
	`"sum_hessian":[8,4,4,2,2,0],"tree_param":{"size_leaf_vector":"0"}}]},"name":"gbtree"},` +
	`"learner_model_param":{"base_score":"5E-1","num_class":"0","num_feature":"2","num_target":"1"},` +
	`"objective":{"name":"binary:logistic"}},"version":[1,7,4]}`

func TestXGBoostTiny(t *testing.T) {
	e := parseXGBoost(t, []byte(tiny))
	nan := math.NaN()
	half := float64(float32(0.5))
	step := math.Nextafter(half, 0)
	single := float64(math.Nextafter32(0.5, 0))
	for _, test := range []struct {
		name string
		x    []float64
		want float64
	}{
		{"not below", []float64{1, 0.5}, 4},
		{"rounds to the threshold", []float64{1, step}, 4},
		{"tie rounds to even, the threshold", []float64{1, (half + single) / 2}, 4},
		{"just less than the tie", []float64{1, math.Nextafter((half+single)/2, 0)}, 2},
		{"a step of single precision", []float64{1, single}, 2},
		{"missing number", []float64{1, nan}, 2},
		{"category of the set", []float64{33, 0}, 2},
		{"other category", []float64{32, 0}, 1},
		{"category beyond the set", []float64{1e9, 0}, 1},
		{"infinite category", []float64{math.Inf(1), 0}, 1},
		{"negative category", []float64{-1, 0}, 1},
		{"missing category, to the side of the set", []float64{nan, 0}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, e.Margin(test.x))
		})
	}
	require.Contains(t, string(text(t, e)), "feature_infos=1:33 [0.49")
}

func TestXGBoostRefuses(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"gblinear", `booster "gblinear" is not supported`},
		{"multiclass", `objective "multi:softprob" is not supported`},
		{"regression", `objective "reg:squarederror" is not supported`},
		{"hinge", `objective "binary:hinge" is not supported`},
	} {
		_, err := gbdt.ParseXGBoost(bytes.NewReader(xgbFile(t, "refused-"+test.name)))
		require.ErrorContains(t, err, test.want)
	}
	for _, test := range []struct{ name, old, new, want string }{
		{"empty", tiny, "", "parse xgboost model: unexpected end of JSON input"},
		{"not JSON", tiny, "tree\n", "invalid character"},
		{"binary", tiny, "{L\x00\x00\x00\x00\x00\x00\x00\x07learner", "UBJSON format is not supported"},
		{"other JSON", tiny, "{}", "no field learner"},
		{"no model", `"model":`, `"models":`, "no field model"},
		{"no trees", `"trees":[`, `"woods":[`, "no trees"},
		{"trees", `"trees":[`, `"trees":0,"woods":[`, "trees is not a list"},
		{"number of trees", `"num_trees":"1"`, `"num_trees":"2"`, `num_trees is "2", but there are 1`},
		{"classes", `"num_class":"0"`, `"num_class":"2"`, "several classes are not supported"},
		{"classes of trees", `"tree_info":[0]`, `"tree_info":[1]`, "several classes are not supported"},
		{"targets", `"num_target":"1"`, `"num_target":"2"`, "several targets are not supported"},
		{"base score", `"base_score":"5E-1"`, `"base_score":"1"`, `base_score is "1", want a probability`},
		{"base scores", `"base_score":"5E-1"`, `"base_score":"[0.5,0.5]"`, "want a probability"},
		{"no features", `"num_feature":"2"`, `"num_feature":"0"`, `num_feature is "0"`},
		{"many features", `"num_feature":"2"`, `"num_feature":"999999999"`, "without feature_names"},
		{"names", `"feature_names":[]`, `"feature_names":["a"]`, "feature_names has 1 entries, want 2"},
		{"same names", `"feature_names":[]`, `"feature_names":["a","a"]`, `both named "a"`},
		{"feature", `"split_indices":[1,`, `"split_indices":[2,`, "a tree splits on feature 2 of 2"},
		{"negative feature", `"split_indices":[1,`, `"split_indices":[-1,`, "tree 0: node 0 splits on feature -1"},
		{"deleted feature", `"split_indices":[1,`, `"split_indices":[2147483647,`, "node 0 splits on feature 2147483647"},
		{"vector leaves", `"size_leaf_vector":"0"`, `"size_leaf_vector":"3"`, "leaves of several values are not supported"},
		{"lengths", `"default_left":[1,`, `"default_left":[`, "default_left has 5 entries, want 6"},
		{"flag", `"default_left":[1,`, `"default_left":[2,`, "flag 2 is neither 0 nor 1"},
		{"infinite", `"split_conditions":[0.5`, `"split_conditions":[1e39`, "value out of range"},
		{"no threshold", `"split_conditions":[0.5`, `"split_conditions":[NaN`, "node 0 has no finite threshold"},
		{"no value", `"split_conditions":[0.5,1E-45,4`, `"split_conditions":[0.5,NaN,-Infinity`, "node 2 has no finite value"},
		{"child beyond", `"right_children":[2,`, `"right_children":[6,`, "node 0 has child 6 of 6"},
		{"child negative", `"right_children":[2,`, `"right_children":[-2,`, "node 0 has child -2 of 6"},
		{"loop", `"left_children":[1,3`, `"left_children":[1,1`, "a node is reached twice"},
		{"root again", `"left_children":[1,3`, `"left_children":[1,0`, "node 1 has child 0 of 6"},
		{"half a leaf", `"left_children":[1,3`, `"left_children":[1,-1`, "node 1 has a right child only"},
		{"split type", `"split_type":[0,1`, `"split_type":[2,1`, "unknown split_type 2"},
		{"no set", `"categories_nodes":[1]`, `"categories_nodes":[2]`, "node 1: no categories"},
		{"sets", `"categories_nodes":[1]`, `"categories_nodes":[1,2]`, "differ in length"},
		{"set of no node", `"categories_nodes":[1]`, `"categories_nodes":[6]`, "categories_nodes has node 6 of 6"},
		{"two sets", `"categories_nodes":[1],"categories_segments":[0],"categories_sizes":[2]`,
			`"categories_nodes":[1,1],"categories_segments":[0,1],"categories_sizes":[1,1]`, "categories_nodes has node 1 twice"},
		{"shared categories", `"categories_nodes":[1],"categories_segments":[0],"categories_sizes":[2]`,
			`"categories_nodes":[1,3],"categories_segments":[0,1],"categories_sizes":[2,1]`, "the sets hold more than the 2 categories listed"},
		{"set beyond", `"categories_sizes":[2]`, `"categories_sizes":[3]`, "categories 0 to 3 of 2"},
		{"negative category", `"categories":[1,33]`, `"categories":[1,-1]`, "category -1"},
		{"great category", `"categories":[1,33]`, `"categories":[1,16777216]`, "category 16777216"},
		{"sparse category", `"categories":[1,33]`, `"categories":[1,16000000]`, "too large for the size of the file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Contains(t, tiny, test.old)
			e, err := gbdt.ParseXGBoost(strings.NewReader(strings.Replace(tiny, test.old, test.new, 1)))
			require.ErrorContains(t, err, test.want)
			require.Nil(t, e)
		})
	}
	_, err := gbdt.ParseXGBoost(brokenWriter{})
	require.ErrorIs(t, err, errBroken)
	dart := strings.Replace(string(xgbFile(t, "dart")), `"weight_drop":[`, `"weight_drop":[1,`, 1)
	_, err = gbdt.ParseXGBoost(strings.NewReader(dart))
	require.ErrorContains(t, err, "weight_drop has 9 entries for 8 trees")
}

// chainOfCategories is a file of a tree whose nodes, one under the other, each ask for one category, the greatest first.
func chainOfCategories(nodes, greatest, spaces int) string {
	lists := map[string]*strings.Builder{}
	add := func(values map[string]int) {
		for name, v := range values {
			if lists[name] == nil {
				lists[name] = new(strings.Builder)
			} else {
				lists[name].WriteByte(',')
			}
			lists[name].WriteString(strconv.Itoa(v))
		}
	}
	leaf := map[string]int{"left_children": -1, "right_children": -1, "split_indices": 0, "split_conditions": 1, "default_left": 0, "split_type": 0}
	for i := range nodes {
		add(map[string]int{"left_children": 2*i + 1, "right_children": 2*i + 2, "split_indices": i, "split_conditions": 0, "default_left": 0, "split_type": 1})
		add(leaf)
		add(map[string]int{"categories": greatest - i, "categories_nodes": 2 * i, "categories_segments": i, "categories_sizes": 1})
	}
	add(leaf)
	var fields []string
	for name, list := range lists {
		fields = append(fields, `"`+name+`":[`+list.String()+`]`)
	}
	return `{"learner":{"gradient_booster":{"name":"gbtree","model":{"trees":[{` + strings.Join(fields, ",") + strings.Repeat(" ", spaces) +
		`}]}},"learner_model_param":{"base_score":"5E-1","num_feature":"` + strconv.Itoa(nodes) + `"},"objective":{"name":"binary:logistic"}}}`
}

func TestXGBoostSetsStayWithinTheFile(t *testing.T) {
	_, err := gbdt.ParseXGBoost(strings.NewReader(chainOfCategories(60, 1<<20-1, 2<<20)))
	require.ErrorContains(t, err, "makes the sets too large for the size of the file", "white space buys no room")
	// What the reader allocates in all, its garbage counted, for sets as large as the file may have.
	for _, test := range []struct{ nodes, greatest int }{{60, 1<<15 - 1}, {2000, 3000}} {
		file := chainOfCategories(test.nodes, test.greatest, 0)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		e := parseXGBoost(t, []byte(file))
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20+60*len(file)), "a file of %d bytes", len(file))
		x := make([]float64, test.nodes)
		x[0] = float64(test.greatest)
		require.Equal(t, []int32{int32(test.nodes - 1)}, e.Leaves(x, nil), "the category is found: on to the next node, and off there")
		require.Contains(t, string(text(t, e)), "feature_infos="+strconv.Itoa(test.greatest)+" ")
	}
}

func FuzzParseXGBoost(f *testing.F) {
	f.Add([]byte(tiny))
	for _, name := range []string{"dart", "onehot", "stumps"} {
		f.Add(xgbFile(f, name))
	}
	f.Add([]byte(strings.Replace(tiny, `"left_children":[1,3`, `"left_children":[1,1`, 1)))
	f.Fuzz(func(t *testing.T, model []byte) {
		e, err := gbdt.ParseXGBoost(bytes.NewReader(model))
		if err == nil {
			requireUsable(t, e)
		}
	})
}

// FuzzXGBoostTrees fills the lists of a tree with whatever numbers, in a file that is well-formed otherwise.
func FuzzXGBoostTrees(f *testing.F) {
	f.Add([]byte{2, 0, 0}, []byte{3, 0, 0}, []byte{1, 0, 0}, []byte{0, 0, 0}, []byte{}, []byte{}, []byte{})
	f.Add([]byte{2, 4, 0, 0, 0}, []byte{3, 5, 0, 0, 0}, []byte{2, 1, 0, 0, 0}, []byte{0, 1, 0, 0, 0}, []byte{2, 70}, []byte{1}, []byte{2})
	f.Fuzz(func(t *testing.T, left, right, feature, kinds, categories, nodes, sizes []byte) {
		list := func(data []byte, shift int) string {
			var items []string
			for _, c := range data {
				items = append(items, strconv.Itoa(int(c)+shift))
			}
			return "[" + strings.Join(items, ",") + "]"
		}
		flags := make([]byte, len(left))
		for i := range flags {
			flags[i] = (left[i] ^ byte(i)) & 1
		}
		model := strings.NewReplacer(
			`[1,3,-1,-1,-1,-1]`, list(left, -1), `[2,4,-1,-1,-1,-1]`, list(right, -1), `[1,0,0,0,0,2147483647]`, list(feature, -1),
			`[0.5,1E-45,4,1,2,9]`, list(right, -3), `[0,1,0,0,0,0]`, list(kinds, 0), `[1,0,0,0,0,0]`, list(flags, 0), `[8,4,4,2,2,0]`, list(left, 0),
			`"categories":[1,33]`, `"categories":`+list(categories, 0), `"categories_nodes":[1]`, `"categories_nodes":`+list(nodes, 0),
			`"categories_segments":[0]`, `"categories_segments":`+list(sizes, -1), `"categories_sizes":[2]`, `"categories_sizes":`+list(sizes, 0),
		).Replace(tiny)
		e, err := gbdt.ParseXGBoost(strings.NewReader(model))
		if err != nil {
			return
		}
		requireUsable(t, e)
		explainer, err := gbdt.NewExplainer(e)
		if err != nil {
			return
		}
		x := make([]float64, e.Width())
		sum := explainer.Bias()
		for _, c := range explainer.Explain(x, nil) {
			sum += c
		}
		require.InDelta(t, e.Margin(x), sum, 1e-9)
	})
}
