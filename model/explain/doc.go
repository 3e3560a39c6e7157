// Package explain says why a record has its score: how much each of its columns moved the trees' raw margin away from the mean.
//
// The amounts are exact Shapley values of the features (package gbdt, Explainer), folded to the columns of the spec by addition, which keeps the sum:
//
//   - The features of a column (one, or one per level and two more with one-hot encoding) are added up.
//   - The amount of a derived feature is divided among the columns that it is computed from in equal parts: a column that is named twice counts
//     once. The Shapley value of a feature that is one player does not say which of its inputs made it; equal parts are the one division that treats
//     inputs alike, and are documented here so that nobody takes them for more.
//
// Bias and amounts add up to the raw score within 1e-9 of it (of its size, where that is above 1). The raw score is the margin of the trees before calibration and before it becomes
// a probability: log-odds for a model of the binary objective. A calibration is monotonous, so what raises the raw score never lowers the
// probability; amounts in terms of probability would not add up.
package explain
