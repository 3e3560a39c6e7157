// Package feature turns a raw record into the numbers a model is fitted on and scored with.
//
// # Fitted once, frozen, reused
//
// [Fit] learns everything that depends on data (medians, means, scales, vocabularies) from the rows it is given and from no other.
// The result is a [Pipeline], which never changes again, travels with the trees in a file for people to read, and has one function,
// [Pipeline.Transform], that training, serving and drift measurement all call. So a feature cannot mean one thing when a model is
// trained and another when it is asked.
//
// # The features, in this order
//
//   - A numeric column gives one feature: its value, the median where it is missing (or NaN, with impute none: the trees then learn
//     a side for it), then (value - mean) / scale unless scale is none.
//   - A categorical column gives one feature with ordinal encoding, the code of its level, or one feature per level and two more,
//     <unseen> and <missing>, with one-hot encoding. Categories are never scaled.
//   - A derived feature is computed from raw values, before anything is imputed, and then treated like a numeric column with a
//     median, mean and scale of its own. If any of its inputs is missing, or the result is not a finite number, it is missing.
//
// # Values the fitting rows never held
//
// With ordinal encoding 0 stands for missing, 1 for unseen and 2, 3, ... for the levels in byte order. Where the fitting rows hold no
// missing value, no tree has learned anything for code 0, and a record with that code would just fall in with the first levels
// of the alphabet. So the pipeline then gives a missing value the code of the most frequent level, as a missing number gets the median:
// it says nothing, and the record is judged by its other columns. The same holds for unseen values, which the fitting rows hold only if
// a limit on levels folded the rarest ones into code 1. Which of the two applies is fitted, frozen and written into the file as
// missing_code and unseen_code. One-hot encoding needs no such rule: an unseen value is none of the levels, which the trees
// have learned a side for. [Pipeline.Unseen] names the columns concerned, so that a service can say so.
//
// # Numbers
//
// The median is the type 7 quantile. With weights it is the least value at which half of the weight is reached, or the middle between
// it and the next if it is exactly half (to 1e-12 of the total); whole weights so equal repeated rows. Mean and scale are those of
// the values after imputation, the scale being the population standard deviation, as scikit-learn's StandardScaler has it. A
// constant column has its value as mean and a scale of 1. A column without any value has median and mean 0 and scale 1: it gives 0
// everywhere, and no tree splits on it. No sum and product are fused, so the bytes are the same on every architecture.
package feature
