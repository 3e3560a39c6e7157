package backtest

import (
	"cmp"
	"math"
	"slices"

	"telco-churn-mlops/inference/compare"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
)

const (
	// sliceValues bounds the values of a column that are told apart, sliceRows is how many rows a slice needs to be listed, slicesShown how many are.
	sliceValues = 50
	sliceRows   = 30
	slicesShown = 8
)

// Slice is the rows with one value of a categorical column.
type Slice struct {
	Column string `json:"column"`
	Value  string `json:"value"`
	Rows   uint64 `json:"rows"`
	Flips  uint64 `json:"flips"`
	// MeanChange is that of the score, with its sign.
	MeanChange float64 `json:"mean_change"`
}

// slicer counts rows by the values of the categorical columns of the candidate's schema. Values beyond sliceValues of a column are not counted.
type slicer struct {
	columns []string
	values  []map[string]*Slice // by column; MeanChange is a sum until the end
}

func newSlicer(b *model.Bundle) *slicer {
	s := &slicer{columns: b.Schema.Categorical()}
	for range s.columns {
		s.values = append(s.values, map[string]*Slice{})
	}
	return s
}

func (s *slicer) add(row *dataset.Row, first, second compare.Answer) {
	for i, values := range s.values {
		v := row.Cat[i]
		x := values[v]
		if x == nil {
			if len(values) == sliceValues {
				continue
			}
			x = &Slice{Column: s.columns[i], Value: string([]byte(v))} // a copy: the row is used again
			values[x.Value] = x
		}
		x.Rows++
		x.MeanChange += second.Score - first.Score
		if first.Positive != second.Positive {
			x.Flips++
		}
	}
}

// most returns the slices with the greatest mean change, of those with enough rows and any change.
func (s *slicer) most() []Slice {
	var all []Slice
	for _, values := range s.values {
		for _, x := range values {
			if x.Rows >= sliceRows && x.MeanChange != 0 {
				out := *x
				out.MeanChange /= float64(x.Rows)
				all = append(all, out)
			}
		}
	}
	slices.SortFunc(all, func(a, b Slice) int {
		return cmp.Or(cmp.Compare(math.Abs(b.MeanChange), math.Abs(a.MeanChange)), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Value, b.Value))
	})
	return all[:min(slicesShown, len(all))]
}
