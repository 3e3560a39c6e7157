// Package gbdt fits and evaluates gradient-boosted decision trees for logistic loss.
//
// # The idea
//
// Every column is cut once into at most [Params.MaxBins] bins, and a missing value (NaN) has a bin of its own. A tree is then
// grown best gain first: the leaf whose best split lowers the loss most is split next, until a bound on leaves, depth, rows or
// gain stops it. The best split of a leaf is found in a histogram of gradient sums per bin; of two siblings only the smaller
// one's histogram is summed from rows, the other is the parent's minus the sibling's. With g and h the sums of the first and second
// derivatives of the loss, a leaf's value is -g/(h+L2) times the learning rate and the gain of a split is
//
//	gl²/(hl+L2) + gr²/(hr+L2) - g²/(h+L2)
//
// A value goes left if it is ≤ the threshold, which is the midpoint between two neighbouring bins of the training data.
//
// # Missing values
//
// A split learns the side that NaN goes to by trying both. Where the rows of a leaf have no missing value in the column, NaN
// goes to the child with more training rows, the left one on a tie. That rule is written into the model as LightGBM's
// default side, so every reader of the file follows it.
//
// # Determinism
//
// The same parameters, seed and data give the same bytes whatever [Params.Threads] is: work is divided by column, or by row
// blocks whose size is fixed and whose sums are added in block order. No product is fused with a sum (each is written
// float64(a*b)+c, which the Go specification keeps apart), and exponentials and logarithms are computed here, so that the
// bytes do not depend on an architecture's assembly either.
//
// # The file
//
// [Ensemble.WriteText] and [ParseText] speak LightGBM's text format, version 4, so trees fitted here are read by LightGBM, SHAP,
// treelite and Triton, and trees fitted there are served here. The base score (the log-odds of the positive share) is added to
// every leaf of the first tree, as LightGBM's boost_from_average does.
package gbdt
