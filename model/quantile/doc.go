// Package quantile finds exact order statistics and exact sums of long columns in a few linear passes, without sorting them and
// without a copy of them.
//
// A [Column] hands out its values block by block, as often as it is asked. [Select] turns a value into an unsigned key of the same
// order and counts the keys by their upper 16 bits; only the buckets that hold a wanted rank are looked at again, by the next 16 bits,
// and so on until the values left over are few enough to be sorted. So ten million values take two to five passes and a megabyte per
// goroutine instead of a sorted copy, and the answer is the value itself, with no error to bound.
//
// [Sum] adds up float64 values without any rounding, in a fixed-point number as wide as all float64 values, and rounds once at
// the end. What it returns therefore depends neither on the order of the values nor on how they were divided among goroutines.
//
// The same holds for weights, which are whole numbers here: [Scale] maps float64 weights to them. Counts, weights and sums of
// several goroutines so merge in any order to the same bits.
package quantile
