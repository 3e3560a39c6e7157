package registry

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"telco-churn-mlops/model/spec"
)

// DefaultChampion is the alias that stands for Production in models with gates.
const DefaultChampion = "champion"

// Model is a registered model as it stands.
type Model struct {
	// Key is what its subjects name and never changes; Name is what people call it.
	Key         string            `json:"key"`
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	User        string            `json:"user,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	// Aliases point at versions. In a model with gates the champion's points at Production.
	Aliases   map[string]int `json:"aliases,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
	UpdatedAt time.Time      `json:"updated_at"`
	// Gated is true if only the gates, or a person who overrides them, promote. Gates are those set on the model, nil for those of a spec.
	Gated   bool   `json:"gated"`
	Gates   *Gates `json:"gates,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
}

// SignatureRule says what a version must take to replace Production.
type SignatureRule string

const (
	// SignatureCompatible lets a version replace Production only if every input that it needs is an input of Production with the same type, so that
	// whoever asks Production can go on asking. It is the default.
	SignatureCompatible SignatureRule = "compatible"
	// SignatureIgnore takes any inputs.
	SignatureIgnore SignatureRule = "ignore"
)

// Gates are the rules of a model that has no spec.
type Gates struct {
	spec.Gates
	// Promotion says who promotes; auto by default.
	Promotion spec.Promotion
	// Target is the label's column in a logged holdout, "target" by default, and Positive the value that counts as 1, "1" by default.
	Target, Positive string
	// Signature is compatible by default.
	Signature SignatureRule
}

// gatesWire is how gates are written.
type gatesWire struct {
	Staging    []thresholdWire `json:"staging"`
	Production struct {
		Metric string `json:"metric"`
	} `json:"production"`
	Promotion spec.Promotion `json:"promotion"`
	Target    string         `json:"target,omitempty"`
	Positive  string         `json:"positive,omitempty"`
	Signature SignatureRule  `json:"signature"`
}

type thresholdWire struct {
	Metric string  `json:"metric"`
	Min    float64 `json:"min"`
}

// MarshalJSON implements [json.Marshaler].
func (g Gates) MarshalJSON() ([]byte, error) {
	w := gatesWire{Staging: []thresholdWire{}, Promotion: g.Promotion, Target: g.Target, Positive: g.Positive, Signature: g.Signature}
	w.Production.Metric = g.Production.Metric
	for _, t := range g.Staging {
		w.Staging = append(w.Staging, thresholdWire(t))
	}
	return json.Marshal(w)
}

// UnmarshalJSON implements [json.Unmarshaler]. What is left out gets its default; it does not validate.
func (g *Gates) UnmarshalJSON(data []byte) error {
	var w gatesWire
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*g = Gates{Promotion: w.Promotion, Target: w.Target, Positive: w.Positive, Signature: w.Signature}
	for _, t := range w.Staging {
		g.Staging = append(g.Staging, spec.Threshold(t))
	}
	g.Production.Metric = w.Production.Metric
	*g = g.withDefaults()
	return nil
}

func (g Gates) withDefaults() Gates {
	if g.Production.Metric == "" {
		g.Production.Metric = "f1_churn"
	}
	if g.Promotion == "" {
		g.Promotion = spec.PromotionAuto
	}
	if g.Signature == "" {
		g.Signature = SignatureCompatible
	}
	return g
}

// Validate returns what is wrong with the gates after their defaults are filled in, or nil.
func (g Gates) Validate() error {
	g = g.withDefaults()
	if g.Signature != SignatureCompatible && g.Signature != SignatureIgnore {
		return fmt.Errorf("signature must be compatible or ignore, is %q", g.Signature)
	}
	s := spec.Telco() // gates follow the same rules in a spec
	s.Gates, s.Promotion = g.Gates, g.Promotion
	return s.Validate()
}

// Model returns the model with a key. It is false for one that was never made: that has runs alone, or nothing.
func (c *Catalog) Model(key string) (Model, bool) {
	m := c.models[key]
	if m == nil || !m.exists {
		return Model{}, false
	}
	return Model{
		Key: key, Name: m.name, Description: m.description, User: m.user, Tags: maps.Clone(m.tags), Aliases: m.pointers(c.Champion),
		CreatedAt: m.created, UpdatedAt: m.updated, Gated: m.gated(), Gates: m.gates, Deleted: m.deleted,
	}, true
}

// Key returns the key of the model that has a name now, and false if none has. A model that has runs alone has its key as its name.
func (c *Catalog) Key(name string) (string, bool) {
	key, ok := c.names[name]
	return key, ok
}

// Gated reports whether a model has gates: it follows a spec, or gates are set on it.
func (c *Catalog) Gated(key string) bool {
	m := c.models[key]
	return m != nil && m.gated()
}
