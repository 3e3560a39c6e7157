// Package modeltest makes small models for tests: rows that follow from a spec and a seed, and bundles fitted on them. Only tests
// import it. Everything in it is deterministic: the same options give the same rows and the same bundle, byte for byte.
package modeltest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/baseline"
	"telco-churn-mlops/model/calibrate"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
)

// Options say which rows and which model. The zero value is usable.
type Options struct {
	Spec     *spec.Spec // default spec.Telco()
	Rows     int        // default 600, at least 50; the first 60 % train, the next 20 % validate, the rest is the holdout
	Seed     uint64     // of the rows
	Relation uint64     // which columns decide the label, three at a time; an odd one is the opposite of the even one before it
	Trees    int        // upper bound; default 20
	RunID    string     // stands in the dataset fingerprint, so that two runs differ in their bytes
	IDPrefix string     // of the rows' ids; default "id-"
}

func (o Options) complete() Options {
	if o.Spec == nil {
		o.Spec = spec.Telco()
	}
	if o.Rows == 0 {
		o.Rows = 600
	}
	if o.Trees == 0 {
		o.Trees = 20
	}
	if o.IDPrefix == "" {
		o.IDPrefix = "id-"
	}
	return o
}

// Table returns generated rows with labels. Numbers lie in their column's bounds, categories are of the column's closed set (or a, b,
// c where there is none), and in one row of fifty the last numeric column is missing. About two fifths of the labels are positive.
func Table(tb testing.TB, o Options) *dataset.Table {
	tb.Helper()
	o = o.complete()
	sch, err := dataset.NewSchema(o.Spec)
	require.NoError(tb, err)
	g := newGenerator(o)
	t, row := dataset.NewTable(sch), sch.NewRow()
	for i := range o.Rows {
		g.fill(row, i)
		t.Append(row)
	}
	return t
}

// Records returns the rows of Table as JSON objects without their labels, as a client of the model would send them.
func Records(tb testing.TB, o Options) [][]byte {
	tb.Helper()
	t := Table(tb, o)
	row := t.Schema().NewRow()
	out := make([][]byte, t.Len())
	for i := range out {
		out[i] = t.Schema().AppendJSON(nil, t.Row(i, row), false)
	}
	return out
}

// Bundle returns a model fitted on the rows of Table.
func Bundle(tb testing.TB, o Options) *model.Bundle {
	tb.Helper()
	b, err := model.New(Parts(tb, o))
	require.NoError(tb, err)
	return b
}

// Encoded returns the bytes of Bundle.
func Encoded(tb testing.TB, o Options) []byte {
	tb.Helper()
	data, err := Bundle(tb, o).Encode()
	require.NoError(tb, err)
	return data
}

// Broken returns an encoded bundle that decodes and does not verify: the first golden row's expected margin is another one.
func Broken(tb testing.TB, o Options) []byte {
	tb.Helper()
	b := Bundle(tb, o)
	files, err := b.Files()
	require.NoError(tb, err)
	golden := append([]model.Golden(nil), b.Golden...)
	golden[0].Margin++
	for i := range files {
		if files[i].Name == model.GoldenFile {
			files[i].Data, err = json.Marshal(golden)
			require.NoError(tb, err)
		}
	}
	return Seal(tb, files)
}

// Seal returns an archive of the files, as someone who means harm would write it: with a manifest that holds the digests of the others
// as they are now.
func Seal(tb testing.TB, files []model.File) []byte {
	tb.Helper()
	require.Equal(tb, model.ManifestFile, files[0].Name)
	var m model.Manifest
	require.NoError(tb, json.Unmarshal(files[0].Data, &m))
	encode := func() []byte {
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		require.NoError(tb, enc.Encode(m))
		return out.Bytes()
	}
	m.Files, m.Digest = map[string]string{}, ""
	for _, f := range files[1:] {
		m.Files[f.Name] = fmt.Sprintf("%x", sha256.Sum256(f.Data))
	}
	m.Digest = fmt.Sprintf("%x", sha256.Sum256(encode()))
	return Archive(tb, append([]model.File{{Name: model.ManifestFile, Data: encode()}}, files[1:]...))
}

