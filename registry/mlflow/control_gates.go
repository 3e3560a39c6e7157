package mlflow

import (
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
)

// gatesAnswer says by what a model's versions are judged.
type gatesAnswer struct {
	Model string `json:"model"`
	// Gated is true if only the gates, or a person who overrides them, promote. From says where they stand: "model" for those that were set on
	// it, "spec" for those of the spec that the model is trained by; it is left out of a model without gates. Gates are left out where they stand in
	// a spec that is not this registry's.
	Gated bool            `json:"gated"`
	From  string          `json:"from,omitempty"`
	Gates *registry.Gates `json:"gates,omitempty"`
}

func (c *call) describeGates(m registry.Model, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	out := gatesAnswer{Model: m.Name, Gated: m.Gated, Gates: m.Gates}
	switch {
	case m.Gates != nil:
		out.From = "model"
	case m.Gated:
		out.From = "spec"
		if g, ok := c.s.GatesOf(m.Key); ok {
			out.Gates = &g
		}
	}
	return out, nil
}

func getGates(c *call) (any, error) { return c.describeGates(c.s.Model(c.ctx, c.path("name"))) }

// putGates sets the gates of a model that has no spec, in place of those it had. Versions that have a verdict keep it.
func putGates(c *call) (any, error) {
	var in registry.Gates
	body, err := c.body(maxBody)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return nil, fault.New(fault.Invalid, "the request's body must be the gates as a JSON object")
	}
	if err := decodeJSON(body, &in); err != nil {
		return nil, err
	}
	if in, err = registry.ParseGates(body); err != nil {
		return nil, fault.New(fault.Invalid, "gates: %s", cut(err.Error()))
	}
	return c.describeGates(c.s.SetGates(c.ctx, c.path("name"), &in, c.actor()))
}

func deleteGates(c *call) (any, error) {
	return c.describeGates(c.s.SetGates(c.ctx, c.path("name"), nil, c.actor()))
}
