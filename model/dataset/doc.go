// Package dataset turns CSV files and JSON records into rows and columns by the rules of a spec.
//
// A Schema is the spec's columns compiled to slots. DecodeJSON reads one record of a request or an event, Reader streams
// rows from a CSV or JSON lines file, Load reads a whole file into a columnar Table and Check holds it against the spec's
// expectations. All three accept a value by the same function, so that a customer scored today and trained on tomorrow is
// the same row:
//
//   - white space around names and values is trimmed; an empty value and the spec's missing markers are missing;
//   - a number is what strconv.ParseFloat reads and is finite; anything else in a numeric column is a fault;
//   - a word keeps its text. Where the spec closes a set, a word that means the same (True and true, 1.0 and 1) becomes
//     the one in the set; where it doesn't, JSON numbers become their shortest decimal text and true becomes "true";
//   - text is made valid UTF-8 and its line ends become "\n".
//
// What is wrong with a row is a Fault that names row, line, column, rule and value, and all faults of a row are reported
// together. A faulty row of a file is quarantined: it is counted, it is in the report, and it is not in the table.
//
// # CSV
//
// A CSV file is read in blocks of 256 KiB that end with whole records, found by CSV's rules, as a quote may hold line ends. Load
// and Stream parse blocks on all processors and join them in the order of the file, so that neither tables nor reports nor errors
// depend on who read what. Plain values go straight into columns: a decimal of at most 15 digits, a word or label that was judged
// before, an id of ASCII text. A row with anything else is decoded by the function that requests are decoded with, which alone
// finds faults and warnings. encoding/csv is what the tests compare with.
//
// The package is pure: it opens no file, reads no clock and writes no log.
package dataset
