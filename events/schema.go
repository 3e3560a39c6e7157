package events

import "embed"

//go:embed schema/*.json
var schemas embed.FS

//go:embed asyncapi.yaml
var asyncAPI string

// Schema returns the JSON Schema (draft 2020-12) of a type's payload, or nil for a type that is none of [Kinds]. What [Event.Encode] writes
// is valid under it, and what is valid under it [Decode] reads, save what a schema cannot say: that no two artifacts of a run share a name,
// that the shares of a plan ascend to 1, that gates are JSON to their end, and that whole numbers are written without fraction and exponent. The slice is the caller's own.
func Schema(t Type) []byte {
	if _, ok := KindOf(t); !ok {
		return nil
	}
	return schemaFile(string(t))
}

// DeadLetterSchema returns the JSON Schema (draft 2020-12) of [DeadLetter]. The slice is the caller's own.
func DeadLetterSchema() []byte { return schemaFile("deadletter") }

// AsyncAPI returns the AsyncAPI 3.0 document, as YAML, of every channel, its stream, messages and headers. It refers to the schemas as
// ./schema/<type>.json and ./schema/deadletter.json. The slice is the caller's own.
func AsyncAPI() []byte { return []byte(asyncAPI) }

func schemaFile(name string) []byte {
	b, err := schemas.ReadFile("schema/" + name + ".json")
	if err != nil {
		panic("events: no schema of " + name) // a test holds the files against Kinds
	}
	return b
}
