// Package openapi describes the HTTP interface of a serving instance as an OpenAPI 3.1 document that follows from the bundle in Production: the record of /predict has
// the spec's columns with their types, ranges, closed sets and which of them are required, an example that the model accepts, and the answer has the target's own
// words. [Page] is a page to try it with, which needs nothing from outside the instance.
//
// The document is made anew for each version, so it says what the answering model takes; where two versions are held by a rollout, it is that of
// the one in Production. It says what a client should send. What the service takes beyond that (numbers as text, unknown keys, values out of range, unless
// strict=true) is said in the descriptions.
package openapi
