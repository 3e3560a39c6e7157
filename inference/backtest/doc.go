// Package backtest answers any past period of the prediction stream again with a version, and compares: with what was answered then, or with another
// version.
//
// It reads PREDICTIONS and TRAINING with readers of its own, writes nothing, and its memory does not grow with the period. A version that answered itself
// must give the same bits again, of which the report says how many do not: an unequal one would mean that the record, the bundle or the code is not what
// it was.
//
// What was joined with its outcome by now is judged: every example whose prediction lies in the period. Versions that were trained on the period know
// those outcomes; the report cannot see that.
package backtest
