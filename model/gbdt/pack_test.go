package gbdt

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// randomColumns returns columns with levels of all sizes, some of them never missing.
func randomColumns(random *rand.Rand, n int) []column {
	columns := make([]column, n)
	for f := range columns {
		c := &columns[f]
		for range random.IntN([]int{1, 2, 5, 40, 255, 900}[random.IntN(6)]) {
			c.bounds = append(c.bounds, float64(len(c.bounds)))
		}
		c.missing = random.IntN(2) == 0
	}
	return columns
}

func TestLanesHoldEveryBin(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 9))
	for range 30 {
		columns := randomColumns(random, 1+random.IntN(40))
		l := newLayout(columns)
		const rows = 300
		bins := make([][]int, len(columns))
		words := make([][]uint64, l.words)
		for w := range words {
			words[w] = make([]uint64, rows)
		}
		for f := range columns {
			for r := range rows {
				bins[f] = append(bins[f], random.IntN(columns[f].levels()))
				if p := l.digits[f]; p.lane >= 0 {
					n := &l.lanes[p.lane]
					words[n.word][r] += uint64(bins[f][r]*p.stride) << n.shift
				}
			}
		}
		requireBins(t, l, words, bins)
		for i := range l.lanes {
			if n := &l.lanes[i]; !n.wide {
				require.LessOrEqual(t, n.size, byteSize)
			}
		}

		// Levels that no row is in go, and the rest can still be told.
		for f := range columns {
			if columns[f].missing && columns[f].bins() > 1 && random.IntN(2) == 0 {
				columns[f].missing = false
				for r := range rows {
					if n := &l.lanes[l.digits[f].lane]; bins[f][r] == columns[f].bins() {
						words[n.word][r] -= uint64(l.digits[f].stride) << n.shift
						bins[f][r]--
					}
				}
			}
		}
		closer := newLayout(columns)
		requireBins(t, closer, closer.recode(2, rows, l, words), bins)
	}
}

func requireBins(t *testing.T, l *layout, words [][]uint64, bins [][]int) {
	t.Helper()
	for f := range bins {
		p := l.digits[f]
		for r, want := range bins[f] {
			v := 0
			if p.lane >= 0 {
				n := &l.lanes[p.lane]
				v = int(uint16(words[n.word][r]>>n.shift) & n.mask())
			}
			require.Equal(t, want, p.bin(v), "column %d row %d", f, r)
		}
	}
}

func TestPairsAreRoundedToTheNearestUnit(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		g, h := 2*random.Float64()-1, random.Float64()/4
		if random.IntN(100) == 0 {
			g, h = math.Copysign(1, g), 0.25
		}
		d := toPair(g, h)
		require.InDelta(t, g, float64(int32(d))/(1<<firstBits), 1.0/(1<<(firstBits+1)))
		require.InDelta(t, h, float64(d>>32)/(1<<secondBits), 1.0/(1<<(secondBits+1)))
		if math.Abs(g) >= 1.0/(1<<7) && h >= 1.0/(1<<9) {
			// Half of the last bit of single precision.
			require.InDelta(t, g, float64(int32(d))/(1<<firstBits), math.Ldexp(1, math.Ilogb(g)-24), "no worse than single precision")
			require.InDelta(t, h, float64(d>>32)/(1<<secondBits), math.Ldexp(1, math.Ilogb(h)-24), "no worse than single precision")
		}
	}
	require.Equal(t, pair(0), toPair(-0.99/(1<<(firstBits+1)), 0.99/(1<<(secondBits+1))), "under half a unit")
	require.Equal(t, pair(0), toPair(0, 0))
	require.EqualValues(t, -1<<firstBits, int32(toPair(-1, 0.25)))
	require.EqualValues(t, 1<<30, toPair(-1, 0.25)>>32)
}

// Every row has the greatest derivatives there are, and all fall into one bin.
func TestHistogramsDoNotOverflow(t *testing.T) {
	const rows = 5 * rowsAtOnce / 2
	columns := []column{{bounds: []float64{0}}, {bounds: make([]float64, 200)}}
	for f := range columns {
		columns[f].missing = false
	}
	l := newLayout(columns)
	words := make([]uint64, rows)
	pairs := make([]pair, rows)
	for r := range words {
		words[r] = uint64(1*l.digits[0].stride)<<l.lanes[l.digits[0].lane].shift + uint64(200*l.digits[1].stride)<<l.lanes[l.digits[1].lane].shift
		pairs[r] = toPair(-1, 0.25)
	}
	d := &Data{bins: &Bins{}, columns: columns, layout: l, words: [][]uint64{words}, label: make([]uint8, rows)}
	for _, threads := range []int{1, 3} {
		p := DefaultParams()
		p.Threads = threads
		g := newGrower(p, d, scale{1, 1})
		copy(g.pairs, pairs)
		g.begin(0, sequence(rows), []int{0, 1})
		cells := g.take()
		for range 2 {
			g.fill(cells, &leaf{high: rows, parent: -1})
			want := cell{g: -rows << firstBits, h: rows << 30, rows: rows}
			require.Equal(t, want, g.cellsOf(cells, 0)[1])
			require.Equal(t, want, g.cellsOf(cells, 1)[200])
			require.Zero(t, g.cellsOf(cells, 0)[0])
			require.Zero(t, g.cellsOf(cells, 1)[199])
		}
	}
}

