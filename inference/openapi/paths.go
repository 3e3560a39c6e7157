package openapi

import "telco-churn-mlops/model"

func paths(b *model.Bundle, o Options) object {
	p := object{
		"/predict":         object{"post": predict(b, o)},
		"/v2":              object{"get": get("open inference", "serverMetadata", "What this server is", "V2Server", "405")},
		"/v2/health/live":  object{"get": get("open inference", "serverLive", "Whether the server runs", "V2Live", "405")},
		"/v2/health/ready": object{"get": ready("serverReady", "Whether requests can be answered")},
		"/health":          object{"get": health()},
		"/livez":           object{"get": plain("live", "Whether the process runs", "ok", "")},
		"/readyz":          object{"get": plain("ready", "Whether the instance should get traffic", "ok", "What it waits for, a line each.")},
		"/metrics":         object{"get": plain("metrics", "Metrics in the text format of Prometheus", "", "")},
		"/openapi.json": object{"get": object{
			"tags": []any{"operation"}, "operationId": "openapi", "summary": "This document",
			"responses": object{"200": object{"description": "An OpenAPI 3.1 document.", "content": content(object{"type": "object"})}},
		}},
		"/docs": object{"get": object{
			"tags": []any{"operation"}, "operationId": "docs", "summary": "A page to try /predict with",
			"responses": object{"200": object{"description": "A page.", "content": object{"text/html": object{"schema": object{"type": "string"}}}}},
		}},
	}
	for path, at := range map[string]struct {
		suffix string
		params []any
	}{
		"/v2/models/{model}":                    {"", []any{ref("parameters", "model")}},
		"/v2/models/{model}/versions/{version}": {"OfVersion", []any{ref("parameters", "model"), ref("parameters", "version")}},
	} {
		metadata := get("open inference", "modelMetadata"+at.suffix, "Inputs and outputs of the model", "V2Model", "404", "405", "503")
		p[path] = object{"parameters": at.params, "get": metadata}
		modelReady := ready("modelReady"+at.suffix, "Whether the model can answer")
		modelReady["responses"].(object)["404"] = ref("responses", "V2E404")
		p[path+"/ready"] = object{"parameters": at.params, "get": modelReady}
		p[path+"/infer"] = object{"parameters": at.params, "post": infer("infer" + at.suffix)}
	}
	return p
}

func predict(b *model.Bundle, o Options) object {
	body := schema("Records")
	limits := "A record as a JSON object, or a list of them"
	return object{
		"tags": []any{"predict"}, "operationId": "predict", "summary": "Score a record, or a list of records",
		"description": "A single record is answered by an object, a list by a list in the same order. Numbers may be written as text. A column that is not in the spec, " +
			"a number out of its range and a category that the model doesn't know are warnings, or with strict=true the last two are faults.",
		"parameters": []any{ref("parameters", "strict"), ref("parameters", "partial"), ref("parameters", "explain"), ref("parameters", "request-id"), ref("parameters", "deadline")},
		"requestBody": object{"required": true, "description": limits + bounds(o) + ".", "content": object{"application/json": object{
			"schema": body, "examples": object{"record": object{"summary": "one record", "value": Example(b)}},
		}}},
		"responses": withErrors("E", object{"200": object{"description": "The scores.", "headers": answered(), "content": content(schema("Answers"))}},
			"400", "405", "413", "422", "429", "500", "503", "504"),
	}
}

func infer(id string) object {
	return object{
		"tags": []any{"open inference"}, "operationId": id, "summary": "Score rows that come as tensors",
		"description": "One input for each column, of shape [n] or [n, 1]; or an input of shape [n, k] whose parameter columns names the k columns; or one BYTES input " +
			"whose elements are records as JSON objects. Data is flat in row-major order or nested; null is a missing value.",
		"parameters":  []any{ref("parameters", "strict"), ref("parameters", "explain"), ref("parameters", "request-id"), ref("parameters", "deadline")},
		"requestBody": object{"required": true, "content": content(schema("V2InferRequest"))},
		"responses": withErrors("V2E", object{"200": object{"description": "The outputs.", "headers": answered(), "content": content(schema("V2InferResponse"))}},
			"400", "404", "405", "413", "429", "500", "503", "504"),
	}
}

// withErrors adds the errors of these codes.
func withErrors(prefix string, to object, codes ...string) object {
	for _, code := range codes {
		to[code] = ref("responses", prefix+code)
	}
	return to
}

func get(tag, id, summary, answer string, codes ...string) object {
	return object{
		"tags": []any{tag}, "operationId": id, "summary": summary,
		"responses": withErrors("V2E", object{"200": object{"description": summary + ".", "content": content(schema(answer))}}, codes...),
	}
}

// ready says 200 or 503 with the same body.
func ready(id, summary string) object {
	op := get("open inference", id, summary, "V2Ready", "405")
	op["responses"].(object)["503"] = object{"description": "Not now, and why.", "content": content(schema("V2Ready"))}
	return op
}

func health() object {
	body := content(object{"type": "object"})
	return object{
		"tags": []any{"operation"}, "operationId": "health", "summary": "What is served, and how the instance is",
		"responses": object{"200": object{"description": "All is well.", "content": body}, "503": object{"description": "A check fails.", "content": body}},
	}
}

func plain(id, summary, example, otherwise string) object {
	media := func() object {
		m := object{"schema": object{"type": "string"}}
		if example != "" {
			m["example"] = example + "\n"
		}
		return object{"text/plain": m}
	}
	out := object{"200": object{"description": summary + ".", "content": media()}}
	if otherwise != "" {
		out["503"] = object{"description": otherwise, "content": object{"text/plain": object{"schema": object{"type": "string"}}}}
	}
	return object{"tags": []any{"operation"}, "operationId": id, "summary": summary, "responses": out}
}
