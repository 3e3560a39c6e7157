// Command serving measures an instance of inference against the transports under it, against Python, and against its own promises. "make bench-serving" runs it.
//
// # How it measures
//
// The instance under test is the program that ships, in a process of its own, on a NATS server in a process of its own, with a model trained by the loop's own
// recipe and promoted as the registry promotes. Load comes from a third process: wrk over HTTP, or a generator of ours where wrk is missing and where answers must be
// looked at one by one. All of them share the machine's processors, so a figure is about what the whole costs. What is held against each other takes turns in
// one run (A B C, C B A, ...), after a turn of each that warms up and does not count; figures are medians over the rounds, a ratio is that of two turns of one round.
// The processor time of a server is read from /proc, and so is the share of the processors that other programs had meanwhile, which is the noise that matters.
//
// A peer that is not there is named, with how to get it, and its figures stay out. Nothing is estimated.
//
// # The parts
//
// The driver (bench.go, contest.go, the section files) starts workers and makes tables of their results (finding.go, report.go). A worker is this same program, started with
// -worker and a task as JSON (worker*.go, load*.go); it says one line of JSON when it is ready or done. world.go is the server and the promotions, instance.go
// the program under test.
package main
