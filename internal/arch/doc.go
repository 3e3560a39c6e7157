// Package arch holds the rules of which package may import and call what. It has tests only: they read every Go file of the repository,
// whatever its build tags, and fail on a breach with the file, the line and the rule.
//
// Imports run one way: cmd and bench, then the services (trainer, registry, inference, drift), then model, events and internal. Services meet on
// subjects and in the artifact store alone, so none imports another. The packages of model are pure: they reach no file, network, clock or
// log. The client of S3 and the NATS server have one package each. See rules_test.go for the rest.
//
// One more test builds cmd/inference and reads its symbols: the image that serves links neither training nor the NATS server.
package arch