// Archive returns the files in an archive with the headers that a bundle has.
func Archive(tb testing.TB, files []model.File) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Typeflag: tar.TypeReg, Size: int64(len(f.Data)), Mode: 0o644, Format: tar.FormatUSTAR}
		require.NoError(tb, w.WriteHeader(h))
		_, err := w.Write(f.Data)
		require.NoError(tb, err)
	}
	require.NoError(tb, w.Close())
	return out.Bytes()
}

// HoldoutCSV returns the holdout rows of Table as the file that a run publishes.
func HoldoutCSV(tb testing.TB, o Options) []byte {
	tb.Helper()
	t := Table(tb, o)
	_, _, holdout := split(t.Len())
	var out bytes.Buffer
	require.NoError(tb, t.WriteCSV(&out, holdout))
	return out.Bytes()
}

// Parts returns what Bundle is made of.
func Parts(tb testing.TB, o Options) model.Parts {
	tb.Helper()
	o = o.complete()
	t := Table(tb, o)
	train, valid, holdout := split(t.Len())
	p, err := feature.Fit(o.Spec, t.Schema(), t, train, nil)
	require.NoError(tb, err)
	trees := fitTrees(tb, o, p, t, train, valid)
	calibrator, err := calibrate.Fit(calibrate.Method(o.Spec.Calibration), scores(p, trees, t, valid), labels(t, valid), nil)
	require.NoError(tb, err)
	calibrated := func(rows []int) []float64 {
		out := scores(p, trees, t, rows)
		for i := range out {
			out[i] = calibrator.Apply(out[i])
		}
		return out
	}
	threshold, _, err := eval.BestF1Threshold(calibrated(valid), labels(t, valid), nil)
	require.NoError(tb, err)
	holdoutScores := calibrated(holdout)
	metrics, err := eval.Evaluate(holdoutScores, labels(t, holdout), nil, threshold)
	require.NoError(tb, err)
	base := fitBaseline(tb, o.Spec, t, train, holdoutScores)
	return model.Parts{
		Spec: o.Spec, Pipeline: p, Trees: trees, Calibrator: calibrator,
		Baselines: model.Baselines{Training: base, Reference: base},
		Threshold: threshold, Metrics: metrics.Map(),
		Rows: model.RowCounts{Training: len(train), Validation: len(valid), Holdout: len(holdout)},
		Seed: o.Spec.Learner.Seed, DatasetFingerprint: fmt.Sprintf("generated:%d:%d:%d:%s", o.Rows, o.Seed, o.Relation, o.RunID),
		Period: base.Period, Holdout: t, HoldoutRows: holdout,
	}
}

func split(n int) (train, valid, holdout []int) {
	for i := range n {
		switch {
		case i < n*6/10:
			train = append(train, i)
		case i < n*8/10:
			valid = append(valid, i)
		default:
			holdout = append(holdout, i)
		}
	}
	return train, valid, holdout
}

func fitTrees(tb testing.TB, o Options, p *feature.Pipeline, t *dataset.Table, train, valid []int) *gbdt.Ensemble {
	tb.Helper()
	l, params := o.Spec.Learner, gbdt.DefaultParams()
	params.Trees, params.LearningRate, params.MaxDepth, params.MaxLeaves = o.Trees, 0.2, l.MaxDepth, l.MaxLeaves
	params.MinChildRows, params.Subsample, params.Seed = 5, l.Subsample, l.Seed
	v := matrix(p, t, valid)
	trees, _, err := gbdt.Train(context.Background(), params, p.Names(), matrix(p, t, train), &v, nil)
	require.NoError(tb, err)
	return trees
}

func matrix(p *feature.Pipeline, t *dataset.Table, rows []int) gbdt.Matrix {
	m := gbdt.Matrix{Rows: len(rows), Width: p.Width(), X: make([]float64, len(rows)*p.Width()), Label: labels(t, rows)}
	row := t.Schema().NewRow()
	for i, r := range rows {
		p.Transform(t.Row(r, row), m.Row(i))
	}
	return m
}

