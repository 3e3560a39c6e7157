package feature_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// encodings are all four, and a spec in which columns have their own.
var encodings = []string{spec.EncodingOrdinal, spec.EncodingOneHot, spec.EncodingTarget, spec.EncodingNative, "mixed"}

// encoded is Telco's spec with every derived operation and one of encodings.
func encoded(encoding, impute string) *spec.Spec {
	if encoding != "mixed" {
		return allKinds(encoding, impute)
	}
	s := allKinds(spec.EncodingOneHot, impute)
	for i, e := range encodings[:4] {
		s.Columns.Categorical[3*i].Encoding = e
	}
	return s
}

// labelled appends rows with labels; ids decide the folds.
func labelled(sch *dataset.Schema, words string, labels string) *dataset.Table {
	tab, row := dataset.NewTable(sch), sch.NewRow()
	for i := range words {
		fill(row, record{a: 1, b: 1, c: strings.Trim(words[i:i+1], ".")})
		row.ID, row.Label = fmt.Sprint("r", i), float64(labels[i]-'0')
		tab.Append(row)
	}
	return tab
}

func TestTargetEncodingServes(t *testing.T) {
	s, sch := smallSpec(t, func(s *spec.Spec) {
		s.Features.Encoding, s.Features.TargetSmoothing = spec.EncodingTarget, 2
	})
	at := func(p *feature.Pipeline, c string) float64 { return transform(p, sch, record{c: c})[2] }

	p, err := feature.Fit(s, sch, labelled(sch, "xxxxyyyz", "11100001"), nil, nil)
	require.NoError(t, err)
	prior := 4.0 / 8
	require.InDelta(t, (3+2*prior)/(4+2), at(p, "x"), 1e-15)
	require.InDelta(t, (0+2*prior)/(3+2), at(p, "y"), 1e-15)
	require.InDelta(t, (1+2*prior)/(1+2), at(p, "z"), 1e-15)
	require.Equal(t, prior, at(p, ""), "the fitting rows held none")
	require.Equal(t, prior, at(p, "new"))
	require.Equal(t, []string{"a", "b", "c"}, p.Names())
	require.Nil(t, p.Categorical())

	p, err = feature.Fit(s, sch, labelled(sch, "xxx..", "11000"), nil, nil)
	require.NoError(t, err)
	require.InDelta(t, (0+2*0.4)/(2+2), at(p, ""), 1e-15, "missing values are a level of their own")

	s.Columns.Categorical[0].MaxLevels = 1
	p, err = feature.Fit(s, sch, labelled(sch, "xxxyzz", "111010"), nil, nil)
	require.NoError(t, err)
	require.InDelta(t, (1+2*4.0/6)/(3+2), at(p, "y"), 1e-15, "folded levels are one level")
	require.Equal(t, at(p, "y"), at(p, "new"))

	s.Features.TargetSmoothing = 0
	p, err = feature.Fit(s, sch, labelled(sch, "xxxx", "1100"), nil, []float64{3, 1, 1, 0})
	require.NoError(t, err)
	require.InDelta(t, 4.0/5, at(p, "x"), 1e-15, "weights weigh")
	require.InDelta(t, 4.0/5, at(p, ""), 1e-15, "no rows and no smoothing leave the prior")

	tab := labelled(sch, "xxx", "11?")
	_, err = feature.Fit(s, sch, tab, nil, nil)
	require.ErrorContains(t, err, "row 2 has no label")
	_, err = feature.Fit(s, sch, tab, []int{0, 1}, nil)
	require.NoError(t, err)
}

// A training row's value comes from the rows of the other folds, computed here the plain way, and never from its own label.
func TestTargetEncodingIsOutOfFold(t *testing.T) {
	s := encoded(spec.EncodingTarget, spec.ImputeMedian)
	s.Columns.Categorical[15].MaxLevels = 2
	tab := modeltest.Table(t, modeltest.Options{Spec: s, Rows: 200, Seed: 4})
	rows := allRows(tab)[50:]
	for _, weighted := range []bool{false, true} {
		var weight []float64
		if weighted {
			for i := range rows {
				weight = append(weight, float64(i%4))
			}
		}
		p, src, err := feature.FitTransform(s, tab.Schema(), tab, rows, weight)
		require.NoError(t, err)
		plain, err := feature.Fit(s, tab.Schema(), tab, rows, weight)
		require.NoError(t, err)
		requireSame(t, plain, p)
		require.Equal(t, len(rows), src.Len())

		row, dst, served := tab.Schema().NewRow(), make([]float64, p.Width()), make([]float64, p.Width())
		read := src.Rows()
		differ := 0
		for i, r := range rows {
			label, w := read(i, dst)
			require.Equal(t, tab.Label(r), label)
			require.Equal(t, weightAt(weight, i), w)
			p.Transform(tab.Row(r, row), served)
			for k, name := range p.Names() {
				slot := k - 3
				if slot < 0 || slot >= 16 {
					require.Equal(t, math.Float64bits(served[k]), math.Float64bits(dst[k]), "%s is no target", name)
					continue
				}
				levels, _ := p.Vocabulary(name)
				require.InDelta(t, plainOutOfFold(tab, rows, weight, slot, i, levels), dst[k], 1e-12, "row %d, %s", r, name)
				if dst[k] != served[k] {
					differ++
				}
			}
		}
		require.Greater(t, differ, len(rows)*8)
	}
}

