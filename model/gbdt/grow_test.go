package gbdt

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A leaf whose histogram there is no room to keep has its children summed from rows, which gives the same tree.
func TestTreesDoNotDependOnHistogramsKept(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 7))
	m, names := smallRandom(random, 5000, 6, []int{4})
	p := DefaultParams()
	p.MaxDepth, p.MaxLeaves, p.MinChildRows, p.Categorical, p.Threads = 0, 31, 5, []int{4}, 2
	d, err := Quantize(t.Context(), p, names, m.Source())
	require.NoError(t, err)
	var want []byte
	for _, test := range []struct {
		name string
		keep func(all int) int
		made func(made int) bool
	}{
		{"all", func(int) int { return maxHistogramBytes }, func(made int) bool { return made > 8 }},
		{"three", func(all int) int { return 3 * all }, func(made int) bool { return made == 4 }},
		{"none", func(int) int { return 1 }, func(made int) bool { return made == 1 }},
	} {
		weights := d.weigh(1)
		g := newGrower(p, d, scale{g: weights.unit / (1 << firstBits), h: weights.unit / (1 << secondBits)})
		g.begin(0, nil, sequenceOfInts(m.Width))
		g.histogramBytes = test.keep(g.size * cellBytes)
		margins := newMargins(d, weights, 1)
		margins.derive(1, g.pairs)
		tree, leaves, err := g.grow(t.Context(), 0, nil, sequenceOfInts(m.Width))
		require.NoError(t, err)
		require.Len(t, leaves, 31)
		if want == nil {
			want = tree.text(0)
		}
		require.Equal(t, string(want), string(tree.text(0)), test.name)
		require.True(t, test.made(len(g.free)), "%s: %d histograms were made", test.name, len(g.free))
		require.Zero(t, g.inUse, "all are given back")
	}
}

// sequenceOfInts returns 0 to n-1.
func sequenceOfInts(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// What a leaf draws has nothing to do with what its tree drew, nor with what other leaves and trees draw.
func TestDrawsOfLeavesAreTheirOwn(t *testing.T) {
	const columns, seeds = 8, 200
	all := sequenceOfInts(columns)
	likeTree, likeSibling, likeNext := 0, 0, 0
	for seed := range uint64(seeds) {
		p := DefaultParams()
		p.Seed, p.ColumnSampleNode = seed, 0.5
		draw := func(round, id int) []int {
			g := &grower{params: p, active: all, round: round}
			return g.drawn(&leaf{id: id})
		}
		root := draw(0, 0)
		require.Len(t, root, columns/2)
		require.Equal(t, root, draw(0, 0), "the same leaf draws the same")
		same := func(other []int) int {
			if slices.Equal(root, other) {
				return 1
			}
			return 0
		}
		likeTree += same(choose(rand.NewPCG(seed, 0), nil, all, columns/2))
		likeSibling += same(draw(0, 1))
		likeNext += same(draw(1, 0))
	}
	// Four of eight are the same by chance once in 70 times.
	for what, n := range map[string]int{"its tree": likeTree, "another leaf": likeSibling, "another tree's": likeNext} {
		require.Less(t, n, 12, "of %d leaves as many draw what %s does", seeds, what)
	}
}

func TestBinsOfManyRowsAreCutFromEveryStratum(t *testing.T) {
	const rows = 3 * sampleRows
	sample := rowSample(rows, 5)
	require.Len(t, sample, sampleRows)
	var place [3]int
	for i, r := range sample {
		if int(r)/3 != i {
			require.Failf(t, "not one row of each three", "row %d for stratum %d", r, i)
		}
		place[r%3]++
	}
	for _, n := range place {
		require.InDelta(t, sampleRows/3, n, 1000, "any of them")
	}
	require.Equal(t, sample, rowSample(rows, 5))
	require.NotEqual(t, sample, rowSample(rows, 6))
	require.Equal(t, sequence(sampleRows), rowSample(sampleRows, 5), "no sample is taken of rows that are not too many")
	uneven := rowSample(sampleRows+7, 5)
	require.Len(t, uneven, sampleRows)
	require.True(t, slices.IsSorted(uneven))
	require.Len(t, slices.Compact(uneven), sampleRows)
}

// ramp is more rows than bins are cut from, whose value rises from row to row and is positive in the upper half, but for values far out that a
// sample can miss.
type ramp int

func (n ramp) Len() int { return int(n) }

func (n ramp) Rows() func(i int, dst []float64) (label, weight float64) {
	return func(i int, dst []float64) (label, weight float64) {
		dst[0], dst[1] = float64(i), float64(i%2)
		if i%(int(n)/4) == 1 {
			dst[0] = math.Copysign(1e9, float64(i-int(n)/2))
		}
		if i >= int(n)/2 {
			label = 1
		}
		return label, 1
	}
}

func TestManyRowsAreTrainedOn(t *testing.T) {
	const rows = sampleRows + sampleRows/8
	p := DefaultParams()
	p.Trees, p.MaxDepth = 1, 2
	names := []string{"ramp", "parity"}
	var first *Ensemble
	var bounds []float64
	for _, threads := range []int{1, 3} {
		p.Threads = threads
		d, err := Quantize(t.Context(), p, names, ramp(rows))
		require.NoError(t, err)
		bounds = d.bins.columns[0].bounds
		require.Len(t, bounds, p.MaxBins-1)
		for i, bound := range bounds {
			require.InDelta(t, float64(rows)*float64(i+1)/float64(p.MaxBins), bound, rows/1000, "bins hold about as many rows each")
		}
		require.Equal(t, []float64{0.5}, d.bins.columns[1].bounds)
		e, _, err := TrainData(t.Context(), p, d, nil, nil)
		require.NoError(t, err)
		require.EqualValues(t, rows, e.trees[0].internalCount[0], "every row counts, not those of the sample alone")
		require.InDelta(t, rows/2, e.trees[0].threshold[0], rows/500)
		if first == nil {
			first = e
		}
		require.Equal(t, first.trees, e.trees, "%d threads", threads)
	}
	p.Seed = 9
	require.NotEqual(t, bounds, cutBins(&p, names, ramp(rows)).columns[0].bounds, "another seed, other sample rows")
}
