package gbdt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// ParseXGBoost reads an ensemble from the JSON that XGBoost's save_model writes, of versions 1 to 3: boosters gbtree and dart,
// objectives binary:logistic, reg:logistic and binary:logitraw, numeric splits with a default side and categorical splits of both
// kinds. All trees count, those after a best iteration too. gblinear, several classes or targets, other objectives, and the binary
// UBJSON format are errors that say they are not supported.
//
// Margins are those of XGBoost within its single precision: it rounds each value to 32 bits and goes left if that is below the
// threshold; the threshold here is the greatest 64-bit number that it sends left, so that each row takes the same path. Sums
// are of 64 bits here. The base score becomes a part of the first tree. Sums of second derivatives are read as weights of nodes,
// counts of rows are not in the file. Features without names are called f0, f1, ... Categories are whole codes; where XGBoost
// sends a matching category right, the model here has it left.
//
// The result can be written as LightGBM's text and read back, and scores the same. One case has no room in that format: a
// categorical split whose missing values go to the side of the matching categories. [ParseText] reads it back as it was, while
// LightGBM itself would send missing values to the other side.
//
// Everything is checked before it is used, as [ParseText] does. Corrupt input gives an error, never a panic, and memory stays
// within a small multiple of the text: category sets are bits up to the greatest member here, and it is an error if all sets together take
// more than a quarter of a megabyte and than eight times the bytes of the trees, white space not counted.
func ParseXGBoost(r io.Reader) (*Ensemble, error) {
	e, _, err := ReadXGBoost(r)
	return e, err
}

// xgbFile is what is read of the file.
type xgbFile struct {
	Learner *struct {
		FeatureNames []string `json:"feature_names"`
		FeatureTypes []string `json:"feature_types"`
		Attributes   struct {
			BestIteration xgbNumber `json:"best_iteration"`
		} `json:"attributes"`
		Booster struct {
			Name   string    `json:"name"`
			Model  *xgbModel `json:"model"`
			GBTree struct {
				Model *xgbModel `json:"model"`
			} `json:"gbtree"`
			WeightDrop []float32 `json:"weight_drop"`
		} `json:"gradient_booster"`
		Param struct {
			BaseScore  xgbNumber `json:"base_score"`
			NumClass   xgbNumber `json:"num_class"`
			NumFeature xgbNumber `json:"num_feature"`
			NumTarget  xgbNumber `json:"num_target"`
		} `json:"learner_model_param"`
		Objective struct {
			Name string `json:"name"`
		} `json:"objective"`
	} `json:"learner"`
}

type xgbModel struct {
	Param struct {
		NumTrees xgbNumber `json:"num_trees"`
		Parallel xgbNumber `json:"num_parallel_tree"`
	} `json:"gbtree_model_param"`
	TreeInfo   []int32       `json:"tree_info"`
	Trees      xgbTrees      `json:"trees"`
	Categories xgbCategories `json:"cats"`
}

// xgbNumber is the text of a number, which XGBoost writes as a string, from version 3 on in brackets where there could be many.
type xgbNumber string

// UnmarshalJSON takes a string or a number.
func (n *xgbNumber) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if text, ok = strings.CutSuffix(inner, "]"); !ok {
			return fmt.Errorf("%q is no number", clip(inner))
		}
	}
	*n = xgbNumber(text)
	return nil
}

// in reports whether the number is one of some values.
func (n xgbNumber) in(values ...string) bool {
	return slices.Contains(values, string(n))
}

// xgbTrees are trees that are checked and turned into ours one after the other, so that a broken file costs no more than its
// first broken tree.
type xgbTrees struct {
	trees []tree
	// features is the greatest number of a feature that is split on.
	features int32
}

// UnmarshalJSON reads the list of trees.
func (l *xgbTrees) UnmarshalJSON(data []byte) error {
	words := setWords(data)
	in := json.NewDecoder(bytes.NewReader(data))
	if start, err := in.Token(); err != nil || start != json.Delim('[') {
		return errors.New("trees is not a list")
	}
	for in.More() {
		var x xgbTree
		if err := in.Decode(&x); err != nil {
			return fmt.Errorf("tree %d: %w", len(l.trees), err)
		}
		t, err := x.convert(words)
		if err != nil {
			return fmt.Errorf("tree %d: %w", len(l.trees), err)
		}
		words -= len(t.catWords)
		for _, f := range t.feature {
			l.features = max(l.features, f)
		}
		l.trees = append(l.trees, *t)
	}
	return nil
}

