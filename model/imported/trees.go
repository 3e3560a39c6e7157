package imported

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"telco-churn-mlops/model/gbdt"
)

// trained is what a model's file holds.
type trained struct {
	trees *gbdt.Ensemble
	named bool             // the features have names of their own
	words map[int][]string // categories that the file holds, by feature
	// coded are features whose values are codes of categories, which the file does not hold.
	coded map[int]bool
	// silent is true if the file holds categories that are not read here.
	silent bool
}

// readTrees reads the model's file. Which of the two formats it is follows from the description or else from its first byte.
func readTrees(s *source, d *description) (*trained, error) {
	data, err := s.read(d.model, maxModelBytes)
	if err != nil {
		return nil, err
	}
	if d.format == "" {
		if d.format = FormatLightGBM; bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
			d.format = FormatXGBoost
		}
	}
	if d.format == FormatXGBoost {
		return readXGBoost(d, data)
	}
	return readLightGBM(d, data)
}

// objectiveBinary is the one objective whose score is the probability of a class.
const objectiveBinary = "binary"

func readLightGBM(d *description, data []byte) (*trained, error) {
	trees, err := gbdt.ParseText(bytes.NewReader(data))
	if err != nil {
		return nil, refuse(d.model, "it is no LightGBM text model that can be served: %v", err)
	}
	if got := trees.Objective(); got != objectiveBinary {
		return nil, refuse(d.model, "its objective is %s: only binary classification can be served", got)
	}
	t := &trained{trees: trees}
	for i, name := range trees.FeatureNames() {
		t.named = t.named || name != "Column_"+strconv.Itoa(i)
	}
	if t.words, err = pandasWords(data, trees.Width()); err != nil {
		return nil, refuse(d.model, "%v", err)
	}
	return t, nil
}

// maxPandas is the greatest size in bytes of the categories in a LightGBM file.
const maxPandas = 4 << 20

// pandasWords returns the categories of the columns that were of pandas' type category, by feature. LightGBM's Python package writes them in the
// last line, in the order of the columns; which features these are is a parameter of the file.
func pandasWords(data []byte, width int) (map[int][]string, error) {
	const line, parameter = "\npandas_categorical:", "\n[categorical_feature:"
	i := bytes.LastIndex(data, []byte(line))
	if i < 0 {
		return nil, nil
	}
	text, _, _ := bytes.Cut(data[i+len(line):], []byte("\n"))
	if len(text) > maxPandas {
		return nil, fmt.Errorf("pandas_categorical has %d bytes, at most %d are read", len(text), maxPandas)
	}
	var lists [][]json.RawMessage
	if err := json.Unmarshal(text, &lists); err != nil {
		return nil, fmt.Errorf("pandas_categorical is no list of lists of categories: %w", err)
	}
	if len(lists) == 0 {
		return nil, nil
	}
	var features []int
	if i := bytes.LastIndex(data, []byte(parameter)); i >= 0 {
		text, _, _ := bytes.Cut(data[i+len(parameter):], []byte("]"))
		for item := range strings.SplitSeq(string(text[:min(len(text), 1<<20)]), ",") {
			n, err := strconv.Atoi(strings.TrimSpace(item))
			if err != nil || n < 0 || n >= width {
				return nil, fmt.Errorf("its parameter categorical_feature has %q, want the number of a feature below %d", clip(item), width)
			}
			features = append(features, n)
		}
	}
	if len(features) != len(lists) {
		return nil, fmt.Errorf("pandas_categorical has the categories of %d columns, and its parameter categorical_feature names %d: "+
			"which belong together can't be told", len(lists), len(features))
	}
	words := make(map[int][]string, len(lists))
	for k, list := range lists {
		if _, twice := words[features[k]]; twice {
			return nil, fmt.Errorf("its parameter categorical_feature names feature %d twice", features[k])
		}
		var err error
		if words[features[k]], err = wordsOf(list); err != nil {
			return nil, fmt.Errorf("pandas_categorical: list %d: %w", k, err)
		}
	}
	return words, nil
}

func readXGBoost(d *description, data []byte) (*trained, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return nil, refuse(d.model, "it is not JSON but XGBoost's old binary format or something else: log the model with model_format=\"json\"")
	}
	trees, info, err := gbdt.ReadXGBoost(bytes.NewReader(data))
	if err != nil {
		return nil, refuse(d.model, "it is no XGBoost JSON model that can be served (log it with model_format=\"json\"): %v", err)
	}
	if info.Objective != "binary:logistic" {
		return nil, refuse(d.model, "its objective is %s: only binary:logistic can be served", clip(info.Objective))
	}
	if strings.HasPrefix(d.class, "xgboost.sklearn.") && info.Best != 0 {
		if info.Best < 0 {
			return nil, refuse(d.model, "its best_iteration is none of its iterations")
		}
		trees = trees.First(info.Best) // as the class predicts
	}
	t := &trained{trees: trees, named: info.Named, coded: map[int]bool{}, silent: info.Categories}
	if len(info.Types) > 0 && len(info.Types) != trees.Width() {
		return nil, refuse(d.model, "feature_types has %d entries for %d features", len(info.Types), trees.Width())
	}
	for i, kind := range info.Types {
		if kind == "c" {
			t.coded[i] = true
		}
	}
	return t, nil
}
