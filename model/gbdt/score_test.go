package gbdt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// shape bounds random trees. Depth 0 is no bound, whole the number of different thresholds, 5 if it is 0, and numeric says that no split
// is by categories.
type shape struct {
	trees, leaves, depth, width, whole int
	numeric                            bool
}

// randomTree returns a tree with splits of every kind, and covers of which some are 0.
func randomTree(random *rand.Rand, s shape) tree {
	t := tree{leafValue: []float64{0}, shrinkage: 1}
	depths := []int{0}
	for range 4 * s.leaves {
		// Split a random leaf.
		leaf := int32(random.IntN(len(t.leafValue)))
		if len(t.leafValue) == s.leaves || s.depth > 0 && depths[leaf] == s.depth {
			continue
		}
		depths[leaf]++
		depths = append(depths, depths[leaf])
		node := int32(len(t.feature))
		for i := range t.feature {
			for _, side := range []*int32{&t.left[i], &t.right[i]} {
				if *side == ^leaf {
					*side = node
				}
			}
		}
		decision, threshold := uint8(random.IntN(3)<<missingShift|random.IntN(2)<<1), float64(random.IntN(max(s.whole, 5))-2)
		if !s.numeric && random.IntN(3) == 0 {
			if t.catBounds == nil {
				t.catBounds = []int32{0}
			}
			decision = uint8(decisionCategorical | missingNaN<<missingShift | random.IntN(2)<<1)
			threshold = float64(len(t.catBounds) - 1)
			for range 1 + random.IntN(3) {
				t.catWords = append(t.catWords, random.Uint32())
			}
			t.catBounds = append(t.catBounds, int32(len(t.catWords)))
		}
		t.feature, t.threshold = append(t.feature, int32(random.IntN(s.width))), append(t.threshold, threshold)
		t.decision = append(t.decision, decision)
		t.left, t.right = append(t.left, ^leaf), append(t.right, ^int32(len(t.leafValue)))
		t.leafValue = append(t.leafValue, 0)
	}
	for i := range t.leafValue {
		t.leafValue[i] = random.NormFloat64()
		t.leafCount = append(t.leafCount, int64(random.IntN(8)))
		t.leafWeight = append(t.leafWeight, random.Float64())
	}
	t.leafCount[0]++
	t.gain, t.internalValue = make([]float64, len(t.feature)), make([]float64, len(t.feature))
	t.internalWeight, t.internalCount = make([]float64, len(t.feature)), make([]int64, len(t.feature))
	return t
}

func randomRow(random *rand.Rand, width int) []float64 {
	x := make([]float64, width)
	for f := range x {
		x[f] = []float64{float64(random.IntN(7) - 3), float64(random.IntN(100)), math.NaN(), 0}[random.IntN(4)]
	}
	return x
}

func randomEnsemble(random *rand.Rand, s shape) *Ensemble {
	names, infos := make([]string, s.width), make([]string, s.width)
	for f := range names {
		names[f], infos[f] = fmt.Sprintf("f%d", f), "none"
	}
	list := make([]tree, s.trees)
	for i := range list {
		list[i] = randomTree(random, s)
	}
	return newEnsemble(names, infos, nil, list)
}

// TestScoresAreThePlainOnes compares every way to score with the plain walk, bit for bit, also on numbers of rows that do not
// come in eights.
func TestScoresAreThePlainOnes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, test := range []struct {
		name string
		shape
		wide bool
	}{
		{"one leaf", shape{trees: 3, leaves: 1, width: 2}, true},
		{"one tree", shape{trees: 1, leaves: 8, depth: 3, width: 4}, true},
		{"depth 1", shape{trees: 20, leaves: 2, depth: 1, width: 4}, true},
		{"depth 3", shape{trees: 50, leaves: 8, depth: 3, width: 12}, true},
		{"many thresholds", shape{trees: 400, leaves: 8, depth: 3, width: 2, whole: 700, numeric: true}, true},
		{"depth 4", shape{trees: 37, leaves: 14, depth: 4, width: 5}, true},
		{"many slots", shape{trees: 400, leaves: 8, depth: 3, width: 200}, true},
		{"too many lanes", shape{trees: 4000, leaves: 8, depth: 3, width: 33, whole: 100_000, numeric: true}, false},
		{"deep", shape{trees: 70, leaves: 40, width: 10}, false},
		{"deep and broad", shape{trees: 4, leaves: 60, width: 90}, false},
		{"more slots than walking is worth", shape{trees: 1, leaves: 400, width: 400}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := randomEnsemble(random, test.shape)
			require.Equal(t, test.wide, !slices.ContainsFunc(e.scorers, func(s *scorer) bool { return s.wide == nil || s.wide() == nil }))
			if test.name == "many slots" {
				require.Greater(t, len(e.scorers), 1)
			}
			e.objective.average = test.leaves == 14
			const rows = 203
			var x, want []float64
			for range rows {
				row := randomRow(random, test.width)
				for f := range row {
					switch random.IntN(10) {
					case 0:
						row[f] = float64(random.IntN(max(test.whole, 5)) - 2)
					case 1:
						row[f] = []float64{math.Inf(1), math.Inf(-1), -0.5, 1e-36, -1e-36, math.MaxFloat64, 31.5, 61, 62, 63, 64.5, 1e300}[random.IntN(12)]
					}
				}
				x = append(x, row...)
				sum := addPlain(0, e.trees, row)
				if e.objective.average {
					sum /= float64(test.trees)
				}
				want = append(want, sum)
			}
			for _, n := range []int{0, 1, 7, 8, 9, 64, 71, rows} {
				got := make([]float64, n)
				e.Margins(x[:n*test.width], got)
				for i := range got {
					require.Equal(t, math.Float64bits(want[i]), math.Float64bits(got[i]), "row %d of %d", i, n)
					require.Equal(t, math.Float64bits(want[i]), math.Float64bits(e.Margin(x[i*test.width:(i+1)*test.width])), "row %d", i)
				}
			}
			row := x[:test.width]
			require.Zero(t, testing.AllocsPerRun(20, func() { e.Margin(row) }))
		})
	}
	e := randomEnsemble(random, shape{trees: 1, leaves: 2, width: 2})
	require.PanicsWithValue(t, "gbdt: 3 values for 2 rows of 2 features", func() { e.Margins(make([]float64, 3), make([]float64, 2)) })
}

