package feature

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// The versions of the file that a pipeline is written as. A pipeline is written in the least one that can express it, so that programs
// which know only the first read what they can serve; Parse refuses every other.
const (
	// FormatUniform is for pipelines whose columns all have the same encoding, ordinal or one-hot.
	FormatUniform = 1
	// FormatVersion is for all others: each categorical column says how it is encoded.
	FormatVersion = 2
)

// document is a pipeline as a file for people to read. Floats are written as the shortest text that reads back as the same bits.
type document struct {
	Format      int              `json:"format"`
	FittedRows  int              `json:"fitted_rows"`
	Impute      string           `json:"impute"`
	Scale       string           `json:"scale"`
	Encoding    string           `json:"encoding"` // format 2: of columns without one of their own in the spec
	Target      *targetDoc       `json:"target,omitempty"`
	Numeric     []numericDoc     `json:"numeric"`
	Categorical []categoricalDoc `json:"categorical"`
	Derived     []derivedDoc     `json:"derived"`
	Features    []string         `json:"features"` // in column order
}

// targetDoc says how target encoding was fitted, where a column has it.
type targetDoc struct {
	Smoothing float64 `json:"smoothing"`
	Folds     int     `json:"folds"`
}

type momentsDoc struct {
	Observed int     `json:"observed"`
	Median   float64 `json:"median"`
	Mean     float64 `json:"mean"`
	Scale    float64 `json:"scale"`
}

type numericDoc struct {
	Column string `json:"column"`
	momentsDoc
}

type categoricalDoc struct {
	Column       string    `json:"column"`
	Encoding     string    `json:"encoding,omitempty"` // format 2
	Levels       []string  `json:"levels"`
	Folded       int       `json:"folded_levels"`
	MissingCode  *int      `json:"missing_code,omitempty"`  // ordinal, native; -1 = stays missing
	UnseenCode   *int      `json:"unseen_code,omitempty"`   // ordinal, native
	Values       []float64 `json:"values,omitempty"`        // target, parallel to levels
	MissingValue *float64  `json:"missing_value,omitempty"` // target
	UnseenValue  *float64  `json:"unseen_value,omitempty"`  // target
}

type derivedDoc struct {
	Name   string   `json:"name"`
	Op     spec.Op  `json:"op"`
	Of     []string `json:"of"`
	Equals []string `json:"equals,omitempty"`
	Above  *float64 `json:"above,omitempty"` // above_median: the median compared with
	momentsDoc
}

