package feature_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// plain is a pipeline as its file has it, applied the obvious way: maps, a look at every setting for every value, nothing compiled.
type plain struct {
	Impute, Scale, Encoding string
	Numeric                 []struct {
		Column string
		plainMoments
	}
	Categorical []struct {
		Column, Encoding string
		Levels           []string
		MissingCode      float64 `json:"missing_code"`
		UnseenCode       float64 `json:"unseen_code"`
		Values           []float64
		MissingValue     float64 `json:"missing_value"`
		UnseenValue      float64 `json:"unseen_value"`
		index            map[string]int
	}
	Derived []struct {
		Name   string
		Op     spec.Op
		Of     []string
		Equals []string
		Above  float64
		plainMoments
	}
	numeric, categorical map[string]int
}

type plainMoments struct{ Median, Mean, Scale float64 }

func plainOf(t testing.TB, p *feature.Pipeline, sch *dataset.Schema) *plain {
	t.Helper()
	data, err := json.Marshal(p)
	require.NoError(t, err)
	out := &plain{numeric: map[string]int{}, categorical: map[string]int{}}
	require.NoError(t, json.Unmarshal(data, out))
	for i := range out.Categorical {
		c := &out.Categorical[i]
		c.index = map[string]int{}
		for k, l := range c.Levels {
			c.index[l] = k
		}
		if c.Encoding == "" {
			c.Encoding = out.Encoding
		}
	}
	for i, name := range sch.Numeric() {
		out.numeric[name] = i
	}
	for i, name := range sch.Categorical() {
		out.categorical[name] = i
	}
	return out
}

