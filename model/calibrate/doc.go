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
//     monotone distortion, but follows the noise of small samples. It wants about a thousand rows or more, and a reason to think that the
//     sigmoid's shape is wrong. Its flat steps would tie rows, which costs 0.001 of ROC-AUC on the Telco rows, fitted to 5,600 of them, and 0.003 fitted
//     to 1,000; so a millionth of the score itself is mixed in, which keeps their order.
//
// A gradient-boosted model fitted to log loss and stopped in time is nearly calibrated already. On the Telco rows, out-of-fold scores of
// such a model have a log loss of 0.4104; calibrated on the other four fifths, 0.4105 by sigmoid and 0.4122 by isotonic. Compare on rows that fitted
// neither model nor calibrator before choosing anything but none.
//
// Scores are probabilities in [0, 1]. A model that gives margins passes them through the logistic function first; sigmoid
// takes the logarithm back.
//
// A Calibrator is an immutable value, safe for concurrent use. The same rows in the same order fit the same bytes.
package calibrate
