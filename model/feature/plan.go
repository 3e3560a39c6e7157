package feature

import (
	"fmt"
	"math"
	"slices"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// plan is a pipeline compiled to arrays: per number a median, a mean and a scale, per word one look-up that leads to all that
// follows from the word, its features and its part in every count. Neutral values stand for what is switched off (a median of
// NaN imputes nothing, a mean of 0 and a scale of 1 change nothing, to the bit), so no step asks about settings.
type plan struct {
	width        int
	numeric      []numericStep // feature i is numeric[i]
	words        []wordStep
	derivedPlace int // the feature of derived[0]
	derived      []derivedStep
}

type numericStep struct {
	slot, place         int
	median, mean, scale float64
}

// The entries of a word table that are no word.
const (
	entryMissing = 0
	entryUnknown = 1
	entryWords   = 2
)

// wordStep turns the word of one categorical column into an entry, and the entry into features.
type wordStep struct {
	slot   int
	place  int // of the column's first feature
	width  int // its number of features
	onehot bool
	table  wordTable
	level  []int32   // by entry: place in the vocabulary, groupUnseen or groupMissing
	value  []float64 // by entry: the feature, or with one-hot the place, from the first, that is 1
	counts []countStep
}

// countStep adds a word's part to a count_equal.
type countStep struct {
	place int       // of the count's feature
	add   []float64 // by entry: how often the column's word counts; NaN for a missing one, which makes the whole count missing
}

type derivedStep struct {
	op                  spec.Op
	slots               []int
	bound               float64
	median, mean, scale float64
}

// compile makes the plan, once everything else is fitted or parsed.
func (p *Pipeline) compile() {
	if p.inputs != nil {
		p.compileInputs()
		return
	}
	pl := plan{}
	for i := range p.numeric {
		c := &p.numeric[i]
		step := numericStep{slot: c.slot, place: i}
		step.median, step.mean, step.scale = p.settings.neutral(c.moments)
		pl.numeric = append(pl.numeric, step)
	}
	pl.derivedPlace = len(p.numeric)
	for i := range p.categorical {
		pl.derivedPlace += p.categorical[i].places()
	}
	place := len(p.numeric)
	for i := range p.categorical {
		pl.words = append(pl.words, p.wordStep(&p.categorical[i], place, pl.derivedPlace))
		place += p.categorical[i].places()
	}
	for i := range p.derived {
		c := &p.derived[i]
		step := derivedStep{op: c.op, slots: c.slots, bound: c.bound}
		step.median, step.mean, step.scale = p.settings.neutral(c.moments)
		pl.derived = append(pl.derived, step)
	}
	pl.width = pl.derivedPlace + len(p.derived)
	p.plan = pl
}

// neutral returns what is fitted with what is switched off made ineffective.
func (s settings) neutral(m moments) (median, mean, scale float64) {
	median, mean, scale = math.NaN(), 0, 1
	if s.impute {
		median = m.Median
	}
	if s.scale {
		mean, scale = m.Mean, m.Scale
	}
	return median, mean, scale
}

func (p *Pipeline) wordStep(c *categoricalColumn, place, derivedPlace int) wordStep {
	step := wordStep{slot: c.slot, place: place, width: c.places(), onehot: c.encoding == spec.EncodingOneHot}
	words := slices.Clone(c.levels)
	counting := map[int]int{} // derived feature -> how often it names the column
	for i := range p.derived {
		d := &p.derived[i]
		if d.op != spec.OpCountEqual {
			continue
		}
		for _, slot := range d.slots {
			if slot == c.slot {
				counting[i]++
			}
		}
		if counting[i] > 0 {
			words = append(words, d.equals...) // they count even if no fitting row held them
		}
	}
	slices.Sort(words)
	words = slices.DeleteFunc(slices.Compact(words), func(w string) bool { return w == "" })
	step.table = newWordTable(words)
	step.level = append(step.level, groupMissing, groupUnseen)
	for _, w := range words {
		level, ok := slices.BinarySearch(c.levels, w)
		if !ok {
			level = groupUnseen
		}
		step.level = append(step.level, int32(level))
	}
	for _, level := range step.level {
		step.value = append(step.value, c.value(int(level)))
	}
	for i := range p.derived {
		if counting[i] == 0 {
			continue
		}
		count := countStep{place: derivedPlace + i, add: make([]float64, len(step.level))}
		count.add[entryMissing] = math.NaN()
		for k, w := range words {
			if slices.Contains(p.derived[i].equals, w) {
				count.add[entryWords+k] = float64(counting[i])
			}
		}
		step.counts = append(step.counts, count)
	}
	return step
}

// Transform writes the features of a record to dst, which must have Width places and is overwritten whole. The row must come from the
// schema that the pipeline was fitted or parsed with. Every value written is finite, except that a missing number is NaN where nothing
// is imputed, and a missing word is with native encoding if the fitting rows held any; a result too great for a float64 becomes the
// greatest one. It reports whether the record holds a word that is not in its column's vocabulary: [Pipeline.Unseen] names them. It allocates
// nothing and panics if dst or the row have another shape: that is a mistake in the caller's code.
func (p *Pipeline) Transform(row *dataset.Row, dst []float64) (unseen bool) {
	pl := &p.plan
	pl.begin(row.Num, dst)
	for i := range pl.words {
		c := &pl.words[i]
		entry := uint32(entryMissing)
		if v := row.Cat[c.slot]; v != "" {
			entry = c.table.find(v)
			unseen = unseen || c.level[entry] < 0
		}
		width := 0
		if c.onehot {
			width = c.width
		}
		write(entry, c.place, width, c.value, c.counts, dst)
	}
	pl.finish(row.Num, dst)
	return unseen
}

// begin writes the features of numeric columns and clears the derived ones, to which words add.
func (pl *plan) begin(num, dst []float64) {
	if len(dst) != pl.width {
		panic(fmt.Sprintf("feature: %d places for %d features", len(dst), pl.width))
	}
	for i := range pl.numeric {
		c := &pl.numeric[i]
		dst[c.place] = standard(num[c.slot], c.median, c.mean, c.scale)
	}
	clear(dst[pl.derivedPlace:])
}

// write writes the features of a word, or of a code of one, and adds its part to the counts. width is the number of features with
// one-hot encoding, else 0.
func write(entry uint32, place, width int, value []float64, counts []countStep, dst []float64) {
	if width > 0 {
		clear(dst[place : place+width])
		dst[place+int(value[entry])] = 1
	} else {
		dst[place] = value[entry]
	}
	for i := range counts {
		dst[counts[i].place] += counts[i].add[entry]
	}
}

// finish writes the derived features.
func (pl *plan) finish(num, dst []float64) {
	for i := range pl.derived {
		c := &pl.derived[i]
		at := &dst[pl.derivedPlace+i]
		v := *at // of a count
		if c.op != spec.OpCountEqual {
			v = combine(c.op, c.slots, c.bound, num)
		}
		*at = standard(v, c.median, c.mean, c.scale)
	}
}

// standard imputes and scales one value and keeps it finite; NaN stays NaN.
func standard(v, median, mean, scale float64) float64 {
	if v != v {
		v = median
	}
	v = (v - mean) / scale
	if v > math.MaxFloat64 {
		return math.MaxFloat64
	}
	if v < -math.MaxFloat64 {
		return -math.MaxFloat64
	}
	return v
}
