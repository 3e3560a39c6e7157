package openapi

import (
	"encoding/json"
	"strconv"

	"telco-churn-mlops/model"
)

// Options of a document.
type Options struct {
	// Model is the name that the instance serves the model under. Required.
	Model string
	// Version is the one in Production, 0 where there is none.
	Version int
	// MaxRecords bounds a list of records, and MaxBody a body in bytes; 0 is not said.
	MaxRecords int
	MaxBody    int64
}

// object is a JSON object; its keys are written in their order by name, so that the same model gives the same bytes.
type object = map[string]any

// Document returns the document as JSON. b is the bundle in Production, nil where none is loaded: a record is then any object.
func Document(b *model.Bundle, o Options) []byte {
	version := "none"
	if o.Version > 0 {
		version = strconv.Itoa(o.Version)
	}
	info := object{
		"title":   o.Model,
		"version": version,
		"description": "Scores of the model " + o.Model + ", of which the version in Production is described here. " +
			"POST /predict takes a record or a list of records; /v2 speaks the Open Inference Protocol.",
	}
	doc := object{
		"openapi":           "3.1.0",
		"jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
		"info":              info,
		"servers":           []any{object{"url": "/", "description": "this instance"}},
		"tags": []any{
			object{"name": "predict", "description": "Scores of records"},
			object{"name": "open inference", "description": "Open Inference Protocol, version 2"},
			object{"name": "operation", "description": "Health, metrics and this document"},
		},
		"paths": paths(b, o),
		"components": object{
			"schemas": schemas(b, o), "responses": responses(), "parameters": parameters(o), "headers": headers(),
		},
	}
	data, err := json.Marshal(doc)
	if err != nil {
		panic("openapi: encode the document: " + err.Error()) // texts, numbers and lists of them always encode
	}
	return append(data, '\n')
}

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

func schema(name string) object { return ref("schemas", name) }

// content is a body of JSON.
func content(s object) object { return object{"application/json": object{"schema": s}} }

func parameters(o Options) object {
	query := func(name, text string) object {
		return object{"name": name, "in": "query", "description": text, "schema": object{"type": "boolean", "default": false}}
	}
	return object{
		"strict":  query("strict", "Refuse what is otherwise a warning about a value: a number out of range, a category that the model doesn't know."),
		"partial": query("partial", "Answer the sound records of a list that has faulty ones, with the faults in the place of these. Without it one faulty record refuses the list."),
		"explain": query("explain", "Say how much each column adds to the raw score, and why in words."),
		"request-id": object{"name": "Request-Id", "in": "header", "description": "The caller's own id of the request. A retry with the same id gives the same prediction ids and is logged once.",
			"schema": object{"type": "string", "maxLength": 128, "pattern": "^[!-~]*$"}},
		"deadline": object{"name": "Deadline", "in": "header", "description": "Until when the caller waits: an RFC 3339 time, or a duration such as 250ms from the arrival of the request.",
			"schema": object{"type": "string", "examples": []any{"250ms", "2030-01-01T00:00:00Z"}}},
		"model": object{"name": "model", "in": "path", "required": true, "description": "The model's name: there is no other here.",
			"schema": object{"type": "string", "const": o.Model}, "example": o.Model},
		"version": object{"name": "version", "in": "path", "required": true, "description": "A version that this instance holds.",
			"schema": object{"type": "string", "pattern": "^[1-9][0-9]*$"}, "example": strconv.Itoa(max(o.Version, 1))},
	}
}

func headers() object {
	text := func(description string) object {
		return object{"description": description, "schema": object{"type": "string"}}
	}
	number := func(description string) object {
		return object{"description": description, "schema": object{"type": "integer", "minimum": 0}}
	}
	return object{
		"Request-Id":       text("The caller's id of the request, or one that a failed request was given."),
		"Prediction-Id":    text("Id of the prediction, where a single record was answered: what an outcome is reported with later."),
		"Model-Version":    number("The version that answered; of a list under a split, the one in Production."),
		"Rollout-Revision": number("The split between two versions that is in force, if there is one."),
		"Retry-After":      number("How many seconds to wait before the next attempt."),
	}
}

// answered are the headers of an answer with scores.
func answered() object {
	h := object{}
	for _, name := range []string{"Request-Id", "Prediction-Id", "Model-Version", "Rollout-Revision"} {
		h[name] = ref("headers", name)
	}
	return h
}

// responses are those that say that a request can't be answered, for /predict under their code and for /v2 with "V2" before it.
func responses() object {
	out := object{}
	for code, text := range map[string]string{
		"400": "The body could not be read, or the address.",
		"404": "There is nothing at this path, or no such model or version.",
		"405": "Another method is wanted, see the header Allow.",
		"413": "The body or the list is too large.",
		"422": "The record has faults, all of which are listed; or the body is no JSON.",
		"429": "As much work is in flight as is allowed. Try again after the time in Retry-After.",
		"500": "A fault of the service itself.",
		"503": "No version is loaded.",
		"504": "The caller's deadline has passed.",
	} {
		header := object{"Request-Id": ref("headers", "Request-Id")}
		if code == "429" || code == "503" {
			header["Retry-After"] = ref("headers", "Retry-After")
		}
		if code != "404" { // /predict has no other path
			out["E"+code] = object{"description": text, "headers": header, "content": content(schema("Error"))}
		}
		if code == "422" { // which the protocol calls 400
			continue
		}
		if code == "400" {
			text = "The request can't be understood, or a row has faults, all of which are named."
		}
		out["V2E"+code] = object{"description": text, "headers": header, "content": content(schema("V2Error"))}
	}
	return out
}
