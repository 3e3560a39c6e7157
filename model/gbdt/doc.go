// Package gbdt fits and evaluates gradient-boosted decision trees for logistic loss.
//
// # The idea
//
// Every column is cut once into at most [Params.MaxBins] bins, and a missing value (NaN) has a bin of its own. A tree is then
// grown best gain first: the leaf whose best split lowers the loss most is split next, until a bound on leaves, depth, rows or
// gain stops it. The best split of a leaf is found in a histogram of gradient sums per bin; of two siblings only the smaller
// one's histogram is summed from rows, the other is the parent's minus the sibling's. With g and h the sums of the first and second
// derivatives of the loss, and T(g) that of magnitude |g|-L1 or 0, a leaf's value is -T(g)/(h+L2) times the learning rate and the gain of a
// split is
//
//	T(gl)²/(hl+L2) + T(gr)²/(hr+L2) - T(g)²/(h+L2)
//
// A value goes left if it is ≤ the threshold, which is the midpoint between two neighbouring bins of the training data, or in a
// categorical column if it is in a set. Where monotone constraints bound a leaf's value, its term is what the bounded value takes
// off the loss, times two.
//
// # Missing values
//
// A split learns the side that NaN goes to by trying both. Where the rows of a leaf have no missing value in the column, NaN
// goes to the child with more training rows, the left one on a tie. That rule is written into the model as LightGBM's
// default side, so every reader of the file follows it. In a categorical column NaN goes right, as LightGBM has it.
//
// # Sums are whole numbers
//
// Before each tree the derivatives of a row are rounded to the nearest multiple of a unit: with W the least power of two that no
// weight exceeds, first derivatives to multiples of W/2^30 and second ones of W/2^32, so that a rounded derivative is off by at most W/2^31 or
// W/2^33. That is no more than single precision is off by for first derivatives from W/2^7 on and second ones from W/2^9 on; those below, of
// rows of little weight or that the score is all but certain of, keep fewer digits than they would there, and under half a unit
// none. All sums from there on are exact, and off by at most so much for each row. So a sum does not depend on the order in which goroutines or rows come,
// a parent minus a child is the sibling to the last bit, and rows in another order give the same bytes (without Subsample, which draws rows by position,
// and up to 200,000 of them: of more, bins are cut from a sample by position). A weight of k is k equal rows but for that rounding. A row whose weight is under 2^-31 of the greatest does not count
// but as a row.
//
// # How rows are stored
//
// A row is a few words of 64 bits, each with eight lanes of a byte (or four of 16 bits for columns that need them), and columns with
// few levels share a lane as the digits of a number up to 255: five yes-no columns with missing values take one byte. A histogram update is then one
// for each lane, not for each column; the columns' own histograms are the sums over the other digits, which cost little and lose nothing. Rows of up to four words are
// moved together with their derivatives when a leaf is divided, so that each leaf's rows are read in one sweep; longer ones stay where
// they are and are read by number. Beside the data, training holds for each row a margin (8 bytes), a pair of derivatives (8), two row numbers (8)
// and, where rows are moved, their words and derivatives once more (8 for each word and 8).
//
// # Determinism
//
// The same parameters, seed and data give the same bytes whatever [Params.Threads] is: sums of derivatives are exact, and those of losses
// run over row blocks of fixed size and are added in block order. No product is fused with a sum (each is written
// float64(a*b)+c, which the Go specification keeps apart), and exponentials and logarithms are computed here, so that the
// bytes do not depend on an architecture's assembly either.
//
// # The file
//
// [Ensemble.WriteText] and [ParseText] speak LightGBM's text format, version 4, so trees fitted here are read by LightGBM, SHAP,
// treelite and Triton, and trees fitted there are served here; a text that was read is written as it was. [ParseXGBoost] reads
// the JSON of XGBoost. The base score (the log-odds of the positive share) is added to
// every leaf of the first tree, as LightGBM's boost_from_average does.
//
// # Scores
//
// [Ensemble.Margin] scores a row and [Ensemble.Margins] many, both without a branch that depends on data (see scorer and
// wideScorer) and with the same bits as the plain walk down each tree. [Explainer] splits a margin into contributions of the features.
package gbdt
