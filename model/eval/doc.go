// Package eval says how good a binary classifier is, how sure that is, and where to act.
//
//   - Figures: ranking (ROCAUC, PRAUC, KS), decisions at a threshold (F1, precision, recall, accuracy) and probabilities (LogLoss, Brier);
//     Evaluate gives all of them.
//   - Uncertainty: DeLong for one area, CompareAUC for two models on the same rows, CrossValidation and CompareCV for figures by fold,
//     Bootstrap for anything else. Folds, GroupFolds and HashFold cut the rows.
//   - Thresholds: BestF1Threshold, BestCostThreshold, Campaign.MaxProfit and Campaign.ExpectedMaxProfit.
//   - Where and how: SliceConfig.Slices by the levels of columns, CalibrationTable, Gains, ROCCurve and PRCurve, Permutation.Importance.
//
// Every function takes parallel slices: score, where higher means more likely positive; label, which is exactly 0 or 1;
// and weight, which is nil for one per row, or finite and not negative. A row of weight 0 counts as absent from every
// weighted figure, and a whole weight as that many rows, but for standard errors and intervals: there a weight says how much a row
// stands for and not how often it was seen, and the scale of the weights is nothing. A row is predicted positive if and only if
// score >= threshold.
//
// Functions never modify their arguments, are safe for concurrent use, and return the same bits for the same input in the same
// order, on any number of goroutines. Products are rounded before they are added, so that no platform fuses the two.
//
// Faults of the input are errors that name the first offending row (counted from 0): slices of different lengths, no rows, a
// score that is not finite, a label other than 0 and 1, a negative or non-finite weight, weights that add up to nothing or to more than a
// float64 holds, more than 2^31-1 rows. There are no missing values here: a NaN is a fault.
//
// Results encode to JSON. Each number in them is finite; what may be undefined, like the area of a slice with a single class, is a
// Figure, and absent where it is.
package eval
