package openinference

import (
	"encoding/json"
	"net/http"
	"strconv"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/spec"
)

// Platform of every model here, in the protocol's form of project and format.
const Platform = "telco-churn-mlops_bundle"

type serverMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

type modelMetadata struct {
	Name       string           `json:"name"`
	Versions   []string         `json:"versions"`
	Platform   string           `json:"platform"`
	Inputs     []TensorMetadata `json:"inputs"`
	Outputs    []TensorMetadata `json:"outputs"`
	Parameters map[string]any   `json:"parameters,omitempty"`
}

// TensorMetadata describes an input or an output.
type TensorMetadata struct {
	Name       string         `json:"name"`
	Datatype   string         `json:"datatype"`
	Shape      []int          `json:"shape"` // -1 is any size
	Parameters map[string]any `json:"parameters,omitempty"`
}

func (h *handler) server(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, serverMetadata{Name: h.o.Server, Version: h.o.Version, Extensions: []string{}})
}

func (h *handler) live(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"live": true})
}

func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	served := h.engine.Served()
	answerReady(w, &served, map[string]any{})
}

// answerReady says 200 where a version is loaded and nothing speaks against it, else 503 with the reason.
func answerReady(w http.ResponseWriter, served *Served, body map[string]any) {
	code := http.StatusOK
	body["ready"] = len(served.Versions) > 0 && served.Reason == ""
	if body["ready"] == false {
		code, body["error"] = http.StatusServiceUnavailable, reasonOf(served)
	}
	writeJSON(w, code, body)
}

func (h *handler) modelReady(w http.ResponseWriter, r *http.Request) {
	served, _, _, err := h.find(r)
	if served == nil {
		fail(w, err)
		return
	}
	answerReady(w, served, map[string]any{"name": served.Model})
}

func (h *handler) model(w http.ResponseWriter, r *http.Request) {
	served, v, _, err := h.find(r)
	if err != nil {
		fail(w, err)
		return
	}
	m := modelMetadata{
		Name: served.Model, Versions: make([]string, len(served.Versions)), Platform: Platform, Inputs: Inputs(v.Bundle),
		Parameters: map[string]any{"content_type": "pd", "version": strconv.Itoa(v.Number), "digest": v.Digest},
	}
	for i := range served.Versions {
		m.Versions[i] = strconv.Itoa(served.Versions[i].Number)
	}
	for _, o := range outputs() {
		t := TensorMetadata{Name: o.name, Datatype: o.datatype, Shape: []int{-1}}
		switch o.name {
		case OutputContributions:
			t.Shape = []int{-1, len(m.Inputs) - idInputs(v) + 1}
		case OutputColumns:
			t.Shape = []int{len(m.Inputs) - idInputs(v) + 1}
		}
		if o.explains {
			t.Parameters = map[string]any{"explain": true}
		}
		m.Outputs = append(m.Outputs, t)
	}
	writeJSON(w, http.StatusOK, m)
}

// idInputs is 1 where the schema has an id column, else 0.
func idInputs(v *Version) int {
	if v.Bundle.Schema.ID() == "" {
		return 0
	}
	return 1
}

// Inputs lists the columns of a bundle as inputs: the id, which may be left out, then the features in the spec's order.
func Inputs(b *model.Bundle) []TensorMetadata {
	optional := func(is bool) map[string]any {
		if is {
			return map[string]any{"optional": true}
		}
		return nil
	}
	var inputs []TensorMetadata
	c := &b.Spec.Columns
	if c.ID != "" {
		inputs = append(inputs, TensorMetadata{c.ID, typeBytes, []int{-1}, optional(true)})
	}
	for _, n := range c.Numeric {
		datatype := typeDouble
		switch n.Type {
		case spec.NumberInteger:
			datatype = typeInt64
		case spec.NumberBoolean:
			datatype = typeBool
		}
		inputs = append(inputs, TensorMetadata{n.Name, datatype, []int{-1}, optional(n.Optional)})
	}
	for _, k := range c.Categorical {
		inputs = append(inputs, TensorMetadata{k.Name, typeBytes, []int{-1}, optional(k.Optional)})
	}
	return inputs
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("openinference: encode metadata: " + err.Error()) // texts and numbers always encode
	}
	write(w, code, append(body, '\n'))
}
