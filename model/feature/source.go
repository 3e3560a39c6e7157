package feature

import (
	"fmt"

	"telco-churn-mlops/model/dataset"
)

// Source is the features of rows of a table, computed when they are asked for: nothing of the size of rows times features is held. Each
// different word of a column is looked up once, when the source is made; a row then costs a few array reads per column. It is
// immutable and safe for concurrent use while nothing is appended to the table.
type Source struct {
	plan    *plan
	table   *dataset.Table
	rows    []int
	weight  []float64
	numeric [][]float64
	words   []codeStep
	fold    []uint8 // of each row, with target encoding of the rows that the pipeline was fitted on
}

// codeStep is a wordStep for the codes of a table's column.
type codeStep struct {
	codes  dataset.Codes
	place  int
	width  int // with one-hot the number of features; else 0
	value  []float64
	counts []countStep
	folded [][]float64 // by fold and code, for target encoding of fitting rows
}

// byCode turns what a wordStep has by entry into what a table's column has by code.
func byCode(entry []uint32, of []float64) []float64 {
	out := make([]float64, len(entry))
	for code, e := range entry {
		out[code] = of[e]
	}
	return out
}

// Source returns the features of rows of a table, nil standing for all rows, with the weights, nil standing for 1 each. They are bit
// for bit what Transform gives for these rows. The table must have the schema that the pipeline was fitted or parsed with. It fails on
// a row that is not in the table and on weights that are not finite, negative, or not one per row.
func (p *Pipeline) Source(t *dataset.Table, rows []int, weight []float64) (*Source, error) {
	if err := checkRows(t, rows, weight); err != nil {
		return nil, fmt.Errorf("source of features: %w", err)
	}
	s := &Source{plan: &p.plan, table: t, rows: rows, weight: weight}
	for slot := range t.Schema().Numeric() {
		s.numeric = append(s.numeric, t.Numeric(slot))
	}
	for i := range p.plan.words {
		c := &p.plan.words[i]
		entry := c.entries(t.Words(c.slot))
		step := codeStep{codes: t.Codes(c.slot), place: c.place, value: byCode(entry, c.value)}
		if c.onehot {
			step.width = c.width
		}
		for _, count := range c.counts {
			step.counts = append(step.counts, countStep{count.place, byCode(entry, count.add)})
		}
		s.words = append(s.words, step)
	}
	return s, nil
}

// entries looks the words of a table's column up; the first is the missing one.
func (c *wordStep) entries(words []string) []uint32 {
	entry := make([]uint32, len(words))
	for code := 1; code < len(words); code++ {
		entry[code] = c.table.find(words[code])
	}
	return entry
}

// Len returns the number of rows.
func (s *Source) Len() int {
	if s.rows == nil {
		return s.table.Len()
	}
	return len(s.rows)
}

// Rows returns a reader for one goroutine; several may be at work at once. It writes the features of row i, 0 <= i < Len, to dst, which
// must have the pipeline's Width places, and returns the row's label (1, 0, or NaN for none) and weight. It allocates nothing.
func (s *Source) Rows() func(i int, dst []float64) (label, weight float64) {
	num := make([]float64, len(s.numeric))
	return func(i int, dst []float64) (label, weight float64) {
		r := at(s.rows, i)
		for k, column := range s.numeric {
			num[k] = column[r]
		}
		s.plan.begin(num, dst)
		for k := range s.words {
			c := &s.words[k]
			value := c.value
			if c.folded != nil {
				value = c.folded[s.fold[i]]
			}
			write(c.codes.At(r), c.place, c.width, value, c.counts, dst)
		}
		s.plan.finish(num, dst)
		weight = 1
		if s.weight != nil {
			weight = s.weight[i]
		}
		return s.table.Label(r), weight
	}
}