// Histograms of one word or many, of all rows, some or moved ones, by any number of goroutines, are the sums that one loop gives.
func TestHistogramsAreSums(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	for _, width := range []int{1, 3, 8, 22, 40} {
		m := Matrix{Rows: 7000, Width: width}
		names := make([]string, width)
		for f := range names {
			names[f] = string(rune('a' + f))
		}
		for range m.Rows {
			for f := range width {
				v := float64(random.IntN([]int{2, 3, 4, 70, 2, 3, 300}[f%7]))
				if random.IntN(9) == 0 {
					v = math.NaN()
				}
				m.X = append(m.X, v)
			}
			m.Label = append(m.Label, float64(random.IntN(2)))
		}
		for _, bins := range []int{255, 290} {
			p := DefaultParams()
			p.MaxBins = bins
			d, err := Quantize(t.Context(), p, names, m.Source())
			require.NoError(t, err)
			binOf := binsOf(d, m)
			for _, threads := range []int{1, 8} {
				p.Threads = threads
				g := newGrower(p, d, scale{1, 1})
				for r := range g.pairs {
					g.pairs[r] = toPair(2*random.Float64()-1, random.Float64()/4)
				}
				features := make([]int, 0, width)
				for f := range width {
					if f != 2 {
						features = append(features, f)
					}
				}
				g.begin(0, sequence(m.Rows), features)
				cells := g.take()
				root := &leaf{high: m.Rows, parent: -1}
				requireSums(t, g, binOf, cells, root)

				// A split on the first column, and one of its right side.
				left := split{feature: 0, bin: 0, left: g.cellsOf(cells, 0)[0]}
				root.best, root.total = left, g.sum()
				a, b := g.divide(root, 0, false)
				requireSums(t, g, binOf, cells, &a)
				requireSums(t, g, binOf, cells, &b)
				for _, r := range g.index[a.low:a.high] {
					require.Equal(t, 0.0, m.Row(int(r))[0])
				}
				if rest := g.cellsOf(cells, 0); rest[len(rest)-1].rows > 0 {
					b.best = split{feature: 0, bin: len(rest) - 2, left: b.total.minus(rest[len(rest)-1])}
					c, e := g.divide(&b, 1, false)
					requireSums(t, g, binOf, cells, &c)
					requireSums(t, g, binOf, cells, &e)
				}
			}
		}
	}
}

// Large leaves are divided by several goroutines, and rows that are then on the wrong side change places with their records.
func TestLargeLeavesAreDivided(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	m := Matrix{Rows: 4 * parallelRows, Width: 3}
	for i := range m.Rows {
		// The rows of the first column's bins are spread unevenly.
		first := float64(0)
		if random.IntN(m.Rows) > i/4 {
			first = float64(1 + random.IntN(2))
		}
		m.X = append(m.X, first, float64(random.IntN(200)), float64(random.IntN(200)))
		m.Label = append(m.Label, float64(random.IntN(2)))
	}
	p := DefaultParams()
	for _, words := range []int{1, maxMoved} {
		names := []string{"a", "b", "c"}
		d, err := Quantize(t.Context(), p, names, m.Source())
		require.NoError(t, err)
		for len(d.words) < words {
			d.words = append(d.words, d.words[0])
			d.layout.words++
		}
		binOf := binsOf(d, m)
		for _, threads := range []int{1, 3, 8} {
			p.Threads = threads
			g := newGrower(p, d, scale{1, 1})
			for r := range g.pairs {
				g.pairs[r] = toPair(2*random.Float64()-1, random.Float64()/4)
			}
			g.begin(0, nil, []int{0, 1, 2})
			cells := g.take()
			root := &leaf{high: m.Rows, parent: -1, total: g.sum()}
			g.fill(cells, root)
			root.best = split{feature: 0, bin: 0, left: g.cellsOf(cells, 0)[0]}
			_, right := g.divide(root, 0, false)
			require.Greater(t, right.rows(), 2*parallelRows)
			requireSums(t, g, binOf, cells, &right)
			right.best = split{feature: 0, bin: 1, left: g.cellsOf(cells, 0)[1]}
			b, c := g.divide(&right, 1, false)
			requireSums(t, g, binOf, cells, &b)
			requireSums(t, g, binOf, cells, &c)
			require.Greater(t, c.rows(), parallelRows)
			c.best = split{feature: 1, bin: 49, left: cell{}}
			for _, cell := range g.cellsOf(cells, 1)[:50] {
				c.best.left.add(cell)
			}
			e, f := g.divide(&c, 2, true)
			for _, l := range []leaf{e, f} {
				for _, r := range g.index[l.low:l.high] {
					require.Equal(t, 2.0, m.Row(int(r))[0])
					require.Equal(t, l.right, m.Row(int(r))[1] > 49)
				}
			}
		}
	}
}

// binsOf returns the bin of every value, column by column.
func binsOf(d *Data, m Matrix) [][]int {
	binOf := make([][]int, m.Width)
	for f := range binOf {
		for i := range m.Rows {
			binOf[f] = append(binOf[f], d.columns[f].bin(m.Row(i)[f]))
		}
	}
	return binOf
}

func requireSums(t *testing.T, g *grower, binOf [][]int, cells []cell, l *leaf) {
	t.Helper()
	g.fill(cells, l)
	for _, f := range g.active {
		want := make([]cell, g.data.columns[f].bins()+1)
		for _, r := range g.index[l.low:l.high] {
			want[binOf[f][r]].add(cell{g: int64(int32(g.pairs[r])), h: int64(g.pairs[r] >> 32), rows: 1})
		}
		require.Equal(t, want, g.cellsOf(cells, f), "column %d of %d, %d rows", f, len(binOf), l.rows())
	}
}
