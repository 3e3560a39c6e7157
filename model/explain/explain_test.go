package explain_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/synth"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/explain"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// variants are specs that lead to trees of every kind of split: on codes, on single levels, on sets of categories, on numbers that may be missing.
func variants() map[string]*spec.Spec {
	with := func(change func(s *spec.Spec)) *spec.Spec {
		s := spec.Telco().Clone()
		change(s)
		return s
	}
	return map[string]*spec.Spec{
		"ordinal": with(func(*spec.Spec) {}),
		"one-hot": with(func(s *spec.Spec) { s.Features.Encoding = spec.EncodingOneHot }),
		"native and missing": with(func(s *spec.Spec) {
			s.Features.Encoding, s.Features.Impute, s.Features.Scale = spec.EncodingNative, spec.ImputeNone, spec.ScaleNone
		}),
		"target and derived": with(func(s *spec.Spec) {
			s.Features.Encoding, s.Features.Impute = spec.EncodingTarget, spec.ImputeNone
			s.Features.Derived = append(s.Features.Derived,
				spec.Derived{Name: "Average", Op: spec.OpRatio, Of: []string{"TotalCharges", "tenure"}},
				spec.Derived{Name: "Square", Op: spec.OpProduct, Of: []string{"tenure", "tenure"}})
		}),
		"calibrated": with(func(s *spec.Spec) { s.Calibration = spec.CalibrationSigmoid }),
	}
}

func bundleOf(t testing.TB, s *spec.Spec, trees int) *model.Bundle {
	t.Helper()
	return modeltest.Bundle(t, modeltest.Options{Spec: s, Trees: trees, Rows: 400, Seed: 3})
}

