// Command registry measures the registry's API for MLflow clients as the number of runs grows: searches, the fold at start-up, memory, and the rate
// of log-batch calls. "make bench-registry" runs it.
//
// # How it measures
//
// The driver (suite.go) holds the NATS server and the clients. It writes runs into TRACKING as the API would have (load.go), for each size on top of the
// former. Then it starts a registry with the API mounted, in a process of its own (worker.go), which is this program again, so that its memory is its
// own; it reports how long it took until it could answer, and its memory. Searches go through HTTP, one client at a time. The rate of log-batch calls is
// taken by turns from the API and from a handler in the same process that only reads the body and answers {}, by the same clients with the same
// bodies: how much of HTTP is left is the ratio of the two.
//
// Driver and registry share the machine's processors, as they would on one host.
package main
