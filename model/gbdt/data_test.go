package gbdt_test

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/gbdt"
)

// computed is a source that makes its rows when they are asked for.
type computed struct {
	rows int
	row  func(i int, dst []float64) (label, weight float64)
}

func (c computed) Len() int { return c.rows }

func (c computed) Rows() func(i int, dst []float64) (label, weight float64) { return c.row }

func TestEveryWayToQuantizeGivesTheSameModel(t *testing.T) {
	for _, width := range []int{6, 24} {
		for _, weighted := range []bool{false, true} {
			m, names := generate(31, 4000, width)
			asCodes(m, 2)
			if weighted {
				m.Weight = make([]float64, m.Rows)
				for i := range m.Weight {
					m.Weight[i] = float64(1 + i%3)
				}
			}
			p := gbdt.DefaultParams()
			p.Trees, p.Categorical, p.MinRowsPerCategory, p.MaxBins = 3, []int{2}, 10, 300
			want := text(t, train(t, p, names, m))
			fit := func(d *gbdt.Data) []byte {
				require.Equal(t, m.Rows, d.Len())
				require.Equal(t, names, d.Names())
				e, _, err := gbdt.TrainData(context.Background(), p, d, nil, nil)
				require.NoError(t, err)
				return text(t, e)
			}

			d, err := gbdt.Quantize(context.Background(), p, names, computed{m.Rows, func(i int, dst []float64) (label, weight float64) {
				copy(dst, m.Row(i))
				weight = 1
				if weighted {
					weight = m.Weight[i]
				}
				return m.Label[i], weight
			}})
			require.NoError(t, err)
			require.Equal(t, string(want), string(fit(d)), "a source")
			require.Equal(t, string(want), string(fit(d)), "data stay as they are")

			bins, err := gbdt.CutBins(p, names, m)
			require.NoError(t, err)
			var parts []*gbdt.Part
			for low := 0; low < m.Rows; low += 1500 {
				parts = append(parts, part(t, bins, m, low, min(low+1500, m.Rows)))
			}
			joined, err := gbdt.Join(parts...)
			require.NoError(t, err)
			require.Equal(t, d.Bytes(), joined.Bytes())
			require.Equal(t, string(want), string(fit(joined)), "parts")
			_, err = gbdt.Join(parts...)
			require.ErrorContains(t, err, "part 0 was joined before")
		}
	}
}

// part quantizes rows low to high-1.
func part(t *testing.T, bins *gbdt.Bins, m gbdt.Matrix, low, high int) *gbdt.Part {
	t.Helper()
	chunk := gbdt.Matrix{Rows: high - low, Width: m.Width, X: m.X[low*m.Width : high*m.Width], Label: m.Label[low:high]}
	if m.Weight != nil {
		chunk.Weight = m.Weight[low:high]
	}
	p, err := bins.Quantize(chunk)
	require.NoError(t, err)
	return p
}

func TestPartsAreQuantizedInParallel(t *testing.T) {
	m, names := generate(32, 8000, 9)
	p := gbdt.DefaultParams()
	p.Trees = 5
	first := train(t, p, names, m)
	p.Init = first
	bins, err := gbdt.CutBins(p, names, m)
	require.NoError(t, err)
	parts := make([]*gbdt.Part, 8)
	var all sync.WaitGroup
	for k := range parts {
		all.Go(func() { parts[k] = part(t, bins, m, k*1000, (k+1)*1000) })
	}
	all.Wait()
	d, err := gbdt.Join(parts...)
	require.NoError(t, err)
	e, _, err := gbdt.TrainData(context.Background(), p, d, nil, nil)
	require.NoError(t, err)
	require.Equal(t, string(text(t, train(t, p, names, m))), string(text(t, e)))
}

func TestBinsOfASampleTakeWhateverComes(t *testing.T) {
	nan := math.NaN()
	sample := gbdt.Matrix{Rows: 3, Width: 3, X: []float64{1, 10, 5, 2, 10, 6, 3, 10, 7}}
	p := gbdt.DefaultParams()
	p.Trees, p.MinChildRows, p.Categorical, p.MaxCatToOneHot, p.L2 = 20, 1, []int{2}, 10, 0
	bins, err := gbdt.CutBins(p, []string{"number", "constant", "code"}, sample)
	require.NoError(t, err)
	// Values beyond the sample's, missing ones that it lacks, a column that it thinks constant and codes it has not seen.
	m := gbdt.Matrix{Rows: 6, Width: 3, Label: []float64{0, 0, 1, 1, 1, 0}, X: []float64{
		-50, 10, 5,
		1, 11, 6,
		99, 10, 7,
		3, nan, 900,
		nan, 10, nan,
		2, 10, 5,
	}}
	q, err := bins.Quantize(m)
	require.NoError(t, err)
	d, err := gbdt.Join(q)
	require.NoError(t, err)
	e, _, err := gbdt.TrainData(context.Background(), p, d, nil, nil)
	require.NoError(t, err)
	for i, y := range m.Label {
		require.InDelta(t, y, e.Probability(m.Row(i)), 0.2, "row %d", i)
	}
	require.Zero(t, e.Importance()[1], "missing beside a single value tells no more than the others")
	require.Equal(t, e.Margin([]float64{2, 10, 65_000}), e.Margin([]float64{2, 10, nan}), "unseen codes go with missing ones")
}

