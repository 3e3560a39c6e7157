package explain_test

import (
	"bufio"
	"bytes"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
)

// This is a second implementation of what LightGBM's pred_contrib is defined as, slow and from the definition, for the tests to compare with. It reads the trees
// from their text and shares no code with package gbdt.
//
// The value of a set of known features is the expectation of the tree's answer: at a split on a known feature the row's own side, at one on a feature
// that is not known both sides, in proportion to the training rows that went there. The contribution of a feature is its Shapley value in this game: the mean of what it
// adds to the value, over all orders in which the features become known. The last entry is the value of the empty set.

// plainTree is a tree as its text has it.
type plainTree struct {
	feature, decision, left, right []int
	threshold, value, count        []float64
	catBounds, catWords            []int
}

// plainTrees reads the trees of model.txt.
func plainTrees(t testing.TB, b *model.Bundle) []plainTree {
	t.Helper()
	files, err := b.Files()
	require.NoError(t, err)
	at := slices.IndexFunc(files, func(f model.File) bool { return f.Name == model.TreesFile })
	require.GreaterOrEqual(t, at, 0)
	var trees []plainTree
	lines := bufio.NewScanner(bytes.NewReader(files[at].Data))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		key, text, _ := strings.Cut(lines.Text(), "=")
		if key == "Tree" {
			trees = append(trees, plainTree{})
		}
		if len(trees) == 0 {
			continue
		}
		p := &trees[len(trees)-1]
		switch key {
		case "split_feature":
			p.feature = whole(t, text)
		case "decision_type":
			p.decision = whole(t, text)
		case "left_child":
			p.left = whole(t, text)
		case "right_child":
			p.right = whole(t, text)
		case "threshold":
			p.threshold = real(t, text)
		case "leaf_value":
			p.value = real(t, text)
		case "leaf_count":
			p.count = real(t, text)
		case "cat_boundaries":
			p.catBounds = whole(t, text)
		case "cat_threshold":
			p.catWords = whole(t, text)
		}
	}
	require.NoError(t, lines.Err())
	require.Len(t, trees, b.Trees.Trees())
	return trees
}

func whole(t testing.TB, text string) []int {
	t.Helper()
	var out []int
	for _, f := range strings.Fields(text) {
		n, err := strconv.Atoi(f)
		require.NoError(t, err)
		out = append(out, n)
	}
	return out
}

func real(t testing.TB, text string) []float64 {
	t.Helper()
	var out []float64
	for _, f := range strings.Fields(text) {
		v, err := strconv.ParseFloat(f, 64)
		require.NoError(t, err)
		out = append(out, v)
	}
	return out
}

// rows counts the training rows under a child.
func (p *plainTree) rows(child int) float64 {
	if child < 0 {
		return p.count[^child]
	}
	return p.rows(p.left[child]) + p.rows(p.right[child])
}

// side returns the child that a value goes to: bit 0 of the decision says that the split is of categories, bit 1 that missing goes left, and the
// bits above what counts as missing: 0 nothing, so that NaN is 0, 1 zeros, 2 NaN.
func (p *plainTree) side(node int, v float64) int {
	left := false
	switch missing := p.decision[node] >> 2 & 3; {
	case p.decision[node]&1 != 0:
		set := p.catWords[p.catBounds[int(p.threshold[node])]:p.catBounds[int(p.threshold[node])+1]]
		if !math.IsNaN(v) && v >= 0 && int(v) < 32*len(set) {
			left = set[int(v)/32]>>(int(v)%32)&1 != 0
		}
	case missing == 2 && math.IsNaN(v), missing == 1 && (math.IsNaN(v) || v == 0):
		left = p.decision[node]&2 != 0
	case math.IsNaN(v):
		left = 0 <= p.threshold[node]
	default:
		left = v <= p.threshold[node]
	}
	if left {
		return p.left[node]
	}
	return p.right[node]
}

func (p *plainTree) expectation(at int, x []float64, known map[int]bool) float64 {
	if at < 0 {
		return p.value[^at]
	}
	if known[p.feature[at]] {
		return p.expectation(p.side(at, x[p.feature[at]]), x, known)
	}
	l, r := p.rows(p.left[at]), p.rows(p.right[at])
	return (l*p.expectation(p.left[at], x, known) + r*p.expectation(p.right[at], x, known)) / (l + r)
}

// contributions returns the Shapley values of the features over all subsets, and after them the expectation without any.
func contributions(trees []plainTree, x []float64) []float64 {
	phi := make([]float64, len(x)+1)
	for i := range trees {
		p := &trees[i]
		if len(p.feature) == 0 {
			phi[len(x)] += p.value[0]
			continue
		}
		players := slices.Compact(slices.Sorted(slices.Values(p.feature)))
		n := len(players)
		value := make([]float64, 1<<n)
		for set := range value {
			known := map[int]bool{}
			for k, f := range players {
				known[f] = set>>k&1 != 0
			}
			value[set] = p.expectation(0, x, known)
		}
		phi[len(x)] += value[0]
		for set := range value {
			weight := 1 / (float64(n) * choose(n-1, bits.OnesCount(uint(set))))
			for k, f := range players {
				if set>>k&1 == 0 {
					phi[f] += weight * (value[set|1<<k] - value[set])
				}
			}
		}
	}
	return phi
}

func choose(n, k int) float64 {
	c := 1.0
	for i := range k {
		c = c * float64(n-i) / float64(i+1)
	}
	return c
}

// byColumn folds contributions of features to columns by the names of the features, as the documentation of the package says.
func byColumn(t testing.TB, b *model.Bundle, phi []float64) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	inputs := map[string][]string{}
	for _, n := range b.Spec.Columns.Numeric {
		inputs[n.Name] = []string{n.Name}
	}
	for _, c := range b.Spec.Columns.Categorical {
		inputs[c.Name] = []string{c.Name}
	}
	for _, d := range b.Spec.Features.Derived {
		inputs[d.Name] = slices.Compact(slices.Sorted(slices.Values(d.Of)))
	}
	for i, name := range b.Pipeline.Names() {
		of, ok := inputs[name]
		if !ok { // one-hot: the column's name, a point, the level
			column, _, _ := strings.Cut(name, ".")
			of, ok = inputs[column]
		}
		require.True(t, ok, name)
		for _, column := range of {
			out[column] += phi[i] / float64(len(of))
		}
	}
	return out
}

// features returns a record's features.
func features(b *model.Bundle, row *dataset.Row) []float64 {
	x := make([]float64, b.Pipeline.Width())
	b.Pipeline.Transform(row, x)
	return x
}