// transform appends the features of a record.
func (p *plain) transform(row *dataset.Row, dst []float64) []float64 {
	for _, c := range p.Numeric {
		dst = append(dst, p.standard(row.Num[p.numeric[c.Column]], c.plainMoments))
	}
	for _, c := range p.Categorical {
		word := row.Cat[p.categorical[c.Column]]
		place, seen := c.index[word]
		first := 2.0
		switch {
		case c.Encoding == spec.EncodingOneHot:
			for k := range c.Levels {
				dst = append(dst, one(seen && k == place))
			}
			dst = append(dst, one(!seen && word != ""), one(word == ""))
		case c.Encoding == spec.EncodingTarget && seen:
			dst = append(dst, c.Values[place])
		case c.Encoding == spec.EncodingTarget && word == "":
			dst = append(dst, c.MissingValue)
		case c.Encoding == spec.EncodingTarget:
			dst = append(dst, c.UnseenValue)
		default:
			if c.Encoding == spec.EncodingNative {
				first = 0
			}
			v := c.UnseenCode
			if seen {
				v = first + float64(place)
			} else if word == "" {
				v = c.MissingCode
			}
			if v == -1 {
				v = nan
			}
			dst = append(dst, v)
		}
	}
	for _, c := range p.Derived {
		dst = append(dst, p.standard(p.derive(c.Op, c.Of, c.Equals, c.Above, row), c.plainMoments))
	}
	return dst
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (p *plain) standard(v float64, m plainMoments) float64 {
	if math.IsNaN(v) && p.Impute == spec.ImputeMedian {
		v = m.Median
	}
	if p.Scale == spec.ScaleStandard {
		v = (v - m.Mean) / m.Scale
	}
	return math.Max(-math.MaxFloat64, math.Min(math.MaxFloat64, v))
}

func (p *plain) derive(op spec.Op, of, equals []string, above float64, row *dataset.Row) float64 {
	if op == spec.OpCountEqual {
		n := 0.0
		for _, name := range of {
			word := row.Cat[p.categorical[name]]
			if word == "" {
				return nan
			}
			n += one(slices.Contains(equals, word))
		}
		return n
	}
	var in []float64
	for _, name := range of {
		in = append(in, row.Num[p.numeric[name]])
	}
	v := in[0]
	switch op {
	case spec.OpRatio:
		v /= in[1]
	case spec.OpDifference:
		v -= in[1]
	case spec.OpProduct, spec.OpSum:
		for _, w := range in[1:] {
			if op == spec.OpSum {
				v += w
			} else {
				v *= w
			}
		}
	case spec.OpLog1p:
		v = math.Log1p(v)
	case spec.OpAboveMedian:
		if !math.IsNaN(v) {
			v = one(v > above)
		}
	}
	if math.IsInf(v, 0) {
		return nan
	}
	return v
}

// The compiled plan gives what the obvious way gives, to the bit, on records of all kinds.
func TestTransformIsThePlainWay(t *testing.T) {
	for _, encoding := range encodings {
		for _, impute := range []string{spec.ImputeMedian, spec.ImputeNone} {
			for _, scale := range []string{spec.ScaleStandard, spec.ScaleNone} {
				s := encoded(encoding, impute)
				s.Features.Scale = scale
				s.Features.Derived[5].Of = append(s.Features.Derived[5].Of, "TechSupport", "InternetService") // one counts twice
				s.Features.Derived[5].Equals = []string{"Yes", "Fibre"}                                       // no row has the second
				s.Columns.Categorical[15].MaxLevels = 2
				tab := modeltest.Table(t, modeltest.Options{Spec: s, Seed: 8})
				row := tab.Schema().NewRow()
				for i := range 30 { // fitting rows with missing words
					tab.Row(i, row).Cat[i%16] = ""
					tab.Append(row)
				}
				p, err := feature.Fit(s, tab.Schema(), tab, nil, nil)
				require.NoError(t, err)
				reference := plainOf(t, p, tab.Schema())
				got := make([]float64, p.Width())
				for i := range 2000 {
					tab.Row(i%tab.Len(), row)
					switch i % 7 {
					case 0:
						row.Cat[i%16] = "Fibre"
					case 1:
						row.Cat[i%16] = ""
					case 2:
						row.Num[i%3] = []float64{nan, 0, -1, math.MaxFloat64, -math.MaxFloat64, 5e-324}[i%6]
					}
					p.Transform(row, got)
					require.Equal(t, bits(reference.transform(row, nil)), bits(got), "%s, %v", encoding, row)
				}
			}
		}
	}
}

// BenchmarkTransform compares the compiled plan, on records and on a table, with the plain way.
func BenchmarkTransform(b *testing.B) {
	s := spec.Telco()
	tab := modeltest.Table(b, modeltest.Options{Spec: s})
	p, err := feature.Fit(s, tab.Schema(), tab, nil, nil)
	require.NoError(b, err)
	rows := make([]*dataset.Row, tab.Len())
	for i := range rows {
		rows[i] = tab.Row(i, tab.Schema().NewRow())
	}
	dst, i := make([]float64, p.Width()), 0
	b.Run("record", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Transform(rows[i%len(rows)], dst)
			i++
		}
	})
	b.Run("table", func(b *testing.B) {
		src, err := p.Source(tab, nil, nil)
		require.NoError(b, err)
		read := src.Rows()
		b.ReportAllocs()
		for b.Loop() {
			read(i%len(rows), dst)
			i++
		}
	})
	b.Run("plain", func(b *testing.B) {
		reference := plainOf(b, p, tab.Schema())
		for b.Loop() {
			dst = reference.transform(rows[i%len(rows)], dst[:0])
			i++
		}
	})
}

// BenchmarkFitRows fits on millions of rows and reports the memory that a fit takes beside the table. The rows are a few thousand
// different ones, over and over, with a continuous column among the three.
func BenchmarkFitRows(b *testing.B) {
	s := spec.Telco()
	some := modeltest.Table(b, modeltest.Options{Spec: s, Rows: 5000})
	for _, n := range []int{100_000, 1_000_000, 10_000_000} {
		tab, row := dataset.NewTable(some.Schema()), some.Schema().NewRow()
		for i := range n {
			some.Row(i%some.Len(), row).Num[1] += float64(i) * 1e-6
			row.ID = "id"
			tab.Append(row)
		}
		for _, encoding := range []string{spec.EncodingOrdinal, spec.EncodingTarget} {
			s.Features.Encoding = encoding
			b.Run(fmt.Sprint(encoding, " ", n/1000, "k rows"), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, err := feature.Fit(s, tab.Schema(), tab, nil, nil)
					require.NoError(b, err)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/row")
			})
		}
	}
}
