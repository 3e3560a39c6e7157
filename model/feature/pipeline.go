package feature

import (
	"slices"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// Pipeline turns raw records into features. It is made by [Fit], [FitTransform] or [Parse], or, where nothing was fitted here, by
// [Passthrough] or [ParsePassthrough]. It is immutable and safe for concurrent use.
type Pipeline struct {
	rows        int // rows that it was fitted on
	settings    settings
	numeric     []numericColumn
	categorical []categoricalColumn
	derived     []derivedColumn
	names       []string
	inputs      []Input // of a passthrough pipeline, else nil
	plan        plan    // what Transform runs; it follows from the rest
}

// settings are the choices of the spec that apply to every column.
type settings struct {
	impute    bool    // a missing number becomes the median; otherwise it stays NaN
	scale     bool    // numbers are standardised
	encoding  string  // of categorical columns without one of their own
	smoothing float64 // target encoding: rows that the prior counts as
	folds     int     // target encoding: into which training rows are put
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

// Width returns the number of features.
func (p *Pipeline) Width() int { return len(p.names) }

// Names returns a copy of the features' names in the order in which Transform writes them. They are unique and, but for a passthrough
// pipeline, free of white space, the equals sign and what JSON reserves, so every reader of LightGBM's text format takes them.
func (p *Pipeline) Names() []string { return slices.Clone(p.names) }

// Rows returns the number of rows the pipeline was fitted on, rows of weight 0 not counted.
func (p *Pipeline) Rows() int { return p.rows }

// Categorical returns the places, among Names, of the features with native encoding, in the order of the columns; nil if there are none. Their values are
// whole numbers from 0 without an order, and NaN where missing.
func (p *Pipeline) Categorical() []int {
	var places []int
	for i, c := range p.plan.words {
		if p.categorical[i].encoding == spec.EncodingNative {
			places = append(places, c.place)
		}
	}
	return places
}

// Features returns the places, among Names, of the features that come from a column or a derived feature, by its name in the spec: one,
// or one per level and two more with one-hot encoding. It is nil where there is no such column.
func (p *Pipeline) Features(column string) []int {
	for i := range p.numeric {
		if p.numeric[i].name == column {
			return []int{p.plan.numeric[i].place}
		}
	}
	for i, c := range p.plan.words {
		if p.categorical[i].name == column {
			places := make([]int, c.width)
			for k := range places {
				places[k] = c.place + k
			}
			return places
		}
	}
	for i := range p.derived {
		if p.derived[i].name == column {
			return []int{p.plan.derivedPlace + i}
		}
	}
	return nil
}

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

// Vocabulary returns a copy of the levels fitted for a categorical column, sorted by bytes, and whether there is such a column. In a
// passthrough pipeline they are in the order of their codes.
func (p *Pipeline) Vocabulary(column string) ([]string, bool) {
	for i := range p.categorical {
		if p.categorical[i].name == column {
			return slices.Clone(p.categorical[i].levels), true
		}
	}
	return nil, false
}

// Unseen returns the names of the categorical columns whose value in this record is neither missing nor in the vocabulary, in the
// spec's order; nil, without an allocation, if there is none. Levels that a limit folded away are among the unseen.
func (p *Pipeline) Unseen(row *dataset.Row) []string {
	var names []string
	for i := range p.plan.words {
		c := &p.plan.words[i]
		v := row.Cat[c.slot]
		if v != "" && c.level[c.table.find(v)] < 0 {
			names = append(names, p.categorical[i].name)
		}
	}
	return names
}
