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
	codes   []dataset.Codes
	entry   [][]uint32 // per categorical column: code in the table -> entry of its word table
	// With target encoding of the rows that the pipeline was fitted on: each row's fold, and per column, fold and entry the value.
	fold   []uint8
	folded [][][]float64
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
		words := t.Words(c.slot)
		entry := make([]uint32, len(words)) // code 0 is missing, and so is entry 0
		for code := 1; code < len(words); code++ {
			entry[code] = c.table.find(words[code])
		}
		s.codes, s.entry = append(s.codes, t.Codes(c.slot)), append(s.entry, entry)
	}
	return s, nil
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
		for k := range s.plan.words {
			c := &s.plan.words[k]
			value := c.value
			if s.folded != nil && s.folded[k] != nil {
				value = s.folded[k][s.fold[i]]
			}
			c.write(s.entry[k][s.codes[k].At(r)], value, dst)
		}
		s.plan.finish(num, dst)
		weight = 1
		if s.weight != nil {
			weight = s.weight[i]
		}
		return s.table.Label(r), weight
	}
}
