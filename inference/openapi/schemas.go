package openapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"telco-churn-mlops/inference/openinference"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/explain"
	"telco-churn-mlops/model/spec"
)

// schemas are the shapes of all bodies.
func schemas(b *model.Bundle, o Options) object {
	out := object{
		"Record":      record(b),
		"Records":     object{"oneOf": []any{schema("Record"), list(schema("Record"), o.MaxRecords)}},
		"Answer":      answer(b),
		"Answers":     object{"oneOf": []any{schema("Answer"), object{"type": "array", "minItems": 1, "items": object{"anyOf": []any{schema("Answer"), schema("RowError")}}}}},
		"Explanation": explanation(b),
		"Problem": properties("One thing to say about a record.", []string{"loc", "msg", "type"}, object{
			"loc":  object{"type": "array", "description": "Where: body, the record's index in a list, the column.", "items": object{"type": []any{"string", "integer"}}},
			"msg":  text("What, in words."),
			"type": text("Which kind."),
		}),
		"RowError": properties("A faulty record of a list that was asked for with partial=true.", []string{"error"}, object{
			"error": properties("", []string{"detail"}, object{"detail": object{"type": "array", "minItems": 1, "items": schema("Problem")}}),
		}),
		"Error": properties("Why a request was not answered.", []string{"detail"}, object{
			"detail": object{"oneOf": []any{object{"type": "string"}, object{"type": "array", "minItems": 1, "items": schema("Problem")}}},
		}),
	}
	for name, s := range openInference(b, o) {
		out[name] = s
	}
	return out
}

func text(description string) object { return object{"type": "string", "description": description} }