func labels(t *dataset.Table, rows []int) []float64 {
	out := make([]float64, len(rows))
	for i, r := range rows {
		out[i] = t.Label(r)
	}
	return out
}

func scores(p *feature.Pipeline, trees *gbdt.Ensemble, t *dataset.Table, rows []int) []float64 {
	m := matrix(p, t, rows)
	out := make([]float64, len(rows))
	for i := range out {
		out[i] = trees.Probability(m.Row(i))
	}
	return out
}

func fitBaseline(tb testing.TB, s *spec.Spec, t *dataset.Table, rows []int, score []float64) baseline.Baseline {
	tb.Helper()
	b := baseline.Baseline{Period: baseline.Period{Source: "generated rows"}, Rows: int64(len(rows))}
	for slot, name := range t.Schema().Numeric() {
		values := make([]float64, len(rows))
		for i, r := range rows {
			values[i] = t.Numeric(slot)[r]
		}
		ref, err := baseline.FitNumeric(name, values, s.Drift.Bins)
		require.NoError(tb, err)
		b.Columns = append(b.Columns, ref)
	}
	for slot, name := range t.Schema().Categorical() {
		values := make([]string, len(rows))
		for i, r := range rows {
			values[i] = t.Category(slot, r)
		}
		ref, err := baseline.FitCategorical(name, values, spec.DefaultMaxLevels)
		require.NoError(tb, err)
		b.Columns = append(b.Columns, ref)
	}
	ref, err := baseline.FitScore(score, s.Drift.Bins)
	require.NoError(tb, err)
	b.Score = ref
	return b
}

// generator draws rows for a spec.
type generator struct {
	prefix  string
	rng     *rand.Rand
	numeric []spec.Numeric
	levels  [][]string
	weight  []float64 // of each numeric, then each categorical column, in the label's log-odds
}

// In a relation three columns decide, the others hardly matter.
const (
	strongColumns = 3
	strong, weak  = 2.5, 0.1
)

func newGenerator(o Options) *generator {
	g := &generator{prefix: o.IDPrefix, rng: rand.New(rand.NewPCG(o.Seed, 1)), numeric: o.Spec.Columns.Numeric}
	for _, c := range o.Spec.Columns.Categorical {
		values := c.Values
		if len(values) == 0 {
			values = []string{"a", "b", "c"}
		}
		g.levels = append(g.levels, values)
	}
	n := len(g.numeric) + len(g.levels)
	for k := range n {
		weight := weak
		if (k+n-int(o.Relation/2%uint64(n))*strongColumns%n)%n < strongColumns {
			weight = strong
		}
		if o.Relation%2 == 1 {
			weight = -weight
		}
		g.weight = append(g.weight, weight)
	}
	return g
}

func (g *generator) fill(row *dataset.Row, i int) {
	margin := -0.8
	for k, c := range g.numeric {
		low, high := 0.0, 100.0
		if c.Min != nil {
			low, high = *c.Min, *c.Min+100
		}
		if c.Max != nil {
			high = *c.Max
			low = min(low, high)
		}
		u := g.rng.Float64()
		row.Num[k] = max(low, min(high, math.Round((low+float64(u*(high-low)))*100)/100))
		margin += float64(g.weight[k] * (float64(2*u) - 1))
	}
	for k, levels := range g.levels {
		level := g.rng.IntN(len(levels))
		row.Cat[k] = levels[level]
		if len(levels) > 1 {
			margin += float64(g.weight[len(g.numeric)+k] * (float64(2*level)/float64(len(levels)-1) - 1))
		}
	}
	if n := len(g.numeric); n > 0 && g.rng.IntN(50) == 0 {
		row.Num[n-1] = math.NaN()
	}
	row.ID, row.Number, row.Label = fmt.Sprintf("%s%05d", g.prefix, i), int64(i+1), 0
	if g.rng.Float64() < gbdt.Sigmoid(margin) {
		row.Label = 1
	}
}
