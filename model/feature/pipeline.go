package feature

import (
	"fmt"
	"math"
	"slices"

	"telco-churn-mlops/model/dataset"
)

// Codes of ordinal encoding. A level's code is firstLevel plus its place in the vocabulary.
const (
	missingCode = 0
	unseenCode  = 1
	firstLevel  = 2
)

// fewLevels is the size up to which looking through a vocabulary is faster than a map.
const fewLevels = 8

// Pipeline turns raw records into features. It is made by [Fit] or [Parse], is immutable, and is safe for concurrent use.
type Pipeline struct {
	rows        int // rows that it was fitted on
	settings    settings
	numeric     []numericColumn
	categorical []categoricalColumn
	derived     []derivedColumn
	names       []string
}

// settings are the choices of the spec that apply to every column.
type settings struct {
	impute bool // a missing number becomes the median; otherwise it stays NaN
	scale  bool // numbers are standardised
	onehot bool // categories get a feature per level; otherwise one code
}

// moments is what is fitted to the values of one numeric column or derived feature.
type moments struct {
	Observed int     // fitting rows with a value
	Median   float64 // of those rows
	Mean     float64 // after imputation
	Scale    float64 // after imputation, > 0
}

type numericColumn struct {
	name string
	slot int // in Row.Num
	moments
}

type categoricalColumn struct {
	name    string
	slot    int              // in Row.Cat
	levels  []string         // the vocabulary, sorted by bytes
	index   map[string]int32 // level -> its place, where there are more than fewLevels
	folded  int              // rarer levels of the fitting rows that are treated as unseen
	missing int              // ordinal: the feature's value where the column is missing
	unseen  int              // ordinal: the feature's value where the column's value is not in levels
}

// Width returns the number of features.
func (p *Pipeline) Width() int { return len(p.names) }

// Names returns a copy of the features' names in the order in which Transform writes them. They are unique and free of white space,
// the equals sign and what JSON reserves, so every reader of LightGBM's text format takes them.
func (p *Pipeline) Names() []string { return slices.Clone(p.names) }

// Rows returns the number of rows the pipeline was fitted on, rows of weight 0 not counted.
func (p *Pipeline) Rows() int { return p.rows }

// Median returns the fitted median of a numeric column or a derived feature, by its name in the spec, and whether there is such a
// column. It is 0 for a column that had no value in the fitting rows, and is fitted even where nothing is imputed.
func (p *Pipeline) Median(column string) (float64, bool) {
	for i := range p.numeric {
		if p.numeric[i].name == column {
			return p.numeric[i].Median, true
		}
	}
	for i := range p.derived {
		if p.derived[i].name == column {
			return p.derived[i].Median, true
		}
	}
	return 0, false
}

// Vocabulary returns a copy of the levels fitted for a categorical column, sorted by bytes, and whether there is such a column.
func (p *Pipeline) Vocabulary(column string) ([]string, bool) {
	for i := range p.categorical {
		if p.categorical[i].name == column {
			return slices.Clone(p.categorical[i].levels), true
		}
	}
	return nil, false
}

// Transform writes the features of a record to dst, which must have Width places and is overwritten whole. The row must come from the
// schema that the pipeline was fitted or parsed with. Every value written is finite, except that a missing number is NaN where nothing
// is imputed; a result too great for a float64 becomes the greatest one. It allocates nothing and panics if dst or the row have
// another shape: that is a mistake in the caller's code.
func (p *Pipeline) Transform(row *dataset.Row, dst []float64) {
	if len(dst) != len(p.names) {
		panic(fmt.Sprintf("feature: %d places for %d features", len(dst), len(p.names)))
	}
	k := 0
	for i := range p.numeric {
		c := &p.numeric[i]
		dst[k] = p.settings.apply(row.Num[c.slot], &c.moments)
		k++
	}
	for i := range p.categorical {
		c := &p.categorical[i]
		if p.settings.onehot {
			k += c.onehot(row.Cat[c.slot], dst[k:])
			continue
		}
		dst[k] = c.ordinal(row.Cat[c.slot])
		k++
	}
	for i := range p.derived {
		c := &p.derived[i]
		dst[k] = p.settings.apply(c.eval(row), &c.moments)
		k++
	}
}

// Unseen returns the names of the categorical columns whose value in this record is neither missing nor in the vocabulary, in the
// spec's order; nil, without an allocation, if there is none. Levels that a limit folded away are among the unseen.
func (p *Pipeline) Unseen(row *dataset.Row) []string {
	var names []string
	for i := range p.categorical {
		c := &p.categorical[i]
		v := row.Cat[c.slot]
		if v == "" {
			continue
		}
		if c.place(v) < 0 {
			names = append(names, c.name)
		}
	}
	return names
}

// apply imputes and scales one value.
func (s settings) apply(v float64, m *moments) float64 {
	if s.impute && v != v {
		v = m.Median
	}
	if s.scale {
		v = (v - m.Mean) / m.Scale
	}
	return clamp(v)
}

// clamp keeps a number finite; NaN stays NaN.
func clamp(v float64) float64 {
	if v > math.MaxFloat64 {
		return math.MaxFloat64
	}
	if v < -math.MaxFloat64 {
		return -math.MaxFloat64
	}
	return v
}

// place returns the place of a value in the vocabulary, -1 if it is not there.
func (c *categoricalColumn) place(v string) int {
	if len(c.levels) <= fewLevels {
		for i, level := range c.levels {
			if level == v {
				return i
			}
		}
		return -1
	}
	if i, ok := c.index[v]; ok {
		return int(i)
	}
	return -1
}

// ordinal returns the code of a value, "" being missing.
func (c *categoricalColumn) ordinal(v string) float64 {
	if v == "" {
		return float64(c.missing)
	}
	if i := c.place(v); i >= 0 {
		return float64(firstLevel + i)
	}
	return float64(c.unseen)
}

// onehot writes a 1 in the place of the value and 0 in the column's others, and returns how many places it has.
func (c *categoricalColumn) onehot(v string, dst []float64) int {
	width := len(c.levels) + 2
	dst = dst[:width]
	clear(dst)
	switch i := c.place(v); {
	case i >= 0:
		dst[i] = 1
	case v == "":
		dst[width-1] = 1
	default:
		dst[width-2] = 1
	}
	return width
}

// setLevels freezes a vocabulary.
func (c *categoricalColumn) setLevels(levels []string) {
	c.levels = levels
	if len(levels) <= fewLevels {
		return
	}
	c.index = make(map[string]int32, len(levels))
	for i, l := range levels {
		c.index[l] = int32(i)
	}
}
