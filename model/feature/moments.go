package feature

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// halfTolerance is how near to half of the total, as a share of it, a sum of weights must be to count as exactly half.
const halfTolerance = 1e-12

// errOverflow is returned where a median, mean or scale is not a finite number.
var errOverflow = errors.New("numbers too great for a median, mean and scale")

// fitMoments fits to the values of the fitting rows, NaN being missing. It reorders values.
func fitMoments(values []float64, src *source, set settings) (moments, error) {
	var observed, weight []float64
	var weightMissing float64
	if src.weight == nil {
		observed = slices.DeleteFunc(values, math.IsNaN)
		weightMissing = float64(len(src.rows) - len(observed))
		slices.Sort(observed)
	} else {
		observed, weight, weightMissing = sortWeighted(values, src.weight)
	}
	m := moments{Observed: len(observed), Scale: 1}
	if len(observed) == 0 {
		return m, nil
	}
	m.Median = median(observed, weight)
	if !set.impute {
		weightMissing = 0 // they stay missing, so they count for neither mean nor scale
	}
	first, last := observed[0], observed[len(observed)-1]
	if first == last {
		m.Mean = first
	} else {
		m.Mean, m.Scale = meanScale(observed, weight, m.Median, weightMissing)
	}
	for _, v := range []float64{m.Median, m.Mean, m.Scale} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return moments{}, errOverflow
		}
	}
	return m, nil
}

// sortWeighted returns the values that are not missing in ascending order with their weights, and the weight of the others.
func sortWeighted(values, weight []float64) (sorted, sortedWeight []float64, missing float64) {
	type pair struct{ value, weight float64 }
	pairs := make([]pair, 0, len(values))
	for i, v := range values {
		if math.IsNaN(v) {
			missing += weight[i]
		} else {
			pairs = append(pairs, pair{v, weight[i]})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.weight, b.weight))
	})
	sorted, sortedWeight = values[:len(pairs)], make([]float64, len(pairs))
	for i, p := range pairs {
		sorted[i], sortedWeight[i] = p.value, p.weight
	}
	return sorted, sortedWeight, missing
}

// median returns the median of sorted, not empty values: without weights the type 7 quantile, with weights as the package comment says.
func median(sorted, weight []float64) float64 {
	if weight == nil {
		mid := len(sorted) / 2
		if len(sorted)%2 == 1 {
			return sorted[mid]
		}
		return middle(sorted[mid-1], sorted[mid])
	}
	var total float64
	for _, w := range weight {
		total += w
	}
	half, tolerance := total/2, float64(halfTolerance*total)
	var reached float64
	for i, w := range weight {
		reached += w
		if i == len(sorted)-1 || reached > half+tolerance {
			return sorted[i]
		}
		if reached >= half-tolerance {
			return middle(sorted[i], sorted[i+1])
		}
	}
	panic("feature: median of no values")
}

func middle(a, b float64) float64 {
	if a == b {
		return a
	}
	return a + float64(0.5*(b-a))
}

// meanScale returns mean and population standard deviation of the values and of missing values of the given weight in all that were
// imputed by median. The values differ; a deviation too small for a float64 becomes a scale of 1.
func meanScale(values, weight []float64, median, missing float64) (mean, scale float64) {
	at := func(i int) float64 {
		if weight == nil {
			return 1
		}
		return weight[i]
	}
	sum, total := float64(missing*median), missing
	for i, v := range values {
		sum += float64(at(i) * v)
		total += at(i)
	}
	mean = sum / total
	d := median - mean
	squares := float64(missing * float64(d*d))
	for i, v := range values {
		d := v - mean
		squares += float64(at(i) * float64(d*d))
	}
	scale = math.Sqrt(squares / total)
	if scale == 0 {
		scale = 1
	}
	return mean, scale
}
