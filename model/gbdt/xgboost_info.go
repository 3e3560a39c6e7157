package gbdt

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// XGBoostInfo is what an XGBoost file says beside its trees.
type XGBoostInfo struct {
	Objective string   // such as "binary:logistic"
	Named     bool     // the features' names are the file's own, and not made up
	Types     []string // of the features, such as "float", "int", "i" or, for codes of categories, "c"; empty if the file does not say
	// Best is the number of trees up to the best iteration of early stopping, 0 if the file names none and -1 if it names one that it does not
	// hold. scikit-learn's classes predict with these alone, a Booster with all.
	Best int
	// Categories is true if the file holds the categories that codes stand for, as it does from version 3.1 on. They are not read.
	Categories bool
}

// xgbCategories is true if a file holds categories, in whatever form.
type xgbCategories bool

// UnmarshalJSON looks whether the field enc holds anything.
func (c *xgbCategories) UnmarshalJSON(data []byte) error {
	var held struct {
		Columns json.RawMessage `json:"enc"`
	}
	if err := json.Unmarshal(data, &held); err != nil {
		*c = true // in a form of a version to come
		return nil
	}
	switch string(held.Columns) {
	case "", "null", "[]", "{}":
	default:
		*c = true
	}
	return nil
}

// ReadXGBoost is [ParseXGBoost] with what else the file says.
func ReadXGBoost(r io.Reader) (*Ensemble, XGBoostInfo, error) {
	text, err := readAll(r)
	if err != nil {
		return nil, XGBoostInfo{}, fmt.Errorf("read xgboost model: %w", err)
	}
	e, info, err := parseXGBoost([]byte(text))
	if err != nil {
		return nil, XGBoostInfo{}, fmt.Errorf("parse xgboost model: %w", err)
	}
	return e, info, nil
}

// info returns what is known beside the trees.
func (f *xgbFile) info(model *xgbModel) XGBoostInfo {
	l := f.Learner
	return XGBoostInfo{
		Objective: l.Objective.Name, Named: len(l.FeatureNames) > 0, Types: l.FeatureTypes,
		Best: model.best(string(l.Attributes.BestIteration)), Categories: bool(model.Categories),
	}
}

// best returns the number of trees up to an iteration on the terms of [XGBoostInfo].
func (m *xgbModel) best(iteration string) int {
	if iteration == "" {
		return 0
	}
	parallel := 1
	if text := string(m.Param.Parallel); text != "" && text != "0" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return -1
		}
		parallel = n
	}
	n, err := strconv.Atoi(iteration)
	if err != nil || n < 0 || n >= len(m.Trees.trees)/parallel {
		return -1
	}
	return (n + 1) * parallel
}
