// Package baseline freezes what a column looked like when a model was trained, and measures how far a later window of rows has
// moved from it by the population stability index (PSI).
//
// A Reference is one column's bins and the counts of the reference rows in them. Whoever watches a column needs nothing else: it
// puts each new value into a bin, counts the window with a Counter, and asks PSI. The bins never follow the new data, so figures of
// different windows are comparable.
//
// Bins. A numeric column or the score has inner edges e0 < e1 < ..., and bin i holds (e(i-1), e(i)]: a value equal to an edge belongs
// below it. The outer bins are open, so no number is out of range. One more bin, the last, holds the missing values. A categorical
// column has one bin per level, then the unseen bin for every other value, then the missing bin.
//
// References and baselines are immutable after they are fitted or decoded and safe for concurrent use; a Counter is not.
package baseline
