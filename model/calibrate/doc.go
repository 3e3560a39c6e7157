// Package calibrate turns the scores of a classifier into probabilities that mean what they say: of the rows scored 0.3, three in ten
// should be positive. A Calibrator is fitted once, on scores the model gave to rows that it was not trained on (out-of-fold scores, or
// those of a validation part), and then maps every later score by a monotone function, so that the order of rows, and with it
// every ranking figure, stays as it was but for ties.
//
// Methods.
//   - none: the score itself.
//   - sigmoid: Platt's logistic curve over the log-odds of the score, two parameters. It can repair scores that are over- or
//     under-confident throughout or shifted, costs hardly any variance, keeps every row's rank and is what to take below about a
//     thousand rows, or with few positives.
//   - isotonic: the nondecreasing function of least squares (pool adjacent violators), joined by straight lines. It repairs any
//     monotone distortion, but follows the noise of small samples and ties rows on its flat steps, which costs some ROC-AUC. It wants
//     about a thousand rows or more, and a reason to think that the sigmoid's shape is wrong.
//
// A gradient-boosted model fitted to log loss and stopped in time is nearly calibrated already: compare log loss or the expected
// calibration error on rows that fitted neither model nor calibrator before choosing anything but none.
//
// Scores are probabilities in [0, 1]. A model that gives margins passes them through the logistic function first; sigmoid
// takes the logarithm back.
//
// A Calibrator is an immutable value, safe for concurrent use. The same rows in the same order fit the same bytes.
package calibrate