func weightAt(weight []float64, i int) float64 {
	if weight == nil {
		return 1
	}
	return weight[i]
}

// plainOutOfFold values row i by summing over all rows that another fold holds. The folds are those that the source itself shows: rows
// whose ids differ are told apart by Fold.
func plainOutOfFold(tab *dataset.Table, rows []int, weight []float64, slot, i int, levels []string) float64 {
	group := func(r int) string {
		w := tab.Category(slot, r)
		for _, l := range levels {
			if l == w {
				return w
			}
		}
		if w == "" {
			return ""
		}
		return "<other>"
	}
	var n, positive, all, allPositive, whole float64
	count := 0
	for k, r := range rows {
		w := weightAt(weight, k)
		if w > 0 {
			count++
		}
		whole += w
		if feature.Fold(tab.ID(r), 5) == feature.Fold(tab.ID(rows[i]), 5) {
			continue
		}
		all += w
		allPositive += w * tab.Label(r)
		if group(r) == group(rows[i]) {
			n += w
			positive += w * tab.Label(r)
		}
	}
	unit := float64(count) / whole
	return (positive*unit + 10*allPositive/all) / (n*unit + 10)
}

func requireSame(t *testing.T, a, b *feature.Pipeline) {
	t.Helper()
	x, err := json.Marshal(a)
	require.NoError(t, err)
	y, err := json.Marshal(b)
	require.NoError(t, err)
	require.Equal(t, string(x), string(y))
}

// The label of a row changes the values of other rows alone, those of other folds.
func TestTargetEncodingDoesNotLeak(t *testing.T) {
	s, sch := smallSpec(t, func(s *spec.Spec) { s.Features.Encoding = spec.EncodingTarget })
	words, labels := strings.Repeat("xyz.", 25), []byte(strings.Repeat("0110100", 15)[:100])
	value := func(i int) float64 {
		_, src, err := feature.FitTransform(s, sch, labelled(sch, words, string(labels)), nil, nil)
		require.NoError(t, err)
		dst := make([]float64, 3)
		src.Rows()(i, dst)
		return dst[2]
	}
	changed := false
	for i := range 20 {
		own, other := value(i), value(i+20)
		labels[i] ^= 1
		require.Equal(t, own, value(i), "row %d sees its own label", i)
		changed = changed || other != value(i+20)
	}
	require.True(t, changed, "labels matter to other rows")
}

// Where all rows are in one fold there are no others, and the prior of all is what is left.
func TestTargetEncodingOfOneRow(t *testing.T) {
	s, sch := smallSpec(t, func(s *spec.Spec) { s.Features.Encoding = spec.EncodingTarget })
	_, src, err := feature.FitTransform(s, sch, labelled(sch, "x", "1"), nil, nil)
	require.NoError(t, err)
	dst := make([]float64, 3)
	src.Rows()(0, dst)
	require.Equal(t, 1.0, dst[2])
}

func TestNativeEncoding(t *testing.T) {
	s, sch := smallSpec(t, func(s *spec.Spec) { s.Features.Encoding, s.Columns.Categorical[0].MaxLevels = spec.EncodingNative, 2 })
	at := func(p *feature.Pipeline, c string) float64 { return transform(p, sch, record{c: c})[2] }

	p, err := feature.Fit(s, sch, table(sch, record{c: "z"}, record{c: "m"}, record{c: "z"}), nil, nil)
	require.NoError(t, err)
	require.Equal(t, []int{2}, p.Categorical())
	require.Equal(t, []float64{0, 1, 1, 1}, []float64{at(p, "m"), at(p, "z"), at(p, ""), at(p, "new")},
		"nothing was learned for missing and unseen values, so they count as the most frequent level")
	require.Equal(t, []string{"c"}, p.Unseen(fill(sch.NewRow(), record{c: "new"})))

	p, err = feature.Fit(s, sch, table(sch, record{c: "z"}, record{c: ""}, record{c: "m"}, record{c: "q"}), nil, nil)
	require.NoError(t, err)
	require.Equal(t, []float64{0, 1, 2, 2}, []float64{at(p, "m"), at(p, "q"), at(p, "z"), at(p, "new")}, "z is folded")
	require.True(t, math.IsNaN(at(p, "")), "the trees learn a side for missing values")

	p, err = feature.Fit(s, sch, table(sch, record{}), nil, nil)
	require.NoError(t, err)
	require.True(t, math.IsNaN(at(p, "")))
	require.Equal(t, 0.0, at(p, "new"))
}

