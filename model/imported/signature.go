package imported

import (
	"bytes"
	"encoding/json"
	"slices"
)

// maxColumns bounds the inputs of a model.
const maxColumns = 10_000

// The types of a signature that can be served.
const (
	typeDouble  = "double"
	typeFloat   = "float"
	typeLong    = "long"
	typeInteger = "integer"
	typeBoolean = "boolean"
	typeString  = "string"
)

var servableTypes = []string{typeDouble, typeFloat, typeLong, typeInteger, typeBoolean, typeString}

// inputDoc is a column of a signature as MLflow writes it, and of a schema.json.
type inputDoc struct {
	Name       *string           `json:"name"`
	Type       string            `json:"type"`
	Required   *bool             `json:"required"`
	Optional   bool              `json:"optional"` // before MLflow 2.6
	Tensor     json.RawMessage   `json:"tensor-spec"`
	Categories []json.RawMessage `json:"categories"` // schema.json
}

// parseInputs reads the inputs of a signature: a JSON list of columns.
func parseInputs(file string, data []byte) ([]Column, error) {
	docs, err := decodeInputs(file, data)
	if err != nil {
		return nil, err
	}
	return columnsOf(file, docs)
}

func decodeInputs(file string, data []byte) ([]inputDoc, error) {
	var docs []inputDoc
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&docs); err != nil {
		return nil, refuse(file, "signature: the inputs are no list of columns: %v", err)
	}
	return docs, nil
}

// columnsOf checks columns, each of which must have a name and a type of a single value.
func columnsOf(file string, docs []inputDoc) ([]Column, error) {
	switch {
	case len(docs) == 0:
		return nil, refuse(file, "signature: there are no inputs")
	case len(docs) > maxColumns:
		return nil, refuse(file, "signature: %d inputs, at most %d can be served", len(docs), maxColumns)
	}
	columns := make([]Column, 0, len(docs))
	seen := make(map[string]bool, len(docs))
	for i, d := range docs {
		switch {
		case d.Type == "tensor" || d.Tensor != nil:
			return nil, refuse(file, "signature: input %d is a tensor: columns with names are needed, as an input_example that is a DataFrame gives them", i)
		case d.Name == nil || *d.Name == "":
			return nil, refuse(file, "signature: input %d has no name", i)
		case !slices.Contains(servableTypes, d.Type):
			return nil, refuse(file, "signature: column %q is of type %q; only %q can be served", clip(*d.Name), clip(d.Type), servableTypes)
		case seen[*d.Name]:
			return nil, refuse(file, "signature: column %q is there twice", clip(*d.Name))
		}
		seen[*d.Name] = true
		required := !d.Optional
		if d.Required != nil {
			required = *d.Required
		}
		columns = append(columns, Column{Name: *d.Name, Type: d.Type, Required: required})
	}
	return columns, nil
}
