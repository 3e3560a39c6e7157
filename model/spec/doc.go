// Package spec is the one file that describes one model: its columns, derived features, learner, split, gates, drift
// monitors, retraining rules and the expectations its data must meet.
//
// A spec is YAML. Parse reads it strictly: an unknown key, a duplicated key, a value of the wrong type or out of range is
// a fault, and all faults are reported at once, each with its line. What a file leaves out has the default of Default.
// Marshal writes the canonical form, in which nothing is left out, so that Parse(Marshal(s)) equals s and Digest is a
// statement about the rules and not about how they were typed. Anchors, aliases and tags are refused: a spec is read by
// people before it is read by programs.
//
// Telco is the embedded spec of the Telco customer churn file. Infer writes one for any other CSV.
//
// The package is pure: it opens no file, reads no clock and writes no log.
package spec
