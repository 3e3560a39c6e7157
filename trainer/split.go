package trainer

import (
	"slices"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// part says which part of the data a row belongs to.
type part uint8

const (
	training part = iota
	validation
	holdout
)

// partOf returns the part of an entity. It depends on the entity's id and the spec's split alone, so that a customer stays on the same side
// in every run: the holdout share of all ids, then the validation share of the rest, by two independent xxhash64 values read as uniform
// numbers in [0, 1).
func partOf(id string, s spec.Split) part {
	switch {
	case share(s.Salt+"/holdout/"+id) < s.Holdout:
		return holdout
	case share(s.Salt+"/validation/"+id) < s.Validation:
		return validation
	}
	return training
}

func share(key string) float64 { return float64(xxhash.Sum64String(key)>>11) / (1 << 53) }

// rowsByPart are row numbers of one table, each part in table order.
type rowsByPart [3][]int

func (r *rowsByPart) add(i int, id string, s spec.Split) {
	p := partOf(id, s)
	r[p] = append(r[p], i)
}

// joined returns the rows of two parts in table order.
func joined(a, b []int) []int {
	out := append(append(make([]int, 0, len(a)+len(b)), a...), b...)
	slices.Sort(out)
	return out
}

// gather returns the rows of a part of older and fresh data with their weights: 1 for an older row, and for a fresh one what makes all fresh rows
// together weigh as much as all older rows together. Without fresh rows the weights are nil, which means 1 each.
func gather(older, fresh []int) sample {
	s := sample{rows: append(append(make([]int, 0, len(older)+len(fresh)), older...), fresh...)}
	if len(fresh) == 0 || len(older) == 0 {
		return s
	}
	s.weight = make([]float64, len(s.rows))
	for i := range s.weight {
		s.weight[i] = 1
		if i >= len(older) {
			s.weight[i] = float64(len(older)) / float64(len(fresh))
		}
	}
	return s
}

// labelled counts the rows of each class.
func labelled(t *dataset.Table, rows []int) (positive, negative int) {
	for _, i := range rows {
		if t.Label(i) == 1 {
			positive++
		} else {
			negative++
		}
	}
	return positive, negative
}
