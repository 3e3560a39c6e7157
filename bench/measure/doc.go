// Package measure is what the benchmarks have in common: what they run on, how much of the processors others had meanwhile, and how repeated figures
// are summed up.
package measure
