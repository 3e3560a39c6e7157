package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// PredictionMade is one answer. Published by inference, asynchronously and acked; read by drift and anyone downstream.
type PredictionMade struct {
	PredictionID string `json:"prediction_id"`
	// EntityID is the record's id column, empty if the record had none.
	EntityID          string `json:"entity_id,omitempty"`
	Version           int    `json:"version"`
	PromotionSequence uint64 `json:"promotion_sequence"`
	// Record is the raw record as it was asked for, by column name.
	Record json.RawMessage `json:"record"`
	// Score is the probability of the positive class, 0 to 1.
	Score     float64 `json:"score"`
	Threshold float64 `json:"threshold"`
	// Positive is Score >= Threshold; Label is the class in the target's own word.
	Positive  bool   `json:"positive"`
	Label     string `json:"label"`
	LatencyUS int64  `json:"latency_us"`
	// Instance, Boot and Ordinal (from 1, without gaps within a boot) let a reader count what a crash lost.
	Instance string `json:"instance"`
	Boot     string `json:"boot"`
	Ordinal  uint64 `json:"ordinal"`
	// RequestID is the one that the caller gave or was given; a list's records share it.
	RequestID string `json:"request_id,omitempty"`
	// Arm is [ArmCanary] or [ArmDirect] where not Production answered as such, else empty. RolloutRevision is that of the split in force, 0 for none.
	Arm             Arm `json:"arm,omitempty"`
	RolloutRevision int `json:"rollout_revision,omitempty"`
}

// Outcome is a label in the system of record's own word. JSON true, false and numbers are read as their text.
type Outcome string

// UnmarshalJSON reads a string, a boolean or a number.
func (o *Outcome) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(o))
	}
	if len(b) == 0 || b[0] == '{' || b[0] == '[' || bytes.Equal(b, []byte("null")) {
		return fmt.Errorf("%w: outcome must be a string, a boolean or a number", ErrInvalid)
	}
	*o = Outcome(b)
	return nil
}

// LabelObserved is the true outcome of a customer. Published by systems of record; read by drift, which joins it to a prediction by
// prediction id or else by entity and the spec's label horizon.
type LabelObserved struct {
	PredictionID string  `json:"prediction_id,omitempty"`
	EntityID     string  `json:"entity_id,omitempty"`
	Outcome      Outcome `json:"outcome"`
	// ObservedAt is when the outcome was known. Zero means the time the message was stored.
	ObservedAt time.Time `json:"observed_at,omitzero"`
}

// ExampleJoined is a prediction with its outcome, once per prediction. Published by drift; read by the trainer.
type ExampleJoined struct {
	PredictionID      string `json:"prediction_id"`
	EntityID          string `json:"entity_id,omitempty"`
	Version           int    `json:"version"`
	PromotionSequence uint64 `json:"promotion_sequence"`
	// PredictionsSequence is where the prediction stands in PREDICTIONS.
	PredictionsSequence uint64          `json:"predictions_sequence"`
	Record              json.RawMessage `json:"record"`
	Score               float64         `json:"score"`
	Threshold           float64         `json:"threshold"`
	// Predicted and Observed are true for the positive class.
	Predicted   bool      `json:"predicted"`
	Observed    bool      `json:"observed"`
	PredictedAt time.Time `json:"predicted_at"`
	ObservedAt  time.Time `json:"observed_at"`
	// LabelsSequence is where the label stands in LABELS: the same label never joins a second prediction.
	LabelsSequence uint64 `json:"labels_sequence,omitempty"`
	// Arm is the prediction's.
	Arm Arm `json:"arm,omitempty"`
}

// ColumnState is the state of a monitored column.
type ColumnState string

const (
	StateOK           ColumnState = "ok"
	StatePending      ColumnState = "pending" // over the threshold, not yet often enough in a row
	StateFiring       ColumnState = "firing"
	StateInsufficient ColumnState = "insufficient_data"
)

// ColumnEvaluation is one column's part of an evaluation.
type ColumnEvaluation struct {
	Column    string      `json:"column"`
	Statistic string      `json:"statistic"`
	Value     float64     `json:"value"`
	Threshold float64     `json:"threshold"`
	Bound     float64     `json:"bound,omitempty"`
	N         int         `json:"n"`
	State     ColumnState `json:"state"`
	// Streak counts the evaluations in a row over the threshold; of those that share rows only one. StreakSequence is the last row's
	// sequence at the last one that was counted.
	Streak         int    `json:"streak,omitempty"`
	StreakSequence uint64 `json:"streak_sequence,omitempty"`
	Action         Action `json:"action"`
	// AlertedAt is the stream time of the last alert that was not cleared yet, AlertedVersion the version that it named.
	AlertedAt      time.Time  `json:"alerted_at,omitzero"`
	AlertedVersion int        `json:"alerted_version,omitempty"`
	Bins           []BinShare `json:"bins,omitempty"`
}

// DriftEvaluated is one evaluation and at the same time the checkpoint from which drift goes on after a restart. Published by drift after
// the alerts and clearings that it caused.
type DriftEvaluated struct {
	// Kind is data (columns and score) or performance.
	Kind       DriftKind `json:"kind"`
	Evaluation uint64    `json:"evaluation"`
	Version    int       `json:"version"`
	// PromotionSequence is the greatest promotion seen in a prediction so far.
	PromotionSequence uint64 `json:"promotion_sequence"`
	// Ordinal counts the model's messages up to this position: predictions for kind data, examples of the version for kind performance.
	Ordinal uint64 `json:"ordinal"`
	// PredictionsSequence is the position in PREDICTIONS, TrainingSequence the position in TRAINING (kind performance).
	PredictionsSequence uint64 `json:"predictions_sequence,omitempty"`
	TrainingSequence    uint64 `json:"training_sequence,omitempty"`
	// WindowFirst is the stream sequence of the oldest row in the window.
	WindowFirst uint64             `json:"window_first,omitempty"`
	Rows        int                `json:"rows"`
	WindowFrom  time.Time          `json:"window_from,omitzero"`
	WindowTo    time.Time          `json:"window_to,omitzero"`
	Columns     []ColumnEvaluation `json:"columns"`
}

// DeadLetter is a message that could not be handled. Published by internal/bus on "dead.<STREAM>.<consumer>"; not a CloudEvent, as the message
// it wraps need not be one.
type DeadLetter struct {
	Stream   string `json:"stream"`
	Sequence uint64 `json:"sequence"`
	Subject  string `json:"subject"`
	Consumer string `json:"consumer"`
	// Reason is the error's text.
	Reason     string              `json:"reason"`
	Deliveries uint64              `json:"deliveries"`
	Header     map[string][]string `json:"header,omitempty"`
	// Data is the message's data, at most its first 64 KiB; Truncated says whether there was more.
	Data      []byte    `json:"data"`
	Truncated bool      `json:"truncated,omitempty"`
	At        time.Time `json:"at"`
}
