// Package ingest turns a data file of any size into quantized rows for training in one pass, without ever holding its rows as text, as
// floating-point numbers or as a table.
//
// A sample of rows, from places all over the file where it can be read at any place and from its start where not, fixes what has to be
// known first: the feature pipeline, unless one is given, and the bins of every feature. Then the file is read once, in blocks, and
// each block is parsed, turned into features and quantized by the same goroutine while others do the same with other blocks; the
// quantized parts are put together in the order of the file. The result does not depend on the number of goroutines.
//
// In memory are, at the peak: the quantized rows, a part's worth of text, table and features per goroutine (about 2 MiB each, three
// blocks of text at most), the sample as a table and twice as features (about 530 bytes a row for the Telco spec, 106 MB for 200,000
// rows, given up before the file is read), 8 bytes a row to find ids that are there twice, and, while the parts are put together, one
// eighth to one half of the quantized rows again, as they are copied word by word.
//
// A pipeline that is fitted on a sample of n rows has medians whose rank is off by 0.5/sqrt(n) of the rows (0.1 % for 200,000), one
// standard error, and means off by a standard deviation over sqrt(n); levels that the sample lacks are unseen. Trees split between bins,
// so neither moves a split, only what a missing number counts as. Where that matters, fit on a table, which takes 59 bytes a Telco row.
package ingest
