package feature

import (
	"errors"
	"math"

	"telco-churn-mlops/model/quantile"
)

// halfTolerance is how near to half of the total, as a share of it, a sum of weights must be to count as exactly half.
const halfTolerance = 1e-12

// errOverflow is returned where a median, mean or scale is not a finite number.
var errOverflow = errors.New("numbers too great for a median, mean and scale")

// fitMoments fits to the values of the fitting rows, NaN being missing. The sums are exact and rounded once, so nothing depends on the
// order of the rows or the number of goroutines.
func fitMoments(in *fitting, set settings, threads int, values func(lo, hi int, dst []float64)) (moments, error) {
	column := in.column(values, threads)
	s := quantile.Summarize(column)
	m := moments{Observed: s.Present, Scale: 1}
	if s.Present == 0 {
		return m, nil
	}
	if s.Weight == 0 { // values there are all weigh less than a unit beside the rows without one
		column.Weights = nil
		s = quantile.Summarize(column)
	}
	m.Median = quantile.Median(column, s, halfTolerance)
	missing := s.MissingWeight
	if !set.impute {
		missing = 0 // they stay missing, so they count for neither mean nor scale
	}
	if s.Min == s.Max {
		m.Mean = s.Min
	} else {
		m.Mean, m.Scale = meanScale(column, s.Weight, m.Median, missing)
	}
	for _, v := range []float64{m.Median, m.Mean, m.Scale} {
		if !finite(v) {
			return moments{}, errOverflow
		}
	}
	return m, nil
}

// meanScale returns mean and population standard deviation of the values, of the given weight, and of missing values that were
// imputed by median. The values differ; a deviation too small for a float64 becomes a scale of 1.
func meanScale(column quantile.Column, weight int64, median float64, missing int64) (mean, scale float64) {
	total := float64(weight + missing)
	sum := quantile.Total(column, func(v float64, w int64) float64 { return float64(float64(w) * v) })
	sum.Add(float64(float64(missing) * median))
	mean = sum.Float64() / total
	squares := quantile.Total(column, func(v float64, w int64) float64 {
		d := v - mean
		return float64(float64(w) * float64(d*d))
	})
	d := median - mean
	squares.Add(float64(float64(missing) * float64(d*d)))
	scale = math.Sqrt(squares.Float64() / total)
	if scale == 0 {
		scale = 1
	}
	return mean, scale
}