// TestTextOfAnyTrees writes trees of every kind, in our own words, and reads them back.
func TestTextOfAnyTrees(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	for range 50 {
		s := shape{trees: 1 + random.IntN(5), leaves: 1 + random.IntN(12), width: 1 + random.IntN(4), numeric: random.IntN(3) == 0}
		e := randomEnsemble(random, s)
		e.objective = []objective{
			logistic, {name: "binary", sigmoid: 0.3}, {name: "cross_entropy", sigmoid: 1, average: true}, {name: "binary", sigmoid: 1, average: true},
		}[random.IntN(4)]
		var first, second strings.Builder
		require.NoError(t, e.WriteText(&first))
		back, err := ParseText(strings.NewReader(first.String()))
		require.NoError(t, err, first.String())
		require.Equal(t, e.objective, back.objective)
		back.source = ""
		require.NoError(t, back.WriteText(&second))
		require.Equal(t, first.String(), second.String())
		for range 20 {
			x := randomRow(random, s.width)
			require.Equal(t, math.Float64bits(e.Probability(x)), math.Float64bits(back.Probability(x)))
			require.Equal(t, e.Leaves(x, nil), back.Leaves(x, nil))
		}
	}
}

// TestScanFloat compares with strconv what is read by the fast way.
func TestScanFloat(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	check := func(text string) {
		t.Helper()
		want, err := strconv.ParseFloat(text, 64)
		for _, list := range []string{text, text + " 1"} {
			v, used := scanFloat(list)
			if used > 0 && (err != nil || used != len(text) || math.Float64bits(v) != math.Float64bits(want)) {
				require.Fail(t, "differs", "%q is %v after %d bytes, want %v %v", text, v, used, want, err)
			}
		}
	}
	taken := 0
	for range 40_000 {
		v := math.Ldexp(random.Float64()-0.5, random.IntN(60)-30)
		text := formatFloat(v)
		check(text)
		if _, used := scanFloat(text); used > 0 {
			taken++
		}
		check(strconv.FormatFloat(v, 'f', random.IntN(25), 64))
		digits := strconv.FormatUint(random.Uint64()>>random.IntN(64), 10)
		point := random.IntN(len(digits) + 1)
		check(digits[:point] + "." + digits[point:])
		check("-0." + digits)
	}
	require.Greater(t, taken, 10_000)
	for _, text := range []string{
		"", "-", ".", "-.", "0", "-0", "00", "1.", ".5", "1..2", "1.2.3", "+1", "1e5", "1E-5", "inf", "nan", "0x10", "1_0", " 1", "9007199254740993",
		"9007199254740993.0", "9007199254740992.5", "18446744073709551615", "9999999999999999999", "99999999999999999999", "0.1", "0.30000000000000004",
		"0.9999999999999999999", "0.99999999999999999999", "4503599627370496.5", "4503599627370497.5", "0000000000000000000.1", "1.0000000000000000000",
	} {
		check(text)
	}
	for _, text := range []string{"", "-", "12345678901234567890", "1.5", "-7", "--7", "+7", "999999999999999999"} {
		want, err := strconv.ParseInt(text, 10, 64)
		if v, used := scanInt(text); used > 0 {
			require.NoError(t, err, text)
			require.Equal(t, want, v)
		}
	}
}

// TestLastBefore asks single precision itself about the numbers around the bound.
func TestLastBefore(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	check := func(threshold float32) {
		t.Helper()
		bound := lastBefore(threshold)
		if !(float32(bound) < threshold) || float32(math.Nextafter(bound, math.Inf(1))) < threshold {
			require.Fail(t, "not the last", "%v is before %v", bound, threshold)
		}
	}
	for _, v := range []float32{0, 1, -1, 0.5, -0.5, 1e-45, -1e-45, 1.1754944e-38, math.MaxFloat32, -math.MaxFloat32, 16777216, -16777216} {
		check(v)
	}
	check(float32(math.Copysign(0, -1)))
	for range 100_000 {
		if v := math.Float32frombits(random.Uint32()); v == v && !math.IsInf(float64(v), 0) {
			check(v)
		}
	}
}

func TestInSet(t *testing.T) {
	words := []uint32{1<<0 | 1<<31, 1 << 3}
	for v, want := range map[float64]bool{
		0: true, 0.9: true, -0.9: true, -1: false, 1: false, 31: true, 31.99: true, 35: true, 36: false, 64: false, 1e30: false,
		math.Inf(1): false, math.Inf(-1): false,
	} {
		require.Equal(t, want, inSet(words, v), "%v", v)
	}
	require.False(t, inSet(words, math.NaN()))
	require.False(t, inSet(nil, 0))
}

func TestFirstKeepsTheObjective(t *testing.T) {
	e := randomEnsemble(rand.New(rand.NewPCG(5, 5)), shape{trees: 3, leaves: 4, width: 2})
	e.objective = objective{name: "binary", sigmoid: 2, average: true}
	first := e.First(2)
	require.Equal(t, e.objective, first.objective)
	x := []float64{1, 2}
	require.Equal(t, addPlain(0, e.trees[:2], x)/2, first.Margin(x))
}
