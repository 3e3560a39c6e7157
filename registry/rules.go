package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// GatesOf returns the rules by which versions of the model with a key are judged now: those set on it, or those of this registry's spec. It is
// false for a model without gates, and for one that follows a spec that is not this registry's.
func (s *Service) GatesOf(key string) (Gates, bool) {
	r, ok := s.rulesOf(key)
	if !ok {
		return Gates{}, false
	}
	return Gates{Gates: r.gates, Promotion: r.promotion, Target: r.target, Positive: r.positive, Signature: r.signature}, true
}

// ParseGates reads gates that a person wrote, and fills in the defaults. Unlike what reads them from events, which may be of a later release, it refuses
// a field that it does not know and a threshold without its minimum: with either left out, the gates would take what they were meant to stop.
func ParseGates(data []byte) (Gates, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return Gates{}, errors.New("they must be a JSON object")
	}
	in := json.NewDecoder(bytes.NewReader(data))
	in.DisallowUnknownFields()
	var known gatesWire
	if err := in.Decode(&known); err != nil {
		return Gates{}, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return Gates{}, errors.New("something follows the gates")
	}
	var written struct {
		Staging []struct {
			Metric string   `json:"metric"`
			Min    *float64 `json:"min"`
		} `json:"staging"`
	}
	if err := json.Unmarshal(data, &written); err != nil {
		return Gates{}, err
	}
	for i, t := range written.Staging {
		if t.Metric == "" || t.Min == nil {
			return Gates{}, fmt.Errorf("threshold %d of staging needs a metric and a min", i+1)
		}
	}
	var g Gates
	err := json.Unmarshal(data, &g)
	return g, err
}
