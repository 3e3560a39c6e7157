package events

import "time"

// DriftKind says what drifted.
type DriftKind string

const (
	DriftData        DriftKind = "data"        // a column's distribution
	DriftPrediction  DriftKind = "prediction"  // the score's distribution
	DriftPerformance DriftKind = "performance" // the live F1 against the holdout's
)

// Names that stand in Column for what is no column of the record.
const (
	ColumnScore       = "_score"
	ColumnPerformance = "_performance"
)

// Action says what an alert asks for.
type Action string

const (
	ActionRetrain Action = "retrain" // the alert is a cause of a run
	ActionReport  Action = "report"  // for people only
)

// BinShare is one bin of a drift statistic.
type BinShare struct {
	Bin       string  `json:"bin"`
	Reference float64 `json:"reference"` // share of the reference rows, 0 to 1
	Current   float64 `json:"current"`   // share of the window's rows, 0 to 1
	PSI       float64 `json:"psi"`       // the bin's contribution
}

// Measurement is what an alert and a clearing have in common.
type Measurement struct {
	Kind   DriftKind `json:"kind"`
	Column string    `json:"column"`
	// Statistic is "psi" or "f1_drop".
	Statistic string  `json:"statistic"`
	Value     float64 `json:"value"`
	// Threshold is what Value was compared with: the alert's or the clearing's.
	Threshold float64 `json:"threshold"`
	// Bound is the significance bound at this n; 0 where none applies.
	Bound float64 `json:"bound,omitempty"`
	// N is the number of rows in the window.
	N          int        `json:"n"`
	WindowFrom time.Time  `json:"window_from"`
	WindowTo   time.Time  `json:"window_to"`
	Bins       []BinShare `json:"bins,omitempty"`
	// Version is the model version whose reference was used, PromotionSequence its promotion.
	Version           int    `json:"version"`
	PromotionSequence uint64 `json:"promotion_sequence"`
	// Evaluation counts the model's evaluations of this kind from 1.
	Evaluation uint64 `json:"evaluation"`
	// PredictionsSequence is the PREDICTIONS sequence of the last row evaluated.
	PredictionsSequence uint64 `json:"predictions_sequence"`
	Action              Action `json:"action"`
}

// DriftAlert says that a column entered the state firing, or still fires after the repeat interval. Published by drift; with action retrain
// it is a cause for the trainer.
type DriftAlert struct {
	Measurement
	// Repeat is true if the column was firing already.
	Repeat bool `json:"repeat,omitempty"`
}

// DriftCleared says that a firing column is quiet again. Published by drift.
type DriftCleared struct {
	Measurement
}

// RetrainRequested asks for a run. Published by the CLI or any program; a schedule's tick arrives here too. Read by the trainer.
type RetrainRequested struct {
	Actor  string `json:"actor,omitempty"`
	Reason string `json:"reason,omitempty"`
	// TargetStage is Staging or Production; empty means Production.
	TargetStage Stage `json:"target_stage,omitempty"`
}

// SkipReason says why a cause started nothing.
type SkipReason string

const (
	SkipSuperseded SkipReason = "superseded" // an alert about a version that is no longer Production
	SkipReportOnly SkipReason = "report"     // never published: an alert whose action is report is no cause at all
	SkipDuplicate  SkipReason = "duplicate"  // the same tick of a schedule fired twice
)

// RetrainSkipped says that a cause starts no run. Published by the trainer.
type RetrainSkipped struct {
	// Sequence is the skipped cause's sequence in CAUSES.
	Sequence uint64     `json:"sequence"`
	Kind     CauseKind  `json:"kind"`
	Reason   SkipReason `json:"reason"`
	Detail   string     `json:"detail,omitempty"`
}

// ScheduleRetrain is the stored schedule of a model; the server publishes it to retrain.requested when due. Published by the trainer from the
// spec, or by the CLI. The last one counts.
type ScheduleRetrain struct {
	// Cron has six fields, seconds first: "0 0 2 * * 1" is Monday at two.
	Cron string `json:"cron"`
	// TimeZone is an IANA name; empty means UTC.
	TimeZone    string `json:"time_zone,omitempty"`
	TargetStage Stage  `json:"target_stage,omitempty"`
	Actor       string `json:"actor,omitempty"`
	Reason      string `json:"reason,omitempty"`
}
