package feature

import (
	"fmt"
	"math"
	"slices"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/spec"
)

// derivedColumn is a feature computed from raw values.
type derivedColumn struct {
	name   string
	op     spec.Op
	of     []string
	slots  []int // of the inputs: in Row.Cat for count_equal, else in Row.Num
	equals []string
	bound  float64 // above_median: the input's fitted median
	moments
}

// newDerived resolves the inputs of a derived feature. The median that above_median compares with is still to be set.
func newDerived(d spec.Derived, sch *dataset.Schema) (derivedColumn, error) {
	c := derivedColumn{name: d.Name, op: d.Op, of: slices.Clone(d.Of), equals: slices.Clone(d.Equals)}
	least, most := 1, 1
	switch c.op {
	case spec.OpRatio, spec.OpDifference:
		least, most = 2, 2
	case spec.OpProduct, spec.OpSum:
		least, most = 2, math.MaxInt
	case spec.OpCountEqual:
		most = math.MaxInt
	case spec.OpLog1p, spec.OpAboveMedian:
	default:
		return c, fmt.Errorf("derived feature %q: unknown operation %q", d.Name, d.Op)
	}
	if len(c.of) < least || len(c.of) > most {
		return c, fmt.Errorf("derived feature %q: %s of %d columns", d.Name, d.Op, len(c.of))
	}
	from, kind := sch.Numeric(), "numeric"
	if c.op == spec.OpCountEqual {
		from, kind = sch.Categorical(), "categorical"
	}
	for _, name := range c.of {
		slot := slices.Index(from, name)
		if slot < 0 {
			return c, fmt.Errorf("derived feature %q: %q is not a %s column", d.Name, name, kind)
		}
		c.slots = append(c.slots, slot)
	}
	return c, nil
}

// combine computes a derived feature of numbers from raw values. It returns NaN, missing, if an input is missing or the result is
// not finite.
func combine(op spec.Op, slots []int, bound float64, num []float64) float64 {
	v := num[slots[0]]
	switch op {
	case spec.OpRatio:
		v /= num[slots[1]] // x/0 is infinite or NaN, so missing
	case spec.OpDifference:
		v -= num[slots[1]]
	case spec.OpProduct:
		for _, slot := range slots[1:] {
			v *= num[slot]
		}
	case spec.OpSum:
		for _, slot := range slots[1:] {
			v += num[slot]
		}
	case spec.OpLog1p:
		if v < 0 {
			return math.NaN()
		}
		v = math.Log1p(v)
	case spec.OpAboveMedian:
		switch {
		case v > bound:
			v = 1
		case v <= bound:
			v = 0
		}
	}
	if v-v != 0 { // infinite or NaN
		return math.NaN()
	}
	return v
}