// setWords returns how many 32-bit words the category sets of a list of trees may take: two for each byte that is not white
// space, so that sets are a small multiple of what describes them. A categorical node takes some 80 bytes of a file that XGBoost wrote, which
// is room for 5,000 categories where sets are many; sets that are few may take a quarter of a megabyte whatever the file's size.
func setWords(data []byte) int {
	const (
		least   = 1 << 16
		perByte = 2
	)
	content := len(data)
	for _, space := range []string{" ", "\t", "\r", "\n"} {
		content -= bytes.Count(data, []byte(space))
	}
	return max(least, perByte*content)
}

func parseXGBoost(data []byte) (*Ensemble, XGBoostInfo, error) {
	file, model, err := decodeXGBoost(data)
	if err != nil {
		return nil, XGBoostInfo{}, err
	}
	e, err := file.ensemble(model, len(data))
	if err != nil {
		return nil, XGBoostInfo{}, err
	}
	return e, file.info(model), nil
}

// decodeXGBoost reads the file, whose trees are checked on the way, and checks that it is of a kind that is supported.
func decodeXGBoost(data []byte) (*xgbFile, *xgbModel, error) {
	if i := bytes.IndexByte(data, '{'); i >= 0 && i+1 < len(data) && strings.IndexByte("Lil", data[i+1]) >= 0 {
		return nil, nil, errors.New("the binary UBJSON format is not supported: save the model under a name that ends in .json")
	}
	var file xgbFile
	if err := json.Unmarshal(strictJSON(data), &file); err != nil {
		return nil, nil, err
	}
	if file.Learner == nil {
		return nil, nil, errors.New("no field learner")
	}
	model, err := file.model()
	if err != nil {
		return nil, nil, err
	}
	return &file, model, nil
}

// ensemble makes the ensemble of a file of a size.
func (f *xgbFile) ensemble(model *xgbModel, size int) (*Ensemble, error) {
	trees := model.Trees.trees
	if len(trees) == 0 {
		return nil, errors.New("no trees")
	}
	if n := model.Param.NumTrees; n != "" && string(n) != strconv.Itoa(len(trees)) {
		return nil, fmt.Errorf("num_trees is %q, but there are %d", clip(string(n)), len(trees))
	}
	if slices.ContainsFunc(model.TreeInfo, func(class int32) bool { return class != 0 }) {
		return nil, errors.New("trees of several classes are not supported")
	}
	names, err := f.names(size)
	if err != nil {
		return nil, err
	}
	if int(model.Trees.features) >= len(names) {
		return nil, fmt.Errorf("a tree splits on feature %d of %d", model.Trees.features, len(names))
	}
	if err := f.weigh(trees); err != nil {
		return nil, err
	}
	e := newEnsemble(names, xgbInfos(trees, len(names)), nil, trees)
	if f.Learner.Objective.Name == "reg:logistic" {
		e.objective.name = "cross_entropy"
	}
	return e, nil
}

// strictJSON returns the file with null for the bare words NaN, Infinity and -Infinity, which XGBoost writes where a number has
// no meaning, as the threshold of a categorical split, and which are no JSON.
func strictJSON(data []byte) []byte {
	if !bytes.Contains(data, []byte("NaN")) && !bytes.Contains(data, []byte("Inf")) {
		return data
	}
	strict := make([]byte, 0, len(data)+len(data)/8)
	for i, quoted := 0, false; i < len(data); i++ {
		word := 0
		switch {
		case quoted && data[i] == '\\' && i+1 < len(data):
			strict = append(strict, data[i])
			i++
		case data[i] == '"':
			quoted = !quoted
		case !quoted:
			for _, w := range [...]string{"NaN", "Infinity", "-Infinity"} {
				if bytes.HasPrefix(data[i:], []byte(w)) {
					word = len(w)
				}
			}
		}
		if word > 0 {
			strict = append(strict, "null"...)
			i += word - 1
			continue
		}
		strict = append(strict, data[i])
	}
	return strict
}

// model checks that the file is of a kind that is supported and returns its trees.
func (f *xgbFile) model() (*xgbModel, error) {
	l := f.Learner
	switch name := l.Objective.Name; name {
	case "binary:logistic", "reg:logistic", "binary:logitraw":
	default:
		return nil, fmt.Errorf("objective %q is not supported, only binary:logistic, reg:logistic and binary:logitraw", clip(name))
	}
	if !l.Param.NumClass.in("", "0", "1") {
		return nil, fmt.Errorf("num_class is %q: several classes are not supported", clip(string(l.Param.NumClass)))
	}
	if !l.Param.NumTarget.in("", "0", "1") {
		return nil, fmt.Errorf("num_target is %q: several targets are not supported", clip(string(l.Param.NumTarget)))
	}
	model := l.Booster.Model
	switch l.Booster.Name {
	case "gbtree":
	case "dart":
		model = l.Booster.GBTree.Model
	default:
		return nil, fmt.Errorf("booster %q is not supported, only gbtree and dart", clip(l.Booster.Name))
	}
	if model == nil {
		return nil, errors.New("no field model")
	}
	return model, nil
}

