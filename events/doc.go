// Package events is the wire contract: every subject, stream name and payload that the services exchange, and nothing else.
//
// A fact is a CloudEvents 1.0 event in binary mode: the JSON payload is the message's data, the context travels in ce-* headers, and ce-type
// carries a version ("run.completed.v1"). The subject is the type without its version and, as last token, the model's name
// ("run.completed.telco-churn"); ce-subject carries the model's real name where that had to be encoded for the subject (see [Token]). What MLflow
// clients log has no model: there the last token is the id of the run or logged model, the owner of a file, or [AllExperiments].
//
// Reading is strict about meaning and lenient about the rest: an unknown type, a payload that is not JSON or fails its Validate is an error
// that can never succeed later ([ErrUnknownType], [ErrInvalid]); an unknown field is ignored. A message without ce-* headers is read by its
// subject, so that a system of record can report a label with a plain "nats pub label.observed.telco-churn '{...}'".
//
// The JSON Schemas in schema/ and asyncapi.yaml describe the same types for other languages; a test holds them against the Go types.
package events
