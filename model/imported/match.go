package imported

import (
	"slices"
	"strings"

	"telco-churn-mlops/model/feature"
)

// match pairs each feature of the trees with the column of its name, and gives columns of categories their words. The inputs are in the order of
// the features; the columns come back with their categories.
func match(d *description, t *trained) ([]feature.Input, []Column, error) {
	order, err := pair(d, t)
	if err != nil {
		return nil, nil, err
	}
	columns := slices.Clone(d.columns)
	inputs := make([]feature.Input, len(order))
	for f, name := range t.trees.FeatureNames() {
		c := &columns[order[f]]
		if c.Categories, err = categories(d, t, f, c); err != nil {
			return nil, nil, err
		}
		inputs[f] = feature.Input{Feature: name, Column: c.Name, Levels: c.Categories}
	}
	for column := range d.words {
		if !named(columns, column) {
			return nil, nil, refuse(d.file, "categories are given for %q, which is no column of the signature", clip(column))
		}
	}
	return inputs, columns, nil
}

// pair returns, for each feature, the place of its column. A model whose features have no names of their own was trained on an array: its
// features are the columns in the signature's order.
func pair(d *description, t *trained) ([]int, error) {
	names := t.trees.FeatureNames()
	if len(names) != len(d.columns) {
		return nil, refuse(d.file, "signature: %d columns, and the trees of %s take %d features: they must be the same", len(d.columns), d.model, len(names))
	}
	order := make([]int, len(names))
	byName := make(map[string]int, len(names))
	for i, c := range d.columns {
		byName[c.Name] = i
	}
	if d.format == FormatLightGBM { // which writes an underscore for each space of a name
		for i, c := range d.columns {
			if written := strings.ReplaceAll(c.Name, " ", "_"); written != c.Name {
				if _, taken := byName[written]; taken {
					return nil, refuse(d.file, "signature: the columns %q and %q have the same name in a LightGBM model", clip(c.Name), clip(written))
				}
				byName[written] = i
			}
		}
	}
	for f, name := range names {
		place, ok := byName[name]
		switch {
		case ok:
			order[f] = place
		case !t.named:
			for f := range order {
				order[f] = f
			}
			return order, nil
		default:
			return nil, refuse(d.model, "its feature %q is no column of the signature in %s", clip(name), d.file)
		}
	}
	return order, nil
}

// categories returns the words of a feature's column in the order of their codes, nil for a column of numbers.
func categories(d *description, t *trained, f int, c *Column) ([]string, error) {
	held, given := t.words[f], d.words[c.Name]
	words, from := held, d.model
	if held == nil {
		words, from = given, d.file
	}
	if words == nil {
		switch {
		case t.coded[f] && t.silent:
			return nil, refuse(d.model, "feature %q: the categories that XGBoost keeps in the file are not read here: log them as metadata, "+
				"categories: {column: [...]} in the order of their codes", clip(c.Name))
		case c.Type == typeString:
			return nil, refuse(d.model, "column %q is a string in the signature, and the file does not hold its categories: log them as metadata, "+
				"categories: {column: [...]} in the order of their codes, or train and log with the code as a number", clip(c.Name))
		}
		return nil, nil
	}
	words, err := checkWords(words)
	if err != nil {
		return nil, refuse(from, "column %q: %v", clip(c.Name), err)
	}
	if held != nil && given != nil {
		if same, err := checkWords(given); err != nil || !slices.Equal(same, words) {
			return nil, refuse(d.file, "column %q: the categories given are not those of %s", clip(c.Name), d.model)
		}
	}
	return words, nil
}