func TestEncodingPerColumn(t *testing.T) {
	s := encoded("mixed", spec.ImputeMedian)
	tab := modeltest.Table(t, modeltest.Options{Spec: s})
	p, err := feature.Fit(s, tab.Schema(), tab, nil, nil)
	require.NoError(t, err)
	names := p.Names()
	for column, width := range map[string]int{"tenure": 1, "gender": 1, "Dependents": 4, "InternetService": 1, "DeviceProtection": 1, "Contract": 5, "log": 1} {
		places := p.Features(column)
		require.Len(t, places, width, column)
		for _, k := range places {
			require.True(t, names[k] == column || strings.HasPrefix(names[k], column+"."), names[k])
		}
	}
	require.Nil(t, p.Features("nothing"))
	require.Equal(t, p.Features("DeviceProtection"), p.Categorical())
	require.Equal(t, len(names)-1, p.Features("HighMonthly")[0])
}

// A source gives what Transform gives, to the bit, with every encoding, for rows the fit did not see as well.
func TestSourceIsTransform(t *testing.T) {
	for _, encoding := range encodings {
		for _, impute := range []string{spec.ImputeMedian, spec.ImputeNone} {
			s := encoded(encoding, impute)
			tab := modeltest.Table(t, modeltest.Options{Spec: s, Seed: 5})
			row := tab.Row(0, tab.Schema().NewRow())
			row.Cat[0], row.Cat[13], row.Cat[3] = "", "never seen", "Yes "
			tab.Append(row)
			p, err := feature.Fit(s, tab.Schema(), tab, allRows(tab)[:300], nil)
			require.NoError(t, err)
			rows := append(rand.New(rand.NewPCG(1, 1)).Perm(tab.Len()), 0, 0)
			for _, rows := range [][]int{nil, rows} {
				src, err := p.Source(tab, rows, nil)
				require.NoError(t, err)
				got, want, read := make([]float64, p.Width()), make([]float64, p.Width()), src.Rows()
				for i := range src.Len() {
					r := i
					if rows != nil {
						r = rows[i]
					}
					p.Transform(tab.Row(r, row), want)
					label, weight := read(i, got)
					require.Equal(t, bits(want), bits(got), "%s, row %d", encoding, r)
					require.Equal(t, math.Float64bits(tab.Label(r)), math.Float64bits(label))
					require.Equal(t, 1.0, weight)
				}
			}
		}
	}
}

func TestSourceRefuses(t *testing.T) {
	s, sch := smallSpec(t, nil)
	tab := table(sch, record{1, 2, "x"}, record{3, 4, "y"})
	p, err := feature.Fit(s, sch, tab, nil, nil)
	require.NoError(t, err)
	_, err = p.Source(tab, []int{2}, nil)
	require.ErrorContains(t, err, "row 2 of a table of 2")
	_, err = p.Source(tab, nil, []float64{1})
	require.ErrorContains(t, err, "1 weights for 2 rows")
	_, err = p.Source(tab, nil, []float64{1, -1})
	require.ErrorContains(t, err, "weight 1 is -1")
	src, err := p.Source(tab, nil, []float64{2, 3})
	require.NoError(t, err)
	dst, read := make([]float64, p.Width()), src.Rows()
	_, weight := read(1, dst)
	require.Equal(t, 3.0, weight)
	require.Zero(t, testing.AllocsPerRun(100, func() { read(0, dst) }))
}

// The bytes of a fit do not depend on the number of processors nor, weights or not, on the order of the rows.
func TestFitIsTheSameOnAnyMachine(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	s := encoded("mixed", spec.ImputeMedian)
	tab := modeltest.Table(t, modeltest.Options{Spec: s, Rows: 40_000, Seed: 6})
	rows, weight := allRows(tab), make([]float64, tab.Len())
	for i := range weight {
		weight[i] = 1 / float64(1+i%7)
	}
	var first *feature.Pipeline
	for _, threads := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(threads)
		p, err := feature.Fit(s, tab.Schema(), tab, rows, weight)
		require.NoError(t, err)
		if first == nil {
			first = p
		}
		requireSame(t, first, p)
		rand.New(rand.NewPCG(1, uint64(threads))).Shuffle(len(rows), func(i, j int) {
			rows[i], rows[j] = rows[j], rows[i]
			weight[i], weight[j] = weight[j], weight[i]
		})
	}
}

// Golden rows are holdout rows with Transform's features, so a bundle verifies itself whatever the encoding, and one whose target values
// were changed on the way does not.
func TestBundlesOfEveryEncodingVerify(t *testing.T) {
	for _, encoding := range encodings {
		s := encoded(encoding, spec.ImputeMedian)
		data := modeltest.Encoded(t, modeltest.Options{Spec: s, Rows: 200, Trees: 5})
		b, err := model.Decode(data)
		require.NoError(t, err)
		require.NoError(t, b.Verify(), encoding)
		if encoding != spec.EncodingTarget {
			continue
		}
		text, err := json.Marshal(b.Pipeline)
		require.NoError(t, err)
		changed := strings.ReplaceAll(string(text), `"values":[0.4`, `"values":[0.5`)
		require.NotEqual(t, string(text), changed)
		b.Pipeline, err = feature.Parse([]byte(changed), s, b.Schema)
		require.NoError(t, err)
		var golden *model.GoldenError
		require.ErrorAs(t, b.Verify(), &golden)
	}
}
