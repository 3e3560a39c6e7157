package imported

import (
	"encoding/json"
	"path"
	"strings"
)

// modelFiles are the names under which a bare model is looked for where schema.json does not name it.
var modelFiles = []string{"model.txt", "model.lgb", "model.json", "model.xgb"}

// schemaDoc is schema.json, which stands for an MLmodel file beside a bare model.
type schemaDoc struct {
	Model     string          `json:"model"`  // path; the one of modelFiles that exists by default
	Inputs    []inputDoc      `json:"inputs"` // as in a signature, and categories
	Example   json.RawMessage `json:"example"`
	Threshold json.Number     `json:"threshold"`
	Target    string          `json:"target"`
	Positive  string          `json:"positive"`
}

func describeSchema(s *source) (*description, error) {
	data, err := s.read(schemaFile, maxDescription)
	if err != nil {
		return nil, err
	}
	var doc schemaDoc
	if err := json.Unmarshal(nanAsNull(data), &doc); err != nil {
		return nil, refuse(schemaFile, "it can't be read: %v", err)
	}
	d := &description{file: schemaFile, threshold: doc.Threshold.String(), target: doc.Target, positive: doc.Positive,
		example: doc.Example, examples: exampleFiles}
	if d.columns, err = columnsOf(schemaFile, doc.Inputs); err != nil {
		return nil, err
	}
	for _, in := range doc.Inputs {
		if in.Categories == nil {
			continue
		}
		words, err := wordsOf(in.Categories)
		if err != nil {
			return nil, refuse(schemaFile, "column %q: %v", clip(*in.Name), err)
		}
		d.give(*in.Name, words)
	}
	if d.model, err = bareModel(s, doc.Model); err != nil {
		return nil, err
	}
	return d, nil
}

// bareModel returns the path of a model that has no MLmodel file.
func bareModel(s *source, named string) (string, error) {
	if named != "" {
		if named = path.Clean(named); !s.has(named) {
			return "", refuse(schemaFile, "its model %q was not logged", clip(named))
		}
		return named, nil
	}
	var found []string
	for _, name := range modelFiles {
		if s.has(name) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		return "", refuse(schemaFile, "it names no model, and of %s there are %d", strings.Join(modelFiles, ", "), len(found))
	}
	return found[0], nil
}
