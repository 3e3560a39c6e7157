package imported

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/spec"
)

// The formats of models.
const (
	FormatLightGBM = "lightgbm" // text
	FormatXGBoost  = "xgboost"  // JSON
)

// DefaultThreshold is the probability from which on a row counts as positive where none was logged.
const DefaultThreshold = 0.5

// Where nothing names them, the label's column and its positive value.
const (
	defaultTarget   = "target"
	defaultPositive = "1"
)

// Source is the files of one logged model. Name, List and Files are required.
type Source struct {
	// Name is the model's name in the registry: the key, which stays when a model is renamed. Any text but the empty one.
	Name string
	// List are the files' paths, relative to the model's folder, with slashes.
	List []string
	// Files returns the content of a file of List. It is called for few of them, and its error ends the import as it is: a store that is away
	// makes no model unservable. What it returns is not changed.
	Files func(path string) ([]byte, error)
	// Target is the label's column in a holdout, and Positive the value that counts as 1 there. Where they are empty, the model's metadata (or
	// schema.json) may name them, and else the target is "target" and the positive value "1".
	Target, Positive string
	// Threshold is the text of the run's param "threshold"; "" if it has none. The metadata's comes first, and DefaultThreshold last.
	Threshold string
}

// Info is what was found.
type Info struct {
	Format    string   `json:"format"` // FormatLightGBM or FormatXGBoost
	File      string   `json:"file"`   // the model's path
	Columns   []Column `json:"columns"`
	Threshold float64  `json:"threshold"`
	Examples  int      `json:"examples"` // rows of the example, of which golden rows are chosen
}

// Column is an input of the model.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // of the signature: double, float, long, integer, boolean or string
	Required bool   `json:"required"`
	// Categories are the words that the trees know, in the order of their codes; nil for a column of numbers.
	Categories []string `json:"categories,omitempty"`
}

// Unservable says why a model can't be served. It names the file and the rule, and the same files give it again.
type Unservable struct {
	File   string // "" if no file is to blame
	Reason string
}

// Error returns the sentence.
func (u *Unservable) Error() string {
	if u.File == "" {
		return u.Reason
	}
	return u.File + ": " + u.Reason
}

// refuse returns an *Unservable.
func refuse(file, format string, args ...any) error {
	return &Unservable{File: clip(file), Reason: strings.ToValidUTF8(fmt.Sprintf(format, args...), "\ufffd")}
}

// FromFiles makes a bundle of a logged model. The error is an *Unservable where the files are to blame, and wraps that of Source.Files where a
// file could not be read. The same files and names give the same bytes on one architecture. Info is filled as far as things were understood,
// with an error too.
func FromFiles(s Source) (*model.Bundle, Info, error) {
	src := newSource(s)
	d, err := describe(src)
	if err != nil {
		return nil, Info{}, err
	}
	info := Info{Format: d.format, File: d.model, Columns: d.columns}
	t, err := readTrees(src, d)
	info.Format = d.format
	if err != nil {
		return nil, info, err
	}
	inputs, columns, err := match(d, t)
	if err != nil {
		return nil, info, err
	}
	info.Columns = columns
	if info.Threshold, err = d.decide(s.Threshold); err != nil {
		return nil, info, err
	}
	rows, file, err := readExample(src, d)
	if err != nil {
		return nil, info, err
	}
	info.Examples = len(rows)
	b, err := bundle(src, d, t, inputs, info, exampleOf{rows, file})
	return b, info, err
}

// exampleOf is an example and the file that it stands in.
type exampleOf struct {
	rows []record
	file string
}

// bundle joins what was read.
func bundle(s *source, d *description, t *trained, inputs []feature.Input, info Info, example exampleOf) (*model.Bundle, error) {
	sp, err := specOf(s.Source, d, info.Columns)
	if err != nil {
		return nil, err
	}
	sch, err := dataset.NewSchema(sp)
	if err != nil {
		return nil, refuse(d.file, "signature: %v", err)
	}
	pipeline, err := feature.Passthrough(sch, inputs)
	if err != nil {
		return nil, refuse(d.model, "%v", err)
	}
	holdout, err := table(sch, example.rows, info.Columns)
	if err != nil {
		return nil, refuse(example.file, "the input example does not fit the signature: %v", err)
	}
	parts := model.Parts{
		Imported: d.format, Model: s.Name, Spec: sp, Pipeline: pipeline, Trees: t.trees, Threshold: info.Threshold, Holdout: holdout,
	}
	b, err := model.New(parts)
	if err != nil {
		return nil, refuse(d.model, "%v", err)
	}
	known, err := measured(s, &parts, b)
	switch {
	case err != nil:
		return nil, err
	case !known:
		return b, nil
	}
	if b, err = model.New(parts); err != nil {
		return nil, refuse(d.model, "%v", err)
	}
	return b, nil
}

// decide returns the threshold: the logged one, the run's, or the default.
func (d *description) decide(param string) (float64, error) {
	text, file := d.threshold, d.file
	if text == "" {
		text, file = param, ""
	}
	if text == "" {
		return DefaultThreshold, nil
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(v >= 0 && v <= 1) || math.Signbit(v) {
		return 0, refuse(file, "the threshold logged is %q, want a number from 0 to 1", clip(text))
	}
	return v, nil
}

// specOf returns a spec that names the model's columns and target. Nothing in it was fitted, monitored or gated by.
func specOf(s Source, d *description, columns []Column) (*spec.Spec, error) {
	sp := spec.Default()
	sp.Name = model.SpecName(s.Name)
	sp.Features.Impute, sp.Features.Scale, sp.Features.Encoding = spec.ImputeNone, spec.ScaleNone, spec.EncodingNative
	sp.Columns.Missing = []string{"NaN"}
	for _, c := range columns {
		if slices.Contains(c.Categories, "NaN") {
			sp.Columns.Missing = []string{}
		}
		if c.Categories != nil {
			sp.Columns.Categorical = append(sp.Columns.Categorical,
				spec.Categorical{Name: c.Name, Values: c.Categories, MaxLevels: len(c.Categories), Optional: !c.Required})
			continue
		}
		n := spec.Numeric{Name: c.Name, Optional: !c.Required}
		switch c.Type {
		case typeBoolean:
			n.Type = spec.NumberBoolean
		case typeLong, typeInteger:
			n.Type = spec.NumberInteger
		}
		sp.Columns.Numeric = append(sp.Columns.Numeric, n)
	}
	sp.Columns.Target = spec.Target{
		Name: first(s.Target, d.target, freeName(defaultTarget, columns)), Positive: first(s.Positive, d.positive, defaultPositive)}
	sp.Complete()
	if sp.Columns.Target.Negative == "" {
		sp.Columns.Target.Negative = spec.AnyOther
	}
	text, err := sp.Marshal()
	if err != nil {
		return nil, refuse(d.file, "its columns can't be those of a spec: %v", err)
	}
	if len(text) > maxDescription {
		return nil, refuse(d.file, "its columns and categories take %d bytes, at most %d can be served", len(text), maxDescription)
	}
	return sp, nil
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// freeName returns a name that no column has: the name, or it with underscores.
func freeName(name string, columns []Column) string {
	for named(columns, name) {
		name += "_"
	}
	return name
}
