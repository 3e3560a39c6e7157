// Package batch scores a file of records with one bundle: rows are read, decoded, scored and written in blocks, on all processors, in the order
// of the file, in memory that does not depend on its size. The scores are bit for bit those that a request for the same record gets. It knows
// files and readers only; where they come from is its caller's business (see package place).
//
// # What is written
//
// OUT holds the id, the columns that were asked for, churn_probability, label, version and, if asked for, the reasons, one row per good record.
// Records with faults are left out, and listed in OUT.faults.csv with row, line, column, rule and value; there is no such file without faults.
//
// # Resuming
//
// Until the end the output is OUT.partial, the faults OUT.partial.faults, and OUT.checkpoint is a log of where the work stands. Its first line
// says what is being done: the input's identity (size and time of change, or ETag), the bundle's digest, the options. Each following line says
// that everything up to an offset of the input is in the first so many bytes of the output, and is written only after these are on disk. A line
// has a checksum, so that one that was cut off counts for nothing. Run again after a kill, the files are cut to the last line and the work goes
// on; since the bytes of a row depend on nothing but the row, and those of a Parquet row group on where the group begins in the input, the
// result has the same bytes as that of an undisturbed run. The last line says that all is done; then the files get their names, the output
// last, and the log is removed. A lock on the log, which the system gives up with the process, keeps two processes from writing one output.
//
// Parquet is written one row group at a time, and the log holds the description of each group; the file's footer is made of these at the end. So
// an output that is resumed is continued and nothing is joined or rewritten.
package batch
