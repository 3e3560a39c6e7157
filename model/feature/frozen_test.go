package feature_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// telco returns the real file's rows, or generated ones where the file is not at hand.
func telco(t testing.TB, s *spec.Spec) *dataset.Table {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for dir != filepath.Dir(dir) {
		data, err := os.ReadFile(filepath.Join(dir, "shared", "data", "Telco-Customer-Churn.csv"))
		if err == nil {
			sch, err := dataset.NewSchema(s)
			require.NoError(t, err)
			tab, _, err := dataset.Load(context.Background(), bytes.NewReader(data), sch, dataset.LoadOptions{
				ReaderOptions: dataset.ReaderOptions{Format: spec.FormatCSV, Delimiter: ',', RequireLabel: true},
			})
			require.NoError(t, err)
			return tab
		}
		dir = filepath.Dir(dir)
	}
	t.Log("the Telco file is not there: rows are generated")
	return modeltest.Table(t, modeltest.Options{Spec: s, Rows: 2000})
}

// medianOf computes a median the plain way.
func medianOf(column []float64, rows []int) float64 {
	var values []float64
	for _, r := range rows {
		if !math.IsNaN(column[r]) {
			values = append(values, column[r])
		}
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// A record at inference is imputed and scaled by what the training split held, whatever the split it comes from holds.
func TestInferenceUsesTrainingMedians(t *testing.T) {
	s := spec.Telco()
	for _, source := range []struct {
		name string
		rows func() *dataset.Table
	}{
		{"real file", func() *dataset.Table { return telco(t, s) }},
		{"generated", func() *dataset.Table { return modeltest.Table(t, modeltest.Options{Spec: s, Rows: 2000, Seed: 3}) }},
	} {
		t.Run(source.name, func(t *testing.T) {
			tab := source.rows()
			sch := tab.Schema()
			slot := slices.Index(sch.Numeric(), "TotalCharges")
			column := tab.Numeric(slot)
			var train, heldOut []int
			cut := medianOf(column, allRows(tab))
			for i, v := range column { // most of the great values are held out, so the medians differ
				if v > cut && i%10 != 0 || math.IsNaN(v) && i%2 == 0 {
					heldOut = append(heldOut, i)
				} else {
					train = append(train, i)
				}
			}
			trainMedian, heldOutMedian := medianOf(column, train), medianOf(column, heldOut)
			require.Greater(t, heldOutMedian, trainMedian+10)

			p, err := feature.Fit(s, sch, tab, train, nil)
			require.NoError(t, err)
			other, err := feature.Fit(s, sch, tab, heldOut, nil)
			require.NoError(t, err)
			got, ok := p.Median("TotalCharges")
			require.True(t, ok)
			require.InDelta(t, trainMedian, got, 1e-9)
			require.Equal(t, p.Names(), other.Names(), "column order does not depend on the rows")

			names := p.Names()
			place := slices.Index(names, "TotalCharges")
			row, features := sch.NewRow(), make([]float64, p.Width())
			imputed, byMedian := 0, make([]float64, p.Width())
			for _, r := range heldOut {
				p.Transform(tab.Row(r, row), features)
				for i, v := range features {
					require.False(t, math.IsNaN(v) || math.IsInf(v, 0), "row %d, %s is %v", r, names[i], v)
				}
				if math.IsNaN(row.Num[slot]) {
					imputed++
					row.Num[slot] = trainMedian
					p.Transform(row, byMedian)
					require.InDelta(t, byMedian[place], features[place], 1e-12, "row %d", r)
					row.Num[slot] = heldOutMedian
					p.Transform(row, byMedian)
					require.NotEqual(t, byMedian[place], features[place], "row %d", r)
				}
			}
			require.Positive(t, imputed, "some held-out rows have a missing value")
			after, _ := p.Median("TotalCharges")
			require.Equal(t, got, after)
		})
	}
}

func allRows(tab *dataset.Table) []int {
	rows := make([]int, tab.Len())
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// allKinds is Telco's spec with every derived operation.
func allKinds(encoding, impute string) *spec.Spec {
	s := spec.Telco()
	s.Features.Encoding, s.Features.Impute = encoding, impute
	for i := range s.Columns.Categorical {
		s.Columns.Categorical[i].Encoding = ""
	}
	s.Features.Derived = []spec.Derived{
		{Name: "per_month", Op: spec.OpRatio, Of: []string{"TotalCharges", "tenure"}},
		{Name: "product", Op: spec.OpProduct, Of: []string{"tenure", "MonthlyCharges"}},
		{Name: "gap", Op: spec.OpDifference, Of: []string{"TotalCharges", "MonthlyCharges"}},
		{Name: "sum", Op: spec.OpSum, Of: []string{"TotalCharges", "MonthlyCharges"}},
		{Name: "log", Op: spec.OpLog1p, Of: []string{"tenure"}},
		{Name: "services", Op: spec.OpCountEqual, Of: []string{"OnlineSecurity", "TechSupport"}, Equals: []string{"Yes"}},
		{Name: "HighMonthly", Op: spec.OpAboveMedian, Of: []string{"MonthlyCharges"}},
	}
	return s
}

func bits(values []float64) []uint64 {
	out := make([]uint64, len(values))
	for i, v := range values {
		out[i] = math.Float64bits(v)
	}
	return out
}

func TestRoundTripIsBitEqual(t *testing.T) {
	for _, encoding := range encodings {
		for _, impute := range []string{spec.ImputeMedian, spec.ImputeNone} {
			t.Run(encoding+" "+impute, func(t *testing.T) {
				s := encoded(encoding, impute)
				tab := modeltest.Table(t, modeltest.Options{Spec: s, Seed: 9})
				p, err := feature.Fit(s, tab.Schema(), tab, allRows(tab)[:300], nil)
				require.NoError(t, err)
				data, err := json.Marshal(p)
				require.NoError(t, err)
				q, err := feature.Parse(data, s, tab.Schema())
				require.NoError(t, err)
				again, err := json.Marshal(q)
				require.NoError(t, err)
				require.Equal(t, string(data), string(again))
				require.Equal(t, p.Names(), q.Names())
				require.Equal(t, p.Rows(), q.Rows())
				row, a, b := tab.Schema().NewRow(), make([]float64, p.Width()), make([]float64, q.Width())
				for r := range tab.Len() {
					tab.Row(r, row)
					p.Transform(row, a)
					q.Transform(row, b)
					require.Equal(t, bits(a), bits(b), "row %d", r)
				}
			})
		}
	}
}

// The fit follows from the fitting rows as a set: neither their order nor any other row of the table matters.
func TestFitDependsOnItsRowsAlone(t *testing.T) {
	s := encoded("mixed", spec.ImputeMedian)
	tab := modeltest.Table(t, modeltest.Options{Spec: s, Seed: 1})
	rng := rand.New(rand.NewPCG(5, 5))
	for range 10 {
		rows := rng.Perm(tab.Len())[:200]
		p, err := feature.Fit(s, tab.Schema(), tab, rows, nil)
		require.NoError(t, err)
		alone, row := dataset.NewTable(tab.Schema()), tab.Schema().NewRow()
		rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		for _, r := range rows {
			alone.Append(tab.Row(r, row))
		}
		q, err := feature.Fit(s, tab.Schema(), alone, nil, nil)
		require.NoError(t, err)
		a, err := json.Marshal(p)
		require.NoError(t, err)
		b, err := json.Marshal(q)
		require.NoError(t, err)
		require.Equal(t, string(a), string(b))
	}
}

// A record's features do not depend on the records before it, nor on what the buffer held.
func TestTransformHasNoMemory(t *testing.T) {
	s := encoded("mixed", spec.ImputeMedian)
	tab := modeltest.Table(t, modeltest.Options{Spec: s, Seed: 2})
	p, err := feature.Fit(s, tab.Schema(), tab, nil, nil)
	require.NoError(t, err)
	row := tab.Schema().NewRow()
	want := make([][]float64, tab.Len())
	for r := range want {
		want[r] = make([]float64, p.Width())
		p.Transform(tab.Row(r, row), want[r])
	}
	got := slices.Repeat([]float64{math.NaN()}, p.Width())
	for _, r := range rand.New(rand.NewPCG(1, 2)).Perm(tab.Len()) {
		p.Transform(tab.Row(r, row), got)
		require.Equal(t, bits(want[r]), bits(got), "row %d", r)
	}
}

func TestTransformDoesNotAllocate(t *testing.T) {
	for _, encoding := range encodings {
		s := encoded(encoding, spec.ImputeMedian)
		tab := modeltest.Table(t, modeltest.Options{Spec: s})
		p, err := feature.Fit(s, tab.Schema(), tab, nil, nil)
		require.NoError(t, err)
		row, dst := tab.Row(0, tab.Schema().NewRow()), make([]float64, p.Width())
		require.Zero(t, testing.AllocsPerRun(100, func() { p.Transform(row, dst) }), encoding)
		require.Zero(t, testing.AllocsPerRun(100, func() { p.Unseen(row) }), encoding)
	}
}

func FuzzParse(f *testing.F) {
	tables, specs := map[string]*dataset.Table{}, map[string]*spec.Spec{}
	for _, encoding := range encodings {
		s := encoded(encoding, spec.ImputeMedian)
		tab := modeltest.Table(f, modeltest.Options{Spec: s, Rows: 50})
		p, err := feature.Fit(s, tab.Schema(), tab, nil, nil)
		require.NoError(f, err)
		data, err := json.Marshal(p)
		require.NoError(f, err)
		f.Add(data)
		specs[encoding], tables[encoding] = s, tab
	}
	f.Add([]byte(`{"format":1}`))
	f.Add([]byte(`{"format":1,"fitted_rows":1,"numeric":[{"scale":0}],"features":[]}`))
	f.Add([]byte(`{"format":2,"fitted_rows":1,"categorical":[{"encoding":"target","values":[2]}],"features":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for encoding, tab := range tables {
			p, err := feature.Parse(data, specs[encoding], tab.Schema())
			if err != nil {
				continue
			}
			dst, native := make([]float64, p.Width()), p.Categorical()
			p.Transform(tab.Row(0, tab.Schema().NewRow()), dst)
			for i, v := range dst {
				require.False(t, math.IsInf(v, 0) || math.IsNaN(v) && !slices.Contains(native, i), "feature %d is %v", i, v)
			}
			again, err := json.Marshal(p)
			require.NoError(t, err)
			q, err := feature.Parse(again, specs[encoding], tab.Schema())
			require.NoError(t, err)
			third, err := json.Marshal(q)
			require.NoError(t, err)
			require.Equal(t, string(again), string(third))
		}
	})
}

func BenchmarkFit(b *testing.B) {
	s := spec.Telco()
	tab := modeltest.Table(b, modeltest.Options{Spec: s, Rows: 7043})
	b.ReportAllocs()
	for b.Loop() {
		_, err := feature.Fit(s, tab.Schema(), tab, nil, nil)
		require.NoError(b, err)
	}
}
