// Package rollout decides whether a version that is tried goes on: it folds what instances measure, compares the watched version with the one
// beside it, and says what to do. It is pure: no clock, no network, time is an argument.
//
// Instances publish counts that only grow within a boot, so [Measurements] keeps the greatest of each key and source: duplicates, messages out
// of order, lost ones but for the last, and instances that start anew change nothing. What is decided can be decided again after a restart from
// the stream alone.
//
// [Judge] makes the [events.Evidence] of a moment: up to four checks, each with both values, what they were compared with, and on how many
// records they rest. A check breaks something only if there is enough to say so; traffic that tells nothing (too little, or the same record again and again) is
// insufficient, never a breach. [Decide] says what follows.
package rollout
