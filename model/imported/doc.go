// Package imported turns a model that a Python client logged into a bundle that is served like any other.
//
// # What is read
//
// The files of one logged model, as mlflow.lightgbm and mlflow.xgboost write them (2.x and 3.x): the MLmodel file with its flavor, its
// signature and the place of its input example; the model, in LightGBM's text format or XGBoost's JSON; the example. Beside a bare model file a
// schema.json says the same (docs/imported.md). Only binary classification is taken: LightGBM's objective binary, XGBoost's binary:logistic.
//
// # What comes out
//
// A bundle with a spec that names the signature's columns, a pipeline that hands each column to the trees as it is (numbers as they are, words
// as their category's code, what is missing or no category as missing) and the trees themselves. Each feature finds its column by name. Golden
// rows are the rows of the logged example, scored once here, so that every instance must agree with this computation; without an example a
// model is not servable. There are no baselines, as the training data is not known, and no calibration; the threshold is 0.5 unless logged. Where a holdout.csv was logged that the model
// can score, the bundle holds its figures, and live performance is compared with them.
//
// # What is refused
//
// What can't be served correctly is refused with an [*Unservable] that names the file and the rule. Files come from strangers: each is read to
// a bound, and corrupt ones give an error, never a panic.
package imported