// MarshalJSON writes the pipeline: settings, and per column its median, mean and scale or its vocabulary, and the order of the
// features. The same pipeline gives the same bytes, and [Parse] reads it back bit for bit.
func (p *Pipeline) MarshalJSON() ([]byte, error) {
	if p.inputs != nil {
		return p.passthroughJSON()
	}
	d := document{
		Format: p.format(), FittedRows: p.rows,
		Impute: spec.ImputeNone, Scale: spec.ScaleNone, Encoding: p.settings.encoding,
		Numeric: []numericDoc{}, Categorical: []categoricalDoc{}, Derived: []derivedDoc{}, Features: p.names,
	}
	if p.settings.impute {
		d.Impute = spec.ImputeMedian
	}
	if p.settings.scale {
		d.Scale = spec.ScaleStandard
	}
	if p.usesTarget() {
		d.Target = &targetDoc{p.settings.smoothing, p.settings.folds}
	}
	for i := range p.numeric {
		d.Numeric = append(d.Numeric, numericDoc{p.numeric[i].name, momentsDoc(p.numeric[i].moments)})
	}
	for i := range p.categorical {
		d.Categorical = append(d.Categorical, p.categorical[i].doc(d.Format))
	}
	for i := range p.derived {
		c := &p.derived[i]
		doc := derivedDoc{Name: c.name, Op: c.op, Of: c.of, Equals: c.equals, momentsDoc: momentsDoc(c.moments)}
		if c.op == spec.OpAboveMedian {
			doc.Above = &c.bound
		}
		d.Derived = append(d.Derived, doc)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d); err != nil {
		return nil, fmt.Errorf("encode features: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// format returns the least version that can express the pipeline.
func (p *Pipeline) format() int {
	for i := range p.categorical {
		if e := p.categorical[i].encoding; e != p.settings.encoding || e != spec.EncodingOrdinal && e != spec.EncodingOneHot {
			return FormatVersion
		}
	}
	return FormatUniform
}

func (c *categoricalColumn) doc(format int) categoricalDoc {
	doc := categoricalDoc{Column: c.name, Levels: append([]string{}, c.levels...), Folded: c.folded}
	if format > FormatUniform {
		doc.Encoding = c.encoding
	}
	if c.coded() {
		doc.MissingCode, doc.UnseenCode = &c.missing, &c.unseen
	}
	if c.encoding == spec.EncodingTarget {
		doc.Values, doc.MissingValue, doc.UnseenValue = c.target.levels, &c.target.missing, &c.target.unseen
	}
	return doc
}

// Parse reads what MarshalJSON wrote for this spec and its schema. It refuses, naming the column, whatever could not have been fitted
// for them: another format, other settings, columns or derived features than the spec's, unknown fields, fields in another spelling or there twice, numbers that are not finite, a
// scale that is not above 0, a vocabulary that is not sorted and unique, codes without a meaning, feature names other than those that
// follow from the rest. It never panics.
func Parse(data []byte, s *spec.Spec, sch *dataset.Schema) (*Pipeline, error) {
	p, err := parse(data, s, sch)
	if err != nil {
		return nil, fmt.Errorf("parse features: %w", err)
	}
	return p, nil
}

func parse(data []byte, s *spec.Spec, sch *dataset.Schema) (*Pipeline, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var d document
	if err := dec.Decode(&d); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the object")
	}
	if err := checkKeys(data); err != nil {
		return nil, err
	}
	p, err := outline(s, sch)
	if err != nil {
		return nil, err
	}
	if err := d.check(s, p); err != nil {
		return nil, err
	}
	p.rows = d.FittedRows
	for i := range p.numeric {
		if err := p.numeric[i].load(d.Numeric[i], d.FittedRows); err != nil {
			return nil, fmt.Errorf("column %q: %w", p.numeric[i].name, err)
		}
	}
	for i := range p.categorical {
		if err := p.categorical[i].load(d.Categorical[i], d.Format); err != nil {
			return nil, fmt.Errorf("column %q: %w", p.categorical[i].name, err)
		}
	}
	for i := range p.derived {
		if err := p.derived[i].load(d.Derived[i], d.FittedRows); err != nil {
			return nil, fmt.Errorf("derived feature %q: %w", p.derived[i].name, err)
		}
	}
	if err := p.checkBounds(); err != nil {
		return nil, err
	}
	p.names = p.featureNames()
	if !slices.Equal(p.names, d.Features) {
		return nil, fmt.Errorf("features are %q, the columns give %q", d.Features, p.names)
	}
	p.compile()
	return p, nil
}

// check compares the document's frame with the spec's.
func (d *document) check(s *spec.Spec, p *Pipeline) error {
	f := s.Features
	switch {
	case d.Format != p.format():
		return fmt.Errorf("format %d, want %d for this spec", d.Format, p.format())
	case d.FittedRows < 1:
		return fmt.Errorf("fitted on %d rows", d.FittedRows)
	case d.Impute != f.Impute || d.Scale != f.Scale || d.Encoding != f.Encoding:
		return fmt.Errorf("impute %q, scale %q, encoding %q; the spec has %q, %q, %q", d.Impute, d.Scale, d.Encoding, f.Impute, f.Scale, f.Encoding)
	case (d.Target != nil) != p.usesTarget():
		return errors.New("target belongs to target encoding, where it is needed")
	case d.Target != nil && *d.Target != targetDoc{f.TargetSmoothing, f.TargetFolds}:
		return fmt.Errorf("target %+v, the spec has smoothing %v and %d folds", *d.Target, f.TargetSmoothing, f.TargetFolds)
	case len(d.Numeric) != len(p.numeric) || len(d.Categorical) != len(p.categorical) || len(d.Derived) != len(p.derived):
		return fmt.Errorf("%d numeric, %d categorical and %d derived columns; the spec has %d, %d and %d",
			len(d.Numeric), len(d.Categorical), len(d.Derived), len(p.numeric), len(p.categorical), len(p.derived))
	}
	return nil
}

func (c *numericColumn) load(d numericDoc, rows int) error {
	if d.Column != c.name {
		return fmt.Errorf("found column %q in its place", d.Column)
	}
	return c.moments.load(d.momentsDoc, rows)
}

func (m *moments) load(d momentsDoc, rows int) error {
	switch {
	case d.Observed < 0 || d.Observed > rows:
		return fmt.Errorf("%d values observed in %d rows", d.Observed, rows)
	case !finite(d.Median) || !finite(d.Mean) || !finite(d.Scale):
		return fmt.Errorf("median %v, mean %v, scale %v are not all finite", d.Median, d.Mean, d.Scale)
	case d.Scale <= 0:
		return fmt.Errorf("scale %v is not above 0", d.Scale)
	}
	*m = moments(d)
	return nil
}

func (c *categoricalColumn) load(d categoricalDoc, format int) error {
	if d.Column != c.name {
		return fmt.Errorf("found column %q in its place", d.Column)
	}
	if want := c.doc(format).Encoding; d.Encoding != want {
		return fmt.Errorf("encoding %q, the spec has %q", d.Encoding, want)
	}
	for i, level := range d.Levels {
		if level == "" {
			return fmt.Errorf("level %d is empty", i)
		}
		if i > 0 && level <= d.Levels[i-1] {
			return fmt.Errorf("level %q is not sorted after %q", level, d.Levels[i-1])
		}
	}
	if d.Folded < 0 {
		return fmt.Errorf("%d folded levels", d.Folded)
	}
	c.folded, c.levels = d.Folded, d.Levels
	if err := c.loadCodes(d); err != nil {
		return err
	}
	return c.loadTarget(d)
}

func (c *categoricalColumn) loadCodes(d categoricalDoc) error {
	if (d.MissingCode != nil) != c.coded() || (d.UnseenCode != nil) != c.coded() {
		return errors.New("missing_code and unseen_code belong to ordinal and native encoding, where both are needed")
	}
	if !c.coded() {
		return nil
	}
	isLevel := func(code int) bool { return code >= c.first() && code < c.first()+len(c.levels) }
	missing, unseen := c.own()
	if code := *d.MissingCode; code != missing && !isLevel(code) {
		return fmt.Errorf("missing_code %d is neither %d nor a level's", code, missing)
	}
	if code := *d.UnseenCode; code != unseen && !isLevel(code) {
		return fmt.Errorf("unseen_code %d is neither %d nor a level's", code, unseen)
	}
	c.missing, c.unseen = *d.MissingCode, *d.UnseenCode
	return nil
}

func (c *categoricalColumn) loadTarget(d categoricalDoc) error {
	is := c.encoding == spec.EncodingTarget
	if (d.MissingValue != nil) != is || (d.UnseenValue != nil) != is || !is && d.Values != nil {
		return errors.New("values, missing_value and unseen_value belong to target encoding, where they are needed")
	}
	if !is {
		return nil
	}
	if len(d.Values) != len(d.Levels) {
		return fmt.Errorf("%d values for %d levels", len(d.Values), len(d.Levels))
	}
	for _, v := range append([]float64{*d.MissingValue, *d.UnseenValue}, d.Values...) {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("value %v is no share", v)
		}
	}
	c.target = targetValues{levels: d.Values, missing: *d.MissingValue, unseen: *d.UnseenValue}
	return nil
}

func (c *derivedColumn) load(d derivedDoc, rows int) error {
	if d.Name != c.name || d.Op != c.op || !slices.Equal(d.Of, c.of) || !slices.Equal(d.Equals, c.equals) {
		return fmt.Errorf("found %q, %s of %q equal to %q in its place", d.Name, d.Op, d.Of, d.Equals)
	}
	if (d.Above != nil) != (c.op == spec.OpAboveMedian) {
		return errors.New("above belongs to above_median, where it is needed")
	}
	if d.Above != nil {
		if !finite(*d.Above) {
			return fmt.Errorf("above is %v", *d.Above)
		}
		c.bound = *d.Above
	}
	return c.moments.load(d.momentsDoc, rows)
}

// checkBounds holds each above_median to the median of its column.
func (p *Pipeline) checkBounds() error {
	for i := range p.derived {
		c := &p.derived[i]
		if c.op != spec.OpAboveMedian {
			continue
		}
		if m, _ := p.Median(c.of[0]); m != c.bound {
			return fmt.Errorf("derived feature %q: above is %v, the median of %q %v", c.name, c.bound, c.of[0], m)
		}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
