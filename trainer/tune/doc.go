// Package tune searches parameters by nested cross-validation, one trial after another, and can be killed at any moment.
//
// # Nested
//
// The rows are dealt to outer folds. A search of its own (an arm) runs on the rows outside of each outer fold: its trials are judged by an inner
// cross-validation there, and what it finds best is then judged once on the outer fold, which the search never saw. The mean over the outer
// folds so says what searching in this way brings on new rows, and it is compared fold by fold with the parameters that there were
// before. One more arm searches on all rows: what it finds is the result. Arms take turns, so that all have made the same number of trials
// whenever the search ends.
//
// # Honest
//
// The figure that chose a trial is the best of many and flatters it; only the outer figures are fit to be quoted. An improvement is claimed
// if the confidence interval of the paired difference, corrected for the overlap of the folds, lies above zero, and not otherwise.
//
// # The search
//
// The present parameters are judged on all outer folds before anything else, so that what cannot work is known before hours of trials, and
// they are trial 0 of each arm. Some trials at random follow, then trials near the better ones, ever nearer, with a random one
// in between ([Search]). The point of a trial follows from the seed, its number and the losses of the arm's trials before it, so the same number
// of trials gives the same result.
//
// # Killed and resumed
//
// Each trial and each judgement is appended to a journal and synced before the next begins. A run that finds a journal takes from it what is
// there and goes on: it gives what an uninterrupted one would. A last line that a kill or a power loss left unfinished is cut off; a line
// that was edited, by its checksum, is refused. The journal's
// first line names what its trials depend on (data, spec, settings); a run that depends on something else refuses it. The time budget counts
// the time of the trials that are recorded, not of the process.
package tune
