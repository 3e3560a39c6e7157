// Package eval scores binary classifiers: ranking (ROC-AUC, PR-AUC), decisions at a threshold (F1, precision, recall,
// accuracy) and probabilities (log loss, Brier).
//
// Every function takes parallel slices: score, where higher means more likely positive; label, which is exactly 0 or 1;
// and weight, which is nil for one per row, or finite and not negative. A row of weight 0 counts as absent from every
// weighted figure. A row is predicted positive if and only if score >= threshold.
//
// Functions never modify their arguments, are safe for concurrent use, and return the same bits for the same input in the same
// order. Products are rounded before they are added, so that no platform fuses the two.
//
// Faults of the input are errors that name the first offending row (counted from 0): slices of different lengths, no rows, a
// score that is not finite, a label other than 0 and 1, a negative or non-finite weight, weights that add up to nothing.
// There are no missing values here: a NaN is a fault.
package eval