func TestPartsWithAndWithoutWeights(t *testing.T) {
	m, names := generate(36, 3000, 5)
	m.Weight = make([]float64, m.Rows)
	for i := range m.Weight {
		m.Weight[i] = 1
		if i < 1000 {
			m.Weight[i] = 2.5
		}
	}
	p := gbdt.DefaultParams()
	p.Trees = 5
	bins, err := gbdt.CutBins(p, names, m)
	require.NoError(t, err)
	first := part(t, bins, m, 0, 1000)
	rest := m
	rest.Weight = nil
	d, err := gbdt.Join(first, part(t, bins, rest, 1000, 3000))
	require.NoError(t, err)
	e, _, err := gbdt.TrainData(context.Background(), p, d, nil, nil)
	require.NoError(t, err)
	require.Equal(t, string(text(t, train(t, p, names, m))), string(text(t, e)))
}

// Validation rows may lack levels that training rows have, and have those that training rows lack.
func TestValidationRowsOfOtherLevels(t *testing.T) {
	nan := math.NaN()
	m, names := generate(35, 2000, 6)
	for i := range m.Rows {
		// Column 4 is 4 or missing.
		if x := m.Row(i); x[4] == 0 {
			x[4] = 4
		} else {
			x[4] = nan
		}
	}
	p := gbdt.DefaultParams()
	p.Trees, p.MaxDepth = 10, 4
	for name, change := range map[string]func(x []float64){
		"all missing":      func(x []float64) { x[2] = nan },
		"constant":         func(x []float64) { x[2], x[0] = 3, 1 },
		"missing for once": func(x []float64) { x[0], x[1] = nan, nan },
		"beyond":           func(x []float64) { x[0] *= 100 },
		"only missing":     func(x []float64) { x[4] = nan },
		"never missing":    func(x []float64) { x[4] = 4 },
	} {
		valid, _ := generate(37, 500, 6)
		for i := range valid.Rows {
			change(valid.Row(i))
		}
		e, report, err := gbdt.Train(context.Background(), p, names, m, &valid, nil)
		require.NoError(t, err)
		loss := 0.0
		for i, y := range valid.Label {
			q := e.Probability(valid.Row(i))
			loss -= y*math.Log(q) + (1-y)*math.Log(1-q)
		}
		require.InDelta(t, loss/float64(valid.Rows), report.ValidLoss[9], 1e-12, name)
		require.Positive(t, e.Importance()[4])
	}

	// Rows that are all alike are packed into nothing.
	m, names = column(append(make([]float64, 50), slices.Repeat([]float64{nan}, 50)...), 50), []string{"x"}
	for _, v := range []float64{0, 7, nan} {
		for _, label := range []int{0, 10} {
			valid := column(slices.Repeat([]float64{v}, 10), label)
			e, report, err := gbdt.Train(context.Background(), p, names, m, &valid, nil)
			require.NoError(t, err)
			q := e.Probability([]float64{v})
			if label == 10 {
				q = 1 - q
			}
			require.InDelta(t, -math.Log(q), report.ValidLoss[9], 1e-12, "all %v", v)
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	ctx := context.Background()
	p, names := gbdt.DefaultParams(), []string{"a", "b"}
	fixed := func(x, label, weight float64) gbdt.Source {
		return computed{5, func(i int, dst []float64) (float64, float64) {
			dst[0], dst[1] = float64(i), 1
			if i == 3 {
				dst[1] = x
				return label, weight
			}
			return 0, 1
		}}
	}
	inf, nan := math.Inf(1), math.NaN()
	for _, test := range []struct {
		name   string
		source gbdt.Source
		cat    []int
		want   string
	}{
		{"no rows", computed{}, nil, "source has 0 rows"},
		{"infinite", fixed(-inf, 0, 1), nil, "row 3: feature b is -Inf, want a finite number or NaN"},
		{"label", fixed(1, 0.5, 1), nil, "row 3: label is 0.5"},
		{"missing label", fixed(1, nan, 1), nil, "row 3: label is NaN"},
		{"weight", fixed(1, 0, -1), nil, "row 3: weight is -1"},
		{"infinite weight", fixed(1, 0, inf), nil, "row 3: weight is +Inf"},
		{"fraction as a code", fixed(1.5, 0, 1), []int{1}, "row 3: feature b is 1.5, want a whole category from 0 to 65535 or NaN"},
		{"negative code", fixed(-1, 0, 1), []int{1}, "row 3: feature b is -1"},
		{"great code", fixed(65536, 0, 1), []int{1}, "row 3: feature b is 65536"},
		{"infinite code", fixed(inf, 0, 1), []int{1}, "row 3: feature b is +Inf"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := p
			p.Categorical = test.cat
			_, err := gbdt.Quantize(ctx, p, names, test.source)
			require.ErrorContains(t, err, test.want)
		})
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err := gbdt.Quantize(cancelled, p, names, fixed(1, 0, 1))
	require.ErrorIs(t, err, context.Canceled)
	_, err = gbdt.Join()
	require.ErrorContains(t, err, "no parts")

	m, names := generate(33, 100, 3)
	bins, err := gbdt.CutBins(p, names, m)
	require.NoError(t, err)
	other, err := gbdt.CutBins(p, names, m)
	require.NoError(t, err)
	_, err = gbdt.Join(part(t, bins, m, 0, 50), part(t, other, m, 50, 100))
	require.ErrorContains(t, err, "part 1 is of other bins")
	_, err = bins.Quantize(gbdt.Matrix{Rows: 1, Width: 2, X: []float64{1, 2}, Label: []float64{0}})
	require.ErrorContains(t, err, "width of 2, want 3")
	_, err = gbdt.CutBins(p, names, gbdt.Matrix{Width: 3})
	require.ErrorContains(t, err, "0 rows")
}

func TestTrainDataRefusesOtherData(t *testing.T) {
	ctx := context.Background()
	m, names := generate(34, 500, 4)
	asCodes(m, 2)
	p := gbdt.DefaultParams()
	p.Categorical = []int{2}
	d, err := gbdt.Quantize(ctx, p, names, m.Source())
	require.NoError(t, err)
	own, err := d.Quantize(ctx, p, m.Source())
	require.NoError(t, err)
	other, err := gbdt.Quantize(ctx, p, names, m.Source())
	require.NoError(t, err)
	e := train(t, p, names, m)
	renamed := train(t, p, []string{"a", "b", "c", "d"}, m)
	for _, test := range []struct {
		name   string
		change func(p *gbdt.Params)
		valid  *gbdt.Data
		want   string
	}{
		{"bins", func(p *gbdt.Params) { p.MaxBins = 63 }, nil, "MaxBins is 63, the data were quantized with 255"},
		{"categorical", func(p *gbdt.Params) { p.Categorical = nil }, nil, "Categorical lacks feature column 2"},
		{"more categorical", func(p *gbdt.Params) { p.Categorical = []int{1, 2} }, nil, "Categorical names 2 features"},
		{"init", func(p *gbdt.Params) { p.Init = e }, nil, "Init is not the ensemble that the data were quantized with"},
		{"other bins", func(*gbdt.Params) {}, other, "other bins than the training data"},
		{"no validation", func(p *gbdt.Params) { p.EarlyStoppingRounds = 2 }, nil, "EarlyStoppingRounds needs validation data"},
		{"monotone of categories", func(p *gbdt.Params) { p.Monotone = []int8{0, 0, 1, 0} }, own, "Monotone of feature column 2 is 1"},
		{"monotone of too few", func(p *gbdt.Params) { p.Monotone = []int8{0} }, own, "Monotone has 1 entries"},
		{"monotone twice", func(p *gbdt.Params) { p.Monotone = []int8{2, 0, 0, 0} }, own, "Monotone of feature 0 is 2"},
		{"interactions", func(p *gbdt.Params) { p.Interactions = [][]int{{0, 4}} }, own, "Interactions names feature 4"},
		{"no interaction", func(p *gbdt.Params) { p.Interactions = [][]int{{0}, {}} }, own, "Interactions has an empty set, number 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := p
			test.change(&p)
			_, _, err := gbdt.TrainData(ctx, p, d, test.valid, nil)
			require.ErrorContains(t, err, test.want)
		})
	}
	p.Init = renamed
	_, _, err = gbdt.Train(ctx, p, names, m, nil, nil)
	require.ErrorContains(t, err, "Init has the features")
	p.Init = e
	score := 0.5
	p.BaseScore = &score
	require.ErrorContains(t, p.Validate(), "BaseScore is set beside Init")
}

func TestQuantizedRowsAreSmall(t *testing.T) {
	m, names := telcoLike(1, 10_000)
	d, err := gbdt.Quantize(context.Background(), gbdt.DefaultParams(), names, m.Source())
	require.NoError(t, err)
	// One word, for 19 columns, and the label.
	require.EqualValues(t, 9*m.Rows, d.Bytes())
}