func properties(description string, required []string, of object) object {
	s := object{"type": "object", "properties": of}
	if description != "" {
		s["description"] = description
	}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// list is a list of at least one, and at most so many where there is a bound.
func list(items object, most int) object {
	s := object{"type": "array", "minItems": 1, "items": items}
	if most > 0 {
		s["maxItems"] = most
	}
	return s
}

// bounds says what a request may hold.
func bounds(o Options) string {
	out := ""
	if o.MaxRecords > 0 {
		out += fmt.Sprintf(" of at most %d", o.MaxRecords)
	}
	if o.MaxBody > 0 {
		out += fmt.Sprintf("; the body has at most %d bytes", o.MaxBody)
	}
	return out
}

// record is the schema of what the model takes.
func record(b *model.Bundle) object {
	if b == nil {
		return object{"type": "object", "description": "No version is loaded: what a record is made of is not known yet."}
	}
	columns, required, order := object{}, []string{}, []string{}
	c := &b.Spec.Columns
	if c.ID != "" {
		order = append(order, c.ID)
		columns[c.ID] = object{"type": []any{"string", "null"}, "description": "Whom the record is about. A rollout sends the same one to the same version."}
	}
	for _, n := range c.Numeric {
		columns[n.Name], order = number(n), append(order, n.Name)
		if !n.Optional {
			required = append(required, n.Name)
		}
	}
	for _, k := range c.Categorical {
		columns[k.Name], order = category(k), append(order, k.Name)
		if !k.Optional {
			required = append(required, k.Name)
		}
	}
	s := properties("A record of the model's columns. null is a missing value.", required, columns)
	s["examples"], s["x-order"] = []any{Example(b)}, order
	return s
}

func number(n spec.Numeric) object {
	kind := "number"
	switch n.Type {
	case spec.NumberInteger:
		kind = "integer"
	case spec.NumberBoolean:
		return object{"type": []any{"boolean", "null"}}
	}
	s := object{"type": []any{kind, "null"}}
	if n.Min != nil {
		s["minimum"] = *n.Min
	}
	if n.Max != nil {
		s["maximum"] = *n.Max
	}
	return s
}

func category(k spec.Categorical) object {
	s := object{"type": []any{"string", "null"}}
	if len(k.Values) > 0 {
		values := make([]any, 0, len(k.Values)+1)
		for _, v := range k.Values {
			values = append(values, v)
		}
		s["enum"] = append(values, nil)
	}
	return s
}

// manyGolden is from how many golden rows on what is most common among them tells of nobody in particular.
const manyGolden = 20

// common returns the words of each column by how often the golden rows have them, none where there are few rows.
func common(b *model.Bundle) map[string]map[string]int {
	counts := map[string]map[string]int{}
	if len(b.Golden) < manyGolden {
		return counts
	}
	for _, g := range b.Golden {
		var row map[string]any
		if json.Unmarshal(g.Record, &row) != nil {
			continue // it was verified: only an example is at stake
		}
		for column, value := range row {
			if word, ok := value.(string); ok {
				if counts[column] == nil {
					counts[column] = map[string]int{}
				}
				counts[column][word]++
			}
		}
	}
	return counts
}

// Example returns a record that the model takes, made of what is typical and of nobody's own data: the median of each number within its range, and of
// each category the value that is most common among the bundle's golden rows, else the first. It has an id where the spec has a column for it. b may be nil.
func Example(b *model.Bundle) map[string]any {
	out := object{}
	if b == nil {
		return out
	}
	c := &b.Spec.Columns
	if c.ID != "" {
		out[c.ID] = "example-1"
	}
	for _, n := range c.Numeric {
		v, _ := b.Pipeline.Median(n.Name)
		if math.Abs(v) < 1e12 {
			v = math.Round(v*100) / 100
		}
		if n.Type == spec.NumberInteger {
			v = math.Round(v)
		}
		if n.Min != nil {
			v = max(v, *n.Min)
		}
		if n.Max != nil {
			v = min(v, *n.Max)
		}
		out[n.Name] = v
		if n.Type == spec.NumberBoolean {
			out[n.Name] = v >= 0.5
		}
	}
	counts := common(b)
	for _, k := range c.Categorical {
		values := k.Values
		if len(values) == 0 {
			values, _ = b.Pipeline.Vocabulary(k.Name)
		}
		out[k.Name] = nil
		if len(values) > 0 {
			out[k.Name] = slices.MaxFunc(values, func(a, b string) int { return cmp.Compare(counts[k.Name][a], counts[k.Name][b]) })
		}
	}
	return out
}

// labels are the words of the two classes.
func labels(b *model.Bundle) object {
	s := text("The class in the target's own words: the positive one from the threshold on.")
	if b != nil {
		s["enum"] = []any{b.Schema.Positive(), b.Schema.Negative()}
	}
	return s
}

func answer(b *model.Bundle) object {
	share := func(description string) object {
		return object{"type": "number", "minimum": 0, "maximum": 1, "description": description}
	}
	return properties("The score of one record.", []string{"prediction_id", "model", "version", "churn_probability", "label", "threshold"}, object{
		"prediction_id":     object{"type": "string", "format": "uuid", "description": "What an outcome is reported with later."},
		"model":             text("The model's name."),
		"version":           object{"type": "integer", "minimum": 1, "description": "The version that answered."},
		"churn_probability": share("Of the positive class."),
		"label":             labels(b),
		"threshold":         share("From which probability on the label is the positive one."),
		"warnings":          object{"type": "array", "minItems": 1, "description": "What was accepted and should be looked at.", "items": schema("Problem")},
		"explanation":       schema("Explanation"),
	})
}

func explanation(b *model.Bundle) object {
	amounts := object{"type": "object", "description": "What each column adds to the raw score; all of them and the bias add up to it.", "additionalProperties": object{"type": "number"}}
	if b != nil {
		var columns []string
		for _, n := range b.Spec.Columns.Numeric {
			columns = append(columns, n.Name)
		}
		for _, k := range b.Spec.Columns.Categorical {
			columns = append(columns, k.Name)
		}
		amounts["propertyNames"] = object{"enum": columns}
	}
	return properties("Why the record has its score, in terms of the trees' raw score before calibration: log-odds.",
		[]string{"bias", "raw_score", "contributions", "reasons"}, object{
			"bias":          object{"type": "number", "description": "The mean raw score."},
			"raw_score":     object{"type": "number"},
			"contributions": amounts,
			"reasons":       object{"type": "array", "maxItems": explain.MaxReasons, "items": object{"type": "string"}, "description": "The strongest contributions in words."},
		})
}

// openInference are the shapes of the Open Inference Protocol.
func openInference(b *model.Bundle, o Options) object {
	tensors := object{"type": "array", "items": schema("V2TensorMetadata")}
	parameters := object{"type": "object"}
	shape := func(least int) object {
		return object{"type": "array", "minItems": 1, "maxItems": 2, "items": object{"type": "integer", "minimum": least}}
	}
	datatype := object{"type": "string", "enum": []any{"BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"}}
	request := properties("", []string{"inputs"}, object{
		"id": text("Is in the answer."),
		"parameters": properties("", nil, object{
			"explain": object{"type": "boolean"}, "strict": object{"type": "boolean"}, "content_type": object{"type": "string"},
		}),
		"inputs":  object{"type": "array", "minItems": 1, "items": schema("V2Input")},
		"outputs": object{"type": "array", "items": properties("", []string{"name"}, object{"name": object{"type": "string", "enum": outputs()}, "parameters": parameters})},
	})
	request["examples"] = []any{flatExample(b)}
	return object{
		"V2Server": properties("", []string{"name", "version", "extensions"}, object{
			"name": object{"type": "string"}, "version": object{"type": "string"}, "extensions": object{"type": "array", "items": object{"type": "string"}},
		}),
		"V2Live":  properties("", []string{"live"}, object{"live": object{"type": "boolean"}}),
		"V2Ready": properties("", nil, object{"name": object{"type": "string"}, "ready": object{"type": "boolean"}, "error": text("Why it is not.")}),
		"V2Model": properties("", []string{"name", "platform", "inputs", "outputs"}, object{
			"name": object{"type": "string", "const": o.Model}, "versions": object{"type": "array", "items": object{"type": "string"}},
			"platform": object{"type": "string"}, "inputs": tensors, "outputs": tensors, "parameters": parameters,
		}),
		"V2TensorMetadata": properties("", []string{"name", "datatype", "shape"}, object{
			"name": object{"type": "string"}, "datatype": datatype, "shape": shape(-1), "parameters": parameters,
		}),
		"V2InferRequest": request,
		"V2Input": properties("", []string{"name", "shape", "datatype", "data"}, object{
			"name": object{"type": "string"}, "shape": shape(1), "datatype": datatype, "data": schema("V2Data"),
			"parameters": properties("", nil, object{"content_type": object{"type": "string"},
				"columns": object{"description": "The columns of a tensor of shape [n, k].", "oneOf": []any{object{"type": "string"}, object{"type": "array", "items": object{"type": "string"}}}}}),
		}),
		"V2Data":    object{"type": "array", "items": object{"anyOf": []any{schema("V2Element"), object{"type": "array", "items": schema("V2Element")}}}},
		"V2Element": object{"type": []any{"number", "string", "boolean", "null"}},
		"V2InferResponse": properties("", []string{"model_name", "outputs"}, object{
			"model_name": object{"type": "string", "const": o.Model}, "model_version": object{"type": "string"}, "id": object{"type": "string"},
			"parameters": properties("", nil, object{"warnings": text("What was accepted and should be looked at.")}),
			"outputs": object{"type": "array", "items": properties("", []string{"name", "shape", "datatype", "data"}, object{
				"name": object{"type": "string", "enum": outputs()}, "shape": shape(1), "datatype": datatype, "data": schema("V2Data"), "parameters": parameters,
			})},
		}),
		"V2Error": properties("", []string{"error"}, object{"error": text("What is wrong.")}),
	}
}

func outputs() []any {
	var out []any
	for _, name := range openinference.OutputNames() {
		out = append(out, name)
	}
	return out
}

// flatExample is a request for the example record, one input for each column.
func flatExample(b *model.Bundle) object {
	var inputs []any
	if b != nil {
		values := Example(b)
		for _, in := range openinference.Inputs(b) {
			inputs = append(inputs, object{"name": in.Name, "datatype": in.Datatype, "shape": []any{1}, "data": []any{values[in.Name]}})
		}
	}
	if inputs == nil {
		inputs = []any{object{"name": "records", "datatype": "BYTES", "shape": []any{1}, "data": []any{"{}"}}}
	}
	return object{"inputs": inputs}
}
