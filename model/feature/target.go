package feature

import (
	"slices"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// tally is what the fitting rows say of each word of a column, by its code.
type tally struct {
	rows     []int
	weight   []int64
	positive []int64 // weight of the rows with label 1; nil without labels
}

// tally counts the fitting rows by the word of a categorical column.
func (in *fitting) tally(slot int) tally {
	n := len(in.table.Words(slot))
	t := tally{rows: make([]int, n), weight: make([]int64, n)}
	codes := in.table.Codes(slot)
	for i := range in.len() {
		c := codes.At(in.row(i))
		t.rows[c]++
		t.weight[c] += in.weightOf(i)
	}
	if in.labels == nil {
		return t
	}
	t.positive = make([]int64, n)
	for i, label := range in.labels {
		t.positive[codes.At(in.row(i))] += in.weightOf(i) * int64(label)
	}
	return t
}

// share is the weight of some rows and of those among them with label 1.
type share struct{ positive, weight int64 }

func (s *share) add(o share) {
	s.positive += o.positive
	s.weight += o.weight
}

func (s *share) sub(o share) {
	s.positive -= o.positive
	s.weight -= o.weight
}

// smoothed returns (n*mean + m*prior) / (n + m) for a share of mean and n rows; the prior where n and m are 0.
func (s share) smoothed(rowsPerUnit, m, prior float64) float64 {
	n := float64(s.weight) * rowsPerUnit
	if n+m == 0 {
		return prior
	}
	return (float64(float64(s.positive)*rowsPerUnit) + float64(m*prior)) / (n + m)
}

// groups are the shares of a column's levels, of the values that are missing and of those that are no level.
type groups struct {
	levels          []share
	missing, unseen share
	// rowsPerUnit is what a unit of weight counts as beside the prior: all weights together count as all rows.
	rowsPerUnit float64
}

// group adds the words up by what they are for a vocabulary.
func (t tally) group(words, levels []string) groups {
	g := groups{levels: make([]share, len(levels))}
	rows, weight := 0, int64(0)
	for code, w := range words {
		g.of(groupOf(w, levels)).add(share{t.positive[code], t.weight[code]})
		rows += t.rows[code]
		weight += t.weight[code]
	}
	g.rowsPerUnit = float64(rows) / float64(weight)
	return g
}

// groupOf returns a word's place in the vocabulary, groupUnseen or groupMissing.
func groupOf(word string, levels []string) int {
	if word == "" {
		return groupMissing
	}
	if i, ok := slices.BinarySearch(levels, word); ok {
		return i
	}
	return groupUnseen
}

func (g *groups) of(group int) *share {
	switch group {
	case groupMissing:
		return &g.missing
	case groupUnseen:
		return &g.unseen
	}
	return &g.levels[group]
}

func (g *groups) total() share {
	sum := g.missing
	sum.add(g.unseen)
	for _, s := range g.levels {
		sum.add(s)
	}
	return sum
}

// smooth returns the values of the groups. The prior is the share of all rows; a group without rows has it for its value.
func (g *groups) smooth(m float64) targetValues {
	all := g.total()
	return g.smoothTo(m, float64(all.positive)/float64(all.weight))
}

func (g *groups) smoothTo(m, prior float64) targetValues {
	v := targetValues{
		levels:  make([]float64, len(g.levels)),
		missing: g.missing.smoothed(g.rowsPerUnit, m, prior),
		unseen:  g.unseen.smoothed(g.rowsPerUnit, m, prior),
	}
	for i, s := range g.levels {
		v.levels[i] = s.smoothed(g.rowsPerUnit, m, prior)
	}
	return v
}

// foldSalt keeps the folds of target encoding apart from other uses of an id's hash, such as the split into training and holdout.
const foldSalt = "target encoding\x00"

// foldOf places an entity in a fold, the same one in every fit.
func foldOf(id string, folds int) uint8 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(foldSalt) // a Digest's writes never fail
	_, _ = d.WriteString(id)
	return uint8(d.Sum64() % uint64(folds))
}

// foldOut gives the source the out-of-fold values of its target encoded columns.
func (s *Source) foldOut(p *Pipeline, in *fitting) {
	if !p.usesTarget() {
		return
	}
	row := in.table.Schema().NewRow()
	fold := func(r int) uint8 {
		id := in.table.ID(r)
		if id == "" {
			id = dataset.RowDigest(in.table.Row(r, row))
		}
		return foldOf(id, p.settings.folds)
	}
	s.fold = make([]uint8, s.Len())
	for i := range s.fold {
		s.fold[i] = fold(at(s.rows, i))
	}
	fitted := s.fold
	if in.len() != s.Len() { // rows of weight 0 were left out
		fitted = make([]uint8, in.len())
		for i := range fitted {
			fitted[i] = fold(in.row(i))
		}
	}
	for i := range p.categorical {
		if p.categorical[i].encoding != spec.EncodingTarget {
			continue
		}
		step := &p.plan.words[i]
		entry := step.entries(in.table.Words(step.slot))
		for _, value := range p.categorical[i].outOfFold(in, p, fitted, step.level) {
			s.words[i].folded = append(s.words[i].folded, byCode(entry, value))
		}
	}
}

// outOfFold returns, by fold and entry of the column's word table, the value from the rows of all other folds. Where there are no
// others, it is the share of all rows.
func (c *categoricalColumn) outOfFold(in *fitting, p *Pipeline, fold []uint8, level []int32) [][]float64 {
	words, codes := in.table.Words(c.slot), in.table.Codes(c.slot)
	whole := in.tally(c.slot).group(words, c.levels)
	group := make([]int, len(words))
	for code, w := range words {
		group[code] = groupOf(w, c.levels)
	}
	folds := make([]groups, p.settings.folds)
	for f := range folds {
		folds[f] = groups{levels: make([]share, len(c.levels))}
	}
	for i, f := range fold {
		w := in.weightOf(i)
		folds[f].of(group[codes.At(in.row(i))]).add(share{w * int64(in.labels[i]), w})
	}
	all := whole.total()
	out := make([][]float64, len(folds))
	for f := range folds {
		others, rest := folds[f], all // others: all rows without this fold
		others.rowsPerUnit = whole.rowsPerUnit
		rest.sub(folds[f].total())
		for g := groupMissing; g < len(c.levels); g++ {
			s := *whole.of(g)
			s.sub(*others.of(g))
			*others.of(g) = s
		}
		prior := float64(all.positive) / float64(all.weight)
		if rest.weight > 0 {
			prior = float64(rest.positive) / float64(rest.weight)
		}
		shadow := categoricalColumn{encoding: c.encoding, levels: c.levels, target: others.smoothTo(p.settings.smoothing, prior)}
		out[f] = make([]float64, len(level))
		for entry, l := range level {
			out[f][entry] = shadow.value(int(l))
		}
	}
	return out
}
