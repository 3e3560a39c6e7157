// Package app is what every process of the project needs around its services: run and stop in order, health, metrics over
// HTTP, logs, listeners that name their flag, and the version. It knows no service.
//
// A process is a list of [Component] values in order of creation: what others stand on (server, connection) comes first,
// what stands on them (consumers, listeners) later. [Run] starts them in that order and stops them in reverse: a component
// is told to end only after everything created after it has ended, so that a handler never loses the connection it answers
// on. Each component has a context of its own for that reason; the context given to Run is only the signal to begin.
//
// [Health] is the one place where components say how they are. [Admin] and [Health.Mount] show it.
package app
