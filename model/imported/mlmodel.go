package imported

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
)

// The files that say what a model is.
const (
	mlmodelFile = "MLmodel"
	schemaFile  = "schema.json"
)

// The names under which MLflow keeps an example where the MLmodel file does not say.
var exampleFiles = []string{"input_example.json", "serving_input_example.json", "serving_input_payload.json"}

// description is what MLmodel or schema.json say.
type description struct {
	file    string // which of the two
	format  string // "" if the model's content decides
	model   string // the model's path
	class   string // Python's class of the model
	columns []Column
	// examples are the paths that an example may be under, the first that exists counts; example is one that stands in the file itself.
	examples []string
	example  json.RawMessage
	// words are the categories that were logged beside the model, by column.
	words            map[string][]string
	threshold        string // "" if none was logged
	target, positive string
}

// describe reads MLmodel, or schema.json where there is no MLmodel.
func describe(s *source) (*description, error) {
	switch {
	case s.has(mlmodelFile):
		return describeMLmodel(s)
	case s.has(schemaFile):
		return describeSchema(s)
	}
	for _, p := range slices.Sorted(maps.Keys(s.files)) {
		if path.Base(p) == mlmodelFile {
			return nil, refuse("", "there is no %s file at the top but one at %s: register the folder %s", mlmodelFile, clip(p), clip(path.Dir(p)))
		}
	}
	return nil, refuse("", "there is neither an %s file nor a %s that names the model's inputs", mlmodelFile, schemaFile)
}

func describeMLmodel(s *source) (*description, error) {
	data, err := s.read(mlmodelFile, maxDescription)
	if err != nil {
		return nil, err
	}
	t, err := parseTree(data)
	if err != nil {
		return nil, refuse(mlmodelFile, "it is not YAML that can be read: %v", err)
	}
	d := &description{file: mlmodelFile}
	if err := d.flavor(t); err != nil {
		return nil, err
	}
	if !s.has(d.model) {
		return nil, refuse(mlmodelFile, "flavor %s: its data file %q was not logged", d.format, clip(d.model))
	}
	inputs := at(t, "signature", "inputs")
	text, ok := inputs.(string)
	if !ok || strings.TrimSpace(text) == "" {
		return nil, refuse(mlmodelFile, "there is no signature with inputs: log the model with an input_example or a signature, so that its columns have names")
	}
	if d.columns, err = parseInputs(mlmodelFile, []byte(text)); err != nil {
		return nil, err
	}
	for _, key := range []string{"artifact_path", "serving_input_path"} {
		if p := textAt(t, "saved_input_example_info", key); p != "" {
			d.examples = append(d.examples, path.Clean(p))
		}
	}
	d.examples = append(d.examples, exampleFiles...)
	return d, d.metadata(at(t, "metadata"))
}

// flavor finds the flavor that can be served, and refuses what its data file can't be.
func (d *description) flavor(t tree) error {
	flavors, _ := at(t, "flavors").(map[string]any)
	for _, format := range []string{FormatLightGBM, FormatXGBoost} {
		if f, ok := flavors[format]; ok {
			d.format, d.model, d.class = format, textAt(f, "data"), textAt(f, "model_class")
		}
	}
	if d.format == "" {
		names := make([]string, 0, len(flavors))
		for name := range flavors {
			names = append(names, clip(name))
		}
		slices.Sort(names)
		return refuse(mlmodelFile, "its flavors are %q: only %s and %s models can be served", names[:min(len(names), 8)], FormatLightGBM, FormatXGBoost)
	}
	if d.model == "" {
		return refuse(mlmodelFile, "flavor %s names no data file", d.format)
	}
	d.model = path.Clean(d.model)
	switch ext := path.Ext(d.model); {
	case ext == ".pkl" || ext == ".skops":
		return refuse(d.model, "a Python object of class %s can't be served: log its booster_ (a lightgbm.Booster), which is saved as text", clip(d.class))
	case ext == ".ubj":
		return refuse(d.model, "XGBoost's binary UBJSON format is not servable: log the model with model_format=\"json\"")
	}
	return nil
}

// metadata reads what was logged beside the model: threshold, target, positive and categories.
func (d *description) metadata(t tree) error {
	d.threshold, d.target, d.positive = textAt(t, "threshold"), textAt(t, "target"), textAt(t, "positive")
	categories, _ := at(t, "categories").(map[string]any)
	for column, list := range categories {
		items, ok := list.([]any)
		if !ok {
			return refuse(d.file, "metadata: categories of column %q are no list", clip(column))
		}
		words := make([]string, 0, len(items))
		for i, item := range items {
			word, ok := item.(string)
			if !ok {
				return refuse(d.file, "metadata: category %d of column %q is no single value", i, clip(column))
			}
			words = append(words, word)
		}
		d.give(column, words)
	}
	return nil
}

// give notes the categories of a column.
func (d *description) give(column string, words []string) {
	if d.words == nil {
		d.words = map[string][]string{}
	}
	d.words[column] = words
}

// at follows keys through mappings; nil if one is not there.
func at(t tree, keys ...string) tree {
	for _, key := range keys {
		m, ok := t.(map[string]any)
		if !ok {
			return nil
		}
		t = m[key]
	}
	return t
}

// textAt returns the scalar under keys, "" if there is none.
func textAt(t tree, keys ...string) string {
	s, _ := at(t, keys...).(string)
	return s
}

// clip shortens untrusted text for a message.
func clip(text string) string {
	const most = 80
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
