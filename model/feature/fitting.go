package feature

import (
	"errors"
	"fmt"
	"math"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/quantile"
)

var nan = math.NaN()

// fitting is the rows that a pipeline is fitted on.
type fitting struct {
	table  *dataset.Table
	rows   []int   // without those of weight 0; nil = all rows of the table
	weight []int64 // parallel to rows, in units of scale; nil if all are equal
	scale  quantile.Scale
	labels []uint8 // parallel to rows, where target encoding needs them
}

// newFitting checks rows and weights and drops rows of weight 0.
func newFitting(t *dataset.Table, rows []int, weight []float64) (*fitting, error) {
	n := len(rows)
	if rows == nil {
		n = t.Len()
	}
	if err := checkRows(t, rows, weight); err != nil {
		return nil, err
	}
	in := &fitting{table: t, rows: rows}
	if n == 0 {
		return nil, errors.New("no rows")
	}
	if weight == nil {
		return in, nil
	}
	most, equal, none := 0.0, true, 0
	for _, w := range weight {
		if w == 0 {
			none++
			continue
		}
		equal = equal && (most == 0 || w == most)
		most = max(most, w)
	}
	if none == n {
		return nil, errors.New("no row with a weight above 0")
	}
	if none > 0 {
		in.rows = make([]int, 0, n-none)
		for i, w := range weight {
			if w > 0 {
				in.rows = append(in.rows, at(rows, i))
			}
		}
	}
	if equal {
		return in, nil
	}
	in.scale = quantile.ScaleOf(n, most)
	in.weight = make([]int64, 0, n-none)
	for _, w := range weight {
		if w > 0 {
			in.weight = append(in.weight, in.scale.Whole(w))
		}
	}
	return in, nil
}

// checkRows refuses rows that the table does not have and weights that are none.
func checkRows(t *dataset.Table, rows []int, weight []float64) error {
	n := len(rows)
	if rows == nil {
		n = t.Len()
	}
	if weight != nil && len(weight) != n {
		return fmt.Errorf("%d weights for %d rows", len(weight), n)
	}
	for _, r := range rows {
		if r < 0 || r >= t.Len() {
			return fmt.Errorf("row %d of a table of %d", r, t.Len())
		}
	}
	for i, w := range weight {
		if !(w >= 0) || math.IsInf(w, 1) {
			return fmt.Errorf("weight %d is %v, want a finite number of at least 0", i, w)
		}
	}
	return nil
}

// at returns rows[i], or i where nil stands for all rows.
func at(rows []int, i int) int {
	if rows == nil {
		return i
	}
	return rows[i]
}

func (in *fitting) len() int {
	if in.rows == nil {
		return in.table.Len()
	}
	return len(in.rows)
}

func (in *fitting) row(i int) int { return at(in.rows, i) }

// weightOf returns the weight of the i-th fitting row in units.
func (in *fitting) weightOf(i int) int64 {
	if in.weight == nil {
		return 1
	}
	return in.weight[i]
}

// readLabels keeps the labels of the fitting rows.
func (in *fitting) readLabels() error {
	in.labels = make([]uint8, in.len())
	for i := range in.labels {
		switch in.table.Label(in.row(i)) {
		case 0:
		case 1:
			in.labels[i] = 1
		default:
			return fmt.Errorf("row %d has no label, which target encoding needs", in.row(i))
		}
	}
	return nil
}

// column hands the fitting rows' values out to be counted.
func (in *fitting) column(values func(lo, hi int, dst []float64), threads int) quantile.Column {
	c := quantile.Column{Len: in.len(), Values: values, Threads: threads}
	if in.weight != nil {
		c.Weights = func(lo, hi int, dst []int64) { copy(dst, in.weight[lo:hi]) }
	}
	return c
}
