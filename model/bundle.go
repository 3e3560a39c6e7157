package model

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"unicode/utf8"

	"telco-churn-mlops/model/baseline"
	"telco-churn-mlops/model/calibrate"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
)

// FormatVersion is the version of the bundle's layout. Decode refuses every other.
const FormatVersion = 1

// Manifest says what a bundle is. It holds neither the time nor the run of its making: the same data, spec and seed give the same bytes.
type Manifest struct {
	Format             int                `json:"format"`              // FormatVersion
	Model              string             `json:"model"`               // the spec's name; of an imported one see SpecName
	Imported           string             `json:"imported,omitempty"`  // format of the file that the trees came from; "" where they were trained here
	SpecDigest         string             `json:"spec_digest"`         // spec.Spec.Digest
	DatasetFingerprint string             `json:"dataset_fingerprint"` // of the rows it was made from
	Seed               uint64             `json:"seed"`                // of the learner
	Threshold          float64            `json:"threshold"`           // positive if probability >= threshold; in [0, 1]
	Metrics            map[string]float64 `json:"metrics"`             // on the holdout at the threshold; finite
	Rows               RowCounts          `json:"rows"`
	Period             baseline.Period    `json:"period"` // which rows it was made from
	Schema             Columns            `json:"schema"` // the columns of a record
	Features           int                `json:"features"`
	Trees              int                `json:"trees"`
	GoArch             string             `json:"goarch"` // the architecture that made it; equal bytes are promised on one only
	Files              map[string]string  `json:"files"`  // SHA-256 in hex of every other part, by name
	Digest             string             `json:"digest"` // SHA-256 in hex of the manifest itself with Digest empty
}

// RowCounts are the numbers of rows of a run's parts.
type RowCounts struct {
	Training   int `json:"training"`
	Validation int `json:"validation"`
	Holdout    int `json:"holdout"`
}

// Columns names the columns of a record, for those who read a manifest without the spec.
type Columns struct {
	ID          string   `json:"id"` // "" if a row's digest is its id
	Target      string   `json:"target"`
	Positive    string   `json:"positive"`
	Numeric     []string `json:"numeric"`
	Categorical []string `json:"categorical"`
}

// Baselines are the two pictures of the data that a bundle carries.
type Baselines struct {
	Training  baseline.Baseline `json:"training"`  // the training split
	Reference baseline.Baseline `json:"reference"` // what drift compares with
}

// Bundle is a model with all that belongs to it. One whose Manifest.Imported is set was trained elsewhere: its spec only names columns and
// target, its pipeline is a passthrough, and it has neither a calibration nor baselines. It is immutable: nobody writes to its fields or to what they point at. Make one with
// [New] or [Decode]; the zero value is not valid.
type Bundle struct {
	Manifest Manifest
	Spec     *spec.Spec // without Dataset
	Schema   *dataset.Schema
	Pipeline *feature.Pipeline
	Trees    *gbdt.Ensemble
	// Calibrator makes the published probability of the trees' one; the zero value leaves it as it is.
	Calibrator calibrate.Calibrator
	Baselines  Baselines // zero where HasBaselines is false
	Golden     []Golden

	files []File // the parts as written
}

// Parts is what a bundle is made of. Spec, Pipeline, Trees, Baselines, Holdout and HoldoutRows are required; with Imported, Model is and
// Baselines must be zero.
type Parts struct {
	// Imported is the format of the file that the trees came from, and Model the model's name, any text; both are "" for a model trained here,
	// whose name is the spec's.
	Imported, Model    string
	Spec               *spec.Spec
	Pipeline           *feature.Pipeline
	Trees              *gbdt.Ensemble
	Calibrator         calibrate.Calibrator // of the spec's method; the zero value is none
	Baselines          Baselines
	Threshold          float64
	Metrics            map[string]float64
	Rows               RowCounts
	Seed               uint64
	DatasetFingerprint string
	Period             baseline.Period
	// Holdout is a table by the schema of Spec, and HoldoutRows are the rows of it that golden rows are chosen from: at most
	// MaxGolden, covering both labels, missing values and the levels, the same ones for the same rows. nil stands for all rows.
	Holdout     *dataset.Table
	HoldoutRows []int
}

