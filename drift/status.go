package drift

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"

	"telco-churn-mlops/events"
)

// Status is what drift is doing, as GET /status shows it.
type Status struct {
	Instance string        `json:"instance"`
	Models   []ModelStatus `json:"models"`
}

// ModelStatus is one model's part of a Status.
type ModelStatus struct {
	Model string `json:"model"`
	// Version and PromotionSequence are those of the reference in use; zero before the first prediction since the start.
	Version           int    `json:"version"`
	PromotionSequence uint64 `json:"promotion_sequence"`
	// NoReference is why no column of this version is evaluated; "" if they are.
	NoReference string `json:"no_reference,omitempty"`
	// Ordinal counts the model's predictions, Rows those in the window.
	Ordinal     uint64                 `json:"ordinal"`
	Rows        int                    `json:"rows"`
	Data        *events.DriftEvaluated `json:"data,omitempty"`        // the last evaluation
	Performance *events.DriftEvaluated `json:"performance,omitempty"` // the last evaluation
	// Labels counts the labels handled since the start of the process, by outcome.
	Labels map[string]uint64 `json:"labels"`
}

// statusBoard holds the latest of each model. Safe for concurrent use.
type statusBoard struct {
	instance string
	mu       sync.Mutex
	models   map[string]*ModelStatus
}

func newStatusBoard(instance string) *statusBoard {
	return &statusBoard{instance: instance, models: map[string]*ModelStatus{}}
}

// of must be called with mu held.
func (b *statusBoard) of(model string) *ModelStatus {
	m := b.models[model]
	if m == nil {
		m = &ModelStatus{Model: model, Labels: map[string]uint64{}}
		b.models[model] = m
	}
	return m
}

func (b *statusBoard) window(model string, ref *Reference, ordinal uint64, rows int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.of(model)
	m.Version, m.PromotionSequence, m.Ordinal, m.Rows, m.NoReference = ref.Version, ref.Promotion, ordinal, rows, ""
	if ref.Baseline == nil {
		m.NoReference = noReference
	}
}

func (b *statusBoard) evaluated(model string, e *events.DriftEvaluated) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Kind == events.DriftPerformance {
		b.of(model).Performance = e
		return
	}
	b.of(model).Data = e
}

func (b *statusBoard) label(model, outcome string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of(model).Labels[outcome]++
}

// status returns a copy, models by name.
func (b *statusBoard) status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Status{Instance: b.instance, Models: []ModelStatus{}}
	for _, name := range slices.Sorted(maps.Keys(b.models)) {
		m := *b.models[name]
		m.Labels = maps.Clone(m.Labels)
		s.Models = append(s.Models, m)
	}
	return s
}

func (s *Service) serveStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(s.status.status()); err != nil {
		s.log.Debug("status not sent", "err", err)
	}
}
