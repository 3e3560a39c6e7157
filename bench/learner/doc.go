// Command learner measures the project's learner against the ones people use instead: XGBoost and scikit-learn for fitting and scoring, the
// Go package leaves for scoring one row, pandas for reading CSV. "make bench-learner" runs it.
//
// # How it measures
//
// Every measurement is a process of its own, ours and the peer's by turns (A B A B ...), so that what else the machine does falls on both.
// A process loads its data first, then times the work and nothing else; binning is a part of the work on both sides. Figures are medians
// over the rounds with the least and greatest beside them; the share of the processors that other programs used meanwhile is measured too,
// as that is the noise that matters. Both sides read the same files, made here by internal/synth; scores are compared on the
// real Telco file and its folds where they are at hand.
//
// A peer that is not installed is named, with the command that installs it, and its figures stay out. Nothing is estimated.
//
// # The parts
//
// The driver (suite.go and the section files) starts workers and makes tables of their results. Our worker is this same program,
// started with -worker (work.go and on); the peers' is peer.py. They speak one line of JSON each way (protocol.go).
package main
