package feature

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// FormatPassthrough is the version of the file that a passthrough pipeline is written as.
const FormatPassthrough = 3

// Input is one feature of a passthrough pipeline: a column of the schema under the name that the trees know it by.
type Input struct {
	Feature string `json:"feature"` // valid UTF-8, not empty, unique
	Column  string `json:"column"`
	// Levels are, for a categorical column, its values in the order of their codes 0, 1, ...: not empty, unique. nil for a numeric column.
	Levels []string `json:"levels,omitempty"`
}

// passthroughDoc is a passthrough pipeline as a file.
type passthroughDoc struct {
	Format int     `json:"format"`
	Inputs []Input `json:"inputs"`
}

// Passthrough returns a pipeline in which nothing is fitted: feature i is the column of inputs[i] as it is, NaN where it is missing, and of a
// categorical column the code of its level, NaN where the value is none of them. It is for trees that were trained elsewhere, on these
// columns. Each numeric and each categorical column of the schema must be the column of exactly one input. Its Rows are 0.
func Passthrough(sch *dataset.Schema, inputs []Input) (*Pipeline, error) {
	p, err := passthrough(sch, inputs)
	if err != nil {
		return nil, fmt.Errorf("passthrough features: %w", err)
	}
	return p, nil
}

// ParsePassthrough reads the document that [Pipeline.MarshalJSON] of a passthrough pipeline wrote. It refuses, as Parse does, unknown
// fields, fields in another spelling or there twice, and what Passthrough refuses. It never panics.
func ParsePassthrough(data []byte, sch *dataset.Schema) (*Pipeline, error) {
	p, err := parsePassthrough(data, sch)
	if err != nil {
		return nil, fmt.Errorf("parse features: %w", err)
	}
	return p, nil
}

func parsePassthrough(data []byte, sch *dataset.Schema) (*Pipeline, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var d passthroughDoc
	if err := dec.Decode(&d); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the object")
	}
	if err := checkKeys(data); err != nil {
		return nil, err
	}
	if d.Format != FormatPassthrough {
		return nil, fmt.Errorf("format %d, want %d", d.Format, FormatPassthrough)
	}
	return passthrough(sch, d.Inputs)
}

// IsPassthrough reports whether the pipeline was made by Passthrough or ParsePassthrough.
func (p *Pipeline) IsPassthrough() bool { return p.inputs != nil }

// passthrough checks the inputs and compiles them.
func passthrough(sch *dataset.Schema, inputs []Input) (*Pipeline, error) {
	p := &Pipeline{settings: settings{encoding: spec.EncodingNative}, inputs: make([]Input, 0, len(inputs))}
	features, columns := map[string]bool{}, map[string]Input{}
	for i, in := range inputs {
		switch {
		case in.Feature == "" || !utf8.ValidString(in.Feature):
			return nil, fmt.Errorf("input %d: feature name %q is empty or not valid UTF-8", i, in.Feature)
		case features[in.Feature]:
			return nil, fmt.Errorf("input %d: feature %q is there twice", i, in.Feature)
		}
		if _, twice := columns[in.Column]; twice {
			return nil, fmt.Errorf("input %d: column %q is there twice", i, in.Column)
		}
		features[in.Feature], columns[in.Column] = true, in
		p.inputs = append(p.inputs, Input{in.Feature, in.Column, slices.Clone(in.Levels)})
		p.names = append(p.names, in.Feature)
	}
	for slot, name := range sch.Numeric() {
		in, ok := columns[name]
		if !ok || in.Levels != nil {
			return nil, fmt.Errorf("column %q: want one input without levels", name)
		}
		p.numeric = append(p.numeric, numericColumn{name: name, slot: slot, moments: moments{Scale: 1}})
	}
	for slot, name := range sch.Categorical() {
		in, ok := columns[name]
		if !ok {
			return nil, fmt.Errorf("column %q: want one input with levels", name)
		}
		if err := checkLevels(in.Levels); err != nil {
			return nil, fmt.Errorf("column %q: %w", name, err)
		}
		p.categorical = append(p.categorical, categoricalColumn{
			name: name, slot: slot, encoding: spec.EncodingNative, levels: slices.Clone(in.Levels), missing: keepMissing, unseen: keepMissing})
	}
	if have := len(p.numeric) + len(p.categorical); have != len(inputs) {
		return nil, fmt.Errorf("%d inputs for %d columns", len(inputs), have)
	}
	p.compile()
	return p, nil
}

// checkLevels refuses levels that no value of a record can be.
func checkLevels(levels []string) error {
	if len(levels) == 0 {
		return errors.New("no levels")
	}
	seen := make(map[string]bool, len(levels))
	for i, level := range levels {
		if level == "" || !utf8.ValidString(level) || strings.TrimSpace(level) != level {
			return fmt.Errorf("level %d is %q: empty, not valid UTF-8, or with space around it", i, level)
		}
		if seen[level] {
			return fmt.Errorf("level %q is there twice", level)
		}
		seen[level] = true
	}
	return nil
}

// compileInputs makes the plan of a passthrough pipeline.
func (p *Pipeline) compileInputs() {
	places := make(map[string]int, len(p.inputs))
	for i := range p.inputs {
		places[p.inputs[i].Column] = i
	}
	pl := plan{width: len(p.inputs), derivedPlace: len(p.inputs)}
	for i := range p.numeric {
		c := &p.numeric[i]
		step := numericStep{slot: c.slot, place: places[c.name]}
		step.median, step.mean, step.scale = p.settings.neutral(c.moments)
		pl.numeric = append(pl.numeric, step)
	}
	for i := range p.categorical {
		c := &p.categorical[i]
		step := wordStep{slot: c.slot, place: places[c.name], width: 1, table: newWordTable(c.levels),
			level: []int32{groupMissing, groupUnseen}, value: []float64{math.NaN(), math.NaN()}}
		for code := range c.levels {
			step.level, step.value = append(step.level, int32(code)), append(step.value, float64(code))
		}
		pl.words = append(pl.words, step)
	}
	p.plan = pl
}

// passthroughJSON writes the pipeline on the terms of MarshalJSON.
func (p *Pipeline) passthroughJSON() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(passthroughDoc{FormatPassthrough, p.inputs}); err != nil {
		return nil, fmt.Errorf("encode features: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