// oddRows are rows of the model's own kind, and such with missing and unseen values.
func oddRows(t testing.TB, b *model.Bundle, n int) []*dataset.Row {
	t.Helper()
	var rows []*dataset.Row
	for i, record := range modeltest.Records(t, modeltest.Options{Spec: b.Spec, Rows: 50, Seed: 9})[:n] {
		row := b.Schema.NewRow()
		_, err := b.Schema.DecodeJSON(record, row, dataset.DecodeOptions{})
		require.NoError(t, err)
		if i%3 == 1 {
			for k := i % 2; k < len(row.Num); k += 2 {
				row.Num[k] = math.NaN()
			}
			for k := i % 4; k < len(row.Cat); k += 3 {
				row.Cat[k] = ""
			}
		}
		if i%3 == 2 {
			for k := i % 3; k < len(row.Cat); k += 4 {
				row.Cat[k] = "never seen"
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// checkRow compares an explanation with the definition and with itself.
func checkRow(t *testing.T, b *model.Bundle, trees []plainTree, e *explain.Explainer, row *dataset.Row) {
	t.Helper()
	x := features(b, row)
	phi := contributions(trees, x)
	want := byColumn(t, b, phi)
	var got explain.Explanation
	e.Explain(row, &got)
	require.Len(t, got.Columns, len(b.Spec.Columns.Numeric)+len(b.Spec.Columns.Categorical))
	for _, c := range got.Columns {
		require.InDelta(t, want[c.Column], c.Amount, 1e-9, c.Column)
	}
	require.InDelta(t, phi[len(x)], got.Bias, 1e-9)
	requireSum(t, b, row, &got)
}

func requireSum(t *testing.T, b *model.Bundle, row *dataset.Row, got *explain.Explanation) {
	t.Helper()
	sum := got.Bias
	for _, c := range got.Columns {
		sum += c.Amount
	}
	require.InDelta(t, got.Raw, sum, 1e-9)
	require.Equal(t, b.NewScorer().Score(row).Margin, got.Raw)
}

func TestAmountsAreShapleyValuesByDefinition(t *testing.T) {
	kinds := map[string]bool{}
	for name, s := range variants() {
		t.Run(name, func(t *testing.T) {
			table := modeltest.Table(t, modeltest.Options{Spec: s, Rows: 400, Seed: 3, Relation: 6})
			b := fit(t, s, table, func(p *gbdt.Params) {
				p.Trees, p.MaxDepth, p.MinChildRows, p.CatSmooth, p.CatL2, p.MinRowsPerCategory = 6, 3, 5, 1, 0, 5
			})
			trees := plainTrees(t, b)
			e, err := explain.New(b)
			require.NoError(t, err)
			for i := range trees {
				for _, d := range trees[i].decision {
					kinds[fmt.Sprintf("categorical %t, missing %d", d&1 != 0, d>>2&3)] = true
				}
			}
			for _, row := range oddRows(t, b, 9) {
				checkRow(t, b, trees, e, row)
			}
		})
	}
	require.True(t, kinds["categorical true, missing 2"] || kinds["categorical true, missing 0"], "no split of categories was tested: %v", kinds)
	require.True(t, kinds["categorical false, missing 2"], "no split with missing values was tested: %v", kinds)
}

func TestAmountsAndBiasAddUpToTheRawScore(t *testing.T) {
	for name, s := range variants() {
		t.Run(name, func(t *testing.T) {
			b := bundleOf(t, s, 40)
			e, err := explain.New(b)
			require.NoError(t, err)
			var got explain.Explanation
			for _, row := range oddRows(t, b, 45) {
				e.Explain(row, &got)
				requireSum(t, b, row, &got)
				require.Equal(t, e.Bias(), got.Bias)
			}
		})
	}
}

// telcoBundle is a model of the real file with the learner's parameters changed; of generated rows where the file is missing.
func telcoBundle(t testing.TB, change func(*gbdt.Params)) (*model.Bundle, *dataset.Table) {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	require.True(t, ok)
	var r io.Reader
	f, err := os.Open(filepath.Join(filepath.Dir(file), "..", "..", "..", "shared", "data", "Telco-Customer-Churn.csv"))
	if err == nil {
		defer f.Close()
		r = f
	} else {
		t.Log("the real Telco file is not here: generated rows instead")
		var b bytes.Buffer
		require.NoError(t, synth.WriteCSV(&b, synth.Config{Rows: 7043, Seed: 1, Regime: synth.Original}))
		r = &b
	}
	s := spec.Telco()
	sch, err := dataset.NewSchema(s)
	require.NoError(t, err)
	o := dataset.LoadOptions{MaxQuarantined: 0.01}
	o.RequireLabel = true
	table, _, err := dataset.Load(t.Context(), r, sch, o)
	require.NoError(t, err)
	return fit(t, s, table, change), table
}

// fit trains on all rows of a table. Its baselines are those of other rows: they have no part in a score.
func fit(t testing.TB, s *spec.Spec, table *dataset.Table, change func(*gbdt.Params)) *model.Bundle {
	t.Helper()
	p, err := feature.Fit(s, table.Schema(), table, nil, nil)
	require.NoError(t, err)
	m := gbdt.Matrix{Rows: table.Len(), Width: p.Width(), X: make([]float64, table.Len()*p.Width()), Label: make([]float64, table.Len())}
	row := table.Schema().NewRow()
	for i := range m.Rows {
		p.Transform(table.Row(i, row), m.Row(i))
		m.Label[i] = table.Label(i)
	}
	params := gbdt.DefaultParams()
	params.Categorical = p.Categorical()
	change(&params)
	trees, _, err := gbdt.Train(t.Context(), params, p.Names(), m, nil, nil)
	require.NoError(t, err)
	parts := modeltest.Parts(t, modeltest.Options{Spec: s, Trees: 1})
	parts.Pipeline, parts.Trees, parts.Holdout, parts.HoldoutRows = p, trees, table, []int{0, 1, 2, 3, 4, 5}
	b, err := model.New(parts)
	require.NoError(t, err)
	return b
}

func TestAmountsOnTheTelcoModel(t *testing.T) {
	for _, test := range []struct {
		name                  string
		depth, leaves, trees  int
		byDefinition, summing int
	}{
		{"depth 3", 3, 0, 100, 10, 500},
		{"31 leaves", 0, 31, 8, 2, 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, table := telcoBundle(t, func(p *gbdt.Params) {
				p.MaxDepth, p.MaxLeaves, p.Trees, p.LearningRate = test.depth, test.leaves, test.trees, 0.1
			})
			require.Equal(t, test.trees, b.Trees.Trees())
			e, err := explain.New(b)
			require.NoError(t, err)
			trees, row := plainTrees(t, b), b.Schema.NewRow()
			for i := range test.byDefinition {
				checkRow(t, b, trees, e, table.Row(i*700%table.Len(), row))
			}
			var got explain.Explanation
			for i := range test.summing {
				table.Row(i*13%table.Len(), row)
				e.Explain(row, &got)
				requireSum(t, b, row, &got)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	b := bundleOf(t, spec.Telco(), 30)
	e, err := explain.New(b)
	require.NoError(t, err)
	row := oddRows(t, b, 1)[0]
	row.Num[1], row.Cat[0] = math.NaN(), "Martian"
	var got explain.Explanation
	e.Explain(row, &got)
	require.NotEmpty(t, got.Reasons)
	require.LessOrEqual(t, len(got.Reasons), explain.MaxReasons)
	before := math.Inf(1)
	for _, reason := range got.Reasons {
		var c explain.Contribution
		for _, candidate := range got.Columns {
			if strings.HasPrefix(reason, candidate.Column+" is ") {
				c = candidate
			}
		}
		require.NotEmpty(t, c.Column, reason)
		verb := "lowers"
		if c.Amount > 0 {
			verb = "raises"
		}
		require.Contains(t, reason, fmt.Sprintf(": %s the score by %.3g", verb, math.Abs(c.Amount)))
		require.LessOrEqual(t, math.Abs(c.Amount), before)
		before = math.Abs(c.Amount)
	}
	require.Equal(t, "", got.Columns[1].Value)
	require.Equal(t, "Martian", got.Columns[len(b.Spec.Columns.Numeric)].Value)
}

// A model of one column of each kind says each kind of sentence.
func TestWordsOfReasons(t *testing.T) {
	s := spec.Telco().Clone()
	s.Columns.Numeric = []spec.Numeric{{Name: "age"}, {Name: "member", Type: spec.NumberBoolean}}
	s.Columns.Categorical = []spec.Categorical{{Name: "plan", Values: []string{"a", "b"}, MaxLevels: 10}}
	s.Columns.Ignored, s.Features.Derived, s.Drift.Monitors, s.Expectations.NotNull = nil, nil, nil, nil
	sch, err := dataset.NewSchema(s)
	require.NoError(t, err)
	table, row := dataset.NewTable(sch), sch.NewRow()
	for i := range 400 {
		row.ID, row.Num[0], row.Num[1], row.Cat[0] = fmt.Sprint(i), float64(i%40), float64(i%2), []string{"a", "b", ""}[i%3]
		row.Label = float64((i%40/20 + i%2 + i%3) / 2 % 2)
		table.Append(row)
	}
	b := fit(t, s, table, func(p *gbdt.Params) { p.Trees, p.LearningRate, p.MinChildRows = 30, 0.3, 5 })
	e, err := explain.New(b)
	require.NoError(t, err)
	for _, test := range []struct{ name, record, want string }{
		{"number", `{"age":12.5,"member":true,"plan":"a"}`, "age is 12.5: "},
		{"boolean", `{"age":12.5,"member":true,"plan":"a"}`, "member is true: "},
		{"boolean false", `{"age":12.5,"member":false,"plan":"a"}`, "member is false: "},
		{"word", `{"age":12.5,"member":true,"plan":"a"}`, "plan is a: "},
		{"missing number", `{"age":null,"member":true,"plan":"a"}`, "age is missing: "},
		{"missing word", `{"age":1,"member":true,"plan":null}`, "plan is missing: "},
		{"unseen", `{"age":1,"member":true,"plan":"z"}`, "plan is z, which the model was not trained with: "},
		{"long", `{"age":1,"member":true,"plan":"` + strings.Repeat("ä", 100) + `"}`, "plan is " + strings.Repeat("ä", 30) + "..., which the model was not trained with: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := b.Schema.DecodeJSON([]byte(test.record), row, dataset.DecodeOptions{})
			require.NoError(t, err)
			var got explain.Explanation
			e.Explain(row, &got)
			require.Contains(t, strings.Join(got.Reasons, "\n"), test.want)
		})
	}
}

func TestJSON(t *testing.T) {
	x := explain.Explanation{Bias: -1.25, Raw: 0.5, Reasons: []string{`plan is "x": raises`},
		Columns: []explain.Contribution{{Column: "a\nb", Amount: 1.5}, {Column: "c", Amount: math.Inf(1)}}}
	require.Equal(t, `{"bias":-1.25,"raw_score":0.5,"contributions":{"a\nb":1.5,"c":null},"reasons":["plan is \"x\": raises"]}`, string(x.AppendJSON(nil)))

	b := bundleOf(t, spec.Telco(), 10)
	e, err := explain.New(b)
	require.NoError(t, err)
	e.Explain(oddRows(t, b, 1)[0], &x)
	var back struct {
		Bias          float64
		RawScore      float64 `json:"raw_score"`
		Contributions map[string]float64
		Reasons       []string
	}
	require.NoError(t, json.Unmarshal(x.AppendJSON(nil), &back))
	require.Equal(t, x.Bias, back.Bias)
	require.Equal(t, x.Raw, back.RawScore)
	require.Equal(t, x.Reasons, back.Reasons)
	for _, c := range x.Columns {
		require.Equal(t, c.Amount, back.Contributions[c.Column])
	}
}

func TestExplainIsSafeForConcurrentUseAndAllocatesLittle(t *testing.T) {
	b := bundleOf(t, spec.Telco(), 10)
	e, err := explain.New(b)
	require.NoError(t, err)
	rows := oddRows(t, b, 20)
	want := make([][]byte, len(rows))
	for i, row := range rows {
		var x explain.Explanation
		e.Explain(row, &x)
		want[i] = x.AppendJSON(nil)
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			var x explain.Explanation
			var room []byte
			for i, row := range rows {
				e.Explain(row, &x)
				room = x.AppendJSON(room[:0])
				if !bytes.Equal(want[i], room) {
					t.Errorf("row %d: %s, want %s", i, room, want[i])
				}
			}
		})
	}
	wait.Wait()
}

func TestExplainUntil(t *testing.T) {
	b := bundleOf(t, spec.Telco(), 10)
	e, err := explain.New(b)
	require.NoError(t, err)
	row := oddRows(t, b, 1)[0]
	var want, got explain.Explanation
	e.Explain(row, &want)
	asked := 0
	require.False(t, e.ExplainUntil(row, &got, func() bool { asked++; return asked == 4 }))
	require.Equal(t, 4, asked)
	require.True(t, e.ExplainUntil(row, &got, func() bool { return false }))
	require.Equal(t, want, got)
}

func BenchmarkExplain(b *testing.B) {
	for _, test := range []struct{ depth, leaves, trees int }{{3, 0, 100}, {0, 31, 100}, {3, 0, 10_000}} {
		b.Run(fmt.Sprintf("%d trees of depth %d, %d leaves", test.trees, test.depth, test.leaves), func(b *testing.B) {
			bundle, table := telcoBundle(b, func(p *gbdt.Params) {
				p.MaxDepth, p.MaxLeaves, p.Trees, p.LearningRate = test.depth, test.leaves, test.trees, 0.001
			})
			e, err := explain.New(bundle)
			require.NoError(b, err)
			row, room := table.Row(7, bundle.Schema.NewRow()), []byte(nil)
			var x explain.Explanation
			b.ReportAllocs()
			for b.Loop() {
				e.Explain(row, &x)
				room = x.AppendJSON(room[:0])
			}
		})
	}
}
