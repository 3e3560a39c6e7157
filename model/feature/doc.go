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
//   - A categorical column gives one feature with ordinal encoding, the code of its level in byte order; one feature per level
//     and two more, <unseen> and <missing>, with one-hot encoding; one with target encoding, the smoothed share of positive labels among
//     the fitting rows of its level; one with native encoding, a code without an order, for trees that split sets of
//     categories ([Pipeline.Categorical] names these). The spec chooses for all columns and may choose for each. Categories are
//     never scaled.
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
// have learned a side for. Native codes are 0, 1, ... for the levels, NaN for missing and the number of levels for unseen values, by
// the same rule. [Pipeline.Unseen] names the columns concerned, so that a service can say so.
//
// # Target encoding, and why it is no skew
//
// A level of n rows with a share of positive labels of mean gets (n*mean + m*prior) / (n + m), m being the spec's
// target_smoothing and prior the share of all fitting rows. Missing values, and values that are no level, are a level each; where the
// fitting rows held none, n is 0 and the value is the prior. With weights n is the level's share of the weight times the number of rows.
//
// A training row must not see its own label in its features: trees fitted on such values trust them more than they deserve (a level of
// one row would be its label). So [FitTransform] gives each fitting row the value from the rows of the other folds, with the prior
// of these; where there are no others, the value is the share of all rows. A row's fold follows from a hash of its id, so a customer's
// rows share one, and refits on the same rows give the same bytes.
//
// The function that turns a record into features is still one: Transform, with the values of all fitting rows, in serving, on
// validation and holdout rows, in golden rows and in drift. Out-of-fold values exist only while trees are fitted and are stored nowhere.
// They estimate the same shares from (folds-1)/folds of the rows, so they differ from Transform's by sampling noise and, on purpose, by
// the leak of the label. Golden rows verify as with any other feature, because they are holdout rows and their features are Transform's.
//
// # Compiled
//
// Fit and Parse compile a pipeline to arrays: per number a median, a mean and a scale, per word one look-up by a byte that
// tells its column's levels apart (or by a hash), from which feature values and counts follow. [Pipeline.Source] reads the codes of a
// [dataset.Table] instead of its words, so that each different word is looked up once and not once per row.
//
// # Numbers
//
// The median is the type 7 quantile, exact, found by counting instead of sorting (package quantile). With weights it is the least value
// at which half of the weight is reached, or the middle between it and the next if it is exactly half (to 1e-12 of the total); whole
// weights so equal repeated rows. Weights are rounded to 61 - log2(rows) bits below the greatest. Mean and scale are those of
// the values after imputation, the scale being the population standard deviation, as scikit-learn's StandardScaler has it; their
// sums are exact and rounded once, so the order of the rows and the number of processors change no bit. A
// constant column has its value as mean and a scale of 1. A column without any value has median and mean 0 and scale 1: it gives 0
// everywhere, and no tree splits on it. No sum and product are fused, so the bytes are the same on every architecture.
package feature