// New joins the parts and scores the golden rows. It fails if the parts do not fit each other (the trees' feature names are not the
// pipeline's, the name is not the spec's, the pipeline's columns, a baseline's or the calibration are not the spec's), on a threshold outside [0, 1], a metric that is not finite, a
// negative count, or no holdout row; and if what it made does not decode and verify. The spec is copied, and the place of its dataset left out of the copy, as it is no part of the model.
func New(p Parts) (*Bundle, error) {
	b, err := assemble(p)
	if err != nil {
		return nil, fmt.Errorf("make bundle: %w", err)
	}
	return b, nil
}

func assemble(p Parts) (*Bundle, error) {
	if p.Spec == nil || p.Pipeline == nil || p.Trees == nil || p.Holdout == nil {
		return nil, errors.New("spec, pipeline, trees or holdout is nil")
	}
	s := withoutDataset(p.Spec)
	sch, err := dataset.NewSchema(s)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	b := &Bundle{Spec: s, Schema: sch, Pipeline: p.Pipeline, Trees: p.Trees, Calibrator: p.Calibrator, Baselines: p.Baselines}
	name := p.Model
	if p.Imported == "" {
		name = s.Name
	}
	b.Manifest = Manifest{
		Format: FormatVersion, Model: name, Imported: p.Imported, SpecDigest: s.Digest(), DatasetFingerprint: p.DatasetFingerprint,
		Seed: p.Seed, Threshold: p.Threshold, Metrics: maps.Clone(p.Metrics), Rows: p.Rows, Period: p.Period,
		Schema: columns(sch), Features: p.Pipeline.Width(), Trees: p.Trees.Trees(), GoArch: runtime.GOARCH,
	}
	if b.Manifest.Metrics == nil {
		b.Manifest.Metrics = map[string]float64{}
	}
	if err := b.checkFit(); err != nil {
		return nil, err
	}
	for _, r := range chooseGolden(p.Pipeline, p.Holdout, p.HoldoutRows) {
		b.Golden = append(b.Golden, b.golden(p.Holdout, r))
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	contents, err := b.contents()
	if err != nil {
		return nil, err
	}
	b.Manifest.Files = digests(contents)
	if b.Manifest.Digest, err = b.Manifest.digest(); err != nil {
		return nil, err
	}
	manifest, err := b.Manifest.encode()
	if err != nil {
		return nil, err
	}
	b.files = append([]File{{ManifestFile, manifest}}, contents...)
	return b, b.prove()
}

// prove reads the bundle back and verifies it: what cannot be loaded should fail the run that made it and not its first reader.
func (b *Bundle) prove() error {
	data, err := b.Encode()
	if err != nil {
		return err
	}
	read, err := Decode(data)
	if err != nil {
		return err
	}
	return read.Verify()
}

// withoutDataset returns a copy of the spec that does not say where its data is.
func withoutDataset(s *spec.Spec) *spec.Spec {
	c := s.Clone()
	c.Dataset = spec.Default().Dataset
	return c
}

func columns(sch *dataset.Schema) Columns {
	return Columns{
		ID: sch.ID(), Target: sch.Target(), Positive: sch.Positive(),
		Numeric: append([]string{}, sch.Numeric()...), Categorical: append([]string{}, sch.Categorical()...),
	}
}

func (c Columns) equal(o Columns) bool {
	return c.ID == o.ID && c.Target == o.Target && c.Positive == o.Positive &&
		slices.Equal(c.Numeric, o.Numeric) && slices.Equal(c.Categorical, o.Categorical)
}

// check reports the first way in which the parts do not belong together.
func (b *Bundle) check() error {
	if err := b.checkManifest(); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := b.checkFit(); err != nil {
		return err
	}
	if err := b.checkBaselines(); err != nil {
		return err
	}
	return b.checkGolden()
}

// HasBaselines reports whether the bundle says what its training data looked like. An imported one does not, and there is nothing that its
// traffic could be compared with.
func (b *Bundle) HasBaselines() bool { return b.Manifest.Imported == "" }

// importedSpec is the spec's name of an imported bundle whose model has a name that no spec can have.
const importedSpec = "imported"

// SpecName returns the name of the spec of an imported model: the model's own where a spec can have it, else "imported".
func SpecName(model string) string {
	if spec.ValidName(model) {
		return model
	}
	return importedSpec
}

// checkBaselines holds both baselines to the spec, and an imported bundle to having none.
func (b *Bundle) checkBaselines() error {
	if !b.HasBaselines() {
		if b.Baselines.Training.Columns != nil || b.Baselines.Reference.Columns != nil {
			return errors.New("an imported model has no baselines")
		}
		return nil
	}
	for _, part := range []struct {
		name     string
		baseline *baseline.Baseline
	}{{"training", &b.Baselines.Training}, {"reference", &b.Baselines.Reference}} {
		if err := b.checkBaseline(part.baseline); err != nil {
			return fmt.Errorf("%s baseline: %w", part.name, err)
		}
	}
	return nil
}

// checkFit holds the trees to the pipeline, and the calibration to the spec.
func (b *Bundle) checkFit() error {
	names, features := b.Trees.FeatureNames(), b.Pipeline.Names()
	if len(names) != len(features) {
		return fmt.Errorf("trees take %d features, the pipeline gives %d", len(names), len(features))
	}
	for i := range names {
		if names[i] != features[i] {
			return fmt.Errorf("feature %d is %q for the trees, %q for the pipeline", i, names[i], features[i])
		}
	}
	if imported := b.Manifest.Imported != ""; b.Pipeline.IsPassthrough() != imported {
		return errors.New("a passthrough pipeline belongs to an imported model, and no other does")
	}
	if got, want := string(b.Calibrator.Method()), string(b.Spec.Calibration); got != want {
		return fmt.Errorf("calibration is %s, the spec says %s", got, want)
	}
	return nil
}

func (b *Bundle) checkManifest() error {
	m := &b.Manifest
	switch {
	case m.Format != FormatVersion:
		return fmt.Errorf("format %d, want %d", m.Format, FormatVersion)
	case m.Imported == "" && m.Model != b.Spec.Name, m.Imported != "" && SpecName(m.Model) != b.Spec.Name:
		return fmt.Errorf("model %q, the spec's name is %q", m.Model, b.Spec.Name)
	case m.Imported != "" && (m.Model == "" || !utf8.ValidString(m.Model) || !utf8.ValidString(m.Imported)):
		return fmt.Errorf("imported model %q of format %q: not a text", m.Model, m.Imported)
	case m.Imported != "" && b.Spec.Calibration != spec.CalibrationNone:
		return fmt.Errorf("an imported model with calibration %s", b.Spec.Calibration)
	case m.SpecDigest != b.Spec.Digest():
		return fmt.Errorf("spec digest %s, the spec's is %s", m.SpecDigest, b.Spec.Digest())
	case !(m.Threshold >= 0 && m.Threshold <= 1):
		return fmt.Errorf("threshold %v is not in [0, 1]", m.Threshold)
	case m.Rows.Training < 0 || m.Rows.Validation < 0 || m.Rows.Holdout < 0:
		return fmt.Errorf("rows %+v: negative", m.Rows)
	case !m.Schema.equal(columns(b.Schema)):
		return errors.New("schema is not the spec's")
	case m.Features != b.Pipeline.Width() || m.Trees != b.Trees.Trees():
		return fmt.Errorf("%d features and %d trees, there are %d and %d", m.Features, m.Trees, b.Pipeline.Width(), b.Trees.Trees())
	}
	for _, name := range slices.Sorted(maps.Keys(m.Metrics)) {
		if v := m.Metrics[name]; math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("metric %q is %v", name, v)
		}
	}
	return nil
}

// probability is what the bundle publishes for a margin.
func (b *Bundle) probability(margin float64) float64 {
	return b.Calibrator.Apply(b.Trees.FromMargin(margin))
}

// checkBaseline holds a baseline to the spec's columns.
func (b *Bundle) checkBaseline(base *baseline.Baseline) error {
	if err := base.Validate(); err != nil {
		return err
	}
	for i := range base.Columns {
		ref := &base.Columns[i]
		columns := b.Schema.Numeric()
		if ref.Kind == baseline.Categorical {
			columns = b.Schema.Categorical()
		}
		if !slices.Contains(columns, ref.Column) {
			return fmt.Errorf("the spec has no %s column %q", ref.Kind, ref.Column)
		}
	}
	return nil
}