// names returns the names of the features, made up where there are none. The file's size bounds how many those may be.
func (f *xgbFile) names(size int) ([]string, error) {
	param := f.Learner.Param.NumFeature
	n, err := strconv.Atoi(string(param))
	if err != nil || n < 1 {
		return nil, fmt.Errorf("num_feature is %q, want a number of features", clip(string(param)))
	}
	names := f.Learner.FeatureNames
	if len(names) == 0 {
		const least = 1 << 16
		if n > max(size, least) {
			return nil, fmt.Errorf("num_feature is %d in a file of %d bytes without feature_names", n, size)
		}
		names = make([]string, n)
		for i := range names {
			names[i] = "f" + strconv.Itoa(i)
		}
	}
	if len(names) != n {
		return nil, fmt.Errorf("feature_names has %d entries, want %d", len(names), n)
	}
	return names, checkNames(names)
}

// weigh multiplies each tree by its weight in a dart booster and adds the base score to the first.
func (f *xgbFile) weigh(trees []tree) error {
	l := f.Learner
	if l.Booster.Name == "dart" {
		if len(l.Booster.WeightDrop) != len(trees) {
			return fmt.Errorf("weight_drop has %d entries for %d trees", len(l.Booster.WeightDrop), len(trees))
		}
		for i, weight := range l.Booster.WeightDrop {
			trees[i].scale(float64(weight))
		}
	}
	base, err := f.baseMargin()
	if err != nil {
		return err
	}
	if base != 0 {
		trees[0].addBias(base)
	}
	return nil
}

// baseMargin returns the base score as a margin. It is a probability in the file, but for binary:logitraw, where it has been a
// margin itself.
func (f *xgbFile) baseMargin() (float64, error) {
	score := f.Learner.Param.BaseScore
	if score == "" {
		score = "0.5"
	}
	base, err := strconv.ParseFloat(string(score), 32)
	if f.Learner.Objective.Name == "binary:logitraw" {
		if err != nil || base != base || math.IsInf(base, 0) {
			return 0, fmt.Errorf("base_score is %q, want a finite number", clip(string(score)))
		}
		return base, nil
	}
	if err != nil || !(base > 0 && base < 1) {
		return 0, fmt.Errorf("base_score is %q, want a probability", clip(string(score)))
	}
	if base == 0.5 {
		return 0, nil
	}
	return log(base) - log(1-base), nil
}

// scale multiplies every value of the tree.
func (t *tree) scale(by float64) {
	for i := range t.leafValue {
		t.leafValue[i] *= by
	}
	for i := range t.internalValue {
		t.internalValue[i] *= by
	}
	t.shrinkage *= by
}

// xgbInfos returns the feature infos of LightGBM's text: the range of the thresholds of a numeric feature, the categories that
// are in some set of a categorical one, none for a feature that is not split on.
func xgbInfos(trees []tree, width int) []string {
	low, high, sets := make([]float64, width), make([]float64, width), make([][]uint32, width)
	for f := range width {
		low[f], high[f] = math.Inf(1), math.Inf(-1)
	}
	for i := range trees {
		t := &trees[i]
		for node, f := range t.feature {
			if !t.categorical(node) {
				low[f], high[f] = min(low[f], t.threshold[node]), max(high[f], t.threshold[node])
				continue
			}
			words := t.words(node)
			if extra := len(words) - len(sets[f]); extra > 0 {
				sets[f] = append(sets[f], make([]uint32, extra)...)
			}
			for j, w := range words {
				sets[f][j] |= w
			}
		}
	}
	infos := make([]string, width)
	for f := range infos {
		infos[f] = "none"
		if low[f] <= high[f] {
			infos[f] = "[" + formatFloat(low[f]) + ":" + formatFloat(high[f]) + "]"
		}
		if categories := listOf(sets[f]); categories != "" {
			infos[f] = categories
		}
	}
	return infos
}

// listOf returns the categories of a set with a colon between them.
func listOf(set []uint32) string {
	var list []byte
	for i, w := range set {
		for ; w != 0; w &= w - 1 {
			if len(list) > 0 {
				list = append(list, ':')
			}
			list = strconv.AppendInt(list, int64(32*i+bits.TrailingZeros32(w)), 10)
		}
	}
	return string(list)
}
